#include "video_io/palette.h"

#include <stdio.h>
#include <stdlib.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include "video_io/av.h"

struct ib_palette {
    AVFilterGraph *graph;
    AVFilterContext *source, *sink; /* of graph */
    AVFrame *frame;
    ib_scaler scaler;
    bool ended;
};

int ib_palette_create(ib_palette **out, int width, int height, AVRational time_base, ib_error *err) {
    ib_palette *p = calloc(1, sizeof *p);
    char text[512];
    AVFilterInOut *in = NULL, *end = NULL;
    *out = NULL;
    if (!p || !(p->graph = avfilter_graph_alloc()) || !(p->frame = av_frame_alloc())) {
        ib_palette_free(&p);
        return ib_fail(err, IB_E_MEMORY, "out of memory for a palette");
    }
    snprintf(text, sizeof text,
             "buffer@in=video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:pixel_aspect=1/1,split[a][b];"
             "[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1,buffersink@out",
             width, height, AV_PIX_FMT_RGB32, time_base.num, time_base.den);
    int rc = avfilter_graph_parse2(p->graph, text, &in, &end);
    avfilter_inout_free(&in);
    avfilter_inout_free(&end);
    if (rc >= 0) {
        rc = avfilter_graph_config(p->graph, NULL);
    }
    if (rc >= 0) {
        p->source = avfilter_graph_get_filter(p->graph, "buffer@in");
        p->sink = avfilter_graph_get_filter(p->graph, "buffersink@out");
    }
    if (!p->source || !p->sink) {
        ib_av_text t;
        ib_palette_free(&p);
        return ib_fail(err, IB_E_UNSUPPORTED, "FFmpeg's palette filters cannot be set up (%s)",
                       ib_av_error(rc, &t));
    }
    *out = p;
    return 0;
}

int ib_palette_push(ib_palette *p, const ib_frame *f, int64_t pts, ib_error *err) {
    ib_image_spec from = ib_spec_of(f), to = {f->width, f->height, AV_PIX_FMT_RGB32, true, f->matrix, 0};
    int rc = ib_scaler_set(&p->scaler, &from, &to, err);
    if (rc < 0) {
        return rc;
    }
    av_frame_unref(p->frame);
    p->frame->width = f->width;
    p->frame->height = f->height;
    p->frame->format = AV_PIX_FMT_RGB32;
    p->frame->sample_aspect_ratio = (AVRational){1, 1};
    if (av_frame_get_buffer(p->frame, 64) < 0) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a picture of %d x %d", f->width, f->height);
    }
    rc = ib_scaler_run(&p->scaler, (const uint8_t *[4]){f->plane[0], f->plane[1], f->plane[2]},
                       (int[4]){(int)f->stride[0], (int)f->stride[1], (int)f->stride[2]}, p->frame->data,
                       p->frame->linesize, err);
    p->frame->pts = pts;
    ib_av_text t;
    if (rc >= 0 && (rc = av_buffersrc_add_frame(p->source, p->frame)) < 0) {
        rc =
            ib_fail(err, ib_av_code(rc), "FFmpeg's palette filters refuse a frame (%s)", ib_av_error(rc, &t));
    }
    return rc;
}

int ib_palette_pull(ib_palette *p, AVFrame *out, bool at_end, ib_error *err) {
    ib_av_text t;
    int rc = 0;
    if (at_end && !p->ended) {
        p->ended = true;
        rc = av_buffersrc_add_frame(p->source, NULL);
    }
    if (rc >= 0) {
        rc = av_buffersink_get_frame(p->sink, out);
    }
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) {
        return 0;
    }
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "FFmpeg's palette filters failed (%s)", ib_av_error(rc, &t));
    }
    return 1;
}

void ib_palette_free(ib_palette **pp) {
    ib_palette *p = *pp;
    *pp = NULL;
    if (!p) {
        return;
    }
    avfilter_graph_free(&p->graph);
    av_frame_free(&p->frame);
    ib_scaler_free(&p->scaler);
    free(p);
}
