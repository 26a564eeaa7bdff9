/* Videos and still pictures in: anything that FFmpeg reads, as upright yuv420p frames of one size, in
 * presentation order, every one of them (the decoder is drained). Decoding and scaling run in a thread ahead
 * of the consumer. */
#ifndef IB_VIDEO_IO_READER_H
#define IB_VIDEO_IO_READER_H

#include <stdbool.h>
#include "base/api.h"
#include "base/stop.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* FFmpeg writes remarks of its own to stderr, as its av_log_set_level says for the whole process. The library
 * leaves that as it is; this turns them off. Errors do not need them. */
IB_API void ib_ffmpeg_quiet(void);

typedef enum ib_fit {
    IB_FIT_CROP,  /* default: scale until the size is covered, cut what sticks out, centred */
    IB_FIT_SQUASH /* scale both sides independently */
} ib_fit;

typedef struct ib_reader_options {
    int width, height; /* even, 16..16384; both 0: the source's own (upright) size, odd sizes kept */
    bool auto_orient;  /* with a size: for a portrait source swap width and height if they are landscape (and
                          vice  versa); a square size stays. default false */
    ib_fit fit;
    int every; /* keep frames 0, every, 2*every...; 0 or 1: all */
    /* decoder threads; 0: as many as cores. With several, which frames of damaged H.264 are dropped depends
     * on FFmpeg's timing; with 1 it does not. */
    int threads;
    ib_matrix
        matrix; /* IB_MATRIX_UNSPECIFIED: keep the source's (RGB sources become BT.709); else convert to it */
    bool rgb;   /* fill ib_frame.rgb as well */
    bool keep_interlaced; /* default false: frames marked as interlaced are deinterlaced */
    /* For copies, of the source's own size alone: */
    bool keep_aspect;       /* samples keep their shape; ib_video_info.sample_width and _height say it */
    bool keep_rotation;     /* frames lie as they are stored, where the container says how to turn them */
    const atomic_int *stop; /* non-zero: opening and reading end with IB_E_INTERRUPTED; may be NULL */
} ib_reader_options;

typedef struct ib_video_info {
    int width, height;               /* of the frames handed out */
    int source_width, source_height; /* of the source, upright, in square samples */
    int stored_width, stored_height; /* of the source, before samples were made square and turned */
    int aspect_width, aspect_height; /* shape of a stored sample; 1, 1: square */
    int sample_width, sample_height; /* shape of a sample of the frames handed out; 1, 1 unless kept */
    double fps;                      /* average, > 0; 1 for a still picture */
    double duration_seconds;         /* by the container; 0 if unknown */
    int64_t frames_estimate;         /* by the container; 0 if unknown */
    int rotation_degrees; /* clockwise, by which samples were turned to stand upright: 0, 90, 180, 270 */
    bool still;           /* a picture file: one frame */
    bool interlaced;      /* the first frames are marked so; deinterlaced unless keep_interlaced */
    char wide[32]; /* "PQ, BT.2020", "HLG, BT.2020" or "SDR, BT.2020": what was made SDR BT.709; else empty */
    bool plain;    /* square samples, progressive, SDR, and no orientation that FFmpeg overlooks */
    double start_seconds; /* when the first frame is, by the container's clock */
    double tick_seconds;  /* what the container counts its times in, > 0 */
    ib_matrix matrix;
    int primaries, transfer; /* of the frames handed out, numbers of H.273; 2 where the source does not say */
    int chroma_location; /* of the frames handed out, H.273's + 1: 1 is left; 0: the source does not say */
    char codec[32], pixel_format[32];
} ib_video_info;

typedef struct ib_reader ib_reader;

/* Opens a file and its best video stream (FFmpeg's av_find_best_stream; cover art is no video), and decodes
 * the first frame. opt NULL: defaults. Errors name the path: IB_E_IO missing, a directory or unreadable;
 * IB_E_FORMAT empty, not media (text art and playlists that name other files are not), or no decodable video;
 * IB_E_UNSUPPORTED more than 16384 samples on a side, or a codec that this FFmpeg has not. What becomes of
 * other samples (docs/formats.md): they become square, the height stays; HDR (PQ, HLG) and BT.2020 become SDR
 * BT.709; interlaced frames are deinterlaced, which changes neither their number nor times; full range is
 * brought to limited; RGB and palettes become BT.709; alpha is laid over black; more than 8 bits and 4:2:2 or
 * 4:4:4 chroma are brought down; 8-bit limited 4:2:0 at its own size is copied bit by bit. Grey that does not
 * say its range is full, as everywhere in FFmpeg. Frames whose size changes on the way are fitted to the
 * first one's. */
IB_API int ib_reader_open(ib_reader **out, const char *path, const ib_reader_options *opt, ib_error *err);
IB_API const ib_video_info *ib_reader_info(const ib_reader *r);
/* 1: *frame is the next one, borrowed until the next call; 0: end; < 0: error. Times rise strictly: one that
 * is missing or does not rise is put 1/fps after the last. A damaged tail ends the video at the last good
 * frame (0, and see ib_reader_damaged); a file without any good frame is IB_E_FORMAT. */
IB_API int ib_reader_next(ib_reader *r, const ib_frame **frame, ib_error *err);
/* Packets or frames that were dropped as damaged so far, and a sentence about the first (empty if none). */
IB_API int ib_reader_damaged(const ib_reader *r, const char **what);
/* How long the last frame read is shown: as the container says, else 1/fps. After the end alone. */
IB_API double ib_reader_last_seconds(const ib_reader *r);
/* Frames marked as interlaced so far. */
IB_API int64_t ib_reader_interlaced(const ib_reader *r);
IB_API void ib_reader_close(ib_reader **r);

/* One frame, decoded once and converted as often as need be: PATH or PATH@TIME, TIME = seconds with optional
 * "s" ("clip.mp4@1.5s"): the frame that is on screen at that time; without @ the first frame. A file whose
 * own name ends in @... wins. What is no regular file (a pipe, /dev/stdin) is read from its beginning, once.
 * opt: its threads, keep_interlaced and stop; NULL: defaults. IB_E_ARGUMENT for a time past the end, or what
 * is no time. */
typedef struct ib_still ib_still;
IB_API int ib_still_open(ib_still **out, const char *spec, const ib_reader_options *opt, ib_error *err);
/* As of a reader without options. */
IB_API const ib_video_info *ib_still_info(const ib_still *s);
/* out: allocated, the caller frees; its index is an estimate for times beyond 5 s. Of the options every,
 * threads, keep_interlaced and stop mean nothing here. */
IB_API int ib_still_convert(ib_still *s, ib_frame *out, const ib_reader_options *opt, ib_error *err);
IB_API void ib_still_close(ib_still **s);
/* All of them. */
IB_API int ib_read_still(ib_frame *out, const char *spec, const ib_reader_options *opt, ib_error *err);

/* True if the name's extension is one of the usual video (or, second function, picture) extensions; for
 * directories. */
IB_API bool ib_is_video_name(const char *name);
IB_API bool ib_is_picture_name(const char *name);

#ifdef __cplusplus
}
#endif
#endif
