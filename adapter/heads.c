/* What the heads' outputs become: fields of motion, the mixture of hypotheses, the correction; and back. */
#include <string.h>

#include "adapter/private.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "nn/simd.h"

/* An output of 1 moves by this many px over the whole gap. */
static const float flow_unit_px = 8.0f;

/* Near the best that do not depend on the keyframes (docs/experiments.md). */
const float ib_first_mixing[IB_MIXINGS] = {0.12f, 0, 0.17f, 0.17f, 0.44f};

/* Index into the motion head's output of the cell at (y, x). */
static size_t output_of(size_t y, size_t x, size_t cols) {
    return ((y / IB_CELLS * cols + x / IB_CELLS) * IB_TOKEN_CELLS + y % IB_CELLS * IB_CELLS + x % IB_CELLS) *
           IB_CELL_OUTPUTS;
}

/* o [tokens, IB_TOKEN_CELLS, IB_CELL_OUTPUTS] -> fields [IB_FIELDS, cells]: the prior, grown and corrected.
 */
static void motion_fields(const ib_motion *m, const float *o, float *fields) {
    size_t h = m->canvas.rows, w = m->canvas.cols, cells = h * w;
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            size_t i = y * w + x;
            const float *p = o + output_of(y, x, m->cols);
            float unit = flow_unit_px * m->gate[i], gain = 1.0f + p[5];
            for (size_t k = 0; k < 4; k++) {
                fields[k * cells + i] = gain * m->v[k % 2 * cells + i] + unit * p[k];
            }
            fields[4 * cells + i] = p[4];
        }
    }
}

static void motion_fields_backward(const ib_motion *m, const float *dfields, float *d_o) {
    size_t h = m->canvas.rows, w = m->canvas.cols, cells = h * w;
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            size_t i = y * w + x;
            float *p = d_o + output_of(y, x, m->cols), unit = flow_unit_px * m->gate[i];
            p[5] = 0;
            for (size_t k = 0; k < 4; k++) {
                float d = dfields[k * cells + i];
                p[k] = unit * d;
                p[5] += m->v[k % 2 * cells + i] * d;
            }
            p[4] = dfields[4 * cells + i];
        }
    }
}

/* What a token's coefficients are mixed from, [T,D] each; hypothesis: [IB_HYPOTHESES,T,D]. */
typedef struct parts {
    const float *blend, *slerp, *tilt, *hypothesis;
} parts;

static parts parts_of(const ib_adapter_work *w, size_t sample) {
    size_t at = sample * w->shape.tokens * w->shape.width;
    return (parts){w->blend + at, w->slerp + at, w->tilt + at, w->hypothesis + IB_HYPOTHESES * at};
}

/* z = blend + a (slerp - blend) + bow b tilt + sum of c_k (hypothesis_k - blend); mixing holds a, b and c of
 * each token. */
IB_MULTIARCH
static void mix_parts(const float *restrict mixing, const parts *p, float bow, size_t tokens, size_t width,
                      float *restrict z) {
    for (size_t k = 0; k < tokens; k++) {
        const float *m = mixing + IB_MIXINGS * k * width;
        const float *blend = p->blend + k * width, *slerp = p->slerp + k * width, *tilt = p->tilt + k * width;
        float *o = z + k * width;
        for (size_t i = 0; i < width; i++) {
            o[i] = blend[i] + m[i] * (slerp[i] - blend[i]) + bow * m[width + i] * tilt[i];
        }
        for (size_t q = 0; q < IB_HYPOTHESES; q++) {
            const float *c = m + (2 + q) * width, *other = p->hypothesis + (q * tokens + k) * width;
            for (size_t i = 0; i < width; i++) {
                o[i] += c[i] * (other[i] - blend[i]);
            }
        }
    }
}

/* dz becomes the gradient at blend. */
IB_MULTIARCH
static void mix_parts_backward(const float *restrict mixing, const parts *p, float bow, size_t tokens,
                               size_t width, float *restrict dz, float *restrict dmixing) {
    for (size_t k = 0; k < tokens; k++) {
        const float *m = mixing + IB_MIXINGS * k * width;
        const float *blend = p->blend + k * width, *slerp = p->slerp + k * width, *tilt = p->tilt + k * width;
        float *d = dz + k * width, *dm = dmixing + IB_MIXINGS * k * width;
        for (size_t i = 0; i < width; i++) {
            dm[i] = d[i] * (slerp[i] - blend[i]);
            dm[width + i] = bow * d[i] * tilt[i];
        }
        for (size_t q = 0; q < IB_HYPOTHESES; q++) {
            const float *other = p->hypothesis + (q * tokens + k) * width;
            float *dc = dm + (2 + q) * width;
            for (size_t i = 0; i < width; i++) {
                dc[i] = d[i] * (other[i] - blend[i]);
            }
        }
        for (size_t i = 0; i < width; i++) {
            float left = 1.0f - m[i];
            for (size_t q = 0; q < IB_HYPOTHESES; q++) {
                left -= m[(2 + q) * width + i];
            }
            d[i] *= left;
        }
    }
}

