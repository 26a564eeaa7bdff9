/* inbetween train: latent files in, a run directory out. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/gaps.h"
#include "train/train.h"

static void on_message(void *user, const char *sentence) {
    cli_status(user, "%s", sentence);
}

static void describe_seconds(double s, char text[32]) {
    long n = (long)(s + 0.5);
    if (n >= 3600) {
        snprintf(text, 32, "%ld:%02ld:%02ld", n / 3600, n / 60 % 60, n % 60);
    } else {
        snprintf(text, 32, "%ld:%02ld", n / 60, n % 60);
    }
}

static void on_progress(void *user, const ib_train_progress *p) {
    char skill[48] = "", left[32];
    double fraction = p->steps > 0 ? (double)p->step / (double)p->steps : 0;
    describe_seconds(p->seconds_left, left);
    if (isfinite(p->valid_skill)) {
        snprintf(skill, sizeof skill, ", skill %.3f on other videos", p->valid_skill);
    }
    /* the last step is not the end: a validation and files follow */
    cli_progress(user, fmin(fraction, 0.999), "step %lld, loss %.4f%s, %.1f samples/s, %s left",
                 (long long)p->step, p->loss, skill, p->samples_per_second, left);
}

/* 0, or the status of wrong usage. */
static int read_options(cli *c, ib_train_options *o) {
    const char *gap = cli_text(c, "gap");
    o->run = cli_text(c, "output");
    o->resume = cli_flag(c, "resume");
    o->overwrite = cli_flag(c, "overwrite");
    o->preset = cli_text(c, "preset");
    o->init_if_fits = !cli_is_set(c, "init") && !o->resume;
    o->init = o->init_if_fits ? IB_ADAPTER_DEFAULT : cli_text(c, "init");
    o->optimiser = cli_text(c, "optimiser");
    o->threads = cli_threads(c);
    o->state_seconds = cli_real(c, "state-seconds");
    o->valid_seconds = cli_real(c, "valid-seconds");
    o->patience = (int)cli_int(c, "patience");
    o->no_guide = cli_is_set(c, "guide");
    o->keep_states = (int)cli_int(c, "keep-states");
    if (cli_is_set(c, "state-steps")) {
        o->state_steps = cli_int(c, "state-steps");
    }
    cli_size(c, "crop", &o->crop_width, &o->crop_height);
    if (!o->run) {
        return cli_usage(c, "-o RUN is missing: the directory of the run");
    }
    if (cli_is_set(c, "minutes") && cli_is_set(c, "steps")) {
        return cli_usage(c, "--minutes and --steps exclude each other");
    }
    if (o->no_guide && strcmp(cli_text(c, "guide"), "none")) {
        return cli_usage(c, "--guide wants none, got '%s': guides are made by encode", cli_text(c, "guide"));
    }
    if (gap && !cli_gap_range(gap, &o->gap_min, &o->gap_max)) {
        return cli_usage(c, "--gap wants MIN..MAX in frames with 2 <= MIN <= MAX, got '%s'", gap);
    }
    if (cli_is_set(c, "steps")) {
        o->steps = cli_int(c, "steps");
    } else if (cli_is_set(c, "minutes")) {
        o->minutes = cli_real(c, "minutes");
    } else if (!o->resume) {
        o->minutes = 30;
    }
    if (cli_is_set(c, "batch")) {
        o->batch = (int)cli_int(c, "batch");
    }
    if (cli_is_set(c, "lr")) {
        o->lr = cli_real(c, "lr");
    }
    if (cli_is_set(c, "seed")) {
        o->seed = (uint64_t)cli_int(c, "seed");
    }
    if (cli_is_set(c, "weight-decay")) {
        o->weight_decay = cli_real(c, "weight-decay");
    }
    if (cli_is_set(c, "clip")) {
        o->clip_norm = cli_real(c, "clip");
    }
    if (cli_is_set(c, "ema")) {
        o->ema_decay = cli_real(c, "ema");
    }
    if (cli_is_set(c, "warmup")) {
        o->warmup_steps = cli_int(c, "warmup");
    }
    if (cli_is_set(c, "valid-part")) {
        o->valid_fraction = cli_real(c, "valid-part");
    }
    o->pool = cli_text(c, "pool");
    o->pool_name = cli_text(c, "pool-name");
    o->exchange_half = !strcmp(cli_text(c, "exchange"), "f16");
    if (!o->exchange_half && strcmp(cli_text(c, "exchange"), "f32")) {
        return cli_usage(c, "--exchange wants f32 or f16, got '%s'", cli_text(c, "exchange"));
    }
    o->mpi = cli_flag(c, "mpi");
    o->outer = cli_text(c, "outer");
    if (o->mpi && o->pool) {
        return cli_usage(c, "--mpi and --pool exclude each other");
    }
    if (cli_is_set(c, "sync-every")) {
        o->sync_every = cli_int(c, "sync-every");
    }
    if (cli_is_set(c, "outer-lr")) {
        o->outer_rate = cli_real(c, "outer-lr");
    }
    if (cli_is_set(c, "outer-momentum")) {
        o->outer_momentum = cli_real(c, "outer-momentum");
    }
    o->shard_samples = !strcmp(cli_text(c, "shard"), "samples");
    if (!o->shard_samples && strcmp(cli_text(c, "shard"), "videos")) {
        return cli_usage(c, "--shard wants videos or samples, got '%s'", cli_text(c, "shard"));
    }
    if (cli_is_set(c, "pool-minutes")) {
        o->pool_minutes = cli_real(c, "pool-minutes");
    }
    if (cli_is_set(c, "pool-steps")) {
        o->pool_steps = cli_int(c, "pool-steps");
    }
    if (cli_is_set(c, "pool-stale")) {
        o->pool_stale = cli_int(c, "pool-stale");
    }
    if (!o->pool && (cli_is_set(c, "pool-minutes") || cli_is_set(c, "pool-steps") ||
                     cli_is_set(c, "pool-stale") || o->pool_name)) {
        return cli_usage(c, "--pool-... say how to work with a pool: --pool DIR is missing");
    }
    if (cli_is_set(c, "pool-minutes") && cli_is_set(c, "pool-steps")) {
        return cli_usage(c, "--pool-minutes and --pool-steps exclude each other");
    }
    return CLI_DONE;
}

