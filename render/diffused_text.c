#include "render/diffused_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "render/keyframes.h"

#ifndef IB_VERSION
#define IB_VERSION "unknown"
#endif

const char **ib_diffused_inputs(const ib_diffused_options *o, size_t *n) {
    const char **list = calloc(o->way.n_keyframes + 8, sizeof *list);
    *n = 0;
    for (size_t i = 0; list && i < o->way.n_keyframes; i++) {
        list[(*n)++] = o->way.keyframes[i];
    }
    if (list) {
        list[(*n)++] = o->way.adapter;
        list[(*n)++] = o->way.modality_gap;
        list[(*n)++] = o->way.guide;
        list[(*n)++] = o->way.search.judge;
        list[(*n)++] = o->seeds_judge;
        list[(*n)++] = o->renderer;
        list[(*n)++] = o->ip_adapter;
        list[(*n)++] = o->vae;
    }
    return list;
}

char *ib_diffused_folder_name(const char *output) {
    static const char more[] = "diffused";
    size_t n = strlen(output);
    char *name = malloc(n + sizeof more + 1);
    if (!name) {
        return NULL;
    }
    memcpy(name, output, n + 1);
    while (n > 1 && name[n - 1] == '/') {
        name[--n] = 0;
    }
    if (output[n] == '/' || (n > 4 && !strcmp(name + n - 4, ".png"))) {
        name[n] = '.';
        memcpy(name + n + 1, more, sizeof more);
    }
    return name;
}

void ib_diffused_key(ib_key *k, const ib_diffused_options *o, int width, int height) {
    const ib_embeddings_options *w = &o->way;
    ib_key_add(k, "diffused " IB_VERSION " space %s pixels %s\n", w->space ? ib_space_id(w->space) : "",
               o->pixels ? o->pixels : "");
    ib_key_add(k, "%d frames %.17g fps %.17g s size %dx%d ease %d loop %d trust %.17g interlaced %d\n",
               w->frames, w->fps, w->gap_seconds, width, height, w->ease, w->loop, w->trust,
               w->keep_interlaced);
    ib_key_add(k, "guide %.17g search %zu beam %zu condense %zu seconds %.17g seed %llu\n", w->guide_scale,
               w->search.candidates, w->search.beam, w->search.condense, w->search.seconds,
               (unsigned long long)w->search.seed);
    ib_key_add(k,
               "ip %.17g sampler %s steps %d guidance %.17g seed %llu condition %d strength %.17g every %d "
               "level %d inverted %d direct %d\n",
               o->ip_scale, o->sampler ? o->sampler : "", o->steps, o->guidance, (unsigned long long)o->seed,
               (int)o->condition, o->strength, o->every, o->noise_level, o->inverted, o->direct);
    ib_key_add(k, "prediction %s spacing %s tokenizer %s\n", o->prediction ? o->prediction : "",
               o->spacing ? o->spacing : "", o->tokenizer ? o->tokenizer : "");
    ib_key_add(k, "prompt %zu %s\nnegative %zu %s\n", o->prompt ? strlen(o->prompt) : 0,
               o->prompt ? o->prompt : "", o->negative_prompt ? strlen(o->negative_prompt) : 0,
               o->negative_prompt ? o->negative_prompt : "");
    for (size_t i = 0; i < o->n_lora; i++) {
        ib_key_add(k, "lora %s\n", o->lora[i]);
        ib_key_add_input(k, o->lora[i]);
    }
}

void ib_diffused_time(char *text, size_t bytes, double seconds) {
    if (seconds < 100) {
        snprintf(text, bytes, "%.0f s", seconds > 1 ? seconds : 1);
    } else if (seconds < 6000) {
        snprintf(text, bytes, "%.0f min", seconds / 60);
    } else {
        snprintf(text, bytes, "%.1f hours", seconds / 3600);
    }
}

/* ", NAME SHA-256: HEX" of a file, if there is one. */
static int add_sum(ib_key *t, const char *name, const char *path, ib_error *err) {
    char hex[65];
    int rc = path ? ib_sha256_file(path, hex, err) : IB_OK;
    if (!rc && path) {
        ib_key_add(t, ", %s SHA-256: %s", name, hex);
    }
    return rc;
}

int ib_diffused_describe(char **text, const ib_diffused_options *o, const ib_diffusing_about *about,
                         int width, int height, ib_error *err) {
    ib_key t = {0};
    const char *first = NULL;
    for (size_t i = 0; !o->prompt && i < o->way.n_keyframes; i++) {
        const char *key = o->way.keyframes[i];
        if (ib_key_kind_of(key) == IB_KEY_PROMPT) {
            ib_key_add(&t, "%s%s", first ? " -> " : "", ib_key_prompt(key));
            first = key;
        }
    }
    ib_key_add(&t, "%s\n", o->prompt ? o->prompt : "");
    if (o->negative_prompt) {
        ib_key_add(&t, "Negative prompt: %s\n", o->negative_prompt);
    }
    ib_key_add(&t, "Steps: %d, Sampler: %s, CFG scale: %g, Seed: %llu, Size: %dx%d, Model: %s", about->steps,
               about->sampler, about->guidance, (unsigned long long)o->seed, width, height,
               ib_basename(o->renderer));
    if (o->inverted) {
        ib_key_add(&t, ", Noise: inverted");
    } else {
        ib_key_add(&t, ", Denoising strength: %g", o->strength);
    }
    int rc = add_sum(&t, "Model", about->weights, err);
    rc = rc ? rc : add_sum(&t, "Adapter", o->way.adapter, err);
    rc = rc ? rc : add_sum(&t, "IP-Adapter", o->ip_adapter, err);
    ib_key_add(&t, ", Version: inbetween " IB_VERSION);
    rc = rc || !t.failed ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for the clip's description");
    if (rc) {
        ib_key_free(&t);
    }
    *text = t.text;
    return rc;
}
