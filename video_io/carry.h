/* Inside video_io only: what a clip takes over from the video that it is made of (ib_carry in writer.h). */
#ifndef IB_VIDEO_IO_CARRY_H
#define IB_VIDEO_IO_CARRY_H

#include <libavformat/avformat.h>
#include "video_io/writer.h"

typedef struct ib_carrier ib_carrier;
/* Gives `out`, whose first stream is the pictures' and whose header is not written yet, further streams,
 * chapters and tags. name: for sentences. carry: the caller's until close. */
int ib_carrier_open(ib_carrier **out, const ib_carry *carry, AVFormatContext *format, const char *name,
                    ib_error *err);
/* After the header was written. 1: p is the next packet, of and in the ticks of its stream in `format`, in
 * about the order of time; 0: no more. A source that is damaged further on ends there. */
int ib_carrier_next(ib_carrier *c, AVPacket *p, ib_error *err);
const ib_carried *ib_carrier_carried(const ib_carrier *c);
void ib_carrier_close(ib_carrier **c);

#endif
