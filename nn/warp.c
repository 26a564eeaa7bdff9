#include "nn/warp.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nn/simd.h"

/* Samples are taken a run of pixels at a time, in three passes that each stay in the first cache: where they
 * fall and what the 4 x 4 coefficients about them weigh (vectorised), the weighted sums of the four rows
 * (four columns at a time), and those of the columns (vectorised again). */
enum { RUN = 128, TAPS = 4 };

typedef struct run {
    int32_t at[RUN];                  /* the upper left of a sample's coefficients */
    float x[TAPS][RUN], y[TAPS][RUN]; /* weights */
    /* their derivatives, 0 where the sample was clamped; the backward's only */
    float dx[TAPS][RUN], dy[TAPS][RUN];
    /* of the rows, by the weights and by their derivatives: four columns each */
    float sum[TAPS * RUN], dsum[TAPS * RUN];
} run;

/* Samples that the first coefficient of a line is made from, what comes after them being below a float's
 * precision; rows filtered side by side, none of which waits for another. */
enum { START = 16, LINES = 8 };
static const float pole = -0.26794919f; /* the spline's: sqrt(3) - 2 */

size_t ib_spline_floats(size_t height, size_t width) {
    return (height + 2) * (width + 2);
}

/* What each of the first samples of a line of n adds to its first sum, the line being mirrored about both its
 * ends. */
static size_t first_weights(size_t n, float *w) {
    size_t m = n < START ? n : START;
    float round = powf(pole, 2.0f * (float)n), whole = 1.0f / (1.0f - round);
    for (size_t i = 0; i < m; i++) {
        float far = powf(pole, (float)i);
        w[i] = 6.0f * ((i ? 0.0f : 1.0f) + whole * (pole * far + round / far));
    }
    return m;
}

/* Down every column: c = 6 f + pole (c above), then upwards c = pole (c below - c). */
static IB_INLINE void filter_columns(const float *restrict image, size_t height, size_t width,
                                     float *restrict spline) {
    size_t stride = width + 2;
    float w[START];
    size_t m = first_weights(height, w);
    memset(spline, 0, width * sizeof *spline);
    for (size_t i = 0; i < m; i++) {
        for (size_t x = 0; x < width; x++) {
            spline[x] += w[i] * image[i * width + x];
        }
    }
    for (size_t y = 1; y < height; y++) {
        float *c = spline + y * stride;
        for (size_t x = 0; x < width; x++) {
            c[x] = 6.0f * image[y * width + x] + pole * c[x - stride];
        }
    }
    for (size_t x = 0; x < width; x++) {
        spline[(height - 1) * stride + x] *= pole / (pole - 1.0f);
    }
    for (size_t y = height - 1; y-- > 0;) {
        float *c = spline + y * stride;
        for (size_t x = 0; x < width; x++) {
            c[x] = pole * (c[x + stride] - c[x]);
        }
    }
}

/* The same along `lines` rows from c on. */
static IB_INLINE void filter_rows(float *c, size_t width, size_t stride, const float *w, size_t m,
                                  const size_t lines) {
    float last[LINES];
    for (size_t l = 0; l < lines; l++) {
        float sum = 0;
        for (size_t i = 0; i < m; i++) {
            sum += w[i] * c[l * stride + i];
        }
        last[l] = sum;
        c[l * stride] = sum;
    }
    for (size_t x = 1; x < width; x++) {
        for (size_t l = 0; l < lines; l++) {
            last[l] = 6.0f * c[l * stride + x] + pole * last[l];
            c[l * stride + x] = last[l];
        }
    }
    for (size_t l = 0; l < lines; l++) {
        last[l] *= pole / (pole - 1.0f);
        c[l * stride + width - 1] = last[l];
    }
    for (size_t x = width - 1; x-- > 0;) {
        for (size_t l = 0; l < lines; l++) {
            last[l] = pole * (last[l] - c[l * stride + x]);
            c[l * stride + x] = last[l];
        }
    }
}

