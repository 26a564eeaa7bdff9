#include "nn/gemm.h"

#include <omp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "nn/blas.h"
#include "nn/product.h"

enum { TALL = 256 };

void ib_gemm(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    if ((beta == 0.0f || beta == 1.0f) && ib_product(a, k, 1, b, beta != 0.0f, c, m, n, k)) {
        return;
    }
    ib_sgemm(CblasNoTrans, a, k, CblasNoTrans, b, n, 1.0f, beta, c, n, m, n, k);
}

void ib_gemm_bt(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    if (beta == 0.0f && ib_product_transposed(a, b, c, m, n, k)) {
        return;
    }
    ib_sgemm(CblasNoTrans, a, k, CblasTrans, b, k, 1.0f, beta, c, n, m, n, k);
}

void ib_gemm_at(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    /* of a tall a, each cache line would be fetched for a few of its columns at a time */
    if (m <= TALL && (beta == 0.0f || beta == 1.0f) && ib_product(a, 1, m, b, beta != 0.0f, c, m, n, k)) {
        return;
    }
    ib_sgemm(CblasTrans, a, m, CblasNoTrans, b, n, 1.0f, beta, c, n, m, n, k);
}

void ib_gemm_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride, float beta,
                  float *c, size_t c_stride, size_t m, size_t n, size_t k) {
    ib_sgemm(CblasNoTrans, a, a_stride, CblasNoTrans, b, b_stride, alpha, beta, c, c_stride, m, n, k);
}

void ib_gemm_bt_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride,
                     float beta, float *c, size_t c_stride, size_t m, size_t n, size_t k) {
    ib_sgemm(CblasNoTrans, a, a_stride, CblasTrans, b, b_stride, alpha, beta, c, c_stride, m, n, k);
}

ib_gemm_threads ib_gemm_one_thread(void) {
    ib_gemm_threads before = {openblas_get_num_threads(), omp_get_max_threads()};
    openblas_set_num_threads(1);
    return before;
}

void ib_gemm_restore(ib_gemm_threads before) {
    openblas_set_num_threads(before.blas);
    omp_set_num_threads(before.omp); /* which OpenBLAS's OpenMP build sets too */
}

int ib_gemm_pin(void) {
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

void ib_gemm_unpin(int before) {
    omp_set_num_threads(before);
}

/* OpenBLAS's own, exported and not in its header. */
void *blas_memory_alloc(int) __attribute__((weak));
void blas_memory_free(void *) __attribute__((weak));

int ib_gemm_reserve(int threads, ib_error *err) {
    enum { MOST = 128, STACK = 16 << 20 };
    void *held[MOST], *p;
    struct rlimit limit;
    size_t n = threads < 1          ? 1
               : threads > MOST / 2 ? MOST / 2
                                    : (size_t)threads,
           have = (size_t)openblas_get_num_threads(), more = n > have ? n - have : 0, bytes;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return IB_OK;
    }
    bytes = (n + more) * IB_GEMM_BUFFER_BYTES + n * STACK;
    p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return ib_fail(
            err, IB_E_MEMORY,
            "the address space is limited to %llu KiB (ulimit -v), and computing with %zu thread%s "
            "takes %zu KiB more than the program has now",
            (unsigned long long)limit.rlim_cur / 1024, n, n == 1 ? "" : "s", bytes / 1024);
    }
    munmap(p, bytes);
    if (blas_memory_alloc && blas_memory_free) {
        for (size_t i = 0; i < n + more; i++) {
            held[i] = blas_memory_alloc(0);
        }
        for (size_t i = 0; i < n + more; i++) {
            blas_memory_free(held[i]);
        }
    }
    /* OpenMP ends the process where it cannot start a thread: better now than over a half-written file */
    int started = 0;
#pragma omp parallel num_threads((int)n) reduction(+ : started)
    started++;
    return started > 0 ? IB_OK : ib_fail(err, IB_E_MEMORY, "no thread could be started");
}

const char *ib_gemm_library(void) {
    return openblas_get_config();
}

const char *ib_gemm_better_core(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!strcmp(openblas_get_corename(), "Prescott")) {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            return "SkylakeX";
        }
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            return "Haswell";
        }
    }
#endif
    return NULL;
}
