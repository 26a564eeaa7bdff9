/* inbetween merge: several adapters into one. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "cli/cli.h"
#include "merge/merge.h"

static void on_message(void *user, const char *sentence) {
    cli_status(user, "%s", sentence);
}

static void on_progress(void *user, const ib_merge_progress *p) {
    if (p->bytes_per_second > 0) {
        cli_progress(user, p->fraction, "%.0f MB/s", p->bytes_per_second / 1e6);
    } else {
        cli_progress(user, p->fraction, "looking at the ingredients");
    }
}

/* "0.5,1,2": one for each ingredient. */
static int parse_weights(cli *c, const char *text, double *weight, size_t *n) {
    const char *at = text;
    for (*n = 0; *n < IB_MERGE_MOST;) {
        char *end;
        double w = strtod(at, &end);
        if (end == at || !isfinite(w) || (*end && *end != ',')) {
            break;
        }
        weight[(*n)++] = w;
        if (!*end) {
            return CLI_DONE;
        }
        at = end + 1;
    }
    return cli_usage(c, "--weights wants numbers with commas between them, such as 0.7,0.3, got '%s'", text);
}

static bool listens(const ib_merge_method *m, const char *name) {
    for (size_t i = 0; i < IB_MERGE_MAX_OPTIONS && m->options[i]; i++) {
        if (!strcmp(m->options[i], name)) {
            return true;
        }
    }
    return false;
}

static double value_of(const cli *c, const ib_merge_option *p) {
    return p->kind == IB_MERGE_FLAG    ? cli_flag(c, p->name)
           : p->kind == IB_MERGE_WHOLE ? (double)cli_int(c, p->name)
                                       : cli_real(c, p->name);
}

/* 0, or the status of wrong usage. */
static int read_options(cli *c, ib_merge_options *o, double *weight) {
    ib_error err = {0};
    const ib_merge_method *m = ib_merge_method_find(cli_text(c, "method"), &err);
    const char *weights = cli_text(c, "weights");
    size_t n = 0;
    if (!m) {
        return cli_usage(c, "%s", err.text);
    }
    o->method = m->name;
    o->base = cli_text(c, "base");
    o->output = cli_text(c, "output");
    o->dry_run = cli_flag(c, "dry-run");
    o->threads = cli_threads(c);
    o->stop = cli_stop(c);
    if (!o->output && !o->dry_run) {
        return cli_usage(c, "-o ADAPTER is missing: the file to write");
    }
    for (const ib_merge_option *p = ib_merge_option_table; p->name; p++) {
        if (!cli_is_set(c, p->name)) {
            continue;
        }
        if (!listens(m, p->name)) {
            return cli_usage(c, "--%s is not for %s", p->name, m->name);
        }
        if (ib_merge_set(o, p->name, value_of(c, p), &err)) {
            return cli_usage(c, "--%s", err.text);
        }
    }
    if (weights && !m->weights) {
        return cli_usage(c, "--weights is not for %s", m->name);
    }
    if (weights && parse_weights(c, weights, weight, &n)) {
        return CLI_USAGE;
    }
    if (weights && n != cli_arg_count(c)) {
        return cli_usage(c, "--weights has %zu numbers for %zu adapters", n, cli_arg_count(c));
    }
    o->weights = weights ? weight : NULL;
    return CLI_DONE;
}

static void put_real(json_t *o, const char *name, double v) {
    json_object_set_new(o, name, isfinite(v) ? json_real(v) : json_null());
}

static int print_json(cli *c, const ib_merge_options *o, const ib_merge_result *r) {
    json_t *all = json_object(), *parts = json_array(), *pairs = json_array();
    json_object_set_new(all, "method", json_string(r->method->name));
    json_object_set_new(all, "output", o->dry_run ? json_null() : ib_json_text(o->output));
    json_object_set_new(all, "parameters", json_integer((json_int_t)r->parameters));
    for (size_t i = 0; i < r->parts; i++) {
        const ib_merge_part *p = &r->part[i];
        json_t *one = json_object();
        json_object_set_new(one, "file", ib_json_text(p->path));
        json_object_set_new(one, "role", json_string(p->role));
        json_object_set_new(one, "sha256", *p->sha256 ? json_string(p->sha256) : json_null());
        put_real(one, "weight", p->weight);
        json_object_set_new(one, "kept", json_boolean(p->kept));
        put_real(one, "skill", p->skill);
        json_object_set_new(one, "step", p->step < 0 ? json_null() : json_integer(p->step));
        put_real(one, "norm", p->norm);
        json_array_append_new(parts, one);
    }
    for (size_t i = 0; i < r->pairs; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "a", json_integer((json_int_t)r->pair[i].a));
        json_object_set_new(one, "b", json_integer((json_int_t)r->pair[i].b));
        put_real(one, "distance", r->pair[i].distance);
        put_real(one, "cosine", r->pair[i].cosine);
        put_real(one, "same_sign", r->pair[i].signs);
        json_array_append_new(pairs, one);
    }
    json_object_set_new(all, "parts", parts);
    json_object_set_new(all, "pairs", pairs);
    put_real(all, "skill", r->skill);
    put_real(all, "seconds", o->dry_run ? NAN : r->seconds);
    return cli_print_json(c, all, JSON_INDENT(2));
}

