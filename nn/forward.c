#include "nn/forward.h"

#include <math.h>
#include <string.h>

#include "nn/gelu.h"
#include "nn/simd.h"

enum {
    CHUNK = 128,  /* pixels that are summed together */
    CHANNELS = 32 /* channels that are summed side by side */
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t chunks_of(const ib_group_norm *n) {
    return (n->pixels + CHUNK - 1) / CHUNK;
}

size_t ib_group_norm_scratch(const ib_group_norm *n) {
    /* sums and squares of every chunk and channel, as doubles; then a factor and a summand for every channel
     */
    return 4 * n->images * chunks_of(n) * n->channels + 2 * n->images * n->channels;
}

/* sums: [2,C] of one chunk */
IB_MULTIARCH
static void sum_chunk(const float *x, size_t pixels, size_t channels, double *sums) {
    for (size_t c = 0; c < channels; c += CHANNELS) {
        double s[CHANNELS] = {0}, q[CHANNELS] = {0};
        size_t n = channels - c < CHANNELS ? channels - c : CHANNELS;
        if (n == CHANNELS) {
            for (size_t p = 0; p < pixels; p++) {
                const float *row = x + p * channels + c;
                for (size_t i = 0; i < CHANNELS; i++) {
                    double v = row[i];
                    s[i] += v;
                    q[i] += v * v;
                }
            }
        } else {
            for (size_t p = 0; p < pixels; p++) {
                const float *row = x + p * channels + c;
                for (size_t i = 0; i < n; i++) {
                    double v = row[i];
                    s[i] += v;
                    q[i] += v * v;
                }
            }
        }
        memcpy(sums + c, s, n * sizeof *s);
        memcpy(sums + channels + c, q, n * sizeof *q);
    }
}

/* factor, summand: [C] of one image: the result is x * factor + summand. */
static void settle(const ib_group_norm *n, size_t image, const double *sums, float *factor, float *summand) {
    size_t each = n->channels / n->groups, chunks = chunks_of(n);
    double count = (double)each * (double)n->pixels;
    for (size_t g = 0; g < n->groups; g++) {
        double s = 0, q = 0;
        for (size_t i = 0; i < chunks; i++) {
            const double *at = sums + i * 2 * n->channels + g * each;
            for (size_t c = 0; c < each; c++) {
                s += at[c];
                q += at[n->channels + c];
            }
        }
        double mean = s / count, variance = q / count - mean * mean;
        double inv = 1 / sqrt((variance > 0 ? variance : 0) + (double)n->eps);
        for (size_t c = g * each; c < (g + 1) * each; c++) {
            double f = inv * (n->gain ? (double)n->gain[c] : 1),
                   b = (n->bias ? (double)n->bias[c] : 0) - mean * f;
            if (n->scale) {
                double scale = 1 + (double)n->scale[image * n->film_row + c];
                f *= scale;
                b = b * scale + (double)n->shift[image * n->film_row + c];
            }
            factor[c] = (float)f;
            summand[c] = (float)b;
        }
    }
}

IB_MULTIARCH
static void apply(const float *x, const float *factor, const float *summand, size_t pixels, size_t channels,
                  bool silu, float *y) {
    for (size_t p = 0; p < pixels; p++) {
        const float *from = x + p * channels;
        float *to = y + p * channels;
        if (silu) {
            IB_INDEPENDENT
            for (size_t c = 0; c < channels; c++) {
                float h = from[c] * factor[c] + summand[c];
                to[c] = h / (1.0f + ib_exp1(-h));
            }
        } else {
            IB_INDEPENDENT
            for (size_t c = 0; c < channels; c++) {
                to[c] = from[c] * factor[c] + summand[c];
            }
        }
    }
}

void ib_group_norm_run(const ib_group_norm *n, const float *x, int threads, float *scratch, float *y) {
    size_t chunks = chunks_of(n), items = n->images * chunks, image = n->pixels * n->channels;
    double *sums = (double *)(void *)scratch;
    float *factor = scratch + 4 * items * n->channels, *summand = factor + n->images * n->channels;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)items; i++) {
            size_t p = (size_t)i % chunks * CHUNK;
            sum_chunk(x + (size_t)i / chunks * image + p * n->channels, least(CHUNK, n->pixels - p),
                      n->channels, sums + (size_t)i * 2 * n->channels);
        }
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n->images; i++) {
            settle(n, (size_t)i, sums + (size_t)i * chunks * 2 * n->channels,
                   factor + (size_t)i * n->channels, summand + (size_t)i * n->channels);
        }
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)items; i++) {
            size_t p = (size_t)i % chunks * CHUNK, at = (size_t)i / chunks;
            apply(x + at * image + p * n->channels, factor + at * n->channels, summand + at * n->channels,
                  least(CHUNK, n->pixels - p), n->channels, n->silu, y + at * image + p * n->channels);
        }
    }
}

