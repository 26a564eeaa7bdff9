#include "train/resample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "nn/keys.h"
#include "nn/simd.h"

static int axis_room(ib_axis *a, size_t n, size_t taps, ib_error *err) {
    if (n * (taps + 1) <= a->room) {
        return IB_OK;
    }
    free(a->first);
    ib_free(a->weight);
    a->room = n * (taps + 1);
    a->first = calloc(a->room, sizeof *a->first);
    a->weight = ib_calloc(a->room, sizeof *a->weight);
    if (!a->first || !a->weight) {
        a->room = 0;
        return ib_fail(err, IB_E_MEMORY, "out of memory for resampling a line of %zu samples", n);
    }
    return IB_OK;
}

/* Output i lies at origin + i * step of the source, which has `size` samples; beyond its edge they are
 * repeated. */
static int axis_set(ib_axis *a, size_t n, int size, double origin, double step, bool exact, ib_error *err) {
    double spread = fmax(1, fabs(step));
    size_t taps = exact ? 1 : (size_t)ceil(4 * spread);
    taps = taps > (size_t)size ? (size_t)size : taps;
    int rc = axis_room(a, n, taps, err);
    if (rc) {
        return rc;
    }
    a->n = n;
    a->taps = taps;
    memset(a->weight, 0, n * taps * sizeof *a->weight);
    for (size_t i = 0; i < n; i++) {
        double at = origin + (double)i * step, sum = 0;
        int begin = exact ? (int)lround(at) : (int)floor(at - 2 * spread) + 1;
        int end = exact ? begin : (int)ceil(at + 2 * spread) - 1, last = size - (int)taps;
        int first = begin < 0 ? 0 : begin > last ? last : begin;
        a->first[i] = first;
        for (int k = begin; k <= end; k++) {
            int from = k < first ? first : k > first + (int)taps - 1 ? first + (int)taps - 1 : k;
            double w = exact ? 1 : ib_keys((k - at) / spread);
            a->weight[(size_t)(from - first) * n + i] += (float)w;
            sum += w;
        }
        for (size_t k = 0; k < taps; k++) {
            a->weight[k * n + i] /= (float)sum;
        }
    }
    return IB_OK;
}

/* Chroma is sited left: sample i lies at luma 2 i across and 2 i + 1/2 down. Mirrored without resampling it
 * stays on the grid and lies one luma sample off, in all three frames. */
static int axes_set(ib_resampler *r, const ib_augment_plan *p, ib_error *err) {
    size_t w = (size_t)r->out_width, h = (size_t)r->out_height;
    bool exact = !p->resample;
    double sx = p->width / r->out_width, sy = p->height / r->out_height;
    double x = p->x + 0.5 * sx - 0.5, y = p->y + 0.5 * sy - 0.5, u = x / 2, v = p->y / 2 + 0.5 * sy - 0.5;
    if (p->mirror) {
        x += (double)(w - 1) * sx;
        u += exact ? (double)(w / 2 - 1) : ((double)w / 2 - 0.5) * sx;
        sx = -sx;
    }
    if (p->flip) {
        y += (double)(h - 1) * sy;
        v += (double)(h / 2 - 1) * sy;
        sy = -sy;
    }
    int e = axis_set(&r->axis[0], w, r->in_width, x, sx, exact, err);
    e = e ? e : axis_set(&r->axis[1], h, r->in_height, y, sy, exact, err);
    e = e ? e : axis_set(&r->axis[2], w / 2, r->in_width / 2, u, sx, exact, err);
    return e ? e : axis_set(&r->axis[3], h / 2, r->in_height / 2, v, sy, exact, err);
}

static int floats_room(float **p, size_t *room, size_t n, ib_error *err) {
    if (n <= *room) {
        return IB_OK;
    }
    ib_free(*p);
    *p = NULL;
    *room = 0;
    int rc = ib_alloc_floats(p, n, "resampling", err);
    *room = rc ? 0 : n;
    return rc;
}

