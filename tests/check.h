/* The tests' few tools. A failed check prints both values and the tolerance and is counted; the program's
 * status is the verdict. */
#ifndef IB_TESTS_CHECK_H
#define IB_TESTS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed, check_done;

/* RUN(test_this(4, 5)); runs a test, and names it before, which a crash leaves, and again if it fails.
 * CHECK_ONLY=text in the environment runs only those whose call holds the text; what a test needs of another
 * one is then not there. CHECK_ONLY=--list runs none and lists them. */
static inline int check_wanted(const char *call) {
    const char *only = getenv("CHECK_ONLY");
    int list = only && !strcmp(only, "--list"), wanted = !only || strstr(call, only) != NULL;
    if (wanted || list) {
        printf("%s%s\n", list ? "" : "- ", call);
        fflush(stdout);
    }
    return wanted;
}

#define RUN(call)                                                                                            \
    do {                                                                                                     \
        int before_ = check_failed;                                                                          \
        if (check_wanted(#call)) {                                                                           \
            call;                                                                                            \
        }                                                                                                    \
        if (check_failed > before_) {                                                                        \
            printf("%s: FAILED: %s\n", __FILE__, #call);                                                     \
        }                                                                                                    \
    } while (0)

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        check_done++;                                                                                        \
        if (!(cond)) {                                                                                       \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s\n", __FILE__, __LINE__, #cond);                                         \
        }                                                                                                    \
    } while (0)

#define CHECK_INT(got, want)                                                                                 \
    do {                                                                                                     \
        long long g_ = (long long)(got), w_ = (long long)(want);                                             \
        check_done++;                                                                                        \
        if (g_ != w_) {                                                                                      \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s is %lld, wanted %lld\n", __FILE__, __LINE__, #got, g_, w_);             \
        }                                                                                                    \
    } while (0)

#define CHECK_NEAR(got, want, tolerance)                                                                     \
    do {                                                                                                     \
        double g_ = (double)(got), w_ = (double)(want), t_ = (double)(tolerance);                            \
        check_done++;                                                                                        \
        if (!(fabs(g_ - w_) <= t_)) {                                                                        \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s is %.9g, wanted %.9g within %.3g\n", __FILE__, __LINE__, #got, g_, w_,  \
                   t_);                                                                                      \
        }                                                                                                    \
    } while (0)

/* err has this code and its sentence contains this text */
#define CHECK_ERROR(result, err, want_code, want_text)                                                       \
    do {                                                                                                     \
        int r_ = (result);                                                                                   \
        check_done++;                                                                                        \
        if (r_ != (want_code) || !strstr((err)->text, (want_text))) {                                        \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s gave %d \"%s\", wanted %d with \"%s\"\n", __FILE__, __LINE__, #result,  \
                   r_, (err)->text, (want_code), (want_text));                                               \
        }                                                                                                    \
    } while (0)

#define CHECK_OK(result, err)                                                                                \
    do {                                                                                                     \
        int r_ = (result);                                                                                   \
        check_done++;                                                                                        \
        if (r_ < 0) {                                                                                        \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s gave %d \"%s\"\n", __FILE__, __LINE__, #result, r_, (err)->text);       \
        }                                                                                                    \
    } while (0)

static inline int check_report(const char *name) {
    printf("%s: %d checks, %d failed\n", name, check_done, check_failed);
    return check_failed ? 1 : 0;
}

/* For whole programs that cannot run here: says so, never passes. */
static inline int check_skip(const char *name, const char *why) {
    printf("%s: SKIPPED: %s\n", name, why);
    return 77;
}

#endif
