#include "train/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "eval/score.h"
#include "latent/windows.h"
#include "nn/gemm.h"
#include "train/sampler.h"

enum {
    CLIPS = 64,         /* at most, evenly spread */
    VIDEOS = 4,         /* that halves need */
    AT_ONCE = 8,        /* targets of a window that are predicted together */
    WINDOWS_SINGLE = 8, /* of a clip and gap */
    WINDOWS_TOKENS = 4,
    WINDOWS_FEW = 16,   /* where videos are few */
    TARGETS_SINGLE = 8, /* of a window, evenly spread */
    TARGETS_TOKENS = 3
};

/* Products of a window. */
enum { EE, EU, EV, UU, UV, VV, PRODUCTS };

typedef struct unit {
    size_t clip, number; /* number: of the clip among those on trial */
    int gap, bin;
    size_t first, guide;     /* guide: number of the first target's; IB_NO_GUIDE: none */
    bool fit;                /* of the half that fits */
    double sum[2][PRODUCTS]; /* without guide, with it */
} unit;

struct ib_trial {
    unit *unit; /* of one clip side by side */
    size_t units, clips;
    ib_strengths bins; /* middles only */
    int gap[IB_STRENGTH_BINS];
    bool by_videos, guided, single;
};

/* ---- which windows ---- */

static int bin_of(const ib_trial *t, int gap) {
    for (int k = 0; k < t->bins.bins; k++) {
        if (t->gap[k] == gap) {
            return k;
        }
    }
    return -1;
}

static void add_gap(ib_trial *t, int gap) {
    int k = t->bins.bins;
    if (bin_of(t, gap) >= 0 || k == IB_STRENGTH_BINS) {
        return;
    }
    for (; k && t->gap[k - 1] > gap; k--) {
        t->gap[k] = t->gap[k - 1];
    }
    t->gap[k] = gap;
    t->bins.bins++;
}

static void find_gaps(ib_trial *t, const ib_dataset *d, int gap_min, int gap_max) {
    for (size_t i = 0; t->guided && i < ib_dataset_files(d); i++) {
        const ib_video *c = ib_dataset_video(d, i);
        for (size_t k = 0; k < c->guides.windows; k++) {
            add_gap(t, c->guides.window[k].gap);
        }
    }
    for (int gap = 2; !t->bins.bins && gap <= gap_max; gap *= 2) {
        if (gap >= gap_min) {
            add_gap(t, gap);
        }
    }
    if (!t->bins.bins) {
        add_gap(t, gap_max);
    }
}

/* Windows of a clip at one gap; those with guides where it has any. `most`: evenly spread. */
static size_t windows_of(const ib_trial *t, const ib_video *c, int gap, size_t most, unit *out) {
    const ib_guide_window *w = NULL;
    size_t firsts[WINDOWS_FEW], guided = t->guided ? ib_guide_windows(&c->guides, gap, &w) : 0,
                                n = guided < most ? guided : most;
    if (!guided) {
        n = ib_video_windows(c, gap, most, firsts);
    }
    for (size_t k = 0; k < n; k++) {
        size_t at = guided ? ib_spread(guided, most, k) : 0;
        out[k] = (unit){.gap = gap, .bin = bin_of(t, gap), .guide = IB_NO_GUIDE};
        out[k].first = guided ? w[at].first : firsts[k];
        out[k].guide = guided ? w[at].at : IB_NO_GUIDE;
    }
    return n;
}

static float seconds_of(const ib_video *c, const unit *u) {
    return ib_score_seconds(c->pts + u->first, u->gap, c->info.fps);
}

/* Middles of the bins: geometric means over the windows. They must rise. */
static void place_bins(ib_trial *t, const ib_dataset *d) {
    double sum[IB_STRENGTH_BINS] = {0}, n[IB_STRENGTH_BINS] = {0};
    for (size_t i = 0; i < t->units; i++) {
        const unit *u = &t->unit[i];
        sum[u->bin] += log((double)seconds_of(ib_dataset_video(d, u->clip), u));
        n[u->bin]++;
    }
    for (int k = 0; k < t->bins.bins; k++) {
        double before = k ? (double)t->bins.gap_seconds[k - 1] : 0;
        double middle = n[k] > 0 ? exp(sum[k] / n[k]) : 0;
        t->bins.gap_seconds[k] = (float)fmax(middle, before > 0 ? 1.01 * before : 1e-3);
    }
}

