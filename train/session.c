#include "train/session.h"
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/memory.h"
#include "train/exchange.h"

/* Of models with a motion head; in other spaces it gained nothing, with few videos either
 * (docs/experiments.md). */
static const float dropout = 0.05f;

enum { SCAN_FRAMES = 2048, CALIBRATION_WINDOWS = 256, VALID_GAP = 8 };

double ib_session_seconds(const ib_session *s) {
    return s->before + ib_clock_seconds() - s->begun;
}

void ib_session_say(const ib_session *s, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    if (s->o->message && !s->rank) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        s->o->message(s->o->user, text);
    }
}

/* A run that begins must not find another's state, one that goes on must. */
static int find_state(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    bool there = ib_is_file(s->dir.state);
    if (!o->resume) {
        return there
                   ? ib_fail(err, IB_E_ARGUMENT,
                             "%s: already holds a run: go on with it (--resume) or choose another directory",
                             o->run)
                   : IB_OK;
    }
    if (!there) {
        return ib_fail(err, IB_E_IO, "cannot resume %s: there is no state.h5 in it", o->run);
    }
    int rc = s->rank ? IB_OK : ib_rundir_lock(&s->dir, err);
    rc = rc ? rc : ib_state_load(&s->state, s->dir.state, err);
    rc = rc ? rc : ib_plan_check(&s->state.plan, o, err);
    if (!rc && (o->steps || o->minutes > 0)) {
        s->state.steps_total = o->steps;
        s->state.minutes_total = o->minutes;
    }
    s->before = s->state.seconds;
    return rc;
}

/* Where they are not wanted, or the model that the run goes on or begins with has no use for them. An adapter
 * of another space, which does not fit, decides nothing. */
static void forget_guides(ib_session *s) {
    const ib_adapter_config *c = s->o->resume ? &s->state.config
                                 : s->adapter ? ib_adapter_config_of(s->adapter)
                                              : NULL;
    bool decides = c && !strcmp(c->space_id, ib_dataset_video(s->data, 0)->info.space_id);
    if (s->o->no_guide || (decides && !*c->guide)) {
        ib_dataset_forget_guides(s->data);
    }
}

static int open_data(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    const ib_train_preset *preset = ib_train_preset_find(s->preset, err);
    if (!preset) {
        return IB_E_ARGUMENT;
    }
    int rc = ib_dataset_create(&s->data, preset->cache_bytes, preset->open_files, err);
    rc = rc ? rc : ib_dataset_add(s->data, o->latents, false, err);
    if (!rc && o->valid && o->valid->n) {
        rc = ib_dataset_add(s->data, o->valid, true, err);
    }
    if (rc) {
        return rc;
    }
    const ib_video *first = ib_dataset_video(s->data, 0);
    if (!o->resume && (rc = ib_plan_begin(&s->state.plan, o, s->preset, first->info.shape.layout, err))) {
        return rc;
    }
    ib_run_plan *p = &s->state.plan;
    forget_guides(s);
    if (!o->resume && !o->gap_max && ib_dataset_guide_gap(s->data) > p->gap_max) {
        p->gap_max = ib_dataset_guide_gap(s->data);
    }
    if ((rc = ib_dataset_settle(s->data, p->valid_fraction, (uint64_t)p->seed, err))) {
        return rc;
    }
    if (s->ranks > 1 && !o->shard_samples && (rc = ib_dataset_deal(s->data, s->rank, s->ranks, err))) {
        return rc;
    }
    char identity[65];
    ib_dataset_identity(s->data, identity);
    if (o->resume && strcmp(identity, p->data)) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: cannot be resumed with other data: the files for training and validation (%zu "
                       "files) are not "
                       "those that it was begun with",
                       o->run, ib_dataset_files(s->data));
    }
    memcpy(p->data, identity, sizeof p->data);
    return IB_OK;
}

static const char *guides_of(const ib_dataset *d) {
    const char *model = ib_dataset_guide_model(d);
    return *model ? model : "no pixel model";
}

