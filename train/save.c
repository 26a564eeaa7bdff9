/* state.h5 and adapter.safetensors of a running session. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weights/parents.h"
#include "train/session.h"
#include "train/states.h"

void ib_session_use_mean(ib_session *s) {
    memcpy(ib_adapter_params(s->mean), s->state.ema, s->state.params * sizeof(float));
    ib_adapter_refresh(s->mean);
    ib_adapter_set_strengths(s->mean, NULL);
}

void ib_session_use_best(ib_session *s) {
    const ib_state *st = &s->state;
    ib_strengths strengths = {0};
    if (*st->strengths) {
        ib_strengths_read(st->strengths, &strengths);
    }
    memcpy(ib_adapter_params(s->mean), st->best ? st->best : st->ema, st->params * sizeof(float));
    ib_adapter_refresh(s->mean);
    ib_adapter_set_strengths(s->mean, &strengths);
}

enum { KEYS = 20, TEXT = 96 };

typedef struct summary {
    ib_st_meta meta[KEYS];
    char text[KEYS][TEXT];
    size_t n;
    char *parents; /* owned */
} summary;

__attribute__((format(printf, 3, 4))) static void add(summary *m, const char *key, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->text[m->n], TEXT, fmt, ap);
    va_end(ap);
    m->meta[m->n] = (ib_st_meta){key, m->text[m->n]};
    m->n++;
}

/* Nothing here depends on the clock where the budget is steps, so that equal runs make equal files. */
static int summarise(const ib_session *s, summary *m, ib_error *err) {
    const ib_state *st = &s->state;
    *m = (summary){0};
    add(m, "modelspec.title", "in-between model, %s", st->plan.preset);
    add(m, "modelspec.implementation", "inbetween " IB_VERSION);
    add(m, "train.preset", "%s", st->plan.preset);
    add(m, "train.steps", "%" PRId64, st->step);
    add(m, "train.samples", "%" PRId64, st->samples + st->others_samples);
    add(m, "train.batch", "%" PRId64, st->plan.batch);
    add(m, "train.optimiser", "%s", st->plan.optimiser);
    add(m, "train.rate", "%g", st->plan.rate);
    add(m, "train.gaps", "%" PRId64 "..%" PRId64, st->plan.gap_min, st->plan.gap_max);
    add(m, "train.seed", "%" PRId64, st->plan.seed);
    add(m, "train.videos", "%zu", ib_dataset_videos(s->data, false));
    add(m, "train.data", "%s", st->plan.data);
    if (!st->steps_total) {
        add(m, "train.minutes", "%.1f", st->seconds / 60);
    }
    if (isfinite(s->valid_skill)) {
        add(m, "train.valid_skill", "%.4f", s->best_skill);
        add(m, "train.best_step", "%" PRId64, st->best_step);
    }
    if (*st->plan.judge) {
        add(m, "train.judge", "%s", st->plan.judge);
    }
    if (*st->plan.init) {
        ib_parent p = {.role = "init", .name = st->plan.init_name, .weight = NAN};
        memcpy(p.sha256, st->plan.init, sizeof p.sha256);
        if (!(m->parents = ib_parents_json(&p, 1))) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for the metadata of %s", s->dir.adapter);
        }
        m->meta[m->n++] = (ib_st_meta){IB_PARENTS_KEY, m->parents};
    }
    return IB_OK;
}

int ib_session_save(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    double start = ib_session_seconds(s);
    summary m;
    memcpy(st->weights, ib_adapter_params(s->adapter), st->params * sizeof(float));
    st->seconds = start;
    int rc = ib_state_save(st, s->dir.state, err);
    if (!rc && s->o->keep_states && st->step) {
        rc = ib_states_keep(s->dir.states, st, s->dir.state, (size_t)s->o->keep_states, err);
    }
    if (rc) {
        return rc;
    }
    ib_session_use_best(s);
    rc = summarise(s, &m, err);
    rc = rc ? rc : ib_adapter_save(s->mean, s->dir.adapter, m.meta, m.n, err);
    free(m.parents);
    s->save_cost = ib_session_seconds(s) - start;
    return rc;
}
