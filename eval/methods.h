/* Inside eval: the baselines, which need nothing but the keyframes' latents. */
#ifndef IB_EVAL_METHODS_H
#define IB_EVAL_METHODS_H

#include <stddef.h>

/* The in-between at t, in (0,1). z0, z1, z: [tokens, width], z overlapping neither. */
typedef struct ib_baseline {
    const char *name;
    void (*run)(const float *z0, const float *z1, float t, size_t tokens, size_t width, float *z);
} ib_baseline;

enum { IB_BASELINES = 3 };
/* hold-first, lerp, slerp; IB_EVAL_SLERP is slerp's place. */
extern const ib_baseline ib_baselines[IB_BASELINES];

#endif
