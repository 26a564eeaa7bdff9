#include "search/judge_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/named.h"
#include "base/memory.h"
#include "nn/gemm.h"
#include "nn/layers.h"
#include "search/judge_case.h"
#include "search/judge_loss.h"

enum { BATCH = 64, MOST = IB_JUDGE_CASE_MOST, W = IB_JUDGE_WIDTH, IN = IB_JUDGE_INPUTS, BINS = 10 };
static const double peak_rate = 2e-3, weight_decay = 0.1, mean_decay = 0.999;
static const float temperatures[] = {0.125f, 0.25f, 0.5f, 0.7f, 1, 1.4f, 2, 4, 8};

void ib_judge_training_defaults(ib_judge_training *o) {
    *o = (ib_judge_training){.samples = 60000, .epochs = 8, .valid_part = 0.1, .seed = 1, .threads = 1};
}

static int check(const ib_judge_training *o, ib_error *err) {
    if (o->kind && !ib_judge_kind_find(o->kind)) {
        char names[256] = "";
        for (const ib_judge_kind *k = ib_judge_kinds; k->name; k++) {
            size_t at = strlen(names);
            snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", k->name);
        }
        return ib_fail(err, IB_E_ARGUMENT, "there is no kind of judge '%s'; there are %s", o->kind, names);
    }
    if (o->samples < 100 || o->samples > 1000000 || o->epochs < 1 || o->epochs > 10000) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected 100 to 1000000 samples and 1 to 10000 epochs, not %zu and %d", o->samples,
                       o->epochs);
    }
    return o->valid_part > 0 && o->valid_part < 1
               ? IB_OK
               : ib_fail(err, IB_E_ARGUMENT,
                         "a judge is tried on a part of the videos between 0 and 1, not %g", o->valid_part);
}

/* ---- the network on samples ---- */

typedef struct trainer {
    ib_search_judge *judge;
    const ib_judge_kind *kind;
    float *x, *pre[2], *act[2], *score; /* [BATCH MOST, ...] */
    float *keep[2];                     /* dropout */
    float *dpre, *dact, *dscore;
    float *grad, *moment[2], *raw, *best; /* [IB_JUDGE_PARAMS]; raw: weights, whose mean the judge has */
    int64_t updates;
} trainer;

static int open_trainer(trainer *t, ib_error *err) {
    size_t rows = (size_t)BATCH * MOST, all = rows * (IN + 8 * W + 2) + 5 * (size_t)IB_JUDGE_PARAMS;
    int rc = ib_alloc_floats(&t->x, all, "training a judge", err);
    if (!rc) {
        memset(t->x, 0, all * sizeof *t->x);
        t->pre[0] = t->x + rows * IN;
        t->pre[1] = t->pre[0] + rows * W;
        t->act[0] = t->pre[1] + rows * W;
        t->act[1] = t->act[0] + rows * W;
        t->keep[0] = t->act[1] + rows * W;
        t->keep[1] = t->keep[0] + rows * W;
        t->dpre = t->keep[1] + rows * W;
        t->dact = t->dpre + rows * W;
        t->score = t->dact + rows * W;
        t->dscore = t->score + rows;
        t->grad = t->dscore + rows;
        t->moment[0] = t->grad + IB_JUDGE_PARAMS;
        t->moment[1] = t->moment[0] + IB_JUDGE_PARAMS;
        t->raw = t->moment[1] + IB_JUDGE_PARAMS;
        t->best = t->raw + IB_JUDGE_PARAMS;
    }
    return rc;
}

/* Inputs of n samples, row after row; how many rows. */
static size_t put_inputs(const trainer *t, const ib_judge_sample *const *sample, size_t n) {
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < sample[i]->rows; r++, rows++) {
            float *x = t->x + rows * IN;
            memcpy(x, sample[i]->common, sizeof sample[i]->common);
            memcpy(x + IB_JUDGE_COMMON, sample[i]->row[r], sizeof sample[i]->row[r]);
        }
    }
    ib_judge_scale(t->judge, t->x, rows);
    return rows;
}

