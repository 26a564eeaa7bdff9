/* Pictures as JPEG, for pages that hold them. */
#ifndef IB_VIDEO_IO_JPEG_H
#define IB_VIDEO_IO_JPEG_H

#include <stddef.h>
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One picture as a JPEG file (full range, BT.601, as the format has it). coarseness: of FFmpeg's mjpeg
 * encoder, 1 finest to 31. *bytes: malloc'ed, [*n]. The same frame gives the same bytes. */
int ib_jpeg_encode(const ib_frame *f, int coarseness, uint8_t **bytes, size_t *n, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
