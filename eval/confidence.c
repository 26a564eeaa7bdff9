/* Means over clips, and how far to trust them: bootstrap over clips, differences between methods clip by
 * clip. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "eval/private.h"

/* How often each of n clips is drawn in each resample. */
typedef struct draws {
    size_t n;
    uint16_t *times; /* [IB_EVAL_RESAMPLES, n] */
} draws;

static int draw_confidence(draws *d, size_t n, int gap, ib_error *err) {
    ib_rng rng;
    d->n = n;
    d->times = ib_calloc(n, IB_EVAL_RESAMPLES * sizeof *d->times);
    if (!d->times) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for resampling %zu clips", n);
    }
    ib_rng_seed2(&rng, IB_EVAL_SEED, (uint64_t)gap);
    for (size_t b = 0; b < IB_EVAL_RESAMPLES; b++) {
        for (size_t i = 0; i < n; i++) {
            d->times[b * n + ib_rng_below(&rng, n)]++;
        }
    }
    return IB_OK;
}

static int compare_confidence(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* value: [d->n], NaN: does not take part. room: [IB_EVAL_RESAMPLES]. Resamples without any value are passed
 * over. */
static ib_eval_interval interval_of(const draws *d, const double *value, double *room) {
    ib_eval_interval out = {NAN, NAN, NAN};
    size_t there = 0, resamples = 0;
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (!isnan(value[i])) {
            there++;
            sum += value[i];
        }
    }
    out.mean = there ? sum / (double)there : NAN;
    for (size_t b = 0; b < IB_EVAL_RESAMPLES && there > 1; b++) {
        const uint16_t *times = d->times + b * d->n;
        size_t count = 0;
        sum = 0;
        for (size_t i = 0; i < d->n; i++) {
            if (times[i] && !isnan(value[i])) {
                sum += times[i] * value[i];
                count += times[i];
            }
        }
        if (count) {
            room[resamples++] = sum / (double)count;
        }
    }
    if (resamples) {
        qsort(room, resamples, sizeof *room, compare_confidence);
        size_t tail = resamples / 40; /* 2.5 % */
        out.low = room[tail];
        out.high = room[resamples - 1 - tail];
    }
    return out;
}

/* Of the clips that count. value: [clips with windows] */
static void collect_confidence(const ib_eval_gap *g, size_t clips, size_t method, int figure, double *value) {
    for (size_t i = 0, n = 0; i < clips; i++) {
        if (g->clip[i].windows) {
            value[n++] = g->clip[i].score[method].figure[figure];
        }
    }
}

/* ---- means ---- */

static int means(const ib_eval_report *r, ib_eval_gap *g, const draws *d, int threads, ib_error *err) {
    int bad = 0;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t m = 0; m < r->methods; m++) {
        double *value = ib_calloc(g->counted + IB_EVAL_RESAMPLES, sizeof *value);
        for (int f = 0; f < IB_FIGURES && value; f++) {
            collect_confidence(g, r->clips, m, f, value);
            ib_eval_interval i = interval_of(d, value, value + g->counted);
            g->mean[m].figure[f] = i.mean;
            g->low[m].figure[f] = i.low;
            g->high[m].figure[f] = i.high;
        }
        if (!value) {
#pragma omp atomic write
            bad = 1;
        }
        ib_free(value);
    }
    return bad ? ib_fail(err, IB_E_MEMORY, "out of memory for means over clips") : IB_OK;
}

static void means_at(const ib_eval_report *r, ib_eval_gap *g) {
    for (size_t k = 0; k < ((size_t)g->gap - 1) * r->methods; k++) {
        for (int f = 0; f < IB_FIGURES; f++) {
            double sum = 0;
            size_t n = 0;
            for (size_t i = 0; i < r->clips; i++) {
                double x = g->clip[i].windows ? g->clip[i].at[k].figure[f] : NAN;
                sum += isnan(x) ? 0 : x;
                n += !isnan(x);
            }
            g->at[k].figure[f] = n ? sum / (double)n : NAN;
        }
    }
}

