/* Strengths of a merged model, fitted on validation files as those of a run are when it ends. */
#include "merge/private.h"
#include "train/trial.h"
#include "train/trust.h"

enum { GAP_MIN = 2, GAP_MAX = 16, OPEN_FILES = 8, CACHE_BYTES = 64 << 20 };

static int open_data(ib_dataset **d, const ib_paths *clips, ib_error *err) {
    int rc = ib_dataset_create(d, CACHE_BYTES, OPEN_FILES, err);
    rc = rc ? rc : ib_dataset_add(*d, clips, true, err);
    return rc ? rc : ib_dataset_settle(*d, 0, 0, err);
}

static int gap_max(const ib_merge_job *j) {
    int asked = (int)ib_merge_get(j->o, "gap");
    return asked > GAP_MAX ? asked : GAP_MAX;
}

static bool have_guides(const ib_dataset *d) {
    for (size_t i = 0; i < ib_dataset_files(d); i++) {
        if (ib_dataset_video(d, i)->guides.guides) {
            return true;
        }
    }
    return false;
}

/* In spaces other than the pictures'. */
static int fit_parts(ib_merge_job *j, const ib_adapter *model, ib_dataset *d, ib_error *err) {
    bool guided =
        *ib_adapter_config_of(model)->guide != 0; /* by the files' model: tasting has compared them */
    ib_trial *t = NULL;
    if (guided && !have_guides(d)) {
        ib_merge_say(j,
                     "the validation files have no guides: the strengths are the lowest of the ingredients'");
        return IB_OK;
    }
    int rc = ib_trial_create(&t, d, guided, GAP_MIN, gap_max(j), err);
    if (!rc && !ib_trial_empty(t) && !(rc = ib_trial_run(t, model, d, j->o->threads, err))) {
        ib_trial_fit(t, IB_HALF_BOTH, &j->refitted);
    }
    ib_trial_free(&t);
    return rc;
}

int ib_merge_refit(ib_merge_job *j, ib_adapter *model, const ib_paths *clips, ib_error *err) {
    ib_dataset *d = NULL;
    int rc = ib_merge_stopped(j, err);
    rc = rc ? rc : open_data(&d, clips, err);
    ib_adapter_set_strengths(model, NULL);
    if (!rc && ib_adapter_config_of(model)->motion) {
        rc = ib_trust_fit(model, d, GAP_MIN, gap_max(j), j->o->threads, &j->refitted, err);
    } else if (!rc) {
        rc = fit_parts(j, model, d, err);
    }
    if (!rc && j->refitted.bins) {
        ib_merge_say(j, "strengths fitted on the validation files, for gaps up to %.2g s",
                     (double)j->refitted.gap_seconds[j->refitted.bins - 1]);
    }
    ib_dataset_free(&d);
    return rc;
}