/* z += bow s f, token by token */
IB_MULTIARCH
static void add_correction(const float *restrict f, const float *restrict scale, float bow, size_t tokens,
                           size_t width, float *restrict z) {
    for (size_t k = 0; k < tokens; k++) {
        float g = bow * scale[k];
        for (size_t i = 0; i < width; i++) {
            z[k * width + i] += g * f[k * width + i];
        }
    }
}

/* 0 at the keyframes, 1 in the middle. */
static float bow_of(float t) {
    return 4.0f * t * (1.0f - t);
}

void ib_model_fields(ib_adapter_work *w, size_t sample) {
    motion_fields(&w->motion[sample],
                  w->motion_out + sample * w->shape.tokens * IB_TOKEN_CELLS * IB_CELL_OUTPUTS, w->fields);
}

void ib_model_assemble(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *z) {
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens * width;
    float bow = bow_of(in->t);
    if (w->motion) {
        ib_motion *m = &w->motion[sample];
        ib_model_fields(w, sample);
        ib_blend(&m->canvas, m->spline0, m->spline1, w->fields, in->t, 0, m->canvas.height, m->scratch,
                 w->pixels);
        ib_patch_forward(w->pixels, (int)w->rows, (int)w->cols, w->blend + at);
        parts p = parts_of(w, sample);
        mix_parts(w->mixing + IB_MIXINGS * at, &p, bow, tokens, width, z);
    } else {
        memcpy(z, w->slerp + at, tokens * width * sizeof *z);
    }
    if (w->has_guide) {
        ib_gate_follow(w, sample, z);
    }
    add_correction(w->correction + at, w->scale + sample * tokens, bow, tokens, width, z);
}

void ib_model_parts(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *seen, float *f) {
    size_t tokens = w->shape.tokens, width = w->shape.width, n = tokens * width;
    memset(seen, 0, n * sizeof *seen);
    memset(f, 0, n * sizeof *f);
    if (w->has_guide) {
        ib_gate_follow(w, sample, seen);
    }
    add_correction(w->correction + sample * n, w->scale + sample * tokens, bow_of(in->t), tokens, width, f);
}

void ib_model_assemble_backward(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *dz) {
    size_t tokens = w->shape.tokens, width = w->shape.width, n = tokens * width, at = sample * n;
    float *dc = w->dcorrection + at, bow = bow_of(in->t);
    memset(dc, 0, n * sizeof *dc);
    add_correction(dz, w->scale + sample * tokens, bow, tokens, width, dc);
    if (w->has_guide) {
        ib_gate_follow_backward(w, sample, dz);
    }
    if (w->motion) {
        ib_motion *m = &w->motion[sample];
        parts p = parts_of(w, sample);
        mix_parts_backward(w->mixing + IB_MIXINGS * at, &p, bow, tokens, width, dz,
                           w->dmixing + IB_MIXINGS * at);
        /* the transform is orthonormal: its adjoint is its inverse */
        ib_patch_inverse(dz, (int)w->rows, (int)w->cols, w->pixels);
        ib_blend_backward(&m->canvas, m->spline0, m->spline1, w->pixels, in->t, m->scratch, w->dfields);
        motion_fields_backward(m, w->dfields,
                               w->dmotion + sample * tokens * IB_TOKEN_CELLS * IB_CELL_OUTPUTS);
    }
}

void ib_model_hold_back(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample) {
    const ib_strengths *s = &a->config.strengths;
    size_t tokens = w->shape.tokens, width = w->shape.width, at = sample * tokens,
           each = IB_TOKEN_CELLS * IB_CELL_OUTPUTS;
    bool motion = w->motion != NULL, guided = w->has_guide && in->guide;
    float *correction = w->correction + at * width, trust = (float)a->trust;
    if (guided) {
        float follow = trust * ib_strength_at(s, IB_STRENGTH_GUIDE, in->gap_seconds, motion);
        for (size_t k = 0; k < tokens; k++) {
            w->gate[at + k] *= follow;
        }
    }
    trust *= ib_strength_at(s, guided ? IB_STRENGTH_GUIDED : IB_STRENGTH_ALONE, in->gap_seconds, motion);
    for (size_t i = 0; i < tokens * width; i++) {
        correction[i] *= trust;
    }
    for (size_t i = 0; motion && i < tokens * each; i++) {
        w->motion_out[at * each + i] *= trust;
    }
    for (size_t k = 0; motion && k < tokens * IB_MIXINGS; k++) {
        float *m = w->mixing + (at * IB_MIXINGS + k) * width,
              first = (1.0f - trust) * ib_first_mixing[k % IB_MIXINGS];
        for (size_t i = 0; i < width; i++) {
            m[i] = first + trust * m[i];
        }
    }
}