/* ---- pairs ---- */

const char *ib_eval_verdict_word(ib_eval_verdict v) {
    static const char *const words[] = {"undecided", "better", "worse"};
    return words[v];
}

static ib_eval_verdict verdict(const ib_eval_interval *i, size_t clips) {
    return clips < IB_EVAL_SURE_OF ? IB_VERDICT_UNDECIDED
           : i->low > 0            ? IB_VERDICT_BETTER
           : i->high < 0           ? IB_VERDICT_WORSE
                                   : IB_VERDICT_UNDECIDED;
}

/* room: [2 counted + IB_EVAL_RESAMPLES] */
static ib_eval_interval difference_confidence(const ib_eval_report *r, const ib_eval_gap *g, const draws *d,
                                              const ib_eval_pair *p, int figure, double *room,
                                              size_t *clips) {
    double *a = room, *b = room + g->counted;
    collect_confidence(g, r->clips, p->method, figure, a);
    collect_confidence(g, r->clips, p->rival, figure, b);
    *clips = 0;
    for (size_t i = 0; i < g->counted; i++) {
        a[i] -= b[i];
        *clips += !isnan(a[i]);
    }
    return interval_of(d, a, b + g->counted);
}

static bool is_compared(const ib_eval_report *r, size_t m) {
    return r->method[m].kind == IB_METHOD_ADAPTER || r->method[m].kind == IB_METHOD_SEARCH;
}

static int pairs_confidence(const ib_eval_report *r, ib_eval_gap *g, const draws *d, ib_error *err) {
    size_t n = 0;
    double *room = ib_calloc(2 * g->counted + IB_EVAL_RESAMPLES, sizeof *room);
    for (size_t m = 0; m < r->methods; m++) {
        n += is_compared(r, m) ? m : 0;
    }
    g->pair = calloc(n + 1, sizeof *g->pair);
    if (!room || !g->pair) {
        ib_free(room);
        return ib_fail(err, IB_E_MEMORY, "out of memory for comparing %zu methods", r->methods);
    }
    for (size_t m = 0; m < r->methods; m++) {
        for (size_t k = 0; k < m && is_compared(r, m); k++) {
            ib_eval_pair *p = &g->pair[g->pairs++];
            size_t with_psnr;
            *p = (ib_eval_pair){.method = m, .rival = k};
            p->skill = difference_confidence(r, g, d, p, IB_FIGURE_SKILL, room, &p->clips);
            p->psnr = difference_confidence(r, g, d, p, IB_FIGURE_PSNR, room, &with_psnr);
            p->by_skill = verdict(&p->skill, p->clips);
            p->by_psnr = verdict(&p->psnr, with_psnr);
        }
    }
    ib_free(room);
    return IB_OK;
}

int ib_eval_conclude(ib_eval_report *r, int threads, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < r->gaps && !rc; i++) {
        ib_eval_gap *g = &r->gap[i];
        draws d = {0};
        for (size_t c = 0; c < r->clips; c++) {
            g->counted += g->clip[c].windows > 0;
        }
        size_t places = ((size_t)g->gap - 1) * r->methods;
        g->mean = calloc(r->methods, sizeof *g->mean);
        g->low = calloc(r->methods, sizeof *g->low);
        g->high = calloc(r->methods, sizeof *g->high);
        g->at = calloc(places, sizeof *g->at);
        if (!g->mean || !g->low || !g->high || !g->at) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for means over clips");
        }
        rc = g->counted ? draw_confidence(&d, g->counted, g->gap, err) : IB_OK;
        rc = rc || !g->counted ? rc : means(r, g, &d, threads, err);
        rc = rc || !g->counted ? rc : pairs_confidence(r, g, &d, err);
        means_at(r, g);
        ib_free(d.times);
    }
    return rc;
}
