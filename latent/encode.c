#include "latent/encode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/memory.h"
#include "video_io/cuts.h"

void ib_encode_defaults(ib_encode_options *o) {
    *o = (ib_encode_options){.width = 192, .height = 112, .fit = IB_FIT_CROP, .every = 1};
}

static int64_t mtime_ns(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static bool same_settings(const ib_latent_info *i, const ib_space *space, const ib_encode_options *o) {
    bool as_asked = i->frame_width == o->width && i->frame_height == o->height;
    bool turned = i->frame_width == o->height && i->frame_height == o->width;
    return !strcmp(i->space_id, ib_space_id(space)) && (as_asked || turned) && i->fit == (int)o->fit &&
           i->every == o->every;
}

/* 1 if out_path is the whole result of encoding this source with these settings. sha256 is filled if it had to be computed. */
static int unchanged(const char *path, const char *out_path, const struct stat *st, const ib_space *space,
                     const ib_encode_options *o, char sha256[65], ib_encode_stats *stats, ib_error *err) {
    ib_latent_file *f = NULL;
    int result = 0;
    if (!ib_is_file(out_path) || ib_latent_open(&f, out_path, NULL))
        return 0; /* what cannot be read is written anew */
    const ib_latent_info *i = ib_latent_info_of(f);
    if (!same_settings(i, space, o) || strcmp(i->source, ib_basename(path)) ||
        i->source_bytes != (int64_t)st->st_size)
        goto end;
    if (i->source_mtime_ns != mtime_ns(st)) {
        if ((result = ib_sha256_file(path, sha256, err)))
            goto end;
        if (strcmp(sha256, i->source_sha256))
            goto end;
    }
    result = 1;
    stats->unchanged = true;
    stats->frames = i->frames;
    stats->width = i->frame_width;
    stats->height = i->frame_height;
    for (size_t k = 1; k < i->frames; k++)
        stats->cuts += ib_latent_cuts(f)[k];
end:
    ib_latent_close(&f);
    return result;
}

/* Everything that lives while one video is encoded. */
typedef struct job {
    ib_reader *reader;
    ib_cuts *cuts;
    ib_latent_writer *writer;
    float *z; /* [T,D] */
} job;

static int encode_frames(job *j, const ib_space *space, const ib_encode_options *o, int64_t estimate,
                         ib_encode_stats *stats, ib_error *err) {
    const ib_frame *frame;
    double last = 0;
    int code;
    while ((code = ib_reader_next(j->reader, &frame, err)) > 0) {
        if (o->stop && atomic_load(o->stop))
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        int cut = ib_cuts_push(j->cuts, frame, err);
        if (cut < 0)
            return cut;
        if ((code = ib_space_encode(space, frame, j->z, err)))
            return code;
        /* time never runs backwards in a latent file, whatever the container says */
        last = frame->pts_seconds > last ? frame->pts_seconds : last;
        if ((code = ib_latent_writer_append(j->writer, j->z, last, cut != 0, err)))
            return code;
        stats->cuts += cut && stats->frames;
        stats->frames++;
        if (o->progress)
            o->progress(o->user, stats->frames, estimate);
    }
    return code;
}

static int begin(job *j, const char *path, const char *out_path, const struct stat *st, const ib_space *space,
                 const ib_encode_options *o, char sha256[65], int64_t *estimate, ib_encode_stats *stats,
                 ib_error *err) {
    ib_reader_options ro = {.width = o->width,
                            .height = o->height,
                            .auto_orient = true,
                            .fit = o->fit,
                            .every = o->every,
                            .threads = o->threads,
                            .matrix = IB_MATRIX_UNSPECIFIED};
    int code = ib_reader_open(&j->reader, path, &ro, err);
    if (code || (!*sha256 && (code = ib_sha256_file(path, sha256, err))))
        return code;
    const ib_video_info *v = ib_reader_info(j->reader);
    ib_latent_info info = {.frame_width = v->width,
                           .frame_height = v->height,
                           .matrix = (int)v->matrix,
                           .fps = v->fps / o->every,
                           .every = o->every,
                           .fit = (int)o->fit,
                           .source_bytes = (int64_t)st->st_size,
                           .source_mtime_ns = mtime_ns(st)};
    snprintf(info.space_id, sizeof info.space_id, "%s", ib_space_id(space));
    snprintf(info.source, sizeof info.source, "%s", ib_basename(path));
    memcpy(info.source_sha256, sha256, sizeof info.source_sha256);
    stats->width = v->width;
    stats->height = v->height;
    *estimate = (v->frames_estimate + o->every - 1) / o->every;
    if ((code = ib_space_shape(space, v->width, v->height, &info.shape, err)) ||
        (code = ib_alloc_floats(&j->z, info.shape.tokens * info.shape.width, "the latent of a frame", err)) ||
        (code = ib_cuts_create(&j->cuts, err)))
        return code;
    return ib_latent_writer_create(&j->writer, out_path, &info, err);
}

int ib_encode_video(const char *path, const char *out_path, const ib_space *space, const ib_encode_options *o,
                    ib_encode_stats *stats, ib_error *err) {
    struct stat st;
    job j = {0};
    char sha256[65] = "";
    const char *what = NULL;
    int64_t estimate = 0;
    int code;
    memset(stats, 0, sizeof *stats);
    if (o->every < 1)
        return ib_fail(err, IB_E_ARGUMENT, "cannot keep every %dth frame of %s, expected 1 or more", o->every,
                       path);
    if (stat(path, &st))
        return ib_fail(err, IB_E_IO, "cannot open %s: %s", path, strerror(errno));
    if (!o->force && (code = unchanged(path, out_path, &st, space, o, sha256, stats, err)))
        return code < 0 ? code : IB_OK;
    if ((code = begin(&j, path, out_path, &st, space, o, sha256, &estimate, stats, err)) ||
        (code = encode_frames(&j, space, o, estimate, stats, err)))
        goto end;
    stats->damaged = ib_reader_damaged(j.reader, &what);
    snprintf(stats->damage, sizeof stats->damage, "%s", what ? what : "");
    code = ib_latent_writer_finish(&j.writer, err);
end:
    ib_latent_writer_abort(&j.writer);
    ib_cuts_free(&j.cuts);
    ib_free(j.z);
    ib_reader_close(&j.reader);
    return code;
}
