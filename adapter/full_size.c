/* In-betweens at the keyframes' own size: motion and correction are found on keyframes scaled down to about
 * the size that models are trained at, and carried up; the pixels come from the full-size keyframes. */
#include <math.h>
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "latent/patch.h"
#include "nn/simd.h"

/* Models are trained on frames of about this many luma px. */
static const double training_px = 192.0 * 112.0;

int ib_adapter_render_grid(const ib_adapter *a, int width, int height, ib_shape *grid, int *grid_width,
                           int *grid_height) {
    if (!a->config.motion || width < 1 || height < 1) {
        return IB_E_UNSUPPORTED;
    }
    double scale = sqrt(training_px / ((double)width * height));
    scale = scale > 1 ? 1 : scale;
    int cols = (int)lrint(width * scale / 8), rows = (int)lrint(height * scale / 8);
    cols = cols < 1 ? 1 : cols;
    rows = rows < 1 ? 1 : rows;
    /* a picture as long as it is thin has its short side kept at a block */
    cols = cols > 4096 ? 4096 : cols;
    rows = rows > 4096 ? 4096 : rows;
    *grid = (ib_shape){IB_LAYOUT_GRID, rows, cols, (size_t)rows * (size_t)cols, (size_t)a->config.width};
    *grid_width = 8 * cols;
    *grid_height = 8 * rows;
    return 0;
}

/* Where a sample of a large plane lies in a small one of n samples. */
typedef struct axis {
    int low, high;
    float part;
} axis;

static IB_INLINE axis place(int i, float ratio, int n) {
    float p = ((float)i + 0.5f) * ratio - 0.5f;
    p = p < 0 ? 0 : p;
    int low = (int)p;
    low = low < n - 1 ? low : n - 1;
    axis x = {low, low + 1 < n ? low + 1 : low, p - (float)low};
    x.part = x.part < 1 ? x.part : 1;
    return x;
}

static IB_INLINE float between(const float *f, int cols, axis y, axis x) {
    const float *a = f + (size_t)y.low * (size_t)cols, *b = f + (size_t)y.high * (size_t)cols;
    float top = a[x.low] + x.part * (a[x.high] - a[x.low]), low = b[x.low] + x.part * (b[x.high] - b[x.low]);
    return top + y.part * (low - top);
}

/* Catmull-Rom weights (Keys 1981 with a = -1/2): unlike a bilinear sample, one at half a px keeps its
 * sharpness. */
static IB_INLINE void cubic(float f, float *w) {
    w[0] = f * (-0.5f + f * (1.0f - 0.5f * f));
    w[1] = 1.0f + f * f * (-2.5f + 1.5f * f);
    w[2] = f * (0.5f + f * (2.0f - 1.5f * f));
    w[3] = f * f * (-0.5f + 0.5f * f);
}

static IB_INLINE int clamp(int i, int n) {
    return i < 0 ? 0 : i < n ? i : n - 1;
}

static IB_INLINE float sample(const uint8_t *p, size_t stride, int width, int height, float x, float y) {
    float mx = (float)(width - 1), my = (float)(height - 1), wx[4], wy[4], sum = 0;
    x = x > 0 ? x : 0;
    y = y > 0 ? y : 0;
    x = x < mx ? x : mx;
    y = y < my ? y : my;
    int i = (int)x, j = (int)y;
    cubic(x - (float)i, wx);
    cubic(y - (float)j, wy);
    if (i >= 1 && j >= 1 && i + 2 < width && j + 2 < height) {
        const uint8_t *q = p + (size_t)(j - 1) * stride + (size_t)(i - 1);
        for (int k = 0; k < 4; k++, q += stride) {
            sum += wy[k] *
                   (wx[0] * (float)q[0] + wx[1] * (float)q[1] + wx[2] * (float)q[2] + wx[3] * (float)q[3]);
        }
        return sum;
    }
    for (int k = 0; k < 4; k++) {
        const uint8_t *q = p + (size_t)clamp(j + k - 1, height) * stride;
        float row = 0;
        for (int l = 0; l < 4; l++) {
            row += wx[l] * (float)q[clamp(i + l - 1, width)];
        }
        sum += wy[k] * row;
    }
    return sum;
}

/* What one plane of the result is made from. */
typedef struct plane_job {
    const ib_frame *f0, *f1;
    ib_frame *out;
    int plane, width, height;
    /* [5, cell_rows, cell_cols]; [small_rows, small_cols] of this plane; [rows, cols] */
    const float *fields, *residual, *fade;
    int cell_rows, cell_cols, small_rows, small_cols, rows, cols;
    float gain_x, gain_y; /* px of this plane per px of the small luma */
    float t, odds, range; /* range: 8-bit steps per unit of the residual */
} plane_job;

