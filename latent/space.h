/* Spaces: fixed maps from frames to latents and, where they can, back. Built in: "patch". */
#ifndef IB_LATENT_SPACE_H
#define IB_LATENT_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ib_layout {
    IB_LAYOUT_GRID,     /* T = rows x cols, row-major */
    IB_LAYOUT_SEQUENCE, /* T tokens in order */
    IB_LAYOUT_SINGLE    /* T = 1 */
} ib_layout;
const char *ib_layout_name(ib_layout l); /* "grid" "sequence" "single" */

/* The shape that a space gives frames of one size. */
typedef struct ib_shape {
    ib_layout layout;
    int rows, cols;       /* grid; else 1 x T */
    size_t tokens, width; /* T, D */
} ib_shape;

typedef struct ib_space ib_space;
/* spec: "patch" (later also "clip:PATH"). IB_E_ARGUMENT with the list of spaces for anything else. */
int ib_space_open(ib_space **out, const char *spec, ib_error *err);
void ib_space_close(ib_space **s);
/* Names everything that defines the coordinates; equal ids mean exchangeable latents. At most 255 characters. */
const char *ib_space_id(const ib_space *s);
/* For patch, sizes are rounded up to multiples of 8 and the frame is
 * padded by repeating its edge; decode crops back. */
int ib_space_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err);
/* z: [T,D] */
int ib_space_encode(const ib_space *s, const ib_frame *frame, float *z, ib_error *err);
/* True if the space can turn latents into pictures by itself. */
bool ib_space_decodes(const ib_space *s);
/* frame: allocated by the caller at the wanted size, whose shape must be z's. Values are rounded and clipped to 0..255. */
int ib_space_decode(const ib_space *s, const float *z, /* [T,D] */ ib_frame *frame, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
