#include "nn/attention.h"

#include <math.h>

#include "nn/blas.h"
#include "nn/layers.h"
#include "nn/simd.h"

size_t ib_attention_scratch(size_t tokens) {
    return 2 * tokens * tokens;
}

static void product(CBLAS_TRANSPOSE ta, const float *a, size_t lda, CBLAS_TRANSPOSE tb, const float *b,
                    size_t ldb, float alpha, float *c, size_t ldc, size_t m, size_t n, size_t k) {
    ib_sgemm(ta, a, lda, tb, b, ldb, alpha, 0.0f, c, ldc, m, n, k);
}

/* Row by row: p = softmax(p). */
IB_MULTIARCH
static void softmax(float *p, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++) {
        float *x = p + r * n, most = x[0], sums[16] = {0}, sum = 0;
        for (size_t i = 1; i < n; i++) {
            most = x[i] > most ? x[i] : most;
        }
        for (size_t i = 0; i < n; i++) {
            x[i] -= most;
        }
        ib_exp(x, n, x);
        size_t i = 0;
        for (; i + 16 <= n; i += 16) {
            for (size_t j = 0; j < 16; j++) {
                sums[j] += x[i + j];
            }
        }
        for (; i < n; i++) {
            sum += x[i];
        }
        for (size_t j = 0; j < 16; j++) {
            sum += sums[j];
        }
        float inv = 1.0f / sum;
        for (i = 0; i < n; i++) {
            x[i] *= inv;
        }
    }
}

/* The weights of one head. */
static void weights_attention(const float *q, const float *k, size_t stride, size_t tokens, size_t width,
                              float *p) {
    product(CblasNoTrans, q, stride, CblasTrans, k, stride, 1.0f / sqrtf((float)width), p, tokens, tokens,
            tokens, width);
    softmax(p, tokens, tokens);
}

void ib_attention(const float *qkv, size_t sequences, size_t tokens, size_t channels, size_t heads,
                  float *scratch, float *y) {
    size_t width = channels / heads, stride = 3 * channels;
    for (size_t i = 0; i < sequences * heads; i++) {
        const float *q = qkv + i / heads * tokens * stride + i % heads * width, *v = q + 2 * channels;
        weights_attention(q, q + channels, stride, tokens, width, scratch);
        product(CblasNoTrans, scratch, tokens, CblasNoTrans, v, stride, 1,
                y + i / heads * tokens * channels + i % heads * width, channels, tokens, width, tokens);
    }
}

/* dp becomes the gradient at the products q k^T: p (dp - sum of p dp) / sqrt(width); the sum is dy y of the
 * row. */
IB_MULTIARCH
static void softmax_backward(const float *restrict p, const float *restrict y, const float *restrict dy,
                             size_t stride, size_t tokens, size_t width, float scale, float *restrict dp) {
    for (size_t r = 0; r < tokens; r++) {
        const float *yr = y + r * stride, *dyr = dy + r * stride;
        float sum = 0;
        for (size_t i = 0; i < width; i++) {
            sum += yr[i] * dyr[i];
        }
        for (size_t i = 0; i < tokens; i++) {
            dp[r * tokens + i] = scale * p[r * tokens + i] * (dp[r * tokens + i] - sum);
        }
    }
}

void ib_attention_backward(const float *qkv, const float *y, const float *dy, size_t sequences, size_t tokens,
                           size_t channels, size_t heads, float *scratch, float *dqkv) {
    size_t width = channels / heads, stride = 3 * channels;
    float *p = scratch, *dp = scratch + tokens * tokens, scale = 1.0f / sqrtf((float)width);
    for (size_t i = 0; i < sequences * heads; i++) {
        size_t in = i / heads * tokens * stride + i % heads * width,
               out = i / heads * tokens * channels + i % heads * width;
        const float *q = qkv + in, *k = q + channels, *v = k + channels, *d = dy + out;
        float *dq = dqkv + in, *dk = dq + channels, *dv = dk + channels;
        weights_attention(q, k, stride, tokens, width, p);
        product(CblasTrans, p, tokens, CblasNoTrans, d, channels, 1, dv, stride, tokens, width, tokens);
        product(CblasNoTrans, d, channels, CblasTrans, v, stride, 1, dp, tokens, tokens, tokens, width);
        softmax_backward(p, y + out, d, channels, tokens, width, scale, dp);
        product(CblasNoTrans, dp, tokens, CblasNoTrans, k, stride, 1, dq, stride, tokens, width, tokens);
        product(CblasTrans, dp, tokens, CblasNoTrans, q, stride, 1, dk, stride, tokens, width, tokens);
    }
}
