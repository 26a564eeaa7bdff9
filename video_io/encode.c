#include "video_io/encode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/cpu.h>
#include <libavutil/opt.h>
#include "video_io/av.h"
#include "video_io/av_compat.h"
#include "video_io/palette.h"

/* Its delays are whole hundredths of a second, and browsers play a delay of one as ten. */
enum { GIF_MOST_FPS = 50 };

const ib_container *ib_container_of(const char *path) {
    static const ib_container list[] = {
        {".mp4", "mp4", "libx264"},      {".m4v", "mp4", "libx264"},      {".mov", "mov", "libx264"},
        {".mkv", "matroska", "libx264"}, {".webm", "webm", "libvpx-vp9"}, {".gif", "gif", "gif"},
        {".apng", "apng", "apng"},
    };
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t k = strlen(list[i].extension);
        if (n > k && !strcasecmp(path + n - k, list[i].extension)) {
            return &list[i];
        }
    }
    return NULL;
}

/* Sane defaults; encoders that are not here keep FFmpeg's, at a high constant quality where they
 * have no crf. */
typedef struct encoder_defaults {
    const char *name;
    int crf;             /* -1: none */
    int64_t bit_rate;    /* 0: what the encoder wants for constant quality */
    const char *options; /* key=value:... of the encoder's own */
} encoder_defaults;

static const encoder_defaults defaults[] = {
    {"libx264", 18, 0, "preset=medium"},
    {"libx264rgb", 18, 0, "preset=medium"},
    {"libx265", 20, 0, "preset=medium:x265-params=log-level=none"},
    {"libvpx-vp9", 24, 0, "deadline=good:cpu-used=3:row-mt=1"},
    {"libvpx", 8, 50000000, "deadline=good:cpu-used=2"},
    {"libaom-av1", 24, 0, "cpu-used=6:row-mt=1"},
    {"libsvtav1", 28, 0, "preset=8"},
    {"apng", -1, 0, "pred=mixed"},
};

struct ib_encoder {
    char *name; /* owned */
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream; /* of format */
    AVPacket *packet;
    AVFrame *frame;  /* in the encoder's pixel format and size */
    ib_frame padded; /* only where the encoder needs even sides */
    ib_scaler scaler;
    ib_palette *palette; /* only for GIF */
    int width, height;
    int64_t next;
};

static const encoder_defaults *defaults_of(const char *name) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (!strcmp(defaults[i].name, name)) {
            return &defaults[i];
        }
    }
    return NULL;
}

static enum AVPixelFormat choose_format(const AVCodec *codec) {
    const enum AVPixelFormat *list = ib_encoder_formats(codec);
    bool full = false;
    if (!list) {
        return AV_PIX_FMT_YUV420P;
    }
    if (codec->id == AV_CODEC_ID_GIF) {
        return AV_PIX_FMT_PAL8;
    }
    ib_av_plain_format(list[0], &full);
    if (full) {
        return list[0]; /* JPEG's: it takes limited range only under protest */
    }
    for (const enum AVPixelFormat *p = list; *p != AV_PIX_FMT_NONE; p++) {
        if (*p == AV_PIX_FMT_YUV420P) {
            return *p;
        }
    }
    return avcodec_find_best_pix_fmt_of_list(list, AV_PIX_FMT_YUV420P, 0, NULL);
}

ib_colour ib_colour_of(const ib_writer_options *o, enum AVPixelFormat format, bool full) {
    bool own = o->primaries > 0 && o->transfer > 0, hd = o->matrix == IB_MATRIX_BT709;
    return (ib_colour){.range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG,
                       .location = o->chroma_location > 0 ? o->chroma_location : AVCHROMA_LOC_LEFT,
                       .matrix = ib_av_is_rgb(format) ? AVCOL_SPC_RGB : ib_av_colorspace(o->matrix),
                       .primaries = own  ? (enum AVColorPrimaries)o->primaries
                                    : hd ? AVCOL_PRI_BT709
                                         : AVCOL_PRI_UNSPECIFIED,
                       .transfer = own  ? (enum AVColorTransferCharacteristic)o->transfer
                                   : hd ? AVCOL_TRC_BT709
                                        : AVCOL_TRC_UNSPECIFIED};
}

