/* Windows of a video at its own size: frames are streamed through a ring that holds a window and a gap on
 * either side of it. */
#include <math.h>
#include <stdlib.h>
#include <omp.h>

#include "base/memory.h"
#include "eval/scene.h"
#include "eval/score.h"
#include "motion/pair.h"
#include "nn/gemm.h"
#include "video_io/reader.h"

/* Threads' memory together is at most about this; a picture of 3840 x 2160 takes 350 MB a thread. */
static const double most_scene_bytes = 900e6;

typedef struct native {
    const ib_judge *judge;
    const char *video;
    const ib_latent_file *f;
    size_t methods, rivals;
    size_t longest;         /* gap */
    size_t length;          /* of the ring */
    ib_frame *ring;         /* frame i of the video is at i % length */
    const ib_frame **frame; /* [gap + 1] of the window at hand */
    double *pts;            /* likewise */
    float *place;           /* [gap - 1] */
    ib_frame *given;        /* [givers, longest] */
    ib_step *step;          /* [gap + 1, rivals] */
    ib_scene *scene;        /* [threads] */
    ib_pair *pair;          /* the window's, for adapters */
    float *z[4];            /* [T,D] keyframes around the window */
    int threads;
    double fps;
} native;

/* Frame k of the window becomes the scene's truth. */
static int load_truth(const native *n, ib_scene *s, int k, ib_error *err) {
    ib_frame_copy(&s->truth_frame, n->frame[k]);
    return ib_space_encode(n->judge->space, n->frame[k], s->truth, err);
}

/* Targets begin to end - 1, and the last keyframe if end is the gap. */
static int judge_stretch(native *n, ib_scene *s, int gap, int begin, int end, ib_marks *marks,
                         ib_error *err) {
    int last = end == gap ? gap : end - 1;
    int rc = load_truth(n, s, begin - 1, err);
    rc = rc ? rc : ib_scene_begin(s, begin > 1 ? n->place[begin - 2] : 0, begin - 1, err);
    for (int k = begin; k <= last && !rc; k++) {
        rc = load_truth(n, s, k, err);
        rc = rc ? rc
                : ib_scene_step(s, k < gap ? n->place[k - 1] : 1, k, NULL, 0,
                                k < gap ? marks + (size_t)(k - 1) * n->methods : NULL, NULL,
                                n->step + (size_t)k * n->rivals, err);
        rc = !rc && ib_judge_stopped(n->judge, n->video, err) ? IB_E_INTERRUPTED : rc;
    }
    return rc;
}

/* A stretch for each thread. */
static int judge_targets(native *n, int gap, ib_marks *marks, ib_error *err) {
    int threads = n->threads < gap - 1 ? n->threads : gap - 1, rc = IB_OK, before = ib_gemm_pin();
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < threads; i++) {
        ib_error mine = {0};
        int begin = 1 + i * (gap - 1) / threads, end = 1 + (i + 1) * (gap - 1) / threads;
        int mine_rc = judge_stretch(n, &n->scene[i], gap, begin, end, marks, &mine);
        if (mine_rc) {
#pragma omp critical(ib_native_error)
            {
                if (err) {
                    *err = mine;
                }
                rc = mine_rc;
            }
        }
    }
    ib_gemm_unpin(before);
    if (!rc) {
        ib_scene_combine(n->step, gap, n->rivals, n->methods, marks);
    }
    return rc;
}

static int load_keys(native *n, size_t first, int gap, ib_error *err) {
    const ib_frame *key[4] = {NULL, n->frame[0], n->frame[gap], NULL};
    bool before, after;
    ib_judge_outer_keys(n->f, gap, first, &before, &after);
    double begin = n->pts[0], span = n->pts[gap] - begin;
    ib_keys keys = {.before = -1, .after = 2};
    if (before) {
        key[0] = &n->ring[(first - (size_t)gap) % n->length];
        keys.before = span > 0 ? (float)((key[0]->pts_seconds - begin) / span) : -1;
    }
    if (after) {
        key[3] = &n->ring[(first + 2 * (size_t)gap) % n->length];
        keys.after = span > 0 ? (float)((key[3]->pts_seconds - begin) / span) : 2;
    }
    for (int i = 0; i < 4; i++) {
        int rc = key[i] ? ib_space_encode(n->judge->space, key[i], n->z[i], err) : IB_OK;
        if (rc) {
            return rc;
        }
        keys.z[i] = key[i] ? n->z[i] : NULL;
    }
    int rc = n->judge->adapters ? ib_pair_set(n->pair, n->frame[0], n->frame[gap], n->threads, err) : IB_OK;
    for (int i = 0; i < n->threads && !rc; i++) {
        ib_scene *s = &n->scene[i];
        keys.geometry = n->judge->geometry;
        keys.tokens = s->shape.tokens;
        keys.width = s->shape.width;
        s->keys = keys;
        s->given = n->given;
        s->given_stride = n->longest;
        s->gap_seconds = ib_score_seconds(n->pts, gap, n->fps);
    }
    return rc;
}

/* All frames of the window are in the ring, and those of a gap on either side. */
static int judge_window(native *n, size_t first, int gap, ib_marks *marks, ib_error *err) {
    for (size_t k = 0; k <= (size_t)gap; k++) {
        n->frame[k] = &n->ring[(first + k) % n->length];
        n->pts[k] = n->frame[k]->pts_seconds;
    }
    for (int k = 1; k < gap; k++) {
        n->place[k - 1] = ib_score_place(n->pts, gap, k);
    }
    int rc = ib_judge_give(n->judge, n->frame[0], n->frame[gap], n->place, (size_t)gap - 1,
                           ib_score_seconds(n->pts, gap, n->fps), n->longest, n->given, err);
    rc = rc ? rc : load_keys(n, first, gap, err);
    rc = rc ? rc : judge_targets(n, gap, marks, err);
    ib_judge_take_back(n->judge, n->longest, n->given);
    return rc;
}

