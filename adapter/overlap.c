#include "adapter/overlap.h"

#include <math.h>
#include <string.h>

#include "adapter/match.h"
#include "adapter/padded.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum {
    TOKEN_PX = 8,
    SPAN = 24, /* px that a patch carries, each way: three patches over every pixel */
    BEST = 3,
    AROUND = 8
};

/* Added to the least mean squared difference before others are set in proportion to it: less than an 8-bit step, RMS. */
static const float least_difference = 1e-5f;

/* What a patch follows, the best first. */
typedef struct choice {
    float v[BEST][2], weight[BEST];
} choice;

/* The part of a patch's window that lies on a line of samples: first, how many, and their weights, which add up to 1 over the patches. */
typedef struct window {
    size_t first, n;
    float weight[SPAN];
} window;

size_t ib_overlap_scratch(size_t rows, size_t cols, size_t fields) {
    size_t corners = (rows + 1) * (cols + 1);
    return 2 * ib_padded_floats(TOKEN_PX * rows, TOKEN_PX * cols) + 2 * fields * corners +
           (corners * sizeof(choice) + (rows + cols + 2) * sizeof(window)) / sizeof(float);
}

/* Each flow at the corners of the tokens: the mean of the four cells about them, edges repeated. at: [down, across, fields, 2] */
static void at_corners(const float *flows, size_t fields, size_t rows, size_t cols, float *at) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, cells = h * w;
    for (size_t r = 0; r <= rows; r++) {
        size_t up = r ? IB_CELLS * r - 1 : 0, low = r < rows ? IB_CELLS * r : h - 1;
        for (size_t c = 0; c <= cols; c++) {
            size_t left = c ? IB_CELLS * c - 1 : 0, right = c < cols ? IB_CELLS * c : w - 1;
            for (size_t k = 0; k < 2 * fields; k++) {
                const float *f = flows + k * cells;
                *at++ =
                    0.25f * (f[up * w + left] + f[up * w + right] + f[low * w + left] + f[low * w + right]);
            }
        }
    }
}

/* Mean squared difference, less the mean's, of the 8x8 px about (x,y) in the in-between along a motion. */
static IB_INLINE float difference(const ib_padded *p0, const ib_padded *p1, float x, float y, float t,
                                  const float *v) {
    float a0, b0, a1, b1, half = 0.5f * (IB_PATCH_PX - 1);
    const float *q0 = ib_place(p0, x - half - t * v[0], y - half - t * v[1], &a0, &b0);
    const float *q1 = ib_place(p1, x - half + (1 - t) * v[0], y - half + (1 - t) * v[1], &a1, &b1);
    ib_row8 sum = {0}, square = {0};
    ib_row8 top0 = IB_ROW8(q0) + a0 * (IB_ROW8(q0 + 1) - IB_ROW8(q0)),
            top1 = IB_ROW8(q1) + a1 * (IB_ROW8(q1 + 1) - IB_ROW8(q1));
    for (size_t r = 0; r < IB_PATCH_PX; r++) {
        q0 += p0->stride;
        q1 += p1->stride;
        ib_row8 low0 = IB_ROW8(q0) + a0 * (IB_ROW8(q0 + 1) - IB_ROW8(q0)),
                low1 = IB_ROW8(q1) + a1 * (IB_ROW8(q1 + 1) - IB_ROW8(q1));
        ib_row8 d = top1 + b1 * (low1 - top1) - top0 - b0 * (low0 - top0);
        sum += d;
        square += d * d;
        top0 = low0;
        top1 = low1;
    }
    float mean = ib_sum8(&sum) / (IB_PATCH_PX * IB_PATCH_PX);
    float rest = ib_sum8(&square) / (IB_PATCH_PX * IB_PATCH_PX) - mean * mean;
    return rest > 0 ? rest : 0;
}

/* The motions of all corners. */
IB_MULTIARCH
static void choose(const ib_padded *p0, const ib_padded *p1, const float *at, size_t fields, size_t rows,
                   size_t cols, float t, choice *out) {
    static const int away[AROUND][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {2, 0}, {-2, 0}, {0, 2}, {0, -2}};
    size_t down = rows + 1, across = cols + 1;
    for (size_t i = 0; i < down * across; i++) {
        size_t r = i / across, c = i % across;
        const float *v[BEST] = {0};
        float e[BEST] = {INFINITY, INFINITY, INFINITY}, sum = 0;
        for (size_t k = 0; k < fields + AROUND; k++) {
            const float *u = at + 2 * (i * fields + k);
            if (k >= fields) {
                const int *a = away[k - fields];
                u = at + 2 * fields * (ib_clamped(r, a[0], down) * across + ib_clamped(c, a[1], across));
            }
            float d = difference(p0, p1, (float)(TOKEN_PX * c) - 0.5f, (float)(TOKEN_PX * r) - 0.5f, t, u);
            for (size_t j = 0; j < BEST; j++) {
                if (!(d >= e[j])) { /* pushes the others down */
                    float worse = e[j];
                    const float *other = v[j];
                    e[j] = d;
                    v[j] = u;
                    d = worse;
                    u = other;
                }
            }
        }
        for (size_t j = 0; j < BEST; j++) {
            out[i].weight[j] = v[j] ? expf(-(e[j] - e[0]) / (e[0] + least_difference)) : 0;
            out[i].v[j][0] = v[j] ? v[j][0] : 0;
            out[i].v[j][1] = v[j] ? v[j][1] : 0;
            sum += out[i].weight[j];
        }
        for (size_t j = 0; j < BEST; j++) {
            out[i].weight[j] /= sum;
        }
    }
}

