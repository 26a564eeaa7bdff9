/* inbetween encode: videos in, one latent file for each out; several at once. */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/output.h"
#include "cli/cli.h"
#include "cli/gaps.h"
#include "cli/picture_options.h"
#include "cli/result_names.h"
#include "cli/space_options.h"
#include "guide/encode.h"

typedef enum task_state { WAITING, RUNNING, ENDED } task_state;

typedef struct task {
    char *input, *output; /* owned */
    double bytes;         /* of the input: its share of the progress */
    dev_t device;
    ino_t inode;
    task_state state;
    double fraction; /* of a running one */
    size_t pictures; /* so far: frames, and those of guides */
    int code;
    bool told;
    ib_encode_stats stats;
    ib_error err;
} task;

typedef struct batch {
    pthread_mutex_t lock; /* over the tasks' changing fields and `next` */
    pthread_cond_t changed;
    task *task; /* [n] */
    size_t n, next, working;
    const ib_space *space;
    ib_encode_options options;
    bool guided; /* guides are made */
    const atomic_int *stop;
} batch;

/* What a progress callback needs to find its task. */
typedef struct place {
    batch *b;
    task *t;
} place;

static bool accept_media(const char *name) {
    return ib_is_video_name(name) || ib_is_picture_name(name);
}

static void on_progress(void *user, size_t pictures, int64_t estimate) {
    place *p = user;
    double f = estimate > 0 ? (double)pictures / (double)estimate : 0;
    pthread_mutex_lock(&p->b->lock);
    p->t->pictures = pictures;
    p->t->fraction = f > 1 ? 1 : f;
    pthread_mutex_unlock(&p->b->lock);
}

static void *work_encode(void *arg) {
    batch *b = arg;
    cli_threads_begin(b->options.threads);
    pthread_mutex_lock(&b->lock);
    while (b->next < b->n && !atomic_load(b->stop)) {
        task *t = &b->task[b->next++];
        place p = {b, t};
        ib_encode_options o = b->options;
        ib_error err = {0};
        ib_encode_stats stats;
        o.progress = on_progress;
        o.user = &p;
        t->state = RUNNING;
        pthread_mutex_unlock(&b->lock);
        int rc = ib_encode_video(t->input, t->output, b->space, &o, &stats, &err);
        pthread_mutex_lock(&b->lock);
        t->code = rc;
        t->err = err;
        t->stats = stats;
        t->state = ENDED;
        pthread_cond_signal(&b->changed);
    }
    b->working--;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* ---- which files ---- */

/* The same file named twice (by itself and through its directory) is one task. */
static bool known(const batch *b, const struct stat *st) {
    for (size_t i = 0; i < b->n; i++) {
        if (b->task[i].inode == st->st_ino && b->task[i].device == st->st_dev) {
            return true;
        }
    }
    return false;
}

static int name_results(batch *b, const char *dir, ib_error *err) {
    const char **input = calloc(b->n, sizeof *input);
    char **output = calloc(b->n, sizeof *output);
    int rc = IB_OK;
    if (!input || !output) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the names of %zu files", b->n);
    }
    for (size_t i = 0; !rc && i < b->n; i++) {
        input[i] = b->task[i].input;
    }
    if (!rc) {
        rc = cli_result_names(input, b->n, dir, output, err);
    }
    for (size_t i = 0; !rc && i < b->n; i++) {
        b->task[i].output = output[i];
    }
    free(input);
    free(output);
    return rc;
}

static int collect_encode(cli *c, batch *b, size_t *bad, ib_error *err) {
    ib_paths l = {0};
    int rc = IB_OK;
    for (size_t i = 0; i < cli_arg_count(c); i++) {
        ib_error e = {0};
        if (!ib_paths_expand(&l, cli_arg(c, i), accept_media, &e)) {
            continue;
        }
        if (rc) {
            cli_warn(c, "%s", err->text);
        }
        rc = e.code;
        *err = e;
        (*bad)++;
    }
    if (rc == IB_E_MEMORY || !l.n) {
        goto end; /* the last bad one is the error */
    }
    if (rc) {
        cli_warn(c, "%s", err->text);
        rc = IB_OK;
    }
    if (!(b->task = calloc(l.n, sizeof *b->task))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu files", l.n);
        goto end;
    }
    for (size_t i = 0; i < l.n; i++) {
        struct stat st = {0};
        if (stat(l.v[i], &st) || !known(b, &st)) {
            task *t = &b->task[b->n++];
            t->input = l.v[i];
            t->bytes = (double)st.st_size + 1;
            t->device = st.st_dev;
            t->inode = st.st_ino;
            l.v[i] = NULL;
        }
    }
end:
    ib_paths_free(&l);
    return rc;
}