static void set_colour(AVCodecContext *c, const ib_writer_options *o, bool full) {
    ib_colour k = ib_colour_of(o, c->pix_fmt, full);
    c->color_range = k.range;
    c->chroma_sample_location = k.location;
    c->colorspace = k.matrix;
    c->color_primaries = k.primaries;
    c->color_trc = k.transfer;
}

static int set_quality(AVCodecContext *c, const ib_encoder *e, const ib_writer_options *o,
                       AVDictionary **options, ib_error *err) {
    const char *name = c->codec->name;
    const encoder_defaults *d = defaults_of(name);
    if (o->lookahead > 0 && c->priv_data && av_opt_find(c->priv_data, "rc-lookahead", NULL, 0, 0)) {
        av_dict_set_int(options, "rc-lookahead", o->lookahead, 0);
    }
    /* x264 0.164 on AVX-512 takes what is in fresh memory into account: other bits every time */
    if (!strncmp(name, "libx264", 7) && (av_get_cpu_flags() & AV_CPU_FLAG_AVX512)) {
        av_dict_set(options, "x264-params", "asm=avx2,fma3,bmi2", 0);
    }
    bool has_crf = c->priv_data && av_opt_find(c->priv_data, "crf", NULL, 0, 0);
    if (o->crf >= 0 && !has_crf) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: the encoder %s has no constant rate factor (--crf)", e->name,
                       name);
    }
    if (d && d->options && av_dict_parse_string(options, d->options, "=", ":", 0) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for the encoder's options", e->name);
    }
    int crf = o->crf >= 0 ? o->crf : d ? d->crf : -1;
    if (has_crf && crf >= 0) {
        c->bit_rate = d ? d->bit_rate : 0;
        if (av_dict_set_int(options, "crf", crf, 0) < 0) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory for the encoder's options", e->name);
        }
    } else if (!has_crf) {
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = 2 * FF_QP2LAMBDA;
    }
    return 0;
}

/* One attempt to open the encoder, at a size. Negative: FFmpeg's code, unless err is filled. */
static int try_open(ib_encoder *e, const AVCodec *codec, const ib_writer_options *o, AVRational fps,
                    int width, int height, ib_error *err) {
    AVDictionary *options = NULL;
    avcodec_free_context(&e->codec);
    AVCodecContext *c = e->codec = avcodec_alloc_context3(codec);
    if (!c) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for an encoder", e->name);
    }
    bool full = false;
    c->width = width;
    c->height = height;
    c->pix_fmt = choose_format(codec);
    enum AVPixelFormat plain = ib_av_plain_format(c->pix_fmt, &full);
    full = full || ib_av_is_rgb(plain);
    c->time_base = av_inv_q(fps);
    c->framerate = fps;
    c->sample_aspect_ratio = (AVRational){1, 1};
    if (o->sample_width > 0 && o->sample_height > 0) {
        c->sample_aspect_ratio = (AVRational){o->sample_width, o->sample_height};
    }
    c->thread_count = o->threads;
    set_colour(c, o, full);
    if (e->format->oformat->flags & AVFMT_GLOBALHEADER) {
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    if (codec->id == AV_CODEC_ID_HEVC &&
        (!strcmp(e->format->oformat->name, "mp4") || !strcmp(e->format->oformat->name, "mov"))) {
        c->codec_tag = MKTAG('h', 'v', 'c', '1');
    }
    int rc = set_quality(c, e, o, &options, err);
    if (!rc) {
        rc = avcodec_open2(c, codec, &options);
    }
    av_dict_free(&options);
    return rc;
}

