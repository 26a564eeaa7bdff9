/* Inside video_io only: demuxing and decoding one video stream, one whole frame after the other in
 * presentation order. */
#ifndef IB_VIDEO_IO_DECODE_H
#define IB_VIDEO_IO_DECODE_H

#include <stdatomic.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include "video_io/av.h"
#include "video_io/stream.h"
#include "video_io/deinterlace.h"

typedef struct ib_decoder {
    char *path; /* owned */
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream; /* of format */
    AVPacket *packet;
    ib_stream stream_in;       /* of what is no regular file */
    atomic_bool stop;          /* set by another thread to end blocking reads */
    const atomic_int *stopped; /* so does the caller; may be NULL */
    bool draining;
    bool still;
    bool have_first;
    bool keep_interlaced;
    int errors_in_a_row;
    int refusals;                  /* of the codec since it was given something */
    ib_picture_tags tags;          /* of still pictures, from the first packet */
    double peak;                   /* of PQ, cd/m2, as the first frame or the stream says; 0: neither does */
    int64_t interlaced;            /* frames that were marked so */
    ib_deinterlacer *deinterlacer; /* from the first of them on */
    AVFrame *waiting;              /* decoded; the deinterlacer has to end first */
    double waiting_seconds;
    int64_t waiting_index;
    int64_t packets, first_pts, next_index;
    double frame_seconds, last_seconds;
    double shown_seconds; /* how long the last frame is; 0: not known */
    int damaged;          /* packets and frames dropped so far */
    char damage[256];     /* about the first */
} ib_decoder;

/* o: its threads, keep_interlaced and stop. */
int ib_decoder_open(ib_decoder **out, const char *path, const ib_reader_options *o, ib_error *err);
/* 1: *frame is the next good one (referenced; the caller unrefs), seconds since the first, its number; 0:
 * end; < 0: error. Its sample aspect ratio is what it is to be shown with, 1:1 where that is unknown or
 * incredible. */
int ib_decoder_next(ib_decoder *d, AVFrame *frame, double *seconds, int64_t *index, ib_error *err);
/* Goes on from the last key frame at or before `seconds`; only after a first frame was decoded. Numbers are
 * then estimates. */
int ib_decoder_seek(ib_decoder *d, double seconds, ib_error *err);
void ib_decoder_close(ib_decoder **d);
/* After ib_decoder_next gave none: why. */
int ib_decoder_no_frame(const ib_decoder *d, ib_error *err);
bool ib_decoder_can_seek(const ib_decoder *d);
/* How the stream or this frame is to be rotated. */
ib_turn ib_decoder_turn(const ib_decoder *d, const AVFrame *frame);
/* Whether the container itself says that, for all frames. */
bool ib_decoder_has_turn(const ib_decoder *d);
/* Everything but width, height and matrix of the frames handed out. */
void ib_decoder_describe(const ib_decoder *d, const AVFrame *first, ib_video_info *info);
/* Checks the options, and gives info the size that they ask for. */
int ib_reader_check(const ib_reader_options *o, ib_error *err);
void ib_reader_choose_size(const ib_reader_options *o, ib_video_info *info);

#endif
