#include "diffusion/map.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "nn/conv3x3.h"
#include "nn/exp.h"
#include "nn/gemm.h"
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

/* out: [cols,channels]; zeros outside. */
static void read_row(const reader *r, ptrdiff_t row, float *out) {
    const ib_map *x = r->x;
    size_t c = x->channels;
    if (row < 0 || (size_t)row >= r->rows) {
        memset(out, 0, r->cols * c * sizeof *out);
        return;
    }
    if (r->step->up == 2) {
        const float *in = x->v + (size_t)row / 2 * x->cols * c;
        for (size_t p = 0; p < x->cols; p++) {
            memcpy(out + 2 * p * c, in + p * c, c * sizeof *out);
            memcpy(out + (2 * p + 1) * c, in + p * c, c * sizeof *out);
        }
        return;
    }
    const float *in = x->v + (size_t)row * x->cols * c;
    const ib_map *z = r->step->z;
    if (r->norm.scale) {
        for (size_t p = 0; p < x->cols; p++) {
            float *o = out + p * c;
            for (size_t i = 0; i < c; i++) {
                o[i] = in[p * c + i] * r->norm.scale[i] + r->norm.shift[i];
            }
            if (r->norm.wy) {
                size_t zr = (size_t)row * z->rows / x->rows, zc = p * z->cols / x->cols;
                spatial_pixel(&r->norm, z->v + (zr * z->cols + zc) * z->channels, c, o);
            }
        }
    } else {
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

/* A finished row [cols,cout] on its way into y. */
static void write_row(const ib_map_step *s, const float *bias, const float *in, ib_map *y, size_t row) {
    size_t n = y->cols * y->channels, at = row * n;
    float *out = y->v + at;
    for (size_t p = 0; p < y->cols; p++) {
        for (size_t i = 0; i < y->channels; i++) {
            size_t j = p * y->channels + i;
            float v = in[j] + (bias ? bias[i] : 0) + (s->add ? s->add[at + j] : 0);
            out[j] = s->relu && !(v > 0) ? 0 : v;
        }
    }
}

/* ---- convolutions ---- */

/* [cout,cin,3,3] to [9,cin,cout] */
static void turn_weights(const float *w, size_t cin, size_t cout, int threads, float *out) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < cin; i++) {
        for (size_t o = 0; o < cout; o++) {
            for (size_t t = 0; t < 9; t++) {
                out[(t * cin + i) * cout + o] = w[(o * cin + i) * 9 + t];
            }
        }
    }
}

typedef struct job {
    const ib_map_conv *c;
    const reader *r;
    ib_map *y;
    const float *weights, *bias;
    size_t strip;   /* rows of y at once */
    size_t scratch; /* floats per thread */
} job;

/* 3x3 at every position by Winograd's products: a strip with a row more above and below, whose own rows are
 * then not used. */
static void strip_winograd(const job *j, size_t first, size_t rows, float *scratch) {
    const ib_map *x = j->r->x;
    size_t cin = x->channels, cout = j->y->channels, cols = j->r->cols, tall = rows + 2;
    float *in = scratch, *out = in + (j->strip + 2) * cols * cin, *rest = out + (j->strip + 2) * cols * cout;
    for (size_t i = 0; i < tall; i++) {
        read_row(j->r, (ptrdiff_t)(first + i) - 1, in + i * cols * cin);
    }
    ib_conv3x3(in, j->weights, NULL, 1, tall, cols, cin, cout, rest, out);
    for (size_t i = 0; i < rows; i++) {
        write_row(j->r->step, j->bias, out + (i + 1) * cols * cout, j->y, first + i);
    }
}

