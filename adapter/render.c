/* In-betweens at the keyframes' own size. Large keyframes are scaled down to the grid that ib_pair_shape has,
 * on which the model predicts as ib_adapter_predict does; that picture is enlarged, and what it cannot hold
 * comes from the keyframes themselves:
 *
 *   out = U(p) + D(full) - U(D(small)),   D = blend + f (cross-fade - blend),
 *
 * with p the predicted picture, U bilinear enlargement, and D the detail: both keyframes carried along the
 * motion head's flows (motion/blend.h, the same function at either size) and, as far as the model falls back
 * on the cross-fade in the finest luma coefficients of a token, f, the cross-fade. Where the keyframes have
 * that grid's size, D(full) = U(D(small)) and the prediction itself is left. Sharpening comes last, at full
 * size. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "latent/patch.h"
#include "latent/patch_plane.h"
#include "motion/pair_private.h"
#include "nn/gemm.h"
#include "nn/simd.h"
#include "nn/warp.h"
#include "video_io/frame.h"

/* Luma rows that are made at once: enough to pay for the rows of cells about them, few enough for the cache.
 */
enum { BAND = 16 };

/* How much the model falls back on the cross-fade in the finest luma coefficients of each token: what is
 * finer still, which the small picture cannot hold, follows them. fade: [tokens] in [0,1] */
static void finest_mixing(const float *mixing, size_t tokens, size_t width, float *fade) {
    enum { FINE = 7 }; /* order of a coefficient: row + column */
    for (size_t k = 0; k < tokens; k++) {
        float sum = 0, n = 0;
        for (size_t i = 0; i < 64; i++) {
            if (i / 8 + i % 8 >= FINE) {
                sum += mixing[IB_MIXINGS * k * width + i];
                n++;
            }
        }
        fade[k] = sum < 0 ? 0 : sum < n ? sum / n : 1;
    }
}

/* What one frame is made from. */
typedef struct job {
    const ib_pair *pair;
    bool swapped;
    const ib_frame *key[2]; /* the keyframes, ordered as the model has them */
    float t;
    const float *fields; /* [IB_FIELDS, cells] */
    float *residual;     /* the predicted picture, then what it has beyond its own detail */
    float *fade;         /* [tokens] */
    float *luma; /* [2,height,width]: the frame's, to be sharpened, and room; NULL: it goes into the frame */
    ib_frame *out;
} job;

/* residual -= D(small). tmp: [8 rows, 8 cols] and enlargement's scratch */
static void subtract_detail(const job *j, const ib_motion *m, const float *blend, float *tmp) {
    size_t at = 0;
    for (int k = 0; k < 3; k++) {
        size_t h, w;
        ib_canvas_plane(&m->canvas, k, &h, &w);
        ib_enlarge(j->fade, m->rows, m->cols, h, w, 0, h, 1.0f, tmp + h * w, tmp);
        for (size_t i = 0; i < h * w; i++, at++) {
            float faded = m->planes0[at] + j->t * (m->planes1[at] - m->planes0[at]);
            j->residual[at] -= blend[at] + tmp[i] * (faded - blend[at]);
        }
    }
}

/* blend + fade (cross-fade of a and b - blend) + residual, in place of the residual */
IB_MULTIARCH
static void finish_row(const uint8_t *restrict a, const uint8_t *restrict b, float t,
                       const float *restrict blend, const float *restrict fade, float black, float range,
                       size_t n, float *restrict residual) {
    for (size_t x = 0; x < n; x++) {
        float faded = ((float)a[x] + t * ((float)b[x] - (float)a[x]) - black) * (1 / range);
        residual[x] = blend[x] + fade[x] * (faded - blend[x]) + residual[x];
    }
}

static size_t band_scratch(const ib_pair *p) {
    const ib_canvas *c = &p->canvas;
    size_t h, w;
    ib_canvas_plane(c, 0, &h, &w);
    return ib_blend_scratch(c, BAND) + 2 * BAND * (w + 1) + 2 * BAND * w +
           ib_enlarge_scratch(8 * (size_t)p->shape.rows, h, w, BAND);
}

/* Luma rows from `first` on, at most BAND of them, and the chroma rows under them. */
static void render_band(const job *j, size_t first, float *scratch) {
    const ib_pair *p = j->pair;
    const ib_canvas *c = &p->canvas;
    const ib_frame *f0 = j->key[0], *f1 = j->key[1];
    size_t rows = (size_t)p->shape.rows, cols = (size_t)p->shape.cols,
           n = c->height - first < BAND ? c->height - first : BAND, h, w;
    ib_canvas_plane(c, 0, &h, &w);
    float *band = scratch + ib_blend_scratch(c, BAND), *fade = band + 2 * BAND * (w + 1),
          *rest = fade + BAND * w, *tmp = rest + BAND * w;
    const float *small = j->residual;
    ib_blend(c, j->swapped ? p->spline1 : p->spline0, j->swapped ? p->spline0 : p->spline1, j->fields, j->t,
             first, n, scratch, band);
    for (int k = 0; k < 3; k++) {
        size_t side = k ? 4 : 8, y0 = k ? first / 2 : first, m = k ? (n + 1) / 2 : n,
               seen = k ? (c->width + 1) / 2 : c->width;
        ib_canvas_plane(c, k, &h, &w);
        ib_enlarge(j->fade, rows, cols, h, w, y0, m, 1.0f, tmp, fade);
        ib_enlarge(small, side * rows, side * cols, h, w, y0, m, 1.0f, tmp, rest);
        for (size_t y = 0; y < m; y++) {
            float *row = rest + y * w;
            finish_row(f0->plane[k] + (y0 + y) * f0->stride[k], f1->plane[k] + (y0 + y) * f1->stride[k], j->t,
                       band + y * w, fade + y * w, ib_patch_black(k), ib_patch_range(k), seen, row);
            if (!k && j->luma) {
                memcpy(j->luma + (y0 + y) * seen, row, seen * sizeof *row);
            } else {
                ib_patch_store(row, k, seen, j->out->plane[k] + (y0 + y) * j->out->stride[k]);
            }
        }
        band += m * w;
        small += side * rows * side * cols;
    }
}

