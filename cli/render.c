/* inbetween render: keyframes in, a clip out. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/adapter_options.h"
#include "cli/cli.h"
#include "cli/picture_options.h"
#include "cli/render_diffused.h"
#include "cli/render_embeddings.h"
#include "cli/search_options.h"
#include "cli/space_options.h"
#include "render/movie.h"

typedef struct job {
    cli *c;
    double began; /* ib_clock_seconds */
} job;

static void on_progress(void *user, int64_t done, int64_t total) {
    job *j = user;
    double spent = ib_clock_seconds() - j->began, rate = spent > 0 ? (double)done / spent : 0;
    double left = rate > 0 ? (double)(total - done) / rate : 0;
    cli_progress(j->c, (double)done / (double)total, "frame %lld of %lld, %.1f frames/s, %.0f s left",
                 (long long)done, (long long)total, rate, left);
}

/* 0, or the status of wrong usage. */
static int choose_adapter(cli *c, ib_movie_options *o) {
    const char *word = cli_text(c, "adapter");
    bool diffused = cli_is_set(c, "renderer"), embeddings = diffused || cli_wants_embeddings(c, o);
    if (embeddings && word && !strcmp(word, IB_ADAPTER_PRIOR)) {
        return cli_usage(c, "--adapter prior is for pictures; for embeddings name a file of their space");
    }
    o->adapter = embeddings ? word : cli_adapter(c, word); /* cli_space_adapter goes on */
    bool leads = o->adapter && strcmp(o->adapter, IB_ADAPTER_NONE) != 0;
    if (cli_is_set(c, "trust") && !leads) {
        return cli_usage(c, "--trust needs an adapter; --adapter says which");
    }
    if (cli_is_set(c, "sharpness") && !leads) {
        return cli_usage(c, "--sharpness needs an adapter; --adapter says which");
    }
    if (cli_is_set(c, "guide") && !embeddings) {
        return cli_usage(c, "--guide is for spaces without pictures, such as --space clip:PATH");
    }
    if (cli_is_set(c, "guide-scale") && !embeddings) {
        return cli_usage(c, "--guide-scale is for spaces without pictures, such as --space clip:PATH");
    }
    if (cli_is_set(c, "search") && !embeddings) {
        return cli_usage(c, "--search is for spaces without pictures, such as --space clip:PATH");
    }
    if (o->compare && !leads) {
        return cli_usage(c, "--compare needs an adapter; --adapter says which");
    }
    return CLI_DONE;
}

/* 0, or the status of wrong usage. */
static int parse_render(cli *c, ib_movie_options *o, const char **keyframes) {
    ib_movie_defaults(o);
    o->n_keyframes = cli_arg_count(c);
    for (size_t i = 0; i < o->n_keyframes; i++) {
        keyframes[i] = cli_arg(c, i);
    }
    o->keyframes = keyframes;
    o->output = cli_text(c, "output");
    o->codec = cli_text(c, "codec");
    o->fps = cli_real(c, "fps");
    o->compare = cli_flag(c, "compare");
    o->trust = cli_trust(c);
    o->sharpness = cli_real(c, "sharpness");
    o->ease = cli_flag(c, "ease");
    o->loop = cli_flag(c, "loop");
    o->overwrite = cli_flag(c, "overwrite");
    o->threads = cli_threads(c);
    o->stop = cli_stop(c);
    cli_size(c, "size", &o->width, &o->height);
    o->crf = cli_is_set(c, "crf") ? (int)cli_int(c, "crf") : -1;
    o->gap_seconds = cli_is_set(c, "gap-seconds") ? cli_real(c, "gap-seconds") : 0;
    if (!o->output) {
        return cli_usage(c, "-o CLIP is missing: where the clip goes, such as clip.mp4");
    }
    if (cli_is_set(c, "frames") && cli_is_set(c, "seconds")) {
        return cli_usage(c,
                         "--frames and --seconds both say how long the way between keyframes is; give one");
    }
    int status = choose_adapter(c, o);
    if (status) {
        return status;
    }
    if (o->width % 2 || o->height % 2) {
        return cli_usage(c, "--size needs even sides, not %dx%d", o->width, o->height);
    }
    if ((status = cli_keep_interlaced(c, &o->keep_interlaced))) {
        return status;
    }
    double steps = round((cli_is_set(c, "seconds") ? cli_real(c, "seconds") : 1) * o->fps);
    if (steps > 999999) {
        return cli_usage(c, "%.0f frames between two keyframes are more than 1000000", steps);
    }
    o->frames = cli_is_set(c, "frames") ? (int)cli_int(c, "frames") : steps < 1 ? 2 : (int)steps + 1;
    return 0;
}

