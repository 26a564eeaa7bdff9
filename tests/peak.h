/* For benchmarks: what the processors have spent, and what this machine's sgemm can do at best. */
#ifndef IB_TESTS_PEAK_H
#define IB_TESTS_PEAK_H

#include <cblas.h>
#include <omp.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

/* Seconds that the processors have spent on this process: what counts where others compute too. Waiting in a
 * loop counts. */
static inline double spent(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of several large products, every thread its own. FLOP per second by the clock; 0 without memory.
 * *by_spent, unless NULL: the same per second of one processor. */
static inline double sgemm_peaks(int threads, double *by_spent) {
    enum { N = 768 };
    double best = 0;
    float *m = ib_calloc((size_t)threads * 3 * N * N, sizeof *m);
    for (size_t i = 0; m && i < (size_t)threads * 3 * N * N; i++) {
        m[i] = (float)(i % 97) * 0.01f;
    }
    for (int r = 0; m && r < 12; r++) {
        double start = ib_clock_seconds(), before = spent();
#pragma omp parallel num_threads(threads)
        {
            float *a = m + (size_t)omp_get_thread_num() * 3 * N * N;
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, a + N * N, N, 0,
                        a + 2 * N * N, N);
        }
        double rate = 2.0 * N * N * N * threads / (ib_clock_seconds() - start);
        best = rate > best ? rate : best;
        double each = 2.0 * N * N * N * threads / (spent() - before);
        if (by_spent) {
            *by_spent = each > *by_spent ? each : *by_spent;
        }
    }
    ib_free(m);
    return best;
}

static inline double sgemm_peak(int threads) {
    return sgemm_peaks(threads, NULL);
}

#endif
