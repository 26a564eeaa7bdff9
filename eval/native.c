/* Windows of a video at its own size: frames are streamed through a ring that holds the largest window. */
#include <stdlib.h>
#include <omp.h>

#include "base/memory.h"
#include "eval/scene.h"
#include "eval/score.h"
#include "video_io/minterpolate.h"
#include "video_io/reader.h"

/* Threads' memory together is at most about this; a picture of 3840 x 2160 takes 130 MB a thread. */
static const double most_scene_bytes = 500e6;

typedef struct native {
    const ib_judge *judge;
    const char *video;
    size_t methods, length; /* of the ring and of what follows */
    ib_frame *ring;         /* frame i of the video is at i % length */
    const ib_frame **frame; /* [gap + 1] of the window at hand */
    double *pts;            /* likewise */
    ib_frame *filtered;     /* [gap - 1] */
    ib_tally *part;         /* [gap - 1, methods] */
    ib_scene *scene;        /* [threads] */
    float *z0, *z1;         /* [T,D] of the window's keyframes */
    int threads;
    double fps;
} native;

static int judge_target(native *n, ib_scene *s, int gap, int k, ib_tally *tally, ib_error *err) {
    float t = ib_score_place(n->pts, gap, k);
    int r = ib_space_encode(n->judge->space, n->frame[k], s->truth, err);
    ib_frame_copy(&s->truth_frame, n->frame[k]);
    for (size_t m = 0; m < n->methods && !r; m++) {
        r = ib_scene_make(s, m, t, k, err);
        if (!r) {
            ib_scene_tally(s, &tally[m]);
        }
    }
    if (!r && n->judge->stop && atomic_load(n->judge->stop)) {
        r = ib_fail(err, IB_E_INTERRUPTED, "interrupted while evaluating %s", n->video);
    }
    return r;
}

static int load_keys(native *n, int gap, ib_error *err) {
    for (int i = 0; i < n->threads; i++) {
        ib_scene *s = &n->scene[i];
        s->key0 = n->frame[0];
        s->key1 = n->frame[gap];
        s->filtered = n->filtered;
        s->gap_seconds = ib_score_seconds(n->pts, gap, n->fps);
        s->z0 = n->z0;
        s->z1 = n->z1;
    }
    int r = ib_space_encode(n->judge->space, n->frame[0], n->z0, err);
    return r ? r : ib_space_encode(n->judge->space, n->frame[gap], n->z1, err);
}

/* Targets are dealt out to threads, and summed up in their order. */
static int judge_targets(native *n, int gap, ib_tally *tally, ib_error *err) {
    int threads = n->threads, before = omp_get_max_threads(), rc = IB_OK;
    for (size_t i = 0; i < n->methods * (size_t)(gap - 1); i++) {
        n->part[i] = (ib_tally){0};
    }
    if (threads == 1) {
        omp_set_num_threads(
            1); /* or OpenBLAS, whose sums depend on its threads, would take more than elsewhere */
    }
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < threads; i++) {
        ib_error mine = {0};
        int r = IB_OK;
        for (int k = 1 + i; k < gap && !r; k += threads) {
            r = judge_target(n, &n->scene[i], gap, k, n->part + (size_t)(k - 1) * n->methods, &mine);
        }
        if (r) {
#pragma omp critical(ib_native_error)
            {
                if (err) {
                    *err = mine;
                }
                rc = r;
            }
        }
    }
    omp_set_num_threads(before);
    for (size_t i = 0; i < n->methods * (size_t)(gap - 1) && !rc; i++) {
        tally[i % n->methods].err += n->part[i].err;
        tally[i % n->methods].psnr += n->part[i].psnr;
    }
    return rc;
}

/* All frames of the window are in the ring. tally: [methods] */
static int judge_window(native *n, size_t first, int gap, ib_tally *tally, ib_error *err) {
    int r = IB_OK;
    for (size_t k = 0; k <= (size_t)gap; k++) {
        n->frame[k] = &n->ring[(first + k) % n->length];
        n->pts[k] = n->frame[k]->pts_seconds;
    }
    if (n->judge->minterpolate) {
        const ib_frame *keys[2] = {n->frame[0], n->frame[gap]};
        r = ib_minterpolate(keys, 2, gap, n->filtered, err);
    }
    r = r ? r : load_keys(n, gap, err);
    r = r ? r : judge_targets(n, gap, tally, err);
    for (int k = 0; k < gap - 1; k++) {
        ib_frame_free(&n->filtered[k]);
    }
    return r;
}

