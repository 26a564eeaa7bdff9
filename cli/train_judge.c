/* inbetween train-judge: latent files in, a judge for --search out. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "base/output.h"
#include "base/safetensors.h"
#include "cli/adapter_options.h"
#include "cli/cli.h"
#include "search/judge_train.h"

static void on_progress(void *user, double fraction, const char *doing) {
    cli_progress(user, fraction, "%s", doing);
}

static void print_report(const cli *c, const ib_judge_report *r) {
    if (!cli_prints_text(c)) {
        return;
    }
    printf("%zu parameters, learned from %zu places in %zu videos, tried on %zu in %zu others\n",
           r->parameters, r->train_samples, r->train_videos, r->valid_samples, r->valid_videos);
    if (r->held_videos) {
        printf("of %zu places in %zu held-out videos:\n", r->held_samples, r->held_videos);
    }
    printf(
        "of two candidates it prefers the nearer one: %.3f (chance: 0.5); with true and wrong frames among "
        "them: %.3f\n",
        r->accuracy, r->accuracy_all);
    printf("the true frame scores highest: %.3f\n", r->truth_first);
    printf("calibration error of pairs: %.3f\n", r->calibration);
    printf("fooled by the still frame: %.3f, by slerp: %.3f\n", r->still_fooled, r->slerp_fooled);
    printf(
        "skill of single places: adapter %+.3f, preferred candidate %+.3f, weighted mean %+.3f, plain mean "
        "%+.3f, nearest candidate %+.3f\n",
        r->own, r->best, r->condensed, r->mean, r->oracle);
}

static json_t *real_or_null(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

static int print_json(cli *c, const ib_search_judge *judge, const ib_judge_report *r) {
    json_t *j = json_object();
    json_object_set_new(j, "kind", json_string(judge->kind));
    json_object_set_new(j, "temperature", json_real((double)judge->temperature));
    json_object_set_new(j, "parameters", json_integer((json_int_t)r->parameters));
    json_object_set_new(j, "train_videos", json_integer((json_int_t)r->train_videos));
    json_object_set_new(j, "valid_videos", json_integer((json_int_t)r->valid_videos));
    json_object_set_new(j, "held_videos", json_integer((json_int_t)r->held_videos));
    json_object_set_new(j, "accuracy", real_or_null(r->accuracy));
    json_object_set_new(j, "accuracy_all", real_or_null(r->accuracy_all));
    json_object_set_new(j, "truth_first", real_or_null(r->truth_first));
    json_object_set_new(j, "calibration_error", real_or_null(r->calibration));
    json_object_set_new(j, "still_fooled", real_or_null(r->still_fooled));
    json_object_set_new(j, "slerp_fooled", real_or_null(r->slerp_fooled));
    json_object_set_new(j, "skill_adapter", real_or_null(r->own));
    json_object_set_new(j, "skill_preferred", real_or_null(r->best));
    json_object_set_new(j, "skill_weighted_mean", real_or_null(r->condensed));
    json_object_set_new(j, "skill_plain_mean", real_or_null(r->mean));
    json_object_set_new(j, "skill_nearest", real_or_null(r->oracle));
    return cli_print_json(c, j, JSON_INDENT(2));
}

/* Nothing that is read is written over, and no file of another kind; where it goes there is a folder. */
static int check_output(const char *output, const ib_judge_training *o, ib_error *err) {
    int rc = ib_output_check(output, &o->adapter, o->adapter != NULL, NULL, err);
    rc = rc ? rc : ib_output_check(output, (const char *const *)o->latents->v, o->latents->n, NULL, err);
    if (!rc && o->held) {
        rc = ib_output_check(output, (const char *const *)o->held->v, o->held->n, NULL, err);
    }
    rc = rc ? rc : ib_st_check_replace(output, err);
    return rc ? rc : ib_output_try(output, err);
}

static int run_train_judge(cli *c) {
    ib_judge_training o;
    ib_judge_report report;
    ib_search_judge *judge = NULL;
    ib_paths latents = {0}, held = {0};
    ib_error err = {0};
    const char *output = cli_text(c, "output");
    if (!output) {
        return cli_usage(c, "-o JUDGE is missing: the file to write, such as judge.safetensors");
    }
    ib_judge_training_defaults(&o);
    o.latents = &latents;
    o.adapter = cli_text(c, "adapter") ? cli_adapter(c, cli_text(c, "adapter")) : NULL;
    o.kind = cli_text(c, "kind");
    o.samples = (size_t)cli_int(c, "samples");
    o.epochs = (int)cli_int(c, "epochs");
    o.seed = (uint64_t)cli_int(c, "seed");
    o.threads = cli_threads(c);
    o.stop = cli_stop(c);
    o.progress = on_progress;
    o.user = c;
    int rc = IB_OK;
    for (size_t i = 0; i < cli_arg_count(c) && !rc; i++) {
        rc = ib_paths_add(&latents, cli_arg(c, i), &err);
    }
    if (!rc && cli_text(c, "held")) {
        rc = ib_paths_add(&held, cli_text(c, "held"), &err);
        o.held = &held;
    }
    rc = rc ? rc : check_output(output, &o, &err);
    rc = rc ? rc : ib_judge_train(&judge, &o, &report, &err);
    rc = rc ? rc : ib_search_judge_save(judge, output, &err);
    cli_progress_end(c);
    if (!rc) {
        print_report(c, &report);
    }
    int status = rc ? cli_fail(c, &err) : cli_json(c) ? print_json(c, judge, &report) : CLI_DONE;
    ib_search_judge_free(&judge);
    ib_paths_free(&latents);
    ib_paths_free(&held);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "JUDGE",
     .help = "file of the judge, such as judge.safetensors"},
    {.name = "adapter",
     .letter = 'a',
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help = "the adapter whose answers it will judge; without it slerp's"},
    {.name = "kind",
     .kind = CLI_TEXT,
     .value = "KIND",
     .initial = "both",
     .help =
         "what it is trained for. mean: the weighted mean of the candidates is near the truth; rank: of two "
         "candidates the nearer one scores higher; both: these two; error: the score is how near a candidate "
         "is; real: the true frame is told apart from all else"},
    {.name = "held",
     .kind = CLI_TEXT,
     .value = "LATENTS",
     .help =
         "other videos, a latent file or a directory of them, that nothing is learned from nor chosen by: "
         "what the judge is worth is then reported of them"},
    {.name = "samples",
     .kind = CLI_INT,
     .value = "N",
     .min = 100,
     .max = 1000000,
     .initial = "60000",
     .help = "places in windows that it looks at, of all videos"},
    {.name = "epochs",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 10000,
     .initial = "8",
     .help = "times that it goes through them; what is best on other videos is kept"},
    {.name = "seed",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1e15,
     .initial = "1",
     .help = "of everything random"},
    {NULL}};

const cli_command cli_train_judge = {
    .name = "train-judge",
    .arguments = "LATENTS... -o JUDGE",
    .summary = "train a judge that tells good in-betweens from bad ones, for --search",
    .details = "LATENTS are latent files or directories of them, as inbetween encode makes them; guides in "
               "them are used. "
               "A tenth of the videos is kept apart to try the judge on: it prints how often it prefers the "
               "nearer of two "
               "candidates there. Do not give it the videos that an adapter is evaluated on.",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_train_judge,
};
