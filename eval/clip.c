/* One clip: its windows at every gap, judged and summed up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/private.h"
#include "eval/score.h"

/* Of a clip's latents that are kept in memory; beyond it, recall searches among fewer frames. */
static const size_t most_bytes = (size_t)512 << 20;

/* ---- sums ---- */

/* What windows are ranked by: the gain of the judged method. */
static double value_of(const ib_eval_report *r, const ib_marks *marks, int gap) {
    ib_mark_sums own = {0}, slerp = {0};
    for (int k = 1; k < gap; k++) {
        ib_marks_add(&own, &marks[(size_t)(k - 1) * r->methods + r->judged]);
        ib_marks_add(&slerp, &marks[(size_t)(k - 1) * r->methods + IB_EVAL_SLERP]);
    }
    if (r->judged == IB_EVAL_SLERP) {
        int mark = r->decodes ? IB_MARK_PSNR : IB_MARK_COSINE;
        return own.n[mark] ? own.sum[mark] / (double)own.n[mark] : 0;
    }
    return ib_gain_of(&own, &slerp);
}

static double psnr_of(const ib_eval_report *r, const ib_marks *marks, int gap) {
    double sum = 0;
    for (int k = 1; k < gap; k++) {
        sum += marks[(size_t)(k - 1) * r->methods + r->judged].v[IB_MARK_PSNR];
    }
    return sum / (gap - 1);
}

/* Into the gap's list, which stays in order. */
static void list_worst(ib_eval_gap *g, const ib_eval_window *w) {
    size_t at = g->worsts;
    while (at > 0 && g->worst[at - 1].gain > w->gain) {
        at--;
    }
    if (at == IB_EVAL_WORST) {
        return;
    }
    g->worsts += g->worsts < IB_EVAL_WORST;
    memmove(g->worst + at + 1, g->worst + at, (g->worsts - at - 1) * sizeof *w);
    g->worst[at] = *w;
}

static int sum_up(ib_evaluation *e, size_t gap_index, const ib_latent_file *f, const ib_windows *w,
                  double *value, ib_error *err) {
    const ib_eval_report *r = e->report;
    ib_eval_gap *gap = &e->report->gap[gap_index];
    ib_eval_clip *c = &gap->clip[r->clips];
    size_t targets = (size_t)w->gap - 1, methods = r->methods;
    ib_mark_sums *sums = ib_calloc((targets + 1) * methods, sizeof *sums);
    c->at = calloc(targets * methods, sizeof *c->at);
    if (!sums || !c->at) {
        ib_free(sums);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the figures of %s", ib_latent_path(f));
    }
    ib_mark_sums *all = sums + targets * methods;
    for (size_t i = 0; i < w->n; i++) {
        const ib_marks *marks = w->marks + i * targets * methods;
        for (size_t k = 0; k < targets * methods; k++) {
            ib_marks_add(&sums[k], &marks[k]);
        }
        value[i] = value_of(r, marks, w->gap);
        ib_eval_window window = {r->clips, w->firsts[i], ib_latent_pts(f)[w->firsts[i]], value[i],
                                 psnr_of(r, marks, w->gap)};
        list_worst(gap, &window);
    }
    for (size_t k = 0; k < targets; k++) {
        ib_figures_of(sums + k * methods, methods, c->at + k * methods);
        for (size_t m = 0; m < methods; m++) {
            ib_marks_merge(&all[m], &sums[k * methods + m]);
        }
    }
    ib_figures_of(all, methods, c->score);
    for (size_t m = 0; m < methods; m++) {
        c->flash[m] = ib_eval_flashes(&c->score[m]);
    }
    c->windows = w->n;
    c->all_windows = w->all;
    c->guided = w->guides != NULL;
    c->targets = w->n * targets;
    ib_free(sums);
    return IB_OK;
}

/* ---- the clip ---- */

static int find_windows(ib_evaluation *e, const ib_latent_file *f, int gap, ib_windows *w, ib_error *err) {
    size_t all;
    w->gap = gap;
    w->firsts = ib_calloc(ib_latent_info_of(f)->frames, sizeof *w->firsts);
    w->all = w->firsts ? ib_score_windows(f, gap, 0, w->firsts) : 0;
    w->n = w->firsts ? ib_score_windows(f, gap, e->o->windows_per_clip, w->firsts) : 0;
    int rc = w->firsts ? ib_eval_guided_windows(e, f, gap, w, err) : IB_OK;
    if (rc) {
        return rc;
    }
    bool fits = w->firsts && !ib_size_mul(w->n * ((size_t)gap - 1), e->report->methods, &all);
    w->marks = fits ? ib_calloc(all, sizeof *w->marks) : NULL;
    for (size_t i = 0; w->marks && i < all; i++) {
        w->marks[i] = ib_no_marks;
    }
    return w->marks ? IB_OK
                    : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(f));
}

