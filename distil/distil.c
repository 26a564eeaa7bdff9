#include "distil/distil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter/pixel_model.h"
#include "distil/targets.h"
#include "train/dataset.h"
#include "train/plan.h"

enum { CACHE_BYTES = 1 << 20, OPEN_FILES = 8 };

typedef struct distilling {
    const ib_distilling *o;
    ib_paths files; /* latents, directories expanded */
    ib_paths train, valid;
    ib_adapter *adapter;
    ib_search_judge *judge;
    ib_targets how;
    char *folder; /* RUN/targets */
} distilling;

/* Files train or validate as in `train`: an adapter's own videos for validation stay that, if it was trained
 * on these files with this seed. */
static int divide(distilling *d, ib_error *err) {
    const ib_paths *valid = d->o->train.valid;
    ib_run_plan plan;
    ib_dataset *set = NULL;
    size_t n = 0;
    int rc = ib_plan_begin(&plan, &d->o->train, "default", IB_LAYOUT_SINGLE, err);
    rc = rc ? rc : ib_dataset_create(&set, CACHE_BYTES, OPEN_FILES, err);
    rc = rc ? rc : ib_dataset_add(set, &d->files, false, err);
    rc = rc || !valid || !valid->n ? rc : ib_dataset_add(set, valid, true, err);
    rc = rc ? rc : ib_dataset_settle(set, plan.valid_fraction, (uint64_t)plan.seed, err);
    n = rc ? 0 : ib_dataset_files(set);
    for (size_t i = 0; i < n && !rc; i++) {
        const ib_video *v = ib_dataset_video(set, i);
        ib_latent_file *f;
        rc = ib_dataset_file(set, i, &f, err);
        rc = rc ? rc : ib_adapter_check_space(d->adapter, v->info.space_id, v->path, err);
        rc = rc ? rc : ib_adapter_check_guides(d->adapter, NULL, f, err);
        rc = rc ? rc : ib_paths_add(v->valid ? &d->valid : &d->train, v->path, err);
    }
    if (!rc && !d->valid.n) {
        rc = ib_fail(err, IB_E_EMPTY,
                     "of %zu video%s none is left to validate on: three are needed, or others for it",
                     ib_dataset_videos(set, false), ib_dataset_videos(set, false) == 1 ? "" : "s");
    }
    ib_dataset_free(&set);
    return rc;
}

static int open_all(distilling *d, ib_error *err) {
    const ib_distilling *o = d->o;
    int rc = IB_OK;
    if (!o->search.candidates || !o->search.judge) {
        return ib_fail(err, IB_E_ARGUMENT, "distilling takes a search and its judge");
    }
    rc = ib_adapter_open(&d->adapter, o->adapter, err);
    for (size_t i = 0; i < o->train.latents->n && !rc; i++) {
        rc = ib_paths_expand(&d->files, o->train.latents->v[i], ib_is_latent_name, err);
    }
    rc = rc ? rc
            : ib_search_begin(&o->search, ib_adapter_config_of(d->adapter)->space_id, o->adapter, &d->how.o,
                              &d->judge, err);
    rc = rc ? rc : divide(d, err);
    d->how.adapter = d->adapter;
    d->how.judge = d->judge;
    d->how.o.threads = o->train.threads;
    d->how.o.stop = o->train.stop;
    rc = rc ? rc : ib_sha256_file(o->adapter, d->how.adapter_sha256, err);
    return rc ? rc : ib_sha256_file(o->search.judge, d->how.judge_sha256, err);
}

/* The files made so far join those that are trained on. */
static int make_targets(distilling *d, ib_distilled *result, ib_paths *made, ib_error *err) {
    const ib_distilling *o = d->o;
    size_t videos = d->train.n;
    int rc = ib_mkdirs(d->folder, err);
    for (size_t i = 0; i < videos && !rc; i++) {
        char name[32];
        size_t before = result->windows;
        snprintf(name, sizeof name, "%06zu.h5", i + 1);
        char *path = ib_join(d->folder, name);
        rc = path ? ib_targets_write(&d->how, d->train.v[i], path, &result->windows, &result->targets, err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for the names of targets");
        if (!rc && result->windows > before) {
            rc = ib_paths_add(made, path, err);
            result->files++;
        }
        free(path);
        if (!rc && o->sought) {
            o->sought(o->train.user, d->train.v[i], (double)(i + 1) / (double)videos);
        }
    }
    return rc;
}

static int go_on(distilling *d, const ib_paths *made, ib_distilled *result, ib_error *err) {
    ib_train_options t = d->o->train;
    int rc = IB_OK;
    for (size_t i = 0; i < made->n && !rc; i++) {
        rc = ib_paths_add(&d->train, made->v[i], err);
    }
    t.latents = &d->train;
    t.valid = &d->valid;
    t.init = d->o->adapter;
    t.init_if_fits = false;
    t.judge = d->how.judge_sha256;
    return rc ? rc : ib_train(&t, &result->train, err);
}

int ib_distil(const ib_distilling *o, ib_distilled *result, ib_error *err) {
    distilling d = {.o = o};
    ib_paths made = {0};
    bool run_was_there = ib_is_dir(o->train.run), ours = false;
    *result = (ib_distilled){0};
    int rc = open_all(&d, err);
    d.folder = rc ? NULL : ib_join(o->train.run, "targets");
    if (!rc && !d.folder) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the names of targets");
    }
    if (!rc && ib_is_dir(d.folder) && !o->train.overwrite) {
        rc = ib_fail(err, IB_E_ARGUMENT,
                     "%s: there are targets already; choose another directory, or --overwrite", d.folder);
    }
    ours = !rc;
    rc = rc ? rc : make_targets(&d, result, &made, err);
    rc = rc ? rc : go_on(&d, &made, result, err);
    if (rc && ours && !result->train.step) { /* nothing that could be resumed needs them */
        for (size_t i = 0; i < made.n; i++) {
            unlink(made.v[i]);
        }
        rmdir(d.folder);
        if (!run_was_there) {
            rmdir(o->train.run);
        }
    }
    free(d.folder);
    ib_paths_free(&made);
    ib_paths_free(&d.files);
    ib_paths_free(&d.train);
    ib_paths_free(&d.valid);
    ib_search_judge_free(&d.judge);
    ib_adapter_free(&d.adapter);
    return rc;
}