int ib_trial_create(ib_trial **out, const ib_dataset *d, bool guided, int gap_min, int gap_max,
                    ib_error *err) {
    ib_trial *t = ib_calloc(1, sizeof *t);
    size_t n = 0;
    *out = NULL;
    if (!t) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for validation");
    }
    t->guided = guided;
    t->single = ib_dataset_shape(d, 0)->layout == IB_LAYOUT_SINGLE;
    t->by_videos = ib_dataset_videos(d, true) >= VIDEOS;
    find_gaps(t, d, gap_min, gap_max);
    size_t each = !t->by_videos ? WINDOWS_FEW : t->single ? WINDOWS_SINGLE : WINDOWS_TOKENS, clip[CLIPS];
    t->clips = ib_dataset_validating(d, CLIPS, clip);
    t->unit = ib_calloc(t->clips * each * IB_STRENGTH_BINS + 1, sizeof *t->unit);
    if (!t->unit) {
        ib_trial_free(&t);
        return ib_fail(err, IB_E_MEMORY, "out of memory for validation");
    }
    for (size_t i = 0; i < t->clips; i++) {
        for (int b = 0; b < t->bins.bins; b++) {
            size_t more = windows_of(t, ib_dataset_video(d, clip[i]), t->gap[b], each, t->unit + n);
            for (size_t q = n; q < n + more; q++) {
                t->unit[q].clip = clip[i];
                t->unit[q].number = i;
                t->unit[q].fit = i % 2;
            }
            n += more;
        }
    }
    t->units = n;
    place_bins(t, d);
    *out = t;
    return IB_OK;
}

void ib_trial_free(ib_trial **t) {
    if (*t) {
        ib_free((*t)->unit);
        ib_free(*t);
        *t = NULL;
    }
}

bool ib_trial_empty(const ib_trial *t) {
    return !t->units;
}

bool ib_trial_by_videos(const ib_trial *t) {
    return t->by_videos;
}

/* ---- the products ---- */

/* One thread's memory. */
typedef struct worker {
    ib_adapter_work *work;
    float *frames; /* [2 + AT_ONCE, T,D]: keyframes, targets */
    float *guide;  /* [AT_ONCE, IB_GUIDE_PICTURES, T,D] */
    float *parts;  /* [3, AT_ONCE, T,D]: slerp, seen, f */
} worker;

static int worker_create(worker *w, const ib_adapter *a, const ib_shape *s, ib_error *err) {
    size_t n = s->tokens * s->width;
    int rc = ib_alloc_floats(&w->frames, (2 + AT_ONCE) * n, "validation", err);
    rc = rc ? rc : ib_alloc_floats(&w->guide, AT_ONCE * IB_GUIDE_PICTURES * n, "validation", err);
    rc = rc ? rc : ib_alloc_floats(&w->parts, 3 * AT_ONCE * n, "validation", err);
    return rc ? rc : ib_adapter_work_create(&w->work, a, s, AT_ONCE, false, err);
}

static void worker_free(worker *w) {
    ib_adapter_work_free(&w->work);
    ib_free(w->frames);
    ib_free(w->guide);
    ib_free(w->parts);
}

static void add_products(const worker *w, size_t n, int targets, double sum[PRODUCTS]) {
    for (size_t k = 0; k < (size_t)targets; k++) {
        const float *truth = w->frames + (2 + k) * n, *s = w->parts + k * n, *u = s + AT_ONCE * n,
                    *v = u + AT_ONCE * n;
        for (size_t i = 0; i < n; i++) {
            double e = (double)truth[i] - (double)s[i], x = (double)u[i], y = (double)v[i];
            sum[EE] += e * e;
            sum[EU] += e * x;
            sum[EV] += e * y;
            sum[UU] += x * x;
            sum[UV] += x * y;
            sum[VV] += y * y;
        }
    }
}

static int run_unit(const ib_trial *t, unit *u, const ib_video *c, ib_latent_file *f, const ib_adapter *a,
                    worker *w, ib_error *err) {
    size_t n = c->info.shape.tokens * c->info.shape.width, gap = (size_t)u->gap;
    int all = u->gap - 1, most = t->single ? TARGETS_SINGLE : TARGETS_TOKENS, m = all < most ? all : most;
    ib_between in[AT_ONCE];
    int rc = ib_latent_read(f, u->first, 1, w->frames, err);
    rc = rc ? rc : ib_latent_read(f, u->first + gap, 1, w->frames + n, err);
    for (int k = 0; k < m && !rc; k++) {
        int at = 1 + (m > 1 ? k * (all - 1) / (m - 1) : all / 2);
        float *truth = w->frames + (2 + (size_t)k) * n, *h = w->guide + (size_t)k * IB_GUIDE_PICTURES * n;
        in[k] = (ib_between){w->frames, w->frames + n, ib_score_place(c->pts + u->first, u->gap, at),
                             seconds_of(c, u)};
        rc = ib_latent_read(f, u->first + (size_t)at, 1, truth, err);
        if (!rc && u->guide != IB_NO_GUIDE) {
            size_t number = u->guide + (size_t)at - 1;
            rc = ib_latent_read_guides(f, number, 1, h, err);
            in[k].guide = h;
            in[k].feature = c->guides.feature + number * IB_GUIDE_FEATURES;
        }
    }
    memset(u->sum, 0, sizeof u->sum);
    for (int with = u->guide != IB_NO_GUIDE; with >= 0 && !rc; with--) {
        for (int k = 0; k < m && !with; k++) {
            in[k].guide = NULL;
        }
        rc = ib_adapter_parts(a, w->work, in, m, w->parts, w->parts + AT_ONCE * n, w->parts + 2 * AT_ONCE * n,
                              err);
        if (!rc) {
            add_products(w, n, m, u->sum[with]);
        }
    }
    return rc;
}

