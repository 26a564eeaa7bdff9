#include "eval/methods.h"

#include <string.h>

#include "eval/eval.h"

static void hold_first(const ib_keys *k, float t, float *z) {
    (void)t;
    memcpy(z, k->z[1], k->tokens * k->width * sizeof *z);
}

static void nearest(const ib_keys *k, float t, float *z) {
    memcpy(z, k->z[t < 0.5f ? 1 : 2], k->tokens * k->width * sizeof *z);
}

static void lerp(const ib_keys *k, float t, float *z) {
    ib_lerp(k->z[1], k->z[2], t, k->tokens * k->width, z);
}

static void slerp(const ib_keys *k, float t, float *z) {
    ib_slerp_in(k->geometry, k->z[1], k->z[2], t, k->tokens, k->width, z);
}

/* Catmull and Rom's spline: the cubic of Hermite's form whose slope at a keyframe is that from the one before
 * to the one after it, by their times. Where the shot has no further keyframe, the slope is that from one
 * keyframe to the other. */
static void cubic(const ib_keys *k, float t, float *z) {
    const float *a = k->z[0] ? k->z[0] : k->z[1], *b = k->z[1], *c = k->z[2],
                *d = k->z[3] ? k->z[3] : k->z[2];
    float u = 1 - t, span0 = 1 / (1 - (k->z[0] ? k->before : 0)), span1 = 1 / (k->z[3] ? k->after : 1);
    float value0 = (1 + 2 * t) * u * u, value1 = t * t * (3 - 2 * t);
    float slope0 = t * u * u * span0, slope1 = -t * t * u * span1;
    for (size_t i = 0; i < k->tokens * k->width; i++) {
        z[i] = value0 * b[i] + value1 * c[i] + slope0 * (c[i] - a[i]) + slope1 * (d[i] - b[i]);
    }
}

const ib_baseline ib_baselines[IB_BASELINES] = {
    {"hold-first", hold_first},         {"nearest", nearest}, {"lerp", lerp},
    [IB_EVAL_SLERP] = {"slerp", slerp}, {"cubic", cubic},
};
