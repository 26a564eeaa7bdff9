#include "nn/layers.h"

#include <math.h>
#include <string.h>

#include "nn/exp.h"
#include "nn/gemm.h"
#include "nn/simd.h"

static const float norm_eps = 1e-5f;

static IB_INLINE float sigmoid1(float x) {
    return 1.0f / (1.0f + ib_exp1(-x));
}

void ib_linear(const float *x, const float *w, const float *b, size_t tokens, size_t cin, size_t cout,
               float *y) {
    if (b) {
        for (size_t t = 0; t < tokens; t++) {
            memcpy(y + t * cout, b, cout * sizeof *y);
        }
    }
    ib_gemm(x, w, b ? 1.0f : 0.0f, y, tokens, cout, cin);
}

void ib_linear_backward(const float *x, const float *w, const float *dy, size_t tokens, size_t cin,
                        size_t cout, float *dx, float *dw, float *db) {
    ib_gemm_at(x, dy, 1.0f, dw, cin, cout, tokens);
    if (db) {
        ib_column_sums(dy, tokens, cout, db);
    }
    if (dx) {
        ib_gemm_bt(dy, w, 0.0f, dx, tokens, cin, cout);
    }
}

/* Sixteen running sums, so that the loop vectorises without reordering a single chain. */
static IB_INLINE void moments(const float *x, size_t c, float *mean, float *inv) {
    float s[16] = {0}, q[16] = {0};
    size_t i = 0;
    for (; i + 16 <= c; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            s[j] += x[i + j];
        }
    }
    float sum = 0;
    for (; i < c; i++) {
        sum += x[i];
    }
    for (size_t j = 0; j < 16; j++) {
        sum += s[j];
    }
    float m = sum / (float)c;
    for (i = 0; i + 16 <= c; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            float d = x[i + j] - m;
            q[j] += d * d;
        }
    }
    float var = 0;
    for (; i < c; i++) {
        var += (x[i] - m) * (x[i] - m);
    }
    for (size_t j = 0; j < 16; j++) {
        var += q[j];
    }
    *mean = m;
    *inv = 1.0f / sqrtf(var / (float)c + norm_eps);
}

IB_MULTIARCH
void ib_norm_film_silu(const float *restrict x, const float *restrict scale, const float *restrict shift,
                       size_t tokens, size_t channels, float *restrict y) {
    for (size_t t = 0; t < tokens; t++) {
        const float *xt = x + t * channels;
        float *yt = y + t * channels, mean, inv;
        moments(xt, channels, &mean, &inv);
        for (size_t i = 0; i < channels; i++) {
            float h = (xt[i] - mean) * inv * (1.0f + scale[i]) + shift[i];
            yt[i] = h * sigmoid1(h);
        }
    }
}

IB_MULTIARCH
void ib_norm_film_silu_backward(const float *restrict x, const float *restrict scale,
                                const float *restrict shift, const float *restrict dy, size_t tokens,
                                size_t channels, float *restrict dx, float *restrict dscale,
                                float *restrict dshift) {
    for (size_t t = 0; t < tokens; t++) {
        const float *xt = x + t * channels, *dyt = dy + t * channels;
        float *dxt = dx + t * channels, mean, inv;
        moments(xt, channels, &mean, &inv);
        for (size_t i = 0; i < channels; i++) {
            float n = (xt[i] - mean) * inv, h = n * (1.0f + scale[i]) + shift[i];
            float s = sigmoid1(h), dh = dyt[i] * s * (1.0f + h * (1.0f - s));
            dscale[i] += dh * n;
            dshift[i] += dh;
            dxt[i] = dh * (1.0f + scale[i]);
        }
        float a[16] = {0}, b[16] = {0}, sa = 0, sb = 0;
        size_t i = 0;
        for (; i + 16 <= channels; i += 16) {
            for (size_t j = 0; j < 16; j++) {
                a[j] += dxt[i + j];
                b[j] += dxt[i + j] * (xt[i + j] - mean);
            }
        }
        for (; i < channels; i++) {
            sa += dxt[i];
            sb += dxt[i] * (xt[i] - mean);
        }
        for (size_t j = 0; j < 16; j++) {
            sa += a[j];
            sb += b[j];
        }
        float ma = sa / (float)channels, mb = sb / (float)channels * inv * inv;
        for (i = 0; i < channels; i++) {
            dxt[i] = inv * (dxt[i] - ma - (xt[i] - mean) * mb);
        }
    }
}

IB_MULTIARCH
void ib_silu(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] * sigmoid1(x[i]);
    }
}

IB_MULTIARCH
void ib_silu_backward(const float *x, const float *dy, size_t n, float *dx) {
    for (size_t i = 0; i < n; i++) {
        float s = sigmoid1(x[i]);
        dx[i] = dy[i] * s * (1.0f + x[i] * (1.0f - s));
    }
}

IB_MULTIARCH
void ib_sigmoid(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = sigmoid1(x[i]);
    }
}

IB_MULTIARCH
void ib_exp(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = ib_exp1(x[i]);
    }
}

IB_MULTIARCH
void ib_add(const float *restrict x, size_t n, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

IB_MULTIARCH
void ib_subtract(const float *restrict a, const float *restrict b, size_t n, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = a[i] - b[i];
    }
}

IB_MULTIARCH
void ib_column_sums(const float *restrict x, size_t tokens, size_t channels, float *restrict sum) {
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < channels; i++) {
            sum[i] += x[t * channels + i];
        }
    }
}
