#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/private.h"

enum { USUAL_VOCAB = 49408 }; /* OpenAI's; its last two are begin and end */

static int open_side(ib_text_side *s, const char *path, const char *tokenizer, int threads, ib_error *err) {
    ib_clip_options o = {.tokenizer = tokenizer, .threads = threads};
    int rc = ib_clip_open(&s->clip, path, &o, err);
    const ib_clip_tower *t = rc < 0 ? NULL : ib_clip_text(s->clip);
    if (rc == 0 && (!t || !t->present)) {
        ib_clip_close(&s->clip);
        return 0;
    }
    if (rc == 0) {
        s->width = t->width;
        s->tokens = t->tokens;
        s->pooled = t->projection;
    }
    return rc;
}

/* root/name where it is a folder; NULL: it is not. The caller frees. */
static char *folder(const char *root, const char *name) {
    char *path = ib_join(root, name);
    if (path && !ib_is_dir(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

int ib_text_open(ib_diffusion *d, const char *tokenizer, ib_error *err) {
    static const char *const encoders[2] = {"text_encoder", "text_encoder_2"}, *const tokenizers[2] = {
                                                                                   "tokenizer",
                                                                                   "tokenizer_2"};
    bool xl = d->about.family == IB_DIFFUSION_SDXL;
    int rc = 0;
    if (!d->config.context || d->about.family == IB_DIFFUSION_KANDINSKY) {
        return 0;
    }
    for (int i = 0; i < (xl ? 2 : 1) && rc == 0; i++) {
        char *path = folder(d->path, encoders[i]), *words = folder(d->path, tokenizers[i]);
        if (path) {
            rc = open_side(&d->side[i], path, tokenizer ? tokenizer : words, d->threads, err);
        }
        if (!path && !xl && !ib_is_dir(d->path)) {
            /* A single file may hold its text encoder, or not. */
            ib_error none = {0};
            if (open_side(&d->side[i], d->path, tokenizer, d->threads, &none) < 0) {
                ib_clip_close(&d->side[i].clip);
            }
        }
        free(path);
        free(words);
        if (rc == 0 && !d->side[i].clip) {
            return 0;
        }
        d->sides = (size_t)i + 1;
    }
    size_t width = 0;
    for (size_t i = 0; i < d->sides && rc == 0; i++) {
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
    if (rc == 0 && d->sides && width != d->config.context) {
        rc =
            ib_fail(err, IB_E_MISMATCH, "%s: its text encoders give tokens of width %zu: its U-Net takes %zu",
                    d->path, width, d->config.context);
    }
    return rc;
}

void ib_text_close(ib_diffusion *d) {
    for (int i = 0; i < 2; i++) {
        ib_clip_close(&d->side[i].clip);
    }
}

static int tokenize(const ib_text_side *s, const char *prompt, int32_t *ids, ib_error *err) {
    const ib_clip_tower *t = ib_clip_text(s->clip);
    if (*prompt || ib_clip_tokenizer_path(s->clip) || t->vocab != USUAL_VOCAB) {
        return ib_clip_tokenize(s->clip, prompt, ids, err);
    }
    for (size_t i = 0; i < t->tokens; i++) {
        ids[i] = (int32_t)t->vocab - (i ? 1 : 2);
    }
    return 0;
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
        rc = rc ? rc : tokenize(s, prompt, ids, err);
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
