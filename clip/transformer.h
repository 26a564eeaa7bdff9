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
    float *scratch; /* of products and of attention */
    size_t x_floats, norm_floats, wide_floats, scratch_floats;
    int threads;
} ib_clip_work;

/* extra: floats a row of `wide` must have at least, 0 or those that ib_clip_linear takes. */
int ib_clip_work_reserve(ib_clip_work *w, const ib_clip_tower *t, size_t sequences, size_t tokens,
                         size_t extra, int threads, ib_error *err);
void ib_clip_work_free(ib_clip_work *w);

/* Runs the first `layers` blocks over w->x [sequences,tokens,W] in place. */
void ib_clip_blocks(const ib_clip_tower *t, ib_clip_work *w, size_t sequences, size_t tokens, size_t layers);

/* y = x m^T, for the maps before and behind the blocks. */
void ib_clip_linear(ib_clip_work *w, const float *x, /* [rows,K]; K at most `extra` or W */
                    const float *m,                  /* [N,K] */
                    size_t rows, size_t n, size_t k, float *y /* [rows,N] */);

#endif
