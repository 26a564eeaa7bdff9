#include "video_io/av.h"

#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

static bool same_spec(const ib_image_spec *a, const ib_image_spec *b) {
    return a->width == b->width && a->height == b->height && a->format == b->format &&
           a->full_range == b->full_range && a->matrix == b->matrix &&
           a->chroma_location == b->chroma_location;
}

static const int *coefficients(ib_matrix m) {
    switch (m) {
    case IB_MATRIX_BT709:
        return sws_getCoefficients(SWS_CS_ITU709);
    case IB_MATRIX_BT2020:
        return sws_getCoefficients(SWS_CS_BT2020);
    default:
        return sws_getCoefficients(SWS_CS_ITU601);
    }
}

/* swscale's positions are in 1/256 of a luma sample; left untold it takes chroma as centred. */
static void chroma_position(const ib_image_spec *spec, int *h, int *v) {
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(spec->format);
    *h = *v = -513;
    if (!d || (d->flags & AV_PIX_FMT_FLAG_RGB) || d->nb_components < 3) {
        return;
    }
    bool centre = spec->chroma_location == AVCHROMA_LOC_CENTER || spec->chroma_location == AVCHROMA_LOC_TOP ||
                  spec->chroma_location == AVCHROMA_LOC_BOTTOM;
    if (d->log2_chroma_w == 1) {
        *h = centre ? 128 : 0;
    }
    if (d->log2_chroma_h == 1) {
        bool top = spec->chroma_location == AVCHROMA_LOC_TOPLEFT || spec->chroma_location == AVCHROMA_LOC_TOP;
        bool bottom =
            spec->chroma_location == AVCHROMA_LOC_BOTTOMLEFT || spec->chroma_location == AVCHROMA_LOC_BOTTOM;
        *v = top ? 0 : bottom ? 256 : 128;
    }
}

int ib_scaler_set(ib_scaler *s, const ib_image_spec *src, const ib_image_spec *dst, ib_error *err) {
    if (s->sws && same_spec(&s->src, src) && same_spec(&s->dst, dst)) {
        return 0;
    }
    ib_scaler_free(s);
    s->src = *src;
    s->dst = *dst;
    s->sws = sws_alloc_context();
    if (!s->sws) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a scaler");
    }
    bool shrinks = (int64_t)dst->width * dst->height < (int64_t)src->width * src->height;
    int flags = (shrinks ? SWS_AREA : SWS_BICUBIC) | SWS_ACCURATE_RND | SWS_BITEXACT;
    if (ib_av_is_rgb(src->format)) {
        flags |= SWS_FULL_CHR_H_INP;
    }
    if (ib_av_is_rgb(dst->format)) {
        flags |= SWS_FULL_CHR_H_INT;
    }
    int sh, sv, dh, dv;
    chroma_position(src, &sh, &sv);
    chroma_position(dst, &dh, &dv);
    const struct {
        const char *name;
        int value;
    } options[] = {{"srcw", src->width},
                   {"srch", src->height},
                   {"src_format", src->format},
                   {"dstw", dst->width},
                   {"dsth", dst->height},
                   {"dst_format", dst->format},
                   {"src_range", src->full_range},
                   {"dst_range", dst->full_range},
                   {"src_h_chr_pos", sh},
                   {"src_v_chr_pos", sv},
                   {"dst_h_chr_pos", dh},
                   {"dst_v_chr_pos", dv},
                   {"sws_flags", flags}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        av_opt_set_int(s->sws, options[i].name, options[i].value, 0);
    }
    /* Between two YUV formats equal tables mean that the matrix is left alone. */
    ib_matrix from = ib_av_is_rgb(src->format) ? dst->matrix : src->matrix;
    ib_matrix to = ib_av_is_rgb(dst->format) ? from : dst->matrix;
    if (sws_init_context(s->sws, NULL, NULL) < 0 ||
        sws_setColorspaceDetails(s->sws, coefficients(from), src->full_range, coefficients(to),
                                 dst->full_range, 0, 1 << 16, 1 << 16) < 0) {
        const char *a = av_get_pix_fmt_name(src->format), *b = av_get_pix_fmt_name(dst->format);
        ib_scaler_free(s);
        return ib_fail(err, IB_E_UNSUPPORTED, "FFmpeg cannot convert %s pictures of %d x %d to %s of %d x %d",
                       a ? a : "unknown", src->width, src->height, b ? b : "unknown", dst->width,
                       dst->height);
    }
    return 0;
}

int ib_scaler_run(ib_scaler *s, const uint8_t *const src[4], const int src_stride[4], uint8_t *const dst[4],
                  const int dst_stride[4], ib_error *err) {
    int rows = sws_scale(s->sws, src, src_stride, 0, s->src.height, dst, dst_stride);
    if (rows != s->dst.height) {
        return ib_fail(err, IB_E_MEMORY, "scaling %d x %d to %d x %d gave %d rows", s->src.width,
                       s->src.height, s->dst.width, s->dst.height, rows);
    }
    return 0;
}

void ib_scaler_free(ib_scaler *s) {
    sws_freeContext(s->sws);
    s->sws = NULL;
}

ib_image_spec ib_spec_of(const ib_frame *f) {
    return (ib_image_spec){f->width, f->height, AV_PIX_FMT_YUV420P, false, f->matrix, AVCHROMA_LOC_LEFT};
}
