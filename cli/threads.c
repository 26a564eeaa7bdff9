#include <math.h>
#include <omp.h>
#include <sched.h>
#include "cli/private.h"

/* A container's share of the processors (cgroup version 2), rounded up; 0 if there is no limit. */
static int cgroup_cores(void) {
    double quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f) {
        return 0;
    }
    int n = fscanf(f, "%lf %lf", &quota, &period);
    fclose(f);
    return n == 2 && quota > 0 && period > 0 && quota / period < 4096 ? (int)ceil(quota / period) : 0;
}

int cli_cores(void) {
    cpu_set_t set;
    int n = 1;
    if (!sched_getaffinity(0, sizeof set, &set)) {
        n = CPU_COUNT(&set);
    }
    int limit = cgroup_cores();
    if (limit > 0 && limit < n) {
        n = limit;
    }
    return n < 1 ? 1 : n;
}

/* OpenBLAS in its OpenMP build takes its number of threads from here too, and computes with one inside our
 * own parallel regions. Nesting stays off, so that there are never more threads than asked for. */
int cli_threads_begin(int threads) {
    int limit = omp_get_thread_limit();
    threads = limit < threads ? limit : threads;
    omp_set_dynamic(0);
    omp_set_max_active_levels(1);
    omp_set_num_threads(threads);
    return threads;
}
