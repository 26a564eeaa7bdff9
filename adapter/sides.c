/* The two pictures of a guide: each keyframe by itself, carried to t along the flows that the model predicts.
 * What mixes and corrects has no part in them, and is not computed. */
#include <math.h>
#include <omp.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "latent/patch_plane.h"
#include "motion/pair_private.h"
#include "nn/simd.h"
#include "video_io/frame.h"

/* Luma rows that are made at once, as in render.c. */
enum { BAND = 16 };

typedef struct job {
    const ib_pair *pair;
    bool swapped;
    float t;
    const float *fields; /* [IB_FIELDS, cells] */
    ib_frame *out[2];    /* of the ordered keyframes */
} job;

IB_MULTIARCH
static void store_row(const float *restrict v, float black, float range, size_t n, uint8_t *restrict out) {
    for (size_t x = 0; x < n; x++) {
        float y = v[x] * range + (black + 0.5f);
        y = y > 0 ? y : 0;
        y = y < 255 ? y : 255;
        out[x] = (uint8_t)(int)y;
    }
}

/* Floats of both keyframes' bands. */
static size_t band_floats(const ib_canvas *c) {
    size_t h, w;
    ib_canvas_plane(c, 0, &h, &w);
    return 2 * BAND * (w + 1);
}

static void carry_band(const job *j, size_t first, float *scratch) {
    const ib_pair *p = j->pair;
    const ib_canvas *c = &p->canvas;
    size_t n = c->height - first < BAND ? c->height - first : BAND;
    float *band[2] = {scratch + ib_blend_scratch(c, BAND)};
    band[1] = band[0] + band_floats(c);
    ib_blend_apart(c, j->swapped ? p->spline1 : p->spline0, j->swapped ? p->spline0 : p->spline1, j->fields,
                   j->t, first, n, scratch, band[0], band[1]);
    for (int side = 0; side < 2; side++) {
        ib_frame *out = j->out[side];
        float *v = band[side];
        for (int k = 0; k < 3; k++) {
            size_t h, w, y0 = k ? first / 2 : first, m = k ? (n + 1) / 2 : n,
                         seen = k ? (c->width + 1) / 2 : c->width;
            ib_canvas_plane(c, k, &h, &w);
            for (size_t y = 0; y < m; y++) {
                store_row(v + y * w, ib_patch_black(k), ib_patch_range(k), seen,
                          out->plane[k] + (y0 + y) * out->stride[k]);
            }
            v += m * w;
        }
    }
}

static int check_sides(const ib_adapter *a, const ib_adapter_work *w, const ib_pair *p, float t,
                       const ib_frame *first, const ib_frame *last, ib_error *err) {
    if (!a->config.motion) {
        return ib_fail(err, IB_E_UNSUPPORTED, "this adapter has no motion head and cannot carry pictures");
    }
    if (!p->full0 || first->width != p->width || first->height != p->height || last->width != p->width ||
        last->height != p->height || p->shape.rows != w->shape.rows || p->shape.cols != w->shape.cols) {
        return ib_fail(err, IB_E_MISMATCH, "keyframes of %dx%d carried to pictures of %dx%d and %dx%d",
                       p->width, p->height, first->width, first->height, last->width, last->height);
    }
    return t > 0 && t < 1
               ? IB_OK
               : ib_fail(err, IB_E_ARGUMENT, "keyframes can be carried to t in (0,1), not to %g", (double)t);
}

int ib_adapter_estimate_once(ib_adapter_work *w, ib_pair *p, ib_error *err) {
    size_t luma = 2 * 64 * p->shape.tokens;
    if (!w->motion || !p->full0 || p->shape.rows != w->shape.rows || p->shape.cols != w->shape.cols) {
        return ib_fail(err, IB_E_ARGUMENT, "the flows of %d x %d tokens need a work space of their own",
                       p->shape.cols, p->shape.rows);
    }
    if (!p->forward) {
        int rc = ib_alloc_floats(&p->forward, 2 * luma, "the flows of a pair", err);
        if (rc) {
            return rc;
        }
        p->backward = p->forward + luma;
    }
    ib_patch_inverse(p->z0, p->shape.rows, p->shape.cols, w->motion->planes0);
    ib_patch_inverse(p->z1, p->shape.rows, p->shape.cols, w->motion->planes1);
    ib_motion_flows(w->motion, p->forward, p->backward);
    p->has_flows = true;
    return IB_OK;
}

int ib_adapter_render_sides(const ib_adapter *a, ib_adapter_work *w, const ib_pair *p, float t,
                            float gap_seconds, int threads, ib_frame *first, ib_frame *last, ib_error *err) {
    const ib_canvas *c = &p->canvas;
    size_t each = ib_blend_scratch(c, BAND) + 2 * band_floats(c);
    int rc = check_sides(a, w, p, t, first, last, err), bands = (p->height + BAND - 1) / BAND;
    float *arena = NULL;
    if (rc) {
        return rc;
    }
    threads = threads < 1 ? 1 : threads < bands ? threads : bands;
    if ((rc = ib_alloc_floats(&arena, (size_t)threads * each, "a guide's pictures", err))) {
        return rc;
    }
    ib_between in = {.z0 = p->z0, .z1 = p->z1, .t = t, .gap_seconds = gap_seconds};
    ib_ordered o = ib_order(&in, p->shape.tokens * p->shape.width);
    const float *forward = p->has_flows ? o.swapped ? p->backward : p->forward : NULL,
                *backward = p->has_flows ? o.swapped ? p->forward : p->backward : NULL;
    ib_model_motion(a, w, &o, forward, backward);
    for (size_t i = 0; i < 4 * c->rows * c->cols && !rc; i++) {
        if (!isfinite(w->fields[i])) {
            rc = ib_fail(err, IB_E_NONFINITE,
                         "the model's motion is not finite; its weights or the keyframes are damaged");
        }
    }
    job j = {p, o.swapped, o.t, w->fields, {o.swapped ? last : first, o.swapped ? first : last}};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < (rc ? 0 : bands); i++) {
        carry_band(&j, (size_t)i * BAND, arena + (size_t)omp_get_thread_num() * each);
    }
    first->matrix = p->full0->matrix;
    last->matrix = p->full1->matrix;
    ib_free(arena);
    return rc;
}
