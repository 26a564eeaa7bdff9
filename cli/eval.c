/* inbetween eval: how good lerp, slerp and adapters are on real frames. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/output.h"
#include "cli/adapter_options.h"
#include "cli/cli.h"
#include "cli/gaps.h"
#include "cli/picture_options.h"
#include "cli/search_options.h"
#include "cli/space_options.h"
#include "eval/eval.h"
#include "latent/latent_file.h"
#include "video_io/reader.h"

typedef struct job {
    cli *c;
    double began; /* ib_clock_seconds */
} job;

static void on_progress(void *user, const ib_eval_progress *p) {
    job *j = user;
    char left[48] = "";
    double spent = ib_clock_seconds() - j->began;
    if (p->fraction > 0) {
        snprintf(left, sizeof left, ", %.0f s left", spent * (1 - p->fraction) / p->fraction);
    }
    cli_progress(j->c, p->fraction, "clip %zu of %zu, %s: %zu windows, %.1f a second%s", p->number, p->files,
                 ib_basename(p->file), p->windows, spent > 0 ? (double)p->windows / spent : 0, left);
}

static bool ends_with(const char *name, const char *ending) {
    const char *dot = strrchr(name, '.');
    return dot && !strcmp(dot, ending);
}

/* Names of other kinds of files are a slip: "eval a.mp4 -o b.mp4" would cost b.mp4. */
static int check_names(cli *c) {
    const char *const *name;
    for (size_t i = cli_list(c, "output", &name); i > 0; i--) {
        const char *n = name[i - 1];
        if (ib_is_video_name(n) || ib_is_picture_name(n) || ib_is_latent_name(n) ||
            ends_with(n, ".safetensors")) {
            return cli_usage(c,
                             "-o %s: a report's name ends in .html, .json or .csv, or in anything that is no "
                             "video, picture, latent file or adapter",
                             n);
        }
    }
    return CLI_DONE;
}

static int parse_gaps(cli *c, ib_eval_options *o) {
    const char *text = cli_text(c, "gap");
    int twice;
    if (cli_gap_list(text, o->gap, &o->gaps, &twice)) {
        return 0;
    }
    if (twice) {
        return cli_usage(c, "--gap names %d twice in '%s'", twice, text);
    }
    return cli_usage(c,
                     "--gap wants whole numbers from 2 to 1000, such as 8 or 4,8,16 (at most %d), got '%s'",
                     IB_EVAL_MAX_GAPS, text);
}

/* The page shows film strips. */
static bool wants_page(const cli *c) {
    const char *const *list;
    bool page = false;
    for (size_t i = cli_list(c, "output", &list); i > 0; i--) {
        page = page || ends_with(list[i - 1], ".html");
    }
    return page;
}

/* What --rival names; released by drop_rivals. */
typedef struct rivals {
    ib_eval_rival *rival;
    char **name;
    size_t n;
} rivals;

/* NAME=COMMAND of each. */
static int parse_rivals(cli *c, ib_eval_options *o, rivals *r) {
    const char *const *list;
    o->rivals = cli_list(c, "rival", &list);
    r->rival = calloc(o->rivals + 1, sizeof *r->rival);
    r->name = calloc(o->rivals + 1, sizeof *r->name);
    for (size_t i = 0; i < o->rivals; i++) {
        const char *equals = strchr(list[i], '=');
        if (!equals || equals == list[i] || !equals[1]) {
            return cli_usage(c, "--rival wants NAME=COMMAND, got '%s'", list[i]);
        }
        if (!r->rival || !r->name || !(r->name[i] = strndup(list[i], (size_t)(equals - list[i])))) {
            ib_error err;
            ib_fail(&err, IB_E_MEMORY, "out of memory for %zu rivals", o->rivals);
            return cli_fail(c, &err);
        }
        r->n++;
        r->rival[i] = (ib_eval_rival){r->name[i], equals + 1};
    }
    o->rival = r->rival;
    return CLI_DONE;
}

static void drop_rivals(rivals *r) {
    for (size_t i = 0; i < r->n; i++) {
        free(r->name[i]);
    }
    free(r->name);
    free(r->rival);
}

