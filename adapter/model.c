/* From keyframes to in-betweens and, for training, back. */
#include <math.h>
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "nn/conv3x3.h"
#include "nn/layers.h"
#include "nn/simd.h"

/* Added to a token's RMS distance before dividing by it: a quarter of an 8-bit step. */
static const float distance_floor = 1e-3f;
/* What is added to the part of slerp's error that is left before its logarithm is taken: the loss with a
 * motion head (docs/model.md). */
static const double left_floor = 0.1;

/* Samples that go through the trunk together, at most. */
enum { MOST_AT_ONCE = 256 };

ib_ordered ib_order(const ib_between *in, size_t n_floats) {
    bool turn = in->t > 0.5f || (in->t == 0.5f && memcmp(in->z0, in->z1, n_floats * sizeof(float)) > 0);
    ib_ordered o = {.z0 = in->z0,
                    .z1 = in->z1,
                    .t = in->t,
                    .gap_seconds = in->gap_seconds,
                    .swapped = turn,
                    .guide = in->guide,
                    .feature = in->feature};
    if (turn) {
        o.z0 = in->z1;
        o.z1 = in->z0;
        o.t = 1.0f - in->t;
    }
    return o;
}

void ib_time_features(float t, float gap_seconds, float *f) {
    float gap = log2f(gap_seconds > 1e-3f ? gap_seconds : 1e-3f) / 4.0f, angle = 3.14159265f * t;
    for (int k = 0; k < 6; k++) {
        f[2 * k] = cosf((float)(k + 1) * angle);
        f[2 * k + 1] = sinf((float)(k + 1) * angle);
    }
    f[12] = gap;
    f[13] = gap * gap;
    f[14] = cosf(3.0f * gap);
    f[15] = sinf(3.0f * gap);
}

static void lay_out_work(ib_adapter_work *w, const ib_adapter *a, ib_bump *b) {
    size_t tokens = w->shape.tokens, width = w->shape.width, n = (size_t)w->batch * tokens,
           cells = IB_TOKEN_CELLS * tokens, moves = IB_TOKEN_CELLS * IB_CELL_OUTPUTS;
    w->z = ib_take(b, w->training ? n * width : 0);
    w->scale = ib_take(b, n);
    w->slerp = ib_take(b, n * width);
    w->positions = ib_take(b, a->attention ? IB_POSITION_FEATURES * tokens : 0);
    w->correction = ib_take(b, n * width);
    w->dcorrection = ib_take(b, w->training ? n * width : 0);
    w->grads = ib_take(b, w->training ? a->count : 0);
    if (a->guided) {
        w->toward[0] = ib_take(b, n * width);
        w->toward[1] = ib_take(b, n * width);
        w->guide_odds = ib_take(b, (size_t)w->batch);
        w->gate_in = ib_take(b, n * a->gate_inputs);
        w->gate_pre = ib_take(b, n * IB_GATE_WIDTH);
        w->gate_hidden = ib_take(b, n * IB_GATE_WIDTH);
        w->gate_raw = ib_take(b, 2 * n);
        w->gate = ib_take(b, n);
        w->share = ib_take(b, n);
        w->gate_mean = ib_take(b, (size_t)w->batch);
        w->dgate_hidden = ib_take(b, w->training ? n * IB_GATE_WIDTH : 0);
        w->dgate = ib_take(b, w->training ? 2 * n : 0);
    }
    if (a->config.motion) {
        w->seen = ib_take(b, tokens * IB_MOTION_FEATURES);
        w->carried0 = ib_take(b, tokens * width);
        w->carried1 = ib_take(b, tokens * width);
        w->tilt = ib_take(b, n * width);
        w->hypothesis = ib_take(b, IB_HYPOTHESES * n * width);
        w->blend = ib_take(b, n * width);
        w->fields = ib_take(b, IB_FIELDS * cells);
        w->dfields = ib_take(b, w->training ? IB_FIELDS * cells : 0);
        w->pixels = ib_take(b, tokens * width);
        w->mixing = ib_take(b, IB_MIXINGS * n * width);
        w->dmixing = ib_take(b, w->training ? IB_MIXINGS * n * width : 0);
        w->motion_out = ib_take(b, n * moves);
        w->dmotion = ib_take(b, w->training ? n * moves : 0);
    }
}