/* None of them may be a file that is read: neither another input, nor the model's, the tokenizer's or the
 * adapter's that makes guides. */
static int check_outputs(const cli *c, const batch *b, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < b->n; i++) {
        struct stat st;
        const char *output = b->task[i].output;
        const char *adapter = b->options.guide ? b->options.guide : "";
        rc = cli_space_check_output(c, output, err);
        rc = rc ? rc : ib_output_check(output, &adapter, 1, NULL, err);
        if (!rc && !stat(output, &st) && known(b, &st)) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "%s: is one of the inputs and would be lost; choose another directory", output);
        }
    }
    return rc;
}

/* ---- telling ---- */

static void tell_task(cli *c, task *t, bool kept) {
    const ib_encode_stats *s = &t->stats;
    t->told = true;
    if (t->code == IB_E_INTERRUPTED) {
        return;
    }
    if (t->code) {
        cli_warn(c, "%s", t->err.text);
        return;
    }
    if (s->damaged) {
        cli_warn(c, "%s: %d damaged parts left out; the first: %s", t->input, s->damaged, s->damage);
    }
    if (s->interlaced) {
        cli_status(c,
                   kept ? "%s: interlaced, and kept so"
                        : "%s: interlaced, deinterlaced (--deinterlace off keeps it)",
                   t->input);
    }
    if (s->no_guides) {
        cli_status(c, "%s: %s", t->input, s->no_guides);
    }
    char guides[64] = "";
    if (s->guides) {
        snprintf(guides, sizeof guides, ", %zu guides", s->guides);
    }
    if (s->unchanged) {
        cli_status(c, "%s: unchanged, %zu frames%s in %s", t->input, s->frames, guides, t->output);
    } else {
        cli_status(c, "%s: %zu frames%s, %zu cuts%s, %d x %d -> %s", t->input, s->frames,
                   s->kept ? " as they were" : "", s->cuts, guides, s->width, s->height, t->output);
    }
}

/* Lock held on entry and exit; let go while printing. */
static void tell_encode(cli *c, batch *b, double begun) {
    double all = 0, done = 0;
    size_t ended = 0, pictures = 0;
    for (size_t i = 0; i < b->n; i++) {
        task *t = &b->task[i];
        if (t->state == ENDED && !t->told) {
            pthread_mutex_unlock(&b->lock);
            tell_task(c, t, b->options.keep_interlaced);
            pthread_mutex_lock(&b->lock);
        }
        all += t->bytes;
        done += t->bytes * (t->state == ENDED ? 1 : t->state == RUNNING ? t->fraction : 0);
        ended += t->state == ENDED;
        pictures += t->pictures;
    }
    double seconds = ib_clock_seconds() - begun, part = done / all;
    double left = part > 0.01 && part < 1 && seconds > 1 ? seconds * (1 - part) / part : -1;
    char time_left[48] = "";
    if (left >= 0) {
        snprintf(time_left, sizeof time_left, ", %d:%02d left", (int)left / 60, (int)left % 60);
    }
    pthread_mutex_unlock(&b->lock);
    cli_progress(c, part, "%zu/%zu videos, %.0f %s/s%s", ended, b->n,
                 seconds > 0 ? (double)pictures / seconds : 0.0, b->guided ? "pictures" : "frames",
                 time_left);
    pthread_mutex_lock(&b->lock);
}

static int run_batch(cli *c, batch *b, int jobs, ib_error *err) {
    pthread_t *thread = calloc((size_t)jobs, sizeof *thread);
    int started = 0;
    if (!thread) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %d threads", jobs);
    }
    double begun = ib_clock_seconds();
    pthread_mutex_lock(&b->lock);
    while (started < jobs && !pthread_create(&thread[started], NULL, work_encode, b)) {
        started++;
        b->working++;
    }
    while (b->working) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&b->changed, &b->lock, &until);
        tell_encode(c, b, begun);
    }
    tell_encode(c, b, begun);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
    }
    free(thread);
    return started ? IB_OK : ib_fail(err, IB_E_MEMORY, "no thread could be started");
}

