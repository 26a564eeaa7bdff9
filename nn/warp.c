#include "nn/warp.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nn/simd.h"

/* Samples are taken a run of pixels at a time, in three passes that each stay in the first cache: where they fall (vectorised), their
 * neighbours by pairs (two loads of 8 bytes each, faster than gathers), and the interpolation (vectorised again). */
enum { RUN = 256 };

typedef struct run {
    int32_t at[RUN];                  /* the upper left of a sample's four neighbours */
    float a[RUN], b[RUN];             /* the fractions */
    float ix[RUN], iy[RUN];           /* 0 where the sample was clamped on that axis; the backward's only */
    float top[2 * RUN], low[2 * RUN]; /* the neighbours, two by two */
} run;

static IB_INLINE void locate(run *restrict r, size_t x0, size_t y0, const float *restrict fx,
                             const float *restrict fy, size_t n, size_t height, size_t width, bool inside) {
    float mx = (float)(width - 1), my = (float)(height - 1), left = (float)x0, line = (float)y0;
    int lastx = (int)width - 2, lasty = (int)height - 2, w = (int)width;
    for (size_t i = 0; i < n; i++) {
        float x = left + (float)(int)i + fx[i], y = line + fy[i];
        if (inside) {
            r->ix[i] = x > IB_WARP_SHIFT && x < mx ? 1.0f : 0.0f;
            r->iy[i] = y > IB_WARP_SHIFT && y < my ? 1.0f : 0.0f;
        }
        x = (x < mx ? x : mx) - IB_WARP_SHIFT; /* NaN becomes the far edge */
        y = (y < my ? y : my) - IB_WARP_SHIFT;
        x = x > 0.0f ? x : 0.0f;
        y = y > 0.0f ? y : 0.0f;
        int px = (int)x, py = (int)y;
        px = px < lastx ? px : lastx;
        py = py < lasty ? py : lasty;
        r->at[i] = py * w + px;
        r->a[i] = x - (float)px;
        r->b[i] = y - (float)py;
    }
}

static IB_INLINE void fetch(run *restrict r, const float *restrict knots, size_t n, size_t width) {
    for (size_t i = 0; i < n; i++) {
        const float *q = knots + r->at[i];
        memcpy(r->top + 2 * i, q, 2 * sizeof *q);
        memcpy(r->low + 2 * i, q + width, 2 * sizeof *q);
    }
}

/* c[k] = (f[k] - s c[k-1]) / (1 - s) down the columns, then along the rows. */
IB_MULTIARCH
void ib_warp_knots(const float *restrict image, size_t height, size_t width, float *restrict knots) {
    const float gain = 1.0f / (1.0f - IB_WARP_SHIFT), back = IB_WARP_SHIFT * gain;
    memcpy(knots, image, width * sizeof *knots);
    for (size_t y = 1; y < height; y++) {
        const float *f = image + y * width, *up = knots + (y - 1) * width;
        float *c = knots + y * width;
        for (size_t x = 0; x < width; x++) {
            c[x] = gain * f[x] - back * up[x];
        }
    }
    for (size_t y = 0; y < height; y++) {
        float *c = knots + y * width, last = c[0];
        for (size_t x = 1; x < width; x++) {
            last = gain * c[x] - back * last;
            c[x] = last;
        }
    }
}

IB_MULTIARCH
void ib_warp(const float *restrict knots, size_t planes, const float *restrict fx, const float *restrict fy,
             size_t height, size_t width, float *restrict out) {
    run r;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x += RUN) {
            size_t n = width - x < RUN ? width - x : RUN, at = y * width + x;
            locate(&r, x, y, fx + at, fy + at, n, height, width, false);
            for (size_t k = 0; k < planes; k++) {
                fetch(&r, knots + k * height * width, n, width);
                float *o = out + k * height * width + at;
                for (size_t i = 0; i < n; i++) {
                    float top = r.top[2 * i] + r.a[i] * (r.top[2 * i + 1] - r.top[2 * i]);
                    float low = r.low[2 * i] + r.a[i] * (r.low[2 * i + 1] - r.low[2 * i]);
                    o[i] = top + r.b[i] * (low - top);
                }
            }
        }
    }
}

IB_MULTIARCH
void ib_warp_backward(const float *restrict knots, size_t planes, const float *restrict fx,
                      const float *restrict fy, const float *restrict dout, size_t height, size_t width,
                      float *restrict dfx, float *restrict dfy) {
    run r;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x += RUN) {
            size_t n = width - x < RUN ? width - x : RUN, at = y * width + x;
            locate(&r, x, y, fx + at, fy + at, n, height, width, true);
            for (size_t k = 0; k < planes; k++) {
                fetch(&r, knots + k * height * width, n, width);
                const float *d = dout + k * height * width + at;
                float *dx = dfx + at, *dy = dfy + at;
                for (size_t i = 0; i < n; i++) {
                    float q0 = r.top[2 * i], q1 = r.top[2 * i + 1], q2 = r.low[2 * i], q3 = r.low[2 * i + 1];
                    float right0 = q1 - q0, right1 = q3 - q2, down0 = q2 - q0, down1 = q3 - q1;
                    dx[i] += d[i] * r.ix[i] * (right0 + r.b[i] * (right1 - right0));
                    dy[i] += d[i] * r.iy[i] * (down0 + r.a[i] * (down1 - down0));
                }
            }
        }
    }
}

