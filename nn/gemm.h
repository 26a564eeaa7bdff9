/* Row-major float32 matrix products over OpenBLAS. All of this project's threads work on different samples,
 * so these products are meant to run on one thread each: OpenBLAS's OpenMP build does so by itself inside a
 * parallel region, and ib_gemm_one_thread() asks for it outside one as well. */
#ifndef IB_NN_GEMM_H
#define IB_NN_GEMM_H

#include <stddef.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* c = a b + beta c */
void ib_gemm(const float *a,       /* [m,k] */
             const float *b,       /* [k,n] */
             float beta, float *c, /* [m,n] */
             size_t m, size_t n, size_t k);
/* c = a b^T + beta c */
void ib_gemm_bt(const float *a,       /* [m,k] */
                const float *b,       /* [n,k] */
                float beta, float *c, /* [m,n] */
                size_t m, size_t n, size_t k);
/* c = a^T b + beta c */
void ib_gemm_at(const float *a,       /* [k,m] */
                const float *b,       /* [k,n] */
                float beta, float *c, /* [m,n] */
                size_t m, size_t n, size_t k);

/* The same on parts of larger matrices: *_stride is the number of floats from row to row. c = alpha a b +
 * beta c, or with b's transpose. */
void ib_gemm_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride, float beta,
                  float *c, size_t c_stride, size_t m, size_t n, size_t k);
void ib_gemm_bt_part(float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride,
                     float beta, float *c, size_t c_stride, size_t m, size_t n, size_t k);

/* Keeps OpenBLAS from starting threads of its own for the whole process, until ib_gemm_restore of what it
 * returned. OpenMP's number of threads, of the calling thread, is 1 meanwhile. */
typedef struct ib_gemm_threads {
    int blas, omp;
} ib_gemm_threads;
ib_gemm_threads ib_gemm_one_thread(void);
void ib_gemm_restore(ib_gemm_threads before);
/* From here to ib_gemm_unpin(what it returned), on this thread and outside parallel regions, a product is
 * computed by one thread, as it is inside one: its sums, which depend on their number, are then the same in
 * both places. OpenBLAS's OpenMP build goes by OpenMP's number of threads, so parallel regions without
 * num_threads have one thread meanwhile, too. */
int ib_gemm_pin(void);
void ib_gemm_unpin(int before);
/* OpenBLAS computes in buffers of this size, one per thread and one more per product under way, which it maps
 * when it first needs them and keeps. Where the address space is limited and there are none, it tries for
 * ever. */
#define IB_GEMM_BUFFER_BYTES ((size_t)128 << 20)
/* Has it map, now, all that `threads` threads will need, and OpenMP start them. IB_E_MEMORY where the limit
 * of the address space (RLIMIT_AS) does not allow them; without a limit nothing is done. Outside parallel
 * regions, before the first product. */
int ib_gemm_reserve(int threads, ib_error *err);
/* OpenBLAS's own description of itself: version, build, the processor that its kernels were chosen for. */
const char *ib_gemm_library(void);
/* OpenBLAS chooses its kernels while it is loaded. One that is older than the processor may not know it and
 * take those of 2004, with a fifth of the speed: then, what its variable should have been
 * OPENBLAS_CORETYPE; else NULL. */
const char *ib_gemm_better_core(void);

#ifdef __cplusplus
}
#endif
#endif
