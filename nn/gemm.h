/* Row-major float32 matrix products over OpenBLAS. All of this project's threads work on different samples, so these products are
 * meant to run on one thread each: OpenBLAS's OpenMP build does so by itself inside a parallel region, and
 * ib_gemm_one_thread() asks for it outside one as well. */
#ifndef IB_NN_GEMM_H
#define IB_NN_GEMM_H

#include <stddef.h>

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

/* Keeps OpenBLAS from starting threads of its own for the whole process. */
void ib_gemm_one_thread(void);

#ifdef __cplusplus
}
#endif
#endif
