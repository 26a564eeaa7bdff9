/* inbetween distil: what a search finds becomes what an adapter is trained on. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/search_options.h"
#include "distil/distil.h"

static void on_sought(void *user, const char *file, double fraction) {
    cli_progress(user, fraction, "searching, %s", ib_basename(file));
}

static void on_progress(void *user, const ib_train_progress *p) {
    double fraction = p->steps > 0 ? (double)p->step / (double)p->steps : 0;
    cli_progress(user, fmin(fraction, 0.999), "step %lld, loss %.4f, %.1f samples/s, %.0f s left",
                 (long long)p->step, p->loss, p->samples_per_second, p->seconds_left);
}

static void on_message(void *user, const char *sentence) {
    cli_status(user, "%s", sentence);
}

static int print_result(cli *c, const char *run, const ib_distilled *r) {
    if (cli_prints_text(c)) {
        const char *shown = cli_shown(c, run);
        printf("%s: %zu in-betweens of %zu windows in %zu videos were searched for; %lld steps, %.1f minutes",
               shown, r->targets, r->windows, r->files, (long long)r->train.step, r->train.seconds / 60);
        if (isfinite(r->train.valid_skill)) {
            printf(", skill %.4f on %zu other video%s", r->train.valid_skill, r->train.valid_videos,
                   r->train.valid_videos == 1 ? "" : "s");
        }
        printf("\n%s/adapter.safetensors\n", shown);
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j = json_object();
    json_object_set_new(j, "run", ib_json_text(run));
    json_object_set_new(j, "targets", json_integer((json_int_t)r->targets));
    json_object_set_new(j, "windows", json_integer((json_int_t)r->windows));
    json_object_set_new(j, "steps", json_integer(r->train.step));
    json_object_set_new(j, "seconds", json_real(r->train.seconds));
    json_object_set_new(j, "valid_videos", json_integer((json_int_t)r->train.valid_videos));
    json_object_set_new(j, "valid_skill",
                        isfinite(r->train.valid_skill) ? json_real(r->train.valid_skill) : json_null());
    return cli_print_json(c, j, JSON_INDENT(2));
}

static int run_distil(cli *c) {
    ib_distilling o = {.sought = on_sought};
    ib_distilled result;
    ib_paths all = {0}, valid = {0}, latents = {0};
    ib_error err = {0};
    ib_train_defaults(&o.train);
    int status = cli_search_options(c, false, &o.search);
    if (status) {
        return status;
    }
    o.adapter = cli_arg(c, 0);
    o.train.run = cli_text(c, "output");
    if (!o.train.run) {
        return cli_usage(c, "-o RUN is missing: the directory of the run");
    }
    if (!o.search.candidates || !o.search.judge) {
        return cli_usage(c, "--search N and --judge JUDGE are missing: there is no target without them");
    }
    if (cli_is_set(c, "minutes") && cli_is_set(c, "steps")) {
        return cli_usage(c, "--minutes and --steps exclude each other");
    }
    if (cli_is_set(c, "steps")) {
        o.train.steps = cli_int(c, "steps");
    } else {
        o.train.minutes = cli_real(c, "minutes");
    }
    o.train.latents = &latents;
    o.train.valid = &valid;
    o.train.overwrite = cli_flag(c, "overwrite");
    o.train.seed = (uint64_t)cli_int(c, "seed");
    if (cli_is_set(c, "lr")) {
        o.train.lr = cli_real(c, "lr");
    }
    o.train.threads = cli_threads(c);
    o.train.stop = cli_stop(c);
    o.train.progress = on_progress;
    o.train.message = on_message;
    o.train.user = c;
    int rc = cli_paths(c, &all, "valid", &valid, &err);
    for (size_t i = 1; i < all.n && !rc; i++) {
        rc = ib_paths_add(&latents, all.v[i], &err);
    }
    rc = rc ? rc : ib_distil(&o, &result, &err);
    cli_progress_end(c);
    status = rc ? cli_fail(c, &err) : print_result(c, o.train.run, &result);
    ib_paths_free(&all);
    ib_paths_free(&latents);
    ib_paths_free(&valid);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "RUN",
     .help = "directory of the run; created"},
    {.name = "overwrite", .kind = CLI_FLAG, .help = "replace targets, an adapter or a log that lie in RUN"},
    {.name = "valid",
     .kind = CLI_LIST,
     .value = "LATENTS",
     .several = true,
     .help = "real videos to validate on; by default every tenth of those that are given"},
    {.name = "minutes",
     .kind = CLI_REAL,
     .value = "M",
     .min = 0.01,
     .max = 1e6,
     .initial = "4",
     .help = "time for training"},
    {.name = "steps", .kind = CLI_INT, .value = "N", .min = 1, .max = 1e12, .help = "or so many steps"},
    {.name = "lr", .kind = CLI_REAL, .value = "X", .min = 1e-9, .max = 10, .help = "peak learning rate"},
    {.name = "seed",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e15,
     .initial = "1",
     .help = "of the training"},
    CLI_SEARCH,
    {0}};

const cli_command cli_distil = {
    .name = "distil",
    .arguments = "ADAPTER LATENTS... --search N --judge JUDGE -o RUN",
    .summary = "train an adapter on what a search around it finds",
    .details =
        "Between keyframes of LATENTS, whose true frames are not looked at, a judge chooses in-betweens; the "
        "adapter's training goes on with these and with the real videos, and is validated on real ones "
        "alone. The targets are kept as latent files in RUN/targets.",
    .options = options,
    .min_args = 2,
    .max_args = 1000000,
    .run = run_distil,
};
