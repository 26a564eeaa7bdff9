#include "video_io/sound.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/opt.h>
#include "video_io/av.h"
#include "video_io/av_compat.h"

enum { BITS_A_CHANNEL = 96000 }; /* a second, where the source does not say what it takes */

struct ib_sound {
    AVCodecContext *decoder, *encoder;
    AVFilterGraph *graph; /* from the first decoded frame on */
    AVFilterContext *source, *sink;
    AVFrame *frame;
    AVRational in_tick;
    double slow, start_seconds;
    int64_t samples; /* given to the encoder, from the first one's time on */
    bool begun, drained;
    bool finished; /* the encoder was told that no more will come */
};

void ib_sound_close(ib_sound **ps) {
    ib_sound *s = *ps;
    *ps = NULL;
    if (s) {
        avfilter_graph_free(&s->graph);
        avcodec_free_context(&s->decoder);
        avcodec_free_context(&s->encoder);
        av_frame_free(&s->frame);
        free(s);
    }
}

static bool usable(const AVCodec *c, const AVOutputFormat *f) {
    return c && !(c->capabilities & AV_CODEC_CAP_EXPERIMENTAL) &&
           avformat_query_codec(f, c->id, FF_COMPLIANCE_NORMAL) == 1;
}

/* The source's own codec, else what containers usually hold. */
static const AVCodec *choose_encoder(enum AVCodecID own, const AVOutputFormat *f) {
    static const char *const names[] = {"aac", "libopus", "libvorbis", "flac", "libmp3lame"};
    const char *lib = own == AV_CODEC_ID_OPUS ? "libopus" : own == AV_CODEC_ID_VORBIS ? "libvorbis" : NULL;
    const AVCodec *c = lib ? avcodec_find_encoder_by_name(lib) : avcodec_find_encoder(own);
    for (size_t i = 0; i < sizeof names / sizeof *names && !usable(c, f); i++) {
        c = avcodec_find_encoder_by_name(names[i]);
    }
    return usable(c, f) ? c : NULL;
}

bool ib_sound_encodes(const AVStream *in, const AVOutputFormat *format) {
    return in->codecpar->sample_rate > 0 && in->codecpar->ch_layout.nb_channels > 0 &&
           avcodec_find_decoder(in->codecpar->codec_id) && choose_encoder(in->codecpar->codec_id, format);
}

static int nearest_rate(const int *list, int rate) {
    int best = list && *list ? *list : rate;
    for (; list && *list; list++) {
        best = abs(*list - rate) < abs(best - rate) ? *list : best;
    }
    return best;
}

static int open_decoder(ib_sound *s, const AVStream *in) {
    const AVCodec *c = avcodec_find_decoder(in->codecpar->codec_id);
    if (!c) {
        return AVERROR_DECODER_NOT_FOUND;
    }
    if (!(s->decoder = avcodec_alloc_context3(c)) ||
        avcodec_parameters_to_context(s->decoder, in->codecpar) < 0) {
        return AVERROR(ENOMEM);
    }
    s->decoder->pkt_timebase = in->time_base;
    s->decoder->thread_count = 1;
    return avcodec_open2(s->decoder, c, NULL);
}

/* At the source's rate, channels and bit rate, as far as the encoder can. */
static int open_encoder(ib_sound *s, const AVCodecParameters *p, const AVCodec *c, bool global_header) {
    AVCodecContext *e = s->encoder = avcodec_alloc_context3(c);
    if (!e) {
        return AVERROR(ENOMEM);
    }
    const enum AVSampleFormat *formats = ib_encoder_sample_formats(c);
    e->sample_fmt = formats ? formats[0] : AV_SAMPLE_FMT_FLT;
    for (; formats && *formats != AV_SAMPLE_FMT_NONE; formats++) {
        e->sample_fmt = *formats == s->decoder->sample_fmt ? *formats : e->sample_fmt;
    }
    e->sample_rate = nearest_rate(ib_encoder_sample_rates(c), p->sample_rate);
    e->time_base = (AVRational){1, e->sample_rate};
    e->thread_count = 1;
    int channels = p->ch_layout.nb_channels;
    if (p->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
        av_channel_layout_default(&e->ch_layout, channels);
    } else if (av_channel_layout_copy(&e->ch_layout, &p->ch_layout) < 0) {
        return AVERROR(ENOMEM);
    }
    e->bit_rate = p->codec_id == c->id && p->bit_rate > 0 ? p->bit_rate : (int64_t)BITS_A_CHANNEL * channels;
    e->flags |= AV_CODEC_FLAG_BITEXACT | (global_header ? AV_CODEC_FLAG_GLOBAL_HEADER : 0);
    return avcodec_open2(e, c, NULL);
}

