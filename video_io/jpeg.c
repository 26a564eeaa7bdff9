#include "video_io/jpeg.h"

#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include "video_io/av.h"

/* Into an allocated AVFrame of the encoder's format. */
static int convert_jpeg(const ib_frame *in, AVFrame *out, ib_error *err) {
    ib_scaler scaler = {0};
    ib_image_spec from = ib_spec_of(in);
    ib_image_spec to = {in->width, in->height,      AV_PIX_FMT_YUV420P,
                        true,      IB_MATRIX_BT601, AVCHROMA_LOC_CENTER};
    from.matrix = in->matrix == IB_MATRIX_UNSPECIFIED ? IB_MATRIX_BT601 : in->matrix;
    int rc = ib_scaler_set(&scaler, &from, &to, err);
    if (!rc) {
        rc = ib_scaler_run(&scaler, (const uint8_t *[4]){in->plane[0], in->plane[1], in->plane[2]},
                           (int[4]){(int)in->stride[0], (int)in->stride[1], (int)in->stride[2]}, out->data,
                           out->linesize, err);
    }
    ib_scaler_free(&scaler);
    return rc;
}

int ib_jpeg_encode(const ib_frame *f, int coarseness, uint8_t **bytes, size_t *n, ib_error *err) {
    ib_av_text t;
    int av, rc = IB_E_MEMORY;
    *bytes = NULL;
    *n = 0;
    if (coarseness < 1 || coarseness > 31) {
        return ib_fail(err, IB_E_ARGUMENT, "a JPEG coarseness of %d, expected 1 to 31", coarseness);
    }
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;
    AVFrame *frame = av_frame_alloc();
    AVPacket *packet = av_packet_alloc();
    if (!codec) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "this FFmpeg has no JPEG encoder");
        goto done;
    }
    if (!c || !frame || !packet) {
        goto memory;
    }
    c->width = frame->width = f->width;
    c->height = frame->height = f->height;
    c->pix_fmt = AV_PIX_FMT_YUVJ420P;
    c->color_range = AVCOL_RANGE_JPEG;
    frame->format = AV_PIX_FMT_YUVJ420P;
    c->time_base = (AVRational){1, 25};
    c->thread_count = 1;
    c->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
    c->global_quality = frame->quality = FF_QP2LAMBDA * coarseness;
    if (av_frame_get_buffer(frame, 64) < 0) {
        goto memory;
    }
    /* the encoder looks at whole blocks, also beyond the edge */
    for (int p = 0; p < AV_NUM_DATA_POINTERS && frame->buf[p]; p++) {
        memset(frame->buf[p]->data, 128, frame->buf[p]->size);
    }
    if ((rc = convert_jpeg(f, frame, err))) {
        goto done;
    }
    if ((av = avcodec_open2(c, codec, NULL)) < 0 || (av = avcodec_send_frame(c, frame)) < 0 ||
        (av = avcodec_send_frame(c, NULL)) < 0 || (av = avcodec_receive_packet(c, packet)) < 0) {
        rc = ib_fail(err, ib_av_code(av), "the JPEG encoder failed for a picture of %d x %d (%s)", f->width,
                     f->height, ib_av_error(av, &t));
        goto done;
    }
    if (!(*bytes = malloc((size_t)packet->size))) {
        goto memory;
    }
    memcpy(*bytes, packet->data, (size_t)packet->size);
    *n = (size_t)packet->size;
    rc = IB_OK;
    goto done;
memory:
    rc = ib_fail(err, IB_E_MEMORY, "out of memory for a picture of %d x %d", f->width, f->height);
done:
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&c);
    return rc;
}