int ib_adapter_work_create(ib_adapter_work **out, const ib_adapter *a, const ib_shape *shape, int batch,
                           bool training, ib_error *err) {
    *out = NULL;
    const ib_adapter_config *c = &a->config;
    if (shape->layout != c->layout || shape->width != (size_t)c->width) {
        return ib_fail(err, IB_E_MISMATCH,
                       "the adapter takes '%s' latents of width %d, not '%s' latents of width %zu",
                       ib_layout_name(c->layout), c->width, ib_layout_name(shape->layout), shape->width);
    }
    if (training && !a->transposed) {
        return ib_fail(err, IB_E_ARGUMENT, "a work space for training needs an adapter that trains");
    }
    bool grid = c->layout == IB_LAYOUT_GRID;
    if (batch < 1 || batch > 65536 || shape->tokens < 1 || shape->tokens > 1 << 22 ||
        (grid && (shape->rows < 1 || shape->cols < 1 ||
                  (size_t)shape->rows * (size_t)shape->cols != shape->tokens))) {
        return ib_fail(err, IB_E_ARGUMENT, "work space out of range: %d samples of %d x %d tokens", batch,
                       shape->rows, shape->cols);
    }
    ib_adapter_work *w = ib_calloc(1, sizeof *w);
    if (!w) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the model's work space");
    }
    w->shape = *shape;
    w->geometry = ib_geometry_of(c->space_id);
    w->batch = batch;
    w->training = training;
    w->rows = grid ? (size_t)shape->rows : 1;
    w->cols = grid ? (size_t)shape->cols : shape->tokens;
    int rc = ib_trunk_create(&w->trunk, a, (size_t)batch, w->rows, w->cols, training, err);
    if (!rc) {
        ib_bump need = {0};
        lay_out_work(w, a, &need);
        rc = ib_alloc_floats(&w->arena, need.used, "the model's work space", err);
    }
    if (!rc && a->guided && !(w->has_guide = ib_calloc((size_t)batch, sizeof *w->has_guide))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the model's work space");
    }
    if (!rc && c->motion) {
        w->motion = ib_calloc((size_t)batch, sizeof *w->motion);
        rc = w->motion ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for the model's work space");
        for (int i = 0; i < batch && !rc; i++) {
            rc = ib_motion_create(&w->motion[i], w->rows, w->cols, err);
        }
    }
    if (rc) {
        ib_adapter_work_free(&w);
        return rc;
    }
    lay_out_work(w, a, &(ib_bump){.base = w->arena});
    for (size_t k = 0; k < shape->tokens && a->attention; k++) {
        ib_position_features(k, shape->tokens, w->positions + k * IB_POSITION_FEATURES);
    }
    *out = w;
    return 0;
}

void ib_adapter_work_free(ib_adapter_work **w) {
    if (*w) {
        for (int i = 0; (*w)->motion && i < (*w)->batch; i++) {
            ib_motion_free(&(*w)->motion[i]);
        }
        ib_free((*w)->motion);
        ib_free((*w)->has_guide);
        ib_trunk_free(&(*w)->trunk);
        ib_free((*w)->arena);
        ib_free((*w)->room);
        ib_free(*w);
        *w = NULL;
    }
}

int ib_work_room(ib_adapter_work *w, float **room, size_t n, const char *what, ib_error *err) {
    int rc = 0;
    if (n > w->room_floats) {
        ib_free(w->room);
        w->room = NULL;
        rc = ib_alloc_floats(&w->room, n, what, err);
        w->room_floats = rc ? 0 : n;
    }
    *room = w->room;
    return rc;
}

