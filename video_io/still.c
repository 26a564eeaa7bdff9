#include "video_io/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/file.h"
#include "video_io/decode.h"

static bool has_extension(const char *name, const char *const *list, size_t n) {
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strcasecmp(dot + 1, list[i]))
            return true;
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
    static const char *const list[] = {"png", "jpg",  "jpeg", "webp", "bmp",
                                       "tif", "tiff", "ppm",  "pgm",  "tga"};
    return has_extension(name, list, sizeof list / sizeof *list);
}

/* "PATH@TIME" to PATH (owned by the caller) and seconds; -1 without a time. */
static int split_spec(const char *spec, char **path, double *seconds, ib_error *err) {
    *seconds = -1;
    if (!(*path = strdup(spec)))
        return ib_fail(err, IB_E_MEMORY, "out of memory");
    char *at = strrchr(*path, '@'), *end;
    if (!at || ib_is_file(spec) || ib_is_dir(spec))
        return 0;
    double t = strtod(at + 1, &end);
    if (end == at + 1 || (strcmp(end, "") && strcmp(end, "s")) || !isfinite(t) || t < 0) {
        *at = 0;
        bool exists = ib_is_file(*path);
        *at = '@';
        if (!exists)
            return 0; /* then the whole is a name, of a file that opening will report as missing */
        return ib_fail(err, IB_E_ARGUMENT, "%s: after @ a time in seconds was expected, such as @1.5s", spec);
    }
    *at = 0;
    *seconds = t;
    return 0;
}

/* Decodes on until the next frame would be later than `seconds`. keep: the frame on screen then, unless nothing is. */
static int advance(ib_decoder *d, double seconds, AVFrame *keep, AVFrame *next, double *when, int64_t *index,
                   ib_error *err) {
    int r;
    double t;
    int64_t i;
    while ((r = ib_decoder_next(d, next, &t, &i, err)) > 0) {
        if (t > seconds + 1e-6) {
            av_frame_unref(next);
            return 1;
        }
        av_frame_unref(keep);
        av_frame_move_ref(keep, next);
        *when = t;
        *index = i;
    }
    return r;
}

/* keep: the frame at `seconds` (or the first, below 0). Searching by key frame is tried only where it saves much; where it lands
 * too late the file is decoded from its beginning. */
static int find_frame(ib_decoder **d, const char *path, int threads, double seconds, AVFrame *keep,
                      AVFrame *next, double *when, int64_t *index, ib_error *err) {
    enum { WORTH_SECONDS = 5 };
    int r = ib_decoder_next(*d, keep, when, index, err);
    if (r == 0)
        return ib_fail(err, IB_E_FORMAT, "%s: no frame of its video can be decoded", path);
    if (r < 0 || seconds < 0)
        return r;
    double frame_seconds = (*d)->frame_seconds;
    if (seconds > WORTH_SECONDS) {
        AVFrame *first = av_frame_clone(keep);
        double found = -1;
        ib_error ignored = {0};
        if (first && !ib_decoder_seek(*d, seconds, &ignored) &&
            advance(*d, seconds, keep, next, &found, index, &ignored) > 0 && found >= 0) {
            *when = found;
            *index = llround(found / frame_seconds);
            av_frame_free(&first);
            return 1;
        }
        av_frame_free(&first);
        av_frame_unref(keep);
        ib_decoder_close(d);
        if ((r = ib_decoder_open(d, path, threads, err)) < 0 ||
            (r = ib_decoder_next(*d, keep, when, index, err)) < 0)
            return r;
    }
    r = advance(*d, seconds, keep, next, when, index, err);
    if (r == 0 && seconds > *when + frame_seconds + 1e-6)
        return ib_fail(err, IB_E_ARGUMENT, "%s: has no frame at %g s, its last begins at %g s", path, seconds,
                       *when);
    return r < 0 ? r : 1;
}

int ib_read_still(ib_frame *out, const char *spec, const ib_reader_options *opt, ib_error *err) {
    ib_reader_options o = opt ? *opt : (ib_reader_options){0};
    ib_error own = {0};
    err = err ? err : &own;
    ib_decoder *d = NULL;
    ib_converter c = {0};
    AVFrame *keep = av_frame_alloc(), *next = av_frame_alloc();
    char *path = NULL;
    double seconds, when = 0;
    int64_t index = 0;
    *out = (ib_frame){0};
    int r = ib_reader_check(&o, err);
    if (!keep || !next)
        r = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame", spec);
    if (r < 0 || (r = split_spec(spec, &path, &seconds, err)) < 0 ||
        (r = ib_decoder_open(&d, path, o.threads, err)) < 0)
        goto done;
    if (d->still && seconds > 0) {
        r = ib_fail(err, IB_E_ARGUMENT, "%s: is a still picture, it has no frame at %g s", path, seconds);
        goto done;
    }
    if ((r = find_frame(&d, path, o.threads, seconds, keep, next, &when, &index, err)) < 0)
        goto done;
    ib_video_info info = {0};
    ib_decoder_describe(d, keep, &info);
    ib_reader_choose_size(&o, &info);
    r = o.rgb ? ib_frame_alloc_rgb(out, info.width, info.height, err)
              : ib_frame_alloc(out, info.width, info.height, err);
    if (r < 0)
        goto done;
    out->matrix = o.matrix && o.matrix != IB_MATRIX_UNSPECIFIED ? o.matrix : ib_av_frame_matrix(keep);
    out->pts_seconds = when;
    out->index = index;
    if ((r = ib_converter_run(&c, keep, ib_decoder_turn(d, keep), o.fit, out, err)) < 0)
        ib_error_prefix(err, r, "%s", path);
done:
    if (r < 0)
        ib_frame_free(out);
    ib_converter_free(&c);
    ib_decoder_close(&d);
    av_frame_free(&keep);
    av_frame_free(&next);
    free(path);
    return r < 0 ? r : 0;
}
