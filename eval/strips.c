/* Film strips of an evaluation: not chosen by eye but by rank, and of each clip the window whose gain is the clip's median. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <omp.h>

#include "eval/private.h"
#include "video_io/strip.h"

enum { MOST_COLUMNS = 9 };

/* Frames of the window that are shown: all, or evenly spread with both ends. */
static size_t columns(int gap, int *at) {
    size_t n = gap + 1 < MOST_COLUMNS ? (size_t)gap + 1 : MOST_COLUMNS;
    for (size_t i = 0; i < n; i++) {
        at[i] = (int)((i * (size_t)gap + (n - 1) / 2) / (n - 1));
    }
    return n;
}

static int write_clip(ib_evaluation *e, const ib_eval_clip *c, const char *path, ib_error *err) {
    const ib_eval_report *r = e->report;
    int gap = r->gap[0].gap, at[MOST_COLUMNS];
    size_t n = columns(gap, at), rows = 1, methods[64] = {SIZE_MAX};
    for (size_t m = IB_EVAL_SLERP; m < r->methods && rows < 64; m++) {
        methods[rows++] = m;
    }
    ib_latent_file *f;
    char *temporary;
    int rc = ib_eval_open_input(e, r->files.v[c->input], &f, &temporary, NULL, 0, err);
    if (rc) {
        return rc;
    }
    ib_frame *frame = calloc(rows * n, sizeof *frame);
    const ib_frame **list = calloc(rows * n, sizeof(ib_frame *));
    char(*text)[160] = calloc(rows, sizeof *text);
    const char **label = calloc(rows, sizeof(char *));
    if (!frame || !list || !text || !label) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    }
    for (size_t i = 0; i < rows && !rc; i++) {
        const ib_eval_score *s = c->score;
        if (!i) {
            snprintf(text[i], sizeof text[i], "%.80s: truth", c->name);
        } else if (methods[i] == IB_EVAL_SLERP) {
            snprintf(text[i], sizeof text[i], "slerp %.2f dB", s[methods[i]].psnr_db);
        } else {
            snprintf(text[i], sizeof text[i], "%.60s %+.2f dB", r->method[methods[i]].name,
                     ib_eval_gain(s, methods[i]));
        }
        label[i] = text[i];
        rc = ib_judge_show(&e->judge, f, gap, c->shown, methods[i], at, n, frame + i * n, err);
    }
    for (size_t i = 0; i < rows * n && !rc; i++) {
        list[i] = &frame[i];
    }
    rc = rc ? rc : ib_strip_write(path, list, (int)rows, (int)n, label, err);
    for (size_t i = 0; frame && i < rows * n; i++) {
        ib_frame_free(&frame[i]);
    }
    free(frame);
    free(list);
    free(text);
    free(label);
    ib_eval_close_input(&f, &temporary);
    return rc;
}

typedef struct rank {
    double value;
    const ib_eval_clip *clip;
} rank;

/* Best first; equal ones in order of names. */
static int compare_ranks(const void *a, const void *b) {
    const rank *p = a, *q = b;
    return p->value != q->value ? (p->value < q->value) - (p->value > q->value)
                                : (p->clip > q->clip) - (p->clip < q->clip);
}

int ib_eval_strips_check(const ib_evaluation *e, ib_error *err) {
    bool there = ib_is_dir(e->o->strips);
    ib_pending p = {0};
    if (!ib_space_decodes(e->space)) {
        return IB_OK;
    }
    if (e->o->native) {
        return ib_fail(err, IB_E_ARGUMENT, "film strips show small frames, not the videos' own size");
    }
    char *path = ib_join(e->o->strips, "best.png");
    int r = path ? ib_mkdirs(e->o->strips, err) : ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
    r = r ? r : ib_pending_begin(&p, path, err);
    ib_pending_abort(&p);
    if (!there) {
        rmdir(e->o->strips); /* made again when there is something to put into it */
    }
    free(path);
    return r;
}

int ib_eval_strips(ib_evaluation *e, ib_error *err) {
    const ib_eval_report *r = e->report;
    rank *ranks = calloc(r->clips, sizeof *ranks);
    size_t n = 0;
    if (!ib_space_decodes(e->space)) {
        free(ranks);
        return IB_OK;
    }
    if (!ranks) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
    }
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &r->gap[0].clip[i];
        if (c->windows) {
            size_t last = r->methods - 1;
            double value = last == IB_EVAL_SLERP ? c->score[last].psnr_db : ib_eval_gain(c->score, last);
            ranks[n++] = (rank){value, c};
        }
    }
    qsort(ranks, n, sizeof *ranks, compare_ranks);
    static const char *const names[3] = {"best.png", "median.png", "worst.png"};
    int rc = n ? ib_mkdirs(e->o->strips, err) : IB_OK;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* the same pictures, whatever the number of threads */
    for (size_t i = 0; i < 3 && n && !rc; i++) {
        char *path = ib_join(e->o->strips, names[i]);
        rc = path ? write_clip(e, ranks[i * (n - 1) / 2].clip, path, err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
        free(path);
    }
    omp_set_num_threads(threads);
    free(ranks);
    return rc;
}