static int open_native(native *n, const ib_video_info *v, const ib_windows *w, size_t gaps, ib_error *err) {
    ib_shape shape;
    n->fps = v->fps;
    n->methods = ib_judge_methods(n->judge);
    for (size_t g = 0; g < gaps; g++) {
        size_t length = (size_t)w[g].gap + 1;
        n->length = w[g].n && length > n->length ? length : n->length;
    }
    int r = ib_space_shape(n->judge->space, v->width, v->height, &shape, err);
    if (r) {
        return r;
    }
    size_t values = shape.tokens * shape.width;
    double bytes = 2.0 * sizeof(float) * (double)values + 3.0 * v->width * v->height;
    int most = (int)(most_scene_bytes / bytes);
    n->threads = n->judge->threads < most ? n->judge->threads : most < 1 ? 1 : most;
    r = ib_alloc_floats(&n->z0, 2 * values, "a window's keyframes", err);
    if (r) {
        return r;
    }
    n->z1 = n->z0 + values;
    n->ring = calloc(n->length, sizeof *n->ring);
    n->frame = calloc(n->length, sizeof(ib_frame *));
    n->pts = calloc(n->length, sizeof *n->pts);
    n->filtered = calloc(n->length, sizeof *n->filtered);
    n->part = ib_calloc(n->length * n->methods, sizeof *n->part);
    n->scene = calloc((size_t)n->threads, sizeof *n->scene);
    if (!n->ring || !n->frame || !n->pts || !n->filtered || !n->part || !n->scene) {
        r = ib_fail(err, IB_E_MEMORY, "out of memory for windows of %zu frames", n->length);
    }
    for (size_t k = 0; k < n->length && !r; k++) {
        r = ib_frame_alloc(&n->ring[k], v->width, v->height, err);
    }
    for (int i = 0; i < n->threads && !r; i++) {
        r = ib_scene_open(&n->scene[i], n->judge, v->width, v->height, v->matrix, true, 0, err);
    }
    return r;
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
    free(n->filtered);
    ib_free(n->part);
    ib_free(n->z0);
    free(n->scene);
}

/* at: [gaps] numbers of the windows that are waited for. */
static int judge_frames(native *n, ib_reader *reader, ib_windows *w, size_t gaps, size_t *at, ib_error *err) {
    const ib_frame *in = NULL;
    size_t left = 0;
    int more = 1;
    for (size_t g = 0; g < gaps; g++) {
        left += w[g].n;
    }
    for (size_t i = 0; left && (more = ib_reader_next(reader, &in, err)) == 1; i++) {
        ib_frame *to = &n->ring[i % n->length];
        if (n->judge->stop && atomic_load(n->judge->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted while evaluating %s", n->video);
        }
        ib_frame_copy(to, in);
        to->pts_seconds = in->pts_seconds;
        for (size_t g = 0; g < gaps; g++) {
            size_t k = at[g], first = k < w[g].n ? w[g].firsts[k] : 0;
            if (k < w[g].n && i == first + (size_t)w[g].gap) {
                int r = judge_window(n, first, w[g].gap, w[g].tally + k * n->methods, err);
                if (r) {
                    return r;
                }
                at[g]++;
                left--;
                if (n->judge->tick) {
                    n->judge->tick(n->judge->user, 1);
                }
            }
        }
    }
    if (more < 0) {
        return more;
    }
    return left ? ib_fail(err, IB_E_FORMAT, "%s ended %zu windows earlier than when it was read before",
                          n->video, left)
                : IB_OK;
}

int ib_judge_native(const ib_judge *j, const char *video, ib_windows *w, size_t gaps, int *width, int *height,
                    ib_error *err) {
    native n = {.judge = j, .video = video};
    ib_reader *reader = NULL;
    ib_reader_options o = {.threads = j->threads};
    size_t *at = calloc(gaps, sizeof *at);
    int r = at ? ib_reader_open(&reader, video, &o, err)
               : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", video);
    if (!r) {
        *width = ib_reader_info(reader)->width;
        *height = ib_reader_info(reader)->height;
        r = open_native(&n, ib_reader_info(reader), w, gaps, err);
        r = r || !n.length ? r : judge_frames(&n, reader, w, gaps, at, err);
    }
    close_native(&n);
    ib_reader_close(&reader);
    free(at);
    return r;
}
