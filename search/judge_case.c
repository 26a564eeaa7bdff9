#include "search/judge_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <omp.h>

#include "adapter/pixel_model.h"
#include "base/memory.h"
#include "nn/gemm.h"
#include "search/search.h"

enum {
    UNGUIDED_EVERY = 4 /* of the windows with guides every fourth is looked at without */
};

/* ---- one case ---- */

/* A thread's memory. */
typedef struct worker {
    ib_sought s;
    float *truth;     /* [n,T,D] */
    float *z;         /* [IB_JUDGE_CASE_MOST,D] */
    float *beside[2]; /* [D] what stands left and right */
    float *off;       /* [IB_JUDGE_CASE_CANDIDATES,D] errors */
    float *x;         /* [IB_JUDGE_CASE_MOST,IB_JUDGE_INPUTS] */
    float *room;      /* [D] */
    ib_search_node *node;
} worker;

static size_t candidates_of(const ib_sought *s) {
    size_t n = ib_candidates_fixed(s->guided) + IB_JUDGE_CASE_DRAWN;
    return n < IB_JUDGE_CASE_CANDIDATES ? n : IB_JUDGE_CASE_CANDIDATES;
}

/* What a search might have put at a place: half of the time the adapter's answer. Its time. */
static float put_beside(worker *w, int place, size_t token, ib_rng *rng, float *out) {
    const ib_sought *s = &w->s;
    size_t d = s->shape.width, n = candidates_of(s);
    if (place < 0 || place >= (int)s->places) {
        memcpy(out, (place < 0 ? s->z0 : s->z1) + token * d, d * sizeof *out);
        return place < 0 ? 0 : 1;
    }
    ib_strand at = {s, token, (size_t)place};
    size_t which = ib_rng_below(rng, 2) ? 0 : ib_rng_below(rng, n);
    ib_candidates_make(&at, n, ib_rng_u64(rng), w->z);
    memcpy(out, w->z + which * d, d * sizeof *out);
    return s->t[place];
}

/* z: [IB_JUDGE_CASE_WRONG + 1,D], the wrong ones and the truth */
static void put_wrong(const worker *w, size_t place, size_t token, ib_rng *rng, float *z) {
    const ib_sought *s = &w->s;
    size_t d = s->shape.width, each = s->shape.tokens * d, mirrored = s->places - 1 - place, other = place;
    const float *truth = w->truth + place * each + token * d, *slerp = s->slerp + place * each + token * d,
                *still = (s->t[place] < 0.5f ? s->z0 : s->z1) + token * d,
                *far = (s->t[place] < 0.5f ? s->z1 : s->z0) + token * d;
    while (other == place && s->places > 1) {
        other = ib_rng_below(rng, s->places);
    }
    mirrored = mirrored == place ? other : mirrored;
    const float *elsewhere = s->places > 1 ? w->truth + other * each + token * d : far,
                *swapped = s->places > 1 ? w->truth + mirrored * each + token * d : far;
    float noise = sqrtf(ib_sought_apart(truth, slerp, d) / (float)d) * (0.3f + ib_rng_float(rng));
    memcpy(z, elsewhere, d * sizeof *z);
    memcpy(z + d, swapped, d * sizeof *z);
    for (size_t i = 0; i < d; i++) {
        z[2 * d + i] = truth[i] + noise * ib_rng_normal(rng);
    }
    memcpy(z + IB_JUDGE_CASE_STILL * d, still, d * sizeof *z);
    memcpy(z + IB_JUDGE_CASE_WRONG * d, truth, d * sizeof *z);
}

static void compare(worker *w, const float *truth, const float *slerp, ib_judge_sample *out) {
    size_t d = w->s.shape.width, n = out->candidates;
    float own = ib_sought_apart(slerp, truth, d) + 1e-12f;
    out->slerp_error = own;
    for (size_t r = 0; r < out->rows; r++) {
        out->error[r] = ib_sought_apart(w->z + r * d, truth, d) / own;
    }
    for (size_t c = 0; c < n; c++) {
        for (size_t i = 0; i < d; i++) {
            w->off[c * d + i] = w->z[c * d + i] - truth[i];
        }
    }
    ib_gemm_bt(w->off, w->off, 0, out->gram, n, n, d);
}

