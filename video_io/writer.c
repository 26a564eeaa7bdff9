#include "video_io/writer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/file.h"
#include "base/output.h"
#include "video_io/av.h"
#include "video_io/encode.h"
#include "video_io/pictures.h"
#include "video_io/segments.h"

struct ib_writer {
    ib_writer_options opt; /* its texts are not kept */
    char *path;            /* owned */
    /* clips */
    ib_pending pending;
    ib_encoder *encoder;
    int64_t written;
    /* or pictures, or a clip with segments */
    ib_pictures *pictures;
    ib_segments *segments;
};

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);
    return n > k && !strcasecmp(s + n - k, tail);
}

static int check_options(const char *path, const ib_writer_options *o, ib_error *err) {
    if (o->width < 1 || o->height < 1 || o->width > 16384 || o->height > 16384) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: frames of %d x %d, each side must be 1 to 16384", path,
                       o->width, o->height);
    }
    if (o->crf < -1 || o->crf > 255) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: constant rate factor %d, 0 to 255 was expected", path,
                       o->crf);
    }
    if (!(o->fps > 0 && o->fps <= 1000)) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: %g frames a second, above 0 and at most 1000 was expected",
                       path, o->fps);
    }
    return 0;
}

void ib_writer_abort(ib_writer **pw) {
    ib_writer *w = *pw;
    *pw = NULL;
    if (!w) {
        return;
    }
    ib_pictures_close(&w->pictures);
    ib_segments_close(&w->segments);
    ib_encoder_close(&w->encoder);
    ib_pending_abort(&w->pending);
    free(w->path);
    free(w);
}

static bool has_segments(const ib_container *c) {
    return strcmp(c->muxer, "gif") && strcmp(c->muxer, "apng");
}

bool ib_writer_carries(const char *path) {
    const ib_container *c = ib_container_of(path);
    return c && has_segments(c);
}

bool ib_writer_turns(const char *path) {
    const ib_container *c = ib_container_of(path);
    return c && (!strcmp(c->muxer, "mp4") || !strcmp(c->muxer, "mov"));
}

static int open_clip(ib_writer *w, const ib_container *container, const ib_writer_options *opt,
                     ib_error *err) {
    int rc = ib_output_check(w->path, opt->inputs, opt->n_inputs, NULL, err);
    rc = rc ? rc : ib_pending_begin(&w->pending, w->path, err);
    return rc ? rc : ib_encoder_open(&w->encoder, w->path, w->pending.temp, container, opt, err);
}

int ib_writer_open(ib_writer **out, const char *path, const ib_writer_options *opt, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    *err = (ib_error){0};
    *out = NULL;
    int rc = check_options(path, opt, err);
    if (rc < 0) {
        return rc;
    }
    ib_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(path))) {
        free(w);
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    }
    w->opt = *opt;
    const ib_container *container = ib_container_of(path);
    if (ends_with(path, ".png") || (*path && path[strlen(path) - 1] == '/')) {
        rc = ib_pictures_open(&w->pictures, path, opt, err);
    } else if (container && opt->segment_frames > 0 && has_segments(container)) {
        rc = ib_segments_open(&w->segments, path, container, opt, err);
    } else if (container) {
        rc = open_clip(w, container, opt, err);
    } else {
        rc =
            ib_fail(err, IB_E_ARGUMENT,
                    "%s: its ending names no format that can be written; these do: .mp4 .m4v .mov .mkv .webm "
                    ".gif .apng .png, NAME-%%04d.png and DIRECTORY/",
                    path);
    }
    if (rc < 0) {
        ib_writer_abort(&w);
        return rc;
    }
    *out = w;
    return 0;
}

int64_t ib_writer_done(const ib_writer *w) {
    return w->pictures   ? ib_pictures_done(w->pictures)
           : w->segments ? ib_segments_done(w->segments)
                         : w->written;
}

const char *ib_writer_kept(const ib_writer *w) {
    return w->pictures ? ib_pictures_kept(w->pictures) : w->segments ? ib_segments_kept(w->segments) : NULL;
}

int ib_writer_write(ib_writer *w, const ib_frame *frame, ib_error *err) {
    if (frame->width != w->opt.width || frame->height != w->opt.height) {
        return ib_fail(err, IB_E_MISMATCH, "%s: a frame of %d x %d in a clip of %d x %d", w->path,
                       frame->width, frame->height, w->opt.width, w->opt.height);
    }
    ib_frame tagged = *frame;
    tagged.matrix = w->opt.matrix;
    if (w->pictures) {
        return ib_pictures_write(w->pictures, &tagged, err);
    }
    if (w->segments) {
        return ib_segments_write(w->segments, &tagged, err);
    }
    int rc = ib_encoder_write(w->encoder, &tagged, err);
    w->written += !rc;
    return rc;
}

int ib_writer_finish(ib_writer **pw, ib_error *err) {
    ib_writer *w = *pw;
    int rc = 0;
    if (!ib_writer_done(w)) {
        rc = ib_fail(err, IB_E_EMPTY, "%s: no frame was written to it", w->path);
    } else if (w->pictures) {
        rc = ib_pictures_finish(w->pictures, err);
    } else if (w->segments) {
        rc = ib_segments_finish(w->segments, err);
    } else {
        rc = ib_encoder_finish(w->encoder, err);
        ib_encoder_close(&w->encoder);
        rc = rc ? rc : ib_pending_publish(&w->pending, err);
    }
    ib_writer_abort(pw);
    return rc;
}
