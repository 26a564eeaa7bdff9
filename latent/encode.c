#include "latent/encode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "video_io/cuts.h"

void ib_encode_defaults(ib_encode_options *o) {
    *o = (ib_encode_options){.width = 192, .height = 112, .fit = IB_FIT_CROP, .every = 1};
}

static int64_t mtime_ns(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Nothing to hash, or to compare with later. */
static bool is_stream(const struct stat *st) {
    return !S_ISREG(st->st_mode);
}

/* Whether this program makes the same pictures of the source as the one that made the file. 1, 0, or < 0. */
static int same_pictures(const ib_latent_info *i, const char *path, const ib_encode_options *o,
                         ib_error *err) {
    if (i->picture_version == IB_PICTURE_VERSION && i->deinterlaced == !o->keep_interlaced) {
        return 1;
    }
    if (i->picture_version > IB_PICTURE_VERSION) {
        return 0;
    }
    ib_reader *r = NULL;
    ib_reader_options ro = {.threads = o->threads, .keep_interlaced = o->keep_interlaced, .stop = o->stop};
    int rc = ib_reader_open(&r, path, &ro, err);
    bool plain = !rc && ib_reader_info(r)->plain;
    ib_reader_close(&r);
    return rc ? rc : plain;
}

static bool same_settings(const ib_latent_info *i, const ib_space *space, const ib_encode_options *o) {
    bool as_asked = ib_space_resizes(space) || (i->frame_width == o->width && i->frame_height == o->height);
    bool turned = i->frame_width == o->height && i->frame_height == o->width;
    return !strcmp(i->space_id, ib_space_id(space)) && (as_asked || turned) && i->fit == (int)o->fit &&
           i->every == o->every;
}

/* 1 if out_path is the whole result of encoding this source with these settings. sha256 is filled if it had
 * to be computed. */
static int unchanged(const char *path, const char *out_path, const struct stat *st, const ib_space *space,
                     const ib_encode_options *o, char sha256[65], ib_encode_stats *stats, ib_error *err) {
    ib_latent_file *f = NULL;
    int result = 0;
    if (!ib_is_file(out_path) || ib_latent_open(&f, out_path, NULL)) {
        return 0; /* what cannot be read is written anew */
    }
    const ib_latent_info *i = ib_latent_info_of(f);
    if (!same_settings(i, space, o) || strcmp(i->source, ib_basename(path)) ||
        i->source_bytes != (int64_t)st->st_size) {
        goto end;
    }
    if (i->source_mtime_ns != mtime_ns(st)) {
        if ((result = ib_sha256_file(path, sha256, err))) {
            goto end;
        }
        if (strcmp(sha256, i->source_sha256)) {
            goto end;
        }
    }
    if ((result = same_pictures(i, path, o, err)) <= 0) {
        goto end;
    }
    stats->unchanged = true;
    stats->frames = i->frames;
    stats->width = i->frame_width;
    stats->height = i->frame_height;
    for (size_t k = 1; k < i->frames; k++) {
        stats->cuts += ib_latent_cuts(f)[k];
    }
end:
    ib_latent_close(&f);
    return result;
}

/* Everything that lives while one video is encoded. */
typedef struct job {
    ib_reader *reader;
    ib_cuts *cuts;
    ib_latent_writer *writer;
    float *z;             /* [batch,T,D] */
    size_t each;          /* T D */
    ib_space_input input; /* batch >= 1 */
    float *inputs;        /* [batch,floats]; NULL: frames are encoded one by one */
    size_t gathered;      /* frames in inputs whose latents are not written yet */
    double *pts;          /* [batch] seconds, of those */
    bool *cut;            /* [batch] */
    double last;          /* seconds, of the last frame read */
} job;

/* Encodes what was gathered and writes it. */
static int flush(job *j, const ib_space *space, const ib_encode_options *o, int64_t estimate,
                 ib_encode_stats *stats, ib_error *err) {
    int rc = IB_OK;
    if (j->inputs) {
        rc = ib_space_encode_inputs(space, j->inputs, j->gathered, j->z, err);
    }
    for (size_t k = 0; k < j->gathered && !rc; k++) {
        rc = ib_latent_writer_append(j->writer, j->z + k * j->each, j->pts[k], j->cut[k], err);
        stats->cuts += j->cut[k] && stats->frames;
        stats->frames++;
    }
    j->gathered = 0;
    if (!rc && o->progress) {
        o->progress(o->user, stats->frames, estimate);
    }
    return rc;
}

static int encode_frames(job *j, const ib_space *space, const ib_encode_options *o, int64_t estimate,
                         ib_encode_stats *stats, ib_error *err) {
    const ib_frame *frame;
    int rc;
    while ((rc = ib_reader_next(j->reader, &frame, err)) > 0) {
        if (o->stop && atomic_load(o->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
        int cut = ib_cuts_push(j->cuts, frame, err);
        if (cut < 0) {
            return cut;
        }
        size_t k = j->gathered;
        rc = j->inputs ? ib_space_prepare(space, frame, j->inputs + k * j->input.floats, err)
                       : ib_space_encode(space, frame, j->z, err);
        if (rc) {
            return rc;
        }
        /* time never runs backwards in a latent file, whatever the container says */
        j->last = frame->pts_seconds > j->last ? frame->pts_seconds : j->last;
        j->pts[k] = j->last;
        j->cut[k] = cut != 0;
        if (++j->gathered == j->input.batch && (rc = flush(j, space, o, estimate, stats, err))) {
            return rc;
        }
    }
    return rc || !j->gathered ? rc : flush(j, space, o, estimate, stats, err);
}

static int make_room(job *j, const ib_space *space, const ib_shape *shape, bool still, ib_error *err) {
    size_t all, inputs;
    j->input = ib_space_input_of(space);
    j->each = shape->tokens * shape->width;
    if (!j->input.floats || still) {
        j->input.batch = 1;
    }
    if (ib_size_mul(j->input.batch, j->each, &all) || ib_size_mul(j->input.batch, j->input.floats, &inputs)) {
        return ib_fail(err, IB_E_MEMORY, "a batch of %zu frames is too large", j->input.batch);
    }
    j->pts = ib_calloc(j->input.batch, sizeof *j->pts);
    j->cut = ib_calloc(j->input.batch, sizeof *j->cut);
    if (!j->pts || !j->cut) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a batch of %zu frames", j->input.batch);
    }
    int rc = ib_alloc_floats(&j->z, all, "the latents of a batch", err);
    return rc || !inputs ? rc : ib_alloc_floats(&j->inputs, inputs, "the pictures of a batch", err);
}

static int begin_encode(job *j, const char *path, const char *out_path, const struct stat *st,
                        const ib_space *space, const ib_encode_options *o, char sha256[65], int64_t *estimate,
                        ib_encode_stats *stats, ib_error *err) {
    bool resizes = ib_space_resizes(space);
    ib_reader_options ro = {.width = resizes ? 0 : o->width,
                            .height = resizes ? 0 : o->height,
                            .auto_orient = !resizes,
                            .rgb = resizes,
                            .fit = o->fit,
                            .every = o->every,
                            .threads = o->threads,
                            .keep_interlaced = o->keep_interlaced,
                            .stop = o->stop,
                            .matrix = IB_MATRIX_UNSPECIFIED};
    int rc = ib_reader_open(&j->reader, path, &ro, err);
    if (rc || (!*sha256 && !is_stream(st) && (rc = ib_sha256_file(path, sha256, err)))) {
        return rc;
    }
    const ib_video_info *v = ib_reader_info(j->reader);
    ib_latent_info info = {.frame_width = v->width,
                           .frame_height = v->height,
                           .matrix = (int)v->matrix,
                           .fps = v->fps / o->every,
                           .every = o->every,
                           .fit = (int)o->fit,
                           .picture_version = IB_PICTURE_VERSION,
                           .deinterlaced = !o->keep_interlaced,
                           .source_bytes = (int64_t)st->st_size,
                           .source_mtime_ns = mtime_ns(st)};
    snprintf(info.space_id, sizeof info.space_id, "%s", ib_space_id(space));
    snprintf(info.source, sizeof info.source, "%s", ib_basename(path));
    memcpy(info.source_sha256, sha256, sizeof info.source_sha256);
    stats->width = v->width;
    stats->height = v->height;
    *estimate = (v->frames_estimate + o->every - 1) / o->every;
    if ((rc = ib_space_shape(space, v->width, v->height, &info.shape, err)) ||
        (rc = make_room(j, space, &info.shape, v->still, err)) || (rc = ib_cuts_create(&j->cuts, err))) {
        return rc;
    }
    return ib_latent_writer_create(&j->writer, out_path, &info, err);
}

/* What may be replaced: nothing, an empty file, or what begins as a latent file of ours does,
 * damaged or not. */
static int check_output(const char *path, const char *out_path, const ib_encode_options *o, ib_error *err) {
    int rc = ib_output_check(out_path, &path, 1, NULL, err);
    if (rc || o->overwrite || !ib_is_file(out_path) || ib_latent_is_ours(out_path)) {
        return rc;
    }
    return ib_fail(err, IB_E_ARGUMENT,
                   "%s: cannot be encoded to %s: that is a file of another kind; --overwrite replaces it",
                   path, out_path);
}

int ib_encode_video(const char *path, const char *out_path, const ib_space *space, const ib_encode_options *o,
                    ib_encode_stats *stats, ib_error *err) {
    struct stat st;
    job j = {0};
    char sha256[65] = "";
    const char *what = NULL;
    int64_t estimate = 0;
    int rc;
    ib_encode_stats own;
    stats = stats ? stats : &own;
    memset(stats, 0, sizeof *stats);
    if (o->every < 1) {
        return ib_fail(err, IB_E_ARGUMENT, "cannot keep every %dth frame of %s, expected 1 or more", o->every,
                       path);
    }
    if (stat(path, &st)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if ((rc = check_output(path, out_path, o, err))) {
        return rc;
    }
    if (!o->force && !is_stream(&st) && (rc = unchanged(path, out_path, &st, space, o, sha256, stats, err))) {
        return rc < 0 ? rc : IB_OK;
    }
    if ((rc = begin_encode(&j, path, out_path, &st, space, o, sha256, &estimate, stats, err)) ||
        (rc = encode_frames(&j, space, o, estimate, stats, err))) {
        goto end;
    }
    stats->interlaced = (size_t)ib_reader_interlaced(j.reader);
    stats->damaged = ib_reader_damaged(j.reader, &what);
    snprintf(stats->damage, sizeof stats->damage, "%s", what ? what : "");
    rc = ib_latent_writer_finish(&j.writer, err);
end:
    ib_latent_writer_abort(&j.writer);
    ib_cuts_free(&j.cuts);
    ib_free(j.inputs);
    ib_free(j.cut);
    ib_free(j.pts);
    ib_free(j.z);
    ib_reader_close(&j.reader);
    return rc;
}