/* The learning adapter as a run begins it, or from the state. */
static int open_model(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    ib_state *st = &s->state;
    const ib_latent_info *info = &ib_dataset_video(s->data, 0)->info;
    int rc = IB_OK;
    s->optimiser = ib_optimiser_find(st->plan.optimiser, err);
    if (!s->optimiser) {
        return IB_E_ARGUMENT;
    }
    if (!o->resume) {
        rc = ib_session_begin_model(s, err);
    } else if (*st->config.guide && !ib_guide_same_model(st->config.guide, ib_dataset_guide_model(s->data))) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: was begun with guides of %s, but the data's are of %s", o->run,
                     st->config.guide, guides_of(s->data));
    } else if (strcmp(st->config.space_id, info->space_id)) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: was begun in the space '%s', but %s is of the space '%s'",
                     o->run, st->config.space_id, ib_dataset_video(s->data, 0)->path, info->space_id);
    }
    if (!rc && o->resume) {
        rc = ib_adapter_create(&s->adapter, &st->config, (uint64_t)st->plan.seed, err);
    }
    rc = rc ? rc : ib_adapter_trains(s->adapter, err);
    rc = rc ? rc : ib_adapter_create(&s->mean, &st->config, (uint64_t)st->plan.seed, err);
    if (rc) {
        return rc;
    }
    size_t n = ib_adapter_param_count(s->adapter),
           scratch = ib_optimiser_scratch(s->optimiser, s->adapter, s->threads);
    if (scratch && (rc = ib_alloc_floats(&s->optimiser_scratch, scratch, "the optimiser", err))) {
        return rc;
    }
    if (!o->resume) {
        if ((rc = ib_state_alloc(st, n, s->optimiser->moments, err))) {
            return rc;
        }
        memcpy(st->weights, ib_adapter_params(s->adapter), n * sizeof(float));
        memcpy(st->ema, st->weights, n * sizeof(float));
        st->steps_total = o->steps;
        st->minutes_total = o->minutes;
        return IB_OK;
    }
    if (st->params != n || st->moments != s->optimiser->moments) {
        return ib_fail(err, IB_E_FORMAT, "%s: holds %zu parameters and %d moments, expected %zu and %d",
                       s->dir.state, st->params, st->moments, n, s->optimiser->moments);
    }
    memcpy(ib_adapter_params(s->adapter), st->weights, n * sizeof(float));
    ib_adapter_refresh(s->adapter);
    return IB_OK;
}

static int begin_directory(ib_session *s, ib_error *err) {
    int rc = IB_OK;
    if (s->rank) {
        return IB_OK;
    }
    if (!s->o->resume) {
        rc = ib_rundir_lock(&s->dir, err);
        rc = rc ? rc : find_state(s, err); /* again: another process may have been quicker */
    }
    return rc ? rc : ib_rundir_open_log(&s->dir, s->state.step, err);
}

static int open_team(ib_session *s, ib_error *err) {
    const ib_run_plan *p = &s->state.plan;
    ib_augment_options augment;
    size_t batch = (size_t)p->batch;
    ib_augment_defaults(&augment);
    augment.pixels = ib_space_is_pictures(s->state.config.space_id);
    augment.crop_width = (int)p->crop_width;
    augment.crop_height = (int)p->crop_height;
    s->batch = calloc(batch, sizeof *s->batch);
    if (!s->batch) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a batch of %zu", batch);
    }
    return ib_team_create(&s->team, s->adapter, s->data, &augment, s->state.config.motion ? dropout : 0,
                          (uint64_t)p->seed, s->threads, batch, err);
}

static int open_samples(ib_session *s, ib_error *err) {
    const ib_run_plan *p = &s->state.plan;
    int rc = ib_dataset_scan(s->data, SCAN_FRAMES, err);
    rc = rc ? rc
            : ib_sampler_create(&s->sampler, s->data, (int)p->gap_min, (int)p->gap_max, (uint64_t)p->seed,
                                err);
    return rc ? rc : ib_sampler_calibrate(s->sampler, s->data, CALIBRATION_WINDOWS, err);
}

/* In other spaces than the pictures'. */
static int open_trial(ib_session *s, ib_error *err) {
    const ib_state *st = &s->state;
    if (st->config.motion || s->rank || !ib_dataset_videos(s->data, true)) {
        return IB_OK;
    }
    int rc = ib_trial_create(&s->trial, s->data, *st->config.guide != 0, (int)st->plan.gap_min,
                             (int)st->plan.gap_max, err);
    if (!rc && ib_trial_empty(s->trial)) {
        ib_trial_free(&s->trial);
    }
    return rc;
}

static void announce(const ib_session *s) {
    const ib_state *st = &s->state;
    ib_session_say(s,
                   "%zu videos to train on, %zu to validate on; %s model with %zu parameters, batch %" PRId64
                   ", %d thread%s",
                   ib_dataset_videos(s->data, false), ib_dataset_videos(s->data, true), st->plan.preset,
                   st->params, st->plan.batch, s->threads, s->threads == 1 ? "" : "s");
    if (!ib_dataset_videos(s->data, true)) {
        ib_session_say(s, "no videos for validation: its skill will not be known");
    }
    if (*st->pool.name && !s->o->pool) {
        ib_session_say(s, "this run has been in a pool as %s and goes on without it", st->pool.name);
    }
    if (*st->config.guide) {
        ib_session_say(s, "with guides of the pixel model %s", st->config.guide);
    }
    if (*st->plan.init) {
        ib_session_say(s, "begun with the weights of %s", st->plan.init_name);
    }
    if (s->o->resume) {
        ib_session_say(s, "going on at step %" PRId64 " after %.1f minutes", st->step, st->seconds / 60);
    }
}

/* Which samples are this process's: the run's own, one after the other; a rank's with its own videos, from a
 * place of its own; or, of one order for all ranks, every rank a batch in turn, so that together they learn
 * what one process with their batches together would. */
