/* What a video encoder does to frames: in, and out again. */
#ifndef IB_VIDEO_IO_RECODE_H
#define IB_VIDEO_IO_RECODE_H

#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frames of one size through libx264 (H.264, preset medium without mbtree, one thread, constant rate factor
 * crf, 0..51: the same bits every time) and back, as one sequence that begins with an I frame. in, out: [n];
 * out are allocated here and freed by the caller, on failure none is. Odd sides are padded by their last
 * sample, and cropped again. IB_E_UNSUPPORTED if this FFmpeg has no such encoder. */
int ib_recode(const ib_frame *in, size_t n, double fps, int crf, ib_frame *out, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
