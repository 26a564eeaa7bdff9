#include "motion/overlap.h"

#include <math.h>
#include <string.h>

#include "motion/match.h"
#include "motion/padded.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum {
    SPAN = 24, /* px that a patch carries, each way: three patches over every pixel */
    BEST = 3,
    AROUND = 8
};

/* Added to the least mean squared difference before others are set in proportion to it: less than an 8-bit
 * step, RMS. */
static const float least_difference = 1e-5f;

/* What a patch follows, the best first. */
typedef struct choice {
    float v[BEST][2], weight[BEST];
} choice;

/* The part of a patch's window that lies on a line of samples: first, how many, and their weights, which add
 * up to 1 over the patches. */
typedef struct window {
    size_t first, n;
    float weight[SPAN];
} window;

size_t ib_overlap_scratch(size_t rows, size_t cols, size_t fields) {
    size_t down = rows + 1, across = cols + 1, patches = down * across;
    return 2 * ib_padded_floats(IB_TOKEN_PX * rows, IB_TOKEN_PX * cols) + 2 * fields * patches +
           (patches * sizeof(choice) + (down + across) * sizeof(window)) / sizeof(float);
}

/* Each flow in the middles of the patches: the mean of the four cells about them, edges repeated. at: [down,
 * across, fields, 2] */
static void at_middles(const float *flows, size_t fields, size_t rows, size_t cols, float *at) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, cells = h * w;
    for (size_t r = 0; r <= h; r += IB_CELLS) {
        size_t up = r ? r - 1 : 0, low = r < h ? r : h - 1;
        for (size_t c = 0; c <= w; c += IB_CELLS) {
            size_t left = c ? c - 1 : 0, right = c < w ? c : w - 1;
            for (size_t k = 0; k < 2 * fields; k++) {
                const float *f = flows + k * cells;
                *at++ =
                    0.25f * (f[up * w + left] + f[up * w + right] + f[low * w + left] + f[low * w + right]);
            }
        }
    }
}

/* Mean squared difference, less the mean's, of the 8x8 px about (x,y) in the in-between along a motion. */
static IB_INLINE float difference_overlap(const ib_padded *p0, const ib_padded *p1, float x, float y, float t,
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

/* The motions of all patches. */
IB_MULTIARCH
static void choose_overlap(const ib_padded *p0, const ib_padded *p1, const float *at, size_t fields,
                           size_t rows, size_t cols, float t, choice *out) {
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
            float d = difference_overlap(p0, p1, IB_TOKEN_PX * (float)c - 0.5f, IB_TOKEN_PX * (float)r - 0.5f,
                                         t, u);
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

/* The windows of the patches on a line of `tokens` tokens of `size` samples: [tokens + 1] */
static void make_windows(size_t tokens, size_t size, window *w) {
    size_t n = tokens * size, half = SPAN / IB_TOKEN_PX * size / 2, reach = SPAN / IB_TOKEN_PX - 1;
    float hann[SPAN];
    for (size_t i = 0; i < 2 * half; i++) {
        hann[i] = 1.0f - cosf(3.14159265f * ((float)i + 0.5f) / (float)half);
    }
    for (size_t k = 0; k <= tokens; k++) {
        size_t middle = k * size, end = middle + half < n ? middle + half : n;
        w[k].first = middle > half ? middle - half : 0;
        w[k].n = end - w[k].first;
        for (size_t i = 0; i < w[k].n; i++) {
            size_t x = w[k].first + i;
            float sum = 0;
            for (size_t q = k > reach ? k - reach : 0; q <= tokens && q <= k + reach; q++) {
                size_t at = x + half - q * size; /* wraps where it lies before the window */
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

/* One plane of one keyframe; height, width: its samples; part: of the motion that it goes, in samples per
 * luma px. */
static void carry(const float *spline, size_t height, size_t width, const window *down, size_t n_down,
                  const window *across, size_t n_across, float part, const choice *chosen, float *out) {
    memset(out, 0, height * width * sizeof *out);
    for (size_t i = 0; i < n_down * n_across; i++) {
        const window *v = &down[i / n_across], *h = &across[i % n_across];
        const choice *m = &chosen[i];
        for (size_t j = 0; j < BEST && m->weight[j] > 0; j++) {
            float patch[SPAN * SPAN];
            ib_warp_patch(spline, height, width, h->first, v->first, part * m->v[j][0], part * m->v[j][1],
                          v->n, h->n, patch);
            add_patch(patch, v, h, m->weight[j], width, out);
        }
    }
}

/* The mean motion at the middles of the cells, h x w. */
static void mean_flow(const choice *chosen, const window *down, size_t n_down, const window *across,
                      size_t n_across, size_t h, size_t w, float *flow) {
    memset(flow, 0, 2 * h * w * sizeof *flow);
    for (size_t p = 0; p < n_down * n_across; p++) {
        const window *r = &down[p / n_across], *c = &across[p % n_across];
        for (size_t k = 0; k < 2; k++) {
            float v = 0;
            for (size_t j = 0; j < BEST; j++) {
                v += chosen[p].weight[j] * chosen[p].v[j][k];
            }
            for (size_t i = 0; i < r->n; i++) {
                for (size_t j = 0; j < c->n; j++) {
                    flow[(k * h + r->first + i) * w + c->first + j] += v * r->weight[i] * c->weight[j];
                }
            }
        }
    }
}

void ib_overlap(const float *planes0, const float *planes1, const float *spline0, const float *spline1,
                const float *flows, size_t fields, size_t rows, size_t cols, float t, size_t planes,
                float *scratch, float *carried0, float *carried1, float *flow) {
    size_t height = IB_TOKEN_PX * rows, width = IB_TOKEN_PX * cols, n_down = rows + 1, n_across = cols + 1,
           patches = n_down * n_across;
    window *down = (window *)scratch, *across = down + n_down;
    choice *chosen = (choice *)(across + n_across);
    float *at = (float *)(chosen + patches), *room = at + 2 * fields * patches;
    ib_padded p0 = ib_pad(planes0, height, width, room),
              p1 = ib_pad(planes1, height, width, room + ib_padded_floats(height, width));
    at_middles(flows, fields, rows, cols, at);
    choose_overlap(&p0, &p1, at, fields, rows, cols, t, chosen);
    make_windows(rows, IB_CELLS, down);
    make_windows(cols, IB_CELLS, across);
    mean_flow(chosen, down, n_down, across, n_across, IB_CELLS * rows, IB_CELLS * cols, flow);
    for (size_t plane = 0; plane < planes; plane++) {
        size_t size = plane ? IB_TOKEN_PX / 2 : IB_TOKEN_PX, h = size * rows, w = size * cols;
        make_windows(rows, size, down);
        make_windows(cols, size, across);
        for (size_t k = 0; k < 2; k++) {
            float part = (k ? 1.0f - t : -t) * (plane ? 0.5f : 1.0f);
            carry(k ? spline1 : spline0, h, w, down, n_down, across, n_across, part, chosen,
                  k ? carried1 : carried0);
        }
        spline0 += ib_spline_floats(h, w);
        spline1 += ib_spline_floats(h, w);
        carried0 += h * w;
        carried1 += h * w;
    }
}
