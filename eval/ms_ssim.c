#include "eval/ms_ssim.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "nn/simd.h"

enum { SCALES = 5, TAPS = 11, SIDE = TAPS / 2, MOMENTS = 4 };

static const double exponents[SCALES] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

struct ib_ms_ssim {
    int width[SCALES], height[SCALES], scales;
    float *truth[SCALES], *other[SCALES]; /* pictures of one scale, without padding */
    float *arena;
    float *ring; /* [TAPS, MOMENTS, width]: the last rows, filtered along themselves */
    float *line; /* [MOMENTS, width] */
    float tap[TAPS];
};

int ib_ms_ssim_scales(int width, int height) {
    int n = 0;
    for (; n < SCALES && width >= TAPS && height >= TAPS; n++) {
        width /= 2;
        height /= 2;
    }
    return n;
}

int ib_ms_ssim_create(ib_ms_ssim **out, int width, int height, ib_error *err) {
    ib_ms_ssim *m = calloc(1, sizeof *m);
    size_t all = 0, line = (size_t)width * MOMENTS;
    *out = m;
    if (!m) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for comparing pictures");
    }
    m->scales = ib_ms_ssim_scales(width, height);
    for (int i = 0; i < m->scales; i++) {
        m->width[i] = width >> i;
        m->height[i] = height >> i;
        all += (size_t)m->width[i] * (size_t)m->height[i];
    }
    int rc = ib_alloc_floats(&m->arena, 2 * all + line * (TAPS + 1), "comparing pictures", err);
    if (rc) {
        ib_ms_ssim_free(out);
        return rc;
    }
    float *at = m->arena;
    for (int i = 0; i < m->scales; i++) {
        size_t n = (size_t)m->width[i] * (size_t)m->height[i];
        m->truth[i] = at;
        m->other[i] = at + n;
        at += 2 * n;
    }
    m->ring = at;
    m->line = at + line * TAPS;
    double sum = 0, tap[TAPS];
    for (int i = 0; i < TAPS; i++) {
        sum += tap[i] = exp(-(i - SIDE) * (i - SIDE) / (2 * 1.5 * 1.5));
    }
    for (int i = 0; i < TAPS; i++) {
        m->tap[i] = (float)(tap[i] / sum);
    }
    return IB_OK;
}

void ib_ms_ssim_free(ib_ms_ssim **m) {
    if (*m) {
        ib_free((*m)->arena);
        free(*m);
        *m = NULL;
    }
}

/* ---- the pyramid ---- */

IB_MULTIARCH static void widen(const uint8_t *in, int n, float *out) {
    for (int x = 0; x < n; x++) {
        out[x] = in[x];
    }
}

IB_MULTIARCH static void halve(const float *up, const float *down, int n, float *out) {
    for (int x = 0; x < n; x++) {
        out[x] = 0.25f * (up[2 * x] + up[2 * x + 1] + down[2 * x] + down[2 * x + 1]);
    }
}

static void build(const ib_ms_ssim *m, const ib_frame *f, float *const *to) {
    for (int y = 0; m->scales && y < m->height[0]; y++) {
        widen(f->plane[0] + (size_t)y * f->stride[0], m->width[0], to[0] + (size_t)y * (size_t)m->width[0]);
    }
    for (int i = 1; i < m->scales; i++) {
        size_t w = (size_t)m->width[i - 1];
        for (int y = 0; y < m->height[i]; y++) {
            const float *up = to[i - 1] + 2 * (size_t)y * w;
            halve(up, up + w, m->width[i], to[i] + (size_t)y * (size_t)m->width[i]);
        }
    }
}

void ib_ms_ssim_truth(ib_ms_ssim *m, const ib_frame *truth) {
    build(m, truth, m->truth);
}

/* ---- one scale ---- */

/* Both rows, their squares together and their products, each filtered along the row. a, b: [n]; line:
 * [MOMENTS, n]; out: [MOMENTS, n], of which n - TAPS + 1 are filled. */
IB_MULTIARCH static void filter_row(const float *restrict a, const float *restrict b, int n,
                                    const float *restrict tap, float *restrict line, float *restrict out) {
    for (int x = 0; x < n; x++) {
        line[x] = a[x];
        line[n + x] = b[x];
        line[2 * n + x] = a[x] * a[x] + b[x] * b[x];
        line[3 * n + x] = a[x] * b[x];
    }
    for (int k = 0; k < MOMENTS; k++) {
        const float *in = line + k * n;
        float *to = out + k * n;
        for (int x = 0; x < n - TAPS + 1; x++) {
            float sum = tap[SIDE] * in[x + SIDE];
            for (int i = 0; i < SIDE; i++) {
                sum += tap[i] * (in[x + i] + in[x + TAPS - 1 - i]);
            }
            to[x] = sum;
        }
    }
}

