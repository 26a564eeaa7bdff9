#include "eval/judge.h"

#include <math.h>
#include <stdlib.h>
#include <omp.h>

#include "base/memory.h"
#include "eval/explain.h"
#include "eval/guides.h"
#include "eval/scene.h"
#include "eval/score.h"
#include "nn/gemm.h"
#include "video_io/minterpolate.h"

size_t ib_judge_rivals(const ib_judge *j) {
    return IB_BASELINES + ib_judge_givers(j) + j->seen + j->adapters + j->searching.rows;
}

size_t ib_judge_givers(const ib_judge *j) {
    return j->minterpolate + j->programs;
}

int ib_judge_give(const ib_judge *j, const ib_frame *key0, const ib_frame *key1, const float *at, size_t n,
                  float seconds, size_t stride, ib_frame *out, ib_error *err) {
    int rc = j->minterpolate ? ib_minterpolate_at(key0, key1, at, n, out, err) : IB_OK;
    out += j->minterpolate * stride;
    for (size_t i = 0; i < j->programs && !rc; i++) {
        rc = ib_program_ask(j->program[i], key0, key1, at, n, seconds, out + i * stride, err);
    }
    return rc;
}

void ib_judge_take_back(const ib_judge *j, size_t stride, ib_frame *out) {
    for (size_t i = 0; i < ib_judge_givers(j) * stride; i++) {
        ib_frame_free(&out[i]);
    }
}

size_t ib_judge_methods(const ib_judge *j) {
    return ib_judge_rivals(j) + ib_judge_explained(j) + j->oracles;
}

bool ib_judge_decodes(const ib_judge *j) {
    return j->space && ib_space_decodes(j->space);
}

bool ib_judge_stopped(const ib_judge *j, const char *file, ib_error *err) {
    bool stop = j->stop && atomic_load(j->stop);
    if (stop) {
        ib_fail(err, IB_E_INTERRUPTED, "interrupted while evaluating %s", file);
    }
    return stop;
}

void ib_judge_outer_keys(const ib_latent_file *f, int gap, size_t first, bool *before, bool *after) {
    const uint8_t *cuts = ib_latent_cuts(f);
    size_t n = ib_latent_info_of(f)->frames, span = (size_t)gap;
    *before = first >= span;
    *after = first + 2 * span < n;
    for (size_t k = 1; k <= span; k++) {
        *before = *before && !cuts[first - span + k];
        *after = *after && !cuts[first + span + k];
    }
}

/* ---- one window ---- */

/* A thread's memory beside the scene. */
typedef struct worker {
    ib_scene scene;
    ib_frame *given; /* [givers, largest gap] */
    ib_step *step;   /* [largest gap + 1, rivals] */
    float *place;    /* [largest gap - 1] */
    size_t largest;
    ib_searched searched;
} worker;

/* The keyframes around a window. */
static int load_keys(ib_scene *s, const ib_store *store, int gap, size_t first, ib_error *err) {
    ib_latent_file *f = ib_store_file(store);
    const double *pts = ib_latent_pts(f);
    size_t span = (size_t)gap;
    bool there[4] = {false, true, true, false};
    ib_judge_outer_keys(f, gap, first, &there[0], &there[3]);
    double length = pts[first + span] - pts[first];
    for (size_t i = 0; i < 4; i++) {
        float *z = s->outer + i * s->n;
        s->keys.z[i] = there[i] ? z : NULL;
        int rc = there[i] ? ib_store_read(store, first + i * span - span, z, err) : IB_OK;
        if (rc) {
            return rc;
        }
    }
    s->keys.before = there[0] && length > 0 ? (float)((pts[first - span] - pts[first]) / length) : -1;
    s->keys.after = there[3] && length > 0 ? (float)((pts[first + 2 * span] - pts[first]) / length) : 2;
    s->keys.before = s->keys.before < 0 ? s->keys.before : -1; /* by number if the times do not tell */
    s->keys.after = s->keys.after > 1 ? s->keys.after : 2;
    s->gap_seconds = ib_score_seconds(pts + first, gap, ib_latent_info_of(f)->fps);
    return IB_OK;
}

/* Frame k of the window becomes the scene's truth. */
static int load_truth(ib_scene *s, const ib_store *store, size_t frame, ib_error *err) {
    int rc = ib_store_read(store, frame, s->truth, err);
    return rc || !s->decodes ? rc : ib_space_decode(s->judge->space, s->truth, &s->truth_frame, err);
}

static int give(worker *w, int gap, ib_error *err) {
    ib_scene *s = &w->scene;
    int rc = ib_space_decode(s->judge->space, s->keys.z[1], &s->truth_frame, err);
    rc = rc ? rc : ib_space_decode(s->judge->space, s->keys.z[2], &s->frame, err);
    return rc ? rc
              : ib_judge_give(s->judge, &s->truth_frame, &s->frame, w->place, (size_t)gap - 1, s->gap_seconds,
                              w->largest, w->given, err);
}

