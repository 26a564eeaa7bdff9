/* Both keyframes carried along their flows to the in-between and mixed, at any size of picture:
 *
 *   out = m w0 + (1-m) w1,  m = sigmoid(mask + log((1-t)/t)),
 *   w0(x) = I0(x - t V0(x)),  w1(x) = I1(x + (1-t) V1(x)).
 *
 * V0, V1 (px over the whole gap) and mask live on cells and are enlarged bilinearly. Keyframes are sampled
 * from their cubic B-splines (nn/warp.h). A picture is three planes, Y, U and V, one after the other, the
 * chroma of half the size (rounded up) and moved by half the flow. */
#ifndef IB_MOTION_BLEND_H
#define IB_MOTION_BLEND_H

#include <stddef.h>

enum { IB_FIELDS = 5 }; /* V0x, V0y, V1x, V1y, mask */

/* A picture over cells. Flows are in px of the picture in which a cell is IB_CELL_PX wide: one that is larger
 * moves by more. */
typedef struct ib_canvas {
    size_t height, width; /* luma px, at least 1 */
    size_t rows, cols;    /* of cells */
} ib_canvas;

/* That of a grid of tokens: 8 px and two cells each, each way. */
ib_canvas ib_canvas_of(size_t token_rows, size_t token_cols);
/* Samples of plane k (0: Y, 1: U, 2: V): at least 2 each way, as splines need; beyond the picture's own edge
 * the edge is repeated. */
void ib_canvas_plane(const ib_canvas *c, int k, size_t *height, size_t *width);
/* Floats of a picture's three planes; of their splines. */
size_t ib_canvas_floats(const ib_canvas *c);
size_t ib_canvas_spline_floats(const ib_canvas *c);
/* spline: of Y, U and V, one after the other, which is what the functions below sample. */
void ib_canvas_spline(const ib_canvas *c, const float *planes, float *spline);

/* Luma rows first .. first + n - 1 of the blend, first even, n even unless they are the last, and the chroma
 * rows under them; out: Y [n,width], U and V [(n + 1) / 2, ...]. Bands are the rows of the whole to the bit.
 * scratch: ib_blend_scratch(c, n) floats. */
size_t ib_blend_scratch(const ib_canvas *c, size_t n);
void ib_blend(const ib_canvas *c, const float *spline0, const float *spline1,
              const float *fields, /* [5,rows,cols] */
              float t, size_t first, size_t n, float *scratch, float *out);
/* The same rows of w0 and w1, each by itself, from the same flows; of fields the mask has no part in it.
 * out0, out1: as out of ib_blend. */
void ib_blend_apart(const ib_canvas *c, const float *spline0, const float *spline1, const float *fields,
                    float t, size_t first, size_t n, float *scratch, float *out0, float *out1);
/* For a canvas of ib_canvas_of, right after ib_blend of all its rows, with its scratch. */
void ib_blend_backward(const ib_canvas *c, const float *spline0, const float *spline1,
                       const float *dout, /* a picture */
                       float t, float *scratch, float *dfields /* [5,rows,cols], overwritten */);

/* Both keyframes carried along one flow, `planes` of them, 3 or Y alone: out0(x) = I0(x - t v(x)), out1(x) =
 * I1(x + (1-t) v(x)). scratch: ib_blend_scratch(c, c->height). */
void ib_carry(const ib_canvas *c, const float *spline0, const float *spline1,
              const float *v, /* [2,rows,cols] */
              float t, size_t planes, float *scratch, float *out0, float *out1 /* pictures */);

#endif