/* RMS distance of two tokens */
IB_MULTIARCH
static float distance_model(const float *restrict a, const float *restrict b, size_t n) {
    float s[16] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            float d = b[i + j] - a[i + j];
            s[j] += d * d;
        }
    }
    for (; i < n; i++) {
        sum += (b[i] - a[i]) * (b[i] - a[i]);
    }
    for (size_t j = 0; j < 16; j++) {
        sum += s[j];
    }
    return sqrtf(sum / (float)n);
}

IB_MULTIARCH
static void mean_and_difference(const float *restrict a, const float *restrict b, float inv, size_t n,
                                float *restrict mean, float *restrict diff) {
    for (size_t i = 0; i < n; i++) {
        mean[i] = 0.5f * (a[i] + b[i]);
        diff[i] = (b[i] - a[i]) * inv;
    }
}

/* Whether a coefficient is the mean of one of a token's three blocks. */
static bool is_mean(size_t i) {
    return i == 0 || i == 64 || i == 80;
}

/* How far two tokens are apart in each coefficient, times inv. */
IB_MULTIARCH
static void magnitudes(const float *restrict a, const float *restrict b, float inv, size_t n,
                       float *restrict d) {
    for (size_t i = 0; i < n; i++) {
        d[i] = fabsf(b[i] - a[i]) * inv;
    }
}

/* What the trunk sees of a token's pixels: magnitudes of the carried keyframes' mean, its blocks' means left
 * out, of their difference, and of the keyframes' own difference. Without signs, because a picture and its
 * negative move alike: with them a model learns more by heart (docs/experiments.md). f: [IB_PIXEL_FEATURES]
 */
static void pixel_features(const float *u, const float *v, const float *uw, const float *vw, float inv,
                           float *f) {
    for (size_t i = 0; i < IB_PATCH_D; i++) {
        if (!is_mean(i)) {
            *f++ = fabsf(0.5f * (uw[i] + vw[i]));
        }
    }
    magnitudes(uw, vw, inv, IB_PATCH_D, f);
    magnitudes(u, v, inv, IB_PATCH_D, f + IB_PATCH_D);
}

/* One sample's motion, and what of it the trunk sees; with `heads` also what its heads need. */
static void estimate_motion(ib_adapter_work *w, const ib_ordered *in, size_t sample, bool heads) {
    ib_motion *m = &w->motion[sample];
    int rows = (int)w->rows, cols = (int)w->cols;
    size_t n = w->shape.tokens * w->shape.width;
    ib_patch_inverse(in->z0, rows, cols, m->planes0);
    ib_patch_inverse(in->z1, rows, cols, m->planes1);
    m->pictures = heads;
    ib_motion_estimate(m, in->t, w->seen);
    ib_patch_forward(m->carried0, rows, cols, w->carried0);
    ib_patch_forward(m->carried1, rows, cols, w->carried1);
    if (heads) {
        ib_subtract(w->carried0, w->carried1, n, w->tilt + sample * n);
    }
    for (size_t k = 0; heads && k < IB_HYPOTHESES; k++) {
        ib_patch_forward(m->hypothesis + k * n, rows, cols, w->hypothesis + (sample * IB_HYPOTHESES + k) * n);
    }
}

