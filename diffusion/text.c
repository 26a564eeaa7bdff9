#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/private.h"

enum { USUAL_VOCAB = 49408 }; /* OpenAI's; its last two are begin and end */

static const char *const ENCODERS[2] = {"text_encoder", "text_encoder_2"}, *const TOKENIZERS[2] = {
                                                                               "tokenizer", "tokenizer_2"};

/* root/name where it is a folder; NULL: it is not. The caller frees. */
static char *folder(const char *root, const char *name) {
    char *path = ib_join(root, name);
    if (path && !ib_is_dir(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

/* The tokenizer of an encoder: the model's, else what was given, else NULL. The caller frees. */
static char *find_tokenizer(const ib_diffusion *d, int i, const char *given, bool *own) {
    char *path = ib_diffusion_part(d->path, TOKENIZERS[i]);
    *own = path != NULL;
    if (!path && given) {
        path = folder(given, TOKENIZERS[i]);
        *own = path != NULL;
        path = path ? path : strdup(given);
    }
    return path || !i ? path : ib_diffusion_part(d->path, TOKENIZERS[0]);
}

/* An encoder in a folder, or in a single file; d->side[i].clip stays NULL if there is none. */
static int open_side(ib_diffusion *d, int i, const char *given, ib_error *err) {
    static const char *const inside[2] = {"conditioner.embedders.0.", "conditioner.embedders.1."};
    ib_text_side *s = &d->side[i];
    const char *begin = d->about.family == IB_DIFFUSION_SDXL ? inside[i] : "cond_stage_model.";
    bool single = !ib_is_dir(d->path), own;
    char *part = single ? strdup(d->path) : folder(d->path, ENCODERS[i]),
         *words = find_tokenizer(d, i, given, &own);
    ib_clip_options o = {.tokenizer = words, .threads = d->threads, .under = single ? begin : NULL};
    int rc = 0;
    if (part && (!single || ib_weights_file_has(d->weights, begin))) {
        rc = ib_clip_open(&s->clip, part, &o, err);
    }
    const ib_clip_tower *t = rc == 0 && s->clip ? ib_clip_text(s->clip) : NULL;
    if (!t || !t->present) {
        ib_clip_close(&s->clip);
    } else {
        s->width = t->width;
        s->tokens = t->tokens;
        s->pooled = t->projection;
        s->pads_zero = t->naming == IB_CLIP_OPENCLIP || (i && !own);
    }
    free(part);
    free(words);
    return rc;
}

int ib_text_open(ib_diffusion *d, const char *tokenizer, ib_error *err) {
    bool xl = d->about.family == IB_DIFFUSION_SDXL;
    size_t width = 0;
    if (!d->config.context || d->about.family == IB_DIFFUSION_KANDINSKY) {
        return 0;
    }
    for (int i = 0; i < (xl ? 2 : 1); i++) {
        int rc = open_side(d, i, tokenizer, err);
        if (rc < 0 || !d->side[i].clip) {
            d->sides = 0;
            return rc;
        }
        d->sides = (size_t)i + 1;
    }
    for (size_t i = 0; i < d->sides; i++) {
        ib_text_side *s = &d->side[i];
        width += s->width;
        /* SDXL takes what goes into the last block, unnormalised; Stable Diffusion 2 the same through the
         * last normalisation, but its folders hold a tower without that block; 1 takes the end. */
        bool whole = ib_clip_text(s->clip)->naming == IB_CLIP_OPENCLIP;
        s->skip = xl || whole ? 1 : 0;
        s->final_norm = !xl;
        if (s->tokens != d->side[0].tokens) {
            return ib_fail(err, IB_E_MISMATCH, "%s: its text encoders read %zu and %zu tokens", d->path,
                           d->side[0].tokens, s->tokens);
        }
    }
    if (width != d->config.context) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: its text encoders give tokens of width %zu: its U-Net takes %zu", d->path, width,
                       d->config.context);
    }
    size_t pooled = d->config.extra_width - 6 * d->config.extra_time_width;
    if (xl && d->side[1].pooled != pooled) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: its second text encoder gives a pooled text of %zu numbers: its U-Net takes %zu",
                       d->path, d->side[1].pooled, pooled);
    }
    return 0;
}

void ib_text_close(ib_diffusion *d) {
    for (int i = 0; i < 2; i++) {
        ib_clip_close(&d->side[i].clip);
    }
}

/* Padding is read too. */
static void pad_zero(const ib_clip_tower *t, int32_t *ids) {
    size_t end = 0;
    for (size_t i = 1; i < t->tokens; i++) {
        end = ids[i] > ids[end] ? i : end;
    }
    for (size_t i = end + 1; i < t->tokens; i++) {
        ids[i] = 0;
    }
}

static int tokenize(const ib_diffusion *d, const ib_text_side *s, const char *prompt, int32_t *ids,
                    ib_error *err) {
    const ib_clip_tower *t = ib_clip_text(s->clip);
    bool words = ib_clip_tokenizer_path(s->clip) != NULL;
    if (!words && (*prompt || t->vocab != USUAL_VOCAB)) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: has no tokenizer (tokenizer/), which a prompt needs; that of any CLIP will do: a "
                       "folder with vocab.json and merges.txt, or tokenizer.json (--tokenizer PATH)",
                       d->path);
    }
    int rc = words ? ib_clip_tokenize(s->clip, prompt, ids, err) : 0;
    for (size_t i = 0; !words && i < t->tokens; i++) {
        ids[i] = (int32_t)t->vocab - (i ? 1 : 2);
    }
    if (rc == 0 && s->pads_zero) {
        pad_zero(t, ids);
    }
    return rc;
}

int ib_diffusion_prompt(ib_diffusion *d, const char *prompt, float *text, ib_error *err) {
    size_t at = 0, width = d->config.context;
    int rc = 0;
    if (!d->about.has_text) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: has no text encoder, so no prompt can be read: expected a "
                       "folder text_encoder beside its U-Net",
                       d->path);
    }
    for (size_t i = 0; i < d->sides && rc == 0; i++) {
        const ib_text_side *s = &d->side[i];
        int32_t *ids = ib_calloc(s->tokens, sizeof *ids);
        float *h = ib_calloc(s->tokens * s->width, sizeof *h);
        rc = ids && h ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for a prompt");
        rc = rc ? rc : tokenize(d, s, prompt, ids, err);
        rc = rc ? rc : ib_clip_text_hidden(s->clip, ids, 1, s->skip, s->final_norm, h, err);
        for (size_t t = 0; t < s->tokens && rc == 0; t++) {
            memcpy(text + t * width + at, h + t * s->width, s->width * sizeof *h);
        }
        at += s->width;
        if (rc == 0 && i == 1) {
            rc = ib_clip_texts(s->clip, ids, 1, text + s->tokens * width, err);
        }
        ib_free(ids);
        ib_free(h);
    }
    return rc;
}