IB_MULTIARCH
void ib_spline_fit(const float *restrict image, size_t height, size_t width, float *restrict spline) {
    size_t stride = width + 2, y = 0;
    float *inside = spline + stride + 1, w[START];
    filter_columns(image, height, width, inside);
    size_t m = first_weights(width, w);
    for (; y + LINES <= height; y += LINES) {
        filter_rows(inside + y * stride, width, stride, w, m, LINES);
    }
    for (; y < height; y++) {
        filter_rows(inside + y * stride, width, stride, w, m, 1);
    }
    for (y = 0; y < height; y++) {
        float *c = inside + y * stride;
        c[-1] = c[0];
        c[width] = c[width - 1];
    }
    memcpy(spline, spline + stride, stride * sizeof *spline);
    memcpy(spline + (height + 1) * stride, spline + height * stride, stride * sizeof *spline);
}

/* What the four coefficients about a sample weigh, v from the second. */
static IB_INLINE void weigh_one(float v, float *w) {
    float u = 1.0f - v;
    w[0] = u * u * u * (1.0f / 6.0f);
    w[1] = 2.0f / 3.0f - 0.5f * v * v * (2.0f - v);
    w[2] = 2.0f / 3.0f - 0.5f * u * u * (2.0f - u);
    w[3] = v * v * v * (1.0f / 6.0f);
}

static IB_INLINE void weigh(float (*w)[RUN], size_t i, float v) {
    float one[TAPS];
    weigh_one(v, one);
    for (size_t k = 0; k < TAPS; k++) {
        w[k][i] = one[k];
    }
}

static IB_INLINE void weigh_slope(float (*w)[RUN], size_t i, float v, float inside) {
    float u = 1.0f - v;
    w[0][i] = -0.5f * u * u * inside;
    w[1][i] = (1.5f * v - 2.0f) * v * inside;
    w[2][i] = (2.0f - 1.5f * u) * u * inside;
    w[3][i] = 0.5f * v * v * inside;
}

static IB_INLINE void locate(run *restrict r, size_t x0, size_t y0, const float *restrict fx,
                             const float *restrict fy, size_t n, size_t height, size_t width, bool slopes) {
    float mx = (float)(width - 1), my = (float)(height - 1), left = (float)x0, line = (float)y0;
    int lastx = (int)width - 2, lasty = (int)height - 2, w = (int)width + 2;
    for (size_t i = 0; i < n; i++) {
        float free_x = left + (float)(int)i + fx[i], free_y = line + fy[i];
        float x = free_x < mx ? free_x : mx, y = free_y < my ? free_y : my; /* NaN becomes the far edge */
        x = x > 0.0f ? x : 0.0f;
        y = y > 0.0f ? y : 0.0f;
        int px = (int)x, py = (int)y;
        px = px < lastx ? px : lastx;
        py = py < lasty ? py : lasty;
        r->at[i] = py * w + px;
        float a = x - (float)px, b = y - (float)py;
        weigh(r->x, i, a);
        weigh(r->y, i, b);
        if (slopes) {
            weigh_slope(r->dx, i, a, free_x > 0.0f && free_x < mx ? 1.0f : 0.0f);
            weigh_slope(r->dy, i, b, free_y > 0.0f && free_y < my ? 1.0f : 0.0f);
        }
    }
}

typedef float four __attribute__((vector_size(16)));
typedef float unaligned4 __attribute__((vector_size(16), aligned(4), may_alias));

static IB_INLINE void sum_rows(const run *restrict r, float (*w)[RUN], const float *restrict spline, size_t n,
                               size_t width, float *restrict sums) {
    size_t stride = width + 2;
    for (size_t i = 0; i < n; i++) {
        const float *q = spline + r->at[i];
        four s = w[0][i] * *(const unaligned4 *)q + w[1][i] * *(const unaligned4 *)(q + stride) +
                 w[2][i] * *(const unaligned4 *)(q + 2 * stride) +
                 w[3][i] * *(const unaligned4 *)(q + 3 * stride);
        *(unaligned4 *)(sums + TAPS * i) = s;
    }
}

static IB_INLINE float across(const float *sums, float (*w)[RUN], size_t i) {
    const float *s = sums + TAPS * i;
    return (w[0][i] * s[0] + w[1][i] * s[1]) + (w[2][i] * s[2] + w[3][i] * s[3]);
}

