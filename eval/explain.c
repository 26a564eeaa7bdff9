#include "eval/explain.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "eval/guides.h"
#include "eval/score.h"

const char *const ib_explained_names[IB_EXPLAINED] = {"true neighbours", "guide, best weights"};

size_t ib_judge_explained(const ib_judge *j) {
    return !j->explains ? 0 : j->seen ? IB_EXPLAINED : IB_EXPLAINED - 1;
}

/* ---- one target ---- */

void ib_explain_neighbours(ib_scene *s, const ib_store *store, size_t frame, ib_marks *marks) {
    const ib_path *p = &s->path[s->rivals];
    ib_marks *m = &marks[s->rivals + IB_EXPLAINED_NEIGHBOURS];
    float *next = s->truth;
    for (size_t i = 0; i < s->n; i++) {
        s->out[i] = 0.5f * (p->before[i] + next[i]);
    }
    s->truth = p->last;
    ib_scene_mark(s, s->out, NULL, store, frame, m);
    s->truth = next;
    m->v[IB_MARK_SLERP] = marks[IB_EVAL_SLERP].v[IB_MARK_ERROR];
}

double ib_best_weight(double along, double apart) {
    return apart > 0 ? fmin(fmax(along / apart, 0), 1) : NAN;
}

void ib_explain_guide(ib_scene *s, const ib_store *store, size_t frame, ib_marks *marks) {
    const float *slerp = s->path[IB_EVAL_SLERP].last;
    ib_marks *one = &marks[ib_judge_seen(s->judge, IB_SEEN_WEIGHT)],
             *best = &marks[s->rivals + IB_EXPLAINED_WEIGHTS];
    double along = 0, apart = 0;
    for (size_t i = 0; i < s->n; i++) {
        double lead = (double)s->seen[i] - (double)slerp[i];
        along += ((double)s->truth[i] - (double)slerp[i]) * lead;
        apart += lead * lead;
    }
    double weight = ib_best_weight(along, apart);
    for (size_t i = 0; i < s->n; i++) {
        s->out[i] = isnan(weight) ? slerp[i] : slerp[i] + (float)weight * (s->seen[i] - slerp[i]);
    }
    ib_scene_mark(s, s->out, NULL, store, frame, best);
    one->v[IB_MARK_ALONG] = along / (double)s->n;
    one->v[IB_MARK_APART] = apart / (double)s->n;
    one->v[IB_MARK_SLERP] = best->v[IB_MARK_SLERP] = marks[IB_EVAL_SLERP].v[IB_MARK_ERROR];
}

/* ---- a whole clip's path ---- */

/* Sums over a shot. */
typedef struct shot {
    double *mean; /* [n] sum of the frames */
    double square;
    size_t frames;
} shot;

/* Sum of the squared distances from its mean. */
static double close_shot(shot *s, size_t n) {
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        square += s->mean[i] * s->mean[i];
        s->mean[i] = 0;
    }
    double spread = s->frames ? s->square - square / (double)s->frames : 0;
    *s = (shot){.mean = s->mean};
    return spread;
}

int ib_step_over_variance(const ib_store *store, double *out, ib_error *err) {
    ib_latent_file *f = ib_store_file(store);
    const ib_latent_info *info = ib_latent_info_of(f);
    size_t n = info->shape.tokens * info->shape.width;
    float *z = NULL, *before, *swap;
    double steps = 0, spread = 0, all = 0;
    shot s = {.mean = ib_calloc(n, sizeof *s.mean)};
    int rc = s.mean ? ib_alloc_floats(&z, 2 * n, "two latents", err)
                    : ib_fail(err, IB_E_MEMORY, "out of memory for the mean of %s", ib_latent_path(f));
    before = z + n;
    swap = z;
    for (size_t k = 0; k < info->frames && !rc; k++) {
        spread += ib_latent_cuts(f)[k] ? close_shot(&s, n) : 0;
        float *now = swap;
        rc = ib_store_read(store, k, now, err);
        for (size_t i = 0; i < n && !rc; i++) {
            double d = s.frames ? (double)now[i] - (double)before[i] : 0;
            steps += d * d;
            s.square += (double)now[i] * (double)now[i];
            all += (double)now[i] * (double)now[i];
            s.mean[i] += (double)now[i];
        }
        s.frames++;
        swap = before;
        before = now;
    }
    spread += rc ? 0 : close_shot(&s, n);
    *out = spread > 1e-12 * all ? steps / (2 * spread) : NAN;
    ib_free(s.mean);
    ib_free(z);
    return rc;
}

/* ---- a gap ---- */

static void weigh(ib_weighing *w, const ib_marks *m) {
    if (!isnan(m->v[IB_MARK_ALONG])) {
        w->error += m->v[IB_MARK_SLERP];
        w->along += m->v[IB_MARK_ALONG];
        w->apart += m->v[IB_MARK_APART];
        w->targets++;
    }
}

