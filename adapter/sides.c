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
enum { BAND = 16, MOST_SIDES = 64 /* at once */ };

typedef struct job {
    const ib_pair *pair;
    bool swapped;
    float t;
    const float *fields; /* [IB_FIELDS, cells] */
    ib_frame *out[2];    /* of the ordered keyframes */
} job;

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
                ib_patch_store(v + y * w, k, seen, out->plane[k] + (y0 + y) * out->stride[k]);
            }
            v += m * w;
        }
    }
}

static bool fits(const ib_pair *p, const ib_frame *f) {
    return f->width == p->width && f->height == p->height;
}

static int check_sides(const ib_adapter *a, const ib_adapter_work *w, const ib_pair *p, const float *t, int n,
                       const ib_frame *first, const ib_frame *last, ib_error *err) {
    if (!a->config.motion) {
        return ib_fail(err, IB_E_UNSUPPORTED, "this adapter has no motion head and cannot carry pictures");
    }
    if (n < 1 || n > w->batch || n > MOST_SIDES || !p->full0 || p->shape.rows != w->shape.rows ||
        p->shape.cols != w->shape.cols) {
        return ib_fail(err, IB_E_ARGUMENT, "keyframes cannot be carried to %d places with this work space",
                       n);
    }
    for (int i = 0; i < n; i++) {
        if (!fits(p, &first[i]) || !fits(p, &last[i])) {
            return ib_fail(err, IB_E_MISMATCH, "keyframes of %dx%d carried to pictures of %dx%d and %dx%d",
                           p->width, p->height, first[i].width, first[i].height, last[i].width,
                           last[i].height);
        }
        if (!(t[i] > 0 && t[i] < 1)) {
            return ib_fail(err, IB_E_ARGUMENT, "keyframes can be carried to t in (0,1), not to %g",
                           (double)t[i]);
        }
    }
    return IB_OK;
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

/* One target, whose motion_out is there. arena: band_floats and scratch for each thread */
static int carry_sides(ib_adapter_work *w, const ib_pair *p, const ib_ordered *o, int sample, int threads,
                       float *arena, ib_frame *first, ib_frame *last, ib_error *err) {
    const ib_canvas *c = &p->canvas;
    size_t each = ib_blend_scratch(c, BAND) + 2 * band_floats(c);
    int bands = (p->height + BAND - 1) / BAND;
    ib_model_fields(w, (size_t)sample);
    for (size_t i = 0; i < 4 * c->rows * c->cols; i++) {
        if (!isfinite(w->fields[i])) {
            return ib_fail(err, IB_E_NONFINITE,
                           "the model's motion is not finite; its weights or the keyframes are damaged");
        }
    }
    job j = {p, o->swapped, o->t, w->fields, {o->swapped ? last : first, o->swapped ? first : last}};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < bands; i++) {
        carry_band(&j, (size_t)i * BAND, arena + (size_t)omp_get_thread_num() * each);
    }
    first->matrix = p->full0->matrix;
    last->matrix = p->full1->matrix;
    return IB_OK;
}

int ib_adapter_render_sides(const ib_adapter *a, ib_adapter_work *w, const ib_pair *p, const float *t, int n,
                            float gap_seconds, int threads, ib_frame *first, ib_frame *last, ib_error *err) {
    const ib_canvas *c = &p->canvas;
    int rc = check_sides(a, w, p, t, n, first, last, err), bands = (p->height + BAND - 1) / BAND;
    ib_ordered o[MOST_SIDES];
    float *arena;
    if (rc) {
        return rc;
    }
    threads = threads < 1 ? 1 : threads < bands ? threads : bands;
    if ((rc = ib_work_room(w, &arena, (size_t)threads * (ib_blend_scratch(c, BAND) + 2 * band_floats(c)),
                           "a guide's pictures", err))) {
        return rc;
    }
    for (int i = 0; i < n; i++) {
        ib_between in = {.z0 = p->z0, .z1 = p->z1, .t = t[i], .gap_seconds = gap_seconds};
        o[i] = ib_order(&in, p->shape.tokens * p->shape.width);
    }
    ib_model_motion(a, w, o, n, p->has_flows ? p->forward : NULL, p->has_flows ? p->backward : NULL);
    for (int i = 0; i < n && !rc; i++) {
        rc = carry_sides(w, p, &o[i], i, threads, arena, &first[i], &last[i], err);
    }
    return rc;
}