/* One axis of the enlargement: pixel f*c + j lies at (j + 0.5) / f - 0.5 cells from the centre of cell c. */
static IB_INLINE void weights(size_t j, size_t factor, long *side, float *w) {
    float d = ((float)j + 0.5f) / (float)factor - 0.5f;
    *side = d < 0.0f ? -1 : 1;
    *w = d < 0.0f ? -d : d;
}

static IB_INLINE size_t neighbour(size_t c, long side, size_t n) {
    return side < 0 ? (c ? c - 1 : 0) : (c + 1 < n ? c + 1 : c);
}

/* One enlarged row; `factor` is known where this is inlined with a constant. */
static IB_INLINE void enlarge_row(const float *restrict f, size_t cols, const size_t factor, float gain,
                                  float *restrict out) {
    for (size_t c = 0; c<cols; c += cols> 1 ? cols - 1 : 1) { /* the ends */
        for (size_t j = 0; j < factor; j++) {
            long side;
            float w;
            weights(j, factor, &side, &w);
            out[c * factor + j] = gain * (f[c] + w * (f[neighbour(c, side, cols)] - f[c]));
        }
    }
    for (size_t c = 1; c + 1 < cols; c++) {
        for (size_t j = 0; j < factor; j++) {
            long side;
            float w;
            weights(j, factor, &side, &w);
            out[c * factor + j] = gain * (f[c] + w * ((side < 0 ? f[c - 1] : f[c + 1]) - f[c]));
        }
    }
}

IB_MULTIARCH
void ib_enlarge(const float *restrict field, size_t rows, size_t cols, size_t factor, float gain,
                float *restrict scratch, float *restrict out) {
    size_t width = cols * factor;
    for (size_t r = 0; r < rows; r++) {
        if (factor == 2) {
            enlarge_row(field + r * cols, cols, 2, gain, scratch + r * width);
        } else if (factor == 4) {
            enlarge_row(field + r * cols, cols, 4, gain, scratch + r * width);
        } else {
            enlarge_row(field + r * cols, cols, factor, gain, scratch + r * width);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < factor; j++) {
            long side;
            float w;
            weights(j, factor, &side, &w);
            const float *a = scratch + r * width, *b = scratch + neighbour(r, side, rows) * width;
            float *o = out + (r * factor + j) * width;
            for (size_t x = 0; x < width; x++) {
                o[x] = a[x] + w * (b[x] - a[x]);
            }
        }
    }
}

IB_MULTIARCH
void ib_enlarge_backward(const float *restrict dout, size_t rows, size_t cols, size_t factor, float gain,
                         float *restrict scratch, float *restrict dfield) {
    size_t width = cols * factor;
    memset(scratch, 0, rows * width * sizeof *scratch);
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < factor; j++) {
            long side;
            float w;
            weights(j, factor, &side, &w);
            const float *d = dout + (r * factor + j) * width;
            float *a = scratch + r * width, *b = scratch + neighbour(r, side, rows) * width;
            for (size_t x = 0; x < width; x++) {
                a[x] += (1.0f - w) * d[x];
            }
            for (size_t x = 0; x < width; x++) {
                b[x] += w * d[x];
            }
        }
    }
    for (size_t r = 0; r < rows; r++) {
        float *f = dfield + r * cols;
        for (size_t c = 0; c < cols; c++) {
            for (size_t j = 0; j < factor; j++) {
                long side;
                float w;
                weights(j, factor, &side, &w);
                float d = gain * scratch[r * width + c * factor + j];
                f[c] += (1.0f - w) * d;
                f[neighbour(c, side, cols)] += w * d;
            }
        }
    }
}

static IB_INLINE void shrink_by(const float *restrict image, size_t height, size_t width, const size_t factor,
                                float *restrict out) {
    size_t rows = height / factor, cols = width / factor;
    float scale = 1.0f / (float)(factor * factor);
    for (size_t r = 0; r < rows; r++) {
        const float *p = image + r * factor * width;
        for (size_t c = 0; c < cols; c++) {
            float sum = 0;
            for (size_t k = 0; k < factor; k++) {
                float s = 0;
                for (size_t j = 0; j < factor; j++) {
                    s += p[k * width + c * factor + j];
                }
                sum += s * scale;
            }
            out[r * cols + c] = sum;
        }
    }
}

IB_MULTIARCH
void ib_shrink(const float *restrict image, size_t height, size_t width, size_t factor, float *restrict out) {
    if (factor == 2) {
        shrink_by(image, height, width, 2, out);
    } else if (factor == 4) {
        shrink_by(image, height, width, 4, out);
    } else {
        shrink_by(image, height, width, factor, out);
    }
}