static void carry_row(const plane_job *j, int y) {
    size_t n = (size_t)j->cell_rows * (size_t)j->cell_cols;
    axis cy = place(y, (float)j->cell_rows / (float)j->height, j->cell_rows);
    axis ry = place(y, (float)j->small_rows / (float)j->height, j->small_rows);
    axis ty = place(y, (float)j->rows / (float)j->height, j->rows);
    float cx_ratio = (float)j->cell_cols / (float)j->width, rx_ratio = (float)j->small_cols / (float)j->width;
    float near = -j->t, far = 1.0f - j->t, tx_ratio = (float)j->cols / (float)j->width;
    const uint8_t *s0 = j->f0->plane[j->plane] + (size_t)y * j->f0->stride[j->plane],
                  *s1 = j->f1->plane[j->plane] + (size_t)y * j->f1->stride[j->plane];
    uint8_t *o = j->out->plane[j->plane] + (size_t)y * j->out->stride[j->plane];
    for (int x = 0; x < j->width; x++) {
        axis cx = place(x, cx_ratio, j->cell_cols), rx = place(x, rx_ratio, j->small_cols);
        float v[IB_FIELDS];
        for (size_t k = 0; k < IB_FIELDS; k++) {
            v[k] = between(j->fields + k * n, j->cell_cols, cy, cx);
        }
        float m = 1.0f / (1.0f + expf(-(v[4] + j->odds)));
        float a = sample(j->f0->plane[j->plane], j->f0->stride[j->plane], j->width, j->height,
                         (float)x + near * j->gain_x * v[0], (float)y + near * j->gain_y * v[1]);
        float b = sample(j->f1->plane[j->plane], j->f1->stride[j->plane], j->width, j->height,
                         (float)x + far * j->gain_x * v[2], (float)y + far * j->gain_y * v[3]);
        float carried = b + m * (a - b), faded = (float)s0[x] + j->t * ((float)s1[x] - (float)s0[x]);
        float fade = between(j->fade, j->cols, ty, place(x, tx_ratio, j->cols));
        float value =
            carried + fade * (faded - carried) + j->range * between(j->residual, j->small_cols, ry, rx);
        o[x] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : lrintf(value));
    }
}

static void carry_plane(const plane_job *j) {
#pragma omp parallel for schedule(dynamic, 8)
    for (int y = 0; y < j->height; y++) {
        carry_row(j, y);
    }
}

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

/* residual: what the model's picture has beyond motion and cross-fade, at the small size. All planes of
 * `rows` x `cols` tokens. */
static void rest(const float *z0, const float *z1, const float *blend, const float *fade, float t, int rows,
                 int cols, float *residual) {
    size_t luma = 64 * (size_t)rows * (size_t)cols;
    for (int p = 0; p < 3; p++) {
        int h = (p ? 4 : 8) * rows, w = (p ? 4 : 8) * cols;
        size_t at = p ? luma + (size_t)(p - 1) * luma / 4 : 0;
        for (int y = 0; y < h; y++) {
            axis ty = place(y, (float)rows / (float)h, rows);
            for (int x = 0; x < w; x++) {
                size_t i = at + (size_t)y * (size_t)w + (size_t)x;
                float f = between(fade, cols, ty, place(x, (float)cols / (float)w, cols));
                float faded = z0[i] + t * (z1[i] - z0[i]);
                residual[i] -= blend[i] + f * (faded - blend[i]);
            }
        }
    }
}

static int small_planes(const ib_frame *full, int width, int height, int rows, int cols, float *planes,
                        ib_error *err) {
    ib_frame f = {0};
    int rc = ib_frame_alloc(&f, width, height, err);
    if (!rc) {
        f.matrix = full->matrix;
        rc = ib_frame_scale(&f, full, err);
    }
    if (!rc) {
        ib_patch_from_frame(&f, rows, cols, planes);
    }
    ib_frame_free(&f);
    return rc;
}

