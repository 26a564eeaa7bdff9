#include "video_io/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/file.h"
#include "base/text.h"
#include "video_io/decode.h"

static bool has_extension(const char *name, const char *const *list, size_t n) {
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!strcasecmp(dot + 1, list[i])) {
            return true;
        }
    }
    return false;
}

bool ib_is_video_name(const char *name) {
    static const char *const list[] = {"mp4", "m4v",  "mov", "mkv", "webm", "avi",  "mpg", "mpeg", "m2v",
                                       "ts",  "m2ts", "mts", "vob", "wmv",  "asf",  "flv", "f4v",  "3gp",
                                       "3g2", "ogv",  "ogg", "mxf", "dv",   "divx", "y4m", "h264", "264",
                                       "265", "hevc", "ivf", "gif", "apng", "rm",   "nut", "qt"};
    return has_extension(name, list, sizeof list / sizeof *list);
}

bool ib_is_picture_name(const char *name) {
    static const char *const list[] = {"png", "jpg", "jpeg", "webp", "bmp",  "tif", "tiff", "ppm",
                                       "pgm", "tga", "avif", "heic", "heif", "jp2", "j2k",  "jxl"};
    return has_extension(name, list, sizeof list / sizeof *list);
}

/* "PATH@TIME" to PATH (owned by the caller) and seconds; -1 without a time. */
static int split_spec(const char *spec, char **path, double *seconds, ib_error *err) {
    *seconds = -1;
    if (!(*path = strdup(spec))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory");
    }
    char *at = strrchr(*path, '@');
    if (!at || ib_is_file(spec) || ib_is_dir(spec)) {
        return 0;
    }
    double t;
    if (!ib_text_seconds(at + 1, &t)) {
        *at = 0;
        bool exists = ib_is_file(*path);
        *at = '@';
        if (!exists) {
            return 0; /* then the whole is a name, of a file that opening will report as missing */
        }
        return ib_text_no_seconds(spec, err);
    }
    *at = 0;
    *seconds = t;
    return 0;
}

/* Decodes on until the next frame would be later than `seconds`. keep: the frame on screen then, unless
 * nothing is. */
static int advance(ib_decoder *d, double seconds, AVFrame *keep, AVFrame *next, double *when, int64_t *index,
                   ib_error *err) {
    int rc;
    double t;
    int64_t i;
    while ((rc = ib_decoder_next(d, next, &t, &i, err)) > 0) {
        if (t > seconds + 1e-6) {
            av_frame_unref(next);
            return 1;
        }
        av_frame_unref(keep);
        av_frame_move_ref(keep, next);
        *when = t;
        *index = i;
    }
    return rc;
}

struct ib_still {
    ib_decoder *decoder;
    ib_converter converter;
    AVFrame *frame;
    ib_video_info info;
    double seconds; /* of the frame */
    int64_t index;
    ib_reader_options how; /* threads, keep_interlaced, stop */
};

/* s->frame: the frame at `seconds` (or the first, below 0). Searching by key frame is tried only where it
 * saves much; where it lands too late the file is decoded from its beginning. */
static int find_frame(ib_still *s, const char *path, double seconds, AVFrame *next, ib_error *err) {
    enum { WORTH_SECONDS = 5 };
    int rc = ib_decoder_next(s->decoder, s->frame, &s->seconds, &s->index, err);
    if (rc == 0) {
        return ib_decoder_no_frame(s->decoder, err);
    }
    if (rc < 0 || seconds < 0) {
        return rc;
    }
    double frame_seconds = s->decoder->frame_seconds;
    if (seconds > WORTH_SECONDS && ib_decoder_can_seek(s->decoder)) {
        double found = -1;
        ib_error ignored = {0};
        if (!ib_decoder_seek(s->decoder, seconds, &ignored) &&
            advance(s->decoder, seconds, s->frame, next, &found, &s->index, &ignored) > 0 && found >= 0) {
            s->seconds = found;
            s->index = llround(found / frame_seconds);
            return 1;
        }
        av_frame_unref(s->frame);
        ib_decoder_close(&s->decoder);
        if ((rc = ib_decoder_open(&s->decoder, path, &s->how, err)) < 0 ||
            (rc = ib_decoder_next(s->decoder, s->frame, &s->seconds, &s->index, err)) < 0) {
            return rc;
        }
        if (rc == 0) {
            return ib_decoder_no_frame(s->decoder, err);
        }
    }
    rc = advance(s->decoder, seconds, s->frame, next, &s->seconds, &s->index, err);
    if (rc == 0 && seconds > s->seconds + frame_seconds + 1e-6) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: has no frame at %g s, its last begins at %g s", path, seconds,
                       s->seconds);
    }
    return rc < 0 ? rc : 1;
}

