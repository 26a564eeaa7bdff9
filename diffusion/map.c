#include "diffusion/map.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "nn/conv2d.h"
#include "nn/forward.h"
#include "nn/layers.h"

/* ---- maps and weights ---- */

int ib_map_alloc(ib_map *m, size_t rows, size_t cols, size_t channels, ib_error *err) {
    size_t n;
    *m = (ib_map){rows, cols, channels, NULL};
    if (ib_size_mul(rows, cols, &n) || ib_size_mul(n, channels, &n)) {
        return ib_fail(err, IB_E_MEMORY, "a map of %zu x %zu with %zu channels does not fit into memory",
                       rows, cols, channels);
    }
    return ib_alloc_floats(&m->v, n, "a picture on its way through a network", err);
}

void ib_map_free(ib_map *m) {
    ib_free(m->v);
    *m = (ib_map){0};
}

static int find_vector(const ib_weights *w, const char *name, const char *what, size_t n, ib_weight *out,
                       ib_error *err) {
    char full[256];
    snprintf(full, sizeof full, "%.200s.%s", name, what);
    return ib_weights_get(w, full, 1, (const int64_t[1]){(int64_t)n}, out, err);
}

int ib_map_conv_find(ib_map_conv *c, const ib_weights *w, const char *name, size_t cin, size_t cout,
                     bool bias_needed, ib_error *err) {
    char full[256];
    int64_t shape[4] = {cout ? (int64_t)cout : -1, cin ? (int64_t)cin : -1, 3, 3};
    ib_weight any;
    *c = (ib_map_conv){0};
    snprintf(full, sizeof full, "%.200s.weight", name);
    int rc = ib_weights_get(w, full, -1, NULL, &any, err);
    if (rc) {
        return rc;
    }
    if (any.rank == 2 || (any.rank == 4 && any.shape[2] == 1)) {
        shape[2] = shape[3] = 1;
    }
    if ((rc = ib_weights_get(w, full, 4, shape, &c->w, err))) {
        return rc;
    }
    c->cout = (size_t)c->w.shape[0];
    c->cin = (size_t)c->w.shape[1];
    c->size = (size_t)shape[2];
    snprintf(full, sizeof full, "%.200s.bias", name);
    c->bias = bias_needed || ib_weights_has(w, full);
    return c->bias ? find_vector(w, name, "bias", c->cout, &c->b, err) : IB_OK;
}

int ib_map_norm_find(ib_map_norm *n, const ib_weights *w, const char *name, size_t channels, size_t groups,
                     size_t z_channels, ib_error *err) {
    char full[224];
    int rc;
    *n = (ib_map_norm){.channels = channels, .groups = groups};
    snprintf(full, sizeof full, "%.180s.conv_y.weight", name);
    n->spatial = ib_weights_has(w, full);
    n->groups = n->spatial ? 32 : groups; /* as all of them have */
    if (!n->groups || channels % n->groups) {
        return ib_fail(err, IB_E_FORMAT, "%s: '%.200s' has %zu channels, not divisible by %zu groups",
                       ib_weights_path(w), name, channels, n->groups);
    }
    if (n->spatial) {
        snprintf(full, sizeof full, "%.180s.conv_y", name);
        if ((rc = ib_map_conv_find(&n->scale, w, full, z_channels, channels, true, err))) {
            return rc;
        }
        snprintf(full, sizeof full, "%.180s.conv_b", name);
        if ((rc = ib_map_conv_find(&n->shift, w, full, z_channels, channels, true, err))) {
            return rc;
        }
        if (n->scale.size != 1 || n->shift.size != 1) {
            return ib_fail(err, IB_E_UNSUPPORTED, "%s: '%.200s' is a spatial norm with 3x3 maps",
                           ib_weights_path(w), name);
        }
        snprintf(full, sizeof full, "%.180s.norm_layer", name);
        name = full;
    }
    rc = find_vector(w, name, "weight", channels, &n->w, err);
    return rc ? rc : find_vector(w, name, "bias", channels, &n->b, err);
}

/* ---- norms ---- */

/* A norm made ready for one map: y = x * scale + shift per channel, and a spatial norm's maps of z. */
typedef struct norm_ready {
    float *scale, *shift;     /* [C] */
    float *wy, *by, *wb, *bb; /* [Z,C] [C] [Z,C] [C], spatial */
    size_t z_channels;
    float *memory;
} norm_ready;