static int parse_eval(cli *c, ib_eval_options *o) {
    const char *size = cli_text(c, "size");
    int used = 0;
    bool plain = strspn(size, "0123456789x") == strlen(size);
    ib_eval_defaults(o);
    o->space = cli_text(c, "space");
    o->guide = cli_text(c, "guide");
    o->windows_per_clip = cli_is_set(c, "windows-per-clip") ? (int)cli_int(c, "windows-per-clip") : 0;
    o->minterpolate = cli_flag(c, "minterpolate");
    o->trust = cli_trust(c);
    o->sharpness = cli_real(c, "sharpness");
    o->guide_scale = cli_real(c, "guide-scale");
    o->strips = cli_text(c, "strips") || wants_page(c);
    o->threads = cli_threads(c);
    o->stop = cli_stop(c);
    o->native = !strcmp(size, "native");
    if (!o->native && (!plain || sscanf(size, "%5dx%5d%n", &o->width, &o->height, &used) != 2 || size[used] ||
                       o->width < 16 || o->height < 16 || o->width > 16384 || o->height > 16384 ||
                       o->width % 2 || o->height % 2)) {
        return cli_usage(c, "--size wants 'native' or a size WxH with even sides from 16 to 16384, got '%s'",
                         size);
    }
    if (o->native && cli_is_set(c, "strips")) {
        return cli_usage(c, "--strips shows small frames; it does not go with --size native");
    }
    int status = check_names(c);
    status = status ? status : cli_search_options(c, false, &o->search);
    status = status ? status : cli_keep_interlaced(c, &o->keep_interlaced);
    return status ? status : parse_gaps(c, o);
}

/* What the report's name asks for. */
static char *report_for(const char *name, const ib_eval_report *r) {
    return ends_with(name, ".json")   ? ib_eval_json(r)
           : ends_with(name, ".csv")  ? ib_eval_csv(r)
           : ends_with(name, ".html") ? ib_eval_page(r)
                                      : ib_eval_text(r);
}

static int write_report(ib_pending *p, const char *name, const ib_eval_report *r, ib_error *err) {
    char *text = report_for(name, r);
    FILE *f = text ? fopen(p->temp, "w") : NULL;
    if (!text) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the report");
    }
    size_t n = strlen(text);
    bool ends = n && text[n - 1] == '\n';
    int bad = !f || fwrite(text, 1, n, f) != n || (!ends && fputc('\n', f) == EOF);
    int e = errno;
    if (f && fclose(f) && !bad) {
        bad = 1;
        e = errno;
    }
    free(text);
    return bad ? ib_fail(err, IB_E_IO, "%s: cannot be written: %s", name, strerror(e))
               : ib_pending_publish(p, err);
}

/* ---- places to write to ---- */

/* Places that cannot be written are found out before the work. What is given here is released by
 * drop_outputs. */
typedef struct outputs {
    const char *const *name;
    ib_pending *pending; /* [n] */
    size_t n;
    const char *strips; /* directory or NULL */
} outputs;

/* What is written is none of the files that are read. */
static int check_output(const cli *c, const char *name, ib_error *err) {
    const char *const *adapter;
    size_t adapters = cli_list(c, "adapter", &adapter);
    const char *guide = cli_text(c, "guide");
    const char *judge = cli_text(c, "judge");
    int rc = cli_space_check_output(c, name, err);
    rc = rc || !judge ? rc : ib_output_check(name, &judge, 1, NULL, err);
    rc = rc || !guide ? rc : ib_output_check(name, &guide, 1, NULL, err);
    rc = rc ? rc : ib_output_check(name, adapter, adapters, NULL, err);
    for (size_t i = 0; !rc && i < cli_arg_count(c); i++) {
        const char *input = cli_arg(c, i);
        rc = ib_output_check(name, &input, 1, NULL, err);
    }
    return rc;
}

/* Whether a film strip can be put there; makes nothing that stays. */
static int try_strip(const cli *c, const char *directory, const char *name, ib_error *err) {
    char *path = ib_join(directory, name);
    int rc = path ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
    if (!rc && ib_is_file(path) && !cli_flag(c, "overwrite")) {
        rc =
            ib_fail(err, IB_E_ARGUMENT, "%s: there is a picture of that name; --overwrite replaces it", path);
    }
    rc = rc ? rc : check_output(c, path, err);
    rc = rc ? rc : ib_output_try(path, err);
    free(path);
    return rc;
}

