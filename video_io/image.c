#include "video_io/writer.h"

#include <errno.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include "base/file.h"
#include "base/memory.h"
#include "video_io/av.h"
#include "video_io/pictures.h"

/* PNG bytes of a picture, in a packet that the caller frees. */
static int encode_png(AVPacket **out, const uint8_t *rgb, int width, int height, const char *path,
                      ib_error *err) {
    int rc = IB_E_MEMORY;
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;
    AVFrame *f = av_frame_alloc();
    AVPacket *p = av_packet_alloc();
    if (!codec) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "%s: this FFmpeg has no PNG encoder", path);
        goto done;
    }
    if (!c || !f || !p) {
        goto memory;
    }
    c->width = f->width = width;
    c->height = f->height = height;
    c->pix_fmt = AV_PIX_FMT_RGB24;
    f->format = AV_PIX_FMT_RGB24;
    c->time_base = (AVRational){1, 1};
    c->thread_count = 1;
    c->compression_level = 6;
    if (av_frame_get_buffer(f, 0) < 0) {
        goto memory;
    }
    for (int y = 0; y < height; y++) {
        memcpy(f->data[0] + (ptrdiff_t)y * f->linesize[0], rgb + (size_t)y * (size_t)width * 3,
               (size_t)width * 3);
    }
    int av;
    ib_av_text t;
    if ((av = avcodec_open2(c, codec, NULL)) < 0 || (av = avcodec_send_frame(c, f)) < 0 ||
        (av = avcodec_send_frame(c, NULL)) < 0 || (av = avcodec_receive_packet(c, p)) < 0) {
        rc = ib_fail(err, ib_av_code(av), "%s: the PNG encoder failed (%s)", path, ib_av_error(av, &t));
        goto done;
    }
    *out = p;
    p = NULL;
    rc = 0;
    goto done;
memory:
    ib_fail(err, IB_E_MEMORY, "%s: out of memory for a picture of %d x %d", path, width, height);
done:
    av_packet_free(&p);
    av_frame_free(&f);
    avcodec_free_context(&c);
    return rc;
}

int ib_png_write(const char *file, const char *name, const uint8_t *rgb, int width, int height,
                 ib_error *err) {
    if (width < 1 || height < 1 || width > 65535 || height > 65535) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: a picture of %d x %d samples, each side must be 1 to 65535",
                       name, width, height);
    }
    AVPacket *png = NULL;
    int rc = encode_png(&png, rgb, width, height, name, err);
    if (rc) {
        return rc;
    }
    FILE *f = fopen(file, "wbe");
    bool good = f && fwrite(png->data, 1, (size_t)png->size, f) == (size_t)png->size;
    int why = errno;
    if (f && fclose(f)) {
        why = good ? errno : why;
        good = false;
    }
    if (!good) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", name, strerror(why));
    }
    av_packet_free(&png);
    return rc;
}

int ib_write_png(const char *path, const uint8_t *rgb, int width, int height, ib_error *err) {
    ib_pending p = {0};
    int rc = ib_pending_begin(&p, path, err);
    if (!rc && !(rc = ib_png_write(p.temp, path, rgb, width, height, err))) {
        rc = ib_pending_publish(&p, err);
    }
    ib_pending_abort(&p);
    return rc;
}
