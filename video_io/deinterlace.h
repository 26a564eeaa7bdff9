/* Inside video_io only: frames that consist of two fields of different times become frames of one, by
 * FFmpeg's bwdif. */
#ifndef IB_VIDEO_IO_DEINTERLACE_H
#define IB_VIDEO_IO_DEINTERLACE_H

#include <stdbool.h>
#include <libavutil/frame.h>
#include "base/error.h"

bool ib_is_interlaced(const AVFrame *f);

/* A stretch of frames of one size and format. One comes out for each that goes in, in order, and one later,
 * as the filter looks at a frame's neighbours; frames that are not marked as interlaced come out as they went
 * in. */
typedef struct ib_deinterlacer ib_deinterlacer;
/* IB_E_UNSUPPORTED if this FFmpeg cannot do it. */
int ib_deinterlacer_create(ib_deinterlacer **out, const AVFrame *like, ib_error *err);
/* Whether it is of the same size and format as the frame it was made for. */
bool ib_deinterlacer_takes(const ib_deinterlacer *d, const AVFrame *f);
/* f: its reference is taken over; NULL: no more will come. Seconds and index come out again
 * with the frame. */
int ib_deinterlacer_push(ib_deinterlacer *d, AVFrame *f, double seconds, int64_t index, ib_error *err);
/* 1: a frame, whose reference the caller gets; 0: none is ready. */
int ib_deinterlacer_pull(ib_deinterlacer *d, AVFrame *f, double *seconds, int64_t *index, ib_error *err);
bool ib_deinterlacer_ended(const ib_deinterlacer *d);
void ib_deinterlacer_free(ib_deinterlacer **d);

#endif