static int try_strips(const cli *c, const char *directory, ib_error *err) {
    static const char *const names[] = {"best.png", "median.png", "worst.png"};
    bool there = ib_is_dir(directory);
    int rc = ib_mkdirs(directory, err);
    for (size_t i = 0; !rc && i < sizeof names / sizeof *names; i++) {
        rc = try_strip(c, directory, names[i], err);
    }
    if (!there) {
        rmdir(directory); /* made again when there is something to put into it */
    }
    return rc;
}

static int try_outputs(cli *c, outputs *o, ib_error *err) {
    o->n = cli_list(c, "output", &o->name);
    o->strips = cli_text(c, "strips");
    o->pending = calloc(o->n + 1, sizeof *o->pending);
    int rc = o->pending ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for %zu reports", o->n);
    for (size_t i = 0; i < o->n && !rc; i++) {
        rc = check_output(c, o->name[i], err);
        rc = rc ? rc : ib_pending_begin(&o->pending[i], o->name[i], err);
    }
    return rc || !o->strips ? rc : try_strips(c, o->strips, err);
}

static void drop_outputs(outputs *o) {
    for (size_t i = 0; o->pending && i < o->n; i++) {
        ib_pending_abort(&o->pending[i]);
    }
    free(o->pending);
}

/* Everything that can be written is; the first failure is the result. */
static int write_outputs(outputs *o, const ib_eval_report *r, ib_error *err) {
    int first = IB_OK;
    for (size_t i = 0; i < o->n; i++) {
        ib_error bad = {0};
        int rc = write_report(&o->pending[i], o->name[i], r, &bad);
        if (rc && !first) {
            first = rc;
            *err = bad;
        }
    }
    ib_error bad = {0};
    int rc = o->strips ? ib_eval_write_strips(r, o->strips, &bad) : IB_OK;
    if (rc && !first) {
        first = rc;
        *err = bad;
    }
    return first;
}

static int print_report(cli *c, const ib_eval_report *r, ib_error *err) {
    if (cli_quiet(c) && !cli_json(c)) {
        return IB_OK;
    }
    char *text = cli_json(c) ? ib_eval_json(r) : ib_eval_text(r);
    if (!text) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the report");
    }
    fputs(text, stdout);
    fputs(cli_json(c) ? "\n" : "", stdout);
    free(text);
    return IB_OK;
}

/* The adapters that were named; without any the default, if the space turns out to be its own. */
static int choose_adapters(cli *c, ib_eval_options *o, const ib_paths *words, ib_paths *names,
                           ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < words->n && !rc; i++) {
        const char *name = cli_adapter(c, words->v[i]);
        rc = name ? ib_paths_add(names, name, err) : IB_OK;
    }
    o->own_adapter = words->n ? NULL : cli_default_adapter();
    return rc;
}

static bool used_prior_instead(const ib_eval_options *o, const ib_eval_report *r) {
    bool used = false;
    for (size_t i = 0; i < r->methods && o->own_adapter; i++) {
        used = used || (r->method[i].kind == IB_METHOD_ADAPTER && !r->method[i].file);
    }
    return used;
}

