#include "nn/gemm.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "nn/product.h"

enum { TALL = 256 };

void ib_gemm(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    if ((beta == 0.0f || beta == 1.0f) && ib_product(a, k, 1, b, beta != 0.0f, c, m, n, k)) {
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
                (blasint)k, b, (blasint)n, beta, c, (blasint)n);
}

void ib_gemm_bt(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    if (beta == 0.0f && ib_product_turned(a, b, c, m, n, k)) {
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
                (blasint)k, b, (blasint)k, beta, c, (blasint)n);
}

void ib_gemm_at(const float *a, const float *b, float beta, float *c, size_t m, size_t n, size_t k) {
    /* of a tall a, each cache line would be fetched for a few of its columns at a time */
    if (m <= TALL && (beta == 0.0f || beta == 1.0f) && ib_product(a, 1, m, b, beta != 0.0f, c, m, n, k)) {
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
                (blasint)m, b, (blasint)n, beta, c, (blasint)n);
}

void ib_gemm_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride, float beta,
                  float *c, size_t c_stride, size_t m, size_t n, size_t k) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                (blasint)a_stride, b, (blasint)b_stride, beta, c, (blasint)c_stride);
}

void ib_gemm_bt_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride,
                     float beta, float *c, size_t c_stride, size_t m, size_t n, size_t k) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                (blasint)a_stride, b, (blasint)b_stride, beta, c, (blasint)c_stride);
}

void ib_gemm_one_thread(void) {
    openblas_set_num_threads(1);
}

int ib_gemm_pin(void) {
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

void ib_gemm_unpin(int before) {
    omp_set_num_threads(before);
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