IB_MULTIARCH
void ib_warp(const float *restrict spline, size_t planes, const float *restrict fx, const float *restrict fy,
             size_t height, size_t width, size_t first, size_t rows, float *restrict out) {
    run r;
    for (size_t y = 0; y < rows; y++) {
        for (size_t x = 0; x < width; x += RUN) {
            size_t n = width - x < RUN ? width - x : RUN, at = y * width + x;
            locate(&r, x, first + y, fx + at, fy + at, n, height, width, false);
            for (size_t k = 0; k < planes; k++) {
                sum_rows(&r, r.y, spline + k * ib_spline_floats(height, width), n, width, r.sum);
                float *o = out + k * rows * width + at;
                for (size_t i = 0; i < n; i++) {
                    o[i] = across(r.sum, r.x, i);
                }
            }
        }
    }
}

/* Where the samples of one line of a rectangle fall, and what the four coefficients about each weigh. */
typedef struct line {
    int32_t at[IB_WARP_PATCH];
    float w[IB_WARP_PATCH][TAPS];
    bool even; /* all weigh alike, and each lies one further than the last: only the first is told */
} line;

static IB_INLINE void locate_line(line *l, size_t first, float f, size_t n, size_t side) {
    float begin = (float)first + f, most = (float)(side - 1);
    l->even = begin >= 0.0f && begin + (float)(n - 1) < most;
    if (l->even) {
        l->at[0] = (int)begin;
        weigh_one(begin - (float)l->at[0], l->w[0]);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float x = begin + (float)i;
        x = x < most ? x : most; /* NaN becomes the far edge */
        x = x > 0.0f ? x : 0.0f;
        int at = (int)x;
        l->at[i] = at < (int)side - 2 ? at : (int)side - 2;
        weigh_one(x - (float)l->at[i], l->w[i]);
    }
}

#define FOUR(p) (*(const unaligned4 *)(p))

static IB_INLINE float weighed(const float *w, const float *q, size_t stride) {
    return (w[0] * q[0] + w[1] * q[stride]) + (w[2] * q[2 * stride] + w[3] * q[3 * stride]);
}

/* The same for n in a row. */
static IB_INLINE void weighed_row(const float *w, const float *q, size_t stride, size_t n, float *out) {
    float a = w[0], b = w[1], c = w[2], d = w[3];
    const float *q1 = q + stride, *q2 = q1 + stride, *q3 = q2 + stride;
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        ib_row8 s = (a * IB_ROW8(q + j) + b * IB_ROW8(q1 + j)) + (c * IB_ROW8(q2 + j) + d * IB_ROW8(q3 + j));
        IB_PUT8(out + j, s);
    }
    for (; j + 4 <= n; j += 4) {
        four s = (a * FOUR(q + j) + b * FOUR(q1 + j)) + (c * FOUR(q2 + j) + d * FOUR(q3 + j));
        *(unaligned4 *)(out + j) = s;
    }
    for (; j < n; j++) {
        out[j] = weighed(w, q + j, stride);
    }
}

IB_MULTIARCH
void ib_warp_patch(const float *restrict spline, size_t height, size_t width, size_t x, size_t y, float fx,
                   float fy, size_t h, size_t w, float *restrict out) {
    line across, down;
    float sums[(IB_WARP_PATCH + TAPS) * IB_WARP_PATCH];
    locate_line(&across, x, fx, w, width);
    locate_line(&down, y, fy, h, height);
    size_t lines = down.even ? h + TAPS - 1 : (size_t)(down.at[h - 1] - down.at[0]) + TAPS;
    for (size_t r = 0; r < lines; r++) {
        const float *q = spline + ((size_t)down.at[0] + r) * (width + 2);
        if (across.even) {
            weighed_row(across.w[0], q + across.at[0], 1, w, sums + r * w);
        } else {
            for (size_t j = 0; j < w; j++) {
                sums[r * w + j] = weighed(across.w[j], q + across.at[j], 1);
            }
        }
    }
    for (size_t i = 0; i < h; i++) {
        size_t r = down.even ? i : (size_t)(down.at[i] - down.at[0]);
        weighed_row(down.w[down.even ? 0 : i], sums + r * w, w, w, out + i * w);
    }
}

