/* CLIP's towers and preprocessing once more, after the papers' formulas, in double and one number
 * at a time. */
#ifndef IB_TESTS_CLIP_ORACLE_H
#define IB_TESTS_CLIP_ORACLE_H

#include "tests/clip_model.h"

static inline void oracle_norm(const double *x, const float *w, const float *b, size_t n, double *y) {
    double mean = 0, var = 0;
    for (size_t i = 0; i < n; i++) {
        mean += x[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        var += (x[i] - mean) * (x[i] - mean) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = (x[i] - mean) / sqrt(var + 1e-5) * (double)w[i] + (double)b[i];
    }
}

/* y[i] = sum_j w[i,j] x[j] + b[i] */
static inline void oracle_linear(const double *x, const float *w, const float *b, size_t n, size_t m,
                                 double *y) {
    for (size_t i = 0; i < n; i++) {
        y[i] = b ? (double)b[i] : 0;
        for (size_t j = 0; j < m; j++) {
            y[i] += (double)w[i * m + j] * x[j];
        }
    }
}

static inline double oracle_act(double x, bool quick) {
    return quick ? x / (1 + exp(-1.702 * x)) : 0.5 * x * (1 + erf(x / sqrt(2.0)));
}

static inline void oracle_block(const model_tower *t, const model_block *b, bool causal, bool quick,
                                size_t tokens, double *x) {
    size_t w = t->width, each = w / t->heads;
    double *n = malloc(tokens * w * sizeof *n), *qkv = malloc(tokens * 3 * w * sizeof *qkv);
    double *y = malloc((w + t->mlp) * sizeof *y), *p = malloc(tokens * sizeof *p),
           *o = calloc(tokens * w, sizeof *o);
    for (size_t i = 0; i < tokens; i++) {
        oracle_norm(x + i * w, b->ln1_w, b->ln1_b, w, n + i * w);
        oracle_linear(n + i * w, b->qkv_w, b->qkv_b, 3 * w, w, qkv + i * 3 * w);
    }
    for (size_t h = 0; h < t->heads; h++) {
        for (size_t i = 0; i < tokens; i++) {
            size_t keys = causal ? i + 1 : tokens;
            double sum = 0;
            for (size_t j = 0; j < keys; j++) {
                p[j] = 0;
                for (size_t c = 0; c < each; c++) {
                    p[j] += qkv[i * 3 * w + h * each + c] * qkv[j * 3 * w + w + h * each + c] /
                            sqrt((double)each);
                }
                p[j] = exp(p[j]);
                sum += p[j];
            }
            for (size_t j = 0; j < keys; j++) {
                for (size_t c = 0; c < each; c++) {
                    o[i * w + h * each + c] += p[j] / sum * qkv[j * 3 * w + 2 * w + h * each + c];
                }
            }
        }
    }
    for (size_t i = 0; i < tokens; i++) {
        oracle_linear(o + i * w, b->out_w, b->out_b, w, w, y);
        for (size_t c = 0; c < w; c++) {
            x[i * w + c] += y[c];
        }
        oracle_norm(x + i * w, b->ln2_w, b->ln2_b, w, n);
        oracle_linear(n, b->fc1_w, b->fc1_b, t->mlp, w, y + w);
        for (size_t c = 0; c < t->mlp; c++) {
            y[w + c] = oracle_act(y[w + c], quick);
        }
        oracle_linear(y + w, b->fc2_w, b->fc2_b, w, t->mlp, y);
        for (size_t c = 0; c < w; c++) {
            x[i * w + c] += y[c];
        }
    }
    free(n);
    free(qkv);
    free(y);
    free(p);
    free(o);
}

/* x: [tokens,W] after the blocks but the last `skip`; the embedding of its row `at`. z: [D];
 * NULL: not wanted */
static inline void oracle_finish(const model_tower *t, bool causal, bool quick, size_t skip, size_t at,
                                 double *x, double *z) {
    for (size_t l = 0; l + skip < t->layers; l++) {
        oracle_block(t, &t->block[l], causal, quick, t->tokens, x);
    }
    if (!z) {
        return;
    }
    double *n = malloc(t->width * sizeof *n);
    oracle_norm(x + at * t->width, t->post_w, t->post_b, t->width, n);
    oracle_linear(n, t->project, NULL, t->projection, t->width, z);
    free(n);
}

/* pixels: [3,S,S]; h: [T,W] */
static inline void oracle_image(const model_tower *t, bool quick, const float *pixels, size_t skip, double *h,
                                double *z) {
    size_t w = t->width, p = t->patch, s = t->image, grid = s / p;
    for (size_t i = 0; i < w; i++) {
        h[i] = (double)t->class_row[i] + (double)t->positions[i];
        for (size_t k = 0; k < grid * grid; k++) {
            double v = (double)t->positions[(1 + k) * w + i];
            for (size_t c = 0; c < 3; c++) {
                for (size_t y = 0; y < p; y++) {
                    for (size_t x = 0; x < p; x++) {
                        v += (double)t->conv[((i * 3 + c) * p + y) * p + x] *
                             (double)pixels[(c * s + k / grid * p + y) * s + k % grid * p + x];
                    }
                }
            }
            h[(1 + k) * w + i] = v;
        }
    }
    for (size_t k = 0; k < t->tokens; k++) {
        oracle_norm(h + k * w, t->pre_w, t->pre_b, w, h + k * w);
    }
    oracle_finish(t, false, quick, skip, 0, h, z);
}

/* ids: [T]; h: [T,W] */
static inline void oracle_text(const model_tower *t, bool quick, const int32_t *ids, size_t skip, double *h,
                               double *z) {
    size_t at = 0;
    for (size_t k = 0; k < t->tokens; k++) {
        at = ids[k] > ids[at] ? k : at;
        for (size_t i = 0; i < t->width; i++) {
            h[k * t->width + i] =
                (double)t->table[(size_t)ids[k] * t->width + i] + (double)t->positions[k * t->width + i];
        }
    }
    oracle_finish(t, true, quick, skip, at, h, z);
}

/* ---- preprocessing ---- */

static inline double oracle_cubic(double x) {
    x = fabs(x);
    return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/* Sample i of a line of n values, `step` apart, that is scaled to m: bicubic, as wide as it shrinks, rounded
 * to 8 bits. */
static inline double oracle_sample(const double *v, size_t step, int n, int m, int i) {
    double scale = (double)n / m, wide = scale > 1 ? scale : 1, centre = (i + 0.5) * scale, sum = 0, all = 0;
    for (int k = 0; k < n; k++) {
        double w = fabs(k + 0.5 - centre) < 2 * wide + 0.5 ? oracle_cubic((k + 0.5 - centre) / wide) : 0;
        sum += w * v[(size_t)k * step];
        all += w;
    }
    sum = floor(sum / all + 0.5);
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

/* rgb: [h,w,3]; out: [side,side,3] of the picture scaled to tw x th, from (left, top) */
static inline void oracle_resample(const uint8_t *rgb, int w, int h, int tw, int th, int left, int top,
                                   int side, double *out) {
    double *in = malloc((size_t)w * (size_t)h * sizeof *in),
           *narrow = malloc((size_t)side * (size_t)h * sizeof *narrow);
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < w * h; i++) {
            in[i] = rgb[3 * i + c];
        }
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < side; x++) {
                narrow[y * side + x] = oracle_sample(in + y * w, 1, w, tw, left + x);
            }
        }
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                out[(y * side + x) * 3 + c] = oracle_sample(narrow + x, (size_t)side, h, th, top + y);
            }
        }
    }
    free(in);
    free(narrow);
}

#endif
