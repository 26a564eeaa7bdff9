/* Inside clip/ only: the towers' arithmetic beside the matrix products, forward only, vectorised. Naive
 * twins: tests/clip_oracle.h. */
#ifndef IB_CLIP_KERNELS_H
#define IB_CLIP_KERNELS_H

#include <stddef.h>
#include "clip/config.h"

/* y = (x - mean) / sqrt(variance + eps) * w + b, row by row. y may alias x. */
void ib_clip_norm(const float *x,                 /* [rows,W] */
                  const float *w, const float *b, /* [W] */
                  float eps, size_t rows, size_t width, float *y /* [rows,W] */);

/* x = act(x + b) on rows x cols of a matrix whose rows lie `stride` apart. quick_gelu(x) = x sigmoid(1.702
 * x); gelu(x) = x (1 + erf(x / sqrt 2)) / 2. */
void ib_clip_activate(ib_clip_act act, const float *b, /* [cols] */
                      size_t rows, size_t cols, size_t stride, float *x);
/* x += b on rows x cols */
void ib_clip_bias(const float *b, /* [cols] */ size_t rows, size_t cols, size_t stride, float *x);

/* Softmax over the first `keys` of each row; causal: over the first min(keys, row + 1 + first), with zeros
 * behind. */
void ib_clip_softmax(float *s, /* [rows,keys] */ size_t rows, size_t keys, bool causal, size_t first);

#endif