IB_MULTIARCH
void ib_warp_backward(const float *restrict spline, size_t planes, const float *restrict fx,
                      const float *restrict fy, const float *restrict dout, size_t height, size_t width,
                      float *restrict dfx, float *restrict dfy) {
    run r;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x += RUN) {
            size_t n = width - x < RUN ? width - x : RUN, at = y * width + x;
            locate(&r, x, y, fx + at, fy + at, n, height, width, true);
            for (size_t k = 0; k < planes; k++) {
                const float *c = spline + k * ib_spline_floats(height, width);
                sum_rows(&r, r.y, c, n, width, r.sum);
                sum_rows(&r, r.dy, c, n, width, r.dsum);
                const float *d = dout + k * height * width + at;
                float *dx = dfx + at, *dy = dfy + at;
                for (size_t i = 0; i < n; i++) {
                    dx[i] += d[i] * across(r.sum, r.dx, i);
                    dy[i] += d[i] * across(r.dsum, r.x, i);
                }
            }
        }
    }
}

/* One axis of the enlargement: pixel f*c + j lies at (j + 0.5) / f - 0.5 cells from the centre of cell c. */
static IB_INLINE void weights_warp(size_t j, size_t factor, long *side, float *w) {
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
            weights_warp(j, factor, &side, &w);
            out[c * factor + j] = gain * (f[c] + w * (f[neighbour(c, side, cols)] - f[c]));
        }
    }
    for (size_t c = 1; c + 1 < cols; c++) {
        for (size_t j = 0; j < factor; j++) {
            long side;
            float w;
            weights_warp(j, factor, &side, &w);
            out[c * factor + j] = gain * (f[c] + w * ((side < 0 ? f[c - 1] : f[c + 1]) - f[c]));
        }
    }
}

/* Where sample i of n_large lies among n: between low and high, the part w of the way. */
typedef struct place {
    size_t low, high;
    float w;
} place;

static IB_INLINE place place_of(size_t i, size_t n_large, size_t n) {
    float p = ((float)i + 0.5f) * ((float)n / (float)n_large) - 0.5f;
    p = p > 0.0f ? p : 0.0f;
    size_t low = (size_t)(int)p;
    low = low < n - 1 ? low : n - 1;
    float w = p - (float)low;
    return (place){low, low + 1 < n ? low + 1 : low, w < 1.0f ? w : 1.0f};
}

static IB_INLINE void enlarge_row_to(const float *restrict f, size_t cols, size_t width, float gain,
                                     float *restrict out) {
    for (size_t x = 0; x < width; x++) {
        place p = place_of(x, width, cols);
        out[x] = gain * (f[p.low] + p.w * (f[p.high] - f[p.low]));
    }
}

size_t ib_enlarge_scratch(size_t rows, size_t height, size_t width, size_t n) {
    size_t touched = n * rows / height + 3;
    return (touched < rows ? touched : rows) * width;
}

IB_MULTIARCH
void ib_enlarge(const float *restrict field, size_t rows, size_t cols, size_t height, size_t width,
                size_t first, size_t n, float gain, float *restrict scratch, float *restrict out) {
    size_t begin = place_of(first, height, rows).low, end = place_of(first + n - 1, height, rows).high;
    for (size_t r = begin; r <= end; r++) {
        float *wide = scratch + (r - begin) * width;
        if (width == 2 * cols) {
            enlarge_row(field + r * cols, cols, 2, gain, wide);
        } else if (width == 4 * cols) {
            enlarge_row(field + r * cols, cols, 4, gain, wide);
        } else {
            enlarge_row_to(field + r * cols, cols, width, gain, wide);
        }
    }
    for (size_t y = 0; y < n; y++) {
        place p = place_of(first + y, height, rows);
        const float *a = scratch + (p.low - begin) * width, *b = scratch + (p.high - begin) * width;
        float *o = out + y * width;
        for (size_t x = 0; x < width; x++) {
            o[x] = a[x] + p.w * (b[x] - a[x]);
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
            weights_warp(j, factor, &side, &w);
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
                weights_warp(j, factor, &side, &w);
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
