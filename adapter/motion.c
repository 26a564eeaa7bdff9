/* The motion head's memory and the way from its outputs to fields on cells. */
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"

/* An output of 1 moves by this many px over the whole gap. */
static const float flow_unit_px = 8.0f;

int ib_motion_create(ib_motion *m, size_t rows, size_t cols, ib_error *err) {
    memset(m, 0, sizeof *m);
    size_t pixels = 96 * rows * cols, cells = IB_TOKEN_CELLS * rows * cols;
    size_t match = ib_match_scratch(rows, cols), blend = ib_blend_scratch(rows, cols);
    size_t refine = ib_refine_scratch(rows, cols) + 2 * cells;
    size_t most = match > blend ? match : blend;
    size_t need =
        5 * pixels + (3 + 2 * IB_FIELDS + IB_CELL_FEATURES) * cells + (most > refine ? most : refine);
    int rc = ib_alloc_floats(&m->arena, need, "the motion head's work space", err);
    if (rc) {
        return rc;
    }
    m->planes0 = m->arena;
    m->planes1 = m->planes0 + pixels;
    m->carried0 = m->planes1 + pixels;
    m->carried1 = m->carried0 + pixels;
    m->out = m->carried1 + pixels;
    m->v = m->out + pixels;
    m->gate = m->v + 2 * cells;
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

static void carry_both(ib_motion *m, size_t rows, size_t cols, float t) {
    const float *vx = m->v, *vy = m->v + IB_TOKEN_CELLS * rows * cols;
    ib_carry(m->planes0, vx, vy, rows, cols, -t, m->scratch, m->carried0);
    ib_carry(m->planes1, vx, vy, rows, cols, 1.0f - t, m->scratch, m->carried1);
}

void ib_motion_prepare(ib_motion *m, size_t rows, size_t cols, float t, float *features) {
    size_t cells = IB_TOKEN_CELLS * rows * cols, w = IB_CELLS * cols;
    float *vx = m->v, *vy = m->v + cells, *dx = m->scratch, *dy = dx + cells;
    float *fm = m->features, *fr = fm + IB_MATCH_FEATURES * cells;
    ib_match(m->planes0, m->planes1, rows, cols, t, m->scratch, vx, vy, m->gate, fm);
    for (size_t i = 0; i < cells; i++) {
        vx[i] *= m->gate[i];
        vy[i] *= m->gate[i];
    }
    carry_both(m, rows, cols, t);
    ib_refine(m->carried0, m->carried1, rows, cols, dy + cells, dx, dy, fr);
    for (size_t i = 0; i < cells; i++) {
        vx[i] += m->gate[i] * dx[i];
        vy[i] += m->gate[i] * dy[i];
    }
    carry_both(m, rows, cols, t);
    for (size_t i = 0; i < cells; i++) {
        size_t y = i / w, x = i % w, token = y / IB_CELLS * cols + x / IB_CELLS;
        float *f =
            features + (token * IB_TOKEN_CELLS + y % IB_CELLS * IB_CELLS + x % IB_CELLS) * IB_CELL_FEATURES;
        memcpy(f, fm + i * IB_MATCH_FEATURES, IB_MATCH_FEATURES * sizeof *f);
        memcpy(f + IB_MATCH_FEATURES, fr + i * IB_REFINE_FEATURES, IB_REFINE_FEATURES * sizeof *f);
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