static ib_sample_order sample_order(const ib_session *s) {
    const ib_state *st = &s->state;
    uint64_t batch = (uint64_t)st->plan.batch, rank = (uint64_t)s->rank, ranks = (uint64_t)s->ranks;
    uint64_t samples = (uint64_t)st->samples;
    if (s->o->shard_samples && s->ranks > 1) {
        return (ib_sample_order){samples / batch * batch * ranks + rank * batch, batch, batch * ranks};
    }
    return (ib_sample_order){(rank << 40) + (uint64_t)st->pool.stream + samples, batch, batch};
}

/* A run among its latent files would make them unreadable: its state is an HDF5 file too. */
static int check_apart(const ib_session *s, const ib_paths *latents, ib_error *err) {
    struct stat run, st;
    if (stat(s->dir.path, &run) || !S_ISDIR(run.st_mode)) {
        return IB_OK;
    }
    for (size_t i = 0; i < latents->n; i++) {
        if (!stat(latents->v[i], &st) && st.st_dev == run.st_dev && st.st_ino == run.st_ino) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "%s: holds the latent files; choose another directory for the run", s->dir.path);
        }
    }
    return IB_OK;
}

/* What the user has is not replaced: inputs never, what lies in a new run's directory only if
 * that is wanted. */
static int check_directory(const ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    int rc = o->resume || o->overwrite ? IB_OK : ib_rundir_check_new(&s->dir, err);
    rc = rc || o->resume ? rc : check_apart(s, o->latents, err);
    rc = rc || o->resume || !o->valid ? rc : check_apart(s, o->valid, err);
    rc = rc ? rc : ib_rundir_check_inputs(&s->dir, (const char *const *)&s->init_file, 1, err);
    rc = rc ? rc : ib_rundir_check_inputs(&s->dir, (const char *const *)o->latents->v, o->latents->n, err);
    return rc || !o->valid
               ? rc
               : ib_rundir_check_inputs(&s->dir, (const char *const *)o->valid->v, o->valid->n, err);
}

static int open_all(ib_session *s, ib_error *err) {
    int rc = ib_rundir_name(&s->dir, s->o->run, err);
    rc = rc ? rc : find_state(s, err);
    rc = rc ? rc : ib_session_find_init(s, err);
    rc = rc || s->rank ? rc : check_directory(s, err);
    rc = rc ? rc : ib_session_open_init(s, err);
    rc = rc ? rc : open_data(s, err);
    rc = rc ? rc : open_samples(s, err);
    rc = rc ? rc : open_model(s, err);
    rc = rc ? rc : open_trial(s, err);
    rc = rc ? rc : open_team(s, err);
    rc = rc ? rc : ib_exchange_open(s, err);
    return rc ? rc : begin_directory(s, err);
}

int ib_session_open(ib_session *s, const ib_train_options *o, ib_error *err) {
    *s = (ib_session){
        .o = o, .ranks = 1, .valid_skill = NAN, .best_skill = NAN, .grad_norm = NAN, .logged_skill = NAN};
    s->dir.lock = -1;
    s->begun = ib_clock_seconds();
    s->threads = o->threads ? o->threads : omp_get_num_procs();
    pthread_mutex_init(&s->reading, NULL);
    s->blas = ib_gemm_one_thread();
    int rc = ib_train_check(o, err);
    rc = rc ? rc : ib_exchange_enter(s, err);
    if (rc) {
        return rc;
    }
    rc = ib_exchange_agree(s, open_all(s, err), err);
    if (rc) {
        return rc;
    }
    const ib_state *st = &s->state;
    s->valid_gap = st->plan.gap_max < VALID_GAP   ? (int)st->plan.gap_max
                   : st->plan.gap_min > VALID_GAP ? (int)st->plan.gap_min
                                                  : VALID_GAP;
    s->valid_skill = st->valids ? st->valid[st->valids - 1].skill : NAN;
    for (size_t i = 0; i < st->valids; i++) {
        s->best_skill = (int64_t)st->valid[i].step == st->best_step ? st->valid[i].skill : s->best_skill;
    }
    s->first_step = st->step;
    s->logged_samples = st->samples;
    s->logged_seconds = s->before;
    s->finished = st->steps_total ? st->step >= st->steps_total : s->before >= st->minutes_total * 60;
    announce(s);
    ib_sample_order order = sample_order(s);
    return s->finished ? IB_OK
                       : ib_loader_start(&s->loader, s->data, s->sampler, &s->reading, &order,
                                         2 * (size_t)st->plan.batch, err);
}

void ib_session_close(ib_session *s) {
    ib_loader_stop(&s->loader);
    ib_exchange_close(s);
    ib_team_free(&s->team);
    ib_trial_free(&s->trial);
    ib_adapter_free(&s->mean);
    ib_adapter_free(&s->adapter);
    free(s->init_file);
    ib_free(s->optimiser_scratch);
    s->optimiser_scratch = NULL;
    ib_sampler_free(&s->sampler);
    ib_dataset_free(&s->data);
    ib_state_free(&s->state);
    ib_rundir_close(&s->dir);
    free(s->batch);
    s->batch = NULL;
    pthread_mutex_destroy(&s->reading);
    ib_gemm_restore(s->blas);
}
