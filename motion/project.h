/* A flow seen from a keyframe's pixels, seen from the in-between instead. */
#ifndef IB_MOTION_PROJECT_H
#define IB_MOTION_PROJECT_H

#include <stddef.h>

/* Floats of scratch for a grid of rows x cols tokens. */
size_t ib_project_scratch(size_t rows, size_t cols);

/* Every pixel of `own` goes the part `s` of its flow and tells the four cells (match.h) about it among which
 * it falls, the more the better its flow fits: with weight exp(-20 |difference|), the idea of softmax
 * splatting (Niklaus and Liu 2020, arXiv:2003.05534). Cells that no pixel reaches take their surroundings'
 * flow, from as near as there is one.
 *
 * own, other: luma [8 rows, 8 cols]; flow [2, 8 rows, 8 cols] px, from own to other; s in [0,1].
 * v [2, 2 rows, 2 cols]: the flow there, px over the whole gap. cover [2 rows, 2 cols]: how many pixels fell
 * into a cell, 1 where the flow is even, towards 0 where it uncovers what `own` does not show. misfit [2
 * rows, 2 cols]: mean difference of those pixels. */
void ib_project(const float *own, const float *other, const float *flow, size_t rows, size_t cols, float s,
                float *scratch, float *v, float *cover, float *misfit);

#endif
