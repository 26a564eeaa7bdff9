#include "motion/motion.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "motion/flow.h"
#include "motion/overlap.h"
#include "motion/project.h"

/* Where ib_motion.v holds what. */
enum { PRIOR, VIEW, MATCHED = VIEW + IB_VIEWS, PATCHES, CANDIDATES = PATCHES };

static size_t larger_motion(size_t a, size_t b) {
    return a > b ? a : b;
}

int ib_motion_create(ib_motion *m, size_t rows, size_t cols, ib_error *err) {
    *m = (ib_motion){.rows = rows, .cols = cols, .canvas = ib_canvas_of(rows, cols), .pictures = true};
    size_t pixels = ib_canvas_floats(&m->canvas), cells = m->canvas.rows * m->canvas.cols,
           luma = 64 * rows * cols, spline = ib_canvas_spline_floats(&m->canvas);
    size_t views = 4 * luma + 2 * IB_VIEWS * cells +
                   larger_motion(ib_flow_scratch(8 * rows, 8 * cols), ib_project_scratch(rows, cols));
    size_t scratch = larger_motion(larger_motion(ib_match_scratch(rows, cols), views),
                                   larger_motion(ib_blend_scratch(&m->canvas, m->canvas.height),
                                                 ib_overlap_scratch(rows, cols, CANDIDATES)));
    size_t need = (4 + IB_HYPOTHESES) * pixels + 2 * spline + (1 + 2 * IB_MOTION_FLOWS) * cells +
                  (2 + IB_MOTION_FEATURES) * rows * cols + scratch;
    int rc = ib_alloc_floats(&m->arena, need, "the motion estimate", err);
    if (rc) {
        return rc;
    }
    m->planes0 = m->arena;
    m->planes1 = m->planes0 + pixels;
    m->carried0 = m->planes1 + pixels;
    m->carried1 = m->carried0 + pixels;
    m->hypothesis = m->carried1 + pixels;
    m->spline0 = m->hypothesis + IB_HYPOTHESES * pixels;
    m->spline1 = m->spline0 + spline;
    m->gate = m->spline1 + spline;
    m->v = m->gate + cells;
    m->matched = m->v + 2 * IB_MOTION_FLOWS * cells;
    m->features = m->matched + 2 * rows * cols;
    m->scratch = m->features + IB_MOTION_FEATURES * rows * cols;
    return 0;
}

void ib_motion_free(ib_motion *m) {
    ib_free(m->arena);
    memset(m, 0, sizeof *m);
}

static float *flow_of(const ib_motion *m, size_t k) {
    return m->v + 2 * k * m->canvas.rows * m->canvas.cols;
}

/* No motion where the keyframes agree. */
static void close_gate(const ib_motion *m, float *v) {
    size_t cells = m->canvas.rows * m->canvas.cols;
    for (size_t i = 0; i < cells; i++) {
        v[i] *= m->gate[i];
        v[cells + i] *= m->gate[i];
    }
}