/* The windows of the patches on a line of `tokens` tokens of `step` samples: [tokens + 1] */
static void make_windows(size_t tokens, size_t step, window *w) {
    size_t n = tokens * step, half = SPAN / TOKEN_PX * step / 2;
    float hann[SPAN];
    for (size_t i = 0; i < 2 * half; i++) {
        hann[i] = 1.0f - cosf(3.14159265f * ((float)i + 0.5f) / (float)half);
    }
    for (size_t k = 0; k <= tokens; k++) {
        size_t middle = k * step, end = middle + half < n ? middle + half : n;
        w[k].first = middle > half ? middle - half : 0;
        w[k].n = end - w[k].first;
        for (size_t i = 0; i < w[k].n; i++) {
            size_t x = w[k].first + i;
            float sum = 0;
            for (size_t q = k > 2 ? k - 2 : 0; q <= tokens && q <= k + 2; q++) {
                size_t at = x + half - q * step; /* wraps where it lies before the window */
                sum += at < 2 * half ? hann[at] : 0;
            }
            w[k].weight[i] = hann[x + half - middle] / sum;
        }
    }
}

IB_MULTIARCH
static void add_patch(const float *restrict patch, const window *rows, const window *cols, float weight,
                      size_t stride, float *restrict out) {
    for (size_t i = 0; i < rows->n; i++) {
        float *o = out + (rows->first + i) * stride + cols->first, s = weight * rows->weight[i];
        for (size_t j = 0; j < cols->n; j++) {
            o[j] += s * cols->weight[j] * patch[i * cols->n + j];
        }
    }
}

/* One plane of one keyframe; part: of the motion that it goes, in samples per luma px. */
static void carry(const float *knots, size_t rows, size_t cols, size_t step, const window *down,
                  const window *across, float part, const choice *chosen, float *out) {
    size_t height = step * rows, width = step * cols;
    memset(out, 0, height * width * sizeof *out);
    for (size_t r = 0; r <= rows; r++) {
        for (size_t c = 0; c <= cols; c++) {
            const choice *m = chosen + r * (cols + 1) + c;
            for (size_t j = 0; j < BEST && m->weight[j] > 0; j++) {
                float patch[SPAN * SPAN];
                ib_warp_patch(knots, height, width, across[c].first, down[r].first, part * m->v[j][0],
                              part * m->v[j][1], down[r].n, across[c].n, patch);
                add_patch(patch, &down[r], &across[c], m->weight[j], width, out);
            }
        }
    }
}

/* The mean motion at the middles of the cells. */
static void mean_flow(const choice *chosen, const window *down, const window *across, size_t rows,
                      size_t cols, float *flow) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols;
    memset(flow, 0, 2 * h * w * sizeof *flow);
    for (size_t r = 0; r <= rows; r++) {
        for (size_t c = 0; c <= cols; c++) {
            const choice *m = chosen + r * (cols + 1) + c;
            for (size_t k = 0; k < 2; k++) {
                float v = 0;
                for (size_t j = 0; j < BEST; j++) {
                    v += m->weight[j] * m->v[j][k];
                }
                for (size_t i = 0; i < down[r].n; i++) {
                    for (size_t j = 0; j < across[c].n; j++) {
                        flow[(k * h + down[r].first + i) * w + across[c].first + j] +=
                            v * down[r].weight[i] * across[c].weight[j];
                    }
                }
            }
        }
    }
}

void ib_overlap(const float *planes0, const float *planes1, const float *knots0, const float *knots1,
                const float *flows, size_t fields, size_t rows, size_t cols, float t, float *scratch,
                float *carried0, float *carried1, float *flow) {
    size_t height = TOKEN_PX * rows, width = TOKEN_PX * cols, corners = (rows + 1) * (cols + 1);
    window *down = (window *)scratch, *across = down + rows + 1;
    choice *chosen = (choice *)(across + cols + 1);
    float *at = (float *)(chosen + corners), *room = at + 2 * fields * corners;
    ib_padded p0 = ib_pad(planes0, height, width, room),
              p1 = ib_pad(planes1, height, width, room + ib_padded_floats(height, width));
    at_corners(flows, fields, rows, cols, at);
    choose(&p0, &p1, at, fields, rows, cols, t, chosen);
    make_windows(rows, IB_CELLS, down);
    make_windows(cols, IB_CELLS, across);
    mean_flow(chosen, down, across, rows, cols, flow);
    for (size_t plane = 0; plane < 3; plane++) {
        size_t step = plane ? TOKEN_PX / 2 : TOKEN_PX, n = step * step * rows * cols;
        make_windows(rows, step, down);
        make_windows(cols, step, across);
        for (size_t k = 0; k < 2; k++) {
            float part = (k ? 1.0f - t : -t) * (plane ? 0.5f : 1.0f);
            carry(k ? knots1 : knots0, rows, cols, step, down, across, part, chosen, k ? carried1 : carried0);
        }
        knots0 += ib_warp_knots_floats(step * rows, step * cols);
        knots1 += ib_warp_knots_floats(step * rows, step * cols);
        carried0 += n;
        carried1 += n;
    }
}
