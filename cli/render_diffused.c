/* inbetween render --renderer: a clip by the user's diffusion model. */
#include "cli/render_diffused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/model_path.h"
#include "base/json.h"
#include "cli/adapter_options.h"
#include "cli/model_parts.h"
#include "cli/picture_options.h"
#include "cli/render_embeddings.h"
#include "diffusion/diffusion.h"
#include "render/diffused.h"

static const char text_mark[] = "text:";

int cli_check_diffused(cli *c) {
    static const cli_option own[] = {CLI_DIFFUSED_OPTIONS, {0}};
    for (const cli_option *o = own; !cli_is_set(c, "renderer") && o->name; o++) {
        if (cli_is_set(c, o->name)) {
            return cli_usage(c, "--%s needs --renderer PATH, the diffusion model", o->name);
        }
    }
    return CLI_DONE;
}

static void on_progress(void *user, const ib_diffused_progress *p) {
    double all = (double)(p->evaluate ? p->evaluate : 1);
    if (p->left_seconds < 0) {
        cli_progress(user, 0, "step 0 of %zu", p->evaluate);
    } else {
        cli_progress(user, (double)p->evaluated / all, "step %zu of %zu, %.0f s left", p->evaluated,
                     p->evaluate, p->left_seconds);
    }
}

static int choose_condition(cli *c, ib_led_by *by) {
    static const struct {
        const char *word;
        ib_led_by by;
    } words[] = {{"prompt", IB_LED_BY_PROMPT}, {"image", IB_LED_BY_IMAGE}, {"both", IB_LED_BY_BOTH}};
    const char *word = cli_text(c, "condition");
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++) {
        if (!strcmp(word, words[i].word)) {
            *by = words[i].by;
            return CLI_DONE;
        }
    }
    return word ? cli_usage(c, "--condition is prompt, image or both, not '%s'", word) : CLI_DONE;
}

static int choose_level(cli *c, int *level) {
    const char *word = cli_text(c, "noise-level");
    char *end = NULL;
    if (!word) {
        return CLI_DONE;
    }
    long v = strcmp(word, "none") != 0 ? strtol(word, &end, 10) : -1;
    if (end && (end == word || *end || v < 0 || v > 999)) {
        return cli_usage(c, "--noise-level is none or a number from 0 to 999, not '%s'", word);
    }
    *level = (int)v;
    return CLI_DONE;
}

static int translate(cli *c, const ib_movie_options *clip, ib_diffused_options *o) {
    const char *noise = cli_text(c, "noise");
    int status = cli_embeddings_options(c, clip, &o->way);
    if (status) {
        return status;
    }
    if (o->way.n_preview) {
        return cli_usage(c, "--preview-from shows footage, and --renderer makes pictures; give one");
    }
    o->inverted = !strcmp(noise, "inverted");
    if (!o->inverted && strcmp(noise, "shared") != 0) {
        return cli_usage(c, "--noise is shared or inverted, not '%s'", noise);
    }
    if (o->inverted && cli_is_set(c, "strength")) {
        return cli_usage(c, "--strength is for starts from the pixel model, and with --noise inverted frames "
                            "start from noise alone");
    }
    o->renderer = cli_text(c, "renderer");
    o->ip_adapter = cli_text(c, "ip-adapter");
    o->ip_scale = cli_real(c, "ip-scale");
    o->n_lora = cli_list(c, "lora", &o->lora);
    o->prompt = cli_text(c, "prompt");
    o->negative_prompt = cli_text(c, "negative-prompt");
    o->steps = cli_is_set(c, "steps") ? (int)cli_int(c, "steps") : 0;
    o->sampler = cli_text(c, "sampler");
    o->prediction = cli_text(c, "prediction");
    o->spacing = cli_text(c, "spacing");
    o->guidance = cli_is_set(c, "guidance") ? cli_real(c, "guidance") : -1;
    o->seed = (uint64_t)cli_int(c, "seed");
    o->seeds = (int)cli_int(c, "seeds");
    o->seeds_judge = o->seeds > 1 ? cli_text(c, "judge") : NULL;
    o->strength = cli_real(c, "strength");
    o->every = (int)cli_int(c, "diffuse-every");
    o->vae = cli_text(c, "vae");
    o->direct = cli_flag(c, "direct");
    o->draft = cli_flag(c, "draft");
    o->pixels = cli_adapter(c, NULL);
    o->progress_diffused = on_progress;
    status = choose_level(c, &o->noise_level);
    return status ? status : choose_condition(c, &o->condition);
}

