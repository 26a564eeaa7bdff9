#include "train/muon.h"
#include <math.h>
#include <string.h>
#include "nn/gemm.h"
#include "nn/simd.h"

enum { STEPS = 5 };
/* p(s) = a s + b s^3 + c s^5 drives every s in (0,1] towards 1. */
static const float a = 3.4445f, b = -4.7750f, c = 2.0315f, momentum_kept = 0.95f, match_adamw = 0.2f;

static size_t smaller(size_t m, size_t n) {
    return m < n ? m : n;
}

size_t ib_orthogonalise_scratch(size_t rows, size_t cols) {
    size_t k = smaller(rows, cols);
    return rows * cols + 5 * k * k;
}

size_t ib_muon_scratch(size_t rows, size_t cols) {
    return rows * cols + ib_orthogonalise_scratch(rows, cols);
}

/* p = a I + b g + c g2 */
IB_MULTIARCH
static void polynomial(const float *restrict g, const float *restrict g2, size_t k, float *restrict p) {
    for (size_t i = 0; i < k * k; i++) {
        p[i] = b * g[i] + c * g2[i];
    }
    for (size_t i = 0; i < k; i++) {
        p[i * k + i] += a;
    }
}

IB_MULTIARCH
static void scale(float *x, size_t n, float by) {
    for (size_t i = 0; i < n; i++) {
        x[i] *= by;
    }
}

static void swap(float **x, float **y) {
    float *z = *x;
    *x = *y;
    *y = z;
}

/* A step takes X to X P with P a polynomial of G = X^T X, and so G to P G P; all these commute. The product Q
 * of the Ps is gathered, and X multiplied once. For a wide X the same with G = X X^T on the left. */
void ib_orthogonalise(float *x, size_t rows, size_t cols, float *scratch) {
    size_t k = smaller(rows, cols), n = k * k;
    float *out = scratch, *g = out + rows * cols, *q = g + n, *p = q + n, *h = p + n, *r = h + n;
    double trace = 0;
    if (rows >= cols) {
        ib_gemm_at(x, x, 0, g, k, k, rows);
    } else {
        ib_gemm_bt(x, x, 0, g, k, k, cols);
    }
    for (size_t i = 0; i < k; i++) {
        trace += (double)g[i * k + i];
    }
    if (!(trace > 0)) {
        return;
    }
    scale(g, n, (float)(1 / trace));
    for (int step = 0; step < STEPS; step++) {
        ib_gemm(g, g, 0, h, k, k, k);
        polynomial(g, h, k, step ? p : q);
        if (step) {
            ib_gemm(q, p, 0, r, k, k, k);
            swap(&q, &r);
        }
        if (step + 1 < STEPS) {
            const float *last = step ? p : q;
            ib_gemm(last, g, 0, h, k, k, k);
            ib_gemm(h, last, 0, g, k, k, k);
        }
    }
    scale(q, n, (float)(1 / sqrt(trace)));
    if (rows >= cols) {
        ib_gemm(x, q, 0, out, rows, k, k);
    } else {
        ib_gemm(q, x, 0, out, k, cols, k);
    }
    memcpy(x, out, rows * cols * sizeof *x);
}

IB_MULTIARCH
static void follow_momentum(const float *restrict g, float by, size_t n, float *restrict momentum,
                            float *restrict ahead) {
    for (size_t i = 0; i < n; i++) {
        float d = by * g[i];
        momentum[i] = momentum_kept * momentum[i] + d;
        ahead[i] = momentum_kept * momentum[i] + d;
    }
}

IB_MULTIARCH
static void move_muon(const float *restrict direction, float keep, float rate, size_t n, float *restrict w) {
    for (size_t i = 0; i < n; i++) {
        w[i] = keep * w[i] - rate * direction[i];
    }
}

void ib_muon(const ib_update *u, double decay, float *w, const float *g, float *momentum, size_t rows,
             size_t cols, float *scratch) {
    size_t n = rows * cols;
    double side = (double)(rows > cols ? rows : cols);
    follow_momentum(g, (float)u->scale, n, momentum, scratch);
    ib_orthogonalise(scratch, rows, cols, scratch + n);
    move_muon(scratch, (float)(1 - u->rate * decay), (float)(u->rate * (double)match_adamw * sqrt(side)), n,
              w);
}
