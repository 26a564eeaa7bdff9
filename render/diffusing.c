#include "render/diffusing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/diffusion.h"
#include "latent/geometry.h"

struct ib_diffusing {
    const ib_diffused_options *o;
    ib_diffusing_about about;
    ib_diffusion *model;
    const ib_diffusion_about *said; /* the model's own */
    float *nothing;                 /* [hidden,width]; NULL: zeros */
    void (*step)(void *user, double share);
    void *user;
};

static char *choose_vae(const ib_diffused_options *o, const char **path, ib_error *err) {
    char *tiny = ib_join(o->renderer, "taesd");
    bool there = tiny && ib_is_dir(tiny), asked = o->vae && !strcmp(o->vae, "tiny");
    *path = asked || (!o->vae && o->draft && there) ? tiny : o->vae && strcmp(o->vae, "full") ? o->vae : NULL;
    if (!tiny) {
        ib_fail(err, IB_E_MEMORY, "out of memory for a name");
    } else if (asked && !there) {
        ib_fail(err, IB_E_IO,
                "%s: there is no such folder with a tiny autoencoder; give its path (--vae PATH)", tiny);
        free(tiny);
        tiny = NULL;
    }
    return tiny;
}

static int refuse(const ib_diffused_options *o, ib_error *err) {
    if (o->inverted && o->sampler && strcmp(o->sampler, "ddim") != 0) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "inverted noise is that of the sampler ddim, not of '%.60s' (--noise, --sampler)",
                       o->sampler);
    }
    static const char *const samplers[] = {"ddim", "euler", "dpm++", "lcm", "pndm"};
    bool known = !o->sampler;
    for (size_t i = 0; o->sampler && i < sizeof samplers / sizeof *samplers; i++) {
        known |= !strcmp(o->sampler, samplers[i]);
    }
    return known ? IB_OK
                 : ib_fail(err, IB_E_ARGUMENT,
                           "the sampler '%.60s' is none of ddim, euler, dpm++, lcm and pndm (--sampler)",
                           o->sampler);
}

enum { LORAS = 8, DRAFT_STEPS = 8, INVERTED_STEPS = 50 };

/* FILE:WEIGHT taken apart. */
typedef struct loras {
    char *file[LORAS]; /* owned */
    float weight[LORAS];
    size_t n;
} loras;

static int split_loras(loras *l, const ib_diffused_options *o, ib_error *err) {
    if (o->n_lora > LORAS) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu LoRAs are more than %d (--lora)", o->n_lora, LORAS);
    }
    for (size_t i = 0; i < o->n_lora; i++) {
        const char *colon = ib_is_file(o->lora[i]) ? NULL : strrchr(o->lora[i], ':');
        char *end = NULL;
        l->weight[i] = colon ? strtof(colon + 1, &end) : 1;
        if (colon && (end == colon + 1 || *end || !(fabsf(l->weight[i]) <= 100))) {
            colon = NULL; /* part of the name of a file that is not there */
            l->weight[i] = 1;
        }
        size_t n = colon ? (size_t)(colon - o->lora[i]) : strlen(o->lora[i]);
        if (!(l->file[i] = strndup(o->lora[i], n))) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a name");
        }
        l->n++;
    }
    return IB_OK;
}

static void free_loras(loras *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->file[i]);
    }
}

/* The file whose checksum names the model: the U-Net's, or the only one. */
static char *weights_of(const char *path) {
    static const char *const places[] = {"unet/diffusion_pytorch_model.safetensors",
                                         "unet/diffusion_pytorch_model.fp16.safetensors",
                                         "diffusion_pytorch_model.safetensors"};
    if (ib_is_file(path)) {
        return strdup(path);
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *file = ib_join(path, places[i]);
        if (file && ib_is_file(file)) {
            return file;
        }
        free(file);
    }
    return NULL;
}

