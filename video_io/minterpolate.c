#include "video_io/minterpolate.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include "video_io/av.h"

/* Frames go in at multiples of 1 / ticks and come out at multiples of 1 / fps. */
static int open_graph(AVFilterGraph **graph, AVFilterContext **source, AVFilterContext **sink, int width,
                      int height, int ticks, int fps, ib_error *err) {
    char text[512];
    AVFilterInOut *in = NULL, *end = NULL;
    *graph = avfilter_graph_alloc();
    if (!*graph) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for FFmpeg's minterpolate filter");
    }
    snprintf(text, sizeof text,
             "buffer@in=video_size=%dx%d:pix_fmt=%d:time_base=1/%d:frame_rate=1/1:pixel_aspect=1/1,"
             "minterpolate=fps=%d:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none,buffersink@out",
             width, height, AV_PIX_FMT_YUV420P, ticks, fps);
    int rc = avfilter_graph_parse2(*graph, text, &in, &end);
    avfilter_inout_free(&in);
    avfilter_inout_free(&end);
    if (rc >= 0) {
        rc = avfilter_graph_config(*graph, NULL);
    }
    ib_av_text t;
    if (rc < 0) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "FFmpeg's minterpolate filter cannot be set up for %d x %d (%s)", width, height,
                       ib_av_error(rc, &t));
    }
    *source = avfilter_graph_get_filter(*graph, "buffer@in");
    *sink = avfilter_graph_get_filter(*graph, "buffersink@out");
    return 0;
}

static int push(AVFilterContext *source, const ib_frame *key, int64_t pts, ib_error *err) {
    AVFrame *f = av_frame_alloc();
    if (!f) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    f->width = key->width;
    f->height = key->height;
    f->format = AV_PIX_FMT_YUV420P;
    f->pts = pts;
    f->sample_aspect_ratio = (AVRational){1, 1};
    int rc = av_frame_get_buffer(f, 64);
    for (int p = 0; rc >= 0 && p < 3; p++) {
        for (int y = 0; y < (p ? (key->height + 1) / 2 : key->height); y++) {
            memcpy(f->data[p] + (ptrdiff_t)y * f->linesize[p], key->plane[p] + (size_t)y * key->stride[p],
                   (size_t)(p ? (key->width + 1) / 2 : key->width));
        }
    }
    if (rc >= 0) {
        rc = av_buffersrc_add_frame(source, f);
    }
    av_frame_free(&f);
    ib_av_text t;
    return rc < 0 ? ib_fail(err, ib_av_code(rc), "FFmpeg's minterpolate filter refuses a frame (%s)",
                            ib_av_error(rc, &t))
                  : 0;
}

static int take_minterpolate(const AVFrame *in, const ib_frame *like, ib_frame *out, ib_error *err) {
    int rc = ib_frame_alloc(out, like->width, like->height, err);
    if (!rc) {
        ib_turn_planes((ib_turn){0}, (const uint8_t *const *)in->data, in->linesize, in->width, in->height,
                       out);
        out->matrix = like->matrix;
    }
    return rc;
}

/* Takes what is ready; frames at keyframes are passed over. Time in the graph: keyframe i is at i, an
 * in-between at a multiple of 1 / gap. */
static int pull(AVFilterContext *sink, const ib_frame *like, int gap, size_t wanted, ib_frame *out,
                size_t *got, ib_error *err) {
    ib_av_text t;
    AVFrame *f = av_frame_alloc();
    int rc = f ? 0 : AVERROR(ENOMEM), result = 0;
    while (rc >= 0 && !result && (rc = av_buffersink_get_frame(sink, f)) >= 0) {
        int64_t interval = f->pts / gap, step = f->pts % gap;
        size_t at = (size_t)(interval * (gap - 1) + step - 1);
        if (f->pts > 0 && step && at < wanted && !out[at].plane[0]) {
            result = take_minterpolate(f, like, &out[at], err);
            *got += !result;
        }
        av_frame_unref(f);
    }
    av_frame_free(&f);
    if (result || rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) {
        return result;
    }
    return ib_fail(err, ib_av_code(rc), "FFmpeg's minterpolate filter failed (%s)", ib_av_error(rc, &t));
}