static void print_parts(cli *c, const ib_merge_options *o, const ib_merge_result *r) {
    for (size_t i = 0; i < r->parts; i++) {
        const ib_merge_part *p = &r->part[i];
        printf("  %zu  %-10s", i + 1, p->role);
        if (isfinite(p->weight)) {
            printf("  weight %8.5f", p->weight);
        }
        if (isfinite(p->norm)) {
            printf("  norm %9.4f", p->norm);
        }
        if (isfinite(p->skill)) {
            printf("  skill %7.4f%s", p->skill, p->kept ? "" : "  left out");
        }
        if (p->step >= 0) {
            printf("  step %lld", (long long)p->step);
        }
        printf("  %s\n", cli_shown(c, p->path));
    }
    if (r->pairs) {
        printf("\n   pair     distance    cosine  same sign   of %s\n",
               o->base ? "the differences to the base" : "the weights");
    }
    for (size_t i = 0; i < r->pairs; i++) {
        const ib_merge_pair *p = &r->pair[i];
        printf("  %zu, %zu  %11.4f  %8.4f  %8.1f %%\n", p->a + 1, p->b + 1, p->distance, p->cosine,
               100 * p->signs);
    }
}

static void print_text(cli *c, const ib_merge_options *o, const ib_merge_result *r) {
    if (o->dry_run) {
        printf("%s of %zu, %zu parameters, nothing written\n", r->method->name, r->ingredients,
               r->parameters);
    } else {
        printf("%s: %s of %zu, %zu parameters, %.1f MB in %.2f s", cli_shown(c, o->output), r->method->name,
               r->ingredients, r->parameters, (double)r->bytes / 1e6, r->seconds);
        if (isfinite(r->skill)) {
            printf(", skill %.4f", r->skill);
        }
        putchar('\n');
    }
    print_parts(c, o, r);
}

static int run_merge(cli *c) {
    ib_paths inputs = {0}, valid = {0};
    double weight[IB_MERGE_MOST];
    ib_merge_options o;
    ib_merge_result result = {0};
    ib_error err = {0};
    ib_merge_defaults(&o);
    o.inputs = &inputs;
    o.valid = &valid;
    o.progress = on_progress;
    o.message = on_message;
    o.user = c;
    int status = read_options(c, &o, weight);
    if (status) {
        return status;
    }
    int rc = cli_paths(c, &inputs, "valid", &valid, &err);
    rc = rc ? rc : ib_merge(&o, &result, &err);
    cli_progress_end(c);
    if (rc) {
        status = cli_fail(c, &err);
    } else if (cli_json(c)) {
        status = print_json(c, &o, &result);
    } else if (!cli_quiet(c)) {
        print_text(c, &o, &result);
    }
    ib_merge_result_free(&result);
    ib_paths_free(&inputs);
    ib_paths_free(&valid);
    return status;
}

/* One option for each line of the library's list; defaults as text. */
#define KIND_REAL CLI_REAL
#define KIND_WHOLE CLI_INT
#define KIND_FLAG CLI_FLAG
#define VALUE_REAL "X"
#define VALUE_WHOLE "N"
#define VALUE_FLAG NULL
#define INITIAL_REAL(x) #x
#define INITIAL_WHOLE(x) #x
#define INITIAL_FLAG(x) NULL
#define METHOD_OPTION(option, type, low, high, usual, text)                                                  \
    {.name = option,                                                                                         \
     .kind = KIND_##type,                                                                                    \
     .value = VALUE_##type,                                                                                  \
     .min = low,                                                                                             \
     .max = high,                                                                                            \
     .initial = INITIAL_##type(usual),                                                                       \
     .help = text},

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help = "the file to write; none of the inputs"},
    {.name = "method",
     .kind = CLI_TEXT,
     .value = "NAME",
     .initial = "linear",
     .help = "how to merge, see below"},
    {.name = "weights",
     .kind = CLI_TEXT,
     .value = "X,X...",
     .help = "one for each adapter (default: 1 each); linear divides them by their sum, task-arithmetic and "
             "dare use them as they are, ties uses them as votes"},
    {.name = "base",
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help = "the adapter that the others were trained from; for task-arithmetic, ties, dare and the figures "
             "of --dry-run"},
    {.name = "dry-run",
     .letter = 'n',
     .kind = CLI_FLAG,
     .help = "write nothing; show the distances between the adapters and how many signs agree"},
    {.name = "valid",
     .kind = CLI_LIST,
     .value = "LATENTS",
     .several = true,
     .help = "soup: latent files to validate on, of videos that no adapter was trained on"},
    IB_MERGE_OPTION_LIST(METHOD_OPTION){0}};

const cli_command cli_merge = {
    .name = "merge",
    .arguments = "ADAPTER... -o ADAPTER",
    .summary = "merge adapters into one",
    .details =
        "ADAPTERs are adapter.safetensors files of one space and architecture, or training states "
        "(state.h5). Methods:\n\n  linear           the mean, weighted by --weights\n  slerp            two: "
        "from A to B along the sphere, at --t\n  add-difference   three, A B C: A + alpha (B - C)\n  "
        "task-arithmetic  base + lambda times the sum of the differences to --base\n  ties             the "
        "largest differences to --base, by a vote on each sign\n  dare             task-arithmetic with "
        "differences dropped at random\n  soup             the mean of those that do not lower the skill on "
        "--valid\n  ema              the states of one run, later ones counting more; a run\n                "
        "   directory stands for all that it kept (train --keep-states)\n\nExcept in slerp and "
        "add-difference, the order of ADAPTERs does not change a bit of the result. The result records its "
        "parents by SHA-256 (see 'inbetween info'). Adapters merge well if they were trained from one common "
        "adapter (train --init):\n\n  inbetween merge a.safetensors b.safetensors -o both.safetensors\n  "
        "inbetween merge a.safetensors b.safetensors --base start.safetensors -n\n  inbetween merge run "
        "--method ema -o run-ema.safetensors",
    .options = options,
    .min_args = 1,
    .max_args = IB_MERGE_MOST,
    .run = run_merge,
};
