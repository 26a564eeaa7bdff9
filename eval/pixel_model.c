/* Guides for videos: which pixel model makes them. */
#include <string.h>

#include "adapter/named.h"
#include "eval/private.h"
#include "guide/guide.h"

/* The first adapter that was trained with guides; its number among the adapters. */
static const char *model_wanted(const ib_judge *j, size_t *which) {
    for (size_t i = 0; i < j->adapters; i++) {
        const char *model = ib_adapter_config_of(j->adapter[i])->guide;
        if (*model) {
            *which = i;
            return model;
        }
    }
    return NULL;
}

static bool is_prior(const char *model) {
    size_t n = strlen(IB_ADAPTER_PRIOR);
    return !strncmp(model, IB_ADAPTER_PRIOR, n) && model[n] == ':';
}

int ib_eval_choose_guide(ib_evaluation *e, ib_error *err) {
    const ib_judge *j = &e->judge;
    size_t which = 0;
    const char *asked = e->o->guide, *wanted = model_wanted(j, &which);
    const char *name = asked ? asked : wanted && is_prior(wanted) ? IB_ADAPTER_PRIOR : NULL;
    ib_guide *guide;
    ib_error bad = {0};
    if (j->seen != IB_SEENS) { /* no videos, or no guides */
        return IB_OK;
    }
    int rc = ib_guide_create(&guide, e->space, name, j->threads, &bad);
    if (rc == IB_E_UNSUPPORTED && !asked) {
        return IB_OK;
    }
    if (rc) {
        *err = bad;
        return rc;
    }
    const char *adapter = wanted ? e->report->method[ib_judge_adapter(j, which)].name : "",
               *model = ib_guide_model(guide);
    if (wanted && !ib_guide_same_model(wanted, model)) {
        rc = asked
                 ? ib_fail(err, IB_E_MISMATCH,
                           "--guide %s is the pixel model %s, %s was trained with guides of %s", asked, model,
                           adapter, wanted)
                 : ib_fail(
                       err, IB_E_MISMATCH,
                       "%s was trained with guides of the pixel model %s, whose file --guide has to name; by "
                       "default guides come from %s",
                       adapter, wanted, model);
    }
    e->makes_guides = !rc;
    e->pixel_model = name;
    ib_guide_free(&guide);
    return rc;
}
