#include "motion/blend.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "motion/match.h"
#include "nn/layers.h"
#include "nn/simd.h"
#include "nn/warp.h"

/* Rows of luma, or of the two chroma planes, which share their flows. */
typedef struct level {
    size_t planes, height, width; /* of the whole picture */
    size_t first, n;              /* rows of it */
    float gain_x, gain_y;         /* px of this level per px of the flows */
    const float *in0, *in1;
    float *f[4], *mask;   /* enlarged flows (px of this level) and m, [n,width] */
    float *w0, *w1;       /* carried planes, [planes,n,width] */
    float *df[4], *dmask; /* gradients of the above */
    float *tmp;
} level;

ib_canvas ib_canvas_of(size_t token_rows, size_t token_cols) {
    size_t rows = IB_CELLS * token_rows, cols = IB_CELLS * token_cols;
    return (ib_canvas){IB_CELL_PX * rows, IB_CELL_PX * cols, rows, cols};
}

static size_t at_least_two(size_t n) {
    return n < 2 ? 2 : n;
}

void ib_canvas_plane(const ib_canvas *c, int k, size_t *height, size_t *width) {
    *height = at_least_two(k ? (c->height + 1) / 2 : c->height);
    *width = at_least_two(k ? (c->width + 1) / 2 : c->width);
}

static size_t sum_over_planes(const ib_canvas *c, size_t (*floats)(size_t, size_t)) {
    size_t sum = 0;
    for (int k = 0; k < 3; k++) {
        size_t h, w;
        ib_canvas_plane(c, k, &h, &w);
        sum += floats(h, w);
    }
    return sum;
}

static size_t area(size_t height, size_t width) {
    return height * width;
}

size_t ib_canvas_floats(const ib_canvas *c) {
    return sum_over_planes(c, area);
}

size_t ib_canvas_spline_floats(const ib_canvas *c) {
    return sum_over_planes(c, ib_spline_floats);
}

void ib_canvas_spline(const ib_canvas *c, const float *planes, float *spline) {
    for (int k = 0; k < 3; k++) {
        size_t h, w;
        ib_canvas_plane(c, k, &h, &w);
        ib_spline_fit(planes, h, w, spline);
        planes += h * w;
        spline += ib_spline_floats(h, w);
    }
}

/* The rows of a chroma plane, or of luma, that lie under luma rows first .. first + n - 1. */
static void rows_under(const ib_canvas *c, bool chroma, size_t first, size_t n, level *l) {
    ib_canvas_plane(c, chroma, &l->height, &l->width);
    l->first = chroma ? first / 2 : first;
    l->n = chroma ? (n + 1) / 2 : n;
}

static size_t level_floats(const ib_canvas *c, bool chroma, size_t n) {
    level l;
    rows_under(c, chroma, 0, n, &l);
    return (10 + 2 * (chroma ? 2 : 1)) * l.n * l.width + ib_enlarge_scratch(c->rows, l.height, l.width, l.n);
}

size_t ib_blend_scratch(const ib_canvas *c, size_t n) {
    return level_floats(c, false, n) + level_floats(c, true, n);
}

static level make_level(const ib_canvas *c, const float *spline0, const float *spline1, bool chroma,
                        size_t first, size_t n, float *scratch) {
    level l = {.planes = chroma ? 2 : 1};
    rows_under(c, false, first, n, &l);
    size_t luma = ib_spline_floats(l.height, l.width);
    rows_under(c, chroma, first, n, &l);
    l.gain_x = (float)l.width / (float)(IB_CELL_PX * c->cols);
    l.gain_y = (float)l.height / (float)(IB_CELL_PX * c->rows);
    l.in0 = spline0 + (chroma ? luma : 0);
    l.in1 = spline1 + (chroma ? luma : 0);
    size_t m = l.n * l.width;
    float *s = scratch + (chroma ? level_floats(c, false, n) : 0);
    for (int k = 0; k < 4; k++, s += 2 * m) {
        l.f[k] = s;
        l.df[k] = s + m;
    }
    l.mask = s;
    l.dmask = s + m;
    l.w0 = l.dmask + m;
    l.w1 = l.w0 + l.planes * m;
    l.tmp = l.w1 + l.planes * m;
    return l;
}

/* Field k's enlargement to the level's rows. */
static void enlarge_field(const ib_canvas *c, const level *l, const float *field, float gain, float *out) {
    ib_enlarge(field, c->rows, c->cols, l->height, l->width, l->first, l->n, gain, l->tmp, out);
}

/* Of V0x, V0y, V1x and V1y: px of this level to go for each px of the flow. */
static float gain_of(const level *l, int k, float t) {
    return (k % 2 ? l->gain_y : l->gain_x) * (k < 2 ? -t : 1.0f - t);
}

IB_MULTIARCH
static void mix_carried(const float *restrict m, const float *restrict a, const float *restrict b, size_t n,
                        float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = b[i] + m[i] * (a[i] - b[i]);
    }
}

/* The carried planes are not needed again once the gradient of their mixture is known: a and b take their own
 * gradients. */
