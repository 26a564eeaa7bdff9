/* A video at another frame rate, or slower. Every two neighbouring frames are keyframes; between them lie
 * frames made by slerp in the patch space or by an adapter. */
#ifndef IB_RENDER_RETIME_H
#define IB_RENDER_RETIME_H

#include <stdbool.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"
#include "base/stop.h"
#include "video_io/writer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_retime_options {
    const char *input;   /* a video, a regular file */
    const char *output;  /* the format follows the name (video_io/writer.h) */
    const char *adapter; /* as ib_renderer_open takes it */
    double fps;          /* of the output, > 0, <= 1000; default 0: the source's average */
    double slow;         /* how many times as long it plays, 1..100; default 1 */
    double trust; /* in what the adapter learned, 0..1 (ib_adapter_trust); default -1: what its file says */
    double sharpness;     /* of the adapter's pictures, 0..1 (ib_adapter_sharpen); default 1 */
    const char *codec;    /* NULL: by the file name */
    int crf;              /* default -1: the codec's default */
    bool no_sound;        /* leave the sound out */
    bool keep_interlaced; /* read interlaced video as it is; default false: deinterlaced */
    bool overwrite;       /* a sequence replaces pictures of its names */
    int threads;          /* 0: as many as OpenMP would use */
    /* non-zero: IB_E_INTERRUPTED. What is done is kept, and the same call goes on from there
     * (base/resume.h). May be NULL */
    const atomic_int *stop;
    /* done: frames of the output so far; total: how many there will be by what the container says, 0: it
     * does not. From the calling thread; may be NULL */
    void (*progress)(void *user, int64_t done, int64_t total);
    void *user;
} ib_retime_options;

typedef struct ib_retime_summary {
    int64_t source_frames, repeats; /* of the source; those of them that repeat the one before exactly */
    int64_t frames;                 /* of the output: the sum of the next three */
    int64_t passed, made,
        held;            /* frames of the source at their own time, in-betweens, and frames shown again */
    int64_t taken_up;    /* of them: made by an earlier, unfinished call */
    int64_t cuts;        /* shots but one */
    int width, height;   /* as stored in the output */
    double fps, seconds; /* of the output */
    int64_t interlaced;  /* frames of the source that are */
    int damaged;         /* packets and frames of the source that were dropped */
    char damage[256];    /* a sentence about the first */
    ib_carried carried;  /* of sound and other streams */
} ib_retime_summary;

IB_API void ib_retime_defaults(ib_retime_options *o);
/* Frame k of the output is shown at k/fps, and shows the source at k/(fps slow) seconds from its first frame.
 * Frames of the source whose time that is are passed on as they are decoded. Across a cut the nearer frame is
 * shown; of frames that repeat the one before exactly the first alone counts, so that they do not make motion
 * halt, but a picture that stands for more than four frames' time does stand (docs/retiming.md). The last
 * frame is shown as long as the source says. Samples keep their shape; rotation stays with the container
 * where the output's can say it, else frames are turned. Memory does not grow with length: what
 * a pair takes for each thread (ib_renderer_pairs), at most about 2 GB together, and the encoder's. The bytes
 * are the same however often it was stopped, with the same number of threads on the same machine. Errors
 * leave no file under the final name: IB_E_FORMAT for what is no video, IB_E_ARGUMENT for an output that is
 * an input, would replace pictures, or would need numbers that are out of range. summary may be NULL. */
IB_API int ib_retime(const ib_retime_options *o, ib_retime_summary *summary, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
