/* The gate: how far a token follows the guide. A small network on named features of the guide, the keyframes
 * and what the pixel model thought of its picture; latents themselves are not among them, which is why it
 * learns from few videos. Its last layer begins at zero: untrained, the guide is not followed. */
#include <math.h>
#include <string.h>

#include "adapter/private.h"
#include "nn/layers.h"
#include "nn/simd.h"

/* An output of 1 opens the gate by this much: weights move by about the learning rate in a step. */
static const float gate_unit = 4.0f;
static const float floor_ratio = 1e-3f;

enum { TOKEN_FEATURES = 8, GLOBAL_FEATURES = 6 };

size_t ib_gate_inputs(const ib_adapter_config *c) {
    bool many = c->layout != IB_LAYOUT_SINGLE;
    return TOKEN_FEATURES + (many ? TOKEN_FEATURES : 0) + GLOBAL_FEATURES + IB_GUIDE_FEATURES;
}

/* Sums of products over a token: of d = z1 - z0, a = h - slerp, u = z0 - slerp, v = z1 - slerp. */
typedef struct sums {
    float dd, aa, uu, vv, au, av, hh, ss;
} sums;

IB_MULTIARCH
static void add_up(const float *restrict z0, const float *restrict z1, const float *restrict slerp,
                   const float *restrict toward, size_t n, sums *s) {
    float dd = 0, aa = 0, uu = 0, vv = 0, au = 0, av = 0, hh = 0, ss = 0;
    for (size_t i = 0; i < n; i++) {
        float d = z1[i] - z0[i], a = toward[i], u = z0[i] - slerp[i], v = z1[i] - slerp[i], h = slerp[i] + a;
        dd += d * d;
        aa += a * a;
        uu += u * u;
        vv += v * v;
        au += a * u;
        av += a * v;
        hh += h * h;
        ss += slerp[i] * slerp[i];
    }
    *s = (sums){dd, aa, uu, vv, au, av, hh, ss};
}

static float log_ratio(float a, float b) {
    return 0.5f * logf((a + floor_ratio * b + 1e-12f) / (b + 1e-12f));
}

/* f: [TOKEN_FEATURES], in about unit range; n: values summed over. */
static void token_features(const sums *s, float n, float *f) {
    f[0] = 0.25f * logf(s->dd / n + 1e-6f);
    f[1] = 0.25f * logf(s->aa / n + 1e-6f);
    f[2] = log_ratio(s->aa, s->dd);
    f[3] = s->au / sqrtf(s->aa * s->uu + 1e-12f);
    f[4] = s->av / sqrtf(s->aa * s->vv + 1e-12f);
    f[5] = log_ratio(s->hh, s->ss);
    f[6] = log_ratio(s->uu, s->dd);
    f[7] = log_ratio(s->vv, s->dd);
}

/* One sample's rows. */
void ib_gate_features(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens * width,
           inputs = a->gate_inputs;
    float *toward = w->toward + at, *first = w->gate_in + sample * tokens * inputs;
    w->has_guide[sample] = in->guide != NULL;
    if (!in->guide) {
        memset(toward, 0, tokens * width * sizeof *toward);
        memset(first, 0, tokens * inputs * sizeof *first);
        return;
    }
    const float *slerp = w->slerp + at;
    sums all = {0};
    float rest[GLOBAL_FEATURES + IB_GUIDE_FEATURES], *g = rest;
    float gap = log2f(in->gap_seconds > 1e-3f ? in->gap_seconds : 1e-3f) / 4.0f;
    *g++ = in->t;
    *g++ = 4.0f * in->t * (1.0f - in->t);
    *g++ = gap;
    *g++ = gap * gap;
    float apart = in->feature[IB_GUIDE_APART] + floor_ratio;
    *g++ = 0.5f * logf((in->feature[IB_GUIDE_FROM_FIRST] + floor_ratio) / apart);
    *g++ = 0.5f * logf((in->feature[IB_GUIDE_FROM_LAST] + floor_ratio) / apart);
    for (size_t i = 0; i < IB_GUIDE_FEATURES; i++) {
        *g++ = 0.25f * logf(in->feature[i] + floor_ratio);
    }
    if (in->swapped) { /* what belongs to one keyframe follows it */
        float other = rest[4];
        rest[4] = rest[5];
        rest[5] = other;
        other = rest[GLOBAL_FEATURES];
        rest[GLOBAL_FEATURES] = rest[GLOBAL_FEATURES + 1];
        rest[GLOBAL_FEATURES + 1] = other;
    }
    for (size_t k = 0; k < tokens; k++) {
        const float *s = slerp + k * width, *h = in->guide + k * width;
        float *to = toward + k * width, *f = first + k * inputs;
        sums one;
        for (size_t i = 0; i < width; i++) {
            to[i] = h[i] - s[i];
        }
        add_up(in->z0 + k * width, in->z1 + k * width, s, to, width, &one);
        token_features(&one, (float)width, f);
        memcpy(f + inputs - sizeof rest / sizeof *rest, rest, sizeof rest);
        all.dd += one.dd;
        all.aa += one.aa;
        all.uu += one.uu;
        all.vv += one.vv;
        all.au += one.au;
        all.av += one.av;
        all.hh += one.hh;
        all.ss += one.ss;
    }
    if (tokens > 1 || a->config.layout != IB_LAYOUT_SINGLE) {
        float mean[TOKEN_FEATURES];
        token_features(&all, (float)(tokens * width), mean);
        for (size_t k = 0; k < tokens; k++) {
            memcpy(first + k * inputs + TOKEN_FEATURES, mean, sizeof mean);
        }
    }
}

