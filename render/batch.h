/* Inside render/: the frames of a clip in their order, some made between two frames of a video and some those
 * frames themselves. They are gathered until there is work for every thread; then several pairs' in-betweens
 * are made at once, and all go to the writer in order. */
#ifndef IB_RENDER_BATCH_H
#define IB_RENDER_BATCH_H

#include <stdint.h>
#include "render/renderer.h"
#include "video_io/behind.h"

typedef struct ib_batch ib_batch;

/* For frames of width x height; pairs at once, 1..the renderer's threads. Renderer and writer are the
 * caller's. */
int ib_batch_create(ib_batch **out, ib_renderer *r, ib_behind *to, int width, int height, int pairs,
                    ib_error *err);
void ib_batch_free(ib_batch **b);
/* The video's next frame (copied) is the second of the pair; the one that was becomes the first. */
int ib_batch_advance(ib_batch *b, const ib_frame *next, ib_error *err);
/* Of the frames of ib_batch_advance the last but `back`, 0 or 1. */
const ib_frame *ib_batch_frame(const ib_batch *b, int back);
/* That frame is the clip's next. */
int ib_batch_pass(ib_batch *b, int back, ib_error *err);
/* The clip's next is the in-between of the pair at t in (0,1). */
int ib_batch_make(ib_batch *b, float t, float gap_seconds, ib_error *err);
/* Frames of the clip that are gathered. */
int64_t ib_batch_waiting(const ib_batch *b);
/* Makes and hands over what is gathered. */
int ib_batch_flush(ib_batch *b, ib_error *err);

#endif
