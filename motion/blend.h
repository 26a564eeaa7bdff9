/* The pixel side of the motion head: both keyframes carried along their flows to the in-between and mixed.
 *
 *   out = m w0 + (1-m) w1,  m = sigmoid(mask + log((1-t)/t)),
 *   w0(x) = I0(x - t V0(x)),  w1(x) = I1(x + (1-t) V1(x)).
 *
 * V0, V1 (px of luma over the whole gap) and mask live on cells and are enlarged bilinearly; chroma planes,
 * of half the size, are moved by half the flow. */
#ifndef IB_MOTION_BLEND_H
#define IB_MOTION_BLEND_H

#include <stdbool.h>
#include <stddef.h>

enum { IB_FIELDS = 5 }; /* V0x, V0y, V1x, V1y, mask */

/* Floats of scratch; a backward call must get the scratch that its forward call left. */
size_t ib_blend_scratch(size_t rows, size_t cols);

/* What the functions below sample: the knots (nn/warp.h) of Y, U and V, one after the other. */
size_t ib_blend_knots_floats(size_t rows, size_t cols);
void ib_blend_knots(const float *planes, /* [96 rows cols] Y, U, V */
                    size_t rows, size_t cols, float *knots);

void ib_blend(const float *knots0, const float *knots1, const float *fields, /* [5, 2 rows, 2 cols] */
              size_t rows, size_t cols, float t, float *scratch, float *out /* [96 rows cols] */);
void ib_blend_backward(const float *knots0, const float *knots1, const float *dout, /* [96 rows cols] */
                       size_t rows, size_t cols, float t, float *scratch,
                       float *dfields /* [5, 2 rows, 2 cols], overwritten */);

/* Both keyframes carried along one flow, before anything is learnt: out0(x) = I0(x - t v(x)), out1(x) = I1(x
 * + (1-t) v(x)). luma_only: the chroma planes of out0 and out1 are left as they were. */
void ib_carry(const float *knots0, const float *knots1, const float *v, /* [2, 2 rows, 2 cols] luma px */
              size_t rows, size_t cols, float t, bool luma_only, float *scratch, /* of ib_blend_scratch */
              float *out0, float *out1 /* [96 rows cols] */);

#endif
