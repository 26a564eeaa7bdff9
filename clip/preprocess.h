/* Inside clip/ only: pictures to the image tower's input. */
#ifndef IB_CLIP_PREPROCESS_H
#define IB_CLIP_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>
#include "clip/config.h"
#include "video_io/reader.h"

/* rgb: [height,width,3], rows `stride` bytes apart; pixels: [3,side,side]. The resampling has the bits of
 * Pillow's: a filter as wide as the picture shrinks, its weights rounded to 22 bits, columns first, each pass
 * rounded to 8 bits. */
int ib_clip_preprocess_run(const ib_clip_preprocess *p, ib_fit fit, int side, const uint8_t *rgb,
                           size_t stride, int width, int height, float *pixels, ib_error *err);

#endif
