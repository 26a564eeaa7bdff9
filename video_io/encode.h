/* Inside video_io only: one video stream into one file by FFmpeg's encoders and muxers. */
#ifndef IB_VIDEO_IO_ENCODE_H
#define IB_VIDEO_IO_ENCODE_H

#include <libavutil/pixfmt.h>
#include "video_io/writer.h"

/* What a file name's extension stands for. */
typedef struct ib_container {
    const char *extension; /* with the dot */
    const char *muxer, *encoder;
} ib_container;
/* NULL if the extension is none of ours. */
const ib_container *ib_container_of(const char *path);

/* IB_E_ARGUMENT or IB_E_UNSUPPORTED if there is no such encoder, or its video cannot go into such a file. */
int ib_encoder_check(const char *name, const ib_container *container, const ib_writer_options *opt,
                     ib_error *err);

/* The tags of frames of an encoder's format, which has full range or not. */
typedef struct ib_colour {
    enum AVColorRange range;
    enum AVChromaLocation location;
    enum AVColorSpace matrix;
    enum AVColorPrimaries primaries;
    enum AVColorTransferCharacteristic transfer;
} ib_colour;
ib_colour ib_colour_of(const ib_writer_options *opt, enum AVPixelFormat format, bool full);

typedef struct ib_encoder ib_encoder;
/* name: for sentences; file: what is written. */
int ib_encoder_open(ib_encoder **out, const char *name, const char *file, const ib_container *container,
                    const ib_writer_options *opt, ib_error *err);
int ib_encoder_write(ib_encoder *e, const ib_frame *frame, ib_error *err);
int ib_encoder_finish(ib_encoder *e, ib_error *err);
void ib_encoder_close(ib_encoder **e);

#endif
