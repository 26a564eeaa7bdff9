/* Moving pictures along flows: sampling with the border repeated, and the smooth enlargement of coarse fields.
 *
 * Samples are taken by shifted linear interpolation (Blu, Thevenaz and Unser 2004, IEEE TIP 13(5)): a picture is first turned into
 * knots, which are then sampled linearly a fifth of a sample further back. It costs hardly more than plain bilinear sampling, passes through the
 * picture's own samples as that does, and keeps about as much detail between them as a cubic. */
#ifndef IB_NN_WARP_H
#define IB_NN_WARP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IB_WARP_SHIFT 0.2113249f /* (1 - 1/sqrt(3)) / 2, which makes the error of smooth pictures least */

/* knots may not be image. */
void ib_warp_knots(const float *image, /* [H,W] */ size_t height, size_t width, float *knots /* [H,W] */);
/* out[y,x] = the picture of these knots at (x + fx[y,x], y + fy[y,x]), coordinates in px clamped to the picture, which is 2 x 2 px or
 * larger; all planes along the same flow. */
void ib_warp(const float *knots,                              /* [planes,H,W] */
             size_t planes, const float *fx, const float *fy, /* [H,W] px */
             size_t height, size_t width, float *out /* [planes,H,W] */);
/* dfx, dfy [H,W] += dout * the derivative of the sample with respect to its position (0 where it was clamped). */
void ib_warp_backward(const float *knots, size_t planes, const float *fx, const float *fy,
                      const float *dout, /* [planes,H,W] */
                      size_t height, size_t width, float *dfx, float *dfy);

/* Bilinear enlargement of a field by a whole factor (1..64), centres aligned as in pictures (cell c covers pixels
 * factor*c .. factor*c + factor-1), edges repeated, values multiplied by gain. scratch: [rows * cols * factor] floats. */
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
