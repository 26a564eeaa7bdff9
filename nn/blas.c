#include "nn/blas.h"

#include <omp.h>

/* How many threads the next parallel region of this thread really gets, of `wanted`. */
static int threads_to_get(int wanted) {
    if (wanted == 1 || omp_in_parallel()) {
        return wanted; /* OpenBLAS uses one */
    }
    if (omp_get_dynamic() || omp_get_max_active_levels() < 1) {
        return 1;
    }
    int limit = omp_get_thread_limit();
    return limit < wanted ? limit : wanted;
}

void ib_sgemm(CBLAS_TRANSPOSE ta, const float *a, size_t lda, CBLAS_TRANSPOSE tb, const float *b, size_t ldb,
              float alpha, float beta, float *c, size_t ldc, size_t m, size_t n, size_t k) {
    int before = omp_get_max_threads(), threads = threads_to_get(before);
    if (threads != before) {
        omp_set_num_threads(threads);
    }
    cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b,
                (blasint)ldb, beta, c, (blasint)ldc);
    if (threads != before) {
        omp_set_num_threads(before);
    }
}
