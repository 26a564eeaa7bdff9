/* Moving pictures along flows: sampling with the border mirrored, and the smooth enlargement of coarse
 * fields.
 *
 * Samples are those of the cubic B-spline through the picture (Unser, Aldroubi and Eden 1993, IEEE TSP 41(2);
 * Thevenaz, Blu and Unser 2000, IEEE TMI 19(7)): the spline's coefficients are found once, and a sample
 * weighs 4 x 4 of them. Of the kernels tried it keeps most of the detail between pixels
 * (docs/experiments.md). */
#ifndef IB_NN_WARP_H
#define IB_NN_WARP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Floats that the coefficients of a plane take: a margin of one all round. */
size_t ib_spline_floats(size_t height, size_t width);
/* height and width at least 2. */
void ib_spline_fit(const float *image, /* [H,W] */ size_t height, size_t width, float *spline);
/* Rows first .. first + n - 1 of a picture of height x width px: out[y,x] = the spline at
 * (x + fx[y,x], first + y + fy[y,x]), coordinates in px clamped to the picture; all planes along the same
 * flow. */
void ib_warp(const float *spline,                             /* of each plane, one after the other */
             size_t planes, const float *fx, const float *fy, /* [n,W] px */
             size_t height, size_t width, size_t first, size_t n, float *out /* [planes,n,W] */);
enum { IB_WARP_PATCH = 32 }; /* longest side of a rectangle below */
/* The same for a rectangle of one plane that moves as a whole, which takes a fraction of the time: out[i,j] =
 * the spline at (x + j + fx, y + i + fy). h and w in 1..IB_WARP_PATCH, the rectangle within the picture. */
void ib_warp_patch(const float *spline, size_t height, size_t width, size_t x, size_t y, float fx, float fy,
                   size_t h, size_t w, float *out /* [h,w] */);
/* dfx, dfy [H,W] += dout * the derivative of the sample with respect to its position (0 where it was
 * clamped). */
void ib_warp_backward(const float *spline, size_t planes, const float *fx, const float *fy,
                      const float *dout, /* [planes,H,W] */
                      size_t height, size_t width, float *dfx, float *dfy);

/* Rows first .. first + n - 1 of the bilinear enlargement of a field to height x width px, centres aligned as
 * in pictures (pixel y lies at (y + 0.5) rows / height - 0.5), edges repeated, values multiplied by gain.
 * scratch: ib_enlarge_scratch floats. */
size_t ib_enlarge_scratch(size_t rows, size_t height, size_t width, size_t n);
void ib_enlarge(const float *field, /* [rows,cols] */
                size_t rows, size_t cols, size_t height, size_t width, size_t first, size_t n, float gain,
                float *scratch, float *out /* [n,width] */);
/* dfield [rows,cols] += the adjoint for a whole picture of rows * factor x cols * factor px, factor 1..64.
 * scratch: [rows * cols * factor]. */
void ib_enlarge_backward(const float *dout, size_t rows, size_t cols, size_t factor, float gain,
                         float *scratch, float *dfield);

/* Mean over factor x factor squares. out: [height/factor, width/factor]. */
void ib_shrink(const float *image, size_t height, size_t width, size_t factor, float *out);

#ifdef __cplusplus
}
#endif
#endif