static int describe_clip(const ib_evaluation *e, const ib_latent_info *info, ib_eval_clip *c, ib_error *err) {
    c->name = strdup(info->source);
    c->score = calloc(e->report->methods, sizeof *c->score);
    c->flash = calloc(e->report->methods, sizeof *c->flash);
    c->width = info->frame_width;
    c->height = info->frame_height;
    c->frames = info->frames;
    c->fit = info->fit;
    c->fps = info->fps;
    c->input = e->report->files.n;
    snprintf(c->source_sha256, sizeof c->source_sha256, "%s", info->source_sha256);
    return c->name && c->score && c->flash
               ? IB_OK
               : ib_fail(err, IB_E_MEMORY, "out of memory for the figures of %s", info->source);
}

static void on_judged(void *user, size_t windows, size_t targets) {
    ib_evaluation *e = user;
    e->judged += targets;
    e->now.windows += windows;
    ib_eval_tell(e, e->encoded + (1 - e->encoded) * (double)e->judged / (double)e->due);
}

/* What noise does, where there are pictures to see it in: of a latent file in a space without a decoder there
 * are none. */
static int judge_oracles(ib_evaluation *e, const char *path, const ib_store *store, ib_windows *w,
                         ib_error *err) {
    const ib_judge *j = &e->judge;
    size_t all = ib_latent_info_of(ib_store_file(store))->frames * j->oracles;
    ib_marks *marks = ib_calloc(all, sizeof *marks);
    int rc = marks ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the frames of %s", path);
    for (size_t i = 0; marks && i < all; i++) {
        marks[i] = ib_no_marks;
    }
    if (!rc && ib_judge_decodes(j)) {
        rc = ib_judge_oracles(j, store, marks, err);
    } else if (!rc && j->space && !ib_eval_is_latents(path) && !ib_eval_is_stream(path)) {
        rc = ib_judge_oracles_of_video(j, path, e->o->width, e->o->height, store, marks, err);
    }
    if (!rc) {
        ib_judge_place_oracles(j, marks, w, e->report->gaps);
    }
    ib_free(marks);
    return rc;
}

/* Sums of all gaps, and the windows of one of them for the strips. */
static int finish_clip(ib_evaluation *e, const ib_latent_file *f, const ib_store *store, const ib_windows *w,
                       ib_error *err) {
    const ib_eval_report *r = e->report;
    double jumps = NAN;
    int rc = r->explains && store ? ib_step_over_variance(store, &jumps, err) : IB_OK;
    for (size_t g = 0; g < r->gaps && !rc; g++) {
        double *value = ib_calloc(w[g].n, sizeof *value);
        rc = value ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for %zu windows", w[g].n);
        rc = rc || !w[g].n ? rc : sum_up(e, g, f, &w[g], value, err);
        if (!rc && w[g].n && g == r->shown_gap && e->shown) {
            rc = ib_eval_offer(e, store, &w[g], value, err);
        }
        ib_free(value);
        r->gap[g].clip[r->clips].step_over_variance = jumps;
        rc = rc || !r->explains ? rc : ib_gather(&e->gathered[g], &e->judge, r->clips, &w[g], err);
    }
    return rc;
}

int ib_eval_judge_clip(ib_evaluation *e, const char *path, ib_latent_file *f, ib_error *err) {
    ib_eval_report *r = e->report;
    ib_windows w[IB_EVAL_MAX_GAPS] = {0};
    ib_store *store = NULL;
    int rc = IB_OK, width = 0, height = 0;
    e->due = e->judged = 0;
    e->judge.tick = on_judged;
    e->judge.user = e;
    for (size_t g = 0; g < r->gaps && !rc; g++) {
        rc = describe_clip(e, ib_latent_info_of(f), &r->gap[g].clip[r->clips], err);
        rc = rc ? rc : find_windows(e, f, r->gap[g].gap, &w[g], err);
        e->due += w[g].n * (size_t)(r->gap[g].gap - 1);
    }
    if (!rc && e->due && !e->o->native) {
        rc = ib_store_open(&store, f, most_bytes, err);
        rc = rc ? rc : ib_judge_latents(&e->judge, store, w, r->gaps, err);
        rc = rc || !e->judge.oracles ? rc : judge_oracles(e, path, store, w, err);
    }
    if (!rc && store && e->judge.seen == IB_SEENS && !ib_eval_is_latents(path) && !ib_eval_is_stream(path)) {
        rc = ib_judge_fades(&e->judge, path, e->o->width, e->o->height, store, w, r->gaps, err);
    }
    if (!rc && e->o->native) {
        rc = ib_judge_native(&e->judge, path, f, w, r->gaps, &width, &height, err);
    }
    rc = rc ? rc : finish_clip(e, f, store, w, err);
    for (size_t g = 0; g < r->gaps; g++) {
        ib_eval_clip *c = &r->gap[g].clip[r->clips];
        c->width = width ? width : c->width;
        c->height = height ? height : c->height;
        ib_free(w[g].firsts);
        ib_free(w[g].guides);
        ib_free(w[g].marks);
    }
    ib_store_close(&store);
    return rc;
}
