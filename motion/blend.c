#include "motion/blend.h"

#include <math.h>
#include <string.h>

#include "motion/match.h"
#include "nn/layers.h"
#include "nn/simd.h"
#include "nn/warp.h"

/* One size of picture: luma, or the two chroma planes that share their flows. */
typedef struct level {
    size_t planes, height, width, factor; /* factor: px per cell */
    float gain;                           /* px of this level per px of luma */
    const float *in0, *in1;
    float *f[4], *mask;   /* enlarged flows (px of this level) and m */
    float *w0, *w1;       /* carried planes, [planes,height,width] */
    float *df[4], *dmask; /* gradients of the above */
    float *tmp;
} level;

static size_t level_floats(size_t rows, size_t cols, size_t planes, size_t factor) {
    size_t n = IB_CELLS * rows * factor * IB_CELLS * cols * factor;
    return (5 + 2 * planes + 5) * n + IB_CELLS * rows * IB_CELLS * cols * factor;
}

size_t ib_blend_scratch(size_t rows, size_t cols) {
    return level_floats(rows, cols, 1, IB_CELL_PX) + level_floats(rows, cols, 2, IB_CELL_PX / 2);
}

static level make_level(const float *knots0, const float *knots1, size_t rows, size_t cols, int chroma,
                        float *scratch) {
    size_t luma = ib_warp_knots_floats(8 * rows, 8 * cols);
    level l = {.planes = chroma ? 2 : 1,
               .factor = chroma ? IB_CELL_PX / 2 : IB_CELL_PX,
               .gain = chroma ? 0.5f : 1.0f};
    l.height = IB_CELLS * rows * l.factor;
    l.width = IB_CELLS * cols * l.factor;
    l.in0 = knots0 + (chroma ? luma : 0);
    l.in1 = knots1 + (chroma ? luma : 0);
    size_t n = l.height * l.width;
    float *s = scratch + (chroma ? level_floats(rows, cols, 1, IB_CELL_PX) : 0);
    for (int k = 0; k < 4; k++, s += 2 * n) {
        l.f[k] = s;
        l.df[k] = s + n;
    }
    l.mask = s;
    l.dmask = s + n;
    l.w0 = l.dmask + n;
    l.w1 = l.w0 + l.planes * n;
    l.tmp = l.w1 + l.planes * n;
    return l;
}

IB_MULTIARCH
static void mix(const float *restrict m, const float *restrict a, const float *restrict b, size_t n,
                float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = b[i] + m[i] * (a[i] - b[i]);
    }
}

/* The carried planes are not needed again once the gradient of their mixture is known: a and b take their own
 * gradients. */
IB_MULTIARCH
static void mix_backward(const float *restrict m, const float *restrict dout, size_t n, float *restrict a,
                         float *restrict b, float *restrict dmask) {
    for (size_t i = 0; i < n; i++) {
        dmask[i] += dout[i] * (a[i] - b[i]) * m[i] * (1.0f - m[i]);
        a[i] = m[i] * dout[i];
        b[i] = (1.0f - m[i]) * dout[i];
    }
}

static void blend_level(const level *l, const float *fields, size_t rows, size_t cols, float t, float *out) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, n = l->height * l->width;
    float odds = logf((1.0f - t) / t);
    for (int k = 0; k < 4; k++) {
        ib_enlarge(fields + (size_t)k * h * w, h, w, l->factor, l->gain * (k < 2 ? -t : 1.0f - t), l->tmp,
                   l->f[k]);
    }
    ib_enlarge(fields + 4 * h * w, h, w, l->factor, 1.0f, l->tmp, l->mask);
    for (size_t i = 0; i < n; i++) {
        l->mask[i] += odds;
    }
    ib_sigmoid(l->mask, n, l->mask);
    ib_warp(l->in0, l->planes, l->f[0], l->f[1], l->height, l->width, l->w0);
    ib_warp(l->in1, l->planes, l->f[2], l->f[3], l->height, l->width, l->w1);
    for (size_t p = 0; p < l->planes; p++) {
        mix(l->mask, l->w0 + p * n, l->w1 + p * n, n, out + p * n);
    }
}

