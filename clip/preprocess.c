#include "clip/preprocess.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "base/memory.h"
#include "nn/keys.h"
#include "nn/simd.h"

enum { BITS = 22, MOST_TAPS = 16400 };

/* Which samples of a line make one of the new line, and with what weights. */
typedef struct line_filter {
    int size;   /* most taps */
    int *first; /* [out] */
    int *taps;  /* [out] */
    int32_t *w; /* [out,size], sums near 1 << BITS */
    void *memory;
} line_filter;

static double bilinear(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Weights for the samples [first, first + count) of a line of `in` samples that is scaled to `out`. */
static int make_filter(line_filter *f, ib_clip_filter kind, int in, int out, int first, int count,
                       ib_error *err) {
    double (*shape)(double) = kind == IB_CLIP_BILINEAR ? bilinear : ib_keys;
    double scale = (double)in / out, wide = scale < 1 ? 1 : scale,
           support = (kind == IB_CLIP_BILINEAR ? 1 : 2) * wide;
    size_t size = (size_t)ceil(support) * 2 + 1, n = (size_t)count;
    *f = (line_filter){.size = (int)size};
    if (size > MOST_TAPS) {
        return ib_fail(err, IB_E_ARGUMENT, "a line of %d samples cannot be shrunk to %d", in, out);
    }
    double *k = ib_calloc(size, sizeof *k);
    f->memory = ib_calloc(n * (size + 2), sizeof(int32_t));
    if (!k || !f->memory) {
        ib_free(k);
        return ib_fail(err, IB_E_MEMORY, "out of memory for scaling %d samples to %d", in, out);
    }
    f->w = f->memory;
    f->first = f->w + n * size;
    f->taps = f->first + n;
    for (size_t i = 0; i < n; i++) {
        double centre = ((double)first + (double)i + 0.5) * scale, sum = 0;
        int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
        from = from < 0 ? 0 : from;
        to = to > in ? in : to;
        for (int x = from; x < to; x++) {
            sum += k[x - from] = shape((x - centre + 0.5) / wide);
        }
        for (int x = from; x < to; x++) {
            f->w[i * size + (size_t)(x - from)] = (int32_t)lround(k[x - from] / sum * (1 << BITS));
        }
        f->first[i] = from;
        f->taps[i] = to - from;
    }
    ib_free(k);
    return IB_OK;
}

static IB_INLINE uint8_t clip8(int32_t v) {
    v >>= BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* in: a row of RGB; out: [count,3] */
static void columns_preprocess(const line_filter *f, const uint8_t *in, int count, uint8_t *out) {
    for (int i = 0; i < count; i++) {
        const uint8_t *p = in + 3 * (size_t)f->first[i];
        const int32_t *w = f->w + (size_t)i * (size_t)f->size;
        int32_t r = 1 << (BITS - 1), g = r, b = r;
        for (int k = 0; k < f->taps[i]; k++, p += 3) {
            r += p[0] * w[k];
            g += p[1] * w[k];
            b += p[2] * w[k];
        }
        out[3 * i] = clip8(r);
        out[3 * i + 1] = clip8(g);
        out[3 * i + 2] = clip8(b);
    }
}

/* in: rows of `bytes`; sum: [bytes] scratch; out: [bytes] */
IB_MULTIARCH
static void rows_preprocess(const uint8_t *restrict in, const int32_t *w, int taps, size_t bytes,
                            int32_t *restrict sum, uint8_t *restrict out) {
    for (size_t i = 0; i < bytes; i++) {
        sum[i] = 1 << (BITS - 1);
    }
    for (int k = 0; k < taps; k++) {
        const uint8_t *p = in + (size_t)k * bytes;
        for (size_t i = 0; i < bytes; i++) {
            sum[i] += p[i] * w[k];
        }
    }
    for (size_t i = 0; i < bytes; i++) {
        out[i] = clip8(sum[i]);
    }
}

/* The scaled picture's part of side x side from (left, top), into out [side,side,3]. */
static int resample(ib_clip_filter kind, const uint8_t *rgb, size_t stride, int width, int height,
                    int to_width, int to_height, int left, int top, int side, uint8_t *out, ib_error *err) {
    line_filter across = {0}, down = {0};
    uint8_t *narrow = NULL;
    int32_t *sum = NULL;
    size_t bytes = (size_t)side * 3, kept;
    int rc = make_filter(&across, kind, width, to_width, left, side, err);
    rc = rc ? rc : make_filter(&down, kind, height, to_height, top, side, err);
    if (rc) {
        goto end;
    }
    int first = down.first[0], last = down.first[side - 1] + down.taps[side - 1];
    if (ib_size_mul((size_t)(last - first), bytes, &kept) || !(narrow = ib_calloc(kept, 1)) ||
        !(sum = ib_calloc(bytes, sizeof *sum))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for scaling a picture of %d x %d", width, height);
        goto end;
    }
    for (int y = first; y < last; y++) {
        uint8_t *line = narrow + (size_t)(y - first) * bytes;
        const uint8_t *in = rgb + (size_t)y * stride;
        if (to_width == width) {
            memcpy(line, in + 3 * (size_t)left, bytes);
        } else {
            columns_preprocess(&across, in, side, line);
        }
    }
    for (int y = 0; y < side; y++) {
        if (to_height == height) {
            memcpy(out + (size_t)y * bytes, narrow + (size_t)(top + y - first) * bytes, bytes);
        } else {
            rows_preprocess(narrow + (size_t)(down.first[y] - first) * bytes,
                            down.w + (size_t)y * (size_t)down.size, down.taps[y], bytes, sum,
                            out + (size_t)y * bytes);
        }
    }
end:
    ib_free(sum);
    ib_free(narrow);
    ib_free(down.memory);
    ib_free(across.memory);
    return rc;
}

int ib_clip_preprocess_run(const ib_clip_preprocess *p, ib_fit fit, int side, const uint8_t *rgb,
                           size_t stride, int width, int height, float *pixels, ib_error *err) {
    int w = side, h = side, edge = p->edge > side ? p->edge : side;
    uint8_t *square;
    if (width < 1 || height < 1 || width > 16384 || height > 16384) {
        return ib_fail(err, IB_E_ARGUMENT, "a frame of %d x %d is outside 1..16384", width, height);
    }
    if (fit == IB_FIT_CROP) {
        /* the longer side is cut to whole pixels, as the references do */
        w = width <= height ? edge : (int)((int64_t)edge * width / height);
        h = width <= height ? (int)((int64_t)edge * height / width) : edge;
        if (w > 16384 * 4 || h > 16384 * 4) {
            return ib_fail(err, IB_E_ARGUMENT, "a frame of %d x %d is too long for its width; try squash",
                           width, height);
        }
    }
    if (!(square = ib_calloc((size_t)side * (size_t)side, 3))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a picture of %d x %d", side, side);
    }
    int rc = resample(p->filter, rgb, stride, width, height, w, h, (w - side) / 2, (h - side) / 2, side,
                      square, err);
    size_t area = (size_t)side * (size_t)side;
    for (int c = 0; c < 3 && !rc; c++) {
        float value[256];
        for (int v = 0; v < 256; v++) {
            value[v] = ((float)v / 255.0f - p->mean[c]) / p->std[c];
        }
        for (size_t i = 0; i < area; i++) {
            pixels[(size_t)c * area + i] = value[square[3 * i + (size_t)c]];
        }
    }
    ib_free(square);
    return rc;
}