static int describe(ib_diffusing *d, ib_error *err) {
    const ib_diffused_options *o = d->o;
    const ib_diffusion_about *a = d->said;
    d->about.width = a->embedding_width;
    d->about.hidden = a->embedding_hidden;
    d->about.reads_text = a->has_text;
    d->about.unscaled = a->family == IB_DIFFUSION_UNCLIP && !a->normalized;
    d->about.factor = a->factor;
    d->about.side = a->side;
    d->about.sampler = a->sampler;
    d->about.steps = o->steps                             ? o->steps
                     : o->inverted                        ? INVERTED_STEPS
                     : o->draft && a->steps > DRAFT_STEPS ? DRAFT_STEPS
                                                          : (int)a->steps;
    d->about.guidance = o->guidance >= 0 ? o->guidance : a->guidance;
    d->about.weights = weights_of(o->renderer);
    snprintf(d->about.what, sizeof d->about.what, "%s", a->family_name);
    if (o->noise_level >= -1 && a->family != IB_DIFFUSION_UNCLIP) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: a noise level is for Stable unCLIP, and this is %s (--noise-level)", o->renderer,
                       a->family_name);
    }
    if (a->text_floats && !a->has_text) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: has no text encoder (text_encoder/), and every frame needs a prompt, even an empty "
            "one",
            o->renderer);
    }
    return a->encodes ? IB_OK
                      : ib_fail(err, IB_E_UNSUPPORTED,
                                "%s: its autoencoder has no encoder, so frames cannot start from pictures",
                                o->vae ? o->vae : o->renderer);
}

int ib_diffusing_open(ib_diffusing **out, const ib_diffused_options *o, void (*step)(void *, double),
                      void *user, ib_error *err) {
    const char *vae = NULL;
    ib_diffusing *d = calloc(1, sizeof *d);
    *out = d;
    if (!d) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a model");
    }
    *d = (ib_diffusing){.o = o, .step = step, .user = user};
    loras l = {0};
    int rc = refuse(o, err);
    rc = rc ? rc : split_loras(&l, o, err);
    char *tiny = rc ? NULL : choose_vae(o, &vae, err);
    if (tiny) {
        ib_diffusion_options how = {.ip_adapter = o->ip_adapter,
                                    .ip_scale = (float)o->ip_scale,
                                    .vae = vae,
                                    .sampler = o->inverted ? "ddim" : o->sampler,
                                    .prediction = o->prediction,
                                    .spacing = o->spacing,
                                    .tokenizer = o->tokenizer,
                                    .lora = (const char *const *)l.file,
                                    .lora_weight = l.weight,
                                    .loras = l.n,
                                    .threads = o->way.threads > 0 ? o->way.threads : 1};
        rc = ib_diffusion_open(&d->model, o->renderer, &how, err);
    }
    rc = rc || tiny ? rc : (int)err->code;
    d->said = rc ? NULL : ib_diffusion_about_of(d->model);
    rc = rc ? rc : describe(d, err);
    free(tiny);
    free_loras(&l);
    if (rc) {
        ib_diffusing_close(out);
    }
    return rc;
}

void ib_diffusing_close(ib_diffusing **pd) {
    ib_diffusing *d = *pd;
    *pd = NULL;
    if (d) {
        ib_diffusion_close(&d->model);
        ib_free(d->nothing);
        free((char *)d->about.weights);
        free(d);
    }
}

const ib_diffusing_about *ib_diffusing_about_of(const ib_diffusing *d) {
    return &d->about;
}

int ib_diffusing_set_nothing(ib_diffusing *d, const float *nothing, size_t hidden, ib_error *err) {
    size_t n = hidden * d->about.width;
    if (!d->about.hidden && (!nothing || d->said->family != IB_DIFFUSION_KANDINSKY)) {
        return IB_OK; /* zeros */
    }
    if (!nothing) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "%s: needs an image tower (--space clip:PATH), since it takes no picture for a black one",
            d->o->ip_adapter);
    }
    ib_free(d->nothing);
    d->nothing = NULL;
    int rc = ib_alloc_floats(&d->nothing, n, "an embedding", err);
    if (!rc) {
        memcpy(d->nothing, nothing, n * sizeof *nothing);
    }
    return rc;
}

static void on_progress(void *context, size_t frames, double share) {
    ib_diffusing *d = context;
    (void)frames;
    d->step(d->user, share);
}

/* What a job's conditions lie in. */
typedef struct room {
    float *text, *negative, *other, *embedding, *strength;
    const float **start, **noise, **residual;
} room;

static void room_free(room *r) {
    ib_free(r->text);
    ib_free(r->negative);
    ib_free(r->other);
    ib_free(r->embedding);
    ib_free(r->strength);
    free(r->start);
    free(r->noise);
    free(r->residual);
}

/* The text of a frame: one prompt, or on the way from one to another: token by token, and apart from them the
 * pooled text (SDXL). */