static int run_eval(cli *c) {
    ib_eval_options o;
    ib_eval_report report = {0};
    ib_paths inputs = {0}, words = {0}, adapters = {0};
    outputs out = {0};
    ib_error err = {0};
    job j = {.c = c};
    ib_space_options how;
    rivals others = {0};
    int status = parse_eval(c, &o);
    status = status ? status : cli_space_options(c, &how);
    status = status ? status : parse_rivals(c, &o, &others);
    if (status) {
        drop_rivals(&others);
        return status;
    }
    o.inputs = &inputs;
    o.adapters = &adapters;
    o.space_options = &how;
    o.progress = on_progress;
    o.user = &j;
    j.began = ib_clock_seconds();
    int rc = cli_paths(c, &inputs, "adapter", &words, &err);
    rc = rc ? rc : choose_adapters(c, &o, &words, &adapters, &err);
    rc = rc ? rc : try_outputs(c, &out, &err);
    rc = rc ? rc : ib_eval(&o, &report, &err);
    cli_progress_end(c);
    if (!rc && used_prior_instead(&o, &report)) {
        cli_warn_of_prior(c);
    }
    for (size_t i = 0; !rc && i < report.failed.n; i++) {
        cli_warn(c, "%s", report.failed.v[i].why);
    }
    for (size_t i = 0; !rc && i < report.damaged.n; i++) {
        cli_warn(c, "%s", report.damaged.v[i].why);
    }
    for (size_t i = 0; !rc && i < report.interlaced.n; i++) {
        cli_status(c,
                   o.keep_interlaced ? "%s: interlaced, and kept so"
                                     : "%s: interlaced, deinterlaced (--deinterlace off keeps it)",
                   report.interlaced.v[i].file);
    }
    rc = rc ? rc : print_report(c, &report, &err);
    rc = rc ? rc : write_outputs(&out, &report, &err);
    status = rc ? cli_fail(c, &err) : report.failed.n ? CLI_FAILED : CLI_DONE;
    drop_outputs(&out);
    drop_rivals(&others);
    ib_eval_report_free(&report);
    ib_paths_free(&inputs);
    ib_paths_free(&words);
    ib_paths_free(&adapters);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_LIST,
     .value = "REPORT",
     .help = "also write a report: .html (charts and film strips), .json, .csv, or the table as text under "
             "any other name; may be repeated"},
    {.name = "adapter",
     .letter = 'a',
     .kind = CLI_LIST,
     .value = CLI_ADAPTER_VALUE,
     .help = CLI_ADAPTER_WORDS "; may be repeated. Without it: default in the patch space, none in others"},
    {.name = "gap",
     .kind = CLI_TEXT,
     .value = "N[,N...]",
     .initial = "8",
     .help = "frames from one keyframe to the next"},
    {.name = "size",
     .kind = CLI_TEXT,
     .value = "WxH",
     .initial = "192x112",
     .help = "frame size of videos, swapped for portrait ones; or 'native': their own size, as render would "
             "make the frames"},
    {.name = "windows-per-clip",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1000000,
     .help = "at most N windows per video and gap, evenly spread; by default all"},
    CLI_TRUST,
    CLI_SHARPNESS("0"),
    {.name = "minterpolate", .kind = CLI_FLAG, .help = "also measure FFmpeg's motion interpolation; slow"},
    {.name = "rival",
     .kind = CLI_LIST,
     .value = "NAME=COMMAND",
     .help =
         "also measure another program: a shell command that is given keyframes on its standard input and "
         "answers with frames (docs/measuring.md has the protocol); may be repeated"},
    {.name = "strips",
     .kind = CLI_TEXT,
     .value = "DIR",
     .help = "film strips of the best, the median and the worst window: best.png, median.png, worst.png"},
    {.name = "overwrite", .kind = CLI_FLAG, .help = "let film strips replace pictures of the same names"},
    {.name = "space",
     .kind = CLI_TEXT,
     .value = "SPACE",
     .help = "space of videos, latent files and adapters; by default that of the latent files, and patch for "
             "videos"},
    {.name = "guide",
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help =
         "in spaces of embeddings: the patch-space adapter that makes guides of videos, 'default' or "
         "'prior'; "
         "by default the one that --adapter was trained with. Latent files have their own guides, and where "
         "there are any, no other windows of that gap are judged. 'none' judges without guides, on all "
         "windows"},
    CLI_GUIDE_SCALE,
    CLI_SPACE_OPTIONS,
    CLI_DEINTERLACE,
    CLI_SEARCH,
    {0}};

const cli_command cli_eval = {
    .name = "eval",
    .arguments = "VIDEO-or-LATENTS...",
    .summary = "measure interpolation quality against real frames",
    .details =
        "Each video is cut into windows, end to end within shots. The first and the last frame of a window "
        "are the keyframes; the frames between them are the truth that slerp, the baselines and the adapters "
        "are compared with. Figures are means over a video, then over videos. Inputs that cannot be read are "
        "named and left out, and the exit status is 1. Film strips are ranked by the last adapter's gain in "
        "PSNR, at the gap nearest to 8 frames. Do not judge an adapter by videos that it was trained on.",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_eval,
};
