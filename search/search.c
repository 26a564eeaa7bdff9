#include "search/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <omp.h>

#include "base/clock.h"
#include "base/memory.h"
#include "nn/gemm.h"

int ib_search_check(const ib_search_options *o, ib_error *err) {
    if (o->candidates < 1 || o->candidates > IB_CANDIDATES_MOST) {
        return ib_fail(err, IB_E_ARGUMENT, "a search wants 1 to %d candidates, not %zu", IB_CANDIDATES_MOST,
                       o->candidates);
    }
    if (o->beam < 1 || o->beam > IB_SEARCH_BEAM_MOST) {
        return ib_fail(err, IB_E_ARGUMENT, "a search follows 1 to %d paths, not %zu", IB_SEARCH_BEAM_MOST,
                       o->beam);
    }
    if (o->condense < 1 || o->condense > o->candidates) {
        return ib_fail(err, IB_E_ARGUMENT, "of %zu candidates the best 1 to %zu can be condensed, not %zu",
                       o->candidates, o->candidates, o->condense);
    }
    return o->seconds >= 0 && o->seconds < 1e9
               ? IB_OK
               : ib_fail(err, IB_E_ARGUMENT, "a search wants seconds above 0, not %g", o->seconds);
}

int ib_search_begin(const ib_search_asked *asked, const char *space_id, const char *what,
                    ib_search_options *o, ib_search_judge **judge, ib_error *err) {
    *judge = NULL;
    *o = (ib_search_options){.candidates = asked->candidates,
                             .beam = asked->beam ? asked->beam : 1,
                             .condense = asked->condense ? asked->condense
                                         : asked->judge  ? asked->candidates
                                                         : 1,
                             .seconds = asked->seconds,
                             .seed = asked->seed ? asked->seed : 1,
                             .threads = 1};
    if (!asked->candidates) {
        return asked->judge ? ib_fail(err, IB_E_ARGUMENT,
                                      "%s: a judge is for a search, and none was asked for", asked->judge)
                            : IB_OK;
    }
    int rc = ib_search_check(o, err);
    rc = rc || !asked->judge ? rc : ib_search_judge_open(judge, asked->judge, err);
    rc = rc || !*judge ? rc : ib_search_judge_check(*judge, asked->judge, space_id, what, err);
    if (rc) {
        ib_search_judge_free(judge);
    }
    return rc;
}

void ib_search_order(size_t n, ib_search_node *node) {
    /* the nodes themselves are the queue of ranges: each is split where it was taken out */
    size_t filled = 0;
    if (n) {
        node[filled++] = (ib_search_node){(int)((n - 1) / 2), -1, (int)n};
    }
    for (size_t i = 0; i < filled; i++) {
        ib_search_node at = node[i];
        if (at.place - at.left > 1) {
            node[filled++] = (ib_search_node){(at.left + at.place) / 2, at.left, at.place};
        }
        if (at.right - at.place > 1) {
            node[filled++] = (ib_search_node){(at.place + at.right) / 2, at.place, at.right};
        }
    }
}

void ib_search_mean(const float *z, const double *weight, size_t n, size_t width, float *out) {
    double length = 0, square = 0;
    memset(out, 0, width * sizeof *out);
    for (size_t c = 0; c < n; c++) {
        const float *from = z + c * width;
        double own = 0;
        for (size_t i = 0; i < width; i++) {
            own += (double)from[i] * from[i];
        }
        own = sqrt(own);
        length += weight[c] * own;
        float by = own > 1e-20 ? (float)(weight[c] / own) : 0;
        for (size_t i = 0; i < width; i++) {
            out[i] += by * from[i];
        }
    }
    for (size_t i = 0; i < width; i++) {
        square += (double)out[i] * out[i];
    }
    float by = square > 1e-40 ? (float)(length / sqrt(square)) : 0;
    for (size_t i = 0; i < width; i++) {
        out[i] *= by;
    }
}

/* ---- one token ---- */

/* A path as far as it goes. */
typedef struct path {
    double score;
    const float **at; /* [places]; NULL: nothing stands there */
} path;

/* A way on: which path, which candidate. */
typedef struct step {
    double score;
    size_t path, candidate;
} step;

