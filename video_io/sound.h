/* Inside video_io only: one stream of sound encoded anew, its time stretched with the pitch kept (FFmpeg's
 * atempo). */
#ifndef IB_VIDEO_IO_SOUND_H
#define IB_VIDEO_IO_SOUND_H

#include <stdbool.h>
#include <libavformat/avformat.h>
#include "base/error.h"

/* Whether sound of this stream can be encoded for such files. */
bool ib_sound_encodes(const AVStream *in, const AVOutputFormat *format);

typedef struct ib_sound ib_sound;
/* in: whose packets will be pushed; out: a new stream of `format`, which gets its parameters here. slow: how
 * many times as long it takes; start_seconds: what is 0 in the result. IB_E_UNSUPPORTED if this FFmpeg cannot
 * decode, stretch or encode it. */
int ib_sound_open(ib_sound **out, const AVStream *in, AVStream *to, const AVFormatContext *format,
                  double slow, double start_seconds, ib_error *err);
/* p: NULL: no more will come. What cannot be decoded is passed over. */
int ib_sound_push(ib_sound *s, const AVPacket *p, ib_error *err);
/* 1: p is the next packet, in ticks of 1 / sample rate; 0: none is ready. */
int ib_sound_pull(ib_sound *s, AVPacket *p, ib_error *err);
AVRational ib_sound_tick(const ib_sound *s);
void ib_sound_close(ib_sound **s);

#endif
