/* The towers' gelu beside math.h in double, and how much stack a picture's preparation takes. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/memory.h"
#include "clip/kernels.h"
#include "clip/preprocess.h"
#include "tests/check.h"

static void test_gelu(void) {
    enum { N = 400001 };
    float *x = ib_calloc(N, sizeof *x), *y = ib_calloc(N, sizeof *y), *zero = ib_calloc(N, sizeof *zero);
    double apart = 0, near = 0, far = 0;
    if (!x || !y || !zero) {
        exit(1);
    }
    for (size_t i = 0; i < N; i++) {
        y[i] = x[i] = (float)(-10 + 20.0 * (double)i / (N - 1));
    }
    ib_clip_activate(IB_CLIP_GELU, zero, 1, N, N, y);
    for (size_t i = 0; i < N; i++) {
        double v = x[i], want = 0.5 * v * erfc(-v / sqrt(2)), off = fabs(y[i] - want);
        double share = want != 0 ? off / fabs(want) : off;
        apart = fmax(apart, off);
        *(fabs(v) < 4 ? &near : &far) = fmax(fabs(v) < 4 ? near : far, share);
    }
    printf("gelu over [-10, 10]: off by at most %.3g; relative %.3g for |x| < 4, %.3g beyond\n", apart, near,
           far);
    CHECK_NEAR(apart, 0, 2.5e-7);
    CHECK_NEAR(near, 0, 6e-7);
    CHECK_NEAR(far, 0, 3e-6);
    float ends[] = {-1e30f, -40, -0.0f, 0, 40, 1e30f};
    ib_clip_activate(IB_CLIP_GELU, zero, 1, 6, 6, ends);
    for (size_t i = 0; i < 6; i++) {
        CHECK_NEAR(ends[i], i < 4 ? 0 : i == 4 ? 40 : 1e30f, 1e-37);
    }
    ib_free(zero);
    ib_free(y);
    ib_free(x);
}

enum { WIDE = 16384, HIGH = 16, SIDE = 4 };
static const uint8_t *picture;

static void *prepare(void *result) {
    static float out[3 * SIDE * SIDE];
    ib_clip_preprocess p = {.filter = IB_CLIP_BICUBIC, .edge = SIDE, .std = {1, 1, 1}};
    ib_error err = {0};
    *(int *)result =
        ib_clip_preprocess_run(&p, IB_FIT_SQUASH, SIDE, picture, 3 * WIDE, WIDE, HIGH, out, &err);
    return NULL;
}

/* In a child, since what has too little stack ends by a signal. */
static void test_stack(void) {
    int status = -1;
    picture = ib_calloc(WIDE * HIGH, 3);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        pthread_t thread;
        pthread_attr_t a;
        int result = -1;
        pthread_attr_init(&a);
        pthread_attr_setstacksize(&a, 96 << 10);
        if (!picture || pthread_create(&thread, &a, prepare, &result)) {
            _exit(2);
        }
        pthread_join(thread, NULL);
        _exit(result ? 1 : 0);
    }
    waitpid(child, &status, 0);
    printf("a line of %d samples scaled to %d on a stack of 96 KiB: status %d\n", WIDE, SIDE, status);
    CHECK_INT(status, 0);
    ib_free((void *)picture);
}

int main(void) {
    RUN(test_gelu());
    RUN(test_stack());
    return check_report("test_clip_kernels");
}