/* One sample's rows of the trunk's input and, with `heads`, what its heads need besides. */
static void sample_features(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample,
                            bool heads) {
    size_t tokens = w->shape.tokens, width = w->shape.width;
    float *scale = w->scale + sample * tokens, *slerp = w->slerp + sample * tokens * width;
    if (heads) {
        ib_slerp_in(w->geometry, in->z0, in->z1, in->t, tokens, width, slerp);
    }
    if (a->guided) {
        ib_gate_features(a, w, in, sample);
    }
    if (w->motion) {
        estimate_motion(w, in, sample, heads);
    }
    for (size_t k = 0; k < tokens; k++) {
        const float *u = in->z0 + k * width, *v = in->z1 + k * width;
        float *f = w->trunk.features + (sample * tokens + k) * a->features;
        float s = distance_model(u, v, width), inv = 1.0f / (s + distance_floor);
        scale[k] = s;
        if (!w->motion) {
            mean_and_difference(u, v, inv, width, f, f + width);
            f += 2 * width;
            *f++ = logf(s + distance_floor);
            if (a->guided) {
                ib_gate_seen(w, sample * tokens + k, in->t, inv, f);
                f += width;
                *f++ = in->guide ? 1 : 0;
            }
            if (a->attention) {
                memcpy(f, w->positions + k * IB_POSITION_FEATURES, IB_POSITION_FEATURES * sizeof *f);
            }
            continue;
        }
        const float *uw = w->carried0 + k * width, *vw = w->carried1 + k * width;
        pixel_features(u, v, uw, vw, inv, f);
        f += IB_PIXEL_FEATURES;
        f[0] = logf(s + distance_floor);
        f[1] = logf(distance_model(uw, vw, width) + distance_floor);
        memcpy(f + 2, w->seen + k * IB_MOTION_FEATURES, IB_MOTION_FEATURES * sizeof *f);
    }
}

static void run_head(const ib_adapter *a, const ib_adapter_work *w, ib_span s, size_t tokens, size_t n,
                     float *out) {
    ib_linear(w->trunk.out, a->params + s.w, a->params + s.b, tokens, (size_t)a->config.fine, n, out);
}

/* dx: the gradient at what the head read, overwritten */
static void run_head_backward(const ib_adapter *a, ib_adapter_work *w, ib_span s, const float *dout,
                              size_t tokens, size_t n, float *dx) {
    ib_linear_backward(w->trunk.out, a->params + s.w, dout, tokens, (size_t)a->config.fine, n, dx,
                       w->grads + s.w, w->grads + s.b);
}

void ib_model_heads(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n) {
    size_t tokens = (size_t)n * w->shape.tokens;
    for (int i = 0; i < n; i++) {
        sample_features(a, w, &in[i], (size_t)i, true);
        ib_time_features(in[i].t, in[i].gap_seconds, w->trunk.time_in + i * IB_TIME_INPUTS);
    }
    ib_trunk_forward(a, &w->trunk, (size_t)n);
    run_head(a, w, a->correction, tokens, w->shape.width, w->correction);
    if (a->guided) {
        ib_gate_forward(a, w, (size_t)n);
    }
    if (w->motion) {
        run_head(a, w, a->mixing, tokens, IB_MIXINGS * w->shape.width, w->mixing);
        run_head(a, w, a->motion, tokens, IB_TOKEN_CELLS * IB_CELL_OUTPUTS, w->motion_out);
    }
}

/* Whether the motion head can say anything but 0. */
static bool motion_learnt(const ib_adapter *a) {
    size_t n = (size_t)a->config.fine * IB_TOKEN_CELLS * IB_CELL_OUTPUTS;
    bool learnt = false;
    for (size_t i = 0; i < n && !learnt; i++) {
        learnt = a->params[a->motion.w + i] != 0;
    }
    for (size_t i = 0; i < IB_TOKEN_CELLS * IB_CELL_OUTPUTS && !learnt; i++) {
        learnt = a->params[a->motion.b + i] != 0;
    }
    return learnt;
}

/* One sample's part of ib_model_motion before the trunk. */
static void begin_motion(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample,
                         bool learnt) {
    ib_motion *m = &w->motion[sample];
    if (learnt) {
        sample_features(a, w, in, sample, false);
        ib_time_features(in->t, in->gap_seconds, w->trunk.time_in + sample * IB_TIME_INPUTS);
        return;
    }
    ib_patch_inverse(in->z0, (int)w->rows, (int)w->cols, m->planes0);
    ib_patch_inverse(in->z1, (int)w->rows, (int)w->cols, m->planes1);
    ib_motion_prior(m, in->t);
}

