#include "video_io/tonemap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include "video_io/av.h"

/* cd/m2. The reference white of ITU-R BT.2408, which becomes the white of SDR; the peak of HLG, and of PQ
 * that does not tell. */
enum { WHITE = 203, USUAL_PEAK = 1000, HIGHEST_PEAK = 10000 };

static bool is_hdr(const AVFrame *f) {
    return f->color_trc == AVCOL_TRC_SMPTE2084 || f->color_trc == AVCOL_TRC_ARIB_STD_B67;
}

bool ib_is_wide(const AVFrame *f) {
    return is_hdr(f) || f->color_primaries == AVCOL_PRI_BT2020 || f->colorspace == AVCOL_SPC_BT2020_NCL ||
           f->colorspace == AVCOL_SPC_BT2020_CL;
}

/* What is not said counts as BT.2020, as nearly all such files are. */
static enum AVColorPrimaries primaries_of(const AVFrame *f) {
    bool said = f->color_primaries != AVCOL_PRI_UNSPECIFIED && f->color_primaries != AVCOL_PRI_RESERVED0 &&
                f->color_primaries != AVCOL_PRI_RESERVED;
    return said ? f->color_primaries : AVCOL_PRI_BT2020;
}

void ib_wide_name(const AVFrame *f, char *text, size_t bytes) {
    const char *curve = f->color_trc == AVCOL_TRC_SMPTE2084      ? "PQ"
                        : f->color_trc == AVCOL_TRC_ARIB_STD_B67 ? "HLG"
                                                                 : "SDR";
    enum AVColorPrimaries p = primaries_of(f);
    const char *name = p == AVCOL_PRI_BT2020 ? "BT.2020" : av_color_primaries_name(p);
    snprintf(text, bytes, "%s, %s", curve, name ? name : "unknown primaries");
}

static bool credible(double peak) {
    return peak >= WHITE && peak <= HIGHEST_PEAK;
}

double ib_frame_peak(const AVFrame *f) {
    const AVFrameSideData *light = av_frame_get_side_data(f, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL),
                          *display = av_frame_get_side_data(f, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    if (light && credible(((const AVContentLightMetadata *)light->data)->MaxCLL)) {
        return ((const AVContentLightMetadata *)light->data)->MaxCLL;
    }
    if (display) {
        const AVMasteringDisplayMetadata *m = (const AVMasteringDisplayMetadata *)display->data;
        double most = m->has_luminance && m->max_luminance.den > 0 ? av_q2d(m->max_luminance) : 0;
        return credible(most) ? most : 0;
    }
    return 0;
}

/* What the graph depends on. */
static void describe_tonemap(AVFrame *f, const AVFrame *in, bool full) {
    bool rgb = ib_av_is_rgb(in->format);
    f->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    f->color_primaries = primaries_of(in);
    if (rgb) {
        f->colorspace = AVCOL_SPC_RGB;
    } else if (in->colorspace == AVCOL_SPC_UNSPECIFIED || in->colorspace == AVCOL_SPC_RESERVED ||
               in->colorspace == AVCOL_SPC_RGB) {
        f->colorspace = AVCOL_SPC_BT2020_NCL;
    }
    if (in->color_trc == AVCOL_TRC_UNSPECIFIED || in->color_trc == AVCOL_TRC_RESERVED0 ||
        in->color_trc == AVCOL_TRC_RESERVED) {
        f->color_trc = AVCOL_TRC_BT2020_10; /* the curve of BT.709 */
    }
}

static bool alike(const AVFrame *a, const AVFrame *b) {
    return a->width == b->width && a->height == b->height && a->format == b->format &&
           a->color_range == b->color_range && a->color_primaries == b->color_primaries &&
           a->color_trc == b->color_trc && a->colorspace == b->colorspace &&
           a->chroma_location == b->chroma_location;
}

static bool remember(ib_tonemap *t, const AVFrame *f) {
    if (!t->in && !(t->in = av_frame_alloc())) {
        return false;
    }
    t->in->width = f->width;
    t->in->height = f->height;
    t->in->format = f->format;
    t->in->color_range = f->color_range;
    t->in->color_primaries = f->color_primaries;
    t->in->color_trc = f->color_trc;
    t->in->colorspace = f->colorspace;
    t->in->chroma_location = f->chroma_location;
    return true;
}

/* zimg has no grey to RGB, and wants whole chroma samples; swscale makes 4:4:4 of these. */
static const char *preparation(const AVFrame *in, const AVPixFmtDescriptor *d, bool alpha) {
    bool odd = in->width % (1 << d->log2_chroma_w) || in->height % (1 << d->log2_chroma_h);
    bool yuv = !(d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL));
    return !yuv || (!odd && d->nb_components >= 3) ? ""
           : alpha                                 ? "format=yuva444p16le,"
                                                   : "format=yuv444p16le,";
}

