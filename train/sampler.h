/* Which windows a run learns from. Sample number i of a run depends on (data set, gaps, seed, i) only: not on
 * threads, nor on what was drawn before, so a run goes on anywhere.
 *
 * A window is two keyframes `gap` frames apart within one shot and a target between them. The clip is drawn
 * with probability proportional to ib_video_weight, so that long clips do not dominate. The gap is
 * log-uniform. A window whose keyframes differ less than the median window's is kept with probability (its
 * squared distance / the median's), at least 0.1, so that still scenes do not dominate.
 *
 * Where files have guides, half of the samples are windows that have them: clip as before, a gap of its
 * guides, any of their windows. The other half has none, so that both ways are learned. */
#ifndef IB_TRAIN_SAMPLER_H
#define IB_TRAIN_SAMPLER_H

#include "base/rng.h"
#include "train/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_window {
    size_t clip, first; /* z0 is frame `first` of the clip, z1 is first + gap, the target first + offset */
    int gap, offset;    /* 0 < offset < gap */
    float t;            /* by presentation times, in (0,1) */
    float gap_seconds;  /* > 0 */
    size_t guide;       /* of the target, its number in the clip; IB_NO_GUIDE: it has none */
} ib_window;

#define IB_NO_GUIDE SIZE_MAX

typedef struct ib_sampler ib_sampler;
/* gap_min, gap_max: 2 <= min <= max. IB_E_EMPTY if no training clip has a shot of gap_min + 1 frames. The
 * data set must outlive the sampler. */
int ib_sampler_create(ib_sampler **out, const ib_dataset *d, int gap_min, int gap_max, uint64_t seed,
                      ib_error *err);
void ib_sampler_free(ib_sampler **s);
/* Probability of a clip in the draw. */
double ib_sampler_share(const ib_sampler *s, size_t clip);
/* One window before the choice by distance; looks at no latents. */
void ib_sampler_candidate(const ib_sampler *s, ib_rng *rng, ib_window *w);
/* Finds the median squared distance from `windows` candidates. Reads; call before the first draw. */
int ib_sampler_calibrate(ib_sampler *s, ib_dataset *d, size_t windows, ib_error *err);
double ib_sampler_median(const ib_sampler *s); /* mean square per latent value; 0 before calibration */
/* Sample number `index`: the window, its three frames and its guide. Reads. h: z0, z1 and target one after
 * the other, then the guide's pictures if it has one, [ib_sampler_frames,T,D] halves. */
size_t ib_sampler_frames(const ib_sampler *s);
int ib_sampler_draw(const ib_sampler *s, ib_dataset *d, uint64_t index, ib_window *w, uint16_t *h,
                    ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