/* The judge's own scores. */
static void judge_rows(const trainer *t, size_t rows) {
    ib_judge_forward(t->judge->params, t->x, rows, t->pre, t->act, NULL, t->score);
}

/* Dropout (Srivastava et al. 2014): an eighth of the activations is left out, the others make up for it. */
static void draw_dropout(const trainer *t, size_t rows, ib_rng *rng) {
    for (int l = 0; l < 2; l++) {
        for (size_t i = 0; i < rows * W; i += 8) { /* W is a multiple of 8 */
            uint64_t bits = ib_rng_u64(rng);
            for (size_t k = 0; k < 8; k++, bits >>= 8) {
                t->keep[l][i + k] = bits & 7 ? 8.0f / 7.0f : 0;
            }
        }
    }
}

static void drop_out(const float *keep, size_t n, float *d) {
    for (size_t i = 0; i < n; i++) {
        d[i] *= keep[i];
    }
}

/* dscore -> grad, added to */
static void backward(const trainer *t, size_t rows) {
    const float *p = t->raw;
    float *g = t->grad;
    ib_linear_backward(t->act[1], p + IB_JUDGE_OUT, t->dscore, rows, W, 1, t->dact, g + IB_JUDGE_OUT,
                       g + IB_JUDGE_OUT_BIAS);
    drop_out(t->keep[1], rows * W, t->dact);
    ib_silu_backward(t->pre[1], t->dact, rows * W, t->dpre);
    ib_linear_backward(t->act[0], p + IB_JUDGE_HIDDEN, t->dpre, rows, W, W, t->dact, g + IB_JUDGE_HIDDEN,
                       g + IB_JUDGE_HIDDEN_BIAS);
    drop_out(t->keep[0], rows * W, t->dact);
    ib_silu_backward(t->pre[0], t->dact, rows * W, t->dpre);
    ib_linear_backward(t->x, p + IB_JUDGE_INTO, t->dpre, rows, IN, W, NULL, g + IB_JUDGE_INTO,
                       g + IB_JUDGE_INTO_BIAS);
}

static ib_judge_case case_of(const ib_judge_sample *s, const float *score) {
    return (ib_judge_case){s->candidates, s->rows, score, s->error, s->gram};
}

/* Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101); the judge has the weights'
 * exponential mean. */
static void update(trainer *t, double rate) {
    double first = 1 - pow(0.9, (double)++t->updates), second = 1 - pow(0.999, (double)t->updates);
    double n = (double)t->updates, decay = fmin(mean_decay, (n + 1) / (n + 10));
    float *w = t->raw, *ema = t->judge->params, *m = t->moment[0], *v = t->moment[1];
    for (size_t i = 0; i < IB_JUDGE_PARAMS; i++) {
        double g = (double)t->grad[i];
        m[i] = (float)(0.9 * (double)m[i] + 0.1 * g);
        v[i] = (float)(0.999 * (double)v[i] + 0.001 * g * g);
        double step = (double)m[i] / first / (sqrt((double)v[i] / second) + 1e-8);
        w[i] -= (float)(rate * (step + weight_decay * (double)w[i]));
        ema[i] = (float)(decay * (double)ema[i] + (1 - decay) * (double)w[i]);
    }
}

static void learn(trainer *t, const ib_judge_sample *const *sample, size_t n, double rate, ib_rng *rng) {
    size_t rows = put_inputs(t, sample, n), at = 0;
    memset(t->dscore, 0, rows * sizeof *t->dscore);
    memset(t->grad, 0, IB_JUDGE_PARAMS * sizeof *t->grad);
    draw_dropout(t, rows, rng);
    ib_judge_forward(t->raw, t->x, rows, t->pre, t->act, (const float *const *)t->keep, t->score);
    for (size_t i = 0; i < n; at += sample[i++]->rows) {
        ib_judge_case c = case_of(sample[i], t->score + at);
        t->kind->loss(&c, 1 / (float)n, t->dscore + at);
    }
    backward(t, rows);
    update(t, rate);
}