/* guide: number of the window's first one; SIZE_MAX: it is judged without. */
static int judge_window(worker *w, const ib_store *store, int gap, size_t first, size_t guide,
                        ib_marks *marks, ib_error *err) {
    ib_scene *s = &w->scene;
    const ib_judge *j = s->judge;
    size_t methods = ib_judge_methods(j);
    for (int k = 1; k < gap; k++) {
        w->place[k - 1] = ib_score_place(ib_latent_pts(ib_store_file(store)) + first, gap, k);
    }
    int rc = load_keys(s, store, gap, first, err);
    rc = rc || !ib_judge_givers(j) ? rc : give(w, gap, err);
    rc = rc || !j->searching.rows
             ? rc
             : ib_searched_window(&w->searched, ib_store_file(store), first, gap, guide, err);
    s->given = w->given;
    s->given_stride = w->largest;
    rc = rc ? rc : load_truth(s, store, first, err);
    rc = rc ? rc : ib_scene_begin(s, 0, 0, err);
    for (int k = 1; k <= gap && !rc; k++) {
        ib_marks *here = marks + (size_t)(k - 1) * methods;
        bool guided = guide != SIZE_MAX && k < gap;
        rc = load_truth(s, store, first + (size_t)k, err);
        rc = rc ? rc
                : ib_scene_see(s, store, guided ? guide + (size_t)k - 1 : SIZE_MAX,
                               w->place[guided ? k - 1 : 0], err);
        if (!rc && j->explains && k > 1) {
            ib_explain_neighbours(s, store, first + (size_t)k - 1, here - methods);
        }
        rc = rc ? rc
                : ib_scene_step(s, k < gap ? w->place[k - 1] : 1, k, store, first + (size_t)k,
                                k < gap ? here : NULL, k > 1 ? here - methods : NULL,
                                w->step + (size_t)k * s->rivals, err);
        if (!rc && j->explains && guided) {
            ib_explain_guide(s, store, first + (size_t)k, here);
        }
        rc = !rc && ib_judge_stopped(j, ib_latent_path(ib_store_file(store)), err) ? IB_E_INTERRUPTED : rc;
    }
    if (!rc) {
        ib_scene_combine(w->step, gap, s->rivals, methods, marks);
    }
    ib_judge_take_back(j, w->largest, w->given);
    return rc;
}

/* ---- all windows of a clip ---- */

static int open_worker(worker *w, const ib_judge *j, const ib_latent_file *f, int largest, ib_error *err) {
    const ib_latent_info *i = ib_latent_info_of(f);
    *w = (worker){.given = ib_calloc((size_t)largest, ib_judge_givers(j) * sizeof *w->given),
                  .largest = (size_t)largest,
                  .step = ib_calloc((size_t)largest + 1, ib_judge_rivals(j) * sizeof *w->step),
                  .place = calloc((size_t)largest, sizeof *w->place)};
    if (!w->given || !w->step || !w->place) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for windows of %d frames", largest);
    }
    int rc = ib_scene_open(&w->scene, j, &i->shape, i->frame_width, i->frame_height, (ib_matrix)i->matrix,
                           NULL, err);
    if (rc || !j->searching.rows) {
        return rc;
    }
    w->scene.searched = &w->searched;
    return ib_searched_open(&w->searched, &j->searching, j->adapters ? j->adapter[j->adapters - 1] : NULL,
                            i->space_id, &i->shape, (size_t)largest - 1, err);
}

static void close_worker(worker *w) {
    ib_scene_close(&w->scene);
    ib_searched_close(&w->searched);
    ib_free(w->given);
    ib_free(w->step);
    free(w->place);
}

/* One window of one gap. */
typedef struct task {
    ib_windows *windows;
    size_t number;
} task;

/* Those that take longest come first, so that no thread is left with one at the end. */
static int compare_tasks(const void *a, const void *b) {
    const task *p = a, *q = b;
    return p->windows->gap != q->windows->gap ? q->windows->gap - p->windows->gap
                                              : (p->number > q->number) - (p->number < q->number);
}

static task *list_tasks(ib_windows *w, size_t gaps, size_t *count, int *largest) {
    size_t n = 0;
    for (size_t g = 0; g < gaps; g++) {
        n += w[g].n;
    }
    task *all = ib_calloc(n, sizeof *all);
    *count = 0;
    *largest = 0;
    for (size_t g = 0; g < gaps && all; g++) {
        for (size_t i = 0; i < w[g].n; i++) {
            all[(*count)++] = (task){&w[g], i};
            *largest = w[g].gap > *largest ? w[g].gap : *largest;
        }
    }
    if (n && all) {
        qsort(all, n, sizeof *all, compare_tasks);
    }
    return all;
}

int ib_judge_latents(const ib_judge *j, const ib_store *store, ib_windows *w, size_t gaps, ib_error *err) {
    size_t methods = ib_judge_methods(j), tasks, windows = 0, targets = 0;
    int rc = IB_OK, largest;
    task *all = list_tasks(w, gaps, &tasks, &largest);
    if (!all) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s",
                       ib_latent_path(ib_store_file(store)));
    }
    int before = ib_gemm_pin();
#pragma omp parallel num_threads(j->threads) if (tasks)
    {
        worker me;
        ib_error mine = {0};
        int mine_rc = open_worker(&me, j, ib_store_file(store), largest, &mine), others;
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < tasks; i++) {
            const ib_windows *own = all[i].windows;
            size_t span = (size_t)own->gap - 1;
#pragma omp atomic read
            others = rc;
            if (!mine_rc && !others) {
                size_t number = all[i].number;
                mine_rc = judge_window(&me, store, own->gap, own->firsts[number],
                                       own->guides ? own->guides[number] : SIZE_MAX,
                                       own->marks + number * span * methods, &mine);
#pragma omp critical(ib_judge_told)
                {
                    windows++;
                    targets += span;
                    if (j->tick && !omp_get_thread_num()) {
                        j->tick(j->user, windows, targets);
                        windows = targets = 0;
                    }
                }
            }
        }
        if (mine_rc) {
#pragma omp critical(ib_judge_error)
            {
                if (err && !rc) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = mine_rc;
            }
        }
        close_worker(&me);
    }
    ib_gemm_unpin(before);
    if (j->tick && !rc) {
        j->tick(j->user, windows, targets);
    }
    ib_free(all);
    return rc;
}
