/* inbetween render in spaces without a decoder: embeddings out, or a preview of them. */
#include "cli/render_embeddings.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/model_parts.h"
#include "cli/picture_options.h"
#include "cli/search_options.h"
#include "cli/space_options.h"
#include "render/decoded.h"
#include "render/embeddings.h"

static bool is_prompt(const char *keyframe) {
    return !strncmp(keyframe, "text:", 5);
}

static bool is_latent(const char *keyframe) {
    const char *end = strstr(keyframe, ".h5");
    return end && (end[3] == 0 || end[3] == '@') && !is_prompt(keyframe);
}

bool cli_wants_embeddings(cli *c, const ib_movie_options *o) {
    const char *space = cli_text(c, "space");
    bool wants = (space && !ib_space_is_pictures(space)) || ib_embeddings_name(o->output) ||
                 cli_is_set(c, "preview-from") || cli_is_set(c, "modality-gap");
    for (size_t i = 0; i < o->n_keyframes; i++) {
        wants |= is_prompt(o->keyframes[i]) || is_latent(o->keyframes[i]);
    }
    return wants;
}

static void on_progress(void *user, const char *stage, double fraction) {
    cli_progress(user, fraction, "%s", stage);
}

static void on_message(void *user, const char *sentence) {
    static const char mark[] = "warning: ";
    if (!strncmp(sentence, mark, sizeof mark - 1)) {
        cli_warn(user, "%s", sentence + sizeof mark - 1);
    } else {
        cli_status(user, "%s", sentence);
    }
}

