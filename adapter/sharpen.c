/* Detail from one keyframe. The mean of two carried keyframes is near the truth in squared error and soft:
 * what lies a fraction of a px apart in the two, and their grain, is averaged away. So the fine part of what
 * is predicted, p, moves towards that of the keyframe that is nearer in time or better seen:
 *
 *   p + s exp(-(1 - s) (low(b - p) / 0.03)^2) high(b - p),
 *   b = the blend with m = sigmoid((1 + 5 s) (mask + odds + 0.3 s)),
 *
 * with s the sharpness in [0,1], low a 5x5 binomial, high what it leaves, and the blend's formula in
 * motion/blend.h. Where p and b differ in more than detail, b's detail would draw edges of what p has faded:
 * little is added there, but for s = 1. Luma alone is sharpened. */
#include <math.h>

#include "adapter/private.h"
#include "latent/patch.h"
#include "nn/layers.h"
#include "nn/simd.h"

/* How much harder than the mask a sharpness of 1 chooses between the keyframes, and how far it leans to the
 * nearer one, which decides where the mask does not. */
static const float hardness = 6.0f, leaning = 0.3f;
/* Luma, black 0 and white 1: a difference of this much closes the gate to 1/e. */
static const float agreement = 0.03f;

/* Binomial of five samples, the edge repeated: along a row of n samples. */
IB_MULTIARCH
static void smooth_row(const float *restrict x, size_t n, float *restrict out) {
    size_t last = n - 1;
    for (size_t i = 0; i < n; i++) {
        size_t l1 = i >= 1 ? i - 1 : 0, l2 = i >= 2 ? i - 2 : 0, r1 = i + 1 <= last ? i + 1 : last,
               r2 = i + 2 <= last ? i + 2 : last;
        out[i] = (6 * x[i] + 4 * (x[l1] + x[r1]) + x[l2] + x[r2]) * (1.0f / 16.0f);
    }
}

/* low = the binomial across the rows r, r[2] being this one; exponent: of the gate, k times its square */
IB_MULTIARCH
static void smooth_across(const float *const r[5], float k, size_t n, float *restrict low,
                          float *restrict exponent) {
    for (size_t i = 0; i < n; i++) {
        low[i] = (6 * r[2][i] + 4 * (r[1][i] + r[3][i]) + r[0][i] + r[4][i]) * (1.0f / 16.0f);
        exponent[i] = k * low[i] * low[i];
    }
}

IB_MULTIARCH
static void add_high(const float *restrict d, const float *restrict low, const float *restrict gate, float s,
                     size_t n, float *restrict p) {
    for (size_t i = 0; i < n; i++) {
        p[i] += s * gate[i] * (d[i] - low[i]);
    }
}

void ib_model_sharpen(ib_adapter_work *w, const ib_ordered *in, size_t sample, float sharpness, float *z) {
    ib_motion *m = &w->motion[sample];
    size_t height = m->canvas.height, width = m->canvas.width, luma = height * width,
           cells = m->canvas.rows * m->canvas.cols;
    float odds = logf((1.0f - in->t) / in->t), k = 1.0f + (hardness - 1.0f) * sharpness;
    for (float *f = w->fields + 4 * cells, *end = f + cells; f < end; f++) {
        *f = k * (*f + odds + leaning * sharpness) - odds;
    }
    ib_blend(&m->canvas, m->spline0, m->spline1, w->fields, in->t, 0, height, m->scratch, w->pixels);
    float *p = w->carried0, *d = m->scratch, *smooth = d + luma, *low = smooth + luma, *gate = low + luma;
    ib_patch_inverse(z, (int)w->rows, (int)w->cols, p);
    for (size_t i = 0; i < luma; i++) {
        d[i] = w->pixels[i] - p[i];
    }
    for (size_t y = 0; y < height; y++) {
        smooth_row(d + y * width, width, smooth + y * width);
    }
    for (size_t y = 0; y < height; y++) {
        const float *row[5];
        for (size_t i = 0; i < 5; i++) {
            size_t at = y + i < 2 ? 0 : y + i - 2;
            row[i] = smooth + (at < height ? at : height - 1) * width;
        }
        smooth_across(row, -(1.0f - sharpness) / (agreement * agreement), width, low + y * width,
                      gate + y * width);
    }
    ib_exp(gate, luma, gate);
    add_high(d, low, gate, sharpness, luma, p);
    ib_patch_forward(p, (int)w->rows, (int)w->cols, z);
}
