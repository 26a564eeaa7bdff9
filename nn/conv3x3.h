/* 3x3 convolution over a grid of tokens, zero padding, stride 1: y = x * w + b.
 *
 * Computed by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, arXiv:1509.09308): 2.25 times fewer multiplications
 * than the direct form, as 16 matrix products over 2x2 output tiles. Weights are transformed once per change
 * (ib_conv3x3_weights), their gradient is gathered in the transformed domain over many samples and brought back once
 * (ib_conv3x3_weights_backward). */
#ifndef IB_NN_CONV3X3_H
#define IB_NN_CONV3X3_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* u: [16,cin,cout] from w: [9,cin,cout], taps row by row, y[r,c] = sum over tap (i,j) of x[r+i-1,c+j-1] w[3i+j]. */
void ib_conv3x3_weights(const float *w, size_t cin, size_t cout, float *u);
/* dw [9,cin,cout] += the adjoint of the above applied to du [16,cin,cout]. */
void ib_conv3x3_weights_backward(const float *du, size_t cin, size_t cout, float *dw);

/* Floats of scratch that forward and backward need. */
size_t ib_conv3x3_scratch(size_t images, size_t rows, size_t cols, size_t cin, size_t cout);

void ib_conv3x3(const float *x, /* [images,rows,cols,cin] */
                const float *u, /* [16,cin,cout] */
                const float *b, /* [cout] or NULL */
                size_t images, size_t rows, size_t cols, size_t cin, size_t cout, float *scratch,
                float *y /* [images,rows,cols,cout] */);
void ib_conv3x3_backward(const float *x,  /* [images,rows,cols,cin] */
                         const float *u,  /* [16,cin,cout] */
                         const float *dy, /* [images,rows,cols,cout] */
                         size_t images, size_t rows, size_t cols, size_t cin, size_t cout, float *scratch,
                         float *dx, /* [images,rows,cols,cin], overwritten; NULL: not wanted */
                         float *du, /* [16,cin,cout], added to */
                         float *db /* [cout], added to; NULL: no bias */);

#ifdef __cplusplus
}
#endif
#endif
