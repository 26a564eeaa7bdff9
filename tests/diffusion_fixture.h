/* What the independent implementation gave (tests/fixtures/diffusion/README.md), beside what this one gives.
 */
#ifndef IB_TESTS_DIFFUSION_FIXTURE_H
#define IB_TESTS_DIFFUSION_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/safetensors.h"
#include "tests/check.h"

/* A tensor of the file as floats; [1,C,H,W] as [H,W,C] where `last`. NULL, and a failed check, if it is not
 * there. *n: how many. */
static inline float *fixture_tensor(const ib_st *f, const char *name, int last, size_t *n) {
    const ib_st_tensor *t = ib_st_find(f, name);
    CHECK(t != NULL);
    if (!t) {
        printf("no tensor %s\n", name);
        return NULL;
    }
    float *v = ib_calloc(t->elements, sizeof *v), *w = ib_calloc(t->elements, sizeof *w);
    *n = t->elements;
    CHECK_INT(ib_st_to_f32(t, v, NULL), 0);
    if (!last || t->rank != 4) {
        ib_free(w);
        return v;
    }
    size_t c = (size_t)t->shape[1], area = (size_t)(t->shape[2] * t->shape[3]);
    for (size_t b = 0; b < (size_t)t->shape[0]; b++) {
        for (size_t i = 0; i < c; i++) {
            for (size_t p = 0; p < area; p++) {
                w[(b * area + p) * c + i] = v[(b * c + i) * area + p];
            }
        }
    }
    ib_free(v);
    return w;
}

/* The RMS of the difference in units of the RMS of what was wanted. */
static inline double fixture_difference(const float *got, const float *want, size_t n) {
    double d = 0, r = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        r += (double)want[i] * want[i];
    }
    return sqrt(d / r);
}

#define CHECK_FIXTURE(got, want, n, tolerance)                                                               \
    do {                                                                                                     \
        double d_ = fixture_difference(got, want, n);                                                        \
        check_done++;                                                                                        \
        printf("    %s: %.2e of its RMS (at most %.0e)\n", #got, d_, (double)(tolerance));                   \
        if (!(d_ <= (tolerance))) {                                                                          \
            check_failed++;                                                                                  \
            printf("%s:%d: FAILED %s differs by %.3g of the RMS, at most %.3g wanted\n", __FILE__, __LINE__, \
                   #got, d_, (double)(tolerance));                                                           \
        }                                                                                                    \
    } while (0)

/* The folder of a fixture: in the tree, or in $INBETWEEN_SHARED where `shared`. False, said why, if it is not
 * there. */
static inline int fixture_folder(char *path, size_t bytes, const char *name, int shared) {
    const char *root = getenv("INBETWEEN_SHARED");
    if (!shared) {
        snprintf(path, bytes, "tests/fixtures/diffusion/%s", name);
        return 1;
    }
    if (!root) {
        printf("    not compared with %s: INBETWEEN_SHARED is not set\n", name);
        return 0;
    }
    snprintf(path, bytes, "%s/fixtures/diffusion-tiny/%s", root, name);
    return 1;
}

#endif
