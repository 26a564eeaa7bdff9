/* Inside clip/ only: the blocks that both towers are made of (pre-norm attention and two-layer perceptron,
 * each added to its input). */
#ifndef IB_CLIP_TRANSFORMER_H
#define IB_CLIP_TRANSFORMER_H

#include "clip/weights.h"

/* Memory for sequences * tokens rows; grows, is kept from call to call. Zero-initialise. */
typedef struct ib_clip_work {
    float *x;       /* [rows,W]: the towers put their tokens here */
    float *norm;    /* [rows,W] */
    float *wide;    /* [rows,max(3W, M, extra)] */
    float *weights; /* the widened matrices of one block; NULL if none needs it */
    float *scores;  /* [threads, 64, tokens] */
    size_t x_floats, wide_floats, weights_floats, scores_floats;
    int threads;
} ib_clip_work;

/* extra: floats a row of `wide` must have at least. */
int ib_clip_work_reserve(ib_clip_work *w, const ib_clip_tower *t, size_t sequences, size_t tokens,
                         size_t extra, int threads, ib_error *err);
void ib_clip_work_free(ib_clip_work *w);

/* Runs the first `layers` blocks over w->x [sequences,tokens,W] in place. */
void ib_clip_blocks(const ib_clip_tower *t, ib_clip_work *w, size_t sequences, size_t tokens, size_t layers);

/* y = x w^T (+ b), the rows and columns dealt out to threads. */
void ib_clip_linear(const float *x, /* [rows,K] */
                    const float *w, /* [N,K] */
                    const float *b, /* [N] or NULL */
                    size_t rows, size_t n, size_t k, int threads, float *y /* [rows,N] */);

#endif
