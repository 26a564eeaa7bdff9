/* A writer (video_io/writer.h) that works behind: frames are copied into a short queue, and a thread of its
 * own encodes them while the caller makes the next. */
#ifndef IB_VIDEO_IO_BEHIND_H
#define IB_VIDEO_IO_BEHIND_H

#include "video_io/writer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_behind ib_behind;
/* w: the caller's, and for this alone until close. width, height: of the frames. frames: the queue's length,
 * 2 on; it is shorter where they are large. */
int ib_behind_open(ib_behind **out, ib_writer *w, int width, int height, int frames, ib_error *err);
/* Waits while the queue is full. Fails with what writing an earlier frame failed with. */
int ib_behind_write(ib_behind *b, const ib_frame *frame, ib_error *err);
/* Waits until all is written. */
int ib_behind_flush(ib_behind *b, ib_error *err);
/* Frames that wait are dropped. */
void ib_behind_close(ib_behind **b);

#ifdef __cplusplus
}
#endif
#endif