static int open_graph(ib_tonemap *t, const AVFrame *in, ib_error *err) {
    char text[1024], curve[128] = "";
    AVFilterInOut *open = NULL, *end = NULL;
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(in->format);
    bool alpha = d->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL),
         hlg = in->color_trc == AVCOL_TRC_ARIB_STD_B67;
    avfilter_graph_free(&t->graph);
    if (!(t->graph = avfilter_graph_alloc())) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for FFmpeg's filter tonemap");
    }
    t->graph->nb_threads = 1; /* slices would show in the chroma at their edges */
    t->graph->scale_sws_opts = av_strdup("flags=bicubic+accurate_rnd+bitexact");
    if (is_hdr(in)) {
        snprintf(curve, sizeof curve, "tonemap=mobius:param=0.3:desat=0:peak=%.9f,",
                 (hlg ? USUAL_PEAK : t->peak) / (double)WHITE);
    }
    /* agamma=0: only then HLG's system gamma is applied to the luminance, as BT.2100 has it, and not to R, G
     * and B */
    snprintf(text, sizeof text,
             "buffer@in=video_size=%dx%d:pix_fmt=%d:time_base=1/1:pixel_aspect=1/1,%s"
             "zscale=transfer=linear:primaries=bt709:npl=%d:agamma=%d,format=%s,%s"
             "zscale=transfer=bt709:matrix=gbr:range=full:dither=none,format=%s,buffersink@out",
             in->width, in->height, in->format, preparation(in, d, alpha), WHITE, !hlg,
             alpha ? "gbrapf32le" : "gbrpf32le", curve, alpha ? "gbrap" : "gbrp12le");
    int rc = avfilter_graph_parse2(t->graph, text, &open, &end);
    avfilter_inout_free(&open);
    avfilter_inout_free(&end);
    if (rc >= 0) {
        rc = avfilter_graph_config(t->graph, NULL);
    }
    ib_av_text why;
    if (rc < 0) {
        avfilter_graph_free(&t->graph);
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "it is HDR or of wide gamut, and FFmpeg's filters zscale and tonemap, which make SDR of it, "
            "cannot be set up (%s)",
            ib_av_error(rc, &why));
    }
    t->source = avfilter_graph_get_filter(t->graph, "buffer@in");
    t->sink = avfilter_graph_get_filter(t->graph, "buffersink@out");
    return 0;
}

int ib_tonemap_run(ib_tonemap *t, const AVFrame *in, bool full, double peak, AVFrame *out, ib_error *err) {
    AVFrame *f = av_frame_clone(in);
    if (!f) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    f->format = ib_av_plain_format(f->format, &full);
    f->pts = 0;
    f->sample_aspect_ratio = (AVRational){1, 1};
    describe_tonemap(f, in, full);
    peak = peak > 0 ? peak : USUAL_PEAK;
    int rc = 0;
    ib_av_text why;
    if (!t->graph || !alike(t->in, f) || t->peak != peak) {
        t->peak = peak;
        rc = remember(t, f) ? open_graph(t, f, err) : ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    if (!rc && ((rc = av_buffersrc_add_frame(t->source, f)) < 0 ||
                (rc = av_buffersink_get_frame(t->sink, out)) < 0)) {
        char name[64];
        const char *matrix = av_color_space_name(t->in->colorspace);
        ib_wide_name(in, name, sizeof name);
        avfilter_graph_free(&t->graph);
        rc = ib_fail(err, rc == AVERROR(ENOMEM) ? IB_E_MEMORY : IB_E_UNSUPPORTED,
                     "FFmpeg's filters zscale and tonemap cannot make SDR of a frame (%s, matrix %s, %s: %s)",
                     name, matrix ? matrix : "unknown", av_get_pix_fmt_name(t->in->format),
                     ib_av_error(rc, &why));
    }
    av_frame_free(&f);
    out->sample_aspect_ratio = in->sample_aspect_ratio;
    return rc;
}

void ib_tonemap_free(ib_tonemap *t) {
    avfilter_graph_free(&t->graph);
    av_frame_free(&t->in);
}