void ib_model_motion(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n,
                     const float *forward, const float *backward) {
    size_t tokens = w->shape.tokens, each = tokens * IB_TOKEN_CELLS * IB_CELL_OUTPUTS;
    bool learnt = a->trust > 0 && motion_learnt(a);
    for (int k = 0; k < n; k++) {
        ib_motion *m = &w->motion[k];
        m->forward = in[k].swapped ? backward : forward;
        m->backward = in[k].swapped ? forward : backward;
        begin_motion(a, w, &in[k], (size_t)k, learnt);
        m->forward = m->backward = NULL;
    }
    if (learnt) {
        ib_trunk_forward(a, &w->trunk, (size_t)n);
        run_head(a, w, a->motion, (size_t)n * tokens, IB_TOKEN_CELLS * IB_CELL_OUTPUTS, w->motion_out);
    }
    for (int k = 0; k < n; k++) {
        float trust = (float)a->trust *
                      ib_strength_at(&a->config.strengths, IB_STRENGTH_ALONE, in[k].gap_seconds, true);
        for (size_t i = (size_t)k * each; i < (size_t)(k + 1) * each; i++) {
            w->motion_out[i] = learnt ? trust * w->motion_out[i] : 0;
        }
    }
}

static int check_model(const ib_adapter_work *w, const ib_between *in, int n, ib_error *err) {
    if (n < 1 || n > w->batch) {
        return ib_fail(err, IB_E_ARGUMENT, "the work space holds 1 to %d samples, not %d", w->batch, n);
    }
    for (int i = 0; i < n; i++) {
        if (!(in[i].t >= 0.0f && in[i].t <= 1.0f) ||
            !(in[i].gap_seconds > 0.0f && in[i].gap_seconds < 1e6f)) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "an in-between needs t in [0,1] and a gap above 0 seconds, not %g and %g",
                           (double)in[i].t, (double)in[i].gap_seconds);
        }
        if (in[i].guide && !in[i].feature) {
            return ib_fail(err, IB_E_ARGUMENT, "a guide needs its features");
        }
    }
    return 0;
}

/* Where a guide is not followed and nothing that was learned from it either, it is as if there were none. */
static void drop_useless(const ib_adapter *a, ib_ordered *in) {
    const ib_strengths *s = &a->config.strengths;
    if (in->guide && !(ib_strength_at(s, IB_STRENGTH_GUIDE, in->gap_seconds, false) > 0) &&
        !(ib_strength_at(s, IB_STRENGTH_GUIDED, in->gap_seconds, false) > 0)) {
        in->guide = NULL;
    }
}

/* A prediction, right after it was assembled. */
static int sharpen(ib_adapter_work *w, const ib_ordered *in, size_t sample, float sharpness, float *z,
                   ib_error *err) {
    const ib_motion *m = &w->motion[sample];
    size_t luma = 64 * w->rows * w->cols;
    float *sharp;
    int rc =
        ib_work_room(w, &sharp, luma + ib_sharpen_floats(8 * w->rows, 8 * w->cols, 1), "sharpening", err);
    if (rc) {
        return rc;
    }
    ib_patch_inverse(z, (int)w->rows, (int)w->cols, w->pixels);
    ib_sharpening s = {.canvas = &m->canvas,
                       .fields = w->fields,
                       .t = in->t,
                       .sharpness = sharpness,
                       .key = {{.plane = m->planes0}, {.plane = m->planes1}},
                       .picture = w->pixels};
    ib_sharpen(&s, 1, sharp + luma, sharp);
    memcpy(w->pixels, sharp, luma * sizeof *w->pixels);
    ib_patch_forward(w->pixels, (int)w->rows, (int)w->cols, z);
    return 0;
}

