#include "motion/flow.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "motion/padded.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum {
    PATCH = IB_PATCH_PX,
    STRIDE = 3,      /* from patch to patch */
    MOST_LEVELS = 4, /* the coarsest is an eighth of the size */
    LEAST_SIDE = 12, /* of the coarsest level, px */
    PASSES = 2,      /* over the patches, the second in opposite order; at the full size one */
    HINT_PX = 8,     /* from hint to hint */
    HINT_LEVEL = 2,  /* where patches look at them: a quarter of the size, or the coarsest */
    STEPS = 4        /* of each patch in each pass, at most */
};

/* Added to the squared gradient of a patch, so that one without texture stays where it began. */
static const float damping = 64 * 1e-5f;
/* A step shorter than this (px, squared) is the last. */
static const float short_step = 1e-4f;
/* Differences below an 8-bit step count as that. */
static const float least_difference = 1.0f / 255.0f;

typedef struct level {
    size_t height, width;
    size_t down, across; /* patches */
    ib_padded image[2];
} level;

static size_t patches_flow(size_t side) {
    return (side - PATCH + STRIDE - 1) / STRIDE + 1;
}

size_t ib_flow_scratch(size_t height, size_t width) {
    size_t n = 2 * patches_flow(height) * patches_flow(width) + 2 * height * width;
    for (size_t l = 0; l < MOST_LEVELS; l++) {
        n += 2 * ib_padded_floats(height >> l, width >> l) + (height >> l) * (width >> l);
    }
    return n;
}

static size_t count_levels(size_t height, size_t width) {
    size_t side = height < width ? height : width, n = 1;
    while (n < MOST_LEVELS && side >> n >= LEAST_SIDE) {
        n++;
    }
    return n;
}

typedef int32_t bits8 __attribute__((vector_size(32)));

/* A patch of the first picture: its pixels, its gradient less the gradient's mean, and the inverse of the
 * damped normal matrix. */
typedef struct patch {
    ib_row8 pixels[PATCH], gx[PATCH], gy[PATCH];
    float xx, xy, yy;
} patch;

static IB_INLINE void take_patch(const float *at, size_t stride, patch *p) {
    ib_row8 sx = {0}, sy = {0};
    for (size_t r = 0; r < PATCH; r++) {
        const float *q = at + r * stride;
        p->pixels[r] = IB_ROW8(q);
        p->gx[r] = 0.5f * (IB_ROW8(q + 1) - IB_ROW8(q - 1));
        p->gy[r] = 0.5f * (IB_ROW8(q + stride) - IB_ROW8(q - stride));
        sx += p->gx[r];
        sy += p->gy[r];
    }
    float mx = ib_sum8(&sx) / (PATCH * PATCH), my = ib_sum8(&sy) / (PATCH * PATCH);
    ib_row8 xx = {0}, xy = {0}, yy = {0};
    for (size_t r = 0; r < PATCH; r++) {
        p->gx[r] -= mx;
        p->gy[r] -= my;
        xx += p->gx[r] * p->gx[r];
        xy += p->gx[r] * p->gy[r];
        yy += p->gy[r] * p->gy[r];
    }
    float a = ib_sum8(&xx) + damping, b = ib_sum8(&xy), c = ib_sum8(&yy) + damping,
          inv = 1.0f / (a * c - b * b);
    p->xx = c * inv;
    p->xy = -b * inv;
    p->yy = a * inv;
}

/* The squared difference, less means, of a patch and of what lies at (x,y) in the other picture; step: what
 * would make it less. */
static IB_INLINE float compare_flow(const patch *p, const ib_padded *other, float x, float y, float *step) {
    float a, b;
    const float *q = ib_place(other, x, y, &a, &b);
    ib_row8 sum = {0}, square = {0}, dx = {0}, dy = {0};
    ib_row8 top = IB_ROW8(q) + a * (IB_ROW8(q + 1) - IB_ROW8(q));
    for (size_t r = 0; r < PATCH; r++) {
        const float *n = q + (r + 1) * other->stride;
        ib_row8 low = IB_ROW8(n) + a * (IB_ROW8(n + 1) - IB_ROW8(n));
        ib_row8 d = top + b * (low - top) - p->pixels[r];
        sum += d;
        square += d * d;
        dx += p->gx[r] * d;
        dy += p->gy[r] * d;
        top = low;
    }
    float s = ib_sum8(&sum), ex = ib_sum8(&dx), ey = ib_sum8(&dy);
    step[0] = -(p->xx * ex + p->xy * ey);
    step[1] = -(p->xy * ex + p->yy * ey);
    return ib_sum8(&square) - s * s / (PATCH * PATCH);
}

