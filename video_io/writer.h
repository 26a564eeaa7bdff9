/* Clips and pictures out. The format follows the file name: .mp4 .m4v .mov .mkv (H.264), .webm (VP9), .gif (256 colours a
 * frame, endless), .apng (lossless, endless), NAME-%04d.png style PNG sequences (numbered from 1; "DIR/" stands for "DIR/%04d.png"
 * and makes DIR), and .png for a single picture. Files appear under their final name only when whole; a PNG sequence is written
 * frame by frame, each whole. */
#ifndef IB_VIDEO_IO_WRITER_H
#define IB_VIDEO_IO_WRITER_H

#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_writer_options {
    int width,
        height; /* of the frames, 1..16384. Odd sizes are kept where the encoder can (VP9, GIF, PNG, FFV1); H.264 and HEVC
                          cannot say them in 4:2:0: there the last column or row is repeated once, and the clip is even */
    double fps; /* > 0, <= 1000, of GIF <= 50 */
    ib_matrix
        matrix; /* of all frames, whatever they say themselves: written into the stream's colour tags, with limited
                          range, and used to make RGB of them (GIF, PNG) */
    const char *codec; /* FFmpeg encoder name; NULL: by the file name. Not for PNG */
    int crf;     /* the encoder's constant rate factor; -1: its sane default (18 for H.264). Not for PNG */
    int threads; /* 0: as many as cores */
} ib_writer_options;

typedef struct ib_writer ib_writer;
/* IB_E_ARGUMENT: an ending that names no format, an option out of range, a codec that the container does not take or that this
 * FFmpeg does not have (IB_E_UNSUPPORTED if it was the default one). */
int ib_writer_open(ib_writer **out, const char *path, const ib_writer_options *opt, ib_error *err);
/* The next frame, at index/fps; must have the size given at open. */
int ib_writer_write(ib_writer *w, const ib_frame *frame, ib_error *err);
/* Drains, closes, publishes under the final name. *w is NULL afterwards, whatever the result; on failure everything is dropped.
 * Without any frame: IB_E_EMPTY and no file. */
int ib_writer_finish(ib_writer **w, ib_error *err);
/* Drops everything that was written, also the pictures of a sequence. */
void ib_writer_abort(ib_writer **w);

/* One PNG, published whole. rgb: [H,W,3]. */
int ib_write_png(const char *path, const uint8_t *rgb, int width, int height, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
