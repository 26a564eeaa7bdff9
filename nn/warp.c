#include "nn/warp.h"

#include <string.h>

#include "nn/simd.h"

/* Where a sample falls: the upper left of its four neighbours and the fractions; `inside` is 0 on a clamped axis. */
typedef struct place {
    size_t x, y;
    float a, b;
    float inside_x, inside_y;
} place;

static IB_INLINE place locate(float x, float y, size_t height, size_t width) {
    place p;
    float mx = (float)(width - 1), my = (float)(height - 1);
    p.inside_x = x > 0.0f && x < mx ? 1.0f : 0.0f;
    p.inside_y = y > 0.0f && y < my ? 1.0f : 0.0f;
    x = x > 0.0f ? x : 0.0f; /* NaN becomes 0 as well */
    y = y > 0.0f ? y : 0.0f;
    x = x < mx ? x : mx;
    y = y < my ? y : my;
    size_t ix = (size_t)(int)x, iy = (size_t)(int)y;
    ix = ix + 1 < width ? ix : width - 2;
    iy = iy + 1 < height ? iy : height - 2;
    p.x = ix;
    p.y = iy;
    p.a = x - (float)ix;
    p.b = y - (float)iy;
    return p;
}

IB_MULTIARCH
void ib_warp(const float *restrict image, const float *restrict fx, const float *restrict fy, size_t height,
             size_t width, float *restrict out) {
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t i = y * width + x;
            place p = locate((float)x + fx[i], (float)y + fy[i], height, width);
            const float *q = image + p.y * width + p.x;
            float top = q[0] + p.a * (q[1] - q[0]), low = q[width] + p.a * (q[width + 1] - q[width]);
            out[i] = top + p.b * (low - top);
        }
    }
}

IB_MULTIARCH
void ib_warp_backward(const float *restrict image, const float *restrict fx, const float *restrict fy,
                      const float *restrict dout, size_t height, size_t width, float *restrict dfx,
                      float *restrict dfy) {
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t i = y * width + x;
            place p = locate((float)x + fx[i], (float)y + fy[i], height, width);
            const float *q = image + p.y * width + p.x;
            float right0 = q[1] - q[0], right1 = q[width + 1] - q[width];
            float down0 = q[width] - q[0], down1 = q[width + 1] - q[1];
            dfx[i] += dout[i] * p.inside_x * (right0 + p.b * (right1 - right0));
            dfy[i] += dout[i] * p.inside_y * (down0 + p.a * (down1 - down0));
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

IB_MULTIARCH
void ib_enlarge(const float *restrict field, size_t rows, size_t cols, size_t factor, float gain,
                float *restrict scratch, float *restrict out) {
    size_t width = cols * factor;
    for (size_t r = 0; r < rows; r++) {
        const float *f = field + r * cols;
        for (size_t c = 0; c < cols; c++) {
            for (size_t j = 0; j < factor; j++) {
                long side;
                float w;
                weights(j, factor, &side, &w);
                scratch[r * width + c * factor + j] =
                    gain * (f[c] + w * (f[neighbour(c, side, cols)] - f[c]));
            }
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

IB_MULTIARCH
void ib_shrink(const float *restrict image, size_t height, size_t width, size_t factor, float *restrict out) {
    size_t rows = height / factor, cols = width / factor;
    float scale = 1.0f / (float)(factor * factor);
    memset(out, 0, rows * cols * sizeof *out);
    for (size_t y = 0; y < rows * factor; y++) {
        const float *p = image + y * width;
        float *o = out + y / factor * cols;
        for (size_t c = 0; c < cols; c++) {
            float s = 0;
            for (size_t j = 0; j < factor; j++) {
                s += p[c * factor + j];
            }
            o[c] += s * scale;
        }
    }
}