int ib_resampler_set(ib_resampler *r, const ib_augment_plan *p, const ib_shape *in, const ib_shape *out,
                     ib_error *err) {
    r->in_width = in->cols * 8;
    r->in_height = in->rows * 8;
    r->out_width = out->cols * 8;
    r->out_height = out->rows * 8;
    r->transpose = p->transpose;
    int e = floats_room(&r->line, &r->line_room, (size_t)r->in_width, err);
    if (!e && p->transpose) {
        e = floats_room(&r->turned, &r->turned_room, (size_t)r->out_width * (size_t)r->out_height, err);
    }
    return e ? e : axes_set(r, p, err);
}

/* line = sum of weight[k * n] times row k. rows: [taps, width] */
IB_MULTIARCH static void mix_rows(const float *rows, const float *weight, size_t taps, size_t n, size_t width,
                                  float *restrict line) {
    for (size_t x = 0; x < width; x++) {
        line[x] = weight[0] * rows[x];
    }
    for (size_t k = 1; k < taps; k++) {
        float w = weight[k * n];
        const float *row = rows + k * width;
        for (size_t x = 0; x < width; x++) {
            line[x] += w * row[x];
        }
    }
}

IB_MULTIARCH static void mix_columns(const ib_axis *a, const float *restrict line, float *restrict out) {
    const int *restrict first = a->first;
    for (size_t x = 0; x < a->n; x++) {
        out[x] = a->weight[x] * line[first[x]];
    }
    for (size_t k = 1; k < a->taps; k++) {
        const float *w = a->weight + k * a->n, *from = line + k;
        for (size_t x = 0; x < a->n; x++) {
            out[x] += w[x] * from[first[x]];
        }
    }
}

/* The usual four taps at once. */
IB_MULTIARCH static void mix_columns_4(const ib_axis *a, const float *restrict line, float *restrict out) {
    const float *w0 = a->weight, *w1 = w0 + a->n, *w2 = w1 + a->n, *w3 = w2 + a->n;
    for (size_t x = 0; x < a->n; x++) {
        const float *from = line + a->first[x];
        out[x] = w0[x] * from[0] + w1[x] * from[1] + w2[x] * from[2] + w3[x] * from[3];
    }
}

static void plane_run(ib_resampler *r, const float *in, size_t width, const ib_axis *cols,
                      const ib_axis *rows, float *out) {
    for (size_t y = 0; y < rows->n; y++) {
        const float *from = in + (size_t)rows->first[y] * width, *line = from;
        if (rows->taps > 1) {
            mix_rows(from, rows->weight + y, rows->taps, rows->n, width, r->line);
            line = r->line;
        }
        (cols->taps == 4 ? mix_columns_4 : mix_columns)(cols, line, out + y * cols->n);
    }
}

static void transpose(float *plane, size_t side, float *scratch) {
    memcpy(scratch, plane, side * side * sizeof *plane);
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            plane[y * side + x] = scratch[x * side + y];
        }
    }
}

void ib_resampler_run(ib_resampler *r, const float *in, float *out) {
    size_t in_luma = (size_t)r->in_width * (size_t)r->in_height;
    size_t luma = (size_t)r->out_width * (size_t)r->out_height, side = (size_t)r->out_width;
    plane_run(r, in, (size_t)r->in_width, &r->axis[0], &r->axis[1], out);
    for (size_t i = 0; i < 2; i++) {
        plane_run(r, in + in_luma + i * in_luma / 4, (size_t)r->in_width / 2, &r->axis[2], &r->axis[3],
                  out + luma + i * luma / 4);
    }
    if (r->transpose) {
        transpose(out, side, r->turned);
        transpose(out + luma, side / 2, r->turned);
        transpose(out + luma + luma / 4, side / 2, r->turned);
    }
}

void ib_resampler_free(ib_resampler *r) {
    for (size_t i = 0; i < 4; i++) {
        free(r->axis[i].first);
        ib_free(r->axis[i].weight);
    }
    ib_free(r->line);
    ib_free(r->turned);
    *r = (ib_resampler){0};
}

IB_MULTIARCH void ib_planes_recolour(float *planes, size_t luma, size_t chroma, float gain, float offset,
                                     float c, float s) {
    float *restrict u = planes + luma, *restrict v = u + chroma;
    for (size_t i = 0; i < luma; i++) {
        planes[i] = gain * planes[i] + offset;
    }
    for (size_t i = 0; i < chroma; i++) {
        float a = u[i], b = v[i];
        u[i] = a * c - b * s;
        v[i] = a * s + b * c;
    }
}