static int read_text(ib_diffusing *d, const ib_diffusing_frame *f, room *r, float *text, ib_error *err) {
    const ib_diffusion_about *a = d->said;
    size_t tokens = a->text_tokens * a->text_width;
    int rc = ib_diffusion_prompt(d->model, f->prompt ? f->prompt : "", text, err);
    if (rc || !f->prompt2) {
        return rc;
    }
    rc = ib_diffusion_prompt(d->model, f->prompt2, r->other, err);
    if (!rc) {
        ib_slerp(text, r->other, f->between, a->text_tokens, a->text_width, text);
    }
    if (!rc && tokens < a->text_floats) {
        ib_slerp(text + tokens, r->other + tokens, f->between, 1, a->text_floats - tokens, text + tokens);
    }
    return rc;
}

/* What of the frames the model is told. The caller frees *r, also after an error. */
static int make_job(ib_diffusing *d, const ib_diffusing_frame *f, size_t n, size_t rows, size_t cols, room *r,
                    ib_diffusion_job *job, ib_error *err) {
    const ib_diffused_options *o = d->o;
    size_t text = d->said->text_floats, values = f->embedding ? f->hidden * d->about.width : 0;
    *r = (room){.start = calloc(n, sizeof *r->start),
                .noise = calloc(n, sizeof *r->noise),
                .residual = calloc(n, sizeof *r->residual)};
    int rc =
        r->start && r->noise && r->residual ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for frames");
    rc = rc || !text ? rc : ib_alloc_floats(&r->text, n * text, "prompts", err);
    rc = rc || !text ? rc : ib_alloc_floats(&r->negative, text, "a prompt", err);
    rc = rc || !text ? rc : ib_alloc_floats(&r->other, text, "a prompt", err);
    rc = rc || !values ? rc : ib_alloc_floats(&r->embedding, n * values, "embeddings", err);
    rc = rc ? rc : ib_alloc_floats(&r->strength, n, "strengths", err);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = text ? read_text(d, &f[i], r, r->text + i * text, err) : IB_OK;
        if (values) {
            memcpy(r->embedding + i * values, f[i].embedding, values * sizeof *r->embedding);
        }
        r->start[i] = f[i].start;
        r->noise[i] = f[i].noise;
        r->residual[i] = f[i].residual;
        r->strength[i] = (float)f[i].strength;
    }
    if (!rc && text && o->negative_prompt) {
        rc = ib_diffusion_prompt(d->model, o->negative_prompt, r->negative, err);
    }
    *job = (ib_diffusion_job){.frames = n,
                              .width = cols,
                              .height = rows,
                              .text = r->text,
                              .negative_text = o->negative_prompt ? r->negative : NULL,
                              .embedding = r->embedding,
                              .embedding_tokens = f->hidden,
                              .negative_embedding = d->nothing,
                              .start = r->start,
                              .strength = r->strength,
                              .noise = r->noise,
                              .residual = r->residual,
                              .steps = (size_t)d->about.steps,
                              .guidance = d->about.guidance,
                              .seed = o->seed,
                              .noise_level = o->noise_level < -1 ? 0 : o->noise_level,
                              .batch = n,
                              .stop = o->way.stop,
                              .progress = on_progress,
                              .context = d};
    return rc;
}

int ib_diffusing_frames(ib_diffusing *d, const ib_diffusing_frame *f, size_t n, size_t rows, size_t cols,
                        float *pictures, ib_error *err) {
    room r;
    ib_diffusion_job job;
    int rc = make_job(d, f, n, rows, cols, &r, &job, err);
    rc = rc ? rc : ib_diffusion_render(d->model, &job, pictures, NULL, err);
    room_free(&r);
    return rc;
}

size_t ib_diffusing_latent_floats(const ib_diffusing *d, size_t rows, size_t cols) {
    return ib_diffusion_latent_floats(d->model, cols, rows);
}

int ib_diffusing_invert(ib_diffusing *d, const ib_diffusing_frame *f, size_t rows, size_t cols, float *noise,
                        float *residual, ib_error *err) {
    room r;
    ib_diffusion_job job;
    int rc = make_job(d, f, 1, rows, cols, &r, &job, err);
    rc = rc ? rc : ib_diffusion_invert(d->model, &job, noise, residual, err);
    room_free(&r);
    return rc;
}
