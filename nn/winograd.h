/* Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, arXiv:1509.09308), sixteen channels at once:
 * the maps of tiles of 4x4 outputs, fed by 6x6 inputs, and their adjoints. For the files of nn/ that are
 * compiled for several processors (base/multiarch.h). */
#ifndef IB_NN_WINOGRAD_H
#define IB_NN_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "nn/simd.h"

enum { OUT = 4, IN = OUT + 2, PLANES = IN * IN };

/* Floats between transformed planes: an odd number of cache lines, lest all of them fall into the same cache
 * sets. */
static inline size_t plane_floats(size_t n) {
    return ((n + 15) / 16 | 1) * 16;
}

/* Sixteen channels at once, whatever the width of the machine's registers: the compiler does not find its own
 * way to vectors through transforms of this size. The last channels of a count that is no multiple of 16 go
 * alone, with n < LANES. */
enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose_lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static IB_INLINE void load_conv3x3(const float *p, const size_t n, lanes *v) {
    if (n == LANES) {
        *v = *(const loose_lanes *)p;
    } else {
        *v = (lanes){0};
        memcpy(v, p, n * sizeof *p);
    }
}

static IB_INLINE void store(const lanes *v, const size_t n, float *p) {
    if (n == LANES) {
        *(loose_lanes *)p = *v;
    } else {
        memcpy(p, v, n * sizeof *p);
    }
}

/* Calls f(i, n) for each run of channels [i, i + n). */
#define FOR_LANES(count, f, ...)                                                                             \
    do {                                                                                                     \
        size_t i_ = 0;                                                                                       \
        for (; i_ + LANES <= (count); i_ += LANES) {                                                         \
            f(i_, LANES, __VA_ARGS__);                                                                       \
        }                                                                                                    \
        if (i_ < (count)) {                                                                                  \
            f(i_, (count)-i_, __VA_ARGS__);                                                                  \
        }                                                                                                    \
    } while (0)

/* The one-dimensional maps and their adjoints, for the points 0, 1, -1, 2, -2 and infinity. */

/* B^T */
static IB_INLINE void input_1d(const lanes d[IN], lanes o[IN]) {
    lanes even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1], e = d[4] - d[2], f = 2.0f * (d[3] - d[1]);
    o[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = e + f;
    o[4] = e - f;
    o[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

static IB_INLINE void input_1d_backward(const lanes o[IN], lanes d[IN]) {
    lanes s = o[1] + o[2], m = o[1] - o[2], t = o[3] + o[4], n = 2.0f * (o[3] - o[4]);
    d[0] = 4.0f * o[0];
    d[1] = 4.0f * (o[5] - m) - n;
    d[2] = -5.0f * o[0] - 4.0f * s - t;
    d[3] = m + n - 5.0f * o[5];
    d[4] = o[0] + s + t;
    d[5] = o[5];
}

/* A^T */
static IB_INLINE void output_1d(const lanes m[IN], lanes y[OUT]) {
    lanes s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
    y[0] = m[0] + s + t;
    y[1] = d + 2.0f * e;
    y[2] = s + 4.0f * t;
    y[3] = d + 8.0f * e + m[5];
}

static IB_INLINE void output_1d_backward(const lanes y[OUT], lanes m[IN]) {
    lanes even = y[0] + y[2], odd = y[1] + y[3], e = y[0] + 4.0f * y[2], f = 2.0f * y[1] + 8.0f * y[3];
    m[0] = y[0];
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = e + f;
    m[4] = e - f;
    m[5] = y[3];
}

/* G, of vectors of any length. */
#define WEIGHT_MAP(name, vector)                                                                             \
    static IB_INLINE void name(const vector w[3], vector g[IN]) {                                            \
        vector e = (w[0] + w[2]) * (-1.0f / 6.0f), f = w[1] * (1.0f / 6.0f);                                 \
        vector h = w[0] * (1.0f / 24.0f) + w[2] * (1.0f / 6.0f), k = w[1] * (1.0f / 12.0f);                  \
        g[0] = 0.25f * w[0];                                                                                 \
        g[1] = e - f;                                                                                        \
        g[2] = e + f;                                                                                        \
        g[3] = h + k;                                                                                        \
        g[4] = h - k;                                                                                        \
        g[5] = w[2];                                                                                         \
    }

WEIGHT_MAP(weight_1d, lanes)

static IB_INLINE void weight_1d_backward(const lanes g[IN], lanes w[3]) {
    lanes s = (g[1] + g[2]) * (1.0f / 6.0f), t = g[3] + g[4];
    w[0] = 0.25f * g[0] - s + t * (1.0f / 24.0f);
    w[1] = (g[2] - g[1]) * (1.0f / 6.0f) + (g[3] - g[4]) * (1.0f / 12.0f);
    w[2] = t * (1.0f / 6.0f) - s + g[5];
}

/* Where the values of a tile lie, in floats: along the dimension that is mapped first, and across it. */
typedef struct strides {
    size_t along, across;
} strides;

/* A map of both dimensions of one tile, from [in][in] to [out][out] values: to = result + bias (NULL: none),
 * or with `add` to += result. The maps are known where this is used, so that all of it is straight code. */
static IB_INLINE void map_2d(void (*const map)(const lanes *, lanes *), const size_t in, const size_t out,
                             const float *from, strides f, const lanes *bias, const bool add, float *to,
                             strides g, const size_t n) {
    lanes t[IN][IN]; /* across, along */
    IB_UNROLL
    for (size_t j = 0; j < in; j++) {
        lanes d[IN];
        IB_UNROLL
        for (size_t r = 0; r < in; r++) {
            load_conv3x3(from + r * f.along + j * f.across, n, &d[r]);
        }
        map(d, t[j]);
    }
    IB_UNROLL
    for (size_t r = 0; r < out; r++) {
        lanes d[IN], o[IN];
        IB_UNROLL
        for (size_t j = 0; j < in; j++) {
            d[j] = t[j][r];
        }
        map(d, o);
        IB_UNROLL
        for (size_t j = 0; j < out; j++) {
            float *at = to + r * g.along + j * g.across;
            lanes sum;
            if (add) {
                load_conv3x3(at, n, &sum);
                o[j] += sum;
            } else if (bias) {
                o[j] += *bias;
            }
            store(&o[j], n, at);
        }
    }
}

#endif