static int print_json(cli *c, const batch *b, const char *space_id) {
    json_t *list = json_array();
    for (size_t i = 0; i < b->n; i++) {
        const task *t = &b->task[i];
        const char *state = t->state != ENDED || t->code == IB_E_INTERRUPTED ? "interrupted"
                            : t->code                                        ? "failed"
                            : t->stats.unchanged                             ? "unchanged"
                                                                             : "encoded";
        json_t *o = json_object();
        json_object_set_new(o, "input", ib_json_text(t->input));
        json_object_set_new(o, "state", json_string(state));
        if (t->state == ENDED && !t->code) {
            json_object_set_new(o, "output", ib_json_text(t->output));
            json_object_set_new(o, "frames", json_integer((json_int_t)t->stats.frames));
            json_object_set_new(o, "cuts", json_integer((json_int_t)t->stats.cuts));
            json_object_set_new(o, "width", json_integer(t->stats.width));
            json_object_set_new(o, "height", json_integer(t->stats.height));
            json_object_set_new(o, "interlaced", json_integer((json_int_t)t->stats.interlaced));
            json_object_set_new(o, "damaged", json_integer(t->stats.damaged));
            json_object_set_new(o, "guides", json_integer((json_int_t)t->stats.guides));
            if (t->stats.guides) {
                json_object_set_new(o, "guide_windows", json_integer((json_int_t)t->stats.windows));
                json_object_set_new(o, "guide_model", ib_json_text(t->stats.guide_model));
            }
        } else if (t->code) {
            json_object_set_new(o, "error", ib_json_text(t->err.text));
        }
        json_array_append_new(list, o);
    }
    return cli_print_json(c, json_pack("{s:o, s:o}", "space", ib_json_text(space_id), "videos", list),
                          JSON_INDENT(2));
}

static int summary(cli *c, const batch *b, size_t bad) {
    size_t encoded = 0, unchanged = 0, frames = 0, guides = 0;
    const char *model = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const task *t = &b->task[i];
        if (t->state != ENDED || t->code == IB_E_INTERRUPTED) {
            continue;
        }
        bad += t->code != 0;
        encoded += !t->code && !t->stats.unchanged;
        unchanged += !t->code && t->stats.unchanged;
        frames += t->code ? 0 : t->stats.frames;
        guides += t->code ? 0 : t->stats.guides;
        model = !t->code && t->stats.guides ? t->stats.guide_model : model;
    }
    if (cli_prints_text(c)) {
        printf("%zu encoded, %zu unchanged, %zu failed; %zu frames in %s\n", encoded, unchanged, bad, frames,
               cli_shown(c, cli_text(c, "output")));
        if (model) {
            printf("%zu guides by %s\n", guides, cli_shown(c, model));
        }
    }
    return atomic_load(b->stop) ? CLI_INTERRUPTED : bad ? CLI_FAILED : CLI_DONE;
}

static int parse_encode(cli *c, ib_encode_options *o) {
    const char *fit = cli_text(c, "fit");
    ib_encode_defaults(o);
    cli_size(c, "size", &o->width, &o->height);
    o->every = (int)cli_int(c, "every");
    o->force = cli_flag(c, "force");
    o->overwrite = cli_flag(c, "overwrite");
    o->stop = cli_stop(c);
    o->fit = !strcmp(fit, "squash") ? IB_FIT_SQUASH : IB_FIT_CROP;
    if (o->width % 2 || o->height % 2) {
        return cli_usage(c, "--size needs even sides, not %dx%d", o->width, o->height);
    }
    int status = cli_keep_interlaced(c, &o->keep_interlaced), twice;
    if (status) {
        return status;
    }
    const char *gaps = cli_text(c, "guide-gaps");
    o->guide = cli_text(c, "guide");
    o->guide_windows = (int)cli_int(c, "guide-windows");
    if (!cli_gap_list(gaps, o->guide_gap, &o->guide_gaps, &twice)) {
        return twice
                   ? cli_usage(c, "--guide-gaps has %d twice in '%s'", twice, gaps)
                   : cli_usage(
                         c, "--guide-gaps must be numbers from 2 to %d between commas, at most %d, not '%s'",
                         IB_GUIDE_MAX_GAP, IB_ENCODE_GUIDE_GAPS, gaps);
    }
    if (!cli_text(c, "output")) {
        return cli_usage(c, "-o DIR is missing: where the latent files go");
    }
    return CLI_DONE;
}

/* Whether guides are made; what cannot make them is an error before anything is encoded. */
static int check_guide(cli *c, batch *b, ib_error *err) {
    const char *name = b->options.guide;
    ib_guide *g = NULL;
    bool sees = ib_space_resizes(b->space) && ib_space_input_of(b->space).floats;
    if (name ? !strcmp(name, IB_GUIDE_NONE) : !sees) {
        return IB_OK;
    }
    int rc = ib_guide_create(&g, b->space, name, 1, err);
    if (!rc) {
        b->guided = true;
        cli_status(c, "guides at gaps of %s frames by %s", cli_text(c, "guide-gaps"), ib_guide_model(g));
    }
    ib_guide_free(&g);
    return rc;
}

