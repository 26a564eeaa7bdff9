/* Frames: what video_io hands out and takes in. Always yuv420p, 8 bits, limited range (Y 16..235, U and
 * V 16..240 around 128); planes are H x W and two of ceil(H/2) x ceil(W/2), chroma sited left (MPEG-2). The
 * colour matrix of the source is kept, not converted, and travels with the frame. */
#ifndef IB_VIDEO_IO_FRAME_H
#define IB_VIDEO_IO_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which YUV matrix the samples were made with. Numbers are those of ISO/IEC 23091-2 (H.273). */
typedef enum ib_matrix {
    IB_MATRIX_BT709 = 1,
    IB_MATRIX_UNSPECIFIED = 2, /* decoders then guess BT.601 */
    IB_MATRIX_BT601 = 6,
    IB_MATRIX_BT2020 = 9
} ib_matrix;

typedef struct ib_frame {
    int width, height;  /* luma samples, 1..16384 */
    double pts_seconds; /* presentation time from the first frame of the file, which is 0 */
    int64_t index;      /* number of the frame in presentation order, from 0, before any --every */
    ib_matrix matrix;
    uint8_t *plane[3]; /* Y, U, V */
    size_t stride[3];  /* bytes from row to row */
    uint8_t *rgb; /* the same picture as packed 8-bit full-range RGB, of sources that have more colour than
                   * 4:2:0 keeps too; NULL in frames that were not asked for it (ib_reader_options.rgb) */
    size_t rgb_stride; /* bytes from row to row */
} ib_frame;

/* One allocation holding all planes (stride = width rounded up to 64); content undefined. Free with
 * ib_frame_free. */
IB_API int ib_frame_alloc(ib_frame *f, int width, int height, ib_error *err);
IB_API int ib_frame_alloc_rgb(ib_frame *f, int width, int height, ib_error *err); /* with room for RGB */
IB_API void ib_frame_free(ib_frame *f); /* accepts a zeroed frame; zeroes it */
/* Copies samples and tags between frames of one size; RGB if both have it, else dst has none afterwards. */
IB_API void ib_frame_copy(ib_frame *dst, const ib_frame *src);
/* Video black: Y 16, U and V 128. */
IB_API void ib_frame_fill_black(ib_frame *f);

/* Area (down) or bicubic (up) scaling of whole planes, dst's size; no crop. */
IB_API int ib_frame_scale(ib_frame *dst, const ib_frame *src, ib_error *err);
/* To packed 8-bit full-range RGB by the frame's matrix (BT.601 when unspecified). rgb: [H,W,3]. */
IB_API int ib_frame_to_rgb(const ib_frame *f, uint8_t *rgb, ib_error *err);
IB_API int ib_frame_from_rgb(ib_frame *f, const uint8_t *rgb,
                             ib_error *err); /* f's size and matrix; [H,W,3] */

#ifdef __cplusplus
}
#endif
#endif
