/* A pair of keyframes at any size, made ready for carrying: their splines at full size, and the keyframes
 * scaled to the grid on which motion is estimated and models predict. None of it depends on t, so that
 * several threads may make in-betweens of one pair. */
#ifndef IB_MOTION_PAIR_H
#define IB_MOTION_PAIR_H

#include "base/api.h"
#include "base/error.h"
#include "latent/space.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_pair ib_pair;

/* For frames of width x height, at least 1 x 1. Takes about 24 bytes for each px. IB_E_MEMORY. */
IB_API int ib_pair_create(ib_pair **out, int width, int height, ib_error *err);
IB_API void ib_pair_free(ib_pair **p);
/* The grid of the patch space that such frames are predicted on: theirs, or where they are larger than
 * about 576 x 336 px, one of about that size and their aspect. */
IB_API const ib_shape *ib_pair_shape(const ib_pair *p);
/* The frames stay the caller's, unchanged until the next pair. IB_E_MISMATCH for other sizes. */
IB_API int ib_pair_set(ib_pair *p, const ib_frame *full0, const ib_frame *full1, int threads, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