static int run_encode(cli *c) {
    batch b = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .stop = cli_stop(c)};
    ib_space *space = NULL;
    ib_space_options how;
    ib_error err = {0};
    size_t bad = 0;
    int status = parse_encode(c, &b.options);
    status = status ? status : cli_space_options(c, &how);
    if (status) {
        return status;
    }
    const char *dir = cli_text(c, "output");
    if (ib_space_open_with(&space, cli_text(c, "space"), &how, &err) || collect_encode(c, &b, &bad, &err) ||
        ib_mkdirs(dir, &err) || name_results(&b, dir, &err)) {
        status = cli_fail(c, &err);
        goto end;
    }
    b.space = space;
    if (check_outputs(c, &b, &err) || check_guide(c, &b, &err)) {
        status = cli_fail(c, &err);
        goto end;
    }
    if (*ib_space_remark(space)) {
        cli_status(c, "%s", ib_space_remark(space));
    }
    /* a space that gathers frames uses all threads for each batch */
    int threads = cli_threads(c), usual = ib_space_input_of(space).floats ? 1 : threads / 2;
    int jobs = cli_is_set(c, "jobs") ? (int)cli_int(c, "jobs") : usual;
    jobs = jobs > 8 && !cli_is_set(c, "jobs") ? 8 : jobs < 1 ? 1 : jobs;
    jobs = (size_t)jobs > b.n ? (int)b.n : jobs;
    b.options.threads = threads / jobs > 1 ? threads / jobs : 1;
    if (run_batch(c, &b, jobs, &err)) {
        status = cli_fail(c, &err);
        goto end;
    }
    cli_progress_end(c);
    int printed = cli_json(c) ? print_json(c, &b, ib_space_id(space)) : CLI_DONE;
    status = summary(c, &b, bad);
    status = status ? status : printed;
end:
    for (size_t i = 0; i < b.n; i++) {
        free(b.task[i].input);
        free(b.task[i].output);
    }
    free(b.task);
    ib_space_close(&space);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "DIR",
     .help = "directory for the latent files; created if needed"},
    {.name = "space",
     .kind = CLI_TEXT,
     .value = "SPACE",
     .initial = "patch",
     .help = "patch; clip:PATH: the weights of a CLIP model (safetensors file or folder); vae:PATH: the "
             "autoencoder of a diffusion model"},
    {.name = "size",
     .kind = CLI_SIZE,
     .value = "WxH",
     .min = 16,
     .max = 16384,
     .initial = "192x112",
     .help = "patch: frame size, even sides; portrait videos swap them"},
    {.name = "every",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 100000,
     .initial = "1",
     .help = "keep every Nth frame"},
    CLI_SPACE_OPTIONS,
    {.name = "guide",
     .kind = CLI_TEXT,
     .value = "ADAPTER",
     .help =
         "clip: the model that shows the tower what lies between keyframes: an adapter of the patch space "
         "(file), 'default', the one that comes with the program, 'prior', the untrained one, or 'none'; "
         "default: 'default', or 'prior' if there is none"},
    {.name = "guide-gaps",
     .kind = CLI_TEXT,
     .value = "N,N,...",
     .initial = "4,8,16",
     .help = "clip: gaps in frames for which guides are made"},
    {.name = "guide-windows",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1000000,
     .initial = "32",
     .help = "clip: windows with guides of a video, at each gap, at most, evenly spread"},
    CLI_DEINTERLACE,
    {.name = "jobs",
     .letter = 'j',
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 256,
     .help = "videos encoded at once; by default one per two threads, at most 8; clip: one"},
    {.name = "force", .letter = 'f', .kind = CLI_FLAG, .help = "encode again even if nothing has changed"},
    {.name = "overwrite",
     .kind = CLI_FLAG,
     .help = "also replace files of the same names that are not latent files"},
    {0}};

const cli_command cli_encode = {
    .name = "encode",
    .arguments = "VIDEO... -o DIR",
    .summary = "turn videos and pictures into latent files",
    .details = "Each input becomes DIR/NAME.h5; a directory stands for the videos and pictures in it. Inputs "
               "that share a name get longer ones (NAME.mp4.h5, FOLDER-NAME.mp4.h5). Latent files that were "
               "made from the same source with the same settings are kept. A file that cannot be read causes "
               "a warning; the others are still encoded, and the exit status is 1.",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_encode,
};