/* Any 3x3 by one product per row with all nine taps side by side. */
static void strip_taps(const job *j, size_t first, size_t rows, float *scratch) {
    const ib_map *x = j->r->x;
    size_t cin = x->channels, cols = j->r->cols, stride = j->r->step->stride == 2 ? 2 : 1;
    ptrdiff_t before = stride == 2 && j->r->step->trailing ? 0 : 1;
    float *in = scratch, *taps = in + 3 * cols * cin, *out = taps + j->y->cols * 9 * cin;
    for (size_t i = 0; i < rows; i++) {
        for (ptrdiff_t k = 0; k < 3; k++) {
            read_row(j->r, (ptrdiff_t)((first + i) * stride) + k - before, in + (size_t)k * cols * cin);
        }
        for (size_t p = 0; p < j->y->cols; p++) {
            for (size_t t = 0; t < 9; t++) {
                ptrdiff_t col = (ptrdiff_t)(p * stride + t % 3) - before;
                float *to = taps + (p * 9 + t) * cin;
                if (col < 0 || (size_t)col >= cols) {
                    memset(to, 0, cin * sizeof *to);
                } else {
                    memcpy(to, in + (t / 3 * cols + (size_t)col) * cin, cin * sizeof *to);
                }
            }
        }
        ib_gemm(taps, j->weights, 0, out, j->y->cols, j->y->channels, 9 * cin);
        write_row(j->r->step, j->bias, out, j->y, first + i);
    }
}

static void strip_points(const job *j, size_t first, size_t rows, float *scratch) {
    const ib_map *x = j->r->x;
    size_t cin = x->channels, cout = j->y->channels, cols = x->cols;
    float *in = scratch, *out = in + j->strip * cols * cin;
    for (size_t i = 0; i < rows; i++) {
        read_row(j->r, (ptrdiff_t)(first + i), in + i * cols * cin);
    }
    ib_gemm_bt(in, j->weights, 0, out, rows * cols, cout, cin);
    for (size_t i = 0; i < rows; i++) {
        write_row(j->r->step, j->bias, out + i * cols * cout, j->y, first + i);
    }
}

static int run_strips(const job *j, void (*strip)(const job *, size_t, size_t, float *), int threads,
                      ib_error *err) {
    size_t strips = (j->y->rows + j->strip - 1) / j->strip, all;
    float *scratch;
    threads = (size_t)threads < strips ? threads : (int)strips;
    if (ib_size_mul(j->scratch, (size_t)threads, &all)) {
        return ib_fail(err, IB_E_MEMORY, "a convolution of %zu columns does not fit into memory", j->y->cols);
    }
    int rc = ib_alloc_floats(&scratch, all, "a convolution", err);
    if (rc) {
        return rc;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t s = 0; s < strips; s++) {
        size_t first = s * j->strip, left = j->y->rows - first;
        strip(j, first, left < j->strip ? left : j->strip,
              scratch + (size_t)omp_get_thread_num() * j->scratch);
    }
    ib_free(scratch);
    return IB_OK;
}

/* Rows at once, so that a strip has about 4096 positions and 4n - 2 rows. */
static size_t choose_strip(size_t rows, size_t cols) {
    size_t n = 4096 / cols;
    n = n < 14 ? 14 : n > 62 ? 62 : n / 4 * 4 + 2;
    return n < rows ? n : rows;
}