/* The views and their mean. features: [cells, IB_PRIOR_FEATURES] */
static void find_prior(ib_motion *m, float t, float *features) {
    size_t cells = m->canvas.rows * m->canvas.cols, luma = m->canvas.height * m->canvas.width;
    float *own = m->scratch, *cover = own + 4 * luma, *misfit = cover + IB_VIEWS * cells,
          *rest = misfit + IB_VIEWS * cells;
    float *v = flow_of(m, PRIOR), *near = flow_of(m, VIEW), *far = flow_of(m, VIEW + 1);
    const float *forward = m->forward ? m->forward : own,
                *backward = m->forward ? m->backward : own + 2 * luma;
    if (!m->forward) {
        ib_flow(m->planes0, m->planes1, m->canvas.height, m->canvas.width, m->matched, rest, own,
                own + 2 * luma);
    }
    ib_project(m->planes0, m->planes1, forward, m->rows, m->cols, t, rest, near, cover, misfit);
    ib_project(m->planes1, m->planes0, backward, m->rows, m->cols, 1.0f - t, rest, far, cover + cells,
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
    for (size_t k = PRIOR; k < CANDIDATES; k++) {
        close_gate(m, flow_of(m, k));
    }
}

/* Cell by cell: mean difference of the carried keyframes' luma; what v adds to the prior. f: [cells,
 * IB_HYPOTHESES, IB_HYPOTHESIS_FEATURES], from the hypothesis' own place in the first cell on */
static void judge_hypothesis(const ib_motion *m, const float *v, float *f) {
    enum { STRIDE = IB_HYPOTHESES * IB_HYPOTHESIS_FEATURES };
    size_t w = m->canvas.cols, cells = m->canvas.rows * w, width = m->canvas.width;
    for (size_t i = 0; i < cells; i++) {
        f[i * STRIDE] = 0;
        f[i * STRIDE + 1] = (v[i] - m->v[i]) / 8.0f;
        f[i * STRIDE + 2] = (v[cells + i] - m->v[cells + i]) / 8.0f;
    }
    for (size_t y = 0; y < m->canvas.height; y++) {
        const float *a = m->carried0 + y * width, *b = m->carried1 + y * width;
        for (size_t x = 0; x < w; x++) {
            float sum = 0;
            for (size_t p = IB_CELL_PX * x; p < IB_CELL_PX * (x + 1); p++) {
                sum += fabsf(a[p] - b[p]);
            }
            f[(y / IB_CELL_PX * w + x) * STRIDE] += sum * (10.0f / IB_CELL_PX / IB_CELL_PX);
        }
    }
}

/* Where the prior is wrong, at the edges of moving things above all, one of these is often right. */
static void make_hypotheses(ib_motion *m, float t, float *features) {
    size_t pixels = ib_canvas_floats(&m->canvas), planes = m->pictures ? 3 : 1;
    for (size_t k = 0; k < IB_HYPOTHESES; k++) {
        float *v = flow_of(m, k < IB_VIEWS ? VIEW + k : PATCHES), *out = m->hypothesis + k * pixels;
        if (k < IB_VIEWS) {
            ib_carry(&m->canvas, m->spline0, m->spline1, v, t, planes, m->scratch, m->carried0, m->carried1);
        } else {
            ib_overlap(m->planes0, m->planes1, m->spline0, m->spline1, m->v, CANDIDATES, m->rows, m->cols, t,
                       planes, m->scratch, m->carried0, m->carried1, v);
        }
        judge_hypothesis(m, v, features + k * IB_HYPOTHESIS_FEATURES);
        for (size_t i = 0; m->pictures && i < pixels; i++) {
            out[i] = m->carried0[i] + t * (m->carried1[i] - m->carried0[i]);
        }
    }
}

/* Every cell has its token's. */
static void spread_matched(const ib_motion *m) {
    size_t w = m->canvas.cols, cells = m->canvas.rows * w;
    float *v = flow_of(m, MATCHED);
    for (size_t i = 0; i < cells; i++) {
        size_t token = i / w / IB_CELLS * m->cols + i % w / IB_CELLS;
        v[i] = m->matched[token];
        v[cells + i] = m->matched[m->rows * m->cols + token];
    }
}

void ib_motion_flows(ib_motion *m, float *forward, float *backward) {
    size_t cells = m->canvas.rows * m->canvas.cols;
    float *fm = m->features + (IB_PRIOR_FEATURES + IB_HYPOTHESES * IB_HYPOTHESIS_FEATURES) * cells;
    ib_match(m->planes0, m->planes1, m->rows, m->cols, 0.5f, m->scratch, m->matched, m->gate, fm);
    ib_flow(m->planes0, m->planes1, m->canvas.height, m->canvas.width, m->matched, m->scratch, forward,
            backward);
}

void ib_motion_prior(ib_motion *m, float t) {
    size_t cells = m->canvas.rows * m->canvas.cols;
    float *fp = m->features, *fm = fp + (IB_PRIOR_FEATURES + IB_HYPOTHESES * IB_HYPOTHESIS_FEATURES) * cells;
    ib_match(m->planes0, m->planes1, m->rows, m->cols, t, m->scratch, m->matched, m->gate, fm);
    spread_matched(m);
    find_prior(m, t, fp);
}

void ib_motion_estimate(ib_motion *m, float t, float *out) {
    enum { OTHERS = IB_HYPOTHESES * IB_HYPOTHESIS_FEATURES };
    size_t w = m->canvas.cols, cells = m->canvas.rows * w;
    float *fp = m->features, *fh = fp + IB_PRIOR_FEATURES * cells, *fm = fh + OTHERS * cells;
    ib_canvas_spline(&m->canvas, m->planes0, m->spline0);
    ib_canvas_spline(&m->canvas, m->planes1, m->spline1);
    ib_motion_prior(m, t);
    make_hypotheses(m, t, fh);
    ib_carry(&m->canvas, m->spline0, m->spline1, m->v, t, 3, m->scratch, m->carried0, m->carried1);
    for (size_t i = 0; i < cells; i++) {
        size_t y = i / w, x = i % w, token = y / IB_CELLS * m->cols + x / IB_CELLS;
        float *f =
            out + token * IB_MOTION_FEATURES + (y % IB_CELLS * IB_CELLS + x % IB_CELLS) * IB_CELL_FEATURES;
        memcpy(f, fp + i * IB_PRIOR_FEATURES, IB_PRIOR_FEATURES * sizeof *f);
        memcpy(f + IB_PRIOR_FEATURES, fh + i * OTHERS, OTHERS * sizeof *f);
    }
    for (size_t i = 0; i < m->rows * m->cols; i++) {
        memcpy(out + i * IB_MOTION_FEATURES + IB_TOKEN_CELLS * IB_CELL_FEATURES, fm + i * IB_MATCH_FEATURES,
               IB_MATCH_FEATURES * sizeof *out);
    }
}
