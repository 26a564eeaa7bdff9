#include "video_io/av.h"

#include <libavutil/pixdesc.h>

ib_matrix ib_av_frame_matrix(const AVFrame *in) {
    return ib_av_is_rgb(in->format) || ib_is_wide(in) ? IB_MATRIX_BT709 : ib_av_matrix(in->colorspace);
}

int ib_square_width(int width, AVRational aspect) {
    return (int)(((int64_t)width * aspect.num * 2 + aspect.den) / ((int64_t)aspect.den * 2));
}

static bool full_range(const AVFrame *in, const AVPixFmtDescriptor *d, bool yuvj) {
    if (yuvj || (d->flags & AV_PIX_FMT_FLAG_RGB)) {
        return true;
    }
    /* Like all of FFmpeg: grey that does not say otherwise is full. */
    if (d->nb_components < 3) {
        return in->color_range != AVCOL_RANGE_MPEG;
    }
    return in->color_range == AVCOL_RANGE_JPEG;
}

/* Samples that sit in parts of bytes, palettes and alpha: to 8-bit RGBA at the same size, over black. */
static int flatten(ib_converter *c, const AVFrame *in, const ib_image_spec *spec, ib_error *err) {
    AVFrame *out = c->rgba;
    if (!out || out->width != in->width || out->height != in->height) {
        av_frame_free(&c->rgba);
        out = c->rgba = av_frame_alloc();
        if (!out) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a picture");
        }
        out->width = in->width;
        out->height = in->height;
        out->format = AV_PIX_FMT_RGBA;
        if (av_frame_get_buffer(out, 64) < 0) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a picture of %d x %d", in->width, in->height);
        }
    }
    ib_image_spec to = {in->width, in->height, AV_PIX_FMT_RGBA, true, spec->matrix, 0};
    int rc = ib_scaler_set(&c->unalpha, spec, &to, err);
    if (!rc) {
        rc = ib_scaler_run(&c->unalpha, (const uint8_t *const *)in->data, in->linesize, out->data,
                           out->linesize, err);
    }
    for (int y = 0; !rc && y < out->height; y++) {
        uint8_t *p = out->data[0] + (ptrdiff_t)y * out->linesize[0];
        for (int x = 0; x < out->width; x++, p += 4) {
            unsigned a = p[3];
            for (int k = 0; k < 3; k++) {
                p[k] = (uint8_t)((p[k] * a + 127) / 255);
            }
        }
    }
    return rc;
}

/* The centred part of in that has the shape w : h in square samples, on whole chroma samples. */
static void crop_to_shape(AVFrame *view, const AVPixFmtDescriptor *d, int w, int h) {
    int sw = view->width, sh = view->height;
    AVRational aspect = view->sample_aspect_ratio;
    int64_t cw = sw, ch = sh, across = (int64_t)w * aspect.den, down = (int64_t)h * aspect.num;
    if (sw * down > sh * across) {
        cw = (sh * across + down / 2) / down;
    } else {
        ch = (sw * down + across / 2) / across;
    }
    int ax = 1 << d->log2_chroma_w, ay = 1 << d->log2_chroma_h;
    int left = (int)(sw - cw) / 2 / ax * ax, top = (int)(sh - ch) / 2 / ay * ay;
    if (cw < ax || ch < ay) {
        return;
    }
    view->crop_left = (size_t)left;
    view->crop_top = (size_t)top;
    view->crop_right = (size_t)(sw - cw - left);
    view->crop_bottom = (size_t)(sh - ch - top);
    av_frame_apply_cropping(view, AV_FRAME_CROP_UNALIGNED);
}

/* c->small of the size before turning, with RGB if out has it. */
static int make_small(ib_converter *c, int w, int h, const ib_frame *out, ib_error *err) {
    if (c->small.width == w && c->small.height == h && !c->small.rgb == !out->rgb) {
        c->small.matrix = out->matrix;
        return 0;
    }
    ib_frame_free(&c->small);
    int rc = out->rgb ? ib_frame_alloc_rgb(&c->small, w, h, err) : ib_frame_alloc(&c->small, w, h, err);
    c->small.matrix = out->matrix;
    return rc;
}

static int scale_planes(ib_converter *c, const ib_image_spec *from, ib_frame *dst, ib_error *err) {
    ib_image_spec to = ib_spec_of(dst);
    int rc = ib_scaler_set(&c->main, from, &to, err);
    return rc ? rc
              : ib_scaler_run(&c->main, (const uint8_t *const *)c->view->data, c->view->linesize,
                              (uint8_t *[4]){dst->plane[0], dst->plane[1], dst->plane[2]},
                              (int[4]){(int)dst->stride[0], (int)dst->stride[1], (int)dst->stride[2]}, err);
}

