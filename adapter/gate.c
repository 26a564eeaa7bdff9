/* The gate: how far a token follows the guide, and which of its two pictures more. A small network on named
 * features of the guide, the keyframes and what the pixel model thought of its pictures; latents themselves
 * are not among them, which is why it learns from few videos. Its last layer begins at zero: untrained, the
 * guide is not followed, and its pictures count by their keyframes' nearness, 1 - t and t. */
#include <math.h>
#include <string.h>

#include "adapter/private.h"
#include "nn/layers.h"
#include "nn/simd.h"

/* An output of 1 opens the gate by this much: weights move by about the learning rate in a step. */
static const float gate_unit = 4.0f;
static const float floor_ratio = 1e-3f;

/* The same for the share of the last keyframe's picture, as a logit. */
static const float share_unit = 2.0f;

enum { TOKEN_FEATURES = 12, GLOBAL_FEATURES = 8, GATE_OUTPUTS = 2 };

size_t ib_gate_inputs(const ib_adapter_config *c) {
    bool many = c->layout != IB_LAYOUT_SINGLE;
    return TOKEN_FEATURES + (many ? TOKEN_FEATURES : 0) + GLOBAL_FEATURES + IB_GUIDE_FEATURES;
}

/* Sums of products over a token. d: z1 - z0; u, v: z0 and z1 less slerp, s; a, b: the pictures of the first
 * and the last keyframe less slerp; m: their mixture by t. */
typedef struct sums {
    float dd, uu, vv, ss, aa, bb, ab, mm, mu, mv, ms;
} sums;
enum { SUMS = sizeof(sums) / sizeof(float) };

IB_MULTIARCH
static void add_up(const float *restrict z0, const float *restrict z1, const float *restrict slerp,
                   const float *restrict a, const float *restrict b, float t, size_t n, float *restrict to) {
    sums r = {0};
    for (size_t i = 0; i < n; i++) {
        float s = slerp[i], d = z1[i] - z0[i], u = z0[i] - s, v = z1[i] - s, m = a[i] + t * (b[i] - a[i]);
        r.dd += d * d;
        r.uu += u * u;
        r.vv += v * v;
        r.ss += s * s;
        r.aa += a[i] * a[i];
        r.bb += b[i] * b[i];
        r.ab += a[i] * b[i];
        r.mm += m * m;
        r.mu += m * u;
        r.mv += m * v;
        r.ms += m * s;
    }
    memcpy(to, &r, sizeof r);
}

static float log_ratio(float a, float b) {
    return 0.5f * logf((a + floor_ratio * b + 1e-12f) / (b + 1e-12f));
}

static float cosine(float ab, float aa, float bb) {
    return ab / sqrtf(aa * bb + 1e-12f);
}

/* f: [TOKEN_FEATURES], in about unit range; n: values summed over. */
static void token_features(const float *sum, float n, float *f) {
    sums s;
    memcpy(&s, sum, sizeof s);
    f[0] = 0.25f * logf(s.dd / n + 1e-6f);
    f[1] = 0.25f * logf(s.mm / n + 1e-6f);
    f[2] = log_ratio(s.mm, s.dd);
    f[3] = cosine(s.mu, s.mm, s.uu);
    f[4] = cosine(s.mv, s.mm, s.vv);
    f[5] = log_ratio(s.ss + 2 * s.ms + s.mm, s.ss);
    f[6] = log_ratio(s.uu, s.dd);
    f[7] = log_ratio(s.vv, s.dd);
    f[8] = log_ratio(s.aa + s.bb - 2 * s.ab, s.dd); /* how far the two pictures are apart */
    f[9] = cosine(s.ab, s.aa, s.bb);
    f[10] = log_ratio(s.aa, s.dd);
    f[11] = log_ratio(s.bb, s.dd);
}

