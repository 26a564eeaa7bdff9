/* How much stack a picture's preparation takes. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/memory.h"
#include "clip/preprocess.h"
#include "tests/check.h"

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
    RUN(test_stack());
    return check_report("test_clip_preprocess");
}