int ib_map_conv_run(const ib_map_conv *c, const ib_map *x, const ib_map_step *step, ib_map *y, int threads,
                    ib_error *err) {
    size_t up = step->up == 2 ? 2 : 1, stride = step->stride == 2 ? 2 : 1, elements = c->w.count;
    reader r = {.x = x, .step = step, .rows = x->rows * up, .cols = x->cols * up};
    job j = {c, &r, y};
    float *weights = NULL, *turned = NULL, *derived = NULL, *bias = NULL;
    bool made = false;
    int rc = IB_OK;
    if (c->cin != x->channels || (step->norm && step->norm->channels != x->channels) || r.rows % stride ||
        r.cols % stride || !r.rows || !r.cols || (c->size == 1 && (up > 1 || stride > 1)) ||
        (step->norm && step->norm->spatial && (!step->z || step->z->channels != step->norm->scale.cin))) {
        return ib_fail(err, IB_E_MISMATCH,
                       "a convolution of %zu channels cannot take a map of %zu x %zu with %zu", c->cin,
                       x->rows, x->cols, x->channels);
    }
    if (!y->v) {
        made = true;
        if ((rc = ib_map_alloc(y, r.rows / stride, r.cols / stride, c->cout, err))) {
            return rc;
        }
    }
    if (step->norm && (rc = ready_norm(&r.norm, step->norm, x, threads, err))) {
        goto end;
    }
    if ((rc = ib_alloc_floats(&weights, elements, "a convolution's weights", err)) ||
        (rc = ib_alloc_floats(&bias, c->cout, "a convolution's weights", err))) {
        goto end;
    }
    ib_weight_widen(&c->w, 0, elements, weights);
    if (c->bias) {
        ib_weight_widen(&c->b, 0, c->cout, bias);
    }
    j.bias = bias;
    if (c->size == 1) {
        j.weights = weights;
        j.strip = x->cols < 256 ? 256 / x->cols : 1;
        j.strip = j.strip < x->rows ? j.strip : x->rows;
        j.scratch = j.strip * x->cols * (c->cin + c->cout);
        rc = run_strips(&j, strip_points, threads, err);
        goto end;
    }
    if ((rc = ib_alloc_floats(&turned, elements, "a convolution's weights", err))) {
        goto end;
    }
    turn_weights(weights, c->cin, c->cout, threads, turned);
    if (stride == 1 && c->cin >= 16 && c->cout >= 16) {
        if ((rc = ib_alloc_floats(&derived, ib_conv3x3_derived(c->cin, c->cout), "a convolution's weights",
                                  err))) {
            goto end;
        }
        ib_conv3x3_weights(turned, c->cin, c->cout, derived);
        j.weights = derived;
        j.strip = choose_strip(r.rows, r.cols);
        j.scratch = (j.strip + 2) * r.cols * (c->cin + c->cout) +
                    ib_conv3x3_scratch(1, j.strip + 2, r.cols, c->cin, c->cout);
        rc = run_strips(&j, strip_winograd, threads, err);
    } else {
        j.weights = turned;
        j.strip = 1;
        j.scratch = 3 * r.cols * c->cin + y->cols * (9 * c->cin + c->cout);
        rc = run_strips(&j, strip_taps, threads, err);
    }
end:
    if (rc && made) {
        ib_map_free(y);
    }
    ib_free(derived);
    ib_free(turned);
    ib_free(bias);
    ib_free(weights);
    ib_free(r.norm.memory);
    return rc;
}

/* ---- attention ---- */

int ib_map_attend(const ib_map *q, const ib_map *k, const ib_map *v, ib_map *y, int threads, ib_error *err) {
    enum { BLOCK = 64 };
    size_t tokens = q->rows * q->cols, c = q->channels, blocks = (tokens + BLOCK - 1) / BLOCK, all;
    float *scratch, scale = 1 / sqrtf((float)c);
    threads = (size_t)threads < blocks ? threads : (int)blocks;
    if (ib_size_mul(tokens + c, BLOCK * (size_t)threads, &all)) {
        return ib_fail(err, IB_E_MEMORY, "attention between %zu positions does not fit into memory", tokens);
    }
    int rc = ib_alloc_floats(&scratch, all, "attention", err);
    if (rc) {
        return rc;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t b = 0; b < blocks; b++) {
        float *s = scratch + (size_t)omp_get_thread_num() * BLOCK * (tokens + c), *out = s + BLOCK * tokens;
        size_t first = b * BLOCK, n = tokens - first < BLOCK ? tokens - first : BLOCK;
        ib_gemm_bt_part(scale, q->v + first * c, c, k->v, c, 0, s, tokens, n, tokens, c);
        for (size_t i = 0; i < n; i++) {
            float *row = s + i * tokens, most = row[0];
            double sum = 0;
            for (size_t t = 1; t < tokens; t++) {
                most = row[t] > most ? row[t] : most;
            }
            for (size_t t = 0; t < tokens; t++) {
                row[t] -= most;
            }
            ib_exp(row, tokens, row);
            for (size_t t = 0; t < tokens; t++) {
                sum += row[t];
            }
            float by = (float)(1 / sum);
            for (size_t t = 0; t < tokens; t++) {
                row[t] *= by;
            }
        }
        ib_gemm(s, v->v, 0, out, n, c, tokens);
        memcpy(y->v + first * c, out, n * c * sizeof *out);
    }
    ib_free(scratch);
    return IB_OK;
}