/* What is alike for all tokens. f: [GLOBAL_FEATURES + IB_GUIDE_FEATURES] */
static void global_features(const ib_ordered *in, float *f) {
    float seen[IB_GUIDE_FEATURES], gap = log2f(in->gap_seconds > 1e-3f ? in->gap_seconds : 1e-3f) / 4.0f;
    memcpy(seen, in->feature, sizeof seen);
    if (in->swapped) { /* what belongs to one keyframe follows it */
        seen[IB_GUIDE_FROM_FIRST] = in->feature[IB_GUIDE_FROM_LAST];
        seen[IB_GUIDE_FROM_LAST] = in->feature[IB_GUIDE_FROM_FIRST];
    }
    float apart = seen[IB_GUIDE_APART] + floor_ratio;
    *f++ = in->t;
    *f++ = 4.0f * in->t * (1.0f - in->t);
    *f++ = gap;
    *f++ = gap * gap;
    *f++ = gap + 0.25f * log2f(in->t + floor_ratio); /* time to the nearer keyframe */
    *f++ = 0.5f * logf((seen[IB_GUIDE_FROM_FIRST] + floor_ratio) / apart);
    *f++ = 0.5f * logf((seen[IB_GUIDE_FROM_LAST] + floor_ratio) / apart);
    *f++ = 0.5f * logf((seen[IB_GUIDE_DOUBT] + floor_ratio) / apart);
    for (size_t i = 0; i < IB_GUIDE_FEATURES; i++) {
        *f++ = 0.25f * logf(seen[i] + floor_ratio);
    }
}

/* One sample's rows. */
void ib_gate_features(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample) {
    size_t tokens = w->shape.tokens, width = w->shape.width, each = tokens * width, at = sample * each,
           inputs = a->gate_inputs;
    float *first = w->gate_in + sample * tokens * inputs, *to[IB_GUIDE_PICTURES];
    for (size_t p = 0; p < IB_GUIDE_PICTURES; p++) {
        to[p] = w->toward[p] + at;
    }
    w->has_guide[sample] = in->guide != NULL;
    w->guide_odds[sample] = in->guide ? logf(in->t / (1.0f - in->t)) : 0;
    if (!in->guide) {
        memset(to[0], 0, each * sizeof *to[0]);
        memset(to[1], 0, each * sizeof *to[1]);
        memset(first, 0, tokens * inputs * sizeof *first);
        return;
    }
    const float *slerp = w->slerp + at, *h[IB_GUIDE_PICTURES] = {in->guide, in->guide + each};
    float rest[GLOBAL_FEATURES + IB_GUIDE_FEATURES], all[SUMS] = {0}, one[SUMS];
    bool many = a->config.layout != IB_LAYOUT_SINGLE;
    global_features(in, rest);
    for (size_t p = 0; p < IB_GUIDE_PICTURES; p++) {
        const float *from = h[in->swapped ? 1 - p : p];
        for (size_t i = 0; i < each; i++) {
            to[p][i] = from[i] - slerp[i];
        }
    }
    for (size_t k = 0; k < tokens; k++) {
        float *f = first + k * inputs;
        size_t i = k * width;
        add_up(in->z0 + i, in->z1 + i, slerp + i, to[0] + i, to[1] + i, in->t, width, one);
        token_features(one, (float)width, f);
        memcpy(f + inputs - sizeof rest / sizeof *rest, rest, sizeof rest);
        for (size_t q = 0; q < SUMS; q++) {
            all[q] += one[q];
        }
    }
    if (many) {
        float mean[TOKEN_FEATURES];
        token_features(all, (float)each, mean);
        for (size_t k = 0; k < tokens; k++) {
            memcpy(first + k * inputs + TOKEN_FEATURES, mean, sizeof mean);
        }
    }
}

static float sigmoid(float x) {
    return x >= 0 ? 1.0f / (1.0f + expf(-x)) : expf(x) / (1.0f + expf(x));
}