int ib_sound_open(ib_sound **out, const AVStream *in, AVStream *to, const AVFormatContext *format,
                  double slow, double start_seconds, ib_error *err) {
    ib_av_text t;
    *out = NULL;
    const char *name = avcodec_get_name(in->codecpar->codec_id);
    const AVCodec *c = choose_encoder(in->codecpar->codec_id, format->oformat);
    if (!ib_sound_encodes(in, format->oformat)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "sound (%s) cannot be encoded anew for %s", name,
                       format->oformat->name);
    }
    ib_sound *s = calloc(1, sizeof *s);
    if (!s || !(s->frame = av_frame_alloc())) {
        ib_sound_close(&s);
        return ib_fail(err, IB_E_MEMORY, "out of memory for sound");
    }
    s->slow = slow;
    s->start_seconds = start_seconds;
    s->in_tick = in->time_base;
    int rc = open_decoder(s, in);
    rc = rc < 0 ? rc : open_encoder(s, in->codecpar, c, format->oformat->flags & AVFMT_GLOBALHEADER);
    rc = rc < 0 ? rc : avcodec_parameters_from_context(to->codecpar, s->encoder);
    if (rc < 0) {
        ib_sound_close(&s);
        return ib_fail(err, rc == AVERROR(ENOMEM) ? IB_E_MEMORY : IB_E_UNSUPPORTED,
                       "sound (%s) cannot be encoded anew as %s (%s)", name, c->name, ib_av_error(rc, &t));
    }
    to->codecpar->codec_tag = 0;
    to->time_base = s->encoder->time_base;
    *out = s;
    return 0;
}

AVRational ib_sound_tick(const ib_sound *s) {
    return s->encoder->time_base;
}

/* aresample fills gaps with silence; atempo at least halves the tempo, so there may be several. */
static int make_filters(const ib_sound *s, char *text, size_t bytes) {
    char layout[64];
    int steps = 0;
    size_t n = (size_t)snprintf(text, bytes, "aresample=async=1");
    double slow = s->slow;
    if (av_channel_layout_describe(&s->encoder->ch_layout, layout, sizeof layout) < 0) {
        return AVERROR(EINVAL);
    }
    while (slow / pow(2, steps) > 1 + 1e-9) {
        steps++;
    }
    for (int i = 0; i < steps && n < bytes; i++) {
        long tempo =
            lround(pow(slow, -1.0 / steps) * 1e9); /* without a decimal point, which locales change */
        n += (size_t)snprintf(text + n, bytes - n, ",atempo=%ld/1000000000", tempo);
    }
    if (n < bytes) {
        n += (size_t)snprintf(
            text + n, bytes - n, ",aformat=sample_fmts=%s:sample_rates=%d:channel_layouts=%s",
            av_get_sample_fmt_name(s->encoder->sample_fmt), s->encoder->sample_rate, layout);
    }
    return n < bytes ? 0 : AVERROR(EINVAL);
}

static int open_graph(ib_sound *s, const AVFrame *like) {
    char args[256], layout[64], text[1024];
    AVFilterInOut *in = avfilter_inout_alloc(), *out = avfilter_inout_alloc();
    s->graph = avfilter_graph_alloc();
    int rc = AVERROR(ENOMEM);
    if (!s->graph || !in || !out) {
        goto end;
    }
    s->graph->nb_threads = 1;
    AVChannelLayout l = {0};
    if (like->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
        av_channel_layout_default(&l, like->ch_layout.nb_channels);
    } else if ((rc = av_channel_layout_copy(&l, &like->ch_layout)) < 0) {
        goto end;
    }
    rc = av_channel_layout_describe(&l, layout, sizeof layout);
    av_channel_layout_uninit(&l);
    if (rc < 0 || (rc = make_filters(s, text, sizeof text)) < 0) {
        goto end;
    }
    snprintf(args, sizeof args, "time_base=1/%d:sample_rate=%d:sample_fmt=%s:channel_layout=%s",
             like->sample_rate, like->sample_rate, av_get_sample_fmt_name(like->format), layout);
    rc =
        avfilter_graph_create_filter(&s->source, avfilter_get_by_name("abuffer"), "in", args, NULL, s->graph);
    rc = rc < 0 ? rc
                : avfilter_graph_create_filter(&s->sink, avfilter_get_by_name("abuffersink"), "out", NULL,
                                               NULL, s->graph);
    if (rc < 0) {
        goto end;
    }
    *out = (AVFilterInOut){.name = av_strdup("in"), .filter_ctx = s->source};
    *in = (AVFilterInOut){.name = av_strdup("out"), .filter_ctx = s->sink};
    rc = avfilter_graph_parse_ptr(s->graph, text, &in, &out, NULL);
    rc = rc < 0 ? rc : avfilter_graph_config(s->graph, NULL);
    if (rc >= 0 && s->encoder->frame_size > 0 &&
        !(s->encoder->codec->capabilities & AV_CODEC_CAP_VARIABLE_FRAME_SIZE)) {
        av_buffersink_set_frame_size(s->sink, (unsigned)s->encoder->frame_size);
    }
end:
    avfilter_inout_free(&in);
    avfilter_inout_free(&out);
    return rc;
}

