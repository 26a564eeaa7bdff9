/* Inside video_io only: what differs between FFmpeg 5 and 8. Each function does what the newest does;
 * delete it with the last FFmpeg that lacks that. */
#ifndef IB_VIDEO_IO_AV_COMPAT_H
#define IB_VIDEO_IO_AV_COMPAT_H

#include <stdbool.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

/* Side data that a container gives a whole stream. NULL and 0 bytes where it gives none. In the codec's
 * parameters since 6.1, and since 8 only there. */
static inline const uint8_t *ib_stream_side_data(const AVStream *st, enum AVPacketSideDataType type,
                                                 size_t *bytes) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 30, 100)
    const AVCodecParameters *p = st->codecpar;
    const AVPacketSideData *d = av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, type);
    *bytes = d ? d->size : 0;
    return d ? d->data : NULL;
#else
    *bytes = 0;
    return av_stream_get_side_data(st, type, bytes);
#endif
}

/* The pixel formats that an encoder takes, up to AV_PIX_FMT_NONE; NULL where it does not say. Since 7.1 by
 * a function. */
static inline const enum AVPixelFormat *ib_encoder_formats(const AVCodec *codec) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *list = NULL;
    return avcodec_get_supported_config(NULL, codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &list, NULL) < 0 ? NULL
                                                                                                     : list;
#else
    return codec->pix_fmts;
#endif
}

/* Since 6.1 a flag. */
static inline bool ib_frame_interlaced(const AVFrame *f) {
#ifdef AV_FRAME_FLAG_INTERLACED
    return f->flags & AV_FRAME_FLAG_INTERLACED;
#else
    return f->interlaced_frame;
#endif
}

#endif
