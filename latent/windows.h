/* Windows of a video: pairs of keyframes and the frames between them, as training's validation, evaluation
 * and guides all take them. */
#ifndef IB_LATENT_WINDOWS_H
#define IB_LATENT_WINDOWS_H

#include "base/api.h"
#include "latent/latent_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* First frames of the windows [first, first + gap] of a file that hold no cut (cuts[first+1 .. first+gap] are
 * all 0): end to end (each begins where the last ended, restarting after a cut); if there are more than
 * max_windows > 0, that many, evenly spread. Returns their number; firsts: room for N entries. */
IB_API size_t ib_score_windows(const ib_latent_file *f, int gap, int max_windows, size_t *firsts);
/* The same before there is a file. cuts: [frames] */
IB_API size_t ib_score_windows_in(const uint8_t *cuts, size_t frames, int gap, int max_windows,
                                  size_t *firsts);

/* At most `most` of n things, evenly spread: which one is the k-th. most 0: all. */
IB_API size_t ib_spread(size_t n, size_t most, size_t k);

/* The place of frame k, 0 < k < gap, of a window whose times are pts [gap + 1]; by its number if the times do
 * not tell. In (0,1). */
IB_API float ib_score_place(const double *pts, int gap, int k);
/* From first to last frame of the window, > 0; by the frame rate if the times do not tell. */
IB_API float ib_score_seconds(const double *pts, int gap, double fps);

#ifdef __cplusplus
}
#endif
#endif