static int print_result(cli *c, const ib_embeddings_options *o, const ib_embeddings_summary *s) {
    bool preview = o->n_preview > 0;
    if (cli_prints_text(c)) {
        const char *output = cli_shown(c, o->output);
        if (preview) {
            printf("%s: %zu frames of %d x %d, the nearest of %zu frames of footage (%zu different ones); "
                   "cosine %.3f on "
                   "average, %.3f at least\n",
                   output, s->rows, s->width, s->height, s->footage_frames, s->shown, s->mean_cosine,
                   s->least_cosine);
        } else if (s->shape.tokens == 1) {
            printf("%s: image_embeds [%zu, %zu]\n", output, s->rows, s->shape.width);
        } else {
            printf("%s: hidden_states [%zu, %zu, %zu]\n", output, s->rows, s->shape.tokens, s->shape.width);
        }
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j =
        json_pack("{s:o, s:I, s:I, s:I, s:I, s:f}", preview ? "clip" : "embeddings", ib_json_text(o->output),
                  "frames", (json_int_t)s->rows, "tokens", (json_int_t)s->shape.tokens, "width",
                  (json_int_t)s->shape.width, "prompts", (json_int_t)s->prompts, "fps", o->fps);
    if (j) {
        json_object_set_new(j, "guide", *s->guide ? ib_json_text(s->guide) : json_null());
        json_object_set_new(j, "guided_ways", json_integer((json_int_t)s->guided));
    }
    if (j && preview) {
        json_object_set_new(j, "footage_frames", json_integer((json_int_t)s->footage_frames));
        json_object_set_new(j, "shown", json_integer((json_int_t)s->shown));
        json_object_set_new(j, "mean_cosine", json_real(s->mean_cosine));
        json_object_set_new(j, "least_cosine", json_real(s->least_cosine));
    }
    return cli_print_json(c, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
}

static int print_clip(cli *c, const ib_embeddings_options *o, const ib_embeddings_summary *s) {
    if (cli_prints_text(c)) {
        printf("%s: %zu frames of %d x %d, %.2f s at %g frames a second, decoded\n", cli_shown(c, o->output),
               s->rows, s->width, s->height, (double)s->rows / o->fps, o->fps);
    }
    return cli_json(c) ? cli_print_json(c,
                                        json_pack("{s:o, s:I, s:i, s:i, s:f}", "clip",
                                                  ib_json_text(o->output), "frames", (json_int_t)s->rows,
                                                  "width", s->width, "height", s->height, "fps", o->fps),
                                        JSON_INDENT(2) | JSON_REAL_PRECISION(6))
                       : CLI_DONE;
}

/* In a space that decodes. */
static int render_clip(cli *c, const ib_embeddings_options *o) {
    ib_embeddings_summary s;
    ib_error err = {0};
    if (o->n_preview || o->modality_gap || o->guide || o->search.candidates) {
        return cli_usage(
            c, "--preview-from, --modality-gap, --guide and --search are for spaces without pictures");
    }
    int rc = ib_render_decoded(o, &s, &err);
    cli_progress_end(c);
    if (rc) {
        return cli_fail(c, &err);
    }
    cli_tell_interlaced(c, s.interlaced, o->keep_interlaced);
    return print_clip(c, o, &s);
}

int cli_embeddings_options(cli *c, const ib_movie_options *clip, ib_embeddings_options *o) {
    ib_embeddings_defaults(o);
    o->keyframes = clip->keyframes;
    o->n_keyframes = clip->n_keyframes;
    o->output = clip->output;
    o->adapter = clip->adapter;
    o->trust = clip->trust;
    o->guide = cli_text(c, "guide");
    o->guide_scale = cli_real(c, "guide-scale");
    o->modality_gap = cli_text(c, "modality-gap");
    o->frames = clip->frames;
    o->fps = clip->fps;
    o->gap_seconds = clip->gap_seconds;
    o->ease = clip->ease;
    o->loop = clip->loop;
    o->overwrite = clip->overwrite;
    o->n_preview = cli_list(c, "preview-from", &o->preview_from);
    o->preview_every = (int)cli_int(c, "preview-every");
    o->width = clip->width;
    o->height = clip->height;
    o->codec = clip->codec;
    o->crf = clip->crf;
    o->threads = clip->threads;
    o->keep_interlaced = clip->keep_interlaced;
    o->stop = clip->stop;
    o->progress = on_progress;
    o->message = on_message;
    o->user = c;
    int status = cli_search_options(c, cli_int(c, "seeds") > 1, &o->search);
    if (status) {
        return status;
    }
    return clip->compare ? cli_usage(c, "--compare puts pictures beside each other, and this space has none")
                         : CLI_DONE;
}

int cli_open_way_space(cli *c, const ib_movie_options *clip, bool hidden, ib_space **space) {
    const char *name = cli_text(c, "space");
    ib_space_options how;
    ib_error err = {0};
    int status = cli_space_options(c, &how);
    if (hidden && !cli_is_set(c, "tokens")) {
        how.tokens = IB_TOKENS_PENULTIMATE;
    }
    for (size_t i = 0; !status && i < clip->n_keyframes && (!name || ib_space_is_pictures(name)); i++) {
        if (is_prompt(clip->keyframes[i])) {
            ib_fail(&err, IB_E_UNSUPPORTED,
                    "'%.200s': a prompt needs a space that reads text, with the model's weights: --space "
                    "clip:PATH",
                    clip->keyframes[i]);
            return cli_fail(c, &err);
        }
    }
    if (!status && name && ib_space_open_with(space, name, &how, &err)) {
        status = cli_fail(c, &err);
    }
    if (*space && *ib_space_remark(*space)) {
        cli_status(c, "%s", ib_space_remark(*space));
    }
    return status;
}

int cli_render_embeddings(cli *c, const ib_movie_options *clip) {
    ib_embeddings_options o;
    ib_embeddings_summary s;
    ib_space *space = NULL;
    char *adapter = NULL;
    ib_error err = {0};
    int status = cli_embeddings_options(c, clip, &o);
    if (!status && cli_space_check_output(c, o.output, &err)) {
        status = cli_fail(c, &err);
    }
    status = status ? status : cli_open_way_space(c, clip, false, &space);
    o.space = space;
    status = status ? status : cli_space_adapter(c, space, &o.adapter, &adapter);
    if (!status && space && ib_space_decodes(space) && !ib_embeddings_name(o.output)) {
        status = render_clip(c, &o);
    } else if (!status && ib_render_embeddings(&o, &s, &err)) {
        cli_progress_end(c);
        status = cli_fail(c, &err);
    } else if (!status) {
        cli_progress_end(c);
        if (s.prompts && s.prompts < o.n_keyframes && !o.modality_gap) {
            cli_status(
                c, "prompts and pictures lie apart in this space; --modality-gap FILE brings them together "
                   "(inbetween modality-gap)");
        }
        cli_tell_interlaced(c, s.interlaced, o.keep_interlaced);
        status = print_result(c, &o, &s);
        if (s.ended) {
            cli_warn(c, "the search was ended early: what it had not reached is the adapter's own answer");
        }
        status = !status && s.ended && atomic_load(cli_stop(c)) ? CLI_INTERRUPTED : status;
    }
    ib_space_close(&space);
    free(adapter);
    return status;
}