/* Where a patch of row or column i begins. */
static size_t begin_flow(size_t i, size_t side) {
    return STRIDE * i < side - PATCH ? STRIDE * i : side - PATCH;
}

/* One patch: flow [2] at its start, then where it found to lie. others: motions that may fit better. */
static IB_INLINE void search(const patch *p, const ib_padded *other, float x, float y,
                             const float *const *others, size_t n, float *flow) {
    float u = flow[0], v = flow[1], step[2], best = compare_flow(p, other, x + u, y + v, step);
    for (size_t k = 0; k < n; k++) {
        float s[2], e = compare_flow(p, other, x + others[k][0], y + others[k][1], s);
        if (e < best) {
            best = e;
            u = others[k][0];
            v = others[k][1];
            memcpy(step, s, sizeof s);
        }
    }
    float u0 = u, v0 = v;
    flow[0] = u;
    flow[1] = v;
    for (int i = 0; i < STEPS; i++) {
        u += step[0];
        v += step[1];
        float far = step[0] * step[0] + step[1] * step[1];
        if (!((u - u0) * (u - u0) + (v - v0) * (v - v0) < PATCH * PATCH)) {
            return; /* it has lost its way */
        }
        float e = compare_flow(p, other, x + u, y + v, step);
        if (e >= best) {
            return;
        }
        best = e;
        flow[0] = u;
        flow[1] = v;
        if (far < short_step) {
            return;
        }
    }
}

/* Motions of other origin that patches may take up; sign: -1 where they are seen from the other picture. */
typedef struct hints {
    const float *v; /* [2, down, across], x and y in px of the full size, every HINT_PX px */
    size_t down, across;
    float sign;
} hints;

/* Those about the middle of a patch at (x,y): [4,2], in px of the level, one of whose px is `px` of the full
 * size. */
static void hints_at(const hints *h, size_t x, size_t y, size_t px, float (*out)[2]) {
    for (size_t k = 0; k < 4; k++) {
        size_t c = (x + (k % 2 ? 3 : 1) * PATCH / 4) * px / HINT_PX,
               r = (y + (k / 2 ? 3 : 1) * PATCH / 4) * px / HINT_PX;
        c = c < h->across ? c : h->across - 1;
        r = r < h->down ? r : h->down - 1;
        for (size_t i = 0; i < 2; i++) {
            out[k][i] = h->sign * h->v[(i * h->down + r) * h->across + c] / (float)px;
        }
    }
}

/* flows: [down, across, 2] */
IB_MULTIARCH
static void search_level(const level *l, size_t from, const hints *h, size_t px, float *flows) {
    const ib_padded *own = &l->image[from], *other = &l->image[1 - from];
    for (int pass = 0; pass < (px == 1 ? 1 : PASSES); pass++) {
        for (size_t k = 0; k < l->down * l->across; k++) {
            size_t i = pass % 2 ? l->down * l->across - 1 - k : k, r = i / l->across, c = i % l->across;
            size_t x = begin_flow(c, l->width), y = begin_flow(r, l->height), n = 0;
            const float *others[6];
            float hint[4][2];
            if (pass % 2 ? c + 1 < l->across : c > 0) {
                others[n++] = flows + 2 * (pass % 2 ? i + 1 : i - 1);
            }
            if (pass % 2 ? r + 1 < l->down : r > 0) {
                others[n++] = flows + 2 * (pass % 2 ? i + l->across : i - l->across);
            }
            if (h && pass == 0) {
                hints_at(h, x, y, px, hint);
                for (size_t q = 0; q < 4; q++) {
                    others[n++] = hint[q];
                }
            }
            patch p;
            take_patch(own->image + y * own->stride + x, own->stride, &p);
            search(&p, other, (float)x, (float)y, others, n, flows + 2 * i);
        }
    }
}

/* max(|d|, least_difference) */
static IB_INLINE void magnitude_flow(ib_row8 *d) {
    bits8 a = (bits8)*d & INT32_MAX, low = (bits8)(*d * 0 + least_difference),
          small = (ib_row8)a < least_difference;
    *d = (ib_row8)((a & ~small) | (low & small));
}

