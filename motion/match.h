/* Block matching between two keyframes, seen from the in-between.
 *
 * For every token (8x8 luma px) and every candidate motion v of a square of candidates, the keyframes are
 * compared where a thing moving by v over the whole gap would have been: |I0(x - t v) - I1(x + (1-t) v)|, on
 * pictures of a px for each token, Y, U and V alike, averaged over a Gaussian window (bilateral motion
 * estimation: Choi, Han, Kim and Ko 2007, IEEE TCE 53(2); as a volume of costs: Park, Ko, Lee and Kim 2020,
 * arXiv:2007.12622). The soft minimum over the candidates is the flow. It sees large motions of small things;
 * where nothing has texture, or something is hidden in one keyframe, a wrong pair may fit best. Exchanging
 * the keyframes and t with 1-t negates the flow. */
#ifndef IB_MOTION_MATCH_H
#define IB_MOTION_MATCH_H

#include <stddef.h>

enum {
    IB_CELLS = 2,   /* cells per token, each way */
    IB_CELL_PX = 4, /* luma px per cell, each way */
    IB_TOKEN_PX = IB_CELLS * IB_CELL_PX,
    IB_MATCH_REACH = 8,   /* candidates -8..8 tokens each way: +-64 px */
    IB_MATCH_FEATURES = 6 /* per token, see ib_match */
};

/* Floats of scratch for a grid of rows x cols tokens. */
size_t ib_match_scratch(size_t rows, size_t cols);

/* planes0, planes1: Y, U, V as in latent/patch.h, [96 rows cols]. t in (0,1).
 * flow [2, rows, cols]: x and y, luma px over the whole gap, under a window of 2.5 tokens.
 * gate [2 rows, 2 cols], a value for each cell: 0 where the keyframes agree exactly within two cells, towards
 * 1 where they differ by more than noise. features [rows, cols, IB_MATCH_FEATURES]: v / 32 px (x, y), the
 * least cost, the cost of no motion, their difference, and the spread of the soft minimum, scaled to about
 * unit range. */
void ib_match(const float *planes0, const float *planes1, size_t rows, size_t cols, float t, float *scratch,
              float *flow, float *gate, float *features);

#endif
