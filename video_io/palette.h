/* Inside video_io only: frames to 256 colours each (for GIF), through libavfilter's palettegen and
 * paletteuse. One palette per frame, so that memory does not grow with the clip. */
#ifndef IB_VIDEO_IO_PALETTE_H
#define IB_VIDEO_IO_PALETTE_H

#include <libavutil/frame.h>
#include <libavutil/rational.h>
#include <stdbool.h>
#include "video_io/frame.h"

typedef struct ib_palette ib_palette;
int ib_palette_create(ib_palette **out, int width, int height, AVRational time_base, ib_error *err);
int ib_palette_push(ib_palette *p, const ib_frame *frame, int64_t pts, ib_error *err);
/* 1: *out is a pal8 frame (the caller unrefs), 0: none ready (or, at_end, none left), < 0: error. */
int ib_palette_pull(ib_palette *p, AVFrame *out, bool at_end, ib_error *err);
void ib_palette_free(ib_palette **p);

#endif
