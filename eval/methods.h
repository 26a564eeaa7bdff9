/* Inside eval: the baselines, which need nothing but keyframes' latents. */
#ifndef IB_EVAL_METHODS_H
#define IB_EVAL_METHODS_H

#include <stddef.h>

#include "latent/geometry.h"

/* Keyframes around an in-between. z[1] and z[2] enclose it, at times 0 and 1; z[0] and z[3] are the next ones
 * outwards, NULL where the shot has none, at the times before < 0 and after > 1. */
typedef struct ib_keys {
    const float *z[4]; /* each [T,D] */
    float before, after;
    const ib_geometry *geometry;
    size_t tokens, width;
} ib_keys;

/* The in-between at t, in (0,1). z: [T,D], no keyframe's own memory. */
typedef struct ib_baseline {
    const char *name;
    void (*run)(const ib_keys *k, float t, float *z);
} ib_baseline;

enum { IB_BASELINES = 5 };
/* hold-first, nearest, lerp, slerp, cubic; IB_EVAL_SLERP is slerp's place. */
extern const ib_baseline ib_baselines[IB_BASELINES];

#endif
