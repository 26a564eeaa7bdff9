#include "motion/refine.h"

#include <math.h>
#include <string.h>

#include "motion/match.h"
#include "motion/padded.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum { SUMS = 6, REACH = 2, SHRINK = 2, CELL = IB_CELL_PX / SHRINK };

static const float damping = 0.004f, longest_px = 4.0f;
/* exp(-k^2 / 2) for k = 0, 1, 2, normalised over the five taps */
static const float window[REACH + 1] = {0.40261994f, 0.24420134f, 0.05448868f};

size_t ib_refine_scratch(size_t rows, size_t cols) {
    size_t cells = IB_CELLS * rows * IB_CELLS * cols;
    return 2 * CELL * CELL * cells + 2 * SUMS * cells;
}

/* Sums over each cell, as planes: gx gx, gx gy, gy gy, gx d, gy d, d d. */
IB_MULTIARCH
static void products(const float *restrict p, const float *restrict q, size_t height, size_t width,
                     float *restrict sums) {
    size_t w = width / CELL, n = height / CELL * w;
    memset(sums, 0, SUMS * n * sizeof *sums);
    for (size_t y = 0; y < height; y++) {
        size_t up = y ? y - 1 : 0, low = y + 1 < height ? y + 1 : y;
        const float *p0 = p + y * width, *q0 = q + y * width;
        for (size_t x = 0; x < width; x++) {
            size_t l = x ? x - 1 : 0, r = x + 1 < width ? x + 1 : x, i = y / CELL * w + x / CELL;
            float gx = 0.25f * (p0[r] - p0[l] + q0[r] - q0[l]);
            float gy =
                0.25f * (p[low * width + x] - p[up * width + x] + q[low * width + x] - q[up * width + x]);
            float d = q0[x] - p0[x];
            sums[i] += gx * gx;
            sums[n + i] += gx * gy;
            sums[2 * n + i] += gy * gy;
            sums[3 * n + i] += gx * d;
            sums[4 * n + i] += gy * d;
            sums[5 * n + i] += d * d;
        }
    }
}

/* The window over one plane, edges repeated. */
static void smooth(float *s, size_t h, size_t w, float *tmp) {
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            float sum = window[0] * s[y * w + x];
            for (long k = 1; k <= REACH; k++) {
                sum += window[k] * (s[y * w + ib_clamped(x, -k, w)] + s[y * w + ib_clamped(x, k, w)]);
            }
            tmp[y * w + x] = sum;
        }
    }
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            float sum = window[0] * tmp[y * w + x];
            for (long k = 1; k <= REACH; k++) {
                sum += window[k] * (tmp[ib_clamped(y, -k, h) * w + x] + tmp[ib_clamped(y, k, h) * w + x]);
            }
            s[y * w + x] = sum;
        }
    }
}

void ib_refine(const float *carried0, const float *carried1, size_t rows, size_t cols, float *scratch,
               float *dx, float *dy, float *features) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, n = h * w, height = CELL * h, width = CELL * w;
    float *p = scratch, *q = p + height * width, *sums = q + height * width, *tmp = sums + SUMS * n;
    ib_shrink(carried0, SHRINK * height, SHRINK * width, SHRINK, p);
    ib_shrink(carried1, SHRINK * height, SHRINK * width, SHRINK, q);
    products(p, q, height, width, sums);
    for (size_t k = 0; k < SUMS; k++) {
        smooth(sums + k * n, h, w, tmp);
    }
    for (size_t i = 0; i < n; i++) {
        float a = sums[i] + damping, b = sums[n + i], c = sums[2 * n + i] + damping;
        float u = sums[3 * n + i], v = sums[4 * n + i], det = a * c - b * b;
        float x = -SHRINK * (c * u - b * v) / det, y = -SHRINK * (a * v - b * u) / det,
              length = sqrtf(x * x + y * y);
        float k = length > longest_px ? longest_px / length : 1.0f, *f = features + i * IB_REFINE_FEATURES;
        dx[i] = k * x;
        dy[i] = k * y;
        f[0] = dx[i] / longest_px;
        f[1] = dy[i] / longest_px;
        f[2] = 10.0f * sqrtf(sums[5 * n + i] / (CELL * CELL));
        f[3] = 10.0f * sqrtf((sums[i] + sums[2 * n + i]) / (CELL * CELL));
    }
}