static int run_clip(ib_trial *t, size_t first, size_t end, const ib_adapter *a, ib_dataset *d, int threads,
                    ib_error *err) {
    const ib_video *c = ib_dataset_video(d, t->unit[first].clip);
    ib_latent_file *f;
    int rc = ib_dataset_file(d, t->unit[first].clip, &f, err);
    if (rc) {
        return rc;
    }
#pragma omp parallel num_threads(threads < 1 ? 1 : threads)
    {
        worker w = {0};
        ib_error mine = {0};
        int mine_rc = worker_create(&w, a, &c->info.shape, &mine);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = first; i < end; i++) {
            mine_rc = mine_rc ? mine_rc : run_unit(t, &t->unit[i], c, f, a, &w, &mine);
        }
        if (mine_rc) {
#pragma omp critical(ib_trial_error)
            {
                rc = mine_rc;
                *err = mine;
            }
        }
        worker_free(&w);
    }
    return rc;
}

int ib_trial_run(ib_trial *t, const ib_adapter *a, ib_dataset *d, int threads, ib_error *err) {
    ib_error own;
    int rc = IB_OK, before = ib_gemm_pin();
    for (size_t i = 0, end; i < t->units && !rc; i = end) {
        for (end = i + 1; end < t->units && t->unit[end].clip == t->unit[i].clip; end++) {
        }
        rc = run_clip(t, i, end, a, d, threads, err ? err : &own);
    }
    ib_gemm_unpin(before);
    return rc;
}

/* ---- what follows from them ---- */

/* The products of a half's videos (or windows, where videos are few) at one gap, each divided by its |e|^2.
 */
typedef struct table {
    double (*row)[PRODUCTS];
    size_t n;
} table;

static bool in_half(const ib_trial *t, const unit *u, ib_half half) {
    return half == IB_HALF_BOTH || !t->by_videos || u->fit == (half == IB_HALF_FIT);
}

/* rows: room for all units */
static table gather(const ib_trial *t, ib_half half, int bin, bool guided, double (*rows)[PRODUCTS]) {
    table r = {rows, 0};
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < t->units; i++) {
        const unit *u = &t->unit[i];
        if (u->bin != bin || !in_half(t, u, half) || (guided && u->guide == IB_NO_GUIDE)) {
            continue;
        }
        if (!r.n || !t->by_videos || last != u->number) {
            memset(rows[r.n++], 0, sizeof *rows);
        }
        last = u->number;
        for (int k = 0; k < PRODUCTS; k++) {
            rows[r.n - 1][k] += u->sum[guided][k];
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < r.n; i++) {
        double scale = rows[i][EE];
        if (!(scale > 0)) {
            continue; /* nothing moves there */
        }
        for (int k = 0; k < PRODUCTS; k++) {
            rows[kept][k] = rows[i][k] / scale;
        }
        kept++;
    }
    r.n = kept;
    return r;
}

static double gain(const double p[PRODUCTS], double a, double b) {
    return 2 * a * p[EU] + 2 * b * p[EV] - a * a * p[UU] - 2 * a * b * p[UV] - b * b * p[VV];
}

static double clamped(double x) {
    return x > 0 ? x < 1 ? x : 1 : 0;
}

/* Sums over a table's rows. */
static void add_rows(const table *r, double sum[PRODUCTS]) {
    memset(sum, 0, PRODUCTS * sizeof *sum);
    for (size_t i = 0; i < r->n; i++) {
        for (int k = 0; k < PRODUCTS; k++) {
            sum[k] += r->row[i][k];
        }
    }
}

/* Best strength of one part with the other's as it is, from sums of products: u's, or else v's. */
static double best(const double s[PRODUCTS], bool of_u, double other) {
    double under = s[of_u ? UU : VV], over = s[of_u ? EU : EV] - other * s[UV];
    return under > 0 ? clamped(over / under) : 0;
}