/* Each pixel's mean over the patches that hold it. flow: [2,height,width]; weight: [height,width] scratch */
IB_MULTIARCH
static void spread_flow(const level *l, size_t from, const float *flows, float *flow, float *weight) {
    size_t n = l->height * l->width;
    memset(flow, 0, 2 * n * sizeof *flow);
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < l->down * l->across; i++) {
        size_t x = begin_flow(i % l->across, l->width), y = begin_flow(i / l->across, l->height);
        float u = flows[2 * i], v = flows[2 * i + 1], a, b;
        const ib_padded *mine = &l->image[from], *other = &l->image[1 - from];
        const float *q = ib_place(other, (float)x + u, (float)y + v, &a, &b);
        ib_row8 top = IB_ROW8(q) + a * (IB_ROW8(q + 1) - IB_ROW8(q));
        for (size_t r = 0; r < PATCH; r++) {
            const float *own = mine->image + (y + r) * mine->stride + x, *next = q + (r + 1) * other->stride;
            float *o = flow + (y + r) * l->width + x, *w = weight + (y + r) * l->width + x;
            ib_row8 low = IB_ROW8(next) + a * (IB_ROW8(next + 1) - IB_ROW8(next)),
                    d = top + b * (low - top) - IB_ROW8(own);
            magnitude_flow(&d);
            ib_row8 e = 1.0f / (d * d);
            IB_PUT8(w, IB_ROW8(w) + e);
            IB_PUT8(o, IB_ROW8(o) + e * u);
            IB_PUT8(o + n, IB_ROW8(o + n) + e * v);
            top = low;
        }
    }
    for (size_t i = 0; i < n; i++) {
        float e = 1.0f / weight[i];
        flow[i] *= e;
        flow[n + i] *= e;
    }
}

/* The patches' first motions from the coarser level's flow, at the pixel in the middle of each. */
static void descend(const level *coarse, const float *flow, const level *fine, float *flows) {
    size_t n = coarse->height * coarse->width;
    for (size_t i = 0; i < fine->down * fine->across; i++) {
        size_t x = (begin_flow(i % fine->across, fine->width) + PATCH / 2) / 2,
               y = (begin_flow(i / fine->across, fine->height) + PATCH / 2) / 2;
        x = x < coarse->width ? x : coarse->width - 1;
        y = y < coarse->height ? y : coarse->height - 1;
        flows[2 * i] = 2.0f * flow[y * coarse->width + x];
        flows[2 * i + 1] = 2.0f * flow[n + y * coarse->width + x];
    }
}

void ib_flow(const float *luma0, const float *luma1, size_t height, size_t width, const float *hint,
             float *scratch, float *forward, float *backward) {
    level levels[MOST_LEVELS];
    size_t count = count_levels(height, width);
    float *s = scratch, *weight = s;
    s += height * width;
    float *flows = s;
    s += 2 * patches_flow(height) * patches_flow(width);
    for (size_t k = 0; k < 2; k++) {
        const float *image = k ? luma1 : luma0;
        for (size_t l = 0; l < count; l++) {
            level *v = &levels[l];
            v->height = height >> l;
            v->width = width >> l;
            v->down = patches_flow(v->height);
            v->across = patches_flow(v->width);
            if (l) {
                /* an odd last row or column is left out */
                ib_shrink(image, levels[l - 1].height, levels[l - 1].width, 2, s);
                image = s;
                s += v->height * v->width;
            }
            v->image[k] = ib_pad(image, v->height, v->width, s);
            s += ib_padded_floats(v->height, v->width);
        }
    }
    size_t hinted = count > HINT_LEVEL ? HINT_LEVEL : count - 1;
    for (size_t k = 0; k < 2; k++) {
        float *flow = k ? backward : forward;
        hints h = {hint, height / HINT_PX, width / HINT_PX, k ? -1.0f : 1.0f};
        memset(flows, 0, 2 * levels[count - 1].down * levels[count - 1].across * sizeof *flows);
        for (size_t l = count; l-- > 0;) {
            if (l + 1 < count) {
                descend(&levels[l + 1], flow, &levels[l], flows);
            }
            search_level(&levels[l], k, hint && l == hinted ? &h : NULL, (size_t)1 << l, flows);
            spread_flow(&levels[l], k, flows, flow, weight);
        }
    }
}
