#include "video_io/writer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "video_io/av.h"
#include "video_io/encode.h"

enum { MAX_DIGITS = 9 };

struct ib_writer {
    ib_writer_options opt; /* its codec is not kept */
    char *path;            /* owned; for pictures with the directory's pattern filled in */
    /* clips */
    ib_pending pending;
    ib_encoder *encoder;
    /* pictures */
    bool sequence, made_directory;
    size_t number_at; /* where in path the %0Nd begins */
    int digits, pattern_bytes;
    uint8_t *rgb;
    int64_t written;
};

/* Finds the one %d or %0Nd of a sequence's name. 1: found, 0: no percent sign at all. */
static int find_pattern(ib_writer *w, ib_error *err) {
    const char *p = strchr(w->path, '%');
    if (!p)
        return 0;
    char *end = NULL;
    long digits = p[1] == '0' ? strtol(p + 1, &end, 10) : 0;
    const char *d = end ? end : p + 1;
    if (*d != 'd' || digits < 0 || digits > MAX_DIGITS || strchr(d, '%'))
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: a picture sequence has one %%d or %%0Nd (N up to %d) in its name", w->path,
                       MAX_DIGITS);
    w->number_at = (size_t)(p - w->path);
    w->digits = (int)digits;
    w->pattern_bytes = (int)(d + 1 - p);
    return 1;
}

/* malloc'ed; NULL when memory is out. */
static char *picture_name(const ib_writer *w, int64_t number) {
    char *name = NULL;
    if (!w->sequence)
        return strdup(w->path);
    if (asprintf(&name, "%.*s%0*lld%s", (int)w->number_at, w->path, w->digits, (long long)number,
                 w->path + w->number_at + w->pattern_bytes) < 0)
        return NULL;
    return name;
}

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);
    return n > k && !strcasecmp(s + n - k, tail);
}

static int open_pictures(ib_writer *w, ib_error *err) {
    int r = find_pattern(w, err);
    if (r < 0)
        return r;
    w->sequence = r;
    if (w->opt.codec || w->opt.crf >= 0)
        return ib_fail(err, IB_E_ARGUMENT, "%s: PNG pictures take neither --codec nor --crf", w->path);
    size_t pixels = (size_t)w->opt.width * (size_t)w->opt.height;
    if (!(w->rgb = ib_calloc(pixels, 3)))
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a picture of %d x %d", w->path, w->opt.width,
                       w->opt.height);
    return 0;
}

static int check_options(const char *path, const ib_writer_options *o, ib_error *err) {
    if (o->width < 1 || o->height < 1 || o->width > 16384 || o->height > 16384)
        return ib_fail(err, IB_E_ARGUMENT, "%s: frames of %d x %d, each side must be 1 to 16384", path,
                       o->width, o->height);
    if (o->crf < -1 || o->crf > 255)
        return ib_fail(err, IB_E_ARGUMENT, "%s: constant rate factor %d, 0 to 255 was expected", path,
                       o->crf);
    if (!(o->fps > 0 && o->fps <= 1000))
        return ib_fail(err, IB_E_ARGUMENT, "%s: %g frames a second, above 0 and at most 1000 was expected",
                       path, o->fps);
    return 0;
}

/* Removes the pictures of an aborted sequence, and the directory if it was made for them. */
static void drop_pictures(ib_writer *w) {
    for (int64_t i = 1; i <= w->written; i++) {
        char *name = picture_name(w, i);
        if (name)
            unlink(name);
        free(name);
    }
    if (w->made_directory) {
        char *slash = strrchr(w->path, '/');
        *slash = 0;
        rmdir(w->path);
    }
}

static void close_all(ib_writer **pw) {
    ib_writer *w = *pw;
    *pw = NULL;
    if (!w)
        return;
    ib_encoder_close(&w->encoder);
    ib_pending_abort(&w->pending);
    ib_free(w->rgb);
    free(w->path);
    free(w);
}

void ib_writer_abort(ib_writer **pw) {
    if (*pw && ((*pw)->rgb || (*pw)->made_directory))
        drop_pictures(*pw);
    close_all(pw);
}

/* "DIR/" stands for "DIR/%04d.png", and DIR is made. */
static int resolve_path(ib_writer *w, const char *path, ib_error *err) {
    size_t n = strlen(path);
    bool directory = n && path[n - 1] == '/';
    if (asprintf(&w->path, "%s%s", path, directory ? "%04d.png" : "") < 0) {
        w->path = NULL;
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    }
    if (!directory)
        return 0;
    if (strchr(path, '%'))
        return ib_fail(err, IB_E_ARGUMENT, "%s: a directory for pictures cannot have %% in its name", path);
    w->made_directory = !ib_is_dir(path);
    return ib_mkdirs(path, err);
}

int ib_writer_open(ib_writer **out, const char *path, const ib_writer_options *opt, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    *err = (ib_error){0};
    *out = NULL;
    int r = check_options(path, opt, err);
    if (r < 0)
        return r;
    ib_writer *w = calloc(1, sizeof *w);
    if (!w)
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    w->opt = *opt;
    const ib_container *container = ib_container_of(path);
    if ((r = resolve_path(w, path, err)) < 0)
        goto fail;
    if (ends_with(w->path, ".png")) {
        if ((r = open_pictures(w, err)) < 0)
            goto fail;
    } else if (container) {
        if ((r = ib_pending_begin(&w->pending, path, err)) < 0 ||
            (r = ib_encoder_open(&w->encoder, path, w->pending.temp, container, opt, err)) < 0)
            goto fail;
    } else {
        r = ib_fail(err, IB_E_ARGUMENT,
                    "%s: its ending names no format that can be written; these do: .mp4 .m4v .mov .mkv .webm "
                    ".gif .apng "
                    ".png, NAME-%%04d.png and DIRECTORY/",
                    path);
        goto fail;
    }
    *out = w;
    return 0;
fail:
    ib_writer_abort(&w);
    return r;
}

static int write_picture(ib_writer *w, const ib_frame *frame, ib_error *err) {
    if (!w->sequence && w->written)
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: is one picture and takes one frame; NAME-%%04d.png takes many", w->path);
    char *name = picture_name(w, w->written + 1);
    int r = name ? ib_frame_to_rgb(frame, w->rgb, err)
                 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a name", w->path);
    if (!r)
        r = ib_write_png(name, w->rgb, frame->width, frame->height, err);
    free(name);
    if (!r)
        w->written++;
    return r;
}

int ib_writer_write(ib_writer *w, const ib_frame *frame, ib_error *err) {
    if (frame->width != w->opt.width || frame->height != w->opt.height)
        return ib_fail(err, IB_E_MISMATCH, "%s: a frame of %d x %d in a clip of %d x %d", w->path,
                       frame->width, frame->height, w->opt.width, w->opt.height);
    ib_frame tagged = *frame;
    tagged.matrix = w->opt.matrix;
    if (w->rgb)
        return write_picture(w, &tagged, err);
    int r = ib_encoder_write(w->encoder, &tagged, err);
    if (!r)
        w->written++;
    return r;
}

int ib_writer_finish(ib_writer **pw, ib_error *err) {
    ib_writer *w = *pw;
    int r = 0;
    if (!w->written) {
        r = ib_fail(err, IB_E_EMPTY, "%s: no frame was written to it", w->path);
    } else if (w->encoder) {
        r = ib_encoder_finish(w->encoder, err);
        ib_encoder_close(&w->encoder);
        if (!r)
            r = ib_pending_publish(&w->pending, err);
    }
    if (r < 0)
        ib_writer_abort(pw);
    else
        close_all(pw);
    return r;
}
