/* The motion head's memory and the way from its outputs to fields on cells. */
#include <math.h>
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "latent/patch.h"

/* An output of 1 moves by this many px over the whole gap. */
static const float flow_unit_px = 8.0f;

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

int ib_motion_create(ib_motion *m, size_t rows, size_t cols, size_t per, ib_error *err) {
    *m = (ib_motion){.per = per};
    size_t pixels = 96 * rows * cols, cells = IB_TOKEN_CELLS * rows * cols,
           knots = ib_blend_knots_floats(rows, cols);
    size_t flow = ib_flow_scratch(8 * rows, 8 * cols), project = ib_project_scratch(rows, cols);
    size_t most = larger(larger(larger(ib_match_scratch(rows, cols), ib_blend_scratch(rows, cols)),
                                ib_overlap_scratch(rows, cols, per, IB_ALTERNATIVES)),
                         larger(ib_refine_scratch(rows, cols) + 2 * cells,
                                4 * 64 * rows * cols + 2 * IB_VIEWS * cells + larger(flow, project)));
    size_t need = (5 + IB_ALTERNATIVES) * pixels + 2 * knots +
                  (1 + 2 * (1 + IB_ALTERNATIVES) + 2 * IB_FIELDS + IB_CELL_FEATURES) * cells + most;
    int rc = ib_alloc_floats(&m->arena, need, "the motion head's work space", err);
    if (rc) {
        return rc;
    }
    m->planes0 = m->arena;
    m->planes1 = m->planes0 + pixels;
    m->knots0 = m->planes1 + pixels;
    m->knots1 = m->knots0 + knots;
    m->carried0 = m->knots1 + knots;
    m->carried1 = m->carried0 + pixels;
    m->out = m->carried1 + pixels;
    m->alternative = m->out + pixels;
    m->v = m->alternative + IB_ALTERNATIVES * pixels;
    m->gate = m->v + 2 * (1 + IB_ALTERNATIVES) * cells;
    m->fields = m->gate + cells;
    m->dfields = m->fields + IB_FIELDS * cells;
    m->features = m->dfields + IB_FIELDS * cells;
    m->scratch = m->features + IB_CELL_FEATURES * cells;
    return 0;
}

void ib_motion_free(ib_motion *m) {
    ib_free(m->arena);
    memset(m, 0, sizeof *m);
}

static void close_gate(const ib_motion *m, size_t cells, float *v) {
    for (size_t i = 0; i < cells; i++) {
        v[i] *= m->gate[i];
        v[cells + i] *= m->gate[i];
    }
}

/* A flow that matching found, gated and refined. features: [cells, 4] */
static void refine(ib_motion *m, size_t rows, size_t cols, float t, float *v, float *features) {
    size_t cells = IB_TOKEN_CELLS * rows * cols;
    float *d = m->scratch;
    close_gate(m, cells, v);
    ib_carry(m->knots0, m->knots1, v, rows, cols, t, true, m->scratch, m->carried0, m->carried1);
    ib_refine(m->carried0, m->carried1, rows, cols, d + 2 * cells, d, d + cells, features);
    close_gate(m, cells, d);
    for (size_t i = 0; i < 2 * cells; i++) {
        v[i] += d[i];
    }
}

/* How a motion does, cell by cell: mean difference of the carried keyframes' luma; what it adds to the prior.
 * f: [cells, 3 IB_ALTERNATIVES], the first three of each */
static void judge(const ib_motion *m, size_t rows, size_t cols, const float *v, float *f) {
    enum { STRIDE = IB_ALTERNATIVES * IB_ALTERNATIVE_FEATURES };
    size_t w = IB_CELLS * cols, cells = IB_TOKEN_CELLS * rows * cols, width = IB_CELL_PX * w;
    for (size_t i = 0; i < cells; i++) {
        f[i * STRIDE] = 0;
        f[i * STRIDE + 1] = (v[i] - m->v[i]) / 8.0f;
        f[i * STRIDE + 2] = (v[cells + i] - m->v[cells + i]) / 8.0f;
    }
    for (size_t y = 0; y < IB_CELL_PX * IB_CELLS * rows; y++) {
        const float *a = m->carried0 + y * width, *b = m->carried1 + y * width;
        for (size_t x = 0; x < w; x++) {
            float sum = 0;
            for (size_t p = IB_CELL_PX * x; p < IB_CELL_PX * (x + 1); p++) {
                sum += fabsf(a[p] - b[p]);
            }
            f[(y / IB_CELL_PX * w + x) * STRIDE] += sum * (10.0f / (IB_CELL_PX * IB_CELL_PX));
        }
    }
}

/* The prior and the views, [1 + IB_VIEWS, 2, cells] of m->v, from the keyframes and what matching found,
 * which lies behind them. features: [cells, IB_PRIOR_FEATURES] */
static void prior(ib_motion *m, size_t rows, size_t cols, float t, float *features) {
    size_t cells = IB_TOKEN_CELLS * rows * cols, luma = 64 * rows * cols;
    float *forward = m->scratch, *backward = forward + 2 * luma, *cover = backward + 2 * luma,
          *misfit = cover + IB_VIEWS * cells, *rest = misfit + IB_VIEWS * cells;
    float *v = m->v, *near = v + 2 * cells, *far = near + 2 * cells;
    ib_flow(m->planes0, m->planes1, 8 * rows, 8 * cols, v + 2 * (1 + IB_VIEWS) * cells, rest, forward,
            backward);
    ib_project(m->planes0, m->planes1, forward, rows, cols, t, rest, near, cover, misfit);
    ib_project(m->planes1, m->planes0, backward, rows, cols, 1.0f - t, rest, far, cover + cells,
               misfit + cells);
    for (size_t i = 0; i < 2 * cells; i++) {
        far[i] = -far[i];
        v[i] = 0.5f * (near[i] + far[i]);
    }
    for (size_t i = 0; i < cells; i++) {
        float *f = features + i * IB_PRIOR_FEATURES;
        f[0] = v[i] / 16.0f;
        f[1] = v[cells + i] / 16.0f;
        f[2] = (near[i] - far[i]) / 8.0f;
        f[3] = (near[cells + i] - far[cells + i]) / 8.0f;
        for (size_t k = 0; k < IB_VIEWS; k++) {
            f[4 + k] = cover[k * cells + i] - 1.0f;
            f[4 + IB_VIEWS + k] = 10.0f * misfit[k * cells + i];
        }
    }
    close_gate(m, cells, near);
    close_gate(m, cells, far);
}

