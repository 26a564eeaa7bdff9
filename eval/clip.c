/* One clip: its windows at every gap, judged and summed up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/private.h"
#include "eval/score.h"

double ib_eval_gain(const ib_eval_score *score, size_t method) {
    return score[method].psnr_db - score[IB_EVAL_SLERP].psnr_db;
}

typedef struct ranked_window {
    double value;
    size_t first;
} ranked_window;

static int compare_windows(const void *a, const void *b) {
    const ranked_window *p = a, *q = b;
    return p->value != q->value ? (p->value > q->value) - (p->value < q->value)
                                : (p->first > q->first) - (p->first < q->first);
}

static int sum_up(ib_eval_clip *c, const ib_windows *w, size_t methods, ib_error *err) {
    ib_tally *sum = calloc(methods, sizeof *sum);
    ranked_window *ranked = calloc(w->n, sizeof *ranked);
    size_t last = methods - 1;
    if (!sum || !ranked) {
        free(sum);
        free(ranked);
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu windows", w->n);
    }
    for (size_t i = 0; i < w->n; i++) {
        const ib_tally *t = w->tally + i * methods;
        double value = last == IB_EVAL_SLERP ? t[last].psnr : t[last].psnr - t[IB_EVAL_SLERP].psnr;
        ranked[i] = (ranked_window){isfinite(value) ? value : 0, w->firsts[i]};
        for (size_t m = 0; m < methods; m++) {
            sum[m].err += t[m].err;
            sum[m].psnr += t[m].psnr;
        }
    }
    qsort(ranked, w->n, sizeof *ranked, compare_windows);
    c->shown = ranked[w->n / 2].first;
    c->windows = w->n;
    c->targets = w->n * (size_t)(w->gap - 1);
    for (size_t m = 0; m < methods; m++) {
        c->score[m].skill = sum[IB_EVAL_SLERP].err > 0 ? 1 - sum[m].err / sum[IB_EVAL_SLERP].err : 0;
        c->score[m].psnr_db = sum[m].psnr / (double)c->targets;
    }
    free(sum);
    free(ranked);
    return IB_OK;
}

static int find_windows(const ib_evaluation *e, const ib_latent_file *f, int gap, ib_windows *w,
                        ib_error *err) {
    w->gap = gap;
    w->firsts = ib_calloc(ib_latent_info_of(f)->frames, sizeof *w->firsts);
    if (w->firsts) {
        size_t all;
        w->n = ib_score_windows(f, gap, e->o->max_windows, w->firsts);
        w->tally = ib_size_mul(w->n, e->report->methods, &all) ? NULL : ib_calloc(all, sizeof *w->tally);
    }
    return w->firsts && w->tally
               ? IB_OK
               : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(f));
}

static int describe(const ib_evaluation *e, const ib_latent_info *info, ib_eval_clip *c, ib_error *err) {
    c->name = strdup(info->source);
    c->score = calloc(e->report->methods, sizeof *c->score);
    c->width = info->frame_width;
    c->height = info->frame_height;
    c->input = e->report->files.n;
    snprintf(c->source_sha256, sizeof c->source_sha256, "%s", info->source_sha256);
    return c->name && c->score
               ? IB_OK
               : ib_fail(err, IB_E_MEMORY, "out of memory for the figures of %s", info->source);
}

static void on_judged(void *user, size_t windows) {
    ib_evaluation *e = user;
    e->judged += windows;
    e->now.windows += windows;
    ib_eval_tell(e, e->encoded + (1 - e->encoded) * (double)e->judged / (double)e->due);
}

int ib_eval_judge_clip(ib_evaluation *e, const char *path, ib_latent_file *f, ib_error *err) {
    ib_eval_report *r = e->report;
    ib_windows w[IB_EVAL_MAX_GAPS] = {0};
    int rc = IB_OK, width = 0, height = 0;
    e->due = e->judged = 0;
    e->judge.tick = on_judged;
    e->judge.user = e;
    for (size_t g = 0; g < r->gaps && !rc; g++) {
        rc = describe(e, ib_latent_info_of(f), &r->gap[g].clip[r->clips], err);
        rc = rc ? rc : find_windows(e, f, r->gap[g].gap, &w[g], err);
        e->due += w[g].n;
    }
    for (size_t g = 0; g < r->gaps && !rc && !e->o->native; g++) {
        rc = w[g].n ? ib_judge_latents(&e->judge, f, &w[g], err) : IB_OK;
    }
    if (!rc && e->o->native) {
        rc = ib_judge_native(&e->judge, path, w, r->gaps, &width, &height, err);
    }
    for (size_t g = 0; g < r->gaps; g++) {
        ib_eval_clip *c = &r->gap[g].clip[r->clips];
        rc = rc || !w[g].n ? rc : sum_up(c, &w[g], r->methods, err);
        c->width = width ? width : c->width;
        c->height = height ? height : c->height;
        ib_free(w[g].firsts);
        ib_free(w[g].tally);
    }
    return rc;
}