/* Mean loss of the videos that it does not learn from. */
static double try_out(trainer *t, const ib_judge_samples *s) {
    double loss = 0;
    for (size_t i = 0; i < s->valids; i++) {
        const ib_judge_sample *one = &s->valid[i];
        size_t rows = put_inputs(t, &one, 1);
        judge_rows(t, rows);
        ib_judge_case c = case_of(one, t->score);
        loss += t->kind->loss(&c, 0, t->dscore);
    }
    return loss / (double)s->valids;
}

/* Where inputs lie, so that the network is given about unit values. */
static void find_scale(ib_search_judge *j, const ib_judge_samples *s) {
    double sum[IN] = {0}, square[IN] = {0}, n = 0;
    for (size_t i = 0; i < s->trains; i++) {
        const ib_judge_sample *c = &s->train[i];
        for (size_t r = 0; r < c->rows; r++, n++) {
            for (size_t k = 0; k < IN; k++) {
                double x = (double)(k < IB_JUDGE_COMMON ? c->common[k] : c->row[r][k - IB_JUDGE_COMMON]);
                sum[k] += x;
                square[k] += x * x;
            }
        }
    }
    for (size_t k = 0; k < IN; k++) {
        double mean = sum[k] / n, variance = square[k] / n - mean * mean;
        j->mean[k] = (float)mean;
        j->scale[k] = variance > 1e-8 ? (float)(1 / sqrt(variance)) : 0;
    }
}

static void begin(ib_search_judge *j, uint64_t seed) {
    static const struct {
        size_t at, count, from;
    } layer[] = {{IB_JUDGE_INTO, IN * W, IN}, {IB_JUDGE_HIDDEN, W * W, W}};
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (size_t l = 0; l < 2; l++) {
        float by = sqrtf(2.0f / (float)layer[l].from);
        for (size_t i = 0; i < layer[l].count; i++) {
            j->params[layer[l].at + i] = by * ib_rng_normal(&rng);
        }
    }
}

static int run_epochs(trainer *t, const ib_judge_training *o, const ib_judge_samples *s, ib_error *err) {
    size_t *order = ib_calloc(s->trains, sizeof *order), batches = (s->trains + BATCH - 1) / BATCH;
    double least = INFINITY;
    if (!order) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu samples", s->trains);
    }
    for (size_t i = 0; i < s->trains; i++) {
        order[i] = i;
    }
    int rc = IB_OK;
    for (int e = 0; e < o->epochs && !rc; e++) {
        ib_rng rng;
        ib_rng_seed2(&rng, o->seed, (uint64_t)e + 1);
        for (size_t i = s->trains; i > 1; i--) {
            size_t k = ib_rng_below(&rng, i), swap = order[k];
            order[k] = order[i - 1];
            order[i - 1] = swap;
        }
        for (size_t b = 0; b < batches && !rc; b++) {
            const ib_judge_sample *sample[BATCH];
            size_t n = 0;
            for (size_t i = b * BATCH; i < s->trains && n < BATCH; i++) {
                sample[n++] = &s->train[order[i]];
            }
            double part = ((double)e + (double)b / (double)batches) / (double)o->epochs;
            learn(t, sample, n, peak_rate * fmin(1, 20 * part) * 0.5 * (1 + cos(3.14159265 * part)), &rng);
            if (o->stop && atomic_load(o->stop)) {
                rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
            }
            if (o->progress && b % 64 == 0) {
                o->progress(o->user, 0.3 + 0.7 * part, "learning");
            }
        }
        double loss = rc ? INFINITY : try_out(t, s);
        if (loss < least) {
            least = loss;
            memcpy(t->best, t->judge->params, sizeof t->judge->params);
        }
    }
    ib_free(order);
    if (!rc && !isfinite(least)) {
        rc = ib_fail(err, IB_E_NONFINITE, "the judge's loss is not finite");
    }
    memcpy(t->judge->params, t->best, sizeof t->judge->params);
    return rc;
}

/* ---- what it is worth ---- */