/* Where the prior is wrong, at the edges of moving things above all, one of these is often right. features:
 * [cells, 3 IB_ALTERNATIVES] */
static void alternatives(ib_motion *m, size_t rows, size_t cols, float t, float *features) {
    size_t cells = IB_TOKEN_CELLS * rows * cols, pixels = 96 * rows * cols;
    for (size_t k = 0; k < IB_ALTERNATIVES; k++) {
        float *v = m->v + 2 * (1 + k) * cells, *f = features + k * IB_ALTERNATIVE_FEATURES;
        if (k == IB_ALTERNATIVES - 1) { /* from all before it */
            ib_overlap(m->planes0, m->planes1, m->knots0, m->knots1, m->v, IB_ALTERNATIVES, rows, cols,
                       m->per, t, m->scratch, m->carried0, m->carried1, v);
        } else {
            if (k >= IB_VIEWS) {
                refine(m, rows, cols, t, v, m->out); /* its features have no reader */
            }
            ib_carry(m->knots0, m->knots1, v, rows, cols, t, false, m->scratch, m->carried0, m->carried1);
        }
        judge(m, rows, cols, v, f);
        for (size_t i = 0; i < pixels; i++) {
            m->out[i] = m->carried0[i] + t * (m->carried1[i] - m->carried0[i]);
        }
        ib_patch_forward(m->out, (int)rows, (int)cols, m->alternative + k * pixels);
    }
}

void ib_motion_prepare(ib_motion *m, size_t rows, size_t cols, float t, float *features) {
    enum { OTHERS = IB_ALTERNATIVES * IB_ALTERNATIVE_FEATURES };
    size_t cells = IB_TOKEN_CELLS * rows * cols, w = IB_CELLS * cols;
    float *fp = m->features, *fm = fp + IB_PRIOR_FEATURES * cells, *fr = fm + IB_MATCH_FEATURES * cells,
          *fa = fr + IB_REFINE_FEATURES * cells;
    ib_blend_knots(m->planes0, rows, cols, m->knots0);
    ib_blend_knots(m->planes1, rows, cols, m->knots1);
    ib_match(m->planes0, m->planes1, rows, cols, t, m->scratch, m->v + 2 * (1 + IB_VIEWS) * cells, m->gate,
             fm);
    prior(m, rows, cols, t, fp);
    refine(m, rows, cols, t, m->v, fr);
    alternatives(m, rows, cols, t, fa);
    ib_carry(m->knots0, m->knots1, m->v, rows, cols, t, false, m->scratch, m->carried0, m->carried1);
    for (size_t i = 0; i < cells; i++) {
        size_t y = i / w, x = i % w, token = y / IB_CELLS * cols + x / IB_CELLS;
        float *f =
            features + (token * IB_TOKEN_CELLS + y % IB_CELLS * IB_CELLS + x % IB_CELLS) * IB_CELL_FEATURES;
        memcpy(f, fp + i * IB_PRIOR_FEATURES, IB_PRIOR_FEATURES * sizeof *f);
        f += IB_PRIOR_FEATURES;
        memcpy(f, fm + i * IB_MATCH_FEATURES, IB_MATCH_FEATURES * sizeof *f);
        f += IB_MATCH_FEATURES;
        memcpy(f, fr + i * IB_REFINE_FEATURES, IB_REFINE_FEATURES * sizeof *f);
        memcpy(f + IB_REFINE_FEATURES, fa + i * OTHERS, OTHERS * sizeof *f);
    }
}

/* Index into a token-major head output of the cell at (y, x). */
static size_t output_of(size_t y, size_t x, size_t cols) {
    return ((y / IB_CELLS * cols + x / IB_CELLS) * IB_TOKEN_CELLS + y % IB_CELLS * IB_CELLS + x % IB_CELLS) *
           IB_CELL_OUTPUTS;
}

void ib_motion_fields(ib_motion *m, const float *o, size_t rows, size_t cols) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, cells = h * w;
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            size_t i = y * w + x;
            const float *p = o + output_of(y, x, cols);
            float unit = flow_unit_px * m->gate[i], prior = 1.0f + p[5];
            for (size_t k = 0; k < 4; k++) {
                m->fields[k * cells + i] = prior * m->v[k % 2 * cells + i] + unit * p[k];
            }
            m->fields[4 * cells + i] = p[4];
        }
    }
}

void ib_motion_fields_backward(const ib_motion *m, size_t rows, size_t cols, float *d_o) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, cells = h * w;
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            size_t i = y * w + x;
            float *p = d_o + output_of(y, x, cols), unit = flow_unit_px * m->gate[i];
            p[5] = 0;
            for (size_t k = 0; k < 4; k++) {
                float d = m->dfields[k * cells + i];
                p[k] = unit * d;
                p[5] += m->v[k % 2 * cells + i] * d;
            }
            p[4] = m->dfields[4 * cells + i];
        }
    }
}
