#include "train/plan.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "pool/member.h"

static const ib_train_preset presets[] = {
    {"toaster", 8, 256, (size_t)48 << 20, 16},
    {"default", 8, 512, (size_t)384 << 20, 64},
    {"large", 8, 512, (size_t)384 << 20, 64},
};
enum { PRESETS = sizeof presets / sizeof *presets };

static const double default_valid_fraction = 0.1, default_clip_norm = 1, default_ema_decay = 0.999;
static const int64_t default_warmup_steps = 100;
/* Muon was measured on grids alone (docs/training.md). */
static const char default_for_grids[] = "muon", default_otherwise[] = "adamw";
enum { DEFAULT_GAP_MIN = 2, DEFAULT_GAP_MAX = 16, DEFAULT_SEED = 1 };

void ib_train_defaults(ib_train_options *o) {
    *o = (ib_train_options){.valid_fraction = -1,
                            .weight_decay = -1,
                            .clip_norm = -1,
                            .ema_decay = -1,
                            .warmup_steps = -1,
                            .outer_momentum = -1,
                            .state_seconds = 60,
                            .log_seconds = 5,
                            .valid_seconds = 60};
}

const ib_train_preset *ib_train_preset_find(const char *name, ib_error *err) {
    for (size_t i = 0; i < PRESETS; i++) {
        if (!strcmp(name, presets[i].name)) {
            return &presets[i];
        }
    }
    ib_fail(err, IB_E_ARGUMENT, "there is no preset '%s': expected toaster, default or large", name);
    return NULL;
}

static int check_budget(const ib_train_options *o, ib_error *err) {
    bool time = o->minutes != 0, steps = o->steps != 0;
    if (time && steps) {
        return ib_fail(err, IB_E_ARGUMENT, "expected minutes or steps, got both: %g minutes and %lld steps",
                       o->minutes, (long long)o->steps);
    }
    if (!time && !steps && !o->resume) {
        return ib_fail(err, IB_E_ARGUMENT, "expected minutes or steps to train, got neither");
    }
    if ((time && !(o->minutes > 0 && isfinite(o->minutes))) || o->steps < 0) {
        return ib_fail(err, IB_E_ARGUMENT, "expected minutes or steps above 0, got %g",
                       time ? o->minutes : (double)o->steps);
    }
    return IB_OK;
}

int ib_train_check(const ib_train_options *o, ib_error *err) {
    int rc = check_budget(o, err);
    if (rc) {
        return rc;
    }
    if (!o->latents || !o->latents->n || !o->run || !*o->run) {
        return ib_fail(err, IB_E_ARGUMENT, "expected latent files to train on and a directory for the run");
    }
    if ((o->gap_min || o->gap_max) && (o->gap_min < 2 || o->gap_max < o->gap_min || o->gap_max > 1 << 20)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected a range of gaps that begins at 2 frames or more, got %d..%d", o->gap_min,
                       o->gap_max);
    }
    if (!(o->valid_fraction < 1) || !(o->ema_decay < 1) || isnan(o->weight_decay) || isnan(o->clip_norm)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected --valid-part and --ema below 1, got %g, %g",
                       o->valid_fraction, o->ema_decay);
    }
    if (!(o->lr >= 0 && isfinite(o->lr)) || o->batch < 0 || o->batch > 1 << 16 || o->threads < 0) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected a learning rate above 0 and a batch of 1 to 65536, got %g and %d", o->lr,
                       o->batch);
    }
    if (!(o->state_seconds > 0) || !(o->log_seconds > 0) || !(o->valid_seconds > 0)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected intervals above 0 seconds, got %g, %g and %g",
                       o->state_seconds, o->log_seconds, o->valid_seconds);
    }
    if (o->pool_minutes < 0 || !isfinite(o->pool_minutes) || o->pool_steps < 0 || o->pool_stale < 0) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected minutes, steps and rounds of a pool above 0, got %g, %lld and %lld",
                       o->pool_minutes, (long long)o->pool_steps, (long long)o->pool_stale);
    }
    if (o->mpi && o->pool) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a cluster or a pool, got both");
    }
    if (o->sync_every < 0 || !(o->outer_rate >= 0 && isfinite(o->outer_rate)) || !(o->outer_momentum < 1)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected steps between exchanges and an outer rate above 0 and an outer momentum "
                       "below 1, got %lld, %g "
                       "and %g",
                       (long long)o->sync_every, o->outer_rate, o->outer_momentum);
    }
    if (o->pool_name && !ib_member_name_fits(o->pool_name)) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "'%.80s' cannot name a worker: expected up to %d letters, digits, '.', '_', '-', and not "
            "'" IB_POOL_NO_NAME "'",
            o->pool_name, IB_POOL_NAME - 1);
    }
    if (o->keep_states < 0 || o->state_steps < 0) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected states to keep and steps between them of 0 or more, got %d and %lld",
                       o->keep_states, (long long)o->state_steps);
    }
    return IB_OK;
}

