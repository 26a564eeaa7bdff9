/* Frames between two frames in memory: what ib_render_movie writes to a file (render/movie.h), handed over
 * instead. */
#ifndef IB_RENDER_RENDERER_H
#define IB_RENDER_RENDERER_H

#include <stddef.h>
#include "base/api.h"
#include "base/error.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_renderer ib_renderer;

/* For frames of width x height, 1..16384. adapter: file of the patch space, "default" or "prior"
 * (adapter/named.h); NULL or "none": slerp alone. threads: used at once, each with its own work space; 0: as
 * many as OpenMP would, at most 64. Errors are those of ib_render_movie. */
IB_API int ib_renderer_open(ib_renderer **out, const char *adapter, int width, int height, int threads,
                            ib_error *err);
/* How far to follow what the adapter learned (ib_adapter_trust); nothing without one. */
IB_API void ib_renderer_trust(ib_renderer *r, double trust);
/* ib_adapter_sharpen, 0 at first (ib_render_movie takes 0.5); nothing without an adapter. */
IB_API void ib_renderer_sharpen(ib_renderer *r, double sharpness);
/* The frame at t in [0,1]; 0 and 1 give the samples of first and last. gap_seconds > 0: from first to last,
 * of which the model makes a little (1 is a good guess for pictures). out: allocated, of the renderer's size,
 * neither first nor last; its matrix and times follow from first and last, which are of one matrix, and it
 * has no RGB afterwards. One call at a time for each renderer. IB_E_MISMATCH for frames of another size or of
 * two matrices, IB_E_ARGUMENT for t or gap_seconds out of range. */
IB_API int ib_renderer_frame(ib_renderer *r, const ib_frame *first, const ib_frame *last, float t,
                             float gap_seconds, ib_frame *out, ib_error *err);
/* The same for n places between the two, by several threads at once. t, out: [n]. */
IB_API int ib_renderer_frames(ib_renderer *r, const ib_frame *first, const ib_frame *last, const float *t,
                              size_t n, float gap_seconds, ib_frame *out, ib_error *err);
/* Several pairs at once: each has a thread of its own, and a work space (about 100 MB at 720p) that stays.
 * One alone is worked on by all threads, a frame after the other. */
typedef struct ib_renderer_pair {
    const ib_frame *first, *last;
    const float *t; /* [n] */
    size_t n;
    float gap_seconds;
    ib_frame *out; /* [n] */
} ib_renderer_pair;
/* n: of pairs, at most the renderer's threads; else IB_E_ARGUMENT. Each frame as ib_renderer_frame makes it.
 */
IB_API int ib_renderer_pairs(ib_renderer *r, const ib_renderer_pair *pair, int n, ib_error *err);
IB_API void ib_renderer_close(ib_renderer **r);

#ifdef __cplusplus
}
#endif
#endif
