#include "video_io/deinterlace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include "video_io/av.h"
#include "video_io/av_compat.h"

enum { INSIDE = 8 }; /* more frames than the filter ever holds */

struct ib_deinterlacer {
    AVFilterGraph *graph;
    AVFilterContext *source, *sink; /* of graph */
    AVFrame *first;                 /* until there is a second */
    int width, height, format;
    double seconds[INSIDE];
    int64_t index[INSIDE];
    int64_t in, out; /* frames so far */
    bool ended;
};

bool ib_is_interlaced(const AVFrame *f) {
    return ib_frame_interlaced(f);
}

static int open_graph(ib_deinterlacer *d, const char *filter, ib_error *err) {
    char text[512];
    AVFilterInOut *in = NULL, *end = NULL;
    avfilter_graph_free(&d->graph);
    d->source = d->sink = NULL;
    if (!(d->graph = avfilter_graph_alloc())) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for deinterlacing");
    }
    d->graph->nb_threads = 1;
    snprintf(text, sizeof text,
             "buffer@in=video_size=%dx%d:pix_fmt=%d:time_base=1/1:pixel_aspect=1/1,%s,buffersink@out",
             d->width, d->height, d->format, filter);
    int rc = avfilter_graph_parse2(d->graph, text, &in, &end);
    avfilter_inout_free(&in);
    avfilter_inout_free(&end);
    if (rc >= 0) {
        rc = avfilter_graph_config(d->graph, NULL);
    }
    if (rc >= 0) {
        d->source = avfilter_graph_get_filter(d->graph, "buffer@in");
        d->sink = avfilter_graph_get_filter(d->graph, "buffersink@out");
    }
    ib_av_text t;
    return d->source && d->sink ? 0
                                : ib_fail(err, IB_E_UNSUPPORTED,
                                          "it is interlaced, and FFmpeg's filter %.*s cannot be set up for "
                                          "it (%s); --deinterlace off "
                                          "reads it as it is",
                                          (int)strcspn(filter, "="), filter, ib_av_error(rc, &t));
}

int ib_deinterlacer_create(ib_deinterlacer **out, const AVFrame *like, ib_error *err) {
    ib_deinterlacer *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for deinterlacing");
    }
    d->width = like->width;
    d->height = like->height;
    d->format = like->format;
    int rc = open_graph(d, "bwdif=mode=send_frame:parity=auto:deint=interlaced", err);
    if (rc < 0) {
        ib_deinterlacer_free(&d);
    }
    *out = d;
    return rc;
}

/* bwdif takes a frame without neighbours for one that does not move, and weaves its fields; estdif looks at
 * one frame alone. */
static int without_neighbours(ib_deinterlacer *d, ib_error *err) {
    int rc = open_graph(d, "estdif=mode=frame:parity=auto:deint=interlaced", err);
    ib_av_text t;
    if (rc >= 0 && (rc = av_buffersrc_add_frame(d->source, d->first)) < 0) {
        return ib_fail(err, ib_av_code(rc), "FFmpeg's filter estdif refuses a frame (%s)",
                       ib_av_error(rc, &t));
    }
    return rc;
}

bool ib_deinterlacer_takes(const ib_deinterlacer *d, const AVFrame *f) {
    return f->width == d->width && f->height == d->height && f->format == d->format;
}

int ib_deinterlacer_push(ib_deinterlacer *d, AVFrame *f, double seconds, int64_t index, ib_error *err) {
    ib_av_text t;
    if (f) {
        if (d->in - d->out == INSIDE) {
            return ib_fail(err, IB_E_UNSUPPORTED, "FFmpeg's filter bwdif gives no frames");
        }
        d->seconds[d->in % INSIDE] = seconds;
        d->index[d->in % INSIDE] = index;
        f->pts = d->in++;
        av_frame_free(&d->first);
        if (d->in == 1 && !(d->first = av_frame_clone(f))) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
        }
    } else {
        d->ended = true;
        int own = d->first ? without_neighbours(d, err) : 0;
        if (own < 0) {
            return own;
        }
    }
    int rc = av_buffersrc_add_frame(d->source, f);
    return rc < 0 ? ib_fail(err, ib_av_code(rc), "FFmpeg's filter bwdif refuses a frame (%s)",
                            ib_av_error(rc, &t))
                  : 0;
}

int ib_deinterlacer_pull(ib_deinterlacer *d, AVFrame *f, double *seconds, int64_t *index, ib_error *err) {
    ib_av_text t;
    int rc = av_buffersink_get_frame(d->sink, f);
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) {
        return 0;
    }
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "FFmpeg's filter bwdif failed (%s)", ib_av_error(rc, &t));
    }
    if (d->out == d->in) { /* nothing more went in */
        av_frame_unref(f);
        return 0;
    }
    *seconds = d->seconds[d->out % INSIDE];
    *index = d->index[d->out % INSIDE];
    d->out++;
    return 1;
}

bool ib_deinterlacer_ended(const ib_deinterlacer *d) {
    return d->ended;
}

void ib_deinterlacer_free(ib_deinterlacer **pd) {
    ib_deinterlacer *d = *pd;
    *pd = NULL;
    if (!d) {
        return;
    }
    avfilter_graph_free(&d->graph);
    av_frame_free(&d->first);
    free(d);
}
