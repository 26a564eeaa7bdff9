#include "train/outer.h"
#include <stdio.h>
#include <string.h>

const ib_outer ib_outers[] = {
    {"nesterov", "gradient descent with Nesterov's momentum on the mean difference", 0.7, 0.9, true},
    {"plain", "the mean of the weights", 1, 0, false},
    {0},
};

int ib_outer_find(ib_outer *out, const char *name, ib_error *err) {
    char list[64] = "";
    for (const ib_outer *o = ib_outers; o->name; o++) {
        size_t l = strlen(list);
        if (!strcmp(o->name, name)) {
            *out = *o;
            return IB_OK;
        }
        snprintf(list + l, sizeof list - l, "%s%s", l ? ", " : "", o->name);
    }
    return ib_fail(err, IB_E_ARGUMENT, "there is no outer optimiser '%s': expected one of %s", name, list);
}

int ib_outer_choose(ib_outer *out, const ib_train_options *o, ib_state *st, ib_error *err) {
    int rc = ib_outer_find(out, o->outer ? o->outer : ib_outers[0].name, err);
    if (rc) {
        return rc;
    }
    out->rate = o->outer_rate > 0 ? o->outer_rate : out->rate;
    out->momentum = o->outer_momentum >= 0 && out->momenta ? o->outer_momentum : out->momentum;
    return out->momenta && !st->outer ? ib_state_alloc_outer(st, err) : IB_OK;
}

void ib_outer_step(const ib_outer *o, float *x, const float *d, float *m, size_t n) {
    const double rate = o->rate, keep = o->momentum;
    if (!o->momenta) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)((double)x[i] + rate * (double)d[i]);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double moment = keep * (double)m[i] + (double)d[i];
        m[i] = (float)moment;
        x[i] = (float)((double)x[i] + rate * ((double)d[i] + keep * moment));
    }
}