/* Sums over fixed bands of rows, added in their order. */
static int channel_sums(const ib_map *x, double *sum, double *square, int threads, ib_error *err) {
    enum { BAND = 8 };
    size_t c = x->channels, bands = (x->rows + BAND - 1) / BAND, n;
    double *part = ib_size_mul(bands, 2 * c, &n) ? NULL : ib_calloc(n, sizeof *part);
    if (!part) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the sums of a norm");
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t b = 0; b < bands; b++) {
        double *s = part + b * 2 * c, *q = s + c;
        size_t first = b * BAND * x->cols, last = (b + 1) * BAND * x->cols;
        last = last < x->rows * x->cols ? last : x->rows * x->cols;
        for (size_t p = first; p < last; p++) {
            const float *v = x->v + p * c;
            for (size_t i = 0; i < c; i++) {
                double d = v[i];
                s[i] += d;
                q[i] += d * d;
            }
        }
    }
    for (size_t b = 0; b < bands; b++) {
        for (size_t i = 0; i < c; i++) {
            sum[i] += part[b * 2 * c + i];
            square[i] += part[b * 2 * c + c + i];
        }
    }
    ib_free(part);
    return IB_OK;
}

static int ready_norm(norm_ready *r, const ib_map_norm *n, const ib_map *x, int threads, ib_error *err) {
    size_t c = n->channels, per = c / n->groups, z = n->spatial ? n->scale.cin : 0, total;
    *r = (norm_ready){.z_channels = z};
    if (ib_size_mul(c, 4 + 2 * z, &total)) {
        return ib_fail(err, IB_E_MEMORY, "a norm of %zu channels does not fit into memory", c);
    }
    int rc = ib_alloc_floats(&r->memory, total, "a norm", err);
    double *sums = rc ? NULL : ib_calloc(2 * c, sizeof *sums);
    if (!rc && !sums) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a norm");
    }
    rc = rc ? rc : channel_sums(x, sums, sums + c, threads, err);
    if (rc) {
        ib_free(sums);
        ib_free(r->memory);
        r->memory = NULL;
        return rc;
    }
    r->scale = r->memory;
    r->shift = r->scale + c;
    ib_weight_widen(&n->w, 0, c, r->scale);
    ib_weight_widen(&n->b, 0, c, r->shift);
    double count = (double)per * (double)x->rows * (double)x->cols;
    for (size_t g = 0; g < n->groups; g++) {
        double s = 0, q = 0;
        for (size_t i = g * per; i < (g + 1) * per; i++) {
            s += sums[i];
            q += sums[c + i];
        }
        double mean = s / count, variance = q / count - mean * mean;
        double factor = 1 / sqrt((variance > 0 ? variance : 0) + 1e-6);
        for (size_t i = g * per; i < (g + 1) * per; i++) {
            double scale = factor * r->scale[i];
            r->shift[i] = (float)(r->shift[i] - mean * scale);
            r->scale[i] = (float)scale;
        }
    }
    ib_free(sums);
    if (n->spatial) {
        r->wy = r->shift + c;
        r->by = r->wy + z * c;
        r->wb = r->by + c;
        r->bb = r->wb + z * c;
        ib_weight_widen(&n->scale.b, 0, c, r->by);
        ib_weight_widen(&n->shift.b, 0, c, r->bb);
        for (size_t i = 0; i < c; i++) {
            for (size_t k = 0; k < z; k++) {
                ib_weight_widen(&n->scale.w, i * z + k, 1, &r->wy[k * c + i]);
                ib_weight_widen(&n->shift.w, i * z + k, 1, &r->wb[k * c + i]);
            }
        }
    }
    return IB_OK;
}

/* One pixel of a spatial norm. f: normed already; z: [Z] */
static void spatial_pixel(const norm_ready *r, const float *z, size_t channels, float *f) {
    for (size_t i = 0; i < channels; i++) {
        float scale = r->by[i], shift = r->bb[i];
        for (size_t k = 0; k < r->z_channels; k++) {
            scale += z[k] * r->wy[k * channels + i];
            shift += z[k] * r->wb[k * channels + i];
        }
        f[i] = f[i] * scale + shift;
    }
}

/* ---- the rows that a convolution reads ---- */

typedef struct reader {
    const ib_map *x;
    const ib_map_step *step;
    norm_ready norm;
    size_t rows, cols; /* after enlarging */
} reader;

/* out: [cols,channels] */
static void read_row(const reader *r, size_t row, float *out) {
    const ib_map *x = r->x;
    size_t c = x->channels;
    if (r->step->up == 2) {
        const float *in = x->v + row / 2 * x->cols * c;
        for (size_t p = 0; p < x->cols; p++) {
            memcpy(out + 2 * p * c, in + p * c, c * sizeof *out);
            memcpy(out + (2 * p + 1) * c, in + p * c, c * sizeof *out);
        }
        return;
    }
    const float *in = x->v + row * x->cols * c;
    const ib_map *z = r->step->z;
    if (r->norm.scale) {
        for (size_t p = 0; p < x->cols; p++) {
            float *o = out + p * c;
            for (size_t i = 0; i < c; i++) {
                o[i] = in[p * c + i] * r->norm.scale[i] + r->norm.shift[i];
            }
            if (r->norm.wy) {
                size_t zr = row * z->rows / x->rows, zc = p * z->cols / x->cols;
                spatial_pixel(&r->norm, z->v + (zr * z->cols + zc) * z->channels, c, o);
            }
        }
    } else if (out != in) {
        memcpy(out, in, x->cols * c * sizeof *out);
    }
    if (r->step->act == IB_MAP_SILU) {
        ib_silu(out, x->cols * c, out);
    } else if (r->step->act == IB_MAP_RELU) {
        for (size_t i = 0; i < x->cols * c; i++) {
            out[i] = out[i] > 0 ? out[i] : 0;
        }
    }
}

