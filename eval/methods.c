#include "eval/methods.h"

#include <string.h>

#include "eval/eval.h"
#include "latent/geometry.h"

static void hold_first(const float *z0, const float *z1, float t, size_t tokens, size_t width, float *z) {
    (void)z1;
    (void)t;
    memcpy(z, z0, tokens * width * sizeof *z);
}

static void lerp(const float *z0, const float *z1, float t, size_t tokens, size_t width, float *z) {
    ib_lerp(z0, z1, t, tokens * width, z);
}

const ib_baseline ib_baselines[IB_BASELINES] = {
    {"hold-first", hold_first},
    {"lerp", lerp},
    [IB_EVAL_SLERP] = {"slerp", ib_slerp},
};