void ib_gate_forward(const ib_adapter *a, ib_adapter_work *w, size_t n) {
    const float *p = a->params;
    size_t tokens = w->shape.tokens, rows = n * tokens, c = IB_GATE_WIDTH;
    ib_linear(w->gate_in, p + a->gate_into.w, p + a->gate_into.b, rows, a->gate_inputs, c, w->gate_pre);
    ib_silu(w->gate_pre, rows * c, w->gate_hidden);
    ib_linear(w->gate_hidden, p + a->gate.w, p + a->gate.b, rows, c, GATE_OUTPUTS, w->gate_raw);
    for (size_t i = 0; i < rows; i++) {
        size_t sample = i / tokens;
        float g = gate_unit * w->gate_raw[GATE_OUTPUTS * i];
        w->gate[i] = !w->has_guide[sample] || !(g > 0) ? 0 : g < 1 ? g : 1;
        w->share[i] = sigmoid(share_unit * w->gate_raw[GATE_OUTPUTS * i + 1] + w->guide_odds[sample]);
    }
}

/* dgate, the gradients at gate and share -> grads. At the gate's ends its gradient passes where it leads
 * inside: a closed gate can open. */
void ib_gate_backward(const ib_adapter *a, ib_adapter_work *w, size_t n) {
    const float *p = a->params;
    size_t tokens = w->shape.tokens, rows = n * tokens, c = IB_GATE_WIDTH;
    for (size_t i = 0; i < rows; i++) {
        float *d = w->dgate + GATE_OUTPUTS * i, g = gate_unit * w->gate_raw[GATE_OUTPUTS * i];
        bool there = w->has_guide[i / tokens];
        d[0] = there && (g > 0 || d[0] < 0) && (g < 1 || d[0] > 0) ? gate_unit * d[0] : 0;
        d[1] = there ? share_unit * w->share[i] * (1.0f - w->share[i]) * d[1] : 0;
    }
    ib_linear_backward(w->gate_hidden, p + a->gate.w, w->dgate, rows, c, GATE_OUTPUTS, w->dgate_hidden,
                       w->grads + a->gate.w, w->grads + a->gate.b);
    ib_silu_backward(w->gate_pre, w->dgate_hidden, rows * c, w->dgate_hidden);
    ib_linear_backward(w->gate_in, p + a->gate_into.w, w->dgate_hidden, rows, a->gate_inputs, c, NULL,
                       w->grads + a->gate_into.w, w->grads + a->gate_into.b);
}

IB_MULTIARCH
static void follow(const float *restrict a, const float *restrict b, float g, float share, size_t n,
                   float *restrict z) {
    for (size_t i = 0; i < n; i++) {
        z[i] += g * (a[i] + share * (b[i] - a[i]));
    }
}

/* Of d with the mixture of a and b, and with b - a. */
IB_MULTIARCH
static void products(const float *restrict a, const float *restrict b, float share, const float *restrict d,
                     size_t n, float *mixture, float *difference) {
    float x = 0, y = 0;
    for (size_t i = 0; i < n; i++) {
        x += d[i] * a[i];
        y += d[i] * (b[i] - a[i]);
    }
    *mixture = x + share * y;
    *difference = y;
}

/* z += g ((1 - share) h0 + share h1 - slerp) */
void ib_gate_follow(ib_adapter_work *w, size_t sample, float *z) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens;
    float sum = 0;
    for (size_t k = at; k < at + tokens && w->has_guide[sample]; k++) {
        follow(w->toward[0] + k * width, w->toward[1] + k * width, w->gate[k], w->share[k], width,
               z + (k - at) * width);
        sum += w->gate[k];
    }
    w->gate_mean[sample] = sum / (float)tokens;
}

void ib_gate_follow_backward(ib_adapter_work *w, size_t sample, const float *dz) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens;
    for (size_t k = at; k < at + tokens; k++) {
        float *d = w->dgate + GATE_OUTPUTS * k;
        products(w->toward[0] + k * width, w->toward[1] + k * width, w->share[k], dz + (k - at) * width,
                 width, &d[0], &d[1]);
        d[1] *= w->gate[k];
    }
}

/* m = a + t (b - a), scaled: what the trunk sees of a sample's guide. */
void ib_gate_seen(const ib_adapter_work *w, size_t token, float t, float by, float *f) {
    size_t width = w->shape.width;
    const float *a = w->toward[0] + token * width, *b = w->toward[1] + token * width;
    for (size_t i = 0; i < width; i++) {
        f[i] = by * (a[i] + t * (b[i] - a[i]));
    }
}
