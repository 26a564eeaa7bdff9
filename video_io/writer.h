/* Clips and pictures out. The format follows the file name: .mp4 .m4v .mov .mkv (H.264), .webm (VP9), .gif
 * (256 colours a frame, endless), .apng (lossless, endless), NAME-%04d.png style PNG sequences (numbered from
 * 1; "DIR/" stands for "DIR/%04d.png" and makes DIR), and .png for a single picture. Everything appears under
 * its final name only when it is whole, a sequence with all its pictures; until then a clip is
 * `.NAME.RANDOM.tmp` and a sequence lies in `.NAME.resume` (base/resume.h), beside it.
 *
 * What was there before: an output that is one of the inputs is refused. A clip or a single picture of the
 * same name is replaced when the new one is whole. Pictures that have a sequence's names are refused unless
 * `overwrite` is set. */
#ifndef IB_VIDEO_IO_WRITER_H
#define IB_VIDEO_IO_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/api.h"
#include "base/stop.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a clip that is made of a video takes from it beside the pictures: sound, subtitles and chapters,
 * titles and other tags. Streams that go into the clip's container are copied; sound whose time is stretched,
 * or which does not, is encoded anew; what then cannot be carried is left out. Chapters and subtitles are
 * stretched with the rest. */
typedef struct ib_carry {
    const char *source;     /* a regular file */
    double start_seconds;   /* of the source's first frame, by its container's clock (ib_video_info) */
    double slow;            /* how many times as long everything takes; 1: as long as it did */
    bool sound;             /* false: left out */
    bool rotation;          /* how the container says to turn its frames, if ib_writer_turns */
    const atomic_int *stop; /* may be NULL */
} ib_carry;

/* What became of it. */
typedef struct ib_carried {
    int copied, encoded; /* streams of sound and subtitles */
    char left_out[256];  /* the others, in words; empty: none */
} ib_carried;

typedef struct ib_writer_options {
    int width, height; /* of the frames, 1..16384. Odd sizes are kept where the encoder can (VP9, GIF, PNG,
                          FFV1); H.264 and HEVC cannot say them in 4:2:0: there the last column or row is
                          repeated once, and the clip is even */
    double fps;        /* > 0, <= 1000, of GIF <= 50 */
    ib_matrix matrix;  /* of all frames, whatever they say themselves: written into the stream's colour tags,
                          with limited  range, and used to make RGB of them (GIF, PNG) */
    int primaries, transfer; /* numbers of H.273 for the tags beside the matrix; 0: BT.709's with its matrix,
                                else none. Not for GIF and PNG */
    int chroma_location;     /* as ib_video_info says it; 0: left */
    int sample_width, sample_height; /* shape of a sample; 0: square. For PNG, GIF and APNG always square */
    const char *codec;               /* FFmpeg encoder name; NULL: by the file name. Not for PNG */
    int crf;        /* the encoder's constant rate factor; -1: its sane default (18 for H.264). Not for PNG */
    int lookahead;  /* frames that H.264's encoder looks ahead and holds; 0: its default, 40 */
    int threads;    /* 0: as many as cores */
    int64_t frames; /* how many will come; 0: not known yet */
    bool overwrite; /* replace pictures of a sequence's names */
    bool rgb;       /* PNG: frames that have RGB of their own are written from it; default false */
    /* How it was made, UTF-8: the comment of a clip, the text `parameters` of a PNG; NULL: none. The caller's
     * until finish or abort */
    const char *comment;
    /* [n_inputs] what may not be replaced, as ib_output_check takes it; the caller's until finish or abort */
    const char *const *inputs;
    size_t n_inputs;
    /* Of a sequence: all that its pictures depend on, so that it can be gone on with; NULL: it cannot be. Of
     * a clip too, if it has segments. */
    const char *resume_key;
    /* Makes a clip (but GIF and APNG) of parts of that many frames each, encoded apart and put together at
     * the end, which can be gone on with as a sequence can: the bytes are the same however often it was
     * stopped. 0: in one piece */
    int segment_frames;
    const ib_carry *carry; /* of a clip with segments; NULL: pictures alone. The caller's until finish */
    ib_carried *carried;   /* filled by finish; may be NULL */
} ib_writer_options;

typedef struct ib_writer ib_writer;
/* IB_E_ARGUMENT: an ending that names no format, an option out of range, something in the way that is not to
 * be replaced, several frames for one picture, a codec that the container does not take or that this FFmpeg
 * does not have (IB_E_UNSUPPORTED if it was the default one). */
IB_API int ib_writer_open(ib_writer **out, const char *path, const ib_writer_options *opt, ib_error *err);
/* Whether a file of this name can say how its frames are to be turned (.mp4 .m4v .mov). */
IB_API bool ib_writer_turns(const char *path);
/* Whether a file of this name is a clip with sound, which may have segments (all but GIF, APNG and PNG). */
IB_API bool ib_writer_carries(const char *path);
/* Frames that are there: those written, and the first ones of a sequence or of segments that an earlier run
 * with the same key left; if that had come to its end, perhaps more than there are. */
IB_API int64_t ib_writer_done(const ib_writer *w);
/* The folder that will keep the frames done so far if the writer is aborted now; NULL: they will be dropped.
 * Valid until then. */
IB_API const char *ib_writer_kept(const ib_writer *w);
/* The next frame, number ib_writer_done, at number/fps; must have the size given at open. */
IB_API int ib_writer_write(ib_writer *w, const ib_frame *frame, ib_error *err);
/* Drains, closes, publishes under the final name. *w is NULL afterwards, whatever the result; on failure
 * everything is dropped as by ib_writer_abort. Without any frame: IB_E_EMPTY and no file. */
IB_API int ib_writer_finish(ib_writer **w, ib_error *err);
/* Drops everything that was written, or leaves a sequence for another run (ib_writer_kept). What was there
 * before stays. */
IB_API void ib_writer_abort(ib_writer **w);

/* One PNG, published whole. rgb: [H,W,3]. */
IB_API int ib_write_png(const char *path, const uint8_t *rgb, int width, int height, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
