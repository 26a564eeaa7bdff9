#include "render/retime.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/file.h"
#include "base/resume.h"
#include "base/version.h"
#include "render/batch.h"
#include "render/timing.h"
#include "video_io/behind.h"
#include "video_io/cuts.h"
#include "video_io/reader.h"
#include "video_io/versions.h"

enum {
    SEGMENT_FRAMES =
        240,        /* of the output: what a kill can cost; about what encoders put between key frames */
    LOOKAHEAD = 20, /* half of x264's own: 60 MB less at 720p, for files 0.3 % smaller or larger */
    MAX_THREADS = 64
};

typedef struct retime {
    const ib_retime_options *o;
    ib_reader *reader;
    ib_cuts *cuts;
    ib_renderer *renderer;
    ib_writer *writer;
    ib_behind *behind;
    ib_timing timing;
    ib_batch *batch;
    double step; /* seconds of the source from one frame of the output to the next */
    int threads;
    int64_t next, there; /* number of the output's next frame; how many are there from an earlier call */
    int64_t estimate;
    ib_key resume;
    ib_carry carry;
    char *adapter;        /* its file; NULL: none, or the untrained model */
    const char *input[2]; /* what the output may not replace */
    ib_retime_summary sum;
} retime;

void ib_retime_defaults(ib_retime_options *o) {
    *o = (ib_retime_options){.slow = 1, .crf = -1, .trust = -1, .sharpness = 1};
}

static int check_retime(const ib_retime_options *o, ib_error *err) {
    if (!(o->fps >= 0 && o->fps <= 1000)) {
        return ib_fail(err, IB_E_ARGUMENT, "%g frames a second, above 0 and at most 1000 was expected",
                       o->fps);
    }
    if (!(o->slow >= 1 && o->slow <= 100)) {
        return ib_fail(err, IB_E_ARGUMENT, "%g times as slow, 1 to 100 was expected", o->slow);
    }
    if (!(o->trust == -1 || (o->trust >= 0 && o->trust <= 1))) {
        return ib_fail(err, IB_E_ARGUMENT, "a trust of %g, 0 to 1 was expected", o->trust);
    }
    if (!(o->sharpness >= 0 && o->sharpness <= 1)) {
        return ib_fail(err, IB_E_ARGUMENT, "a sharpness of %g, 0 to 1 was expected", o->sharpness);
    }
    return 0;
}

/* All that the bytes depend on. */
static int make_key(retime *r, ib_error *err) {
    const ib_retime_options *o = r->o;
    ib_key *k = &r->resume;
    ib_key_add(k, "retime " IB_VERSION " FFmpeg %s fps %.17g slow %.17g trust %.17g codec %s crf %d\n",
               ib_ffmpeg_version(), o->fps, o->slow, o->trust, o->codec ? o->codec : "", o->crf);
    ib_key_add(k, "sound %d interlaced %d threads %d\n", !o->no_sound, o->keep_interlaced, r->threads);
    ib_key_add_input(k, o->input);
    ib_key_add(k, "adapter %s sharpness %.17g\n", !r->adapter && o->adapter ? o->adapter : "", o->sharpness);
    ib_key_add_input(k, r->adapter);
    return k->failed ? ib_fail(err, IB_E_MEMORY, "%s: out of memory for its name", o->input) : 0;
}

static int open_input(retime *r, ib_error *err) {
    const ib_retime_options *o = r->o;
    bool clip = ib_writer_carries(o->output);
    /* One thread decodes fast enough, in less memory; with several, which frames of damaged H.264 FFmpeg
     * marks so depends on their timing, and a run that is continued has to see the same. */
    const ib_reader_options how = {.threads = 1,
                                   .keep_interlaced = o->keep_interlaced,
                                   .keep_aspect = clip,
                                   .keep_rotation = ib_writer_turns(o->output),
                                   .stop = o->stop};
    int rc = ib_reader_open(&r->reader, o->input, &how, err);
    if (rc) {
        return rc;
    }
    const ib_video_info *i = ib_reader_info(r->reader);
    if (i->still) {
        return ib_fail(err, IB_E_FORMAT, "%s: is a picture where a video was expected", o->input);
    }
    if (!ib_is_file(o->input)) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: is no regular file, and a video is read more than once",
                       o->input);
    }
    r->sum.width = i->width;
    r->sum.height = i->height;
    r->sum.fps = o->fps > 0 ? o->fps : i->fps;
    r->step = 1 / (r->sum.fps * o->slow);
    r->timing = (ib_timing){.frame_seconds = 1 / i->fps, .tick_seconds = i->tick_seconds};
    r->estimate = (int64_t)fmin(i->duration_seconds / r->step + 0.5, 1e15);
    return 0;
}