static void make_case(worker *w, int gap, ib_rng *rng, ib_judge_sample *out) {
    const ib_sought *s = &w->s;
    ib_judge_view view;
    const ib_search_node *node = &w->node[ib_rng_below(rng, s->places)];
    size_t d = s->shape.width, each = s->shape.tokens * d, place = (size_t)node->place,
           token = ib_rng_below(rng, s->shape.tokens);
    ib_strand at = {s, token, place};
    float left_t = put_beside(w, node->left, token, rng, w->beside[0]),
          right_t = put_beside(w, node->right, token, rng, w->beside[1]);
    out->gap = gap;
    out->candidates = candidates_of(s);
    out->rows = out->candidates + IB_JUDGE_CASE_WRONG + 1;
    out->slerp = ib_candidates_fixed(s->guided) - 1;
    ib_candidates_make(&at, out->candidates, ib_rng_u64(rng), w->z);
    put_wrong(w, place, token, rng, w->z + out->candidates * d);
    ib_judge_look(&view, &at, w->beside[0], left_t, w->beside[1], right_t, w->room);
    ib_judge_inputs(&view, w->z, out->rows, w->x);
    memcpy(out->common, view.common, sizeof out->common);
    for (size_t r = 0; r < out->rows; r++) {
        memcpy(out->row[r], w->x + r * IB_JUDGE_INPUTS + IB_JUDGE_COMMON, sizeof out->row[r]);
    }
    compare(w, w->truth + place * each + token * d, s->slerp + place * each + token * d, out);
}

/* ---- a file ---- */

/* Its windows, of one gap after the other. */
typedef struct plan {
    ib_guide_window *window;
    size_t n, gaps; /* gaps: different ones */
} plan;

static int plan_file(plan *p, const ib_latent_file *f, ib_error *err) {
    int rc = ib_sought_windows(f, &p->window, &p->n, err);
    p->gaps = 0;
    for (size_t i = 0; i < p->n && !rc; i++) {
        p->gaps += !i || p->window[i].gap != p->window[i - 1].gap;
    }
    return rc;
}

/* The windows of the g-th gap: the first of them; *n: how many. */
static const ib_guide_window *windows_at(const plan *p, size_t g, size_t *n) {
    size_t from = 0, end;
    for (;; from = end, g--) {
        for (end = from + 1; end < p->n && p->window[end].gap == p->window[from].gap; end++) {
        }
        if (!g) {
            *n = end - from;
            return p->window + from;
        }
    }
}

static int open_worker(worker *w, const ib_adapter *a, const ib_latent_file *f, int largest, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(f);
    size_t places = (size_t)largest - 1, d = info->shape.width, values = info->shape.tokens * d, all;
    int rc = ib_sought_create(&w->s, a, info->space_id, &info->shape, places, err);
    bool fits = !ib_size_mul(places, values, &all);
    rc = rc      ? rc
         : !fits ? ib_fail(err, IB_E_MEMORY, "out of memory for a window of %d frames", largest)
                 : IB_OK;
    rc = rc ? rc : ib_alloc_floats(&w->truth, all, "a window", err);
    rc = rc ? rc
            : ib_alloc_floats(&w->z,
                              (IB_JUDGE_CASE_MOST + IB_JUDGE_CASE_CANDIDATES + 3) * d +
                                  IB_JUDGE_CASE_MOST * IB_JUDGE_INPUTS,
                              "candidates", err);
    w->node = rc ? NULL : ib_calloc(places, sizeof *w->node);
    if (!rc && !w->node) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a window of %d frames", largest);
    }
    if (!rc) {
        w->off = w->z + IB_JUDGE_CASE_MOST * d;
        w->beside[0] = w->off + IB_JUDGE_CASE_CANDIDATES * d;
        w->beside[1] = w->beside[0] + d;
        w->room = w->beside[1] + d;
        w->x = w->room + d;
    }
    return rc;
}

static void close_worker(worker *w) {
    ib_sought_free(&w->s);
    ib_free(w->truth);
    ib_free(w->z);
    ib_free(w->node);
}

