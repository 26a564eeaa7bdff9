#include "eval/judge.h"

#include <stdlib.h>
#include <omp.h>

#include "eval/scene.h"
#include "eval/score.h"
#include "video_io/minterpolate.h"

static bool stopped(const ib_judge *j) {
    return j->stop && atomic_load(j->stop);
}

/* Both keyframes of a window; with_filter: also what minterpolate makes of them. */
static int load(ib_scene *s, ib_latent_file *f, size_t first, bool with_filter, ib_frame *filtered,
                ib_error *err) {
    const double *pts = ib_latent_pts(f) + first;
    int r = ib_latent_read(f, first, 1, s->z0, err);
    r = r ? r : ib_latent_read(f, first + (size_t)s->gap, 1, s->z1, err);
    s->gap_seconds = ib_score_seconds(pts, s->gap, ib_latent_info_of(f)->fps);
    if (r || !with_filter) {
        return r;
    }
    const ib_frame *keys[2] = {&s->truth_frame, &s->frame};
    r = ib_space_decode(s->judge->space, s->z0, &s->truth_frame, err);
    r = r ? r : ib_space_decode(s->judge->space, s->z1, &s->frame, err);
    r = r ? r : ib_minterpolate(keys, 2, s->gap, filtered, err);
    s->filtered = r ? NULL : filtered;
    return r;
}

static void unload(ib_scene *s, ib_frame *filtered) {
    for (int k = 0; s->filtered && k < s->gap - 1; k++) {
        ib_frame_free(&filtered[k]);
    }
    s->filtered = NULL;
}

/* filtered: room for gap - 1 frames. */
static int judge_window(ib_scene *s, ib_latent_file *f, size_t first, ib_frame *filtered, ib_tally *tally,
                        ib_error *err) {
    const ib_judge *j = s->judge;
    int r = load(s, f, first, j->minterpolate, filtered, err);
    for (int k = 1; k < s->gap && !r; k++) {
        float t = ib_score_place(ib_latent_pts(f) + first, s->gap, k);
        r = ib_latent_read(f, first + (size_t)k, 1, s->truth, err);
        if (!r && s->decodes) {
            r = ib_space_decode(j->space, s->truth, &s->truth_frame, err);
        }
        for (size_t m = 0; m < ib_judge_methods(j) && !r; m++) {
            r = ib_scene_make(s, m, t, k, err);
            if (!r) {
                ib_scene_tally(s, &tally[m]);
            }
        }
        if (!r && stopped(j)) {
            r = ib_fail(err, IB_E_INTERRUPTED, "interrupted while evaluating %s", ib_latent_path(f));
        }
    }
    unload(s, filtered);
    return r;
}

static int open_scene(ib_scene *s, const ib_judge *j, const ib_latent_file *f, int gap, ib_error *err) {
    const ib_latent_info *i = ib_latent_info_of(f);
    int r = ib_scene_open(s, j, i->frame_width, i->frame_height, (ib_matrix)i->matrix, false, gap, err);
    if (!r && s->n != i->shape.tokens * i->shape.width) {
        r = ib_fail(err, IB_E_FORMAT, "%s: frames of %dx%d are %zu x %zu values in this space, not %zu x %zu",
                    ib_latent_path(f), i->frame_width, i->frame_height, s->shape.tokens, s->shape.width,
                    i->shape.tokens, i->shape.width);
        ib_scene_close(s);
    }
    return r;
}

int ib_judge_latents(const ib_judge *j, ib_latent_file *f, ib_windows *w, ib_error *err) {
    size_t methods = ib_judge_methods(j), done = 0, told = 0;
    int rc = IB_OK;
#pragma omp parallel num_threads(j->threads)
    {
        ib_scene s = {0};
        ib_error mine = {0};
        ib_frame *filtered = calloc((size_t)w->gap, sizeof *filtered);
        int r = filtered ? open_scene(&s, j, f, w->gap, &mine)
                         : ib_fail(&mine, IB_E_MEMORY, "out of memory for a window of %d frames", w->gap),
            others;
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < w->n; i++) {
#pragma omp atomic read
            others = rc;
            if (!r && !others) {
                size_t now;
                r = judge_window(&s, f, w->firsts[i], filtered, w->tally + i * methods, &mine);
#pragma omp atomic capture
                now = ++done;
                if (j->tick && !omp_get_thread_num()) {
                    j->tick(j->user, now - told);
                    told = now;
                }
            }
        }
        if (r) {
#pragma omp critical(ib_judge_error)
            {
                if (err && !rc) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = r;
            }
        }
        ib_scene_close(&s);
        free(filtered);
    }
    if (j->tick && !rc) {
        j->tick(j->user, done - told);
    }
    return rc;
}

int ib_judge_show(const ib_judge *j, ib_latent_file *f, int gap, size_t first, size_t method, const int *at,
                  size_t n, ib_frame *frame, ib_error *err) {
    ib_scene s;
    size_t done = 0;
    if (!ib_space_decodes(j->space)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "the space %s has no pictures", ib_space_id(j->space));
    }
    int r = open_scene(&s, j, f, gap, err);
    if (r) {
        return r;
    }
    ib_frame *filtered = calloc((size_t)gap, sizeof *filtered);
    r = filtered ? load(&s, f, first, j->minterpolate && method == IB_BASELINES, filtered, err)
                 : ib_fail(err, IB_E_MEMORY, "out of memory for a window of %d frames", gap);
    for (; done < n && !r; done++) {
        int k = at[done];
        r = ib_frame_alloc(&frame[done], s.frame.width, s.frame.height, err);
        if (r) {
            break;
        }
        frame[done].matrix = s.frame.matrix;
        if (method == SIZE_MAX || k == 0 || k == gap) {
            r = ib_latent_read(f, first + (size_t)k, 1, s.out, err);
            r = r ? r : ib_space_decode(j->space, s.out, &frame[done], err);
        } else {
            r = ib_scene_make(&s, method, ib_score_place(ib_latent_pts(f) + first, gap, k), k, err);
            if (!r) {
                ib_frame_copy(&frame[done], &s.frame);
            }
        }
    }
    unload(&s, filtered);
    free(filtered);
    ib_scene_close(&s);
    for (size_t i = 0; r && i < n; i++) {
        ib_frame_free(&frame[i]);
    }
    return r;
}
