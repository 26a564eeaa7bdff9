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

/* Gives it such side data, `bytes` of it, to be written; NULL when memory is out. */
static inline uint8_t *ib_stream_add_side_data(AVStream *st, enum AVPacketSideDataType type, size_t bytes) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 30, 100)
    AVCodecParameters *p = st->codecpar;
    AVPacketSideData *d =
        av_packet_side_data_new(&p->coded_side_data, &p->nb_coded_side_data, type, bytes, 0);
    return d ? d->data : NULL;
#else
    return av_stream_new_side_data(st, type, bytes);
#endif
}

/* In the stream's ticks; 0 where it is not known. Under this name since 6. */
static inline int64_t ib_frame_duration(const AVFrame *f) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    return f->duration > 0 ? f->duration : 0;
#else
    return f->pkt_duration > 0 ? f->pkt_duration : 0;
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

/* The sample formats and rates that an encoder of sound takes, likewise; rates end with 0. */
static inline const enum AVSampleFormat *ib_encoder_sample_formats(const AVCodec *codec) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *list = NULL;
    int rc = avcodec_get_supported_config(NULL, codec, AV_CODEC_CONFIG_SAMPLE_FORMAT, 0, &list, NULL);
    return rc < 0 ? NULL : list;
#else
    return codec->sample_fmts;
#endif
}
static inline const int *ib_encoder_sample_rates(const AVCodec *codec) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *list = NULL;
    int rc = avcodec_get_supported_config(NULL, codec, AV_CODEC_CONFIG_SAMPLE_RATE, 0, &list, NULL);
    return rc < 0 ? NULL : list;
#else
    return codec->supported_samplerates;
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
