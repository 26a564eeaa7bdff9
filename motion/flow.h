/* Optical flow between the keyframes, each seen from its own pixels: where does what I see here lie in the
 * other keyframe?
 *
 * Inverse search over patches from coarse to fine, as in DIS (Kroeger, Timofte, Dai and Van Gool 2016,
 * arXiv:1603.03590): on each level of a pyramid, patches of 8x8 px every 3 px start from the coarser level's
 * flow, take a neighbour's motion where it fits better, and go down the squared difference of their pixels
 * less their means, so that a change of light alone moves nothing. Where patches overlap, each pixel takes
 * their mean, weighted by how well each fits it. Without DIS's variational refinement, which brought hardly
 * anything (docs/model.md). Nothing is learnt here and nothing is propagated back. */
#ifndef IB_MOTION_FLOW_H
#define IB_MOTION_FLOW_H

#include <stddef.h>

/* Floats of scratch for pictures of height x width px, both at least 8. */
size_t ib_flow_scratch(size_t height, size_t width);

/* luma0, luma1: [height,width], black 0, white 1. forward, backward: [2,height,width], x and y in px:
 * luma0(x) lies at x + forward(x) in luma1, and luma1(x) at x + backward(x) in luma0. hint [2, height / 8,
 * width / 8], or NULL: motions from luma0 to luma1 in px, every 8 px, that patches of a quarter of the size
 * try too; small things that move far are not seen on the coarser levels. Exchanging the pictures, and the
 * sign of the hints, exchanges the flows. */
void ib_flow(const float *luma0, const float *luma1, size_t height, size_t width, const float *hint,
             float *scratch, float *forward, float *backward);

#endif