static int open_codec(ib_encoder *e, const AVCodec *codec, const ib_writer_options *o, ib_error *err) {
    AVRational fps = av_d2q(o->fps, 1001000);
    int w = (o->width + 1) / 2 * 2, h = (o->height + 1) / 2 * 2;
    bool odd = w != o->width || h != o->height,
         even_only = codec->id == AV_CODEC_ID_H264 || codec->id == AV_CODEC_ID_HEVC;
    int rc = odd && even_only ? AVERROR(EINVAL) : try_open(e, codec, o, fps, o->width, o->height, err);
    if (rc < 0 && !err->code && odd) {
        rc = try_open(e, codec, o, fps, w, h, err);
        if (rc >= 0 && (rc = ib_frame_alloc(&e->padded, w, h, err)) < 0) {
            return rc;
        }
    }
    if (rc < 0 && err->code) {
        return rc;
    }
    ib_av_text t;
    if (rc < 0) {
        return ib_fail(err, rc == AVERROR(ENOMEM) ? IB_E_MEMORY : IB_E_UNSUPPORTED,
                       "%s: the encoder %s refuses %d x %d at %g frames a second%s (%s)", e->name,
                       codec->name, o->width, o->height, o->fps, o->crf >= 0 ? " with that --crf" : "",
                       ib_av_error(rc, &t));
    }
    return 0;
}

/* The frame that the encoder takes, and the conversion to it. */
static int open_conversion(ib_encoder *e, const ib_writer_options *o, ib_error *err) {
    AVFrame *f = e->frame;
    bool full = false;
    f->width = e->codec->width;
    f->height = e->codec->height;
    f->format = e->codec->pix_fmt;
    f->color_range = e->codec->color_range;
    f->colorspace = e->codec->colorspace;
    if (f->format == AV_PIX_FMT_PAL8) {
        return ib_palette_create(&e->palette, f->width, f->height, e->codec->time_base, err);
    }
    if (av_frame_get_buffer(f, 64) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame of %d x %d", e->name, f->width,
                       f->height);
    }
    ib_image_spec from = {f->width, f->height, AV_PIX_FMT_YUV420P, false, o->matrix, AVCHROMA_LOC_LEFT},
                  to = from;
    to.format = ib_av_plain_format(e->codec->pix_fmt, &full);
    to.full_range = full || ib_av_is_rgb(to.format);
    if (to.format == AV_PIX_FMT_YUV420P && !to.full_range) {
        return 0;
    }
    return ib_scaler_set(&e->scaler, &from, &to, err);
}

static int open_file(ib_encoder *e, const char *file, ib_error *err) {
    ib_av_text t;
    AVDictionary *options = NULL;
    int rc = avio_open(&e->format->pb, e->format->url, AVIO_FLAG_WRITE);
    if (rc < 0) {
        return ib_fail(err, IB_E_IO, "%s: %s cannot be written (%s)", e->name, file, ib_av_error(rc, &t));
    }
    const char *muxer = e->format->oformat->name;
    if (!strcmp(muxer, "mp4") || !strcmp(muxer, "mov")) {
        av_dict_set(&options, "movflags", "+faststart", 0);
    }
    if (!strcmp(muxer, "nut")) { /* it stores no decoding times, so that negative ones do no harm */
        e->format->avoid_negative_ts = 0;
        e->format->flags |= AVFMT_FLAG_BITEXACT;
    }
    if (!strcmp(muxer, "apng")) {
        av_dict_set(&options, "plays", "0", 0);
    }
    rc = avformat_write_header(e->format, &options);
    av_dict_free(&options);
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "%s: its beginning cannot be written (%s)", e->name,
                       ib_av_error(rc, &t));
    }
    return 0;
}

static const AVCodec *find_codec(const char *name, const ib_container *container, const ib_writer_options *o,
                                 ib_error *err) {
    const char *wanted = o->codec ? o->codec : container->encoder;
    const AVCodec *codec = avcodec_find_encoder_by_name(wanted);
    if (!codec || codec->type != AVMEDIA_TYPE_VIDEO) {
        ib_fail(err, o->codec ? IB_E_ARGUMENT : IB_E_UNSUPPORTED,
                "%s: this FFmpeg has no video encoder called %s; --codec names another one", name, wanted);
        return NULL;
    }
    return codec;
}