/* gate_in -> gate, for n samples. */
void ib_gate_forward(const ib_adapter *a, ib_adapter_work *w, size_t n) {
    const float *p = a->params;
    size_t tokens = w->shape.tokens, rows = n * tokens, c = IB_GATE_WIDTH;
    ib_linear(w->gate_in, p + a->gate_into.w, p + a->gate_into.b, rows, a->gate_inputs, c, w->gate_pre);
    ib_silu(w->gate_pre, rows * c, w->gate_hidden);
    ib_linear(w->gate_hidden, p + a->gate.w, p + a->gate.b, rows, c, 1, w->gate_raw);
    for (size_t i = 0; i < rows; i++) {
        float g = gate_unit * w->gate_raw[i];
        w->gate[i] = !w->has_guide[i / tokens] || !(g > 0) ? 0 : g < 1 ? g : 1;
    }
}

/* dgate, the gradient at the gate -> grads. At its ends the gradient passes where it leads inside: a closed
 * gate can open. */
void ib_gate_backward(const ib_adapter *a, ib_adapter_work *w, size_t n) {
    const float *p = a->params;
    size_t tokens = w->shape.tokens, rows = n * tokens, c = IB_GATE_WIDTH;
    for (size_t i = 0; i < rows; i++) {
        float g = gate_unit * w->gate_raw[i], d = w->dgate[i];
        bool passes = w->has_guide[i / tokens] && (g > 0 || d < 0) && (g < 1 || d > 0);
        w->dgate[i] = passes ? gate_unit * d : 0;
    }
    ib_linear_backward(w->gate_hidden, p + a->gate.w, w->dgate, rows, c, 1, w->dgate_hidden,
                       w->grads + a->gate.w, w->grads + a->gate.b);
    ib_silu_backward(w->gate_pre, w->dgate_hidden, rows * c, w->dgate_hidden);
    ib_linear_backward(w->gate_in, p + a->gate_into.w, w->dgate_hidden, rows, a->gate_inputs, c, NULL,
                       w->grads + a->gate_into.w, w->grads + a->gate_into.b);
}

IB_MULTIARCH
static void follow(const float *restrict toward, float g, size_t n, float *restrict z) {
    for (size_t i = 0; i < n; i++) {
        z[i] += g * toward[i];
    }
}

IB_MULTIARCH
static float product(const float *restrict a, const float *restrict b, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* z += g (h - slerp), sample by sample */
void ib_gate_follow(ib_adapter_work *w, size_t sample, float *z) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens;
    float sum = 0;
    for (size_t k = 0; k < tokens && w->has_guide[sample]; k++) {
        float g = w->gate[at + k];
        follow(w->toward + (at + k) * width, g, width, z + k * width);
        sum += g;
    }
    w->gate_mean[sample] = sum / (float)tokens;
}

void ib_gate_follow_backward(ib_adapter_work *w, size_t sample, const float *dz) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens;
    for (size_t k = 0; k < tokens; k++) {
        w->dgate[at + k] = product(w->toward + (at + k) * width, dz + k * width, width);
    }
}
