/* inbetween retime: a video at another frame rate, or slower. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/json.h"
#include "cli/adapter_options.h"
#include "cli/cli.h"
#include "cli/picture_options.h"
#include "render/retime.h"
#include "render/timing.h"

typedef struct job {
    cli *c;
    double began;  /* ib_clock_seconds, of the first frame that this run made itself */
    int64_t first; /* its number */
} job;

static void on_progress(void *user, int64_t done, int64_t total) {
    job *j = user;
    double now = ib_clock_seconds();
    if (j->began == 0) {
        j->began = now;
        j->first = done;
    }
    double spent = now - j->began, rate = spent > 0 ? (double)(done - j->first) / spent : 0;
    if (rate > 0) {
        double left = (double)(total - done) / rate;
        cli_progress(j->c, (double)done / (double)total, "frame %lld of %lld, %.1f frames/s, %.0f s left",
                     (long long)done, (long long)total, rate, left);
    }
}

/* A number or a fraction, 30000/1001. < 0: neither. */
static double parse_rate(const char *text) {
    char *end = NULL;
    double fps = strtod(text, &end);
    if (end != text && *end == '/') {
        const char *rest = end + 1;
        double den = strtod(rest, &end);
        return end != rest && !*end && den > 0 ? fps / den : -1;
    }
    return end != text && !*end ? ib_rate_meant(fps) : -1;
}

/* 0, or the status of wrong usage. */
static int parse_retime(cli *c, ib_retime_options *o) {
    ib_retime_defaults(o);
    o->input = cli_arg(c, 0);
    o->output = cli_text(c, "output");
    o->trust = cli_trust(c);
    o->sharpness = cli_real(c, "sharpness");
    o->codec = cli_text(c, "codec");
    o->crf = cli_is_set(c, "crf") ? (int)cli_int(c, "crf") : -1;
    o->no_sound = cli_flag(c, "no-sound");
    o->overwrite = cli_flag(c, "overwrite");
    o->threads = cli_threads(c);
    o->stop = cli_stop(c);
    bool fps = cli_is_set(c, "fps"), slow = cli_is_set(c, "slow");
    if (!o->output) {
        return cli_usage(c, "-o CLIP is missing: where the clip goes, such as clip.mp4");
    }
    if (fps == slow) {
        return cli_usage(
            c, fps ? "--fps and --slow both say how the clip differs; give one"
                   : "--fps R or --slow X is missing: the new frame rate, or how many times as long");
    }
    o->adapter = cli_adapter(c, cli_text(c, "adapter"));
    if ((cli_is_set(c, "trust") || cli_is_set(c, "sharpness")) && !o->adapter) {
        return cli_usage(c, "--%s needs an adapter; --adapter says which",
                         cli_is_set(c, "trust") ? "trust" : "sharpness");
    }
    if (fps) {
        o->fps = parse_rate(cli_text(c, "fps"));
        if (!(o->fps >= 0.001 && o->fps <= 1000)) {
            return cli_usage(
                c, "--fps takes a number from 0.001 to 1000 or a fraction such as 30000/1001, not '%s'",
                cli_text(c, "fps"));
        }
    } else {
        o->slow = cli_real(c, "slow");
    }
    return cli_keep_interlaced(c, &o->keep_interlaced);
}

static void tell_carried(cli *c, const ib_carried *k) {
    if (*k->left_out) {
        cli_status(c, "left out: %s", k->left_out);
    }
}