static int fail_sound(int rc, const char *what, ib_error *err) {
    ib_av_text t;
    return ib_fail(err, ib_av_code(rc), "sound cannot be %s (%s)", what, ib_av_error(rc, &t));
}

/* s->frame, or, at_end, none any more, to the filters. */
static int filter(ib_sound *s, bool at_end, ib_error *err) {
    AVFrame *f = s->frame;
    if (at_end) {
        int rc = s->source ? av_buffersrc_add_frame(s->source, NULL) : 0;
        return rc < 0 ? fail_sound(rc, "stretched", err) : 0;
    }
    if (!s->source) {
        int rc = open_graph(s, f);
        if (rc < 0) {
            return fail_sound(rc, "stretched", err);
        }
    }
    AVRational tick = {1, f->sample_rate};
    if (f->best_effort_timestamp != AV_NOPTS_VALUE) {
        if (!s->begun) {
            double at = (double)f->best_effort_timestamp * av_q2d(s->in_tick) - s->start_seconds;
            s->samples = llround(at * s->slow * s->encoder->sample_rate);
        }
        f->pts = av_rescale_q(f->best_effort_timestamp, s->in_tick, tick);
    }
    s->begun = true;
    /* sound that changes its kind on the way is refused by the filters; the rest of it is left out */
    int rc = av_buffersrc_add_frame(s->source, f);
    av_frame_unref(f);
    return rc == AVERROR(ENOMEM) ? fail_sound(rc, "stretched", err) : 0;
}

int ib_sound_push(ib_sound *s, const AVPacket *p, ib_error *err) {
    if (s->drained) {
        return 0;
    }
    int rc = avcodec_send_packet(s->decoder, p);
    if (rc == AVERROR(ENOMEM)) {
        return fail_sound(rc, "decoded", err);
    }
    while ((rc = avcodec_receive_frame(s->decoder, s->frame)) >= 0) {
        if ((rc = filter(s, false, err)) < 0) {
            return rc;
        }
    }
    if (!p) {
        s->drained = true;
        if ((rc = filter(s, true, err)) < 0) {
            return rc;
        }
    }
    return 0;
}

/* What the filters have ready, to the encoder. 1: there was something; 0: not yet, or no more. */
static int encode_ready(ib_sound *s, ib_error *err) {
    int rc = s->sink ? av_buffersink_get_frame(s->sink, s->frame) : AVERROR(EAGAIN);
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) {
        return 0;
    }
    if (rc < 0) {
        return fail_sound(rc, "stretched", err);
    }
    s->frame->pts = s->samples;
    s->samples += s->frame->nb_samples;
    rc = avcodec_send_frame(s->encoder, s->frame);
    av_frame_unref(s->frame);
    return rc < 0 ? fail_sound(rc, "encoded", err) : 1;
}

int ib_sound_pull(ib_sound *s, AVPacket *p, ib_error *err) {
    for (;;) {
        int rc = avcodec_receive_packet(s->encoder, p);
        if (rc >= 0 || rc == AVERROR_EOF) {
            return rc >= 0;
        }
        if (rc != AVERROR(EAGAIN)) {
            return fail_sound(rc, "encoded", err);
        }
        if ((rc = encode_ready(s, err)) < 0) {
            return rc;
        }
        if (!rc && (!s->drained || s->finished)) {
            return 0;
        }
        if (!rc) {
            s->finished = true;
            rc = avcodec_send_frame(s->encoder, NULL);
            if (rc < 0 && rc != AVERROR_EOF) {
                return fail_sound(rc, "encoded", err);
            }
        }
    }
}