double ib_certainty(double sum, double squares, size_t videos) {
    double n = (double)videos, mean = sum / n;
    if (videos < 2 || !(mean > 0)) {
        return 0;
    }
    double error = sqrt(fmax(squares / n - mean * mean, 0) / (n - 1)), c = 2 + 4 / (n - 1),
           doubt = c * error / mean;
    return fmax(0, 1 - doubt * doubt);
}

/* The strength of one part that gains most with the other's as it is, times what of its gain is certain. A
 * row's gain is taken at the strength that the other rows would give. */
static double certain(const table *r, bool of_u, double other) {
    double all[PRODUCTS], sum = 0, squares = 0;
    add_rows(r, all);
    for (size_t i = 0; i < r->n; i++) {
        double rest[PRODUCTS];
        for (int k = 0; k < PRODUCTS; k++) {
            rest[k] = all[k] - r->row[i][k];
        }
        double x = best(rest, of_u, other), g = of_u ? gain(r->row[i], x, other) - gain(r->row[i], 0, other)
                                                     : gain(r->row[i], other, x) - gain(r->row[i], other, 0);
        sum += g;
        squares += g * g;
    }
    return best(all, of_u, other) * ib_certainty(sum, squares, r->n);
}

static double mean_gain(const table *r, double a, double b) {
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) {
        sum += gain(r->row[i], a, b);
    }
    return r->n ? sum / (double)r->n : NAN;
}

void ib_trial_fit(const ib_trial *t, ib_half half, ib_strengths *out) {
    double(*rows)[PRODUCTS] = ib_calloc(t->units + 1, sizeof *rows);
    *out = t->bins;
    for (int k = 0; rows && k < t->bins.bins; k++) {
        /* the gate has too few weights to learn validation videos by being chosen on them */
        table r = gather(t, IB_HALF_BOTH, k, true, rows);
        double a = certain(&r, true, 0);
        r = gather(t, half, k, true, rows);
        double b = certain(&r, false, a), with = mean_gain(&r, a, b);
        r = gather(t, half, k, false, rows);
        double alone = certain(&r, false, 0);
        bool useless = !(with > mean_gain(&r, 0, alone)); /* better without */
        out->value[IB_STRENGTH_GUIDE][k] = useless ? 0 : (float)a;
        out->value[IB_STRENGTH_GUIDED][k] = useless ? 0 : (float)b;
        out->value[IB_STRENGTH_ALONE][k] = (float)alone;
    }
    ib_free(rows);
}

double ib_trial_skill_at(const ib_trial *t, ib_half half, const ib_strengths *s, int bin, bool guided) {
    double(*rows)[PRODUCTS] = ib_calloc(t->units + 1, sizeof *rows), skill = NAN;
    if (rows) {
        table r = gather(t, half, bin, guided, rows);
        bool useless =
            guided && !(s->value[IB_STRENGTH_GUIDE][bin] > 0) && !(s->value[IB_STRENGTH_GUIDED][bin] > 0);
        if (useless && r.n) {
            r = gather(t, half, bin, false, rows);
        }
        skill = guided && !useless
                    ? mean_gain(&r, s->value[IB_STRENGTH_GUIDE][bin], s->value[IB_STRENGTH_GUIDED][bin])
                    : mean_gain(&r, 0, s->value[IB_STRENGTH_ALONE][bin]);
    }
    ib_free(rows);
    return skill;
}

double ib_trial_skill(const ib_trial *t, ib_half half, const ib_strengths *s) {
    double sum = 0;
    int n = 0;
    for (int k = 0; k < t->bins.bins; k++) {
        double one = ib_trial_skill_at(t, half, s, k, true);
        one = isnan(one) ? ib_trial_skill_at(t, half, s, k, false) : one;
        if (!isnan(one)) {
            sum += one;
            n++;
        }
    }
    return n ? sum / n : NAN;
}

double ib_trial_score(const ib_trial *t, ib_half half) {
    double(*rows)[PRODUCTS] = ib_calloc(t->units + 1, sizeof *rows), sum = 0;
    int n = 0;
    for (int k = 0; rows && k < t->bins.bins; k++) {
        for (int guided = 0; guided < 2; guided++) {
            table r = gather(t, half, k, guided, rows);
            if (r.n) {
                double all[PRODUCTS];
                add_rows(&r, all);
                double a = guided ? best(all, true, 0) : 0, b = best(all, false, a);
                a = guided ? best(all, true, b) : 0;
                sum += mean_gain(&r, a, b);
                n++;
            }
        }
    }
    ib_free(rows);
    return n ? sum / n : NAN;
}