static int print_retime(cli *c, const ib_retime_options *o, const ib_retime_summary *s, double seconds) {
    if (cli_prints_text(c)) {
        printf(
            "%s: %lld frames of %d x %d, %.2f s at %.6g frames a second: %lld made, %lld of the source, %lld "
            "repeated",
            cli_shown(c, o->output), (long long)s->frames, s->width, s->height, s->seconds, s->fps,
            (long long)s->made, (long long)s->passed, (long long)s->held);
        if (s->taken_up) {
            printf("; the first %lld of them from a run that was stopped", (long long)s->taken_up);
        }
        putchar('\n');
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j =
        json_pack("{s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:f}", "clip", ib_json_text(o->output),
                  "frames", (json_int_t)s->frames, "made", (json_int_t)s->made, "of_the_source",
                  (json_int_t)s->passed, "repeated", (json_int_t)s->held, "width", s->width, "height",
                  s->height, "fps", s->fps, "seconds", s->seconds, "rendered_in_seconds", seconds);
    if (j) {
        json_object_set_new(j, "source_frames", json_integer(s->source_frames));
        json_object_set_new(j, "source_repeats", json_integer(s->repeats));
        json_object_set_new(j, "cuts", json_integer(s->cuts));
        json_object_set_new(j, "streams_copied", json_integer(s->carried.copied));
        json_object_set_new(j, "streams_encoded", json_integer(s->carried.encoded));
        json_object_set_new(j, "left_out", json_string(s->carried.left_out));
        json_object_set_new(j, "taken_up", json_integer(s->taken_up));
    }
    if (j && o->adapter) {
        json_object_set_new(j, "adapter", ib_json_text(o->adapter));
    }
    return cli_print_json(c, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
}

static int run_retime(cli *c) {
    ib_retime_options o;
    ib_retime_summary summary;
    ib_error err = {0};
    job j = {.c = c};
    int status = parse_retime(c, &o);
    if (status) {
        return status;
    }
    o.progress = on_progress;
    o.user = &j;
    double began = ib_clock_seconds();
    int rc = ib_retime(&o, &summary, &err);
    cli_progress_end(c);
    if (rc) {
        return cli_fail(c, &err);
    }
    cli_tell_interlaced(c, summary.interlaced > 0, o.keep_interlaced);
    tell_carried(c, &summary.carried);
    if (summary.damaged) {
        cli_warn(c, "%d damaged packets or frames were passed over, the first: %s", summary.damaged,
                 summary.damage);
    }
    return print_retime(c, &o, &summary, ib_clock_seconds() - began);
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "CLIP",
     .help = "the clip; its ending selects the format: .mp4 .m4v .mov .mkv .webm, and without sound .gif "
             ".apng, NAME-%04d.png, DIR/"},
    {.name = "fps",
     .kind = CLI_TEXT,
     .value = "R",
     .help = "frames per second of the clip, which plays as long as the video: 60, 59.94 or 60000/1001"},
    {.name = "slow",
     .kind = CLI_REAL,
     .value = "X",
     .min = 1,
     .max = 100,
     .help = "play X times as long, at the video's frame rate; sound keeps its pitch"},
    {.name = "adapter",
     .letter = 'a',
     .kind = CLI_TEXT,
     .value = CLI_ADAPTER_VALUE,
     .help = CLI_ADAPTER_WORDS ". Without it: default"},
    CLI_TRUST,
    CLI_SHARPNESS("1"),
    CLI_DEINTERLACE,
    {.name = "no-sound", .kind = CLI_FLAG, .help = "leave the sound out"},
    CLI_CLIP,
    {0}};

const cli_command cli_retime = {
    .name = "retime",
    .arguments = "VIDEO -o CLIP --fps R | --slow X",
    .summary = "change a video's frame rate, or slow it down",
    .details =
        "Frames of the video whose time is also one of the clip's are passed on as they are; the others are "
        "made between the two around them, by the adapter. Cuts "
        "stay cuts, and still pictures stay still. Size, shape of samples, rotation, colour and tags are "
        "kept. With --fps sound and subtitles are copied, with --slow they are stretched.\n\nA run that was "
        "stopped or killed is kept in a hidden folder, .CLIP.resume, and the same command continues it. A "
        "clip of the same name is replaced once the new one is complete; the video itself never is.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_retime,
};
