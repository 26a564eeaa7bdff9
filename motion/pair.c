#include "motion/pair.h"

#include <math.h>

#include "base/memory.h"
#include "latent/patch.h"
#include "latent/patch_plane.h"
#include "motion/pair_private.h"
#include "nn/warp.h"

/* Larger frames are predicted at about this many luma px (docs/experiments.md). */
static const double predicted_px = 576.0 * 336.0;

static ib_shape shape_for(int width, int height) {
    double scale = sqrt(predicted_px / ((double)width * height));
    scale = scale > 1 ? 1 : scale;
    int cols = (int)lrint(width * scale / 8), rows = (int)lrint(height * scale / 8);
    cols = cols < 1 ? 1 : cols;
    rows = rows < 1 ? 1 : rows;
    /* a picture as long as it is thin has its short side kept at a block */
    cols = cols > 4096 ? 4096 : cols;
    rows = rows > 4096 ? 4096 : rows;
    return (ib_shape){IB_LAYOUT_GRID, rows, cols, (size_t)rows * (size_t)cols, IB_PATCH_D};
}

int ib_pair_create(ib_pair **out, int width, int height, ib_error *err) {
    const ib_shape grid = shape_for(width, height);
    *out = NULL;
    ib_pair *p = ib_calloc(1, sizeof *p);
    if (!p) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for keyframes of %d x %d", width, height);
    }
    p->shape = grid;
    p->width = width;
    p->height = height;
    p->canvas = ib_canvas_of((size_t)grid.rows, (size_t)grid.cols);
    p->canvas.height = (size_t)height;
    p->canvas.width = (size_t)width;
    size_t n = grid.tokens * grid.width, picture = ib_canvas_floats(&p->canvas),
           spline = ib_canvas_spline_floats(&p->canvas),
           planes = 2 * picture > n ? 2 * picture : n; /* the grid of a thin picture has more */
    int rc = ib_alloc_floats(&p->arena, 2 * n + planes + 2 * spline, "keyframes at full size", err);
    rc = rc ? rc : ib_frame_alloc(&p->small, 8 * grid.cols, 8 * grid.rows, err);
    if (rc) {
        ib_pair_free(&p);
        return rc;
    }
    p->z0 = p->arena;
    p->z1 = p->z0 + n;
    p->planes = p->z1 + n;
    p->spline0 = p->planes + planes;
    p->spline1 = p->spline0 + spline;
    *out = p;
    return 0;
}

void ib_pair_free(ib_pair **p) {
    if (*p) {
        ib_frame_free(&(*p)->small);
        ib_free((*p)->forward);
        ib_free((*p)->arena);
        ib_free(*p);
        *p = NULL;
    }
}

const ib_shape *ib_pair_shape(const ib_pair *p) {
    return &p->shape;
}

/* Plane i % 3 of keyframe i / 3. */
static void fit_plane(ib_pair *p, int i) {
    float *planes = p->planes + (i / 3 ? ib_canvas_floats(&p->canvas) : 0),
          *spline = i / 3 ? p->spline1 : p->spline0;
    for (int k = 0;; k++) {
        size_t h, w;
        ib_canvas_plane(&p->canvas, k, &h, &w);
        if (k == i % 3) {
            ib_patch_plane(i / 3 ? p->full1 : p->full0, k, h, w, planes);
            ib_spline_fit(planes, h, w, spline);
            return;
        }
        planes += h * w;
        spline += ib_spline_floats(h, w);
    }
}

static int encode_small(ib_pair *p, const ib_frame *full, float *z, ib_error *err) {
    p->small.matrix = full->matrix;
    int rc = ib_frame_scale(&p->small, full, err);
    if (!rc) {
        ib_patch_from_frame(&p->small, p->shape.rows, p->shape.cols, p->planes);
        ib_patch_forward(p->planes, p->shape.rows, p->shape.cols, z);
    }
    return rc;
}

int ib_pair_set(ib_pair *p, const ib_frame *full0, const ib_frame *full1, int threads, ib_error *err) {
    if (full0->width != p->width || full0->height != p->height || full1->width != p->width ||
        full1->height != p->height) {
        return ib_fail(err, IB_E_MISMATCH, "keyframes of %dx%d and %dx%d, expected %dx%d", full0->width,
                       full0->height, full1->width, full1->height, p->width, p->height);
    }
    p->has_flows = false;
    int rc = encode_small(p, full0, p->z0, err);
    rc = rc ? rc : encode_small(p, full1, p->z1, err);
    if (rc) {
        return rc;
    }
    p->full0 = full0;
    p->full1 = full1;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < 6; i++) {
        fit_plane(p, i);
    }
    return 0;
}
