/* Pictures with a margin, and patches of 8 x 8 px of them wherever they lie. Not installed. */
#ifndef IB_MOTION_PADDED_H
#define IB_MOTION_PADDED_H

#include <math.h>
#include <stddef.h>

#include "nn/simd.h"

enum {
    IB_PATCH_PX = 8, /* each way */
    IB_MARGIN = 24,  /* px around a picture in which its edge is repeated */
    IB_BEYOND = 12   /* px by which a patch may lie outside the picture */
};

/* The sum of a row of eight. */
static IB_INLINE float ib_sum8(const ib_row8 *v) {
    const float *f = (const float *)v;
    return ((f[0] + f[4]) + (f[2] + f[6])) + ((f[1] + f[5]) + (f[3] + f[7]));
}

/* A picture within its margin; upper left of the picture itself. */
typedef struct ib_padded {
    const float *image;
    size_t height, width, stride;
} ib_padded;

/* Floats of one, margin and all. */
size_t ib_padded_floats(size_t height, size_t width);
/* image: [height,width]; room: [ib_padded_floats]. */
ib_padded ib_pad(const float *image, size_t height, size_t width, float *room);

/* i + by, kept within 0 .. n - 1. */
static inline size_t ib_clamped(size_t i, long by, size_t n) {
    long j = (long)i + by;
    return j < 0 ? 0 : (size_t)j < n ? (size_t)j : n - 1;
}

/* NaN becomes the low end. */
static IB_INLINE float ib_clampf(float v, float low, float high) {
    return v > low ? (v < high ? v : high) : low;
}

/* Where the patch from (x,y) on lies, at most IB_BEYOND outside: a pixel and the parts a, b of the next. */
static IB_INLINE const float *ib_place(const ib_padded *p, float x, float y, float *a, float *b) {
    x = ib_clampf(x, -IB_BEYOND, (float)p->width + (IB_BEYOND - IB_PATCH_PX));
    y = ib_clampf(y, -IB_BEYOND, (float)p->height + (IB_BEYOND - IB_PATCH_PX));
    float left = floorf(x), up = floorf(y);
    *a = x - left;
    *b = y - up;
    return p->image + (long)up * (long)p->stride + (long)left;
}

#endif
