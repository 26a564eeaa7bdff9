/* The states of one run, averaged: the later the more. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "weights/average.h"
#include "merge/private.h"
#include "train/states.h"

/* A run directory stands for the states that it has kept and the latest one. */
static int add_run(ib_paths *all, const char *run, ib_error *err) {
    char *states = ib_join(run, "states"), *latest = ib_join(run, "state.h5");
    size_t before = all->n;
    int rc = states && latest ? ib_states_list(all, states, err)
                              : ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", run);
    /* the latest one has a second name among the kept ones, as a rule */
    bool known = false;
    ib_source last, kept;
    if (!rc && ib_is_file(latest)) {
        if (all->n > before && !(rc = ib_source_open(&last, latest, false, err))) {
            if (!(rc = ib_source_open(&kept, all->v[all->n - 1], false, err))) {
                known = kept.step == last.step;
                ib_source_close(&kept);
            }
            ib_source_close(&last);
        }
        rc = rc || known ? rc : ib_paths_add(all, latest, err);
    }
    if (!rc && all->n == before) {
        rc = ib_fail(err, IB_E_EMPTY, "%s: holds no states: expected the directory of a run", run);
    }
    free(states);
    free(latest);
    return rc;
}

int ib_merge_expand(ib_paths *all, const ib_paths *inputs, bool states, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < inputs->n; i++) {
        const char *path = inputs->v[i];
        rc = states && ib_is_dir(path) ? add_run(all, path, err) : ib_paths_add(all, path, err);
    }
    return rc;
}

static int check_run(const ib_merge_job *j, ib_error *err) {
    const ib_source *s = j->source;
    for (size_t i = 0; i < j->ingredients; i++) {
        if (!*s[i].run || s[i].step < 0) {
            return ib_fail(
                err, IB_E_MISMATCH,
                "%s: does not say of which run and step it is: expected states of one run, or its adapters",
                s[i].path);
        }
        if (strcmp(s[i].run, s[0].run)) {
            return ib_fail(err, IB_E_MISMATCH, "%s and %s are not of one run: (%s), (%s)", s[0].path,
                           s[i].path, s[0].run, s[i].run);
        }
        for (size_t k = 0; k < i; k++) {
            if (s[i].step == s[k].step) {
                return ib_fail(err, IB_E_ARGUMENT, "%s and %s are both of step %lld: every state counts once",
                               s[k].path, s[i].path, (long long)s[i].step);
            }
        }
    }
    return IB_OK;
}

static int plan_ema(ib_merge_job *j, ib_error *err) {
    double decay = ib_merge_get(j->o, "decay");
    int rc = check_run(j, err);
    for (size_t i = 0; !rc && i < j->ingredients; i++) {
        size_t later = 0;
        for (size_t k = 0; k < j->ingredients; k++) {
            later += j->source[k].step > j->source[i].step;
        }
        j->coefficient[i] = pow(decay, (double)later);
        j->result->part[i].step = j->source[i].step;
    }
    if (!rc && !ib_average_normalise(j->coefficient, j->ingredients)) {
        rc = ib_fail(err, IB_E_ARGUMENT, "the states' weights cannot be normalised");
    }
    return rc;
}

const ib_merge_kernel ib_merge_ema = {.plan = plan_ema};
