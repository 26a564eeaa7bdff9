/* Layers of image models beside convolutions and products, forward only: normalisation, activations,
 * attention. Channels last. The number of threads does not change the results, nor does what else is in a
 * batch. */
#ifndef IB_NN_FORWARD_H
#define IB_NN_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Group normalisation (Wu and He 2018, arXiv:1803.08494): over the pixels of an image and the channels of
 * each of `groups` equal groups. n = (x - mean) / sqrt(variance + eps) * gain + bias, then, where they are
 * given, n * (1 + scale) + shift, then silu where `silu`. Sums are in double. y may alias x. */
typedef struct ib_group_norm {
    size_t images, pixels, channels, groups; /* groups divides channels */
    float eps;
    const float *gain, *bias;   /* [C]; NULL: 1 and 0 */
    const float *scale, *shift; /* [images,C], rows film_row floats apart; NULL: none */
    size_t film_row;
    bool silu;
} ib_group_norm;
/* Floats of scratch. */
size_t ib_group_norm_scratch(const ib_group_norm *n);
void ib_group_norm_run(const ib_group_norm *n, const float *x, int threads, float *scratch,
                       float *y /* [images,pixels,C] */);

/* y = (x - mean) / sqrt(variance + eps) * gain + bias over the channels of each token. y may alias x. */
void ib_layer_norm(const float *x, const float *gain, const float *bias, float eps, size_t tokens,
                   size_t channels, int threads, float *y /* [T,C] */);

/* GEGLU (Shazeer 2020, arXiv:2002.05202), by erf: y = a gelu(g), x: [T,2C] with a in the first half of each
 * row, g in the second. */
void ib_geglu(const float *x, size_t tokens, size_t channels, int threads, float *y /* [T,C] */);
/* The activations of whole arrays. y may alias x. */
void ib_gelu(const float *x, size_t n, float *y);
/* y = x sigmoid(1.702 x) (Hendrycks and Gimpel 2016, arXiv:1606.08415). */
void ib_quick_gelu(const float *x, size_t n, float *y);

/* softmax(scale q k^T) v, head by head, of every image, with other keys than queries. Heads lie side by side
 * in rows. Queries are taken in blocks and keys too (Milakov and Gimelshein 2018, arXiv:1805.02867), so that
 * scratch grows with the keys and not with the pairs. */
typedef struct ib_attend {
    size_t images, queries, keys, heads, width; /* width: of a head */
    const float *q, *k, *v;                     /* [images,queries,..], [images,keys,..], [images,keys,..] */
    size_t q_row, k_row, v_row, y_row;          /* floats from token to token; images follow each other */
    float scale;                                /* usually 1 / sqrt(width) */
    float gain;                                 /* y = gain times the result */
    bool add;                                   /* y += instead */
    bool causal; /* as many queries as keys, and none sees a key behind its own place */
} ib_attend;
size_t ib_attend_scratch(const ib_attend *a, int threads);
void ib_attend_run(const ib_attend *a, int threads, float *scratch,
                   float *y /* [images,queries,heads * width] */);

/* Twice as many rows and columns or a few more or less: y[r,c] = x[r * rows / to_rows, c * cols / to_cols],
 * as torch's interpolation by "nearest" has it. */
void ib_nearest(const float *x, /* [images,rows,cols,C] */ size_t images, size_t rows, size_t cols,
                size_t channels, size_t to_rows, size_t to_cols, int threads,
                float *y /* [images,to_rows,to_cols,C] */);
/* The mean of squares of 2x2 pixels; a last odd row or column is left out. */
void ib_pool2(const float *x, /* [images,rows,cols,C] */ size_t images, size_t rows, size_t cols,
              size_t channels, int threads, float *y /* [images,rows/2,cols/2,C] */);

#ifdef __cplusplus
}
#endif
#endif
