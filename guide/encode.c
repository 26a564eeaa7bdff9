#include "guide/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "guide/guided.h"
#include "video_io/cuts.h"

void ib_encode_defaults(ib_encode_options *o) {
    *o = (ib_encode_options){.width = 192,
                             .height = 112,
                             .fit = IB_FIT_CROP,
                             .every = 1,
                             .guide_gap = {4, 8, 16},
                             .guide_gaps = 3,
                             .guide_windows = 32};
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

/* 1 if out_path is the whole result of encoding this source with these settings, whatever its guides. *out is
 * then open. sha256 is filled if it had to be computed. */
static int same_latents(const char *path, const char *out_path, const struct stat *st, const ib_space *space,
                        const ib_encode_options *o, char sha256[65], ib_latent_file **out, ib_error *err) {
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
    if ((result = same_pictures(i, path, o, err)) == 1) {
        *out = f;
        return 1;
    }
end:
    ib_latent_close(&f);
    return result;
}

/* Everything that lives while one video is encoded. */
typedef struct job {
    const char *path;
    const ib_space *space;
    const ib_encode_options *o;
    int gap[IB_ENCODE_GUIDE_GAPS]; /* rising */
    ib_guide *guide;               /* NULL: no guides */
    ib_reader_options how;
    ib_latent_file *old; /* holds the latents already */
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
    size_t done;          /* pictures */
    int64_t estimate;     /* of all; 0: unknown */
} job;

static void tell_progress(void *user, size_t guides) {
    job *j = user;
    j->done += IB_GUIDE_PICTURES * guides;
    if (j->o->progress) {
        j->o->progress(j->o->user, j->done, j->estimate);
    }
}

/* Pictures of the guides of so many frames, if they were one shot. */
static int64_t guess_guides(const job *j, int64_t frames) {
    int64_t n = 0;
    for (size_t i = 0; j->guide && i < j->o->guide_gaps; i++) {
        int64_t windows = frames / j->gap[i];
        n += (windows < j->o->guide_windows ? windows : j->o->guide_windows) * (j->gap[i] - 1);
    }
    return IB_GUIDE_PICTURES * n;
}

/* Encodes what was gathered and writes it. */
static int flush(job *j, ib_encode_stats *stats, ib_error *err) {
    int rc = IB_OK;
    if (j->inputs) {
        rc = ib_space_encode_inputs(j->space, j->inputs, j->gathered, j->z, err);
    }
    for (size_t k = 0; k < j->gathered && !rc; k++) {
        rc = ib_latent_writer_append(j->writer, j->z + k * j->each, j->pts[k], j->cut[k], err);
        stats->cuts += j->cut[k] && stats->frames;
        stats->frames++;
    }
    j->done += j->gathered;
    j->gathered = 0;
    if (!rc) {
        tell_progress(j, 0);
    }
    return rc;
}

static int encode_frames(job *j, ib_encode_stats *stats, ib_error *err) {
    const ib_space *space = j->space;
    const ib_frame *frame;
    int rc;
    while ((rc = ib_reader_next(j->reader, &frame, err)) > 0) {
        if (j->o->stop && atomic_load(j->o->stop)) {
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
        if (++j->gathered == j->input.batch && (rc = flush(j, stats, err))) {
            return rc;
        }
    }
    return rc || !j->gathered ? rc : flush(j, stats, err);
}

static int make_room(job *j, const ib_shape *shape, bool still, ib_error *err) {
    size_t all, inputs;
    j->input = ib_space_input_of(j->space);
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

static ib_reader_options reading(const ib_space *space, const ib_encode_options *o) {
    bool resizes = ib_space_resizes(space);
    return (ib_reader_options){.width = resizes ? 0 : o->width,
                               .height = resizes ? 0 : o->height,
                               .auto_orient = !resizes,
                               .rgb = resizes,
                               .fit = o->fit,
                               .every = o->every,
                               .threads = o->threads,
                               .keep_interlaced = o->keep_interlaced,
                               .stop = o->stop,
                               .matrix = IB_MATRIX_UNSPECIFIED};
}

static int begin_encode(job *j, const char *out_path, const struct stat *st, char sha256[65],
                        ib_encode_stats *stats, ib_error *err) {
    const ib_encode_options *o = j->o;
    const char *path = j->path;
    int rc = ib_reader_open(&j->reader, path, &j->how, err);
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
    snprintf(info.space_id, sizeof info.space_id, "%s", ib_space_id(j->space));
    snprintf(info.source, sizeof info.source, "%s", ib_basename(path));
    memcpy(info.source_sha256, sha256, sizeof info.source_sha256);
    stats->width = v->width;
    stats->height = v->height;
    j->estimate = (v->frames_estimate + o->every - 1) / o->every;
    j->estimate += guess_guides(j, j->estimate);
    if ((rc = ib_space_shape(j->space, v->width, v->height, &info.shape, err)) ||
        (rc = make_room(j, &info.shape, v->still, err)) || (rc = ib_cuts_create(&j->cuts, err))) {
        return rc;
    }
    return ib_latent_writer_create(&j->writer, out_path, &info, err);
}

/* The latents of the file that is there, into the new one. */
static int copy_frames(job *j, const char *out_path, ib_encode_stats *stats, ib_error *err) {
    const ib_latent_info *i = ib_latent_info_of(j->old);
    int rc = ib_latent_writer_create(&j->writer, out_path, i, err);
    j->each = i->shape.tokens * i->shape.width;
    rc = rc ? rc : ib_alloc_floats(&j->z, j->each, "the latent of a frame", err);
    for (size_t k = 0; k < i->frames && !rc; k++) {
        rc = ib_latent_read(j->old, k, 1, j->z, err);
        rc = rc ? rc
                : ib_latent_writer_append(j->writer, j->z, ib_latent_pts(j->old)[k],
                                          ib_latent_cuts(j->old)[k], err);
    }
    stats->kept = !rc;
    return rc;
}

/* ---- guides ---- */

static int rising(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static int check_guides(job *j, ib_error *err) {
    const ib_encode_options *o = j->o;
    bool good = o->guide_gaps <= IB_ENCODE_GUIDE_GAPS && o->guide_windows >= 1;
    if (good) {
        memcpy(j->gap, o->guide_gap, o->guide_gaps * sizeof *j->gap);
        qsort(j->gap, o->guide_gaps, sizeof *j->gap, rising);
    }
    for (size_t i = 0; good && i < o->guide_gaps; i++) {
        good = j->gap[i] >= 2 && j->gap[i] <= IB_GUIDE_MAX_GAP && (!i || j->gap[i] != j->gap[i - 1]);
    }
    return good ? IB_OK
                : ib_fail(
                      err, IB_E_ARGUMENT,
                      "guides need at least a window a gap, and at most %d gaps of 2 to %d frames, none of "
                      "them twice",
                      IB_ENCODE_GUIDE_GAPS, IB_GUIDE_MAX_GAP);
}

/* Makes ready for guides, if there are to be any. */
static int begin_guides(job *j, const struct stat *st, ib_encode_stats *stats, ib_error *err) {
    const ib_encode_options *o = j->o;
    bool sees = ib_space_resizes(j->space) && ib_space_input_of(j->space).floats;
    if ((o->guide && !strcmp(o->guide, IB_GUIDE_NONE)) || (!o->guide && !sees)) {
        return IB_OK;
    }
    if (is_stream(st)) {
        stats->no_guides = "a pipe cannot be read twice: no guides";
        return IB_OK;
    }
    int rc = check_guides(j, err);
    return rc ? rc : ib_guide_create(&j->guide, j->space, o->guide, o->threads, err);
}

/* 1: the guides of the open file are those that are asked for; 0; or < 0. */
static int same_guides(const job *j, ib_error *err) {
    const ib_guide_table *t = ib_latent_guides(j->old);
    ib_guided_plan p;
    if (!j->guide) {
        return !t;
    }
    int rc = ib_guided_plan_make(&p, ib_latent_cuts(j->old), ib_latent_info_of(j->old)->frames, j->gap,
                                 j->o->guide_gaps, j->o->guide_windows, err);
    rc = rc ? rc : ib_guided_plan_is(&p, ib_guide_model(j->guide), t);
    ib_guided_plan_free(&p);
    return rc;
}

static int make_guides(job *j, ib_encode_stats *stats, ib_error *err) {
    ib_guided_plan p;
    double fps = j->old ? ib_latent_info_of(j->old)->fps : ib_reader_info(j->reader)->fps / j->o->every;
    if (!j->guide) {
        return IB_OK;
    }
    ib_reader_close(&j->reader);
    int rc = ib_guided_plan_make(&p, ib_latent_writer_cuts(j->writer), ib_latent_writer_frames(j->writer),
                                 j->gap, j->o->guide_gaps, j->o->guide_windows, err);
    if (!rc && p.guides) {
        j->estimate = (int64_t)(j->done + IB_GUIDE_PICTURES * p.guides);
        rc = ib_guided_write(&p, j->guide, j->each, j->path, &j->how, fps, j->writer, tell_progress, j, err);
        stats->windows = p.windows;
        stats->guides = p.guides;
        snprintf(stats->guide_model, sizeof stats->guide_model, "%s", ib_guide_model(j->guide));
    }
    ib_guided_plan_free(&p);
    return rc;
}

/* The figures of a file that is left alone. */
static void describe(const ib_latent_file *f, ib_encode_stats *stats) {
    const ib_latent_info *i = ib_latent_info_of(f);
    const ib_guide_table *t = ib_latent_guides(f);
    stats->frames = i->frames;
    stats->width = i->frame_width;
    stats->height = i->frame_height;
    for (size_t k = 1; k < i->frames; k++) {
        stats->cuts += ib_latent_cuts(f)[k];
    }
    if (t) {
        stats->windows = t->windows;
        stats->guides = t->guides;
        snprintf(stats->guide_model, sizeof stats->guide_model, "%s", t->model);
    }
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

/* The latents, from the file that is there or from the video. */
static int make_latents(job *j, const char *out_path, const struct stat *st, char sha256[65],
                        ib_encode_stats *stats, ib_error *err) {
    const char *what = NULL;
    if (j->old) {
        describe(j->old, stats);
        stats->windows = stats->guides = 0;
        *stats->guide_model = 0;
        return copy_frames(j, out_path, stats, err);
    }
    int rc = begin_encode(j, out_path, st, sha256, stats, err);
    rc = rc ? rc : encode_frames(j, stats, err);
    if (!rc) {
        stats->interlaced = (size_t)ib_reader_interlaced(j->reader);
        stats->damaged = ib_reader_damaged(j->reader, &what);
        snprintf(stats->damage, sizeof stats->damage, "%s", what ? what : "");
    }
    return rc;
}

int ib_encode_video(const char *path, const char *out_path, const ib_space *space, const ib_encode_options *o,
                    ib_encode_stats *stats, ib_error *err) {
    struct stat st;
    job j = {.path = path, .space = space, .o = o, .how = reading(space, o)};
    char sha256[65] = "";
    int rc, same = 0;
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
    if ((rc = check_output(path, out_path, o, err)) || (rc = begin_guides(&j, &st, stats, err))) {
        return rc;
    }
    if (!o->force && !is_stream(&st)) {
        same = same_latents(path, out_path, &st, space, o, sha256, &j.old, err);
        int guides = same > 0 ? same_guides(&j, err) : 0;
        same = guides < 0 ? guides : same + guides;
    }
    if (same == 2) {
        stats->unchanged = true;
        describe(j.old, stats);
    }
    if (same < 0 || same == 2) {
        rc = same < 0 ? same : IB_OK;
        goto end;
    }
    rc = make_latents(&j, out_path, &st, sha256, stats, err);
    rc = rc ? rc : make_guides(&j, stats, err);
    rc = rc ? rc : ib_latent_writer_finish(&j.writer, err);
end:
    ib_latent_writer_abort(&j.writer);
    ib_latent_close(&j.old);
    ib_guide_free(&j.guide);
    ib_cuts_free(&j.cuts);
    ib_free(j.inputs);
    ib_free(j.cut);
    ib_free(j.pts);
    ib_free(j.z);
    ib_reader_close(&j.reader);
    return rc;
}
