/* The one place that calls OpenBLAS: for the files of nn/ only. */
#ifndef IB_NN_BLAS_H
#define IB_NN_BLAS_H

#include <cblas.h>
#include <stddef.h>

/* Row-major with strides: c = alpha op(a) op(b) + beta c, op(a): [m,k], op(b): [k,n]; lda, ldb, ldc are the
 * numbers of floats from row to row.
 *
 * OpenBLAS's OpenMP build divides a product among omp_get_max_threads() threads, which wait for each other.
 * Where OpenMP then gives it fewer (OMP_THREAD_LIMIT, OMP_DYNAMIC, OMP_MAX_ACTIVE_LEVELS=0), they would wait
 * for ever: here it is given no more than there are. The caller's number of threads is
 * as before afterwards. */
void ib_sgemm(CBLAS_TRANSPOSE ta, const float *a, size_t lda, CBLAS_TRANSPOSE tb, const float *b, size_t ldb,
              float alpha, float beta, float *c, size_t ldc, size_t m, size_t n, size_t k);

#endif