static int print_result(cli *c, const ib_movie_options *o, const ib_movie_summary *s, double seconds) {
    if (cli_prints_text(c)) {
        printf("%s: %lld frames of %d x %d, %.2f s at %g frames a second", cli_shown(c, o->output),
               (long long)s->frames, s->width, s->height, s->seconds, o->fps);
        if (s->taken_up) {
            printf(", the first %lld of them from a run that was stopped", (long long)s->taken_up);
        }
        putchar('\n');
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j = json_pack("{s:o, s:I, s:i, s:i, s:f, s:f, s:f}", "clip", ib_json_text(o->output), "frames",
                          (json_int_t)s->frames, "width", s->width, "height", s->height, "fps", o->fps,
                          "seconds", s->seconds, "rendered_in_seconds", seconds);
    if (j) {
        json_object_set_new(j, "taken_up", json_integer(s->taken_up));
    }
    if (j && o->adapter) {
        json_object_set_new(j, "adapter", ib_json_text(o->adapter));
    }
    return cli_print_json(c, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
}

static int run_render(cli *c) {
    ib_movie_options o;
    ib_movie_summary summary;
    ib_error err = {0};
    job j = {.c = c};
    const char **keyframes = calloc(cli_arg_count(c), sizeof *keyframes);
    if (!keyframes) {
        ib_fail(&err, IB_E_MEMORY, "out of memory for the list of keyframes");
        return cli_fail(c, &err);
    }
    int status = parse_render(c, &o, keyframes);
    status = status ? status : cli_check_diffused(c);
    if (!status && cli_is_set(c, "renderer")) {
        status = cli_render_diffused(c, &o);
    } else if (!status && cli_wants_embeddings(c, &o)) {
        status = cli_render_embeddings(c, &o);
    } else if (!status) {
        o.progress = on_progress;
        o.user = &j;
        j.began = ib_clock_seconds();
        if (ib_render_movie(&o, &summary, &err)) {
            cli_progress_end(c);
            status = cli_fail(c, &err);
        } else {
            cli_progress_end(c);
            cli_tell_interlaced(c, summary.interlaced, o.keep_interlaced);
            status = print_result(c, &o, &summary, ib_clock_seconds() - j.began);
        }
    }
    free(keyframes);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "CLIP",
     .help = "the clip; its ending selects the format: .mp4 .m4v .mov .mkv .webm .gif .apng, NAME-%04d.png, "
             "DIR/; in spaces without pictures NAME.safetensors, for embeddings"},
    {.name = "adapter",
     .letter = 'a',
     .kind = CLI_TEXT,
     .value = CLI_ADAPTER_VALUE,
     .help = CLI_ADAPTER_WORDS ". Without it: default, which for embeddings is what comes with --space"},
    {.name = "frames",
     .letter = 'n',
     .kind = CLI_INT,
     .value = "N",
     .min = 2,
     .max = 1000000,
     .help = "frames from one keyframe to the next, both counted: a clip of two keyframes has N frames"},
    {.name = "seconds",
     .kind = CLI_REAL,
     .value = "S",
     .min = 0,
     .max = 1000000,
     .help = "the same as a time (default: 1)"},
    {.name = "fps",
     .kind = CLI_REAL,
     .value = "R",
     .min = 0.001,
     .max = 1000,
     .initial = "24",
     .help = "frames per second"},
    CLI_TRUST,
    CLI_SHARPNESS("0.5"),
    {.name = "compare", .kind = CLI_FLAG, .help = "slerp on the left, the adapter on the right"},
    {.name = "loop", .kind = CLI_FLAG, .help = "return to FIRST at the end, for clips that repeat"},
    {.name = "ease", .kind = CLI_FLAG, .help = "start and end slowly at each keyframe"},
    {.name = "size",
     .kind = CLI_SIZE,
     .value = "WxH",
     .min = 16,
     .max = 16384,
     .help = "scale keyframes to this size and crop; without it they must all have one size. Previews: by "
             "default at most 640 px on the longer side"},
    {.name = "gap-seconds",
     .kind = CLI_REAL,
     .value = "S",
     .min = 0.001,
     .max = 100000,
     .help = "seconds between keyframes as the adapter sees them; by default as long as the clip takes"},
    {.name = "space",
     .letter = 's',
     .kind = CLI_TEXT,
     .value = "SPACE",
     .help = "patch (the default for pictures), or clip:PATH: the weights of a CLIP model; makes embeddings "
             "for a diffusion pipeline"},
    CLI_SPACE_OPTIONS,
    CLI_DEINTERLACE,
    {.name = "guide",
     .kind = CLI_TEXT,
     .value = CLI_ADAPTER_VALUE,
     .help =
         "clip: the pixel model whose pictures between the keyframes guide the adapter: the file that it was "
         "trained with, 'default', 'prior', or 'none' for no guides (default: that one, if it comes with the "
         "program)"},
    CLI_GUIDE_SCALE,
    {.name = "modality-gap",
     .kind = CLI_TEXT,
     .value = "FILE",
     .help = "clip: shift prompts towards pictures by this gap, measured by 'inbetween modality-gap'"},
    {.name = "preview-from",
     .kind = CLI_LIST,
     .value = "VIDEO",
     .several = true,
     .help = "clip: show, for each embedding, the nearest frame of these videos"},
    {.name = "preview-every",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1000000,
     .initial = "1",
     .help = "use only every Nth of their frames"},
    CLI_CLIP,
    CLI_DIFFUSED_OPTIONS,
    CLI_SEARCH,
    {0}};

const cli_command cli_render = {
    .name = "render",
    .arguments = "FIRST LAST [MORE...] -o CLIP",
    .summary = "make a clip between two or more keyframes",
    .details =
        "A keyframe is a picture, or a frame of a video named by its time: clip.mp4@1.5s. Three or more "
        "keyframes make one clip that passes through all of them. The keyframes appear in the clip "
        "unchanged. The frames between them come from the adapter, or, with --adapter none, from "
        "spherical interpolation. The clip has the size of the keyframes.\n\nA clip of the same name is "
        "replaced once "
        "the new one is complete; a keyframe is never replaced. A picture sequence that was stopped is kept "
        "in a hidden folder, .NAME.resume, and the same command continues it.\n\nWith --space clip:PATH, "
        "interpolation takes place in the space of a CLIP model, and keyframes may be prompts. The result is "
        "one embedding per frame, for a diffusion pipeline, or, with --preview-from, a clip of the nearest "
        "real frames:\n\n  inbetween render 'text:a ball' a.jpg --space clip:MODEL -o way.safetensors\n  "
        "inbetween render 'text:a ball' a.jpg --space clip:MODEL -o way.mp4 \\\n      --preview-from "
        "*.mp4\n\nA frame of a latent file, NAME.h5@1.5s, is a keyframe that needs no model weights.",
    .options = options,
    .min_args = 2,
    .max_args = 100000,
    .run = run_render,
};