/* Where most pairs have one in-between, encoding has a core's work to do. */
static int pairs_at_once(const retime *r) {
    const double work = 75e6, per_px = 40, most = 2e9; /* bytes of a pair (render/renderer.h), of all */
    bool doubled = r->step * 2 > 0.99 * r->timing.frame_seconds;
    double fit = most / (work + per_px * r->sum.width * r->sum.height);
    int pairs = doubled ? r->threads - 1 : r->threads;
    pairs = pairs < fit ? pairs : (int)fit;
    return pairs < 1 ? 1 : pairs;
}

static int open_output(retime *r, ib_error *err) {
    const ib_retime_options *o = r->o;
    const ib_video_info *i = ib_reader_info(r->reader);
    r->input[0] = o->input;
    r->input[1] = r->adapter;
    r->carry = (ib_carry){.source = o->input,
                          .start_seconds = i->start_seconds,
                          .slow = o->slow,
                          .sound = !o->no_sound,
                          .rotation = ib_writer_turns(o->output),
                          .stop = o->stop};
    const ib_writer_options how = {.width = i->width,
                                   .height = i->height,
                                   .fps = r->sum.fps,
                                   .matrix = i->matrix,
                                   .primaries = i->primaries,
                                   .transfer = i->transfer,
                                   .chroma_location = i->chroma_location,
                                   .sample_width = i->sample_width,
                                   .sample_height = i->sample_height,
                                   .codec = o->codec,
                                   .crf = o->crf,
                                   .lookahead = LOOKAHEAD,
                                   .threads = r->threads,
                                   .overwrite = o->overwrite,
                                   .inputs = r->input,
                                   .n_inputs = 2,
                                   .resume_key = r->resume.text,
                                   .segment_frames = SEGMENT_FRAMES,
                                   .carry = &r->carry,
                                   .carried = &r->sum.carried};
    int rc = ib_writer_open(&r->writer, o->output, &how, err);
    if (rc) {
        return rc;
    }
    r->there = ib_writer_done(r->writer);
    int pairs = pairs_at_once(r);
    rc = ib_behind_open(&r->behind, r->writer, i->width, i->height, 2 * pairs + 2, err);
    return rc ? rc : ib_batch_create(&r->batch, r->renderer, r->behind, i->width, i->height, pairs, err);
}

static int open_all(retime *r, ib_error *err) {
    const ib_retime_options *o = r->o;
    r->threads = o->threads > 0 ? o->threads : omp_get_max_threads();
    r->threads = r->threads > MAX_THREADS ? MAX_THREADS : r->threads;
    int rc = check_retime(o, err);
    rc = rc ? rc : ib_adapter_named_file(&r->adapter, o->adapter, err);
    rc = rc ? rc : make_key(r, err);
    rc = rc ? rc : open_input(r, err);
    rc = rc ? rc : ib_renderer_open(&r->renderer, o->adapter, r->sum.width, r->sum.height, r->threads, err);
    if (!rc && o->trust >= 0) {
        ib_renderer_trust(r->renderer, o->trust);
    }
    if (!rc) {
        ib_renderer_sharpen(r->renderer, o->sharpness);
    }
    rc = rc ? rc : open_output(r, err);
    rc = rc ? rc : ib_cuts_create(&r->cuts, err);
    return rc;
}

static bool same_samples(const ib_frame *a, const ib_frame *b) {
    for (int p = 0; p < 3; p++) {
        size_t w = (size_t)(p ? (a->width + 1) / 2 : a->width);
        for (int y = 0; y < (p ? (a->height + 1) / 2 : a->height); y++) {
            if (memcmp(a->plane[p] + (size_t)y * a->stride[p], b->plane[p] + (size_t)y * b->stride[p], w)) {
                return false;
            }
        }
    }
    return true;
}

/* All frames of the output from one frame of the source to the next, or the last one's, after which none
 * comes. */