IB_MULTIARCH
static void mix_carried_backward(const float *restrict m, const float *restrict dout, size_t n,
                                 float *restrict a, float *restrict b, float *restrict dmask) {
    for (size_t i = 0; i < n; i++) {
        dmask[i] += dout[i] * (a[i] - b[i]) * m[i] * (1.0f - m[i]);
        a[i] = m[i] * dout[i];
        b[i] = (1.0f - m[i]) * dout[i];
    }
}

static void blend_level(const ib_canvas *c, const level *l, const float *fields, float t, float *out) {
    size_t cells = c->rows * c->cols, m = l->n * l->width;
    float odds = logf((1.0f - t) / t);
    for (int k = 0; k < 4; k++) {
        enlarge_field(c, l, fields + (size_t)k * cells, gain_of(l, k, t), l->f[k]);
    }
    enlarge_field(c, l, fields + 4 * cells, 1.0f, l->mask);
    for (size_t i = 0; i < m; i++) {
        l->mask[i] += odds;
    }
    ib_sigmoid(l->mask, m, l->mask);
    ib_warp(l->in0, l->planes, l->f[0], l->f[1], l->height, l->width, l->first, l->n, l->w0);
    ib_warp(l->in1, l->planes, l->f[2], l->f[3], l->height, l->width, l->first, l->n, l->w1);
    for (size_t p = 0; p < l->planes; p++) {
        mix_carried(l->mask, l->w0 + p * m, l->w1 + p * m, m, out + p * m);
    }
}

void ib_blend(const ib_canvas *c, const float *spline0, const float *spline1, const float *fields, float t,
              size_t first, size_t n, float *scratch, float *out) {
    for (int chroma = 0; chroma < 2; chroma++) {
        level l = make_level(c, spline0, spline1, chroma, first, n, scratch);
        blend_level(c, &l, fields, t, out);
        out += l.n * l.width;
    }
}

void ib_blend_apart(const ib_canvas *c, const float *spline0, const float *spline1, const float *fields,
                    float t, size_t first, size_t n, float *scratch, float *out0, float *out1) {
    size_t cells = c->rows * c->cols;
    for (int chroma = 0; chroma < 2; chroma++) {
        level l = make_level(c, spline0, spline1, chroma, first, n, scratch);
        for (int k = 0; k < 4; k++) {
            enlarge_field(c, &l, fields + (size_t)k * cells, gain_of(&l, k, t), l.f[k]);
        }
        ib_warp(l.in0, l.planes, l.f[0], l.f[1], l.height, l.width, l.first, l.n, out0);
        ib_warp(l.in1, l.planes, l.f[2], l.f[3], l.height, l.width, l.first, l.n, out1);
        out0 += l.planes * l.n * l.width;
        out1 += l.planes * l.n * l.width;
    }
}

static void level_backward(const ib_canvas *c, const level *l, const float *dout, float t, float *dfields) {
    size_t cells = c->rows * c->cols, n = l->n * l->width, factor = l->height / c->rows;
    for (int k = 0; k < 4; k++) {
        memset(l->df[k], 0, n * sizeof(float));
    }
    memset(l->dmask, 0, n * sizeof(float));
    for (size_t p = 0; p < l->planes; p++) {
        mix_carried_backward(l->mask, dout + p * n, n, l->w0 + p * n, l->w1 + p * n, l->dmask);
    }
    ib_warp_backward(l->in0, l->planes, l->f[0], l->f[1], l->w0, l->height, l->width, l->df[0], l->df[1]);
    ib_warp_backward(l->in1, l->planes, l->f[2], l->f[3], l->w1, l->height, l->width, l->df[2], l->df[3]);
    for (int k = 0; k < 4; k++) {
        ib_enlarge_backward(l->df[k], c->rows, c->cols, factor, gain_of(l, k, t), l->tmp,
                            dfields + (size_t)k * cells);
    }
    ib_enlarge_backward(l->dmask, c->rows, c->cols, factor, 1.0f, l->tmp, dfields + 4 * cells);
}

void ib_blend_backward(const ib_canvas *c, const float *spline0, const float *spline1, const float *dout,
                       float t, float *scratch, float *dfields) {
    memset(dfields, 0, IB_FIELDS * c->rows * c->cols * sizeof *dfields);
    for (int chroma = 0; chroma < 2; chroma++) {
        level l = make_level(c, spline0, spline1, chroma, 0, c->height, scratch);
        level_backward(c, &l, dout, t, dfields);
        dout += l.n * l.width;
    }
}

void ib_carry(const ib_canvas *c, const float *spline0, const float *spline1, const float *v, float t,
              size_t planes, float *scratch, float *out0, float *out1) {
    size_t cells = c->rows * c->cols;
    for (int chroma = 0; chroma < (planes > 1 ? 2 : 1); chroma++) {
        level l = make_level(c, spline0, spline1, chroma, 0, c->height, scratch);
        for (int k = 0; k < 4; k++) {
            enlarge_field(c, &l, v + (size_t)(k % 2) * cells, gain_of(&l, k, t), l.f[k]);
        }
        ib_warp(l.in0, l.planes, l.f[0], l.f[1], l.height, l.width, 0, l.n, out0);
        ib_warp(l.in1, l.planes, l.f[2], l.f[3], l.height, l.width, 0, l.n, out1);
        out0 += l.planes * l.n * l.width;
        out1 += l.planes * l.n * l.width;
    }
}