size_t ib_blend_knots_floats(size_t rows, size_t cols) {
    return ib_warp_knots_floats(8 * rows, 8 * cols) + 2 * ib_warp_knots_floats(4 * rows, 4 * cols);
}

void ib_blend_knots(const float *planes, size_t rows, size_t cols, float *knots) {
    size_t luma = 64 * rows * cols;
    ib_warp_knots(planes, 8 * rows, 8 * cols, knots);
    knots += ib_warp_knots_floats(8 * rows, 8 * cols);
    for (size_t k = 0; k < 2; k++) {
        ib_warp_knots(planes + luma + k * luma / 4, 4 * rows, 4 * cols,
                      knots + k * ib_warp_knots_floats(4 * rows, 4 * cols));
    }
}

void ib_blend(const float *knots0, const float *knots1, const float *fields, size_t rows, size_t cols,
              float t, float *scratch, float *out) {
    level l = make_level(knots0, knots1, rows, cols, 0, scratch);
    blend_level(&l, fields, rows, cols, t, out);
    l = make_level(knots0, knots1, rows, cols, 1, scratch);
    blend_level(&l, fields, rows, cols, t, out + 64 * rows * cols);
}

static void level_backward(const level *l, const float *dout, size_t rows, size_t cols, float t,
                           float *dfields) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, n = l->height * l->width;
    for (int k = 0; k < 4; k++) {
        memset(l->df[k], 0, n * sizeof(float));
    }
    memset(l->dmask, 0, n * sizeof(float));
    for (size_t p = 0; p < l->planes; p++) {
        mix_backward(l->mask, dout + p * n, n, l->w0 + p * n, l->w1 + p * n, l->dmask);
    }
    ib_warp_backward(l->in0, l->planes, l->f[0], l->f[1], l->w0, l->height, l->width, l->df[0], l->df[1]);
    ib_warp_backward(l->in1, l->planes, l->f[2], l->f[3], l->w1, l->height, l->width, l->df[2], l->df[3]);
    for (int k = 0; k < 4; k++) {
        ib_enlarge_backward(l->df[k], h, w, l->factor, l->gain * (k < 2 ? -t : 1.0f - t), l->tmp,
                            dfields + (size_t)k * h * w);
    }
    ib_enlarge_backward(l->dmask, h, w, l->factor, 1.0f, l->tmp, dfields + 4 * h * w);
}

void ib_blend_backward(const float *knots0, const float *knots1, const float *dout, size_t rows, size_t cols,
                       float t, float *scratch, float *dfields) {
    memset(dfields, 0, IB_FIELDS * IB_CELLS * rows * IB_CELLS * cols * sizeof *dfields);
    level l = make_level(knots0, knots1, rows, cols, 0, scratch);
    level_backward(&l, dout, rows, cols, t, dfields);
    l = make_level(knots0, knots1, rows, cols, 1, scratch);
    level_backward(&l, dout + 64 * rows * cols, rows, cols, t, dfields);
}

IB_MULTIARCH
static void split_flow(float t, size_t n, float *restrict f0, float *restrict f1) {
    for (size_t i = 0; i < n; i++) {
        f1[i] = (1.0f - t) * f0[i];
        f0[i] *= -t;
    }
}

void ib_carry(const float *knots0, const float *knots1, const float *v, size_t rows, size_t cols, float t,
              bool luma_only, float *scratch, float *out0, float *out1) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols;
    for (int chroma = 0; chroma < (luma_only ? 1 : 2); chroma++) {
        level l = make_level(knots0, knots1, rows, cols, chroma, scratch);
        size_t n = l.height * l.width, at = chroma ? 64 * rows * cols : 0;
        for (int k = 0; k < 2; k++) {
            ib_enlarge(v + (size_t)k * h * w, h, w, l.factor, l.gain, l.tmp, l.f[k]);
            split_flow(t, n, l.f[k], l.f[2 + k]);
        }
        ib_warp(l.in0, l.planes, l.f[0], l.f[1], l.height, l.width, out0 + at);
        ib_warp(l.in1, l.planes, l.f[2], l.f[3], l.height, l.width, out1 + at);
    }
}
