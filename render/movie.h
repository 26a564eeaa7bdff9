/* Keyframes in, a clip out. The keyframes are in the clip as they are, sample by sample (before the encoder's
 * own loss), and between each two of them lie frames made by slerp in the patch space or by an adapter. */
#ifndef IB_RENDER_MOVIE_H
#define IB_RENDER_MOVIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"
#include "base/stop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_movie_options {
    const char *const
        *keyframes;      /* [n_keyframes] pictures, or PATH@TIME for a frame of a video (ib_read_still) */
    size_t n_keyframes;  /* >= 2 */
    const char *output;  /* the format follows the name (video_io/writer.h) */
    const char *adapter; /* file, "default" or "prior" (adapter/named.h); NULL or "none": slerp alone */
    int width,
        height; /* keyframes are scaled and cropped to it; 0, 0: their own size, which must then be one */
    int frames; /* from one keyframe to the next, both counted, 2..1000000; default 25 */
    double fps; /* > 0, <= 1000; default 24 */
    double gap_seconds; /* the time between keyframes that the model sees; 0: (frames - 1) / fps */
    bool ease;          /* leave and reach keyframes slowly: t becomes 3t^2 - 2t^3 */
    bool loop;          /* back to the first keyframe, which is not shown again at the end */
    double trust; /* in what the adapter learned, 0..1 (ib_adapter_trust); default -1: what its file says */
    double sharpness;     /* of the adapter's pictures, 0..1 (ib_adapter_sharpen); default 0.5 */
    bool compare;         /* slerp on the left, the adapter on the right, with their names on them */
    const char *codec;    /* NULL: by the file name */
    int crf;              /* -1: the codec's default */
    bool keep_interlaced; /* keyframes of interlaced video as they are; default false: deinterlaced */
    bool overwrite;       /* a sequence replaces pictures of its names */
    int threads;          /* frames made at once; 0: as many as OpenMP would */
    /* non-zero: IB_E_INTERRUPTED. A clip is dropped; of a sequence of pictures what is done is kept, and the
     * same call goes on from there (base/resume.h). May be NULL */
    const atomic_int *stop;
    void (*progress)(void *user, int64_t done, int64_t total); /* from the calling thread; may be NULL */
    void *user;
} ib_movie_options;

typedef struct ib_movie_summary {
    int64_t frames;
    int64_t taken_up;  /* of them: made by an earlier, unfinished call */
    int width, height; /* of the clip: twice as wide (rounded up to even) when comparing */
    double seconds;    /* how long the clip plays */
    size_t interlaced; /* keyframes that are of interlaced video */
} ib_movie_summary;

IB_API void ib_movie_defaults(ib_movie_options *o);
/* A chain of K keyframes gives (K - 1)(frames - 1) + 1 frames, a loop K (frames - 1); no keyframe is shown
 * twice. Frames are written as they are made: memory holds the keyframes and a few frames for each thread.
 * Errors name what is wrong and leave no file under its final name: IB_E_MISMATCH for keyframes of several
 * sizes or an adapter of another space, IB_E_ARGUMENT for an output that is an input or would replace
 * pictures (writer.h). summary may be NULL. */
IB_API int ib_render_movie(const ib_movie_options *o, ib_movie_summary *summary, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