/* What ib_adapter_render has checked, looking one way. */
static int render_one(const ib_adapter *a, ib_adapter_work *w, const ib_frame *full0, const ib_frame *full1,
                      float t, float gap_seconds, ib_frame *out, ib_error *err) {
    const ib_shape grid = w->shape;
    int width = full0->width, height = full0->height, gw = 8 * grid.cols, gh = 8 * grid.rows;
    size_t n = grid.tokens * grid.width, luma = 64 * grid.tokens;
    float *small = NULL;
    int rc = ib_alloc_floats(&small, 4 * n + grid.tokens, "the small keyframes", err);
    if (rc) {
        return rc;
    }
    float *z0 = small, *z1 = z0 + n, *z = z1 + n, *residual = z + n, *fade = residual + n;
    if ((rc = small_planes(full0, gw, gh, grid.rows, grid.cols, z, err)) ||
        (rc = small_planes(full1, gw, gh, grid.rows, grid.cols, residual, err))) {
        goto done;
    }
    ib_patch_forward(z, grid.rows, grid.cols, z0);
    ib_patch_forward(residual, grid.rows, grid.cols, z1);
    ib_between in = {z0, z1, t, gap_seconds};
    ib_ordered o = ib_order(&in, n);
    if ((rc = ib_model_one(a, w, &o, z, err))) {
        goto done;
    }
    ib_motion *m = &w->motion[0];
    ib_patch_inverse(z, grid.rows, grid.cols, residual);
    finest_mixing(w->mixing, grid.tokens, grid.width, fade);
    rest(m->planes0, m->planes1, m->out, fade, o.t, grid.rows, grid.cols, residual);
    for (int p = 0; p < 3; p++) {
        plane_job j = {
            .f0 = o.turned ? full1 : full0, .f1 = o.turned ? full0 : full1, .out = out, .plane = p};
        j.width = p ? (width + 1) / 2 : width;
        j.height = p ? (height + 1) / 2 : height;
        j.fields = m->fields;
        j.residual = residual + (p ? luma + (size_t)(p - 1) * luma / 4 : 0);
        j.fade = fade;
        j.rows = grid.rows;
        j.cols = grid.cols;
        j.cell_rows = IB_CELLS * grid.rows;
        j.cell_cols = IB_CELLS * grid.cols;
        j.small_rows = (p ? 4 : 8) * grid.rows;
        j.small_cols = (p ? 4 : 8) * grid.cols;
        j.gain_x = (float)j.width / (float)gw;
        j.gain_y = (float)j.height / (float)gh;
        j.t = o.t;
        j.odds = logf((1.0f - o.t) / o.t);
        j.range = p ? 224.0f : 219.0f;
        carry_plane(&j);
    }
    out->matrix = full0->matrix;
done:
    ib_free(small);
    return rc;
}

/* a becomes the mean of both. */
static void average(const ib_frame *b, ib_frame *a) {
    for (int p = 0; p < 3; p++) {
        int w = p ? (a->width + 1) / 2 : a->width, h = p ? (a->height + 1) / 2 : a->height;
        for (int y = 0; y < h; y++) {
            const uint8_t *from = b->plane[p] + (size_t)y * b->stride[p];
            uint8_t *to = a->plane[p] + (size_t)y * a->stride[p];
            for (int x = 0; x < w; x++) {
                to[x] = (uint8_t)((to[x] + from[x] + 1) / 2);
            }
        }
    }
}

int ib_adapter_render(const ib_adapter *a, ib_adapter_work *w, const ib_frame *full0, const ib_frame *full1,
                      float t, float gap_seconds, ib_frame *out, ib_error *err) {
    int width = full0->width, height = full0->height, gw, gh;
    ib_shape grid;
    if (width != full1->width || height != full1->height || width != out->width || height != out->height) {
        return ib_fail(err, IB_E_MISMATCH, "keyframes of %dx%d and %dx%d cannot be joined", width, height,
                       full1->width, full1->height);
    }
    if (t <= 0.0f || t >= 1.0f) {
        ib_frame_copy(out, t <= 0.0f ? full0 : full1);
        return 0;
    }
    if (ib_adapter_render_grid(a, width, height, &grid, &gw, &gh)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "this adapter has no motion head and cannot render pictures");
    }
    if (grid.rows != w->shape.rows || grid.cols != w->shape.cols) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "rendering %dx%d takes a work space of %d x %d tokens, not %d x %d", width, height,
                       grid.cols, grid.rows, w->shape.cols, w->shape.rows);
    }
    ib_frame m[3] = {{0}};
    int rc = render_one(a, w, full0, full1, t, gap_seconds, out, err);
    if (rc || !a->mirror) {
        return rc;
    }
    for (int i = 0; i < 3 && !rc; i++) {
        rc = ib_frame_alloc(&m[i], width, height, err);
    }
    if (!rc) {
        ib_frame_mirror(&m[0], full0);
        ib_frame_mirror(&m[1], full1);
        rc = render_one(a, w, &m[0], &m[1], t, gap_seconds, &m[2], err);
    }
    if (!rc) {
        ib_frame_mirror(&m[0], &m[2]);
        average(&m[0], out);
    }
    for (int i = 0; i < 3; i++) {
        ib_frame_free(&m[i]);
    }
    return rc;
}
