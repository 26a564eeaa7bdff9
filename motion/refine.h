/* One step of sub-cell motion refinement on keyframes already carried to the in-between. */
#ifndef IB_MOTION_REFINE_H
#define IB_MOTION_REFINE_H

#include <stddef.h>

enum { IB_REFINE_FEATURES = 4 };

size_t ib_refine_scratch(size_t rows, size_t cols);

/* What motion d (luma px over the whole gap, at most 4 long) makes the carried keyframes w0(x - t d) and w1(x
 * + (1-t) d) agree, to first order: the least-squares solution of Lucas and Kanade (1981) over a Gaussian
 * window of one cell, on luma of half the size, slightly damped towards no motion. carried0, carried1: Y, U,
 * V [96 rows cols]. dx, dy [2 rows, 2 cols]: d. features [2 rows, 2 cols, 4]: d / 4 px (x, y), RMS difference
 * and RMS gradient in the window, about unit range. */
void ib_refine(const float *carried0, const float *carried1, size_t rows, size_t cols, float *scratch,
               float *dx, float *dy, float *features);

#endif
