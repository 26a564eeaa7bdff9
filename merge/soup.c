/* Greedy soup (Wortsman et al. 2022, arXiv:2203.05482): from the best ingredient on, each that does not make
 * the mean's skill fall. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "weights/average.h"
#include "base/memory.h"
#include "eval/score.h"
#include "merge/private.h"

/* What validation needs. */
typedef struct tasting {
    ib_merge_job *j;
    ib_paths clips;
    ib_adapter *model; /* of the common architecture; its parameters are written over */
    float **x;         /* [ingredients], each [P] */
    size_t done, all;  /* clips scored, and to be scored at most */
} tasting;

/* Mean over clips of the skill; every clip counts once, those without a window or where nothing moves not at
 * all. */
static int skill_of(tasting *t, double *skill, ib_error *err) {
    const ib_merge_options *o = t->j->o;
    double sum = 0;
    size_t counted = 0, windows = 0;
    ib_adapter_refresh(t->model);
    for (size_t i = 0; i < t->clips.n; i++) {
        ib_latent_file *f;
        ib_score_sums sums = {0};
        int rc = ib_merge_stopped(t->j, err);
        if (rc || (rc = ib_latent_open(&f, t->clips.v[i], err))) {
            return rc;
        }
        rc = ib_score_latents(t->model, f, (int)ib_merge_get(o, "gap"), (int)ib_merge_get(o, "max-windows"),
                              o->threads, &sums, err);
        ib_latent_close(&f);
        if (rc) {
            return rc;
        }
        double one = ib_score_skill(&sums);
        windows += sums.windows;
        if (!isnan(one)) {
            sum += one;
            counted++;
        }
        ib_merge_report(t->j, (double)++t->done / (double)t->all, 0);
    }
    if (!counted && windows) {
        return ib_fail(err, IB_E_EMPTY, "nothing moves in the validation files: there is no skill to go by");
    }
    if (!counted) {
        return ib_fail(err, IB_E_EMPTY, "no validation file holds a shot of %d frames",
                       (int)ib_merge_get(o, "gap") + 1);
    }
    *skill = sum / (double)counted;
    return IB_OK;
}

static int skill_of_mean(tasting *t, const size_t *kept, size_t n, double *skill, ib_error *err) {
    const float *x[IB_MERGE_MOST];
    double w[IB_MERGE_MOST];
    for (size_t i = 0; i < n; i++) {
        x[i] = t->x[kept[i]];
        w[i] = 1.0 / (double)n;
    }
    ib_strengths s;
    ib_average_weighted(x, w, n, ib_adapter_params(t->model), ib_adapter_param_count(t->model));
    ib_merge_lowest_strengths(t->j, kept, n, &s);
    ib_adapter_set_strengths(t->model, &s);
    return skill_of(t, skill, err);
}

static int load_soup(tasting *t, ib_error *err) {
    ib_merge_job *j = t->j;
    size_t params = ib_adapter_param_count(j->outline);
    t->x = ib_calloc(j->ingredients, sizeof *t->x);
    int rc = t->x ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for %zu models", j->ingredients);
    for (size_t i = 0; !rc && i < j->ingredients; i++) {
        rc = ib_alloc_floats(&t->x[i], params, "an ingredient", err);
        for (size_t k = 0; !rc && k < ib_adapter_tensor_count(j->outline); k++) {
            const ib_param *p = ib_adapter_tensor(j->outline, k);
            rc = ib_source_read(&j->source[i], p, 0, p->count, t->x[i] + p->offset, err);
        }
        rc =
            rc ? rc
               : ib_source_digest(&j->source[i], err); /* equals are tasted in the order of their checksums */
    }
    rc = rc ? rc : ib_adapter_create(&t->model, &j->source[0].config, 1, err);
    for (size_t i = 0; !rc && i < j->o->valid->n; i++) {
        rc = ib_paths_expand(&t->clips, j->o->valid->v[i], ib_is_latent_name, err);
    }
    t->all = 2 * j->ingredients * t->clips.n;
    return rc;
}

static int refuse_twins(const ib_merge_job *j, ib_error *err) {
    for (size_t i = 0; i < j->ingredients; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!strcmp(j->source[i].sha256, j->source[k].sha256)) {
                return ib_fail(err, IB_E_ARGUMENT,
                               "%s and %s are the same bytes: a soup takes every model once",
                               j->source[k].path, j->source[i].path);
            }
        }
    }
    return IB_OK;
}

/* order: best first */
static void rank(const ib_merge_job *j, size_t *order) {
    const ib_merge_part *p = j->result->part;
    for (size_t i = 0; i < j->ingredients; i++) {
        size_t k = i;
        for (; k > 0; k--) {
            size_t before = order[k - 1];
            if (p[before].skill > p[i].skill || (p[before].skill == p[i].skill &&
                                                 strcmp(j->source[before].sha256, j->source[i].sha256) < 0)) {
                break;
            }
            order[k] = before;
        }
        order[k] = i;
    }
}

static int choose_soup(tasting *t, ib_error *err) {
    ib_merge_job *j = t->j;
    ib_merge_part *part = j->result->part;
    size_t order[IB_MERGE_MOST] = {0}, kept[IB_MERGE_MOST], n = 0;
    for (size_t i = 0; i < j->ingredients; i++) {
        int rc = skill_of_mean(t, &i, 1, &part[i].skill, err);
        if (rc) {
            return rc;
        }
        part[i].kept = false;
    }
    rank(j, order);
    double best = part[order[0]].skill;
    for (size_t i = 0; i < j->ingredients; i++) {
        double skill = best;
        kept[n] = order[i];
        int rc = i ? skill_of_mean(t, kept, n + 1, &skill, err) : IB_OK;
        if (rc) {
            return rc;
        }
        part[order[i]].kept = skill >= best;
        ib_merge_say(j, "%s: skill %.4f alone, %.4f in the soup, %s", part[order[i]].path,
                     part[order[i]].skill, skill, skill >= best ? "kept" : "left out");
        if (skill >= best) {
            best = skill;
            n++;
        }
    }
    for (size_t i = 0; i < j->ingredients; i++) {
        j->coefficient[i] = part[i].kept ? 1.0 / (double)n : 0;
    }
    j->result->skill = best;
    return IB_OK;
}

/* The mean that was chosen, at the strengths that gain most on the validation files. */
static int refit(tasting *t, ib_error *err) {
    ib_merge_job *j = t->j;
    const float *x[IB_MERGE_MOST];
    for (size_t i = 0; i < j->ingredients; i++) {
        x[i] = t->x[i];
    }
    ib_average_weighted(x, j->coefficient, j->ingredients, ib_adapter_params(t->model),
                        ib_adapter_param_count(t->model));
    ib_adapter_refresh(t->model);
    return ib_merge_refit(j, t->model, &t->clips, err);
}

static int plan_soup(ib_merge_job *j, ib_error *err) {
    tasting t = {.j = j};
    if (j->o->dry_run) { /* it would take what it takes only after validation */
        for (size_t i = 0; i < j->ingredients; i++) {
            j->coefficient[i] = NAN;
        }
        return IB_OK;
    }
    int rc = load_soup(&t, err);
    rc = rc ? rc : refuse_twins(j, err);
    rc = rc ? rc : choose_soup(&t, err);
    rc = rc ? rc : refit(&t, err);
    for (size_t i = 0; t.x && i < j->ingredients; i++) {
        ib_free(t.x[i]);
    }
    ib_free(t.x);
    ib_adapter_free(&t.model);
    ib_paths_free(&t.clips);
    return rc;
}

const ib_merge_kernel ib_merge_soup = {.plan = plan_soup};
