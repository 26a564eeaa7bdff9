#include "video_io/recode.h"

#include <stdbool.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include "video_io/av.h"

typedef struct recoder {
    AVCodecContext *encoder, *decoder;
    AVPacket *packet;
    AVFrame *frame;
    const ib_frame *like;
    ib_frame *out;
    size_t n, got;
} recoder;

static int failed_recode(int rc, const char *what, ib_error *err) {
    ib_av_text t;
    return ib_fail(err, ib_av_code(rc), "%s failed (%s)", what, ib_av_error(rc, &t));
}

static int open_coders(recoder *r, double fps, int crf, ib_error *err) {
    const AVCodec *encoder = avcodec_find_encoder_by_name("libx264");
    const AVCodec *decoder = avcodec_find_decoder(AV_CODEC_ID_H264);
    if (!encoder || !decoder) {
        return ib_fail(err, IB_E_UNSUPPORTED, "this FFmpeg cannot encode and decode H.264 (libx264)");
    }
    r->encoder = avcodec_alloc_context3(encoder);
    r->decoder = avcodec_alloc_context3(decoder);
    r->packet = av_packet_alloc();
    r->frame = av_frame_alloc();
    if (!r->encoder || !r->decoder || !r->packet || !r->frame) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for encoding frames");
    }
    AVCodecContext *e = r->encoder;
    e->width = (r->like->width + 1) / 2 * 2;
    e->height = (r->like->height + 1) / 2 * 2;
    e->pix_fmt = AV_PIX_FMT_YUV420P;
    e->framerate = av_d2q(fps, 100000);
    e->time_base = av_inv_q(e->framerate);
    e->thread_count = r->decoder->thread_count = 1;
    av_opt_set(e->priv_data, "preset", "medium", 0);
    av_opt_set_int(e->priv_data, "crf", crf, 0);
    /* x264 0.164 with AVX-512 and B frames takes what is in fresh memory into account there: other bits every
     * time */
    av_opt_set(e->priv_data, "x264-params", "no-mbtree=1", 0);
    int rc = avcodec_open2(e, encoder, NULL);
    if (rc < 0) {
        return failed_recode(rc, "opening the H.264 encoder", err);
    }
    rc = avcodec_open2(r->decoder, decoder, NULL);
    return rc < 0 ? failed_recode(rc, "opening the H.264 decoder", err) : IB_OK;
}

static int fill_recode(AVFrame *f, const ib_frame *in, const AVCodecContext *e, int64_t pts) {
    av_frame_unref(f);
    f->width = e->width;
    f->height = e->height;
    f->format = e->pix_fmt;
    f->pts = pts;
    int rc = av_frame_get_buffer(f, 64);
    for (int p = 0; rc >= 0 && p < 3; p++) {
        int w = p ? (in->width + 1) / 2 : in->width, h = p ? (in->height + 1) / 2 : in->height;
        int rows = p ? f->height / 2 : f->height, columns = p ? f->width / 2 : f->width;
        for (int y = 0; y < rows; y++) {
            uint8_t *to = f->data[p] + (ptrdiff_t)y * f->linesize[p];
            memcpy(to, in->plane[p] + (size_t)(y < h ? y : h - 1) * in->stride[p], (size_t)w);
            if (columns > w) {
                to[w] = to[w - 1];
            }
        }
    }
    return rc;
}

static int take_recode(recoder *r, ib_error *err) {
    const AVFrame *f = r->frame;
    if (r->got >= r->n || f->width < r->like->width || f->height < r->like->height ||
        f->format != AV_PIX_FMT_YUV420P) {
        return ib_fail(err, IB_E_FORMAT, "the H.264 decoder gave other frames than were encoded");
    }
    ib_frame *to = &r->out[r->got];
    int rc = ib_frame_alloc(to, r->like->width, r->like->height, err);
    if (rc) {
        return rc;
    }
    r->got++;
    ib_turn_planes((ib_turn){0}, (const uint8_t *const *)f->data, f->linesize, to->width, to->height, to);
    to->matrix = r->like->matrix;
    return IB_OK;
}

/* packet NULL: no more will come. */
static int decode(recoder *r, const AVPacket *packet, ib_error *err) {
    int rc = avcodec_send_packet(r->decoder, packet);
    while (rc >= 0 && (rc = avcodec_receive_frame(r->decoder, r->frame)) >= 0) {
        int c = take_recode(r, err);
        av_frame_unref(r->frame);
        if (c) {
            return c;
        }
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? IB_OK
                                                      : failed_recode(rc, "decoding H.264 frames", err);
}

static int encode_recode(recoder *r, const AVFrame *frame, ib_error *err) {
    int rc = avcodec_send_frame(r->encoder, frame), c = IB_OK;
    while (rc >= 0 && !c && (rc = avcodec_receive_packet(r->encoder, r->packet)) >= 0) {
        c = decode(r, r->packet, err);
        av_packet_unref(r->packet);
    }
    if (c) {
        return c;
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? IB_OK
                                                      : failed_recode(rc, "encoding H.264 frames", err);
}

int ib_recode(const ib_frame *in, size_t n, double fps, int crf, ib_frame *out, ib_error *err) {
    recoder r = {.like = in, .out = out, .n = n};
    memset(out, 0, n * sizeof *out);
    if (!n || !(fps > 0) || crf < 0 || crf > 51) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu frames a second %g at a rate factor of %d cannot be encoded",
                       n, fps, crf);
    }
    int rc = open_coders(&r, fps, crf, err);
    for (size_t i = 0; i < n && !rc; i++) {
        int c = in[i].width == in->width && in[i].height == in->height ? 0 : AVERROR(EINVAL);
        c = c < 0 ? c : fill_recode(r.frame, &in[i], r.encoder, (int64_t)i);
        rc = c < 0 ? failed_recode(c, "taking frames to encode", err) : encode_recode(&r, r.frame, err);
    }
    rc = rc ? rc : encode_recode(&r, NULL, err);
    rc = rc ? rc : decode(&r, NULL, err);
    if (!rc && r.got != n) {
        rc = ib_fail(err, IB_E_FORMAT, "the H.264 decoder gave %zu of %zu frames", r.got, n);
    }
    for (size_t i = 0; rc && i < n; i++) {
        ib_frame_free(&out[i]);
    }
    av_frame_free(&r.frame);
    av_packet_free(&r.packet);
    avcodec_free_context(&r.encoder);
    avcodec_free_context(&r.decoder);
    return rc;
}