int ib_gather(ib_gathered *g, const ib_judge *j, size_t clip, const ib_windows *w, ib_error *err) {
    size_t methods = ib_judge_methods(j), span = (size_t)w->gap - 1, row = ib_judge_seen(j, IB_SEEN_WEIGHT);
    ib_weighing **clips = realloc(g->clip, (clip + 1) * sizeof(ib_weighing *));
    if (!clips) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for what is weighed");
    }
    g->clip = clips;
    for (; g->clips <= clip; g->clips++) {
        clips[g->clips] = NULL;
    }
    if (!w->guides || !w->n) {
        return IB_OK;
    }
    size_t points = g->points + w->n * span;
    float *weight = realloc(g->weight, points * sizeof *weight);
    g->weight = weight ? weight : g->weight;
    float *gate = realloc(g->gate, points * methods * sizeof *gate);
    g->gate = gate ? gate : g->gate;
    clips[clip] = ib_calloc(span + 1, sizeof *clips[clip]);
    if (!weight || !gate || !clips[clip]) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the weights of %zu in-betweens", points);
    }
    for (size_t i = 0; i < w->n * span; i++, g->points++) {
        const ib_marks *m = w->marks + i * methods;
        weigh(&clips[clip][i % span], &m[row]);
        weigh(&clips[clip][span], &m[row]);
        weight[g->points] = (float)ib_best_weight(m[row].v[IB_MARK_ALONG], m[row].v[IB_MARK_APART]);
        for (size_t k = 0; k < methods; k++) {
            gate[g->points * methods + k] = (float)m[k].v[IB_MARK_GATE];
        }
    }
    return IB_OK;
}

void ib_gathered_free(ib_gathered *g) {
    for (size_t i = 0; i < g->clips; i++) {
        ib_free(g->clip[i]);
    }
    free(g->clip);
    free(g->weight);
    free(g->gate);
    *g = (ib_gathered){0};
}

/* The weight with which the mean over clips of their skill is greatest: each clip's sums over its error. */
static double fit_weight(const ib_gathered *g, size_t span) {
    double along = 0, apart = 0;
    for (size_t i = 0; i < g->clips; i++) {
        const ib_weighing *w = g->clip[i] ? &g->clip[i][span] : NULL;
        if (w && isfinite(ib_skill(0, w->error, (double)w->targets))) {
            along += w->along / w->error;
            apart += w->apart / w->error;
        }
    }
    return ib_best_weight(along, apart);
}

static double weighed_skill(const ib_weighing *w, double weight) {
    double error = w->error - 2 * weight * w->along + weight * weight * w->apart;
    return ib_skill(fmax(error, 0), w->error, (double)w->targets);
}

/* Of pairs that are both there. b: every `stride`-th */
static void correlate(const float *a, const float *b, size_t n, size_t stride, double *mean_b,
                      double *correlation) {
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        double ma = count ? sa / (double)count : 0, mb = count ? sb / (double)count : 0;
        for (size_t i = 0; i < n; i++) {
            double x = (double)a[i] - ma, y = (double)b[i * stride] - mb;
            if (isnan(x) || isnan(y)) {
                continue;
            }
            if (pass) {
                aa += x * x;
                bb += y * y;
                ab += x * y;
            } else {
                sa += x;
                sb += y;
                count++;
            }
        }
    }
    *mean_b = count ? sb / (double)count : NAN;
    *correlation = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

int ib_gathered_conclude(const ib_gathered *g, const ib_judge *j, ib_eval_report *r, ib_eval_gap *gap,
                         ib_error *err) {
    ib_eval_explanation *x = &gap->explanation;
    size_t span = (size_t)gap->gap - 1, row = ib_judge_seen(j, IB_SEEN_WEIGHT), there = 0;
    double sum = 0;
    x->one_weight = x->best_weight = NAN;
    x->gate = calloc(r->methods, sizeof *x->gate);
    x->weight = ib_calloc(g->points + 1, sizeof *x->weight);
    x->gates = ib_calloc(g->points + 1, sizeof *x->gates);
    if (!x->gate || !x->weight || !x->gates) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for explanations");
    }
    for (size_t m = 0; m < r->methods; m++) {
        correlate(g->weight, g->gate + m, g->points, r->methods, &x->gate[m].mean, &x->gate[m].correlation);
    }
    for (size_t i = 0; i < g->points; i++) {
        x->weight[i] = g->weight[i];
        x->gates[i] = g->gate[i * r->methods + r->judged];
        sum += isnan(g->weight[i]) ? 0 : (double)g->weight[i];
        there += !isnan(g->weight[i]);
    }
    x->points = g->points;
    x->best_weight = there ? sum / (double)there : NAN;
    x->one_weight = g->points ? fit_weight(g, span) : NAN;
    for (size_t i = 0; i < r->clips; i++) {
        ib_eval_clip *c = &gap->clip[i];
        const ib_weighing *w = i < g->clips ? g->clip[i] : NULL;
        x->windows += c->windows;
        x->all_windows += c->all_windows;
        x->guided += w != NULL;
        if (w && !isnan(x->one_weight)) {
            c->score[row].figure[IB_FIGURE_SKILL] = weighed_skill(&w[span], x->one_weight);
            for (size_t k = 0; k < span; k++) {
                c->at[k * r->methods + row].figure[IB_FIGURE_SKILL] = weighed_skill(&w[k], x->one_weight);
            }
        }
    }
    sum = 0;
    there = 0;
    for (size_t i = 0; i < r->clips; i++) {
        double v = gap->clip[i].windows ? gap->clip[i].step_over_variance : NAN;
        sum += isnan(v) ? 0 : v;
        there += !isnan(v);
    }
    x->step_over_variance = there ? sum / (double)there : NAN;
    return IB_OK;
}