/* Sums over places. */
typedef struct worth {
    double right, pairs, right_all, pairs_all, first, sure[BINS], hit[BINS], bin[BINS];
    double still, stills, slerp, slerps, places;
    double error_slerp, error_own, error_best, error_mean, error_oracle;
    double error_condensed[sizeof temperatures / sizeof *temperatures];
} worth;

static void weigh_pairs(const ib_judge_case *c, worth *w) {
    for (size_t i = 0; i < c->rows; i++) {
        for (size_t k = 0; k < i; k++) {
            if (c->error[i] == c->error[k]) {
                continue;
            }
            bool nearer = c->error[i] < c->error[k], right = (c->score[i] > c->score[k]) == nearer;
            w->right_all += right;
            w->pairs_all++;
            if (i < c->candidates) { /* k too */
                double sure = 1 / (1 + exp(-fabs((double)c->score[i] - (double)c->score[k])));
                int bin = (int)fmin(BINS - 1, (sure - 0.5) * 2 * BINS);
                w->right += right;
                w->pairs++;
                w->sure[bin] += sure;
                w->hit[bin] += right;
                w->bin[bin]++;
            }
        }
    }
}

static void weigh(const ib_judge_sample *s, const float *score, worth *w) {
    ib_judge_case c = case_of(s, score), even;
    size_t best = 0, near = 0, still = s->candidates + IB_JUDGE_CASE_STILL, n = s->candidates;
    double weights[MOST];
    float zero[MOST] = {0};
    even = case_of(s, zero);
    weigh_pairs(&c, w);
    for (size_t i = 1; i < n; i++) {
        best = score[i] > score[best] ? i : best;
        near = s->error[i] < s->error[near] ? i : near;
    }
    w->places++;
    w->first += score[s->rows - 1] > score[best];
    if (s->error[0] < s->error[still]) {
        w->stills++;
        w->still += score[still] > score[0];
    }
    if (s->error[0] < s->error[s->slerp]) {
        w->slerps++;
        w->slerp += score[s->slerp] > score[0];
    }
    w->error_slerp += (double)s->slerp_error;
    w->error_own += (double)s->gram[0];
    w->error_best += (double)s->gram[best * n + best];
    w->error_oracle += (double)s->gram[near * n + near];
    w->error_mean += ib_judge_mean_error(&even, 1, weights);
    for (size_t i = 0; i < sizeof temperatures / sizeof *temperatures; i++) {
        w->error_condensed[i] += ib_judge_mean_error(&c, (double)temperatures[i], weights);
    }
}

static void weigh_all(const trainer *t, const ib_judge_samples *s, worth *w) {
    *w = (worth){0};
    for (size_t i = 0; i < s->valids; i++) {
        const ib_judge_sample *one = &s->valid[i];
        judge_rows(t, put_inputs(t, &one, 1));
        weigh(one, t->score, w);
    }
}

static void conclude(trainer *t, const ib_judge_samples *s, const ib_judge_samples *held,
                     ib_judge_report *r) {
    worth w;
    size_t coolest = 0;
    weigh_all(t, s, &w);
    for (size_t i = 1; i < sizeof temperatures / sizeof *temperatures; i++) {
        coolest = w.error_condensed[i] < w.error_condensed[coolest] ? i : coolest;
    }
    t->judge->temperature = temperatures[coolest];
    if (held->valids) {
        weigh_all(t, held, &w);
    }
    *r = (ib_judge_report){.train_videos = s->train_videos,
                           .valid_videos = s->valid_videos,
                           .train_samples = s->trains,
                           .valid_samples = s->valids,
                           .held_videos = held->valid_videos,
                           .held_samples = held->valids,
                           .parameters = IB_JUDGE_PARAMS,
                           .accuracy = w.right / w.pairs,
                           .accuracy_all = w.right_all / w.pairs_all,
                           .truth_first = w.first / w.places,
                           .still_fooled = w.stills > 0 ? w.still / w.stills : NAN,
                           .slerp_fooled = w.slerps > 0 ? w.slerp / w.slerps : NAN,
                           .own = 1 - w.error_own / w.error_slerp,
                           .best = 1 - w.error_best / w.error_slerp,
                           .mean = 1 - w.error_mean / w.error_slerp,
                           .condensed = 1 - w.error_condensed[coolest] / w.error_slerp,
                           .oracle = 1 - w.error_oracle / w.error_slerp};
    for (size_t b = 0; b < BINS; b++) {
        r->calibration += fabs(w.sure[b] - w.hit[b]) / w.pairs;
    }
}