static int check_fit(const char *name, const AVOutputFormat *format, const AVCodec *codec,
                     const ib_container *container, ib_error *err) {
    if (avformat_query_codec(format, codec->id, FF_COMPLIANCE_NORMAL) == 0) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: %s video cannot go into a %s file", name, codec->name,
                       container->extension);
    }
    return 0;
}

int ib_encoder_check(const char *name, const ib_container *container, const ib_writer_options *o,
                     ib_error *err) {
    const AVCodec *codec = find_codec(name, container, o, err);
    const AVOutputFormat *format = av_guess_format(container->muxer, NULL, NULL);
    if (codec && !format) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: this FFmpeg cannot write %s files", name,
                       container->extension);
    }
    return codec ? check_fit(name, format, codec, container, err) : err->code;
}

int ib_encoder_open(ib_encoder **out, const char *name, const char *file, const ib_container *container,
                    const ib_writer_options *o, ib_error *err) {
    *out = NULL;
    int rc;
    const AVCodec *codec = find_codec(name, container, o, err);
    if (!codec) {
        return err->code;
    }
    if (!strcmp(container->muxer, "gif") && o->fps > GIF_MOST_FPS) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "%s: a GIF cannot play %g frames a second: its delays are whole hundredths of a second, and "
            "browsers make 10 of 1; use %d frames a second (--fps) or less, or .apng or .webm",
            name, o->fps, GIF_MOST_FPS);
    }
    ib_encoder *e = calloc(1, sizeof *e);
    char *url = av_asprintf("file:%s", file);
    if (!e || !url || !(e->name = strdup(name)) || !(e->packet = av_packet_alloc()) ||
        !(e->frame = av_frame_alloc()) ||
        avformat_alloc_output_context2(&e->format, NULL, container->muxer, url) < 0 ||
        !(e->stream = avformat_new_stream(e->format, NULL))) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for an encoder", name);
        goto fail;
    }
    e->width = o->width;
    e->height = o->height;
    if (o->comment && av_dict_set(&e->format->metadata, "comment", o->comment, 0) < 0) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for its comment", name);
        goto fail;
    }
    if ((rc = check_fit(name, e->format->oformat, codec, container, err)) < 0 ||
        (rc = open_codec(e, codec, o, err)) < 0 || (rc = open_conversion(e, o, err)) < 0) {
        goto fail;
    }
    e->stream->time_base = e->codec->time_base;
    e->stream->avg_frame_rate = e->codec->framerate;
    e->stream->sample_aspect_ratio = e->codec->sample_aspect_ratio;
    if (avcodec_parameters_from_context(e->stream->codecpar, e->codec) < 0) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for an encoder", name);
        goto fail;
    }
    if ((rc = open_file(e, file, err)) < 0) {
        goto fail;
    }
    av_free(url);
    *out = e;
    return 0;
fail:
    av_free(url);
    ib_encoder_close(&e);
    return rc;
}

/* Hands a frame (NULL: the end) to the encoder and what comes out to the muxer. */
static int encode_next(ib_encoder *e, AVFrame *frame, ib_error *err) {
    ib_av_text t;
    int rc = avcodec_send_frame(e->codec, frame);
    if (rc < 0 && rc != AVERROR_EOF) {
        return ib_fail(err, ib_av_code(rc), "%s: frame %lld cannot be encoded (%s)", e->name,
                       (long long)e->next, ib_av_error(rc, &t));
    }
    while ((rc = avcodec_receive_packet(e->codec, e->packet)) >= 0) {
        if (!e->packet->duration) {
            e->packet->duration = 1; /* else the last frame of an MP4 lasts no time */
        }
        e->packet->stream_index = e->stream->index;
        av_packet_rescale_ts(e->packet, e->codec->time_base, e->stream->time_base);
        rc = av_interleaved_write_frame(e->format, e->packet);
        if (rc >= 0 && e->format->pb->error < 0) {
            rc = e->format->pb->error;
        }
        if (rc < 0) {
            return ib_fail(err, IB_E_IO, "%s: cannot be written (%s)", e->name, ib_av_error(rc, &t));
        }
    }
    if (rc != AVERROR(EAGAIN) && rc != AVERROR_EOF) {
        return ib_fail(err, ib_av_code(rc), "%s: the encoder failed at frame %lld (%s)", e->name,
                       (long long)e->next, ib_av_error(rc, &t));
    }
    return 0;
}