/* n cases of a file, evenly of its gaps and their windows. */
static int sample_file(const ib_judge_sampling *o, ib_latent_file *f, const plan *p, uint64_t number,
                       size_t n, ib_judge_sample *out, ib_error *err) {
    worker w = {0};
    const ib_guide_window *at = NULL;
    int rc = open_worker(&w, o->adapter, f, p->window[p->n - 1].gap, err);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t g = i * p->gaps / n, first = (g * n + p->gaps - 1) / p->gaps,
               end = ((g + 1) * n + p->gaps - 1) / p->gaps, windows;
        const ib_guide_window *of_gap = windows_at(p, g, &windows);
        size_t k = (i - first) * windows / (end - first);
        ib_rng rng;
        ib_rng_seed2(&rng, o->seed, number * 1000003 + i);
        if (at != of_gap + k) {
            bool drop = k % UNGUIDED_EVERY == UNGUIDED_EVERY - 1;
            at = of_gap + k;
            rc = ib_sought_read(&w.s, f, at->first, at->gap, drop ? SIZE_MAX : at->at, w.truth, err);
            rc = rc ? rc : ib_sought_answer(&w.s, o->adapter, err);
            ib_search_order(w.s.places, w.node);
        }
        if (!rc) {
            make_case(&w, at->gap, &rng, &out[i]);
        }
    }
    close_worker(&w);
    return rc;
}

/* ---- all files ---- */

/* All files are of the adapter's space and pixel model, or of the first file's. */
static int check_file(ib_judge_samples *s, const ib_judge_sampling *o, const ib_latent_file *f,
                      ib_error *err) {
    const char *id = ib_latent_info_of(f)->space_id, *path = ib_latent_path(f);
    const ib_guide_table *t = ib_latent_guides(f);
    if (!*s->space_id) {
        memcpy(s->space_id, id, sizeof s->space_id);
    }
    if (strcmp(s->space_id, id)) {
        return ib_fail(err, IB_E_MISMATCH, "%s: of the space '%s', the files before it of '%s'", path, id,
                       s->space_id);
    }
    int rc = o->adapter ? ib_adapter_check_space(o->adapter, id, path, err) : IB_OK;
    rc = rc || !o->adapter ? rc : ib_adapter_check_guides(o->adapter, NULL, f, err);
    if (rc || !t) {
        return rc;
    }
    if (!*s->guide) {
        memcpy(s->guide, t->model, sizeof s->guide);
    }
    return ib_guide_same_model(s->guide, t->model)
               ? IB_OK
               : ib_fail(err, IB_E_MISMATCH,
                         "%s: its guides come from the pixel model %s, those of the files before it from %s",
                         path, t->model, s->guide);
}

/* A file's part: how it sorts, and whether it validates. */
typedef struct part {
    char sha[65];
    size_t file, at; /* at: of its first sample */
    bool valid, empty;
} part;

static int compare_parts(const void *a, const void *b) {
    const part *p = a, *q = b;
    int by = strcmp(p->sha, q->sha);
    return by ? by : (p->file > q->file) - (p->file < q->file);
}

/* Videos are dealt out by their contents, so neither order nor names of the files matter. A video that was
 * encoded twice is one. */
static int divide(ib_judge_samples *s, const ib_judge_sampling *o, part *p, size_t files, ib_error *err) {
    size_t videos = 0, valid, number = 0;
    qsort(p, files, sizeof *p, compare_parts);
    for (size_t i = 0; i < files; i++) {
        bool again = i && *p[i].sha && !strcmp(p[i].sha, p[i - 1].sha);
        videos += !p[i].empty && !again;
    }
    bool all = o->valid_part >= 1;
    if (!videos && all) {
        return ib_fail(err, IB_E_EMPTY, "no video to try a judge on has a window");
    }
    if (videos < 2 && !all) {
        return ib_fail(
            err, IB_E_EMPTY,
            "a judge is tried on other videos than it learns from: 2 with windows are needed, there are %zu",
            videos);
    }
    valid = (size_t)((double)videos * o->valid_part + 0.5);
    valid = all ? videos : valid < 1 ? 1 : valid < videos ? valid : videos - 1;
    for (size_t i = 0; i < files; i++) {
        bool again = i && *p[i].sha && !strcmp(p[i].sha, p[i - 1].sha);
        number += !p[i].empty && !again;
        p[i].valid = number && (number - 1) * valid / videos != number * valid / videos;
    }
    s->valid_videos = valid;
    s->train_videos = videos - valid;
    return IB_OK;
}

static int look(ib_judge_samples *s, const ib_judge_sampling *o, part *p, ib_error *err) {
    const char *path = o->latents->v[p->file];
    ib_latent_file *f;
    plan windows = {0};
    int rc = ib_latent_open(&f, path, err);
    rc = rc ? rc : check_file(s, o, f, err);
    rc = rc ? rc : plan_file(&windows, f, err);
    if (!rc) {
        memcpy(p->sha, ib_latent_info_of(f)->source_sha256, sizeof p->sha);
        p->empty = !windows.n;
    }
    ib_free(windows.window);
    ib_latent_close(&f);
    return rc;
}