static int fill(retime *r, const ib_interval *i, bool more, ib_error *err) {
    double gap = i->end - ib_interval_leave(&r->timing, i), near = ib_timing_tolerance(&r->timing, gap),
           at = (double)r->next * r->step;
    int rc = 0;
    while (!rc && ib_interval_holds(&r->timing, i, at)) {
        double p = more ? ib_interval_place(&r->timing, i, at) : 0;
        if (r->o->stop && atomic_load(r->o->stop)) {
            return IB_E_INTERRUPTED;
        }
        r->sum.passed += p <= 0 && fabs(at - i->begin) <= near;
        r->sum.held += (p <= 0 && fabs(at - i->begin) > near) || p >= 1;
        r->sum.made += p > 0 && p < 1;
        if (r->next++ >= r->there) {
            rc = p > 0 && p < 1 ? ib_batch_make(r->batch, (float)p, (float)gap, err)
                                : ib_batch_pass(r->batch, more && p <= 0, err);
        }
        at = (double)r->next * r->step;
    }
    if (!rc && r->o->progress) {
        int64_t done = r->next - ib_batch_waiting(r->batch);
        r->o->progress(r->o->user, done, r->estimate > r->next ? r->estimate : r->next);
    }
    return rc;
}

static int make_frames(retime *r, ib_error *err) {
    const ib_frame *f;
    ib_interval i = {0};
    int rc;
    while ((rc = ib_reader_next(r->reader, &f, err)) > 0) {
        int cut = ib_cuts_push(r->cuts, f, err);
        if (cut < 0) {
            return cut;
        }
        bool begun = r->sum.source_frames++ > 0;
        if (begun && same_samples(ib_batch_frame(r->batch, 0), f)) {
            r->sum.repeats++;
            i.seen = f->pts_seconds;
            continue;
        }
        if ((rc = ib_batch_advance(r->batch, f, err))) {
            return rc;
        }
        if (begun) {
            i.end = f->pts_seconds;
            i.cut = cut;
            r->sum.cuts += cut;
            if ((rc = fill(r, &i, true, err))) {
                return rc;
            }
        }
        i = (ib_interval){.begin = f->pts_seconds, .seen = f->pts_seconds};
    }
    if (rc) {
        return rc;
    }
    i.end = i.seen + ib_reader_last_seconds(r->reader);
    rc = fill(r, &i, false, err);
    rc = rc ? rc : ib_batch_flush(r->batch, err);
    return rc ? rc : ib_behind_flush(r->behind, err);
}

/* kept: ib_writer_kept, before it ended. */
static int stopped_retime(const retime *r, const char *kept, ib_error *err) {
    if (!*kept) {
        return ib_fail(err, IB_E_INTERRUPTED, "%s: stopped; nothing is kept", r->o->output);
    }
    return ib_fail(err, IB_E_INTERRUPTED,
                   "%s: stopped after %lld frames; what is done is kept in %s, and the same command goes on "
                   "from there",
                   r->o->output, (long long)(r->next - ib_batch_waiting(r->batch)), kept);
}

static void describe(retime *r) {
    const char *what = NULL;
    r->sum.frames = r->next;
    r->sum.taken_up = r->there < r->next ? r->there : r->next;
    r->sum.seconds = (double)r->next / r->sum.fps;
    r->sum.interlaced = ib_reader_interlaced(r->reader);
    r->sum.damaged = ib_reader_damaged(r->reader, &what);
    snprintf(r->sum.damage, sizeof r->sum.damage, "%s", what ? what : "");
}

static void release(retime *r) {
    ib_batch_free(&r->batch);
    ib_behind_close(&r->behind);
    ib_writer_abort(&r->writer);
    ib_reader_close(&r->reader);
    ib_cuts_free(&r->cuts);
    ib_renderer_close(&r->renderer);
    free(r->adapter);
    ib_key_free(&r->resume);
    free(r);
}

int ib_retime(const ib_retime_options *o, ib_retime_summary *summary, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    *err = (ib_error){0};
    retime *r = calloc(1, sizeof *r);
    if (!r) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory", o->input);
    }
    r->o = o;
    int rc = open_all(r, err);
    rc = rc ? rc : make_frames(r, err);
    ib_behind_close(&r->behind);
    char kept[512] = "";
    if (r->writer && ib_writer_kept(r->writer)) {
        snprintf(kept, sizeof kept, "%s", ib_writer_kept(r->writer));
    }
    if (!rc) {
        describe(r);
        rc = ib_writer_finish(&r->writer, err);
    }
    if (rc == IB_E_INTERRUPTED) {
        rc = stopped_retime(r, kept, err);
    }
    if (!rc && summary) {
        *summary = r->sum;
    }
    release(r);
    return rc;
}
