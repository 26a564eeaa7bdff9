/* Products where OpenMP gives fewer threads than it announces: right, and not waited for for ever. Runs
 * itself again for each way. */
#include <omp.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include "nn/attention.h"
#include "nn/gemm.h"
#include "tests/check.h"

enum { M = 250, N = 249, K = 251, SECONDS = 20 };

static float a[M * K], b[K * N], c[M * N];

static double worst_error(void) {
    double worst = 0;
    for (size_t i = 0; i < M; i += 7) {
        for (size_t j = 0; j < N; j++) {
            double sum = 0;
            for (size_t p = 0; p < K; p++) {
                sum += (double)a[i * K + p] * (double)b[p * N + j];
            }
            worst = fmax(worst, fabs(sum - (double)c[i * N + j]));
        }
    }
    return worst;
}

static void *products(void *where) {
    enum { TOKENS = 300, CHANNELS = 64 };
    float *qkv = calloc((size_t)TOKENS * 3 * CHANNELS, sizeof *qkv),
          *y = calloc((size_t)TOKENS * CHANNELS, sizeof *y),
          *scratch = calloc(ib_attention_scratch(TOKENS), sizeof *scratch);
    int before = omp_get_max_threads();
    memset(c, 0, sizeof c);
    ib_gemm(a, b, 0, c, M, N, K);
    double error = worst_error();
    printf("%s: %d threads announced, a limit of %d; worst error %.2g, at most 1e-4\n", (const char *)where,
           before, omp_get_thread_limit(), error);
    CHECK(before > 1);
    CHECK(error <= 1e-4);
    CHECK_INT(omp_get_max_threads(), before);
    for (size_t i = 0; i < (size_t)TOKENS * CHANNELS; i++) {
        qkv[i / CHANNELS * 3 * CHANNELS + 2 * CHANNELS + i % CHANNELS] = 0.5f;
    }
    ib_attention(qkv, 1, TOKENS, CHANNELS, 1, scratch, y);
    CHECK_NEAR(y[TOKENS * CHANNELS - 1], 0.5, 1e-5); /* a mean of equal values */
    free(qkv);
    free(y);
    free(scratch);
    return NULL;
}

static int one_way(const char *way) {
    pthread_t thread;
    for (size_t i = 0; i < M * K; i++) {
        a[i] = (float)(i % 31) / 31 - 0.5f;
    }
    for (size_t i = 0; i < K * N; i++) {
        b[i] = (float)(i % 37) / 37 - 0.5f;
    }
    alarm(SECONDS);
    products((void *)way);
    if (!pthread_create(&thread, NULL, products, (void *)"a thread of its own")) {
        pthread_join(thread, NULL);
    }
    return check_failed != 0;
}

int main(int argc, char **argv) {
    static const char *const ways[][2] = {{"OMP_THREAD_LIMIT", "1"},
                                          {"OMP_THREAD_LIMIT", "2"},
                                          {"OMP_MAX_ACTIVE_LEVELS", "0"},
                                          {"OMP_DYNAMIC", "true"}};
    if (argc > 1) {
        return one_way(argv[1]);
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int status = -1;
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            setenv("OMP_NUM_THREADS", "4", 1);
            setenv(ways[i][0], ways[i][1], 1);
            execl("/proc/self/exe", argv[0], ways[i][0], (char *)NULL);
            _exit(127);
        }
        waitpid(child, &status, 0);
        printf("%s=%s: %s\n", ways[i][0], ways[i][1],
               WIFSIGNALED(status)   ? "ended by the alarm"
               : WEXITSTATUS(status) ? "wrong"
                                     : "right");
        CHECK_INT(status, 0);
    }
    return check_report("test_blas_limits");
}
