#include "adapter/estimate.h"

#include <string.h>

#include "base/memory.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "motion/motion.h"

_Static_assert((int)IB_ESTIMATE_HYPOTHESES == (int)IB_HYPOTHESES, "the hypotheses of the motion estimate");
_Static_assert((int)IB_ESTIMATE_SEEN == (int)IB_MOTION_FEATURES, "the features of the motion estimate");

enum { MOST_TOKENS = 8192 }; /* each way */

struct ib_estimate {
    ib_motion motion;
    int rows, cols;
};

int ib_estimate_create(ib_estimate **out, int rows, int cols, ib_error *err) {
    *out = NULL;
    if (rows < 1 || cols < 1 || rows > MOST_TOKENS || cols > MOST_TOKENS) {
        return ib_fail(err, IB_E_ARGUMENT, "a motion estimate of %d x %d tokens, expected 1 to %d each way",
                       rows, cols, MOST_TOKENS);
    }
    ib_estimate *e = ib_calloc(1, sizeof *e);
    if (!e) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the motion estimate");
    }
    e->rows = rows;
    e->cols = cols;
    int rc = ib_motion_create(&e->motion, (size_t)rows, (size_t)cols, err);
    if (rc) {
        ib_free(e);
        return rc;
    }
    *out = e;
    return IB_OK;
}

void ib_estimate_free(ib_estimate **e) {
    if (*e) {
        ib_motion_free(&(*e)->motion);
        ib_free(*e);
        *e = NULL;
    }
}

size_t ib_estimate_spline_floats(int rows, int cols) {
    ib_canvas c = ib_canvas_of((size_t)rows, (size_t)cols);
    return ib_canvas_spline_floats(&c);
}

int ib_estimate_make(ib_estimate *e, const float *z0, const float *z1, float t, const ib_estimate_parts *out,
                     ib_error *err) {
    ib_motion *m = &e->motion;
    size_t tokens = m->rows * m->cols, n = tokens * IB_PATCH_D, cells = m->canvas.rows * m->canvas.cols,
           spline = ib_canvas_spline_floats(&m->canvas);
    if (!(t > 0 && t <= 0.5f)) {
        return ib_fail(err, IB_E_ARGUMENT, "a motion estimate is made for t in (0,1/2], not for %g",
                       (double)t);
    }
    ib_slerp_in(ib_geometry_of("patch:dct8+4:v1"), z0, z1, t, tokens, IB_PATCH_D, out->slerp);
    ib_patch_inverse(z0, e->rows, e->cols, m->planes0);
    ib_patch_inverse(z1, e->rows, e->cols, m->planes1);
    ib_motion_estimate(m, t, out->seen);
    ib_patch_forward(m->carried0, e->rows, e->cols, out->carried0);
    ib_patch_forward(m->carried1, e->rows, e->cols, out->carried1);
    for (size_t k = 0; k < IB_HYPOTHESES; k++) {
        ib_patch_forward(m->hypothesis + k * n, e->rows, e->cols, out->hypothesis + k * n);
    }
    memcpy(out->gate, m->gate, cells * sizeof *out->gate);
    memcpy(out->prior, m->v, 2 * cells * sizeof *out->prior);
    memcpy(out->spline0, m->spline0, spline * sizeof *out->spline0);
    memcpy(out->spline1, m->spline1, spline * sizeof *out->spline1);
    return IB_OK;
}