/* j->luma, sharpened, becomes the frame's. */
static void sharpen_frame(const job *j, float sharpness, int threads, float *scratch) {
    const ib_canvas *c = &j->pair->canvas;
    const ib_frame *f0 = j->key[0], *f1 = j->key[1];
    float *sharp = j->luma + c->height * c->width;
    ib_sharpening s = {.canvas = c,
                       .fields = j->fields,
                       .t = j->t,
                       .sharpness = sharpness,
                       .key = {{.samples = f0->plane[0], .stride = f0->stride[0]},
                               {.samples = f1->plane[0], .stride = f1->stride[0]}},
                       .picture = j->luma};
    ib_sharpen(&s, threads, scratch, sharp);
    for (size_t y = 0; y < c->height; y++) {
        ib_patch_store(sharp + y * c->width, 0, c->width, j->out->plane[0] + y * j->out->stride[0]);
    }
}

bool ib_adapter_renders(const ib_adapter *a) {
    return a->config.motion;
}

static int check_request(const ib_adapter *a, const ib_adapter_work *w, const ib_pair *p, const ib_frame *out,
                         ib_error *err) {
    if (!a->config.motion) {
        return ib_fail(err, IB_E_UNSUPPORTED, "this adapter has no motion head and cannot render pictures");
    }
    if (!p->full0 || out->width != p->width || out->height != p->height) {
        return ib_fail(err, IB_E_MISMATCH, "an in-between of %dx%d, expected %dx%d between two keyframes",
                       out->width, out->height, p->width, p->height);
    }
    if (p->shape.rows != w->shape.rows || p->shape.cols != w->shape.cols) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "rendering %dx%d needs a work space of %d x %d tokens, got %d x %d", p->width,
                       p->height, p->shape.cols, p->shape.rows, w->shape.cols, w->shape.rows);
    }
    return 0;
}

int ib_adapter_render(const ib_adapter *a, ib_adapter_work *w, const ib_pair *p, float t, float gap_seconds,
                      int threads, ib_frame *out, ib_error *err) {
    int rc = check_request(a, w, p, out, err);
    if (rc) {
        return rc;
    }
    if (!(t > 0.0f && t < 1.0f)) {
        ib_frame_copy(out, t < 1.0f ? p->full0 : p->full1);
        return 0;
    }
    const ib_shape grid = p->shape;
    size_t n = grid.tokens * grid.width, each = band_scratch(p), small = n + n + grid.tokens;
    float sharpness = (float)a->sharpness;
    int bands = (p->height + BAND - 1) / BAND;
    threads = threads < 1 ? 1 : threads < bands ? threads : bands;
    size_t room = small > (size_t)threads * each ? small : (size_t)threads * each, luma = 0;
    if (sharpness > 0) {
        size_t more = ib_sharpen_floats(p->canvas.height, p->canvas.width, threads);
        luma = 2 * p->canvas.height * p->canvas.width;
        room = room > more ? room : more;
    }
    float *arena;
    if ((rc = ib_work_room(w, &arena, n + grid.tokens + luma + room, "an in-between", err))) {
        return rc;
    }
    job j = {.pair = p, .residual = arena, .fade = arena + n, .fields = w->fields, .out = out};
    j.luma = luma ? j.fade + grid.tokens : NULL;
    float *z = j.fade + grid.tokens + luma, *const zs[] = {z};
    ib_between in = {p->z0, p->z1, t, gap_seconds};
    ib_ordered o = ib_order(&in, n);
    j.t = o.t;
    j.swapped = o.swapped;
    j.key[o.swapped] = p->full0;
    j.key[!o.swapped] = p->full1;
    int before = ib_gemm_pin(); /* the same bits as inside a parallel region; no slower */
    rc = ib_model_predict(a, w, &o, 1, 0, zs, err);
    ib_gemm_unpin(before);
    if (!rc) {
        ib_patch_inverse(z, grid.rows, grid.cols, j.residual);
        finest_mixing(w->mixing, grid.tokens, grid.width, j.fade);
        subtract_detail(&j, &w->motion[0], w->pixels, z);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int i = 0; i < bands; i++) {
            render_band(&j, (size_t)i * BAND, z + (size_t)omp_get_thread_num() * each);
        }
        if (j.luma) {
            sharpen_frame(&j, sharpness, threads, z);
        }
        out->matrix = p->full0->matrix;
    }
    return rc;
}
