/* FFmpeg's minterpolate filter in the process, as a baseline to measure against:
 * mi_mode=mci, mc_mode=aobmc, me_mode=bidir, vsbmc=1, scd=none. */
#ifndef IB_VIDEO_IO_MINTERPOLATE_H
#define IB_VIDEO_IO_MINTERPOLATE_H

#include <stddef.h>
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The in-betweens of a sequence of keyframes of one shot and one size (each side at least 32), `gap` steps
 * apart. out: [(n_keys - 1) * (gap - 1)]; out[i * (gap - 1) + k - 1] lies at t = k / gap between keys[i] and
 * keys[i + 1]. The frames are allocated here and freed by the caller; on failure none is. n_keys >= 2,
 * gap 2..1000.
 *
 * What the filter does at the ends: it searches motion from each frame to the one before and the one after
 * it. It doubles the first frame by itself; it never gives out the interval that ends with its last input, so
 * the last keyframe is put in once more. The motion within every interval is thereby searched between the
 * interval's own two keyframes, also at the ends. */
int ib_minterpolate(const ib_frame *const *keys, size_t n_keys, int gap, ib_frame *out, ib_error *err);

/* The in-betweens of two keyframes at places of the caller's. at: [n], each in (0,1), rising; out: [n].
 * Places of k / (n + 1) cost one search for motion, others one each, as the filter puts its frames at equal
 * distances. It rounds places to 1/1024. */
int ib_minterpolate_at(const ib_frame *key0, const ib_frame *key1, const float *at, size_t n, ib_frame *out,
                       ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