static int print_result(cli *c, const ib_diffused_options *o, const ib_diffused_summary *s, double seconds) {
    if (cli_prints_text(c)) {
        printf("%s: %lld frames of %d x %d, %.2f s at %g frames a second; %lld diffused with %d steps of %s",
               cli_shown(c, o->way.output), (long long)s->frames, s->width, s->height, s->seconds, o->way.fps,
               (long long)(s->diffused + s->taken_up), s->steps, s->sampler);
        if (s->taken_up) {
            printf(", %lld of them in a run that was stopped", (long long)s->taken_up);
        }
        if (o->seeds > 1) {
            printf("; seed %llu, the best of %d", (unsigned long long)s->seed, o->seeds);
        }
        putchar('\n');
    }
    if (!cli_json(c)) {
        return CLI_DONE;
    }
    json_t *j = json_pack("{s:o, s:I, s:i, s:i, s:f, s:f, s:f}", "clip", ib_json_text(o->way.output),
                          "frames", (json_int_t)s->frames, "width", s->width, "height", s->height, "fps",
                          o->way.fps, "seconds", s->seconds, "rendered_in_seconds", seconds);
    if (j) {
        json_object_set_new(j, "taken_up", json_integer(s->taken_up));
        json_object_set_new(j, "diffused", json_integer(s->diffused));
        json_object_set_new(j, "steps", json_integer(s->steps));
        json_object_set_new(j, "sampler", json_string(s->sampler));
        json_object_set_new(j, "seed", json_integer((json_int_t)s->seed));
        if (o->seeds > 1) {
            json_object_set_new(j, "seeds", json_integer(o->seeds));
            json_object_set_new(j, "agreement", json_real(s->agreement));
        }
        json_object_set_new(j, "renderer", ib_json_text(o->renderer));
    }
    return cli_print_json(c, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
}

/* The space that was named. text:PATH stands for the model's own text encoder, which is no space of
 * embeddings. */
static int open_space(cli *c, const ib_movie_options *clip, ib_diffused_options *o, ib_space **space) {
    const char *name = cli_text(c, "space");
    if (!name || strncmp(name, text_mark, sizeof text_mark - 1) != 0) {
        ib_error err = {0};
        bool hidden = false;
        if (o->ip_adapter && ib_diffusion_wants_hidden(o->ip_adapter, &hidden, &err)) {
            return cli_fail(c, &err);
        }
        return name ? cli_open_way_space(c, clip, hidden, space) : CLI_DONE;
    }
    if (strcmp(name + sizeof text_mark - 1, cli_text(c, "renderer")) != 0) {
        return cli_usage(c,
                         "--space %s: prompts are read by the renderer's own text encoder, which is "
                         "--space text:%s",
                         name, cli_text(c, "renderer"));
    }
    if (o->condition & IB_LED_BY_IMAGE) {
        return cli_usage(c, "--condition %s needs image embeddings, and --space %s has none",
                         cli_text(c, "condition"), name);
    }
    o->condition = IB_LED_BY_PROMPT;
    return CLI_DONE;
}

/* Paths that stand for names, and what lies ready in the model's folder. */
typedef struct found {
    char *renderer, *ip_adapter, *vae, *lora, *adapter;
    const char *loras[1];
} found;

static int find_path(const char **name, char **own, ib_error *err) {
    int rc = *name ? ib_model_path(own, *name, NULL, err) : IB_OK;
    *name = *own ? *own : *name;
    return rc;
}

static int find_paths(ib_diffused_options *o, found *f, ib_error *err) {
    bool word = o->vae && (!strcmp(o->vae, "full") || !strcmp(o->vae, "tiny"));
    int rc = find_path(&o->renderer, &f->renderer, err);
    rc = rc ? rc : find_path(&o->ip_adapter, &f->ip_adapter, err);
    return rc || word ? rc : find_path(&o->vae, &f->vae, err);
}

/* What was not named and lies ready in the model's folder. */
static void take_parts(cli *c, ib_diffused_options *o, found *f) {
    if (!o->ip_adapter && cli_clip_path(c) && o->condition != IB_LED_BY_PROMPT) {
        bool hidden = !strcmp(cli_text(c, "tokens"), "penultimate");
        f->ip_adapter =
            cli_model_part(o->renderer, hidden ? "ip-adapter-plus.safetensors" : "ip-adapter.safetensors");
        o->ip_adapter = f->ip_adapter;
    }
    if (o->draft && !o->n_lora && !o->sampler) {
        f->lora = cli_model_part(o->renderer, "lcm-lora.safetensors");
        if (f->lora) {
            f->loras[0] = f->lora;
            o->lora = f->loras;
            o->n_lora = 1;
            o->sampler = "lcm";
        }
    }
}

/* All CLIPs read prompts by one vocabulary: that of the image tower serves a model that came without. NULL:
 * there is none. The caller frees. */
static char *tower_tokenizer(cli *c) {
    static const char *const places[] = {"vocab.json", "tokenizer.json", "tokenizer/vocab.json",
                                         "tokenizer/tokenizer.json"};
    const char *clip = cli_clip_path(c);
    for (size_t i = 0; clip && i < sizeof places / sizeof *places; i++) {
        char *file = ib_join(clip, places[i]);
        if (file && ib_is_file(file)) {
            *strrchr(file, '/') = 0;
            return file;
        }
        free(file);
    }
    return NULL;
}

int cli_render_diffused(cli *c, const ib_movie_options *clip) {
    char *tokenizer = cli_text(c, "tokenizer") ? NULL : tower_tokenizer(c);
    ib_diffused_options o;
    ib_diffused_summary s;
    ib_space *space = NULL;
    found f = {0};
    ib_error err = {0};
    double began = ib_clock_seconds();
    ib_diffused_defaults(&o);
    o.tokenizer = tokenizer ? tokenizer : cli_text(c, "tokenizer");
    int status = translate(c, clip, &o);
    if (!status && find_paths(&o, &f, &err)) {
        status = cli_fail(c, &err);
    }
    if (!status) {
        take_parts(c, &o, &f);
    }
    status = status ? status : open_space(c, clip, &o, &space);
    o.way.space = space;
    status = status ? status : cli_space_adapter(c, space, &o.way.adapter, &f.adapter);
    if (!status) {
        int rc = ib_render_diffused(&o, &s, &err);
        cli_progress_end(c);
        status = rc ? cli_fail(c, &err) : print_result(c, &o, &s, ib_clock_seconds() - began);
    }
    ib_space_close(&space);
    free(f.renderer);
    free(f.ip_adapter);
    free(f.vae);
    free(f.lora);
    free(f.adapter);
    free(tokenizer);
    return status;
}
