/* 3x3 convolution over a grid of tokens, zero padding, stride 1: y = x * w + b.
 *
 * Computed by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, arXiv:1509.09308): 4 times fewer
 * multiplications than the direct form where the grid is a multiple of 4, as 36 matrix products over tiles of
 * 4x4 outputs. In float32, 128 channels of uniform random numbers differ from the exact result by 2e-6 of its
 * RMS (the direct form summed in float32: 6e-7), at worst 3e-5. Weights are transformed once per change
 * (ib_conv3x3_weights and _transposed). */
#ifndef IB_NN_CONV3X3_H
#define IB_NN_CONV3X3_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Floats of transformed weights: 36 planes [cin,cout], a little apart. */
size_t ib_conv3x3_derived(size_t cin, size_t cout);
/* u from w: [9,cin,cout], taps row by row, y[r,c] = sum over tap (i,j) of x[r+i-1,c+j-1] w[3i+j]. */
void ib_conv3x3_weights(const float *w, size_t cin, size_t cout, float *u);
/* ut: the same, each plane transposed to [cout,cin]; the backward's. */
void ib_conv3x3_weights_transposed(const float *w, size_t cin, size_t cout, float *ut);
/* Floats of scratch that forward and backward need. */
size_t ib_conv3x3_scratch(size_t images, size_t rows, size_t cols, size_t cin, size_t cout);

void ib_conv3x3(const float *x, /* [images,rows,cols,cin] */
                const float *u, /* of ib_conv3x3_weights */
                const float *b, /* [cout] or NULL */
                size_t images, size_t rows, size_t cols, size_t cin, size_t cout, float *scratch,
                float *y /* [images,rows,cols,cout] */);
void ib_conv3x3_backward(const float *x,  /* [images,rows,cols,cin] */
                         const float *ut, /* of ib_conv3x3_weights_transposed */
                         const float *dy, /* [images,rows,cols,cout] */
                         size_t images, size_t rows, size_t cols, size_t cin, size_t cout, float *scratch,
                         float *dx, /* [images,rows,cols,cin], overwritten; NULL: not wanted */
                         float *dw, /* [9,cin,cout], added to */
                         float *db /* [cout], added to; NULL: no bias */);

#ifdef __cplusplus
}
#endif
#endif
