/* Inside video_io only: what its files share about FFmpeg. No other room includes this or
 * any libav header. */
#ifndef IB_VIDEO_IO_AV_H
#define IB_VIDEO_IO_AV_H

#include <stdbool.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <libavutil/pixfmt.h>
#include "video_io/orientation.h"
#include "video_io/reader.h"
#include "video_io/tonemap.h"

/* The sentence for an AVERROR code, in a buffer of the caller. */
typedef struct ib_av_text {
    char s[96];
} ib_av_text;
const char *ib_av_error(int code, ib_av_text *text);
/* IB_E_IO for what the operating system refused, IB_E_MEMORY, else IB_E_FORMAT. */
int ib_av_code(int code);

/* avformat_open_input of a regular file, by its name alone: no address, no pattern, and nothing that it names
 * itself is opened. f: of avformat_alloc_context, freed and NULL after a failure; format: NULL for any.
 * Returns what FFmpeg does. */
int ib_av_open_file(AVFormatContext **f, const char *path, const AVInputFormat *format);

/* The stream that is read; NULL if there is no video. Cover art is none. */
AVStream *ib_av_best_video(AVFormatContext *f);

ib_matrix ib_av_matrix(enum AVColorSpace space);
enum AVColorSpace ib_av_colorspace(ib_matrix m);
/* Formats whose samples are RGB (also by palette). */
bool ib_av_is_rgb(enum AVPixelFormat format);
/* Deprecated yuvj formats become their plain twins; *full is set for them and left alone otherwise. */
enum AVPixelFormat ib_av_plain_format(enum AVPixelFormat format, bool *full);

/* One side of a conversion. */
typedef struct ib_image_spec {
    int width, height;
    enum AVPixelFormat format; /* not a yuvj one */
    bool full_range;
    ib_matrix matrix;    /* of YUV samples; ignored for RGB. Unspecified counts as BT.601 */
    int chroma_location; /* AVChromaLocation; unspecified counts as left */
} ib_image_spec;

/* swscale with every option explicit; the context is kept while the specs stay the same. Results are the
 * same bits on every machine. Zero-initialise; free with ib_scaler_free. */
typedef struct ib_scaler {
    struct SwsContext *sws;
    ib_image_spec src, dst;
} ib_scaler;
int ib_scaler_set(ib_scaler *s, const ib_image_spec *src, const ib_image_spec *dst, ib_error *err);
int ib_scaler_run(ib_scaler *s, const uint8_t *const src[4], const int src_stride[4], uint8_t *const dst[4],
                  const int dst_stride[4], ib_error *err);
void ib_scaler_free(ib_scaler *s);
/* The spec of an ib_frame. */
ib_image_spec ib_spec_of(const ib_frame *f);

/* How decoded samples become upright: transpose first, then mirror the result. */
typedef struct ib_turn {
    bool transpose, mirror, flip; /* mirror: left-right; flip: top-bottom */
} ib_turn;
ib_turn ib_turn_of_matrix(const int32_t m[9]);
ib_turn ib_turn_of_orientation(int exif); /* 1..8; anything else is upright */
int ib_turn_degrees(ib_turn t);           /* clockwise; the rotation part of it */
/* dst: of the upright size, allocated. */
void ib_turn_planes(ib_turn t, const uint8_t *const src[4], const int stride[4], int src_width,
                    int src_height, ib_frame *dst);
/* Likewise packed RGB into dst->rgb. */
void ib_turn_rgb(ib_turn t, const uint8_t *src, ptrdiff_t stride, ib_frame *dst);

/* How many square samples are as wide as `width` samples of this aspect ratio. */
int ib_square_width(int width, AVRational aspect);

/* Any decoded AVFrame to an ib_frame of a given size. Zero-initialise. */
typedef struct ib_converter {
    double peak; /* of PQ sources, cd/m2; 0: the usual one */
    ib_tonemap tonemap;
    AVFrame *sdr; /* of HDR and wide-gamut sources */
    ib_scaler main, unalpha, to_rgb;
    AVFrame *view;  /* cropped reference */
    AVFrame *rgba;  /* palette and alpha sources, laid over black */
    ib_frame small; /* scaled, not yet turned; with RGB where that is wanted */
} ib_converter;
/* in: of a sane sample aspect ratio, as ib_decoder_next gives it. out: allocated at the wanted upright size;
 * out->matrix says which matrix the samples shall get: the source's own keeps them as they are, and whether
 * it has RGB, that this is wanted too. pts and index are not touched. */
int ib_converter_run(ib_converter *c, const AVFrame *in, ib_turn turn, ib_fit fit, ib_frame *out,
                     ib_error *err);
void ib_converter_free(ib_converter *c);
/* The matrix that a frame's samples were made with; BT.709 for RGB, and for HDR and wide gamut, which become
 * that. */
ib_matrix ib_av_frame_matrix(const AVFrame *in);

#endif