static int sample_part(ib_judge_samples *s, const ib_judge_sampling *o, const part *p, size_t number,
                       size_t n, ib_error *err) {
    ib_latent_file *f;
    plan windows = {0};
    if (o->stop && atomic_load(o->stop)) {
        return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
    }
    int rc = ib_latent_open(&f, o->latents->v[p->file], err);
    rc = rc ? rc : plan_file(&windows, f, err);
    rc = rc ? rc : sample_file(o, f, &windows, number, n, (p->valid ? s->valid : s->train) + p->at, err);
    ib_free(windows.window);
    ib_latent_close(&f);
    return rc;
}

/* Slerp's mean error at a gap, of those to learn from, if there are any. */
static double mean_error(const ib_judge_samples *s, int gap) {
    const ib_judge_sample *c = s->trains ? s->train : s->valid;
    double sum = 0, n = 0;
    for (size_t i = 0; i < (s->trains ? s->trains : s->valids); i++) {
        sum += c[i].gap == gap ? (double)c[i].slerp_error : 0;
        n += c[i].gap == gap;
    }
    return n > 0 && sum > 0 ? sum / n : 1;
}

/* Errors in the unit of slerp's mean one at the same gap, so that all gaps count alike. */
static int set_unit(ib_judge_samples *s, ib_error *err) {
    size_t n = s->trains + s->valids;
    int gap = 0;
    float *unit;
    int rc = ib_alloc_floats(&unit, n, "the units of errors", err);
    for (size_t i = 0; i < n && !rc; i++) { /* those of a gap follow each other */
        const ib_judge_sample *c = i < s->trains ? &s->train[i] : &s->valid[i - s->trains];
        unit[i] = c->gap == gap ? unit[i - 1] : (float)mean_error(s, c->gap);
        gap = c->gap;
    }
    for (size_t i = 0; i < n && !rc; i++) {
        ib_judge_sample *c = i < s->trains ? &s->train[i] : &s->valid[i - s->trains];
        c->slerp_error /= unit[i];
        for (size_t k = 0; k < c->candidates * c->candidates; k++) {
            c->gram[k] /= unit[i];
        }
    }
    ib_free(unit);
    return rc;
}

int ib_judge_samples_make(ib_judge_samples *s, const ib_judge_sampling *o, ib_error *err) {
    size_t files = o->latents->n, full = 0, done = 0;
    int rc = IB_OK, before;
    *s = (ib_judge_samples){0};
    part *p = ib_calloc(files, sizeof *p);
    if (!p) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu files", files);
    }
    for (size_t i = 0; i < files && !rc; i++) {
        p[i].file = i;
        rc = look(s, o, &p[i], err);
        full += !p[i].empty;
    }
    rc = rc ? rc : divide(s, o, p, files, err);
    size_t each = full ? (o->samples + full - 1) / full : 0;
    for (size_t i = 0; i < files && !rc; i++) {
        size_t *n = p[i].valid ? &s->valids : &s->trains;
        p[i].at = *n;
        *n += p[i].empty ? 0 : each;
    }
    s->train = rc ? NULL : ib_calloc(s->trains + 1, sizeof *s->train);
    s->valid = rc ? NULL : ib_calloc(s->valids, sizeof *s->valid);
    if (!rc && (!s->train || !s->valid)) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu samples", o->samples);
    }
    before = ib_gemm_pin();
#pragma omp parallel for schedule(dynamic, 1) num_threads(o->threads)
    for (size_t i = 0; i < files; i++) {
        ib_error mine = {0};
        int others, mine_rc;
#pragma omp atomic read
        others = rc;
        mine_rc = others || p[i].empty ? IB_OK : sample_part(s, o, &p[i], i, each, &mine);
#pragma omp critical(ib_judge_sampled)
        {
            done++;
            if (mine_rc && !rc) {
                if (err) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = mine_rc;
            }
            if (o->progress && !omp_get_thread_num()) {
                o->progress(o->user, (double)done / (double)files);
            }
        }
    }
    ib_gemm_unpin(before);
    ib_free(p);
    return rc ? rc : set_unit(s, err);
}

void ib_judge_samples_free(ib_judge_samples *s) {
    ib_free(s->train);
    ib_free(s->valid);
    s->train = s->valid = NULL;
}