int ib_model_predict(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n, float sharpness,
                     float *const *z, ib_error *err) {
    size_t floats = w->shape.tokens * w->shape.width;
    ib_model_heads(a, w, in, n);
    for (int k = 0; k < n; k++) {
        if (a->trust < 1 || a->config.strengths.bins) {
            ib_model_hold_back(a, w, &in[k], (size_t)k);
        }
        ib_model_assemble(w, &in[k], (size_t)k, z[k]);
        int rc = w->motion && sharpness > 0 ? sharpen(w, &in[k], (size_t)k, sharpness, z[k], err) : 0;
        if (rc) {
            return rc;
        }
        for (size_t i = 0; i < floats; i++) {
            if (!isfinite(z[k][i])) {
                return ib_fail(err, IB_E_NONFINITE,
                               "the model's answer is not finite; its weights or the keyframes are damaged");
            }
        }
    }
    return 0;
}

void ib_adapter_trust(ib_adapter *a, double trust) {
    a->trust = trust > 0 ? trust < 1 ? trust : 1 : 0;
}

void ib_adapter_sharpen(ib_adapter *a, double sharpness) {
    a->sharpness = sharpness > 0 ? sharpness < 1 ? sharpness : 1 : 0;
}

double ib_adapter_trust_of(const ib_adapter *a) {
    return a->trust;
}

int ib_model_answer(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *z,
                    ib_error *err) {
    int rc = check_model(w, in, n, err), waiting = 0;
    size_t floats = w->shape.tokens * w->shape.width;
    ib_ordered ordered[MOST_AT_ONCE];
    float *to[MOST_AT_ONCE];
    for (int i = 0; i < n && !rc; i++) {
        float *zi = z + (size_t)i * floats;
        if (in[i].t == 0.0f || in[i].t == 1.0f || memcmp(in[i].z0, in[i].z1, floats * sizeof *z) == 0) {
            memcpy(zi, in[i].t == 1.0f ? in[i].z1 : in[i].z0, floats * sizeof *z);
        } else {
            ordered[waiting] = ib_order(&in[i], floats);
            drop_useless(a, &ordered[waiting]);
            to[waiting++] = zi;
        }
        if (waiting == MOST_AT_ONCE) {
            rc = ib_model_predict(a, w, ordered, waiting, (float)a->sharpness, to, err);
            waiting = 0;
        }
    }
    return waiting && !rc ? ib_model_predict(a, w, ordered, waiting, (float)a->sharpness, to, err) : rc;
}

int ib_adapter_predict(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *z,
                       ib_error *err) {
    int rc = ib_model_answer(a, w, in, n, z, err);
    bool scaled = a->guide_scale != 1 && *a->config.guide;
    return rc || !scaled ? rc : ib_model_scale_guides(a, w, in, n, z, err);
}

int ib_adapter_parts(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *slerp,
                     float *seen, float *f, ib_error *err) {
    int rc = check_model(w, in, n, err);
    size_t floats = w->shape.tokens * w->shape.width;
    ib_ordered ordered[MOST_AT_ONCE];
    if (!rc && (a->config.motion || n > MOST_AT_ONCE)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "a model with a motion head has no parts to be told apart");
    }
    for (int i = 0; i < n && !rc; i++) {
        ordered[i] = ib_order(&in[i], floats);
    }
    if (rc) {
        return rc;
    }
    ib_model_heads(a, w, ordered, n);
    memcpy(slerp, w->slerp, (size_t)n * floats * sizeof *slerp);
    for (int i = 0; i < n; i++) {
        ib_model_parts(w, &ordered[i], (size_t)i, seen + (size_t)i * floats, f + (size_t)i * floats);
    }
    return 0;
}

static double squared_error(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i += 4096) {
        size_t end = i + 4096 < n ? i + 4096 : n;
        float d = distance_model(a + i, b + i, end - i);
        sum += (double)d * d * (double)(end - i);
    }
    return sum;
}