static int open_native(native *n, const ib_video_info *v, const ib_windows *w, size_t gaps, ib_error *err) {
    ib_shape shape;
    n->fps = v->fps;
    n->methods = ib_judge_methods(n->judge);
    n->rivals = ib_judge_rivals(n->judge);
    for (size_t g = 0; g < gaps; g++) {
        n->longest = w[g].n && (size_t)w[g].gap > n->longest ? (size_t)w[g].gap : n->longest;
    }
    n->length = 3 * n->longest + 1;
    int rc = ib_space_shape(n->judge->space, v->width, v->height, &shape, err);
    if (rc) {
        return rc;
    }
    size_t values = shape.tokens * shape.width;
    double bytes =
        2.0 * sizeof(float) * (double)values + (12.0 + 1.5 * (double)(n->rivals + 3)) * v->width * v->height;
    int most = (int)(most_scene_bytes / bytes);
    n->threads = n->judge->threads < most ? n->judge->threads : most < 1 ? 1 : most;
    rc = ib_alloc_floats(&n->z[0], 4 * values, "a window's keyframes", err);
    if (rc) {
        return rc;
    }
    for (size_t i = 1; i < 4; i++) {
        n->z[i] = n->z[0] + i * values;
    }
    n->ring = calloc(n->length, sizeof *n->ring);
    n->frame = calloc(n->longest + 1, sizeof(ib_frame *));
    n->pts = calloc(n->longest + 1, sizeof *n->pts);
    n->place = calloc(n->longest + 1, sizeof *n->place);
    n->given = ib_calloc(n->longest + 1, ib_judge_givers(n->judge) * sizeof *n->given);
    n->step = ib_calloc(n->longest + 1, n->rivals * sizeof *n->step);
    n->scene = calloc((size_t)n->threads, sizeof *n->scene);
    if (!n->ring || !n->frame || !n->pts || !n->place || !n->given || !n->step || !n->scene) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for windows of %zu frames", n->longest);
    }
    for (size_t k = 0; k < n->length && !rc; k++) {
        rc = ib_frame_alloc(&n->ring[k], v->width, v->height, err);
    }
    rc = rc ? rc : ib_pair_create(&n->pair, v->width, v->height, err);
    for (int i = 0; i < n->threads && !rc; i++) {
        rc = ib_scene_open(&n->scene[i], n->judge, &shape, v->width, v->height, v->matrix, n->pair, err);
    }
    return rc;
}

static void close_native(native *n) {
    for (size_t k = 0; n->ring && k < n->length; k++) {
        ib_frame_free(&n->ring[k]);
    }
    for (int i = 0; n->scene && i < n->threads; i++) {
        ib_scene_close(&n->scene[i]);
    }
    free(n->ring);
    free(n->frame);
    free(n->pts);
    free(n->place);
    ib_free(n->given);
    ib_free(n->step);
    ib_free(n->z[0]);
    free(n->scene);
    ib_pair_free(&n->pair);
}

/* The frame after which a window can be judged. */
static size_t due_at(const native *n, size_t first, int gap) {
    size_t due = first + 2 * (size_t)gap, last = ib_latent_info_of(n->f)->frames - 1;
    return due < last ? due : last;
}

static int judge_frames(native *n, ib_reader *reader, ib_windows *w, size_t gaps, size_t *at, ib_error *err) {
    const ib_frame *in = NULL;
    size_t left = 0;
    int more = 1;
    for (size_t g = 0; g < gaps; g++) {
        left += w[g].n;
    }
    for (size_t i = 0; left && (more = ib_reader_next(reader, &in, err)) == 1; i++) {
        ib_frame *to = &n->ring[i % n->length];
        if (ib_judge_stopped(n->judge, n->video, err)) {
            return IB_E_INTERRUPTED;
        }
        ib_frame_copy(to, in);
        to->pts_seconds = in->pts_seconds;
        for (size_t g = 0; g < gaps; g++) {
            for (; at[g] < w[g].n && i >= due_at(n, w[g].firsts[at[g]], w[g].gap); at[g]++, left--) {
                size_t span = (size_t)w[g].gap - 1;
                int rc = judge_window(n, w[g].firsts[at[g]], w[g].gap, w[g].marks + at[g] * span * n->methods,
                                      err);
                if (rc) {
                    return rc;
                }
                if (n->judge->tick) {
                    n->judge->tick(n->judge->user, 1, span);
                }
            }
        }
    }
    if (more < 0) {
        return more;
    }
    return left ? ib_fail(err, IB_E_FORMAT, "%s: ended %zu windows earlier than when it was read before",
                          n->video, left)
                : IB_OK;
}

int ib_judge_native(const ib_judge *j, const char *video, const ib_latent_file *f, ib_windows *w, size_t gaps,
                    int *width, int *height, ib_error *err) {
    native n = {.judge = j, .video = video, .f = f};
    ib_reader *reader = NULL;
    ib_reader_options o = {.threads = j->threads, .keep_interlaced = j->keep_interlaced, .stop = j->stop};
    size_t *at = calloc(gaps, sizeof *at);
    int rc = at ? ib_reader_open(&reader, video, &o, err)
                : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", video);
    if (!rc) {
        *width = ib_reader_info(reader)->width;
        *height = ib_reader_info(reader)->height;
        rc = open_native(&n, ib_reader_info(reader), w, gaps, err);
        rc = rc || !n.longest ? rc : judge_frames(&n, reader, w, gaps, at, err);
    }
    close_native(&n);
    ib_reader_close(&reader);
    free(at);
    return rc;
}
