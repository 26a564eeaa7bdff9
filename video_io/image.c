#include "video_io/writer.h"

#include <errno.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavutil/crc.h>
#include <libavutil/intreadwrite.h>
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

/* Length, type and checksum around n bytes of a chunk. */
static bool put_chunk(FILE *f, const char type[4], const uint8_t *data, size_t n) {
    const AVCRC *table = av_crc_get_table(AV_CRC_32_IEEE_LE);
    uint8_t word[4];
    uint32_t crc = av_crc(table, UINT32_MAX, (const uint8_t *)type, 4);
    crc = av_crc(table, crc, data, n) ^ UINT32_MAX;
    AV_WB32(word, (uint32_t)n);
    bool good = fwrite(word, 1, 4, f) == 4 && fwrite(type, 1, 4, f) == 4 && fwrite(data, 1, n, f) == n;
    AV_WB32(word, crc);
    return good && fwrite(word, 1, 4, f) == 4;
}

/* As other programs write it: tEXt if it is ASCII, else iTXt, which is UTF-8. */
static bool put_text(FILE *f, const char *text) {
    static const char key[] = "parameters";
    size_t n = strlen(text), head = sizeof key;
    bool ascii = true;
    for (size_t i = 0; i < n; i++) {
        ascii &= (unsigned char)text[i] < 128;
    }
    uint8_t *data = n < INT32_MAX / 2 ? ib_calloc(head + 4 + n, 1) : NULL;
    if (!data) {
        return false;
    }
    memcpy(data, key, sizeof key);
    head += ascii ? 0 : 4; /* not compressed, by no method, no language, no translated name */
    memcpy(data + head, text, n);
    bool good = put_chunk(f, ascii ? "tEXt" : "iTXt", data, head + n);
    ib_free(data);
    return good;
}

/* The text comes after the signature and the header. */
static bool put_png(FILE *f, const uint8_t *png, size_t n, const char *parameters) {
    enum { HEAD = 8 + 25 };
    size_t first = parameters && n > HEAD ? HEAD : 0;
    return fwrite(png, 1, first, f) == first && (!first || put_text(f, parameters)) &&
           fwrite(png + first, 1, n - first, f) == n - first;
}

int ib_png_write(const char *file, const char *name, const uint8_t *rgb, int width, int height,
                 const char *parameters, ib_error *err) {
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
    bool good = f && put_png(f, png->data, (size_t)png->size, parameters);
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
    return ib_png_publish(path, rgb, width, height, NULL, err);
}

int ib_png_publish(const char *path, const uint8_t *rgb, int width, int height, const char *parameters,
                   ib_error *err) {
    ib_pending p = {0};
    int rc = ib_pending_begin(&p, path, err);
    if (!rc && !(rc = ib_png_write(p.temp, path, rgb, width, height, parameters, err))) {
        rc = ib_pending_publish(&p, err);
    }
    ib_pending_abort(&p);
    return rc;
}
