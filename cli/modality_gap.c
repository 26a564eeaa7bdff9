/* inbetween modality-gap: how far a space's text side lies from its image side, for render --modality-gap. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "base/json.h"
#include "base/output.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/space_options.h"
#include "latent/latent_file.h"
#include "render/modality_gap.h"

enum { LONGEST_LIST = 16 << 20 };

/* Lines of a text file, without blank ones and without a byte order mark. */
static int read_lines(const char *path, ib_paths *lines, ib_error *err) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, all = 0;
    ssize_t n;
    int rc = IB_OK;
    bool first = true;
    if (!f) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    while (!rc && (n = getline(&line, &room, f)) >= 0) {
        size_t mark = first ? ib_text_bom(line, (size_t)n) : 0;
        n -= (ssize_t)mark;
        memmove(line, line + mark, (size_t)n + 1);
        first = false;
        while (n > 0 && strchr(" \t\r\n", line[n - 1])) {
            line[--n] = 0;
        }
        all += (size_t)n;
        if (all > LONGEST_LIST || strlen(line) != (size_t)n) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: a text file with one prompt on each line was expected", path);
        } else if (n) {
            rc = ib_paths_add(lines, line, err);
        }
    }
    if (!rc && ferror(f)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (!rc && !lines->n) {
        rc = ib_fail(err, IB_E_EMPTY, "%s: there is no prompt in it; one on each line was expected", path);
    }
    free(line);
    fclose(f);
    return rc;
}

static void on_progress(void *user, double fraction) {
    cli_progress(user, fraction, "measuring");
}

static int print_result(cli *c, const char *output, const ib_modality_gap *g) {
    if (cli_prints_text(c)) {
        printf("%s: %lld videos (%lld frames) and %lld prompts; mean norm %.4g of pictures and %.4g of "
               "prompts, cosine %.3f "
               "between the means, %.4g apart\n",
               cli_shown(c, output), (long long)g->videos, (long long)g->frames, (long long)g->prompts,
               g->image_norm, g->text_norm, ib_modality_gap_cosine(g), ib_modality_gap_length(g));
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j = json_pack("{s:o, s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "modality_gap",
                          ib_json_text(output), "space", ib_json_text(g->space_id), "videos",
                          (json_int_t)g->videos, "frames", (json_int_t)g->frames, "prompts",
                          (json_int_t)g->prompts, "image_norm", g->image_norm, "text_norm", g->text_norm,
                          "cosine", ib_modality_gap_cosine(g), "length", ib_modality_gap_length(g));
    return cli_print_json(c, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
}

/* The gap is none of the files that it is measured on. */
static int check_output(const cli *c, ib_error *err) {
    const char *output = cli_text(c, "output"), *prompts = cli_text(c, "prompts");
    int rc = cli_space_check_output(c, output, err);
    rc = rc ? rc : ib_output_check(output, &prompts, 1, NULL, err);
    for (size_t i = 0; !rc && i < cli_arg_count(c); i++) {
        const char *latents = cli_arg(c, i);
        rc = ib_output_check(output, &latents, 1, ib_is_latent_name, err);
    }
    return rc ? rc : ib_st_check_replace(output, err);
}

/* *status: that of printing. */
static int measure(cli *c, const ib_space *space, const ib_paths *prompts, int *status, ib_error *err) {
    ib_paths latents = {0};
    ib_modality_gap g = {0};
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < cli_arg_count(c); i++) {
        rc = ib_paths_add(&latents, cli_arg(c, i), err);
    }
    rc = rc ? rc
            : ib_modality_gap_measure(&g, space, &latents, (const char *const *)prompts->v, prompts->n,
                                      cli_stop(c), on_progress, c, err);
    rc = rc ? rc : ib_modality_gap_save(&g, cli_text(c, "output"), err);
    cli_progress_end(c);
    if (!rc) {
        *status = print_result(c, cli_text(c, "output"), &g);
    }
    ib_modality_gap_free(&g);
    ib_paths_free(&latents);
    return rc;
}

static int run_modality_gap(cli *c) {
    ib_paths prompts = {0};
    ib_space_options how;
    ib_space *space = NULL;
    ib_error err = {0};
    int status = cli_space_options(c, &how);
    if (!status && (!cli_text(c, "output") || !cli_text(c, "space") || !cli_text(c, "prompts"))) {
        status = cli_usage(c, "-o FILE, --space clip:PATH and --prompts FILE are needed");
    }
    if (!status && (check_output(c, &err) || read_lines(cli_text(c, "prompts"), &prompts, &err) ||
                    ib_space_open_with(&space, cli_text(c, "space"), &how, &err) ||
                    measure(c, space, &prompts, &status, &err))) {
        status = cli_fail(c, &err);
    }
    ib_space_close(&space);
    ib_paths_free(&prompts);
    return status;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .value = "FILE",
     .help = "the file to write, NAME.safetensors"},
    {.name = "space",
     .letter = 's',
     .kind = CLI_TEXT,
     .value = "SPACE",
     .help = "clip:PATH: the weights that the latent files were made with"},
    {.name = "prompts",
     .letter = 'p',
     .kind = CLI_TEXT,
     .value = "FILE",
     .help = "text file with one prompt per line, of the kind that would describe such pictures"},
    CLI_SPACE_OPTIONS,
    {0}};

const cli_command cli_modality_gap = {
    .name = "modality-gap",
    .arguments = "LATENTS... -s SPACE -p PROMPTS -o FILE",
    .summary = "measure how far a space's prompts lie from its pictures",
    .details = "Prompts and pictures share a space, but their embeddings lie in two separate cones. This "
               "command measures the difference of the two means, over LATENTS (files made by 'inbetween "
               "encode --space clip:PATH', or directories of them; every video counts the same) and over the "
               "prompts. 'inbetween render --modality-gap FILE' adds it to the embeddings of prompts.",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_modality_gap,
};