/* Straight from the source's samples, so that colour which 4:2:0 would average is kept. */
static int scale_rgb(ib_converter *c, const ib_image_spec *from, ib_frame *dst, ib_error *err) {
    ib_image_spec to = {dst->width, dst->height, AV_PIX_FMT_RGB24, true, from->matrix, 0};
    int rc = ib_scaler_set(&c->to_rgb, from, &to, err);
    return rc ? rc
              : ib_scaler_run(&c->to_rgb, (const uint8_t *const *)c->view->data, c->view->linesize,
                              (uint8_t *[4]){dst->rgb}, (int[4]){(int)dst->rgb_stride}, err);
}

/* An HDR or wide-gamut frame as c->sdr. */
static int to_sdr(ib_converter *c, const AVFrame *in, ib_error *err) {
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(in->format);
    bool yuvj = false;
    ib_av_plain_format(in->format, &yuvj);
    if (!c->sdr && !(c->sdr = av_frame_alloc())) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    av_frame_unref(c->sdr);
    return ib_tonemap_run(&c->tonemap, in, full_range(in, d, yuvj), c->peak, c->sdr, err);
}

static int convert_planes(ib_converter *c, const AVFrame *in, ib_turn turn, ib_fit fit, ib_frame *out,
                          ib_error *err) {
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(in->format);
    bool yuvj = false;
    ib_image_spec from = {.width = in->width, .height = in->height};
    from.format = ib_av_plain_format(in->format, &yuvj);
    from.full_range = full_range(in, d, yuvj);
    from.matrix = ib_av_is_rgb(in->format) ? out->matrix : ib_av_matrix(in->colorspace);
    from.chroma_location = in->chroma_location;
    /* Unspecified is read as BT.601 by whoever has to choose, so the two are one matrix. */
    if (from.matrix == IB_MATRIX_UNSPECIFIED && out->matrix == IB_MATRIX_BT601) {
        from.matrix = IB_MATRIX_BT601;
    }

    const AVFrame *whole = in;
    if (d->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM)) {
        int rc = flatten(c, in, &from, err);
        if (rc) {
            return rc;
        }
        whole = c->rgba;
        from.format = AV_PIX_FMT_RGBA;
        from.full_range = true;
        d = av_pix_fmt_desc_get(from.format);
    }
    if (!c->view && !(c->view = av_frame_alloc())) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    av_frame_unref(c->view);
    if (av_frame_ref(c->view, whole) < 0) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame");
    }
    int w = turn.transpose ? out->height : out->width, h = turn.transpose ? out->width : out->height;
    if (fit == IB_FIT_CROP && (w != ib_square_width(in->width, in->sample_aspect_ratio) || h != in->height)) {
        crop_to_shape(c->view, d, w, h);
    }
    from.width = c->view->width;
    from.height = c->view->height;

    bool turned = turn.transpose || turn.mirror || turn.flip;
    bool plain = from.format == AV_PIX_FMT_YUV420P && !from.full_range && from.width == w &&
                 from.height == h && from.matrix == out->matrix;
    ib_frame *dst = turned ? &c->small : out;
    int rc = turned && (!plain || out->rgb) ? make_small(c, w, h, out, err) : 0;
    if (plain) {
        ib_turn_planes(turn, (const uint8_t *const *)c->view->data, c->view->linesize, w, h, out);
    } else if (!rc) {
        rc = scale_planes(c, &from, dst, err);
    }
    if (!rc && !plain && turned) {
        ib_turn_planes(turn, (const uint8_t *[4]){dst->plane[0], dst->plane[1], dst->plane[2]},
                       (int[4]){(int)dst->stride[0], (int)dst->stride[1], (int)dst->stride[2]}, w, h, out);
    }
    if (!rc && out->rgb) {
        rc = scale_rgb(c, &from, dst, err);
    }
    if (!rc && out->rgb && turned) {
        ib_turn_rgb(turn, dst->rgb, (ptrdiff_t)dst->rgb_stride, out);
    }
    av_frame_unref(c->view);
    return rc;
}

int ib_converter_run(ib_converter *c, const AVFrame *in, ib_turn turn, ib_fit fit, ib_frame *out,
                     ib_error *err) {
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(in->format);
    if (!d || (d->flags & AV_PIX_FMT_FLAG_HWACCEL)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "frames of pixel format %s cannot be read",
                       d ? d->name : "unknown");
    }
    if (!ib_is_wide(in)) {
        return convert_planes(c, in, turn, fit, out, err);
    }
    int rc = to_sdr(c, in, err);
    return rc < 0 ? rc : convert_planes(c, c->sdr, turn, fit, out, err);
}

void ib_converter_free(ib_converter *c) {
    ib_tonemap_free(&c->tonemap);
    av_frame_free(&c->sdr);
    ib_scaler_free(&c->main);
    ib_scaler_free(&c->unalpha);
    ib_scaler_free(&c->to_rgb);
    av_frame_free(&c->view);
    av_frame_free(&c->rgba);
    ib_frame_free(&c->small);
}