/* Paletted frames that are ready; at_end: what remains. */
static int encode_paletted(ib_encoder *e, bool at_end, ib_error *err) {
    AVFrame *f = av_frame_alloc();
    if (!f) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame", e->name);
    }
    int rc;
    while ((rc = ib_palette_pull(e->palette, f, at_end, err)) > 0) {
        rc = encode_next(e, f, err);
        av_frame_unref(f);
        if (rc < 0) {
            break;
        }
    }
    av_frame_free(&f);
    return rc;
}

/* Repeats the last column and row; chroma planes are of the same size already. */
static const ib_frame *pad_encode(ib_frame *to, const ib_frame *from) {
    int w = from->width, h = from->height;
    for (int y = 0; y < to->height; y++) {
        const uint8_t *s = from->plane[0] + (size_t)(y < h ? y : h - 1) * from->stride[0];
        uint8_t *d = to->plane[0] + (size_t)y * to->stride[0];
        memcpy(d, s, (size_t)w);
        if (to->width > w) {
            d[w] = s[w - 1];
        }
    }
    for (int p = 1; p < 3; p++) {
        for (int y = 0; y < (h + 1) / 2; y++) {
            memcpy(to->plane[p] + (size_t)y * to->stride[p], from->plane[p] + (size_t)y * from->stride[p],
                   (size_t)(w + 1) / 2);
        }
    }
    to->matrix = from->matrix;
    return to;
}

int ib_encoder_write(ib_encoder *e, const ib_frame *frame, ib_error *err) {
    int rc;
    const ib_frame *f = e->padded.width ? pad_encode(&e->padded, frame) : frame;
    if (e->palette) {
        if ((rc = ib_palette_push(e->palette, f, e->next++, err)) < 0) {
            return rc;
        }
        return encode_paletted(e, false, err);
    }
    if (av_frame_make_writable(e->frame) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame", e->name);
    }
    if (e->scaler.sws) {
        rc = ib_scaler_run(&e->scaler, (const uint8_t *[4]){f->plane[0], f->plane[1], f->plane[2]},
                           (int[4]){(int)f->stride[0], (int)f->stride[1], (int)f->stride[2]}, e->frame->data,
                           e->frame->linesize, err);
        if (rc < 0) {
            return rc;
        }
    } else {
        for (int p = 0; p < 3; p++) {
            for (int y = 0; y < (p ? (f->height + 1) / 2 : f->height); y++) {
                memcpy(e->frame->data[p] + (ptrdiff_t)y * e->frame->linesize[p],
                       f->plane[p] + (size_t)y * f->stride[p], (size_t)(p ? (f->width + 1) / 2 : f->width));
            }
        }
    }
    e->frame->pts = e->next++;
    return encode_next(e, e->frame, err);
}

int ib_encoder_finish(ib_encoder *e, ib_error *err) {
    int rc = e->palette ? encode_paletted(e, true, err) : 0;
    if (rc < 0 || (rc = encode_next(e, NULL, err)) < 0) {
        return rc;
    }
    ib_av_text t;
    rc = av_write_trailer(e->format);
    if (rc >= 0 && e->format->pb->error < 0) {
        rc = e->format->pb->error;
    }
    int closed = avio_closep(&e->format->pb);
    rc = rc < 0 ? rc : closed;
    if (rc < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written (%s)", e->name, ib_av_error(rc, &t));
    }
    return 0;
}

void ib_encoder_close(ib_encoder **pe) {
    ib_encoder *e = *pe;
    *pe = NULL;
    if (!e) {
        return;
    }
    ib_palette_free(&e->palette);
    ib_scaler_free(&e->scaler);
    ib_frame_free(&e->padded);
    avcodec_free_context(&e->codec);
    if (e->format) {
        avio_closep(&e->format->pb);
    }
    avformat_free_context(e->format);
    av_frame_free(&e->frame);
    av_packet_free(&e->packet);
    free(e->name);
    free(e);
}