/* All of what the convolution reads. out: [rows,cols,channels], or x's own numbers where nothing is enlarged
 */
static void read_all(const reader *r, float *out, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t row = 0; row < r->rows; row++) {
        read_row(r, row, out + row * r->cols * r->x->channels);
    }
}

/* ---- convolutions ---- */

int ib_map_conv_run(const ib_map_conv *c, const ib_map *x, const ib_map_step *step, ib_map *y, int threads,
                    ib_error *err) {
    size_t up = step->up == 2 ? 2 : 1, stride = step->stride == 2 ? 2 : 1, n;
    reader r = {.x = x, .step = step, .rows = x->rows * up, .cols = x->cols * up};
    bool spatial = step->norm && step->norm->spatial, made = !y->v;
    float *bias = NULL, *scratch = NULL;
    ib_map in = {0};
    int rc = IB_OK;
    if (c->cin != x->channels || (step->norm && step->norm->channels != x->channels) || !r.rows || !r.cols ||
        r.rows % stride || r.cols % stride || (c->size == 1 && (up > 1 || stride > 1)) ||
        (spatial && (!step->z || step->z->channels != step->norm->scale.cin))) {
        return ib_fail(err, IB_E_MISMATCH,
                       "a convolution of %zu channels cannot take a map of %zu x %zu with %zu", c->cin,
                       x->rows, x->cols, x->channels);
    }
    ib_conv2d d = {.images = 1, .rows = r.rows, .cols = r.cols, .cin = c->cin, .cout = c->cout};
    d.kernel = (int)c->size;
    d.stride = (int)stride;
    d.pad_before = c->size == 3 && !(stride == 2 && step->trailing);
    d.pad_after = c->size == 3;
    if (made && (rc = ib_map_alloc(y, r.rows / stride, r.cols / stride, c->cout, err))) {
        return rc;
    }
    if (step->norm && (rc = ready_norm(&r.norm, step->norm, x, threads, err))) {
        goto end;
    }
    if (step->norm || step->act != IB_MAP_NONE || up > 1) {
        bool there = step->spoil && up == 1;
        if (!there && (rc = ib_map_alloc(&in, r.rows, r.cols, x->channels, err))) {
            goto end;
        }
        read_all(&r, there ? x->v : in.v, threads);
    }
    if (c->bias) {
        if ((rc = ib_alloc_floats(&bias, c->cout, "a convolution's weights", err))) {
            goto end;
        }
        ib_weight_widen(&c->b, 0, c->cout, bias);
    }
    if ((rc = ib_alloc_floats(&scratch, ib_conv2d_scratch(&d, threads), "a convolution", err))) {
        goto end;
    }
    n = y->rows * y->cols * y->channels;
    if (step->add && step->add != y->v) {
        memcpy(y->v, step->add, n * sizeof *y->v);
    }
    ib_conv2d_run(&d, in.v ? in.v : x->v, c->w.data, c->w.dtype, bias, 0, step->add != NULL, threads, scratch,
                  y->v);
    if (step->relu) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i++) {
            y->v[i] = y->v[i] > 0 ? y->v[i] : 0;
        }
    }
end:
    if (rc && made) {
        ib_map_free(y);
    }
    ib_free(scratch);
    ib_free(bias);
    ib_map_free(&in);
    ib_free(r.norm.memory);
    return rc;
}

/* ---- attention ---- */

int ib_map_attend(const ib_map *q, const ib_map *k, const ib_map *v, ib_map *y, int threads, ib_error *err) {
    size_t tokens = q->rows * q->cols, c = q->channels;
    ib_attend a = {.images = 1, .queries = tokens, .keys = tokens, .heads = 1, .width = c};
    float *scratch;
    a.q = q->v;
    a.k = k->v;
    a.v = v->v;
    a.q_row = a.k_row = a.v_row = a.y_row = c;
    a.scale = 1 / sqrtf((float)c);
    a.gain = 1;
    int rc = ib_map_alloc(y, q->rows, q->cols, c, err);
    if (rc) {
        return rc;
    }
    if ((rc = ib_alloc_floats(&scratch, ib_attend_scratch(&a, threads), "attention", err))) {
        ib_map_free(y);
        return rc;
    }
    ib_attend_run(&a, threads, scratch, y->v);
    ib_free(scratch);
    return IB_OK;
}