/* z becomes k (z - target) */
IB_MULTIARCH
static void error_gradient(float *restrict z, const float *restrict target, float k, size_t n) {
    for (size_t i = 0; i < n; i++) {
        z[i] = k * (z[i] - target[i]);
    }
}

/* What the loss makes of the part of slerp's error that is left: 0 of 0, 1 of 1; slope: its derivative. */
static double loss_of(bool motion, double left, double *slope) {
    *slope = 1;
    if (!motion) {
        return left;
    }
    double whole = log1p(1 / left_floor);
    *slope = 1 / ((left_floor + left) * whole);
    return log1p(left / left_floor) / whole;
}

/* Loss and the gradients at the heads for one sample. */
static void sample_backward(ib_adapter_work *w, const ib_ordered *in, const float *target, float scale,
                            double unit, size_t sample, ib_sample_loss *loss) {
    size_t n = w->shape.tokens * w->shape.width, at = sample * n;
    float *dz = w->z + at;
    loss->err_model = squared_error(dz, target, n);
    loss->err_slerp = squared_error(w->slerp + at, target, n);
    double slope;
    unit = (unit > 0 ? unit * (double)n : loss->err_slerp) + IB_ERROR_FLOOR * (double)n;
    loss->loss = loss_of(w->motion, loss->err_model / unit, &slope);
    error_gradient(dz, target, (float)(2.0 * slope * (double)scale / unit), n);
    ib_model_assemble_backward(w, in, sample, dz);
}

int ib_adapter_learn(const ib_adapter *a, ib_adapter_work *w, const ib_between *in,
                     const float *const *target, int n, float scale, double unit, const ib_dropout *drop,
                     ib_sample_loss *loss, ib_error *err) {
    int rc = check_model(w, in, n, err);
    if (rc) {
        return rc;
    }
    if (!w->training) {
        return ib_fail(err, IB_E_ARGUMENT, "this work space was not made for training");
    }
    ib_ordered ordered[MOST_AT_ONCE];
    size_t floats = w->shape.tokens * w->shape.width, fine = (size_t)a->config.fine;
    for (int first = 0; first < n; first += MOST_AT_ONCE) {
        int m = n - first < MOST_AT_ONCE ? n - first : MOST_AT_ONCE;
        size_t tokens = (size_t)m * w->shape.tokens;
        for (int i = 0; i < m; i++) {
            ordered[i] = ib_order(&in[first + i], floats);
        }
        ib_trunk_drop(a, &w->trunk, (size_t)m, drop, (size_t)first);
        ib_model_heads(a, w, ordered, m);
        for (int i = 0; i < m; i++) {
            ib_model_assemble(w, &ordered[i], (size_t)i, w->z + (size_t)i * floats);
            sample_backward(w, &ordered[i], target[first + i], scale, unit, (size_t)i, &loss[first + i]);
        }
        run_head_backward(a, w, a->correction, w->dcorrection, tokens, w->shape.width, w->trunk.dout);
        if (a->guided) {
            ib_gate_backward(a, w, (size_t)m);
        }
        if (w->motion) {
            run_head_backward(a, w, a->motion, w->dmotion, tokens, IB_TOKEN_CELLS * IB_CELL_OUTPUTS,
                              w->trunk.a);
            ib_add(w->trunk.a, tokens * fine, w->trunk.dout);
            run_head_backward(a, w, a->mixing, w->dmixing, tokens, IB_MIXINGS * w->shape.width, w->trunk.a);
            ib_add(w->trunk.a, tokens * fine, w->trunk.dout);
        }
        ib_trunk_backward(a, &w->trunk, (size_t)m, w->grads);
    }
    ib_trunk_drop(a, &w->trunk, 0, NULL, 0); /* no dropout when predicting */
    return 0;
}

void ib_adapter_collect(const ib_adapter *a, ib_adapter_work *w, float *grads) {
    ib_add(w->grads, a->count, grads);
    memset(w->grads, 0, a->count * sizeof *w->grads);
}