/* A thread's memory. */
typedef struct worker {
    const ib_search_judge *judge;
    const ib_sought *s;
    const ib_search_options *o;
    const ib_search_node *node; /* [places] */
    double deadline;            /* ib_clock_seconds; 0: none */
    float *z;                   /* [N,D] candidates of the place at hand */
    float *x, *scratch, *score; /* of them, for the judge */
    float *room;                /* [D] for a view */
    float *kept;                /* [places,B,D] what stands on the paths followed */
    float *mean;                /* [places,D] condensed */
    const float **at;           /* [2,B,places] */
    path now[IB_SEARCH_BEAM_MOST], next[IB_SEARCH_BEAM_MOST];
    step *steps;    /* [B N] */
    double *weight; /* [N] */
} worker;

static int open_worker(worker *w, const ib_search_judge *j, const ib_sought *s, const ib_search_options *o,
                       const ib_search_node *node, double deadline, ib_error *err) {
    size_t n = o->candidates, b = o->beam, d = s->shape.width, p = s->places;
    *w = (worker){.judge = j, .s = s, .o = o, .node = node, .deadline = deadline};
    size_t each = n * (d + IB_JUDGE_INPUTS + 1) + ib_judge_scratch(n), kept;
    bool fits = !ib_size_mul(p * (b + 1), d, &kept);
    int rc = fits ? ib_alloc_floats(&w->z, each + d + kept, "a search", err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for a search over %zu places", p);
    w->at = rc ? NULL : ib_calloc(2 * b * p, sizeof *w->at);
    w->steps = rc ? NULL : ib_calloc(b * n, sizeof *w->steps);
    w->weight = rc ? NULL : ib_calloc(n, sizeof *w->weight);
    if (!rc && (!w->at || !w->steps || !w->weight)) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a search over %zu places", p);
    }
    if (!rc) {
        w->x = w->z + n * d;
        w->scratch = w->x + n * IB_JUDGE_INPUTS;
        w->score = w->scratch + ib_judge_scratch(n);
        w->room = w->score + n;
        w->kept = w->room + d;
        w->mean = w->kept + p * b * d;
        for (size_t i = 0; i < b; i++) {
            w->now[i].at = w->at + i * p;
            w->next[i].at = w->at + (b + i) * p;
        }
    }
    return rc;
}

static void close_worker(worker *w) {
    ib_free(w->z);
    ib_free(w->at);
    ib_free(w->steps);
    ib_free(w->weight);
}

static bool time_is_over(const worker *w) {
    return (w->o->stop && atomic_load(w->o->stop)) || (w->deadline > 0 && ib_clock_seconds() >= w->deadline);
}

/* What stands at a place of a path, and when. */
static const float *standing(const worker *w, const float *const *at, size_t token, int place, float *t) {
    const ib_sought *s = w->s;
    size_t d = s->shape.width;
    bool key = place < 0 || place >= (int)s->places;
    *t = place < 0 ? 0 : key ? 1 : s->t[place];
    return place < 0 ? s->z0 + token * d : key ? s->z1 + token * d : at[place];
}

/* Scores of all candidates of a node, on the path `at`. */
static void score_node(worker *w, const ib_search_node *node, const float *const *at, size_t token) {
    ib_strand here = {w->s, token, (size_t)node->place};
    ib_judge_view view;
    float left_t, right_t;
    const float *left = standing(w, at, token, node->left, &left_t),
                *right = standing(w, at, token, node->right, &right_t);
    ib_judge_look(&view, &here, left, left_t, right, right_t, w->room);
    ib_judge_inputs(&view, w->z, w->o->candidates, w->x);
    ib_judge_score(w->judge, w->x, w->o->candidates, w->scratch, w->score);
}

/* Best first; of equals the first. */
static int compare_steps(const void *a, const void *b) {
    const step *p = a, *q = b;
    if (p->score != q->score) {
        return p->score < q->score ? 1 : -1;
    }
    return p->path != q->path ? (p->path < q->path ? -1 : 1)
                              : (p->candidate > q->candidate) - (p->candidate < q->candidate);
}

/* Every path goes on by every candidate; the best B of them stay. Returns how many there are then. */
static size_t grow(worker *w, const ib_search_node *node, size_t paths, size_t token) {
    size_t n = w->o->candidates, d = w->s->shape.width, b = w->o->beam;
    for (size_t p = 0; p < paths; p++) {
        score_node(w, node, w->now[p].at, token);
        for (size_t c = 0; c < n; c++) {
            w->steps[p * n + c] = (step){w->now[p].score + (double)w->score[c], p, c};
        }
    }
    qsort(w->steps, paths * n, sizeof *w->steps, compare_steps);
    size_t stay = paths * n < b ? paths * n : b;
    for (size_t i = 0; i < stay; i++) {
        const step *from = &w->steps[i];
        float *keep = w->kept + ((size_t)node->place * b + i) * d;
        memcpy(keep, w->z + from->candidate * d, d * sizeof *keep);
        memcpy(w->next[i].at, w->now[from->path].at, w->s->places * sizeof *w->next[i].at);
        w->next[i].at[node->place] = keep;
        w->next[i].score = from->score;
    }
    for (size_t i = 0; i < stay; i++) {
        path swap = w->now[i];
        w->now[i] = w->next[i];
        w->next[i] = swap;
    }
    return stay;
}

