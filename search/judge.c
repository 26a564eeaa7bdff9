#include "search/judge.h"

#include <math.h>
#include <string.h>

#include "nn/layers.h"
#include "nn/simd.h"

/* Distances of z from everything, and its length: [IB_JUDGE_THINGS + 1] */
IB_MULTIARCH
static void distances(const float *const thing[], size_t things, const float *restrict z, size_t n,
                      float *restrict square) {
    for (size_t k = 0; k < things; k++) {
        const float *restrict y = thing[k];
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++) {
            float d = z[i] - y[i];
            sum += d * d;
        }
        square[k] = sum;
    }
    float length = 0;
#pragma omp simd reduction(+ : length)
    for (size_t i = 0; i < n; i++) {
        length += z[i] * z[i];
    }
    square[things] = length;
}

static float log_of(float seconds) {
    return 0.25f * log2f(seconds > 1e-3f ? seconds : 1e-3f);
}

void ib_judge_look(ib_judge_view *v, const ib_strand *at, const float *left, float left_t, const float *right,
                   float right_t, float *room) {
    const ib_sought *s = at->s;
    size_t width = s->shape.width, token = at->token * width, each = s->shape.tokens * width;
    size_t k = at->place, before = k ? k - 1 : k, after = k + 1 < s->places ? k + 1 : k;
    const float *guide = s->guide + k * IB_GUIDE_PICTURES * each + token;
    float t = s->t[k], square[IB_JUDGE_THINGS + 1], *x = v->common;
    ib_lerp(guide, guide + each, t, width, room);
    const float *thing[IB_JUDGE_THINGS] = {s->z0 + token,
                                           s->z1 + token,
                                           left,
                                           right,
                                           s->slerp + k * each + token,
                                           s->own + k * each + token,
                                           room,
                                           guide,
                                           guide + each,
                                           s->calm + k * each + token,
                                           s->guide + before * IB_GUIDE_PICTURES * each + token,
                                           s->guide + (after * IB_GUIDE_PICTURES + 1) * each + token};
    memcpy(v->thing, thing, sizeof thing);
    v->width = width;
    v->unit = ib_sought_apart(thing[0], thing[1], width);
    distances(thing, 0, thing[4], width, &v->length);
    for (size_t a = 1; a < IB_JUDGE_THINGS; a++) {
        distances(thing, a, thing[a], width, square);
        for (size_t i = 0; i < a; i++) {
            *x++ = ib_sought_ratio(square[i], v->unit);
        }
    }
    *x++ = t;
    *x++ = 4 * t * (1 - t);
    *x++ = log_of(s->gap_seconds);
    *x++ = log_of((t - left_t) * s->gap_seconds);
    *x++ = log_of((right_t - t) * s->gap_seconds);
    *x++ = (t - left_t) / (right_t - left_t);
    *x++ = 0.25f * logf(v->unit / (float)width + 1e-6f);
    *x++ = s->guided;
    for (size_t i = 0; i < IB_GUIDE_FEATURES; i++) {
        *x++ = s->guided ? 0.25f * logf(s->feature[k * IB_GUIDE_FEATURES + i] + 1e-3f) : 0;
    }
    memcpy(x, s->whole + k * IB_SOUGHT_WHOLE, IB_SOUGHT_WHOLE * sizeof *x);
}

void ib_judge_inputs(const ib_judge_view *v, const float *z, size_t n, float *x) {
    float square[IB_JUDGE_THINGS + 1];
    for (size_t c = 0; c < n; c++) {
        memcpy(x, v->common, sizeof v->common);
        x += IB_JUDGE_COMMON;
        distances(v->thing, IB_JUDGE_THINGS, z + c * v->width, v->width, square);
        for (size_t k = 0; k < IB_JUDGE_THINGS; k++) {
            *x++ = ib_sought_ratio(square[k], v->unit);
        }
        *x++ = ib_sought_ratio(square[IB_JUDGE_THINGS], v->length);
    }
}

size_t ib_judge_scratch(size_t n) {
    return 2 * n * IB_JUDGE_WIDTH;
}

void ib_judge_scale(const ib_search_judge *j, float *x, size_t n) {
    for (size_t r = 0; r < n; r++, x += IB_JUDGE_INPUTS) {
        for (size_t i = 0; i < IB_JUDGE_INPUTS; i++) {
            x[i] = (x[i] - j->mean[i]) * j->scale[i];
        }
    }
}

/* After ib_linear: SiLU, then dropout if any. */
static void activate(const float *pre, const float *keep, size_t n, float *act) {
    ib_silu(pre, n, act);
    for (size_t i = 0; keep && i < n; i++) {
        act[i] *= keep[i];
    }
}

void ib_judge_forward(const float *p, const float *x, size_t n, float *const pre[2], float *const act[2],
                      const float *const keep[2], float *score) {
    const size_t w = IB_JUDGE_WIDTH;
    ib_linear(x, p + IB_JUDGE_INTO, p + IB_JUDGE_INTO_BIAS, n, IB_JUDGE_INPUTS, w, pre[0]);
    activate(pre[0], keep ? keep[0] : NULL, n * w, act[0]);
    ib_linear(act[0], p + IB_JUDGE_HIDDEN, p + IB_JUDGE_HIDDEN_BIAS, n, w, w, pre[1]);
    activate(pre[1], keep ? keep[1] : NULL, n * w, act[1]);
    ib_linear(act[1], p + IB_JUDGE_OUT, p + IB_JUDGE_OUT_BIAS, n, w, 1, score);
}

void ib_judge_score(const ib_search_judge *j, float *x, size_t n, float *scratch, float *score) {
    float *const layer[2] = {scratch, scratch + n * IB_JUDGE_WIDTH};
    ib_judge_scale(j, x, n);
    ib_judge_forward(j->params, x, n, layer, layer, NULL, score);
    for (size_t r = 0; r < n; r++) {
        score[r] =
            isfinite(score[r]) ? score[r] : -1e30f; /* a damaged judge, or latents beyond its numbers */
    }
}