static json_t *real_or_null(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

static int print_result(cli *c, const ib_train_options *o, const ib_train_result *r, bool interrupted) {
    if (cli_prints_text(c)) {
        const char *run_train = cli_shown(c, o->run);
        printf("%s: %lld steps, %lld samples, %.1f minutes", run_train, (long long)r->step,
               (long long)r->samples, r->seconds / 60);
        if (isfinite(r->loss)) {
            printf(", loss %.4f", r->loss);
        }
        if (isfinite(r->valid_skill)) {
            printf(", skill %.4f on %zu other video%s", r->valid_skill, r->valid_videos,
                   r->valid_videos == 1 ? "" : "s");
        }
        printf("\n%s/adapter.safetensors\n", run_train);
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j = json_object();
    json_object_set_new(j, "run", ib_json_text(o->run));
    json_object_set_new(j, "interrupted", json_boolean(interrupted));
    json_object_set_new(j, "steps", json_integer(r->step));
    json_object_set_new(j, "samples", json_integer(r->samples));
    json_object_set_new(j, "skipped_steps", json_integer(r->skipped));
    json_object_set_new(j, "seconds", json_real(r->seconds));
    json_object_set_new(j, "loss", real_or_null(r->loss));
    json_object_set_new(j, "valid_skill", real_or_null(r->valid_skill));
    json_object_set_new(j, "samples_per_second", real_or_null(r->samples_per_second));
    json_object_set_new(j, "parameters", json_integer((json_int_t)r->parameters));
    json_object_set_new(j, "train_videos", json_integer((json_int_t)r->train_videos));
    json_object_set_new(j, "ranks", json_integer(r->ranks));
    json_object_set_new(j, "exchanges", json_integer(r->exchanges));
    json_object_set_new(j, "sent_bytes", json_integer(r->sent_bytes));
    json_object_set_new(j, "received_bytes", json_integer(r->taken_bytes));
    json_object_set_new(j, "valid_videos", json_integer((json_int_t)r->valid_videos));
    return cli_print_json(c, j, JSON_INDENT(2));
}

static int run_train(cli *c) {
    ib_paths latents = {0}, valid = {0};
    ib_train_options o;
    ib_train_result result = {0};
    ib_error err = {0};
    ib_train_defaults(&o);
    o.latents = &latents;
    o.valid = &valid;
    o.stop = cli_stop(c);
    o.progress = on_progress;
    o.message = on_message;
    o.user = c;
    int status = read_options(c, &o);
    int rc = status ? IB_OK : cli_paths(c, &latents, "valid", &valid, &err);
    if (!status && !rc) {
        rc = ib_train(&o, &result, &err);
        cli_progress_end(c);
    }
    if (!status && (!rc || rc == IB_E_INTERRUPTED) && !result.rank) {
        if (!result.step) {
            cli_warn(c, "no step was made in %.2g minutes: the adapter is untrained", result.seconds / 60);
        }
        status = print_result(c, &o, &result, rc == IB_E_INTERRUPTED);
    }
    if (rc && result.rank) { /* rank 0 says it */
        status = rc == IB_E_INTERRUPTED ? CLI_INTERRUPTED : CLI_FAILED;
    } else if (rc) {
        status = cli_fail(c, &err);
    }
    ib_paths_free(&latents);
    ib_paths_free(&valid);
    return status;
}

static const cli_option options[] = {
    {.heading = "Output and resuming",
     .name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "RUN",
     .help = "directory of the run; created"},
    {.name = "resume",
     .kind = CLI_FLAG,
     .help = "continue the run in RUN; options that are not given keep their values, a larger budget extends "
             "the run"},
    {.name = "overwrite",
     .kind = CLI_FLAG,
     .help = "let a new run replace an adapter or a log in RUN; without it the run is refused"},
    {.name = "state-seconds",
     .kind = CLI_REAL,
     .value = "S",
     .min = 0.01,
     .max = 1e6,
     .initial = "60",
     .help = "save the state for --resume this often"},
    {.name = "state-steps",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e12,
     .help = "and also every N steps"},
    {.name = "keep-states",
     .kind = CLI_INT,
     .value = "N",
     .min = 0,
     .max = 10000,
     .initial = "0",
     .help = "keep the last N states in RUN/states, for 'inbetween merge --method ema'"},
    {.heading = "Budget and data",
     .name = "minutes",
     .letter = 'm',
     .kind = CLI_REAL,
     .value = "M",
     .min = 0.01,
     .max = 1e6,
     .initial = "30",
     .help = "train this long, over all sessions of the run and including saves"},
    {.name = "steps",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e12,
     .help = "train this many steps, over all sessions of the run"},
    {.name = "preset",
     .kind = CLI_TEXT,
     .value = "NAME",
     .help = "toaster (below 400 MB of memory), default (below 1 GB) or large"},
    {.name = "init",
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help =
         "start from the weights of this file, and from its preset unless --preset is given; 'default', the "
         "adapter that comes with the program; 'none', random weights. Without it: default in the patch "
         "space for the preset that it is of, else none; adapters merge well if they start alike"},
    {.name = "gap",
     .kind = CLI_TEXT,
     .value = "MIN..MAX",
     .help = "frames between keyframes (default 2..16, or up to the largest gap that has guides)"},
    {.name = "guide",
     .kind = CLI_TEXT,
     .value = "none",
     .help = "train without the guides that the latent files hold"},
    {.name = "crop",
     .kind = CLI_SIZE,
     .value = "WxH",
     .min = 16,
     .max = 16384,
     .help = "train on crops of this size, multiples of 8; by default on whole frames"},
    {.name = "valid",
     .kind = CLI_LIST,
     .value = "LATENTS",
     .several = true,
     .help = "validate on these latent files, of other videos (default: some of the videos are set aside)"},
    {.name = "valid-part",
     .kind = CLI_REAL,
     .value = "X",
     .min = 0,
     .max = 0.9,
     .initial = "0.1",
     .help = "share of the videos to set aside for validation, 0 for none"},
    {.name = "valid-seconds",
     .kind = CLI_REAL,
     .value = "S",
     .min = 0.01,
     .max = 1e6,
     .initial = "60",
     .help = "validate this often, less often if validation is slow; a run of --steps validates eight times"},
    {.name = "patience",
     .kind = CLI_INT,
     .value = "N",
     .min = 0,
     .max = 1000000,
     .initial = "0",
     .help = "end the run after N validations in a row without a better one; 0: never"},
    {.heading = "Optimiser",
     .name = "optimiser",
     .kind = CLI_TEXT,
     .value = "NAME",
     .help = "muon (default for grids), adamw (default otherwise), sgd or nesterov"},
    {.name = "lr", .kind = CLI_REAL, .value = "X", .min = 1e-9, .max = 100, .help = "peak learning rate"},
    {.name = "batch",
     .letter = 'b',
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 65536,
     .help = "samples per step; by default what the preset says"},
    {.name = "warmup",
     .kind = CLI_INT,
     .value = "N",
     .min = 0,
     .max = 1e9,
     .initial = "100",
     .help = "steps over which the learning rate rises"},
    {.name = "weight-decay",
     .kind = CLI_REAL,
     .value = "X",
     .min = 0,
     .max = 10,
     .help = "decoupled weight decay"},
    {.name = "clip",
     .kind = CLI_REAL,
     .value = "X",
     .min = 0,
     .max = 1e9,
     .initial = "1",
     .help = "gradient norm limit, 0 for none"},
    {.name = "ema",
     .kind = CLI_REAL,
     .value = "X",
     .min = 0,
     .max = 0.999999,
     .initial = "0.999",
     .help = "EMA decay; the EMA weights are what is saved"},
    {.name = "seed",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e15,
     .initial = "1",
     .help = "random seed"},
    {.heading = "Pool",
     .name = "pool",
     .kind = CLI_TEXT,
     .value = "DIR",
     .help = "train together with all machines that name the same shared folder; 'inbetween pool DIR' lists "
             "them"},
    {.name = "pool-minutes",
     .kind = CLI_REAL,
     .value = "M",
     .min = 0.001,
     .max = 1e6,
     .initial = "10",
     .help = "publish and average this often"},
    {.name = "pool-steps",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e12,
     .help = "publish and average every N steps instead"},
    {.name = "pool-name",
     .kind = CLI_TEXT,
     .value = "NAME",
     .help = "this worker's name in the pool (default: the host's name and a few letters)"},
    {.name = "pool-stale",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e9,
     .initial = "8",
     .help = "ignore workers more than N rounds behind"},
    {.heading = "Cluster",
     .name = "mpi",
     .kind = CLI_FLAG,
     .help = "train as one rank of a cluster; automatic under 'mpirun -n 2' and more"},
    {.name = "sync-every",
     .kind = CLI_INT,
     .value = "H",
     .min = 1,
     .max = 1e9,
     .initial = "100",
     .help = "steps between two exchanges of the ranks"},
    {.name = "shard",
     .kind = CLI_TEXT,
     .value = "HOW",
     .initial = "videos",
     .help = "videos: each belongs to one rank; samples: all ranks read all videos and take turns"},
    {.heading = "Averaging, in pools and clusters",
     .name = "outer",
     .kind = CLI_TEXT,
     .value = "NAME",
     .help = "outer optimiser for pools and clusters: nesterov (default) or plain"},
    {.name = "outer-lr",
     .kind = CLI_REAL,
     .value = "X",
     .min = 1e-6,
     .max = 100,
     .help = "learning rate of the outer optimiser; by default 0.7 for nesterov, 1 for plain"},
    {.name = "outer-momentum",
     .kind = CLI_REAL,
     .value = "X",
     .min = 0,
     .max = 0.9999,
     .initial = "0.9",
     .help = "momentum of the outer optimiser"},
    {.name = "exchange",
     .kind = CLI_TEXT,
     .value = "TYPE",
     .initial = "f32",
     .help = "how weights are sent to a pool or between ranks: f32, or f16 for half the bytes"},
    {0}};

const cli_command cli_train = {
    .name = "train",
    .arguments = "LATENTS... -o RUN",
    .summary = "train an in-between model on latent files",
    .details = "LATENTS are files made by 'inbetween encode', or directories of them. The run writes "
               "adapter.safetensors (the file to share), state.h5 (for --resume), log.csv and samples/ (film "
               "strips: truth, slerp, model) into RUN.\n\nTo continue a run that was stopped, by Ctrl-C or "
               "worse, repeat the command with --resume:\n\n  inbetween train latents -o run --minutes 30\n  "
               "inbetween train latents -o run --resume",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_train,
};