/* The mean of the best M candidates of a node, where the best path stands around it. */
static void condense(worker *w, const ib_search_node *node, size_t token, float *out) {
    size_t n = w->o->candidates, m = w->o->condense, d = w->s->shape.width;
    double sum = 0;
    score_node(w, node, w->now[0].at, token);
    for (size_t c = 0; c < n; c++) {
        w->steps[c] = (step){(double)w->score[c], 0, c};
    }
    qsort(w->steps, n, sizeof *w->steps, compare_steps);
    for (size_t i = 0; i < n; i++) {
        w->weight[i] = 0;
    }
    for (size_t i = 0; i < m; i++) {
        double x = exp((w->steps[i].score - w->steps[0].score) / (double)w->judge->temperature);
        w->weight[w->steps[i].candidate] = x;
        sum += x;
    }
    for (size_t i = 0; i < n; i++) {
        w->weight[i] /= sum;
    }
    ib_search_mean(w->z, w->weight, n, d, out);
}

static void put(const worker *w, size_t token, int place, const float *from, float *z) {
    const ib_shape *s = &w->s->shape;
    memcpy(z + ((size_t)place * s->tokens + token) * s->width, from, s->width * sizeof *z);
}

/* True if the whole path was searched. z: [n,T,D] holds the adapter's answer at first. */
static bool search_token(worker *w, size_t token, float *z) {
    size_t places = w->s->places, paths = 1, done = 0;
    bool whole = true;
    w->now[0].score = 0;
    for (; done < places && whole; done += whole) {
        ib_strand here = {w->s, token, (size_t)w->node[done].place};
        if ((whole = !time_is_over(w))) {
            ib_candidates_make(&here, w->o->candidates, w->o->seed, w->z);
            paths = grow(w, &w->node[done], paths, token);
        }
    }
    for (size_t i = 0; i < done; i++) {
        int place = w->node[i].place;
        const float *best = w->now[0].at[place];
        if (w->o->condense > 1 && (whole = whole && !time_is_over(w))) {
            ib_strand here = {w->s, token, (size_t)place};
            ib_candidates_make(&here, w->o->candidates, w->o->seed, w->z);
            condense(w, &w->node[i], token, w->mean + (size_t)place * w->s->shape.width);
            best = w->mean + (size_t)place * w->s->shape.width;
        }
        put(w, token, place, best, z);
    }
    return whole;
}

/* ---- all tokens ---- */

int ib_search_window(const ib_search_judge *j, const ib_sought *s, const ib_search_options *o, float *z,
                     bool *whole, ib_error *err) {
    double deadline = o->seconds > 0 ? ib_clock_seconds() + o->seconds : 0;
    bool all = true, inside = omp_in_parallel();
    int rc = ib_search_check(o, err), threads = o->threads > 1 && !inside ? o->threads : 1, before = 0;
    ib_search_node *node = rc ? NULL : ib_calloc(s->places, sizeof *node);
    if (rc || !node) {
        return rc ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for a search over %zu places", s->places);
    }
    ib_search_order(s->places, node);
    memcpy(z, s->own, s->places * s->shape.tokens * s->shape.width * sizeof *z);
    if (!inside) {
        before = ib_gemm_pin();
    }
#pragma omp parallel num_threads(threads)
    {
        ib_error mine = {0};
        worker *w = ib_calloc(1, sizeof *w);
        int mine_rc = w ? open_worker(w, j, s, o, node, deadline, &mine)
                        : ib_fail(&mine, IB_E_MEMORY, "out of memory for a search");
#pragma omp for schedule(dynamic, 1) reduction(&& : all)
        for (size_t token = 0; token < s->shape.tokens; token++) {
            all = all && !mine_rc && search_token(w, token, z);
        }
        if (mine_rc) {
#pragma omp critical(ib_search_error)
            {
                rc = mine_rc;
                if (err) {
                    *err = mine;
                }
            }
        }
        if (w) {
            close_worker(w);
        }
        ib_free(w);
    }
    if (!inside) {
        ib_gemm_unpin(before);
    }
    ib_free(node);
    if (whole) {
        *whole = all;
    }
    return rc;
}
