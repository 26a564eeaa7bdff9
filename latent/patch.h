/* The patch space's arithmetic, for those who need pixels as numbers (the motion head, augmentation,
 * metrics).
 *
 * A frame of rows x cols tokens is three float planes, Y [8 rows, 8 cols], U and V [4 rows, 4 cols], in units
 * where black is 0 and the nominal range is 1: y = (Y - 16) / 219, u = (U - 128) / 224. A token's D = 96
 * values are the orthonormal DCT-II coefficients of its 8x8 luma block (64, row-major: vertical frequency
 * first), its 4x4 U block (16) and its 4x4 V block (16), unscaled. The transform is orthonormal, so its
 * adjoint is its inverse and squared errors are equal in pixels and coefficients. */
#ifndef IB_LATENT_PATCH_H
#define IB_LATENT_PATCH_H

#include <stddef.h>
#include "base/api.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_PATCH_LUMA = 8, IB_PATCH_CHROMA = 4, IB_PATCH_D = 96 };

/* Elements of the three planes together, laid out Y, U, V without padding: 96 * rows * cols. */
IB_API size_t ib_patch_pixels(int rows, int cols);
/* planes: [96 rows cols] as above; z: [rows*cols, 96] */
IB_API void ib_patch_forward(const float *planes, int rows, int cols, float *z);
IB_API void ib_patch_inverse(const float *z, int rows, int cols, float *planes);
/* 8-bit frame <-> float planes; the frame may be smaller than the grid by less than a block (edge repeated,
 * cropped). */
IB_API void ib_patch_from_frame(const ib_frame *frame, int rows, int cols, float *planes);
IB_API void ib_patch_to_frame(const float *planes, int rows, int cols, ib_frame *frame);

#ifdef __cplusplus
}
#endif
#endif