int ib_plan_begin(ib_run_plan *p, const ib_train_options *o, const char *preset_name, ib_layout layout,
                  ib_error *err) {
    const ib_train_preset *preset = ib_train_preset_find(preset_name, err);
    const char *usual = layout == IB_LAYOUT_GRID ? default_for_grids : default_otherwise;
    const ib_optimiser *optimiser =
        preset ? ib_optimiser_find(o->optimiser ? o->optimiser : usual, err) : NULL;
    if (!optimiser) {
        return IB_E_ARGUMENT;
    }
    *p = (ib_run_plan){
        .valid_fraction = o->valid_fraction < 0 ? default_valid_fraction : o->valid_fraction,
        .batch = o->batch                     ? o->batch
                 : layout == IB_LAYOUT_SINGLE ? preset->batch_single
                                              : preset->batch_grid,
        .rate = o->lr > 0 ? o->lr : optimiser->rate,
        .weight_decay = o->weight_decay < 0 ? optimiser->weight_decay : o->weight_decay,
        .clip_norm = o->clip_norm < 0 ? default_clip_norm : o->clip_norm,
        .ema_decay = o->ema_decay < 0 ? default_ema_decay : o->ema_decay,
        .warmup_steps = o->warmup_steps < 0 ? default_warmup_steps : o->warmup_steps,
        .gap_min = o->gap_min ? o->gap_min : DEFAULT_GAP_MIN,
        .gap_max = o->gap_max ? o->gap_max : DEFAULT_GAP_MAX,
        .crop_width = o->crop_width,
        .crop_height = o->crop_height,
        .seed = (int64_t)(o->seed ? o->seed : DEFAULT_SEED),
    };
    snprintf(p->preset, sizeof p->preset, "%s", preset->name);
    snprintf(p->optimiser, sizeof p->optimiser, "%s", optimiser->name);
    snprintf(p->judge, sizeof p->judge, "%s", o->judge ? o->judge : "");
    if (o->steps && o->warmup_steps < 0 && p->warmup_steps > o->steps / 10) {
        p->warmup_steps = o->steps / 10;
    }
    return IB_OK;
}

/* One option of a resumed run: what was asked for, if anything, and what the run has. */
typedef struct comparison {
    const char *name;
    bool given;
    double asked, has;
} comparison;

int ib_plan_check(const ib_run_plan *p, const ib_train_options *o, ib_error *err) {
    const comparison numbers[] = {
        {"batch", o->batch > 0, o->batch, (double)p->batch},
        {"learning rate", o->lr > 0, o->lr, p->rate},
        {"weight decay", o->weight_decay >= 0, o->weight_decay, p->weight_decay},
        {"gradient norm limit", o->clip_norm >= 0, o->clip_norm, p->clip_norm},
        {"decay of the mean", o->ema_decay >= 0, o->ema_decay, p->ema_decay},
        {"number of warm-up steps", o->warmup_steps >= 0, (double)o->warmup_steps, (double)p->warmup_steps},
        {"smallest gap", o->gap_min > 0, o->gap_min, (double)p->gap_min},
        {"largest gap", o->gap_max > 0, o->gap_max, (double)p->gap_max},
        {"crop width", o->crop_width > 0, o->crop_width, (double)p->crop_width},
        {"crop height", o->crop_height > 0, o->crop_height, (double)p->crop_height},
        {"part for validation", o->valid_fraction >= 0, o->valid_fraction, p->valid_fraction},
        {"seed", o->seed > 0, (double)o->seed, (double)p->seed},
    };
    const char *const words[2][3] = {{"preset", o->preset, p->preset},
                                     {"optimiser", o->optimiser, p->optimiser}};
    for (size_t i = 0; i < 2; i++) {
        if (words[i][1] && strcmp(words[i][1], words[i][2])) {
            return ib_fail(err, IB_E_MISMATCH,
                           "%s: cannot be resumed with another %s: it was begun with %s, not %s", o->run,
                           words[i][0], words[i][2], words[i][1]);
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].given && numbers[i].asked != numbers[i].has) {
            return ib_fail(err, IB_E_MISMATCH,
                           "%s: cannot be resumed with another %s: it was begun with %.10g, not %.10g",
                           o->run, numbers[i].name, numbers[i].has, numbers[i].asked);
        }
    }
    return IB_OK;
}