int ib_still_open(ib_still **out, const char *spec, const ib_reader_options *opt, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    ib_still *s = calloc(1, sizeof *s);
    AVFrame *next = av_frame_alloc();
    char *path = NULL;
    double seconds;
    int rc = 0;
    *out = NULL;
    if (!s || !next || !(s->frame = av_frame_alloc())) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame", spec);
        goto done;
    }
    s->how = opt ? *opt : (ib_reader_options){0};
    if ((rc = split_spec(spec, &path, &seconds, err)) < 0 ||
        (rc = ib_decoder_open(&s->decoder, path, &s->how, err)) < 0) {
        goto done;
    }
    if (s->decoder->still && seconds > 0) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: is a still picture, it has no frame at %g s", path, seconds);
        goto done;
    }
    if ((rc = find_frame(s, path, seconds, next, err)) < 0) {
        goto done;
    }
    ib_reader_options none = {0};
    ib_decoder_describe(s->decoder, s->frame, &s->info);
    ib_reader_choose_size(&none, &s->info);
    s->info.matrix = ib_av_frame_matrix(s->frame);
    s->converter.peak = s->decoder->peak;
    *out = s;
    s = NULL;
done:
    ib_still_close(&s);
    av_frame_free(&next);
    free(path);
    return rc < 0 ? rc : 0;
}

const ib_video_info *ib_still_info(const ib_still *s) {
    return &s->info;
}

int ib_still_convert(ib_still *s, ib_frame *out, const ib_reader_options *opt, ib_error *err) {
    ib_reader_options o = opt ? *opt : (ib_reader_options){0};
    ib_error own = {0};
    err = err ? err : &own;
    ib_video_info info = s->info;
    *out = (ib_frame){0};
    int rc = ib_reader_check(&o, err);
    if (rc < 0) {
        return rc;
    }
    ib_reader_choose_size(&o, &info);
    rc = o.rgb ? ib_frame_alloc_rgb(out, info.width, info.height, err)
               : ib_frame_alloc(out, info.width, info.height, err);
    if (rc < 0) {
        return rc;
    }
    out->matrix = o.matrix && o.matrix != IB_MATRIX_UNSPECIFIED ? o.matrix : info.matrix;
    out->pts_seconds = s->seconds;
    out->index = s->index;
    rc = ib_converter_run(&s->converter, s->frame, ib_decoder_turn(s->decoder, s->frame), o.fit, out, err);
    if (rc < 0) {
        ib_error_prefix(err, rc, "%s", s->decoder->path);
        ib_frame_free(out);
    }
    return rc < 0 ? rc : 0;
}

void ib_still_close(ib_still **ps) {
    ib_still *s = *ps;
    *ps = NULL;
    if (!s) {
        return;
    }
    ib_converter_free(&s->converter);
    ib_decoder_close(&s->decoder);
    av_frame_free(&s->frame);
    free(s);
}

int ib_read_still(ib_frame *out, const char *spec, const ib_reader_options *opt, ib_error *err) {
    ib_reader_options o = opt ? *opt : (ib_reader_options){0};
    ib_error own = {0};
    err = err ? err : &own;
    ib_still *s = NULL;
    *out = (ib_frame){0};
    int rc = ib_reader_check(&o, err);
    if (!rc) {
        rc = ib_still_open(&s, spec, &o, err);
    }
    if (!rc) {
        rc = ib_still_convert(s, out, &o, err);
    }
    ib_still_close(&s);
    return rc;
}