IB_MULTIARCH
static void norm_row(const float *x, const float *gain, const float *bias, float eps, size_t n, float *y) {
    double s[16] = {0}, q[16] = {0}, sum = 0, squares = 0;
    size_t whole = n - n % 16;
    for (size_t i = 0; i < whole; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            s[j] += (double)x[i + j];
            q[j] += (double)x[i + j] * (double)x[i + j];
        }
    }
    for (size_t i = whole; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    for (size_t j = 0; j < 16; j++) {
        sum += s[j];
        squares += q[j];
    }
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    float inv = (float)(1 / sqrt((variance > 0 ? variance : 0) + (double)eps)), m = (float)mean;
    IB_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        y[i] = (x[i] - m) * inv * gain[i] + bias[i];
    }
}

void ib_layer_norm(const float *x, const float *gain, const float *bias, float eps, size_t tokens,
                   size_t channels, int threads, float *y) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t t = 0; t < (ptrdiff_t)tokens; t++) {
        norm_row(x + (size_t)t * channels, gain, bias, eps, channels, y + (size_t)t * channels);
    }
}

IB_MULTIARCH
static void geglu_row(const float *x, size_t n, float *restrict y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] * ib_gelu1(x[n + i]);
    }
}

void ib_geglu(const float *x, size_t tokens, size_t channels, int threads, float *y) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t t = 0; t < (ptrdiff_t)tokens; t++) {
        geglu_row(x + (size_t)t * 2 * channels, channels, y + (size_t)t * channels);
    }
}

IB_MULTIARCH
void ib_gelu(const float *x, size_t n, float *y) {
    IB_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        y[i] = ib_gelu1(x[i]);
    }
}

IB_MULTIARCH
void ib_quick_gelu(const float *x, size_t n, float *y) {
    IB_INDEPENDENT
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] / (1.0f + ib_exp1(-1.702f * x[i]));
    }
}

void ib_nearest(const float *x, size_t images, size_t rows, size_t cols, size_t channels, size_t to_rows,
                size_t to_cols, int threads, float *y) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(images * to_rows); i++) {
        size_t image = (size_t)i / to_rows, r = (size_t)i % to_rows * rows / to_rows;
        const float *from = x + (image * rows + r) * cols * channels;
        for (size_t c = 0; c < to_cols; c++) {
            memcpy(y + ((size_t)i * to_cols + c) * channels, from + c * cols / to_cols * channels,
                   channels * sizeof *y);
        }
    }
}

IB_MULTIARCH
static void pool_row(const float *x, size_t row, size_t cols, size_t channels, float *y) {
    for (size_t c = 0; c < cols; c++) {
        const float *a = x + 2 * c * channels, *b = a + row;
        IB_INDEPENDENT
        for (size_t k = 0; k < channels; k++) {
            y[c * channels + k] = 0.25f * (a[k] + a[channels + k] + b[k] + b[channels + k]);
        }
    }
}

void ib_pool2(const float *x, size_t images, size_t rows, size_t cols, size_t channels, int threads,
              float *y) {
    size_t high = rows / 2, wide = cols / 2;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(images * high); i++) {
        size_t image = (size_t)i / high, r = (size_t)i % high * 2;
        pool_row(x + (image * rows + r) * cols * channels, cols * channels, wide, channels,
                 y + (size_t)i * wide * channels);
    }
}