/* ---- the whole ---- */

static void on_sampled(void *user, double fraction) {
    const ib_judge_training *o = user;
    o->progress(o->user, 0.3 * fraction, "looking at windows");
}

/* samples: about so many; valid_part: of them */
static int gather(ib_judge_samples *s, const ib_judge_training *o, const ib_adapter *a,
                  const ib_paths *latents, size_t samples, double valid_part, ib_error *err) {
    ib_paths files = {0};
    int rc = IB_OK;
    for (size_t i = 0; i < latents->n && !rc; i++) {
        rc = ib_paths_expand(&files, latents->v[i], ib_is_latent_name, err);
    }
    ib_judge_sampling how = {.latents = &files,
                             .adapter = a,
                             .samples = samples,
                             .valid_part = valid_part,
                             .seed = o->seed,
                             .threads = o->threads,
                             .stop = o->stop,
                             .progress = o->progress ? on_sampled : NULL,
                             .user = (void *)o};
    rc = rc ? rc : ib_judge_samples_make(s, &how, err);
    ib_paths_free(&files);
    return rc;
}

static int check_held(const ib_judge_samples *s, const ib_judge_samples *held, ib_error *err) {
    return !strcmp(s->space_id, held->space_id) && ib_guide_same_model(s->guide, held->guide)
               ? IB_OK
               : ib_fail(err, IB_E_MISMATCH,
                         "held-out videos are of the space '%s' with guides of '%s', the others of '%s' and "
                         "'%s'",
                         held->space_id, held->guide, s->space_id, s->guide);
}

int ib_judge_train(ib_search_judge **out, const ib_judge_training *o, ib_judge_report *report,
                   ib_error *err) {
    ib_judge_samples s = {0}, held = {0};
    ib_adapter *a = NULL;
    trainer t = {.kind = o->kind ? ib_judge_kind_find(o->kind) : ib_judge_kinds};
    *out = NULL;
    int rc = check(o, err);
    rc = rc || !o->adapter ? rc : ib_adapter_open_named(&a, o->adapter, err);
    rc = rc ? rc : gather(&s, o, a, o->latents, o->samples, o->valid_part, err);
    if (!rc && o->held) {
        rc = gather(&held, o, a, o->held, o->samples / 4, 1, err);
        rc = rc ? rc : check_held(&s, &held, err);
    }
    rc = rc ? rc : open_trainer(&t, err);
    t.judge = rc ? NULL : ib_calloc(1, sizeof *t.judge);
    if (!rc && !t.judge) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a judge");
    }
    if (!rc) {
        int before = ib_gemm_pin();
        memcpy(t.judge->space_id, s.space_id, sizeof s.space_id);
        memcpy(t.judge->guide, s.guide, sizeof s.guide);
        snprintf(t.judge->kind, sizeof t.judge->kind, "%s", t.kind->name);
        find_scale(t.judge, &s);
        begin(t.judge, o->seed);
        memcpy(t.raw, t.judge->params, sizeof t.judge->params);
        rc = run_epochs(&t, o, &s, err);
        if (!rc) {
            conclude(&t, &s, &held, report);
        }
        ib_gemm_unpin(before);
    }
    char *file = NULL;
    rc = rc || !a ? rc : ib_adapter_named_file(&file, o->adapter, err);
    rc = rc || !file ? rc : ib_sha256_file(file, t.judge->adapter_sha256, err);
    free(file);
    ib_adapter_free(&a);
    ib_judge_samples_free(&s);
    ib_judge_samples_free(&held);
    ib_free(t.x);
    if (rc) {
        ib_search_judge_free(&t.judge);
    }
    *out = t.judge;
    return rc;
}
