/* Single planes of frames in the units of latent/patch.h, at any size. Not installed. */
#ifndef IB_LATENT_PATCH_PLANE_H
#define IB_LATENT_PATCH_PLANE_H

#include <stddef.h>
#include "video_io/frame.h"

/* Of 8-bit samples of plane k (0: Y, 1: U, 2: V): the value of black, and steps per unit. */
static inline float ib_patch_black(int k) {
    return k ? 128 : 16;
}

static inline float ib_patch_range(int k) {
    return k ? 224 : 219;
}

/* Plane k of a frame, cropped or its edges repeated to height x width. out: [height,width] */
void ib_patch_plane(const ib_frame *frame, int k, size_t height, size_t width, float *out);
/* n samples of plane k become values. */
void ib_patch_load(const uint8_t *samples, int k, size_t n, float *out);
/* n values of plane k become samples, rounded to the nearest. */
void ib_patch_store(const float *values, int k, size_t n, uint8_t *out);

#endif