/* row: [TAPS], the filtered rows from top to bottom. out: [n] */
static IB_INLINE void filter_column(const float *const *row, size_t at, int n, const float *tap,
                                    float *restrict out) {
    const float *r0 = row[0] + at, *r1 = row[1] + at, *r2 = row[2] + at, *r3 = row[3] + at, *r4 = row[4] + at,
                *r5 = row[5] + at, *r6 = row[6] + at, *r7 = row[7] + at, *r8 = row[8] + at, *r9 = row[9] + at,
                *r10 = row[10] + at;
    for (int x = 0; x < n; x++) {
        out[x] = tap[0] * (r0[x] + r10[x]) + tap[1] * (r1[x] + r9[x]) + tap[2] * (r2[x] + r8[x]) +
                 tap[3] * (r3[x] + r7[x]) + tap[4] * (r4[x] + r6[x]) + tap[5] * r5[x];
    }
}

/* row: each [MOMENTS, n]. Adds up luminance, contrast and structure together, and without luminance, over
 * `count` windows. */
IB_MULTIARCH static void compare_row(const float *const *row, int n, int count, const float *tap,
                                     float *restrict line, double *whole, double *contrast) {
    enum { LANES = 16 };
    const float c1 = 0.01f * 255 * 0.01f * 255, c2 = 0.03f * 255 * 0.03f * 255;
    float sum_c[LANES] = {0}, sum_w[LANES] = {0};
    for (int k = 0; k < MOMENTS; k++) {
        filter_column(row, (size_t)k * (size_t)n, count, tap, line + k * n);
    }
    float *restrict p = line, *restrict q = line + n;
    const float *restrict squares = line + 2 * n, *restrict products = line + 3 * n;
    for (int x = 0; x < count; x++) {
        float ab = p[x] * q[x], aabb = p[x] * p[x] + q[x] * q[x];
        float cs = (2 * (products[x] - ab) + c2) / (squares[x] - aabb + c2);
        p[x] = cs;
        q[x] = cs * (2 * ab + c1) / (aabb + c1);
    }
    int x = 0;
    for (; x + LANES <= count; x += LANES) {
        for (int l = 0; l < LANES; l++) {
            sum_c[l] += p[x + l];
            sum_w[l] += q[x + l];
        }
    }
    for (; x < count; x++) {
        sum_c[0] += p[x];
        sum_w[0] += q[x];
    }
    for (int l = 0; l < LANES; l++) {
        *contrast += (double)sum_c[l];
        *whole += (double)sum_w[l];
    }
}

static void compare_ms_ssim(const ib_ms_ssim *m, int scale, double *whole, double *contrast) {
    int w = m->width[scale], h = m->height[scale], count = w - TAPS + 1;
    const float *row[TAPS];
    *whole = *contrast = 0;
    for (int y = 0; y < h; y++) {
        size_t at = (size_t)y * (size_t)w;
        filter_row(m->truth[scale] + at, m->other[scale] + at, w, m->tap, m->line,
                   m->ring + (size_t)(y % TAPS) * (size_t)w * MOMENTS);
        if (y >= TAPS - 1) {
            for (int i = 0; i < TAPS; i++) {
                row[i] = m->ring + (size_t)((y + 1 + i) % TAPS) * (size_t)w * MOMENTS;
            }
            compare_row(row, w, count, m->tap, m->line, whole, contrast);
        }
    }
    double windows = (double)count * (h - TAPS + 1);
    *whole /= windows;
    *contrast /= windows;
}

double ib_ms_ssim_of(ib_ms_ssim *m, const ib_frame *frame) {
    double product = 1, sum = 0;
    build(m, frame, m->other);
    for (int i = 0; i < m->scales; i++) {
        sum += exponents[i];
    }
    for (int i = 0; i < m->scales; i++) {
        double whole, contrast;
        compare_ms_ssim(m, i, &whole, &contrast);
        product *= pow(fmax(0, i + 1 < m->scales ? contrast : whole), exponents[i] / sum);
    }
    return m->scales ? product : NAN;
}
