/* Where new shots begin. Frames are fed in order; the detector compares each with the one before on a small
 * luma picture: a cut is a jump that is large against the changes before it and that motion does not explain.
 * A flash counts as one; dissolves and fades do not. */
#ifndef IB_VIDEO_IO_CUTS_H
#define IB_VIDEO_IO_CUTS_H

#include "base/api.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_cuts ib_cuts;
IB_API int ib_cuts_create(ib_cuts **out, ib_error *err);
/* 1 if a new shot begins with this frame (always for the first), 0 if not, < 0 error. Causal. */
IB_API int ib_cuts_push(ib_cuts *c, const ib_frame *frame, ib_error *err);
IB_API void ib_cuts_free(ib_cuts **c);

#ifdef __cplusplus
}
#endif
#endif
