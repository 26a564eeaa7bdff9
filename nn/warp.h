/* Moving pictures along flows: sampling with the border mirrored, and the smooth enlargement of coarse
 * fields.
 *
 * Samples are those of the cubic B-spline through the picture (Unser, Aldroubi and Eden 1993, IEEE TSP 41(2);
 * Thevenaz, Blu and Unser 2000, IEEE TMI 19(7)): a picture is first turned into the spline's coefficients,
 * here called knots, and a sample weighs 4 x 4 of them. Of the kernels tried it keeps most of what lies
 * between pixels (docs/model.md). */
#ifndef IB_NN_WARP_H
#define IB_NN_WARP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Floats that the knots of a plane take: a margin of one all round. */
size_t ib_warp_knots_floats(size_t height, size_t width);
/* height and width at least 2. */
void ib_warp_knots(const float *image, /* [H,W] */ size_t height, size_t width, float *knots);
/* out[y,x] = the picture of these knots at (x + fx[y,x], y + fy[y,x]), coordinates in px clamped to the
 * picture; all planes along the same flow. */
void ib_warp(const float *knots,                              /* of each plane, one after the other */
             size_t planes, const float *fx, const float *fy, /* [H,W] px */
             size_t height, size_t width, float *out /* [planes,H,W] */);
enum { IB_WARP_PATCH = 32 }; /* longest side of a rectangle below */
/* The same for a rectangle of one plane that moves as a whole, which takes a fraction of the time: out[i,j] =
 * the picture at (x + j + fx, y + i + fy). h and w in 1..IB_WARP_PATCH, the rectangle within the picture. */
void ib_warp_patch(const float *knots, size_t height, size_t width, size_t x, size_t y, float fx, float fy,
                   size_t h, size_t w, float *out /* [h,w] */);
/* dfx, dfy [H,W] += dout * the derivative of the sample with respect to its position (0 where it was
 * clamped). */
void ib_warp_backward(const float *knots, size_t planes, const float *fx, const float *fy,
                      const float *dout, /* [planes,H,W] */
                      size_t height, size_t width, float *dfx, float *dfy);

/* Bilinear enlargement of a field by a whole factor (1..64), centres aligned as in pictures (cell c covers
 * pixels factor*c .. factor*c + factor-1), edges repeated, values multiplied by gain. scratch: [rows * cols *
 * factor] floats. */
void ib_enlarge(const float *field, /* [rows,cols] */
                size_t rows, size_t cols, size_t factor, float gain, float *scratch,
                float *out /* [rows*factor, cols*factor] */);
/* dfield [rows,cols] += the adjoint. */
void ib_enlarge_backward(const float *dout, size_t rows, size_t cols, size_t factor, float gain,
                         float *scratch, float *dfield);

/* Mean over factor x factor squares. out: [height/factor, width/factor]. */
void ib_shrink(const float *image, size_t height, size_t width, size_t factor, float *out);

#ifdef __cplusplus
}
#endif
#endif
