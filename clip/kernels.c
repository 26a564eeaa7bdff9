#include "clip/kernels.h"

#include <math.h>
#include "nn/exp.h"
#include "nn/gelu.h"
#include "nn/simd.h"

enum { LANES = 16 };

IB_MULTIARCH
void ib_clip_norm(const float *x, const float *w, const float *b, float eps, size_t rows, size_t width,
                  float *y) {
    size_t whole = width - width % LANES;
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * width;
        float *yr = y + r * width, s[LANES] = {0}, q[LANES] = {0}, sum = 0, squares = 0;
        for (size_t i = 0; i < whole; i += LANES) {
            for (size_t j = 0; j < LANES; j++) {
                s[j] += xr[i + j];
            }
        }
        for (size_t i = whole; i < width; i++) {
            sum += xr[i];
        }
        for (size_t j = 0; j < LANES; j++) {
            sum += s[j];
        }
        float mean = sum / (float)width;
        for (size_t i = 0; i < whole; i += LANES) {
            for (size_t j = 0; j < LANES; j++) {
                float d = xr[i + j] - mean;
                q[j] += d * d;
            }
        }
        for (size_t i = whole; i < width; i++) {
            squares += (xr[i] - mean) * (xr[i] - mean);
        }
        for (size_t j = 0; j < LANES; j++) {
            squares += q[j];
        }
        float inv = 1.0f / sqrtf(squares / (float)width + eps);
        for (size_t i = 0; i < width; i++) {
            yr[i] = (xr[i] - mean) * inv * w[i] + b[i];
        }
    }
}

IB_MULTIARCH
static void quick_gelu(const float *b, size_t rows, size_t cols, size_t stride, float *x) {
    for (size_t r = 0; r < rows; r++) {
        float *xr = x + r * stride;
        for (size_t i = 0; i < cols; i++) {
            float v = xr[i] + b[i];
            xr[i] = v / (1.0f + ib_exp1(-1.702f * v));
        }
    }
}

IB_MULTIARCH
static void gelu(const float *b, size_t rows, size_t cols, size_t stride, float *x) {
    for (size_t r = 0; r < rows; r++) {
        float *xr = x + r * stride;
        for (size_t i = 0; i < cols; i++) {
            xr[i] = ib_gelu1(xr[i] + b[i]);
        }
    }
}

void ib_clip_activate(ib_clip_act act, const float *b, size_t rows, size_t cols, size_t stride, float *x) {
    (act == IB_CLIP_QUICK_GELU ? quick_gelu : gelu)(b, rows, cols, stride, x);
}

IB_MULTIARCH
void ib_clip_bias(const float *b, size_t rows, size_t cols, size_t stride, float *x) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < cols; i++) {
            x[r * stride + i] += b[i];
        }
    }
}

static IB_INLINE void softmax_row(float *x, size_t n) {
    size_t whole = n - n % LANES;
    float m[LANES], s[LANES] = {0}, most = x[0], sum = 0;
    for (size_t j = 0; j < LANES; j++) {
        m[j] = x[0];
    }
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
        }
    }
    for (size_t i = whole; i < n; i++) {
        most = x[i] > most ? x[i] : most;
    }
    for (size_t j = 0; j < LANES; j++) {
        most = m[j] > most ? m[j] : most;
    }
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            float e = ib_exp1(x[i + j] - most);
            x[i + j] = e;
            s[j] += e;
        }
    }
    for (size_t i = whole; i < n; i++) {
        sum += x[i] = ib_exp1(x[i] - most);
    }
    for (size_t j = 0; j < LANES; j++) {
        sum += s[j];
    }
    float inv = 1.0f / sum;
    for (size_t i = 0; i < n; i++) {
        x[i] *= inv;
    }
}

IB_MULTIARCH
void ib_clip_softmax(float *s, size_t rows, size_t keys, bool causal, size_t first) {
    for (size_t r = 0; r < rows; r++) {
        float *x = s + r * keys;
        size_t n = causal && first + r + 1 < keys ? first + r + 1 : keys;
        softmax_row(x, n);
        for (size_t i = n; i < keys; i++) {
            x[i] = 0;
        }
    }
}
