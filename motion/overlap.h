/* The keyframes carried to the in-between in overlapping patches.
 *
 * Where a motion is uncertain, the mean of what several motions bring is better than what their mean brings:
 * overlapped block motion compensation (Orchard and Sullivan 1994, IEEE TIP 3(5)), here with patches of the
 * in-between and several motions for each. Nothing is learnt here and nothing is propagated back.
 * docs/experiments.md has the constants tried. */
#ifndef IB_MOTION_OVERLAP_H
#define IB_MOTION_OVERLAP_H

#include <stddef.h>

/* Floats of scratch for a grid of rows x cols tokens and `fields` flows to choose from. */
size_t ib_overlap_scratch(size_t rows, size_t cols, size_t fields);

/* Every corner of the tokens is the middle of a patch. Its motion may be what any of the flows has about it,
 * or what the first flow has at the corners one and two tokens above, below, left and right. Each is judged
 * by how well the keyframes agree along it on 8x8 px (mean squared difference less the mean's square, so that
 * a change of light counts nothing); the three best carry 24x24 px each, weighted by exp(1 - their difference
 * / the least), under a window that falls to 0 at its rim (Hann). So nine patches and up to 27 motions meet
 * in every pixel.
 *
 * planes0, planes1: Y, U, V as in latent/patch.h, of which Y is compared. spline0, spline1: blend.h. flows
 * [fields, 2, 2 rows, 2 cols], px over the whole gap. t in (0,1). carried0, carried1 [96 rows cols]: either
 * keyframe, of which `planes` are made, 3 or Y alone; flow [2, 2 rows, 2 cols]: the mean of the motions that
 * carried them. Exchanging the keyframes, t
 * with 1 - t, and the flows' sign exchanges the carried ones. */
void ib_overlap(const float *planes0, const float *planes1, const float *spline0, const float *spline1,
                const float *flows, size_t fields, size_t rows, size_t cols, float t, size_t planes,
                float *scratch, float *carried0, float *carried1, float *flow);

#endif
