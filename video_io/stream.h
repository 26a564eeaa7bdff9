/* Inside video_io only: what is no regular file (a pipe, a terminal), as FFmpeg's input. Waiting for a
 * writer, or for more of it, can be stopped at any time, which a blocking open or read cannot. */
#ifndef IB_VIDEO_IO_STREAM_H
#define IB_VIDEO_IO_STREAM_H

#include <stdbool.h>
#include <libavformat/avio.h>
#include "base/error.h"

typedef struct ib_stream {
    int fd;
    bool (*stopped)(void *user);
    void *user;
    AVIOContext *pb; /* for AVFormatContext.pb */
} ib_stream;

/* True for what is to be read so: all but regular files and directories. */
bool ib_is_stream(const char *path);
/* stopped: asked ten times a second while there is nothing to read; then reading ends with AVERROR_EXIT. */
int ib_stream_open(ib_stream *s, const char *path, bool (*stopped)(void *user), void *user, ib_error *err);
void ib_stream_close(ib_stream *s); /* accepts a zeroed one */

#endif
