#include "motion/project.h"

#include <math.h>
#include <string.h>

#include "motion/match.h"
#include "nn/layers.h"
#include "nn/simd.h"

enum { COVER = 3, MISFIT, SIDE_BY_SIDE = 8 }; /* after the weight and the weighted flow */

static const float sharpness = 20.0f;
/* Weight of the surroundings' flow against that of the pixels that fell into a cell; a cell has 16 px. */
static const float surroundings = 0.1f;

size_t ib_project_scratch(size_t rows, size_t cols) {
    size_t cells = IB_CELLS * rows * IB_CELLS * cols;
    /* differences and weights of the pixels; what falls into cells; their sums, and those of
     * each coarser grid */
    return (2 * IB_CELL_PX * IB_CELL_PX + SIDE_BY_SIDE + 3 + 6) * cells;
}

/* Absolute difference of each pixel and of where its flow leads, sampled bilinearly. */
IB_MULTIARCH
static void differences(const float *restrict own, const float *restrict other, const float *restrict flow,
                        size_t height, size_t width, float *restrict d, float *restrict exponent) {
    size_t n = height * width;
    float right = (float)(width - 1), low = (float)(height - 1);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t i = y * width + x;
            float px = (float)x + flow[i], py = (float)y + flow[n + i];
            px = px > 0 ? px : 0;
            py = py > 0 ? py : 0;
            px = px < right ? px : right;
            py = py < low ? py : low;
            int ix = (int)px, iy = (int)py;
            ix = ix < (int)width - 2 ? ix : (int)width - 2;
            iy = iy < (int)height - 2 ? iy : (int)height - 2;
            float a = px - (float)ix, b = py - (float)iy;
            const float *q = other + (size_t)iy * width + (size_t)ix;
            float top = q[0] + a * (q[1] - q[0]), bottom = q[width] + a * (q[width + 1] - q[width]);
            d[i] = fabsf(top + b * (bottom - top) - own[i]);
            exponent[i] = -sharpness * d[i];
        }
    }
}

/* Sums of the cells side by side, so that a pixel is added to a cell at once. splats: [h, w, SIDE_BY_SIDE] */
IB_MULTIARCH
static void splat(const float *flow, const float *weight, const float *misfit, size_t h, size_t w, float s,
                  float *splats) {
    size_t height = IB_CELL_PX * h, width = IB_CELL_PX * w, n = height * width;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t i = y * width + x;
            float fx = flow[i], fy = flow[n + i];
            float px = ((float)x + s * fx + 0.5f) / IB_CELL_PX - 0.5f,
                  py = ((float)y + s * fy + 0.5f) / IB_CELL_PX - 0.5f;
            if (!(px > -1 && py > -1 && px < (float)w && py < (float)h)) {
                continue;
            }
            float left = floorf(px), up = floorf(py), a = px - left, b = py - up;
            long c = (long)left, r = (long)up;
            ib_row8 what = {weight[i], weight[i] * fx, weight[i] * fy, 1, misfit[i]};
            for (long k = 0; k < 4; k++) {
                long cc = c + k % 2, rr = r + k / 2;
                if (cc >= 0 && rr >= 0 && cc < (long)w && rr < (long)h) {
                    float share = (k % 2 ? a : 1 - a) * (k / 2 ? b : 1 - b);
                    float *cell = splats + ((size_t)rr * w + (size_t)cc) * SIDE_BY_SIDE;
                    IB_PUT8(cell, IB_ROW8(cell) + share * what);
                }
            }
        }
    }
}

/* sums [3,h,w] -> v [2,h,w], what is missing from coarser and coarser sums; rest: scratch, [5 h w / 4] and
 * what coarser ones need */
static void fill_project(const float *sums, size_t plane, size_t h, size_t w, float *rest, float *v) {
    size_t n = h * w;
    if (n == 1) {
        float inv = sums[0] > 0 ? 1.0f / sums[0] : 0;
        v[0] = sums[plane] * inv;
        v[1] = sums[2 * plane] * inv;
        return;
    }
    size_t ch = (h + 1) / 2, cw = (w + 1) / 2, c = ch * cw;
    float *coarse = rest, *cv = coarse + 3 * c;
    memset(coarse, 0, 3 * c * sizeof *coarse);
    for (size_t k = 0; k < 3; k++) {
        for (size_t y = 0; y < h; y++) {
            for (size_t x = 0; x < w; x++) {
                coarse[k * c + y / 2 * cw + x / 2] += sums[k * plane + y * w + x];
            }
        }
    }
    fill_project(coarse, c, ch, cw, cv + 2 * c, cv);
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            size_t i = y * w + x, j = y / 2 * cw + x / 2;
            float inv = 1.0f / (sums[i] + surroundings);
            v[i] = (sums[plane + i] + surroundings * cv[j]) * inv;
            v[n + i] = (sums[2 * plane + i] + surroundings * cv[c + j]) * inv;
        }
    }
}

void ib_project(const float *own, const float *other, const float *flow, size_t rows, size_t cols, float s,
                float *scratch, float *v, float *cover, float *misfit) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, cells = h * w, n = IB_CELL_PX * IB_CELL_PX * cells;
    float *d = scratch, *weight = d + n, *splats = weight + n, *sums = splats + SIDE_BY_SIDE * cells,
          *rest = sums + 3 * cells;
    differences(own, other, flow, IB_CELL_PX * h, IB_CELL_PX * w, d, weight);
    ib_exp(weight, n, weight);
    memset(splats, 0, SIDE_BY_SIDE * cells * sizeof *splats);
    splat(flow, weight, d, h, w, s, splats);
    for (size_t i = 0; i < cells; i++) {
        const float *t = splats + i * SIDE_BY_SIDE;
        for (size_t k = 0; k < 3; k++) {
            sums[k * cells + i] = t[k];
        }
        cover[i] = t[COVER] / (IB_CELL_PX * IB_CELL_PX);
        misfit[i] = t[MISFIT] / (t[COVER] + 0.01f);
    }
    fill_project(sums, cells, h, w, rest, v);
}