int ib_minterpolate(const ib_frame *const *keys, size_t n_keys, int gap, ib_frame *out, ib_error *err) {
    if (n_keys < 2 || gap < 2 || gap > 1000) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "minterpolate was given %zu keyframes and a gap of %d, at least 2 of both were "
                       "expected and a gap of at most 1000",
                       n_keys, gap);
    }
    for (size_t i = 1; i < n_keys; i++) {
        if (keys[i]->width != keys[0]->width || keys[i]->height != keys[0]->height) {
            return ib_fail(err, IB_E_MISMATCH, "keyframes of %d x %d and of %d x %d", keys[0]->width,
                           keys[0]->height, keys[i]->width, keys[i]->height);
        }
    }
    AVFilterGraph *graph = NULL;
    AVFilterContext *source, *sink;
    size_t wanted = (n_keys - 1) * (size_t)(gap - 1), got = 0;
    memset(out, 0, wanted * sizeof *out);
    int rc = open_graph(&graph, &source, &sink, keys[0]->width, keys[0]->height, 1, gap, err);
    for (size_t i = 0; !rc && i <= n_keys; i++) {
        rc = push(source, keys[i < n_keys ? i : n_keys - 1], (int64_t)i, err);
        if (!rc) {
            rc = pull(sink, keys[0], gap, wanted, out, &got, err);
        }
    }
    if (!rc && got != wanted) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "FFmpeg's minterpolate filter gave %zu of %zu frames", got,
                     wanted);
    }
    for (size_t i = 0; rc && i < wanted; i++) {
        ib_frame_free(&out[i]);
    }
    avfilter_graph_free(&graph);
    return rc;
}

/* One in-between: keyframes stand one second apart so that the only frame that comes out between them, at
 * second 1, is at t. */
static int one_at(const ib_frame *key0, const ib_frame *key1, float t, ib_frame *out, ib_error *err) {
    enum { TICKS = 1000000 };
    AVFilterGraph *graph = NULL;
    AVFilterContext *source, *sink;
    AVFrame *f = av_frame_alloc();
    int64_t first = TICKS - (int64_t)((double)t * TICKS + 0.5);
    const ib_frame *keys[3] = {key0, key1, key1};
    bool done = false;
    int rc = f ? open_graph(&graph, &source, &sink, key0->width, key0->height, TICKS, 1, err)
               : ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    for (int i = 0; i < 3 && !rc && !done; i++) {
        rc = push(source, keys[i], first + (int64_t)i * TICKS, err);
        while (!rc && !done && av_buffersink_get_frame(sink, f) >= 0) {
            if (f->pts == 1) {
                rc = take_minterpolate(f, key0, out, err);
                done = !rc;
            }
            av_frame_unref(f);
        }
    }
    if (!rc && !done) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "FFmpeg's minterpolate filter gave no frame at %g", (double)t);
    }
    av_frame_free(&f);
    avfilter_graph_free(&graph);
    return rc;
}

int ib_minterpolate_at(const ib_frame *key0, const ib_frame *key1, const float *at, size_t n, ib_frame *out,
                       ib_error *err) {
    const ib_frame *keys[2] = {key0, key1};
    bool even = n >= 1 && n < 1000;
    int rc = IB_OK;
    for (size_t i = 0; i < n; i++) {
        if (!(at[i] > 0 && at[i] < 1)) {
            return ib_fail(err, IB_E_ARGUMENT, "minterpolate was asked for a frame at %g, not within 0 and 1",
                           (double)at[i]);
        }
        double off = (double)at[i] - (double)(i + 1) / (double)(n + 1);
        even = even && off < 0.5 / 1024 && off > -0.5 / 1024;
    }
    if (even) {
        return ib_minterpolate(keys, 2, (int)n + 1, out, err);
    }
    if (key0->width != key1->width || key0->height != key1->height) {
        return ib_fail(err, IB_E_MISMATCH, "keyframes of %d x %d and of %d x %d", key0->width, key0->height,
                       key1->width, key1->height);
    }
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = one_at(key0, key1, at[i], &out[i], err);
    }
    for (size_t i = 0; rc && i < n; i++) {
        ib_frame_free(&out[i]);
    }
    return rc;
}
