#include "video_io/av.h"

#include <errno.h>
#include <libavutil/avstring.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/pixdesc.h>
#include "video_io/reader.h"
#include "video_io/versions.h"

void ib_ffmpeg_quiet(void) {
    av_log_set_level(AV_LOG_QUIET);
}

const char *ib_av_error(int code, ib_av_text *text) {
    if (av_strerror(code, text->s, sizeof text->s) < 0) {
        snprintf(text->s, sizeof text->s, "FFmpeg error %d", code);
    }
    return text->s;
}

int ib_av_code(int code) {
    switch (code) {
    case AVERROR(ENOMEM):
        return IB_E_MEMORY;
    case AVERROR(ENOENT):
    case AVERROR(EACCES):
    case AVERROR(EPERM):
    case AVERROR(EIO):
    case AVERROR(EISDIR):
    case AVERROR(ENOSPC):
    case AVERROR(EFBIG):
    case AVERROR(EDQUOT):
    case AVERROR(EROFS):
    case AVERROR(EMFILE):
    case AVERROR(ENFILE):
        return IB_E_IO;
    default:
        return IB_E_FORMAT;
    }
}

int ib_av_open_file(AVFormatContext **f, const char *path, const AVInputFormat *format) {
    /* "file:" keeps FFmpeg from taking a name with a colon for an address */
    char *url = av_asprintf("file:%s", path);
    AVDictionary *options = NULL;
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    av_dict_set(&options, "pattern_type", "none", 0);
    int rc = url ? avformat_open_input(f, url, format, &options) : AVERROR(ENOMEM);
    av_dict_free(&options);
    av_free(url);
    return rc;
}

ib_matrix ib_av_matrix(enum AVColorSpace space) {
    switch (space) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_SMPTE240M: /* differs from BT.709 by less than a code value */
        return IB_MATRIX_BT709;
    case AVCOL_SPC_FCC:
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
        return IB_MATRIX_BT601;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return IB_MATRIX_BT2020;
    default:
        return IB_MATRIX_UNSPECIFIED;
    }
}

enum AVColorSpace ib_av_colorspace(ib_matrix m) {
    switch (m) {
    case IB_MATRIX_BT709:
        return AVCOL_SPC_BT709;
    case IB_MATRIX_BT601:
        return AVCOL_SPC_SMPTE170M;
    case IB_MATRIX_BT2020:
        return AVCOL_SPC_BT2020_NCL;
    default:
        return AVCOL_SPC_UNSPECIFIED;
    }
}

bool ib_av_is_rgb(enum AVPixelFormat format) {
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(format);
    return d && (d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER));
}

enum AVPixelFormat ib_av_plain_format(enum AVPixelFormat format, bool *full) {
    enum AVPixelFormat plain;
    switch (format) {
    case AV_PIX_FMT_YUVJ420P:
        plain = AV_PIX_FMT_YUV420P;
        break;
    case AV_PIX_FMT_YUVJ422P:
        plain = AV_PIX_FMT_YUV422P;
        break;
    case AV_PIX_FMT_YUVJ444P:
        plain = AV_PIX_FMT_YUV444P;
        break;
    case AV_PIX_FMT_YUVJ440P:
        plain = AV_PIX_FMT_YUV440P;
        break;
    case AV_PIX_FMT_YUVJ411P:
        plain = AV_PIX_FMT_YUV411P;
        break;
    default:
        return format;
    }
    *full = true;
    return plain;
}

const char *ib_ffmpeg_version(void) {
    return av_version_info();
}

static bool is_video(const AVStream *st) {
    return st->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           !(st->disposition & AV_DISPOSITION_ATTACHED_PIC) && st->codecpar->codec_id != AV_CODEC_ID_NONE;
}

AVStream *ib_av_best_video(AVFormatContext *f) {
    int best = av_find_best_stream(f, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (best >= 0 && is_video(f->streams[best])) {
        return f->streams[best];
    }
    /* the best was cover art */
    for (unsigned i = 0; i < f->nb_streams; i++) {
        if (is_video(f->streams[i])) {
            return f->streams[i];
        }
    }
    return NULL;
}
