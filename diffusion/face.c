#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/config.h"
#include "diffusion/model.h"
#include "diffusion/private.h"

static const char *const FAMILIES[] = {"Stable Diffusion", "Stable unCLIP", "SDXL", "Kandinsky 2.2"};
static const char *const SPACINGS[] = {"leading", "trailing", "linspace"};
static const char *const PREDICTIONS[] = {"epsilon", "v_prediction", "sample"};

static ib_diffusion_family family_of(const ib_unet_config *c) {
    switch (c->extra) {
    case IB_UNET_CLASS:
        return IB_DIFFUSION_UNCLIP;
    case IB_UNET_TEXT_TIME:
        return IB_DIFFUSION_SDXL;
    case IB_UNET_IMAGE:
        return IB_DIFFUSION_KANDINSKY;
    default:
        return IB_DIFFUSION_SD;
    }
}

/* Without a file: what the family was published with. */
static void usual_scheduler(ib_diffusion *d, int wanted) {
    ib_diffusion_family f = d->about.family;
    ib_sampler usual = d->config.guidance_width      ? IB_SAMPLER_LCM
                       : f == IB_DIFFUSION_KANDINSKY ? IB_SAMPLER_DDIM
                       : f == IB_DIFFUSION_SDXL      ? IB_SAMPLER_EULER
                                                     : IB_SAMPLER_PNDM;
    ib_scheduler_defaults(&d->scheduler, wanted < 0 ? usual : (ib_sampler)wanted);
    if (f == IB_DIFFUSION_KANDINSKY) {
        d->scheduler.betas = IB_BETAS_LINEAR;
    } else if (f == IB_DIFFUSION_UNCLIP) {
        d->scheduler.prediction = IB_PREDICT_V;
    } else if (f == IB_DIFFUSION_SDXL) {
        d->scheduler.spacing = IB_SPACING_LEADING;
    }
}

/* Nothing in a single file of Stable Diffusion 2 says what it predicts. Asked about grey at the last time, a
 * model that predicts noise answers about what it is given, one that predicts v something far below. */
static int probe_prediction(ib_diffusion *d, ib_error *err) {
    enum { SIDE = 8, TOKENS = 2 };
    size_t in = d->config.in_channels, out = d->config.out_channels, area = (size_t)SIDE * SIDE;
    size_t given = area * in + TOKENS * d->config.context;
    float *x = NULL, *answer = NULL, t = IB_TRAIN_STEPS - 1;
    int rc = ib_alloc_floats(&x, given, "a question", err);
    rc = rc < 0 ? rc : ib_alloc_floats(&answer, area * out, "an answer", err);
    for (size_t i = 0; i < given && rc == 0; i++) {
        x[i] = .5f;
    }
    ib_unet_input q = {.batch = 1,
                       .rows = SIDE,
                       .cols = SIDE,
                       .latents = x,
                       .t = &t,
                       .context = x + area * in,
                       .tokens = TOKENS};
    rc = rc < 0 ? rc : ib_unet_run(d->unet, &q, answer, d->threads, err);
    double mean = 0;
    for (size_t i = 0; i < area * out && rc == 0; i++) {
        mean += ((double)answer[i] - .5) / (double)(area * out);
    }
    if (rc == 0 && mean < -1) {
        d->scheduler.prediction = IB_PREDICT_V;
    }
    ib_free(x);
    ib_free(answer);
    return rc;
}

static int open_scheduler(ib_diffusion *d, const ib_diffusion_options *o, ib_error *err) {
    int wanted = -1;
    if (o->sampler && (wanted = ib_sampler_by_name(o->sampler)) < 0) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: no sampler of that name: expected ddim, ddpm, pndm, euler, euler-a, dpm++ or lcm",
                       o->sampler);
    }
    char *dir = ib_join(d->path, "scheduler");
    if (!dir) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", d->path);
    }
    bool there = false;
    int rc = ib_scheduler_config_read(&d->scheduler, dir, wanted, &there, &d->about.sampler_known, err);
    free(dir);
    if (rc < 0) {
        return rc;
    }
    if (!there) {
        usual_scheduler(d, wanted);
        bool two = d->about.family == IB_DIFFUSION_SD && d->config.linear && !ib_is_dir(d->path);
        rc = two && !o->prediction ? probe_prediction(d, err) : 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (o->prediction) {
        int p = !strcmp(o->prediction, "epsilon") ? 0 : !strcmp(o->prediction, "v_prediction") ? 1 : -1;
        if (p < 0) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "%s: no prediction of that name: expected epsilon or v_prediction", o->prediction);
        }
        d->scheduler.prediction = (ib_prediction)p;
    }
    for (int k = 0; o->spacing; k++) {
        if (k == 3) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "%s: no spacing of that name: expected leading, trailing or linspace", o->spacing);
        }
        if (!strcmp(o->spacing, SPACINGS[k])) {
            d->scheduler.spacing = (ib_spacing)k;
            break;
        }
    }
    d->about.sampler_said = there;
    d->about.sampler = ib_sampler_name(d->scheduler.sampler);
    d->about.prediction = PREDICTIONS[d->scheduler.prediction];
    return 0;
}

char *ib_diffusion_part(const char *model, const char *name) {
    const char *base = ib_basename(model);
    char *folder = ib_is_dir(model) ? strdup(model)
                   : base == model  ? strdup(".")
                                    : strndup(model, (size_t)(base - model));
    char *path = folder ? ib_join(folder, name) : NULL;
    if (path && !ib_is_dir(path)) {
        free(path);
        path = NULL;
    }
    free(folder);
    return path;
}

static void describe(ib_diffusion *d) {
    ib_diffusion_about *a = &d->about;
    const ib_unet_config *c = &d->config;
    a->family_name = FAMILIES[a->family];
    a->factor = ib_vae_about_of(d->vae)->factor;
    a->side = ib_model_sample_size(d->path) * a->factor;
    if (!a->side) {
        a->side = a->family == IB_DIFFUSION_SDXL ? 1024 : d->scheduler.prediction == IB_PREDICT_V ? 768 : 512;
    }
    if (a->family == IB_DIFFUSION_KANDINSKY) {
        a->factor *= a->factor; /* as it was trained: latents of multiples of 8 */
    }
    a->encodes = ib_vae_about_of(d->vae)->encodes;
    a->has_text = d->sides > 0;
    a->normalized = d->unclip.mean != NULL;
    d->text_tokens = d->sides ? d->side[0].tokens : 77;
    if (a->family != IB_DIFFUSION_KANDINSKY && c->context) {
        a->text_tokens = d->text_tokens;
        a->text_width = c->context;
        a->text_floats = a->text_tokens * a->text_width;
        if (a->family == IB_DIFFUSION_SDXL) {
            a->text_floats += c->extra_width - 6 * c->extra_time_width;
        }
    }
    if (a->family == IB_DIFFUSION_KANDINSKY || a->family == IB_DIFFUSION_UNCLIP) {
        a->embedding_tokens = 1;
        a->embedding_width = a->family == IB_DIFFUSION_UNCLIP ? c->extra_width / 2 : c->extra_width;
    } else if (d->ip) {
        const ib_ip_about *ip = ib_ip_adapter_about(d->ip);
        a->embedding_width = ip->width;
        a->embedding_hidden = ip->plus;
        a->embedding_tokens = ip->plus ? 0 : 1;
    }
    bool lcm = d->scheduler.sampler == IB_SAMPLER_LCM;
    a->guidance = c->guidance_width                     ? 8.5
                  : lcm                                 ? 1
                  : a->family == IB_DIFFUSION_KANDINSKY ? 4
                  : a->family == IB_DIFFUSION_UNCLIP    ? 10
                  : a->family == IB_DIFFUSION_SDXL      ? 5
                                                        : 7.5;
    a->steps = lcm ? 4 : d->scheduler.sampler == IB_SAMPLER_DPMPP ? 12 : 20;
}

static int check_fits(const ib_diffusion *d, ib_error *err) {
    const ib_vae_about *v = ib_vae_about_of(d->vae);
    if (v->channels != d->config.in_channels) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: an autoencoder whose latents have %zu channels: the U-Net's have %zu",
                       ib_vae_path(d->vae), v->channels, d->config.in_channels);
    }
    if (!v->decodes) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: half of an autoencoder: expected one that decodes",
                       ib_vae_path(d->vae));
    }
    return 0;
}

/* A single file does not say its autoencoder's scale. */
static int open_vae(ib_diffusion *d, const char *path, ib_error *err) {
    int rc = ib_vae_open(&d->vae, path, 0, err);
    if (rc == 0 && d->about.family == IB_DIFFUSION_SDXL && !ib_vae_about_of(d->vae)->scaling_said) {
        ib_vae_close(&d->vae);
        rc = ib_vae_open(&d->vae, path, 0.13025, err);
    }
    return rc;
}

/* What model_index.json says. */
static int read_index(ib_diffusion *d, ib_error *err) {
    json_t *j = NULL;
    int rc = ib_is_dir(d->path) ? ib_config_load(&j, d->path, "model_index.json", err) : 0;
    d->zero_negative = d->about.family == IB_DIFFUSION_SDXL;
    if (rc == 0 && d->zero_negative) {
        rc = ib_config_bool(j, "force_zeros_for_empty_prompt", &d->zero_negative, d->path, err);
    }
    json_decref(j);
    return rc;
}

int ib_diffusion_open(ib_diffusion **out, const char *path, const ib_diffusion_options *o, ib_error *err) {
    ib_diffusion *d = calloc(1, sizeof *d);
    int rc = 0;
    *out = NULL;
    if (!d || !(d->path = strdup(path))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        goto fail;
    }
    d->threads = o->threads < 1 ? 1 : o->threads;
    d->ip_scale = o->ip_scale > 0 ? o->ip_scale : 1;
    if ((rc = ib_weights_open(&d->weights, path, "unet", err)) < 0 ||
        (rc = ib_unet_config_read(&d->config, d->weights, err)) < 0) {
        goto fail;
    }
    d->about.family = family_of(&d->config);
    if ((rc = read_index(d, err)) < 0) {
        goto fail;
    }
    if (o->ip_adapter && (rc = ib_ip_adapter_open(&d->ip, o->ip_adapter, d->config.context, err)) < 0) {
        goto fail;
    }
    for (size_t i = 0; i < o->loras && rc == 0; i++) {
        rc = ib_loras_add(&d->loras, o->lora[i], o->lora_weight ? o->lora_weight[i] : 1, d->weights,
                          &d->config, err);
    }
    if (rc < 0) {
        goto fail;
    }
    ib_unet_patch patch = ib_loras_patch(&d->loras);
    if ((rc = ib_unet_open(&d->unet, d->weights, &d->config, d->ip ? ib_ip_adapter_weights(d->ip) : NULL,
                           &patch, err)) < 0 ||
        (rc = ib_loras_check(&d->loras, err)) < 0 || (rc = open_vae(d, o->vae ? o->vae : path, err)) < 0 ||
        (rc = check_fits(d, err)) < 0 || (rc = open_scheduler(d, o, err)) < 0 ||
        (rc = ib_text_open(d, o->tokenizer, err)) < 0) {
        goto fail;
    }
    if (d->about.family == IB_DIFFUSION_UNCLIP &&
        (rc = ib_unclip_open(&d->unclip, path, d->config.extra_width / 2, err)) < 0) {
        goto fail;
    }
    describe(d);
    *out = d;
    return 0;
fail:
    ib_diffusion_close(&d);
    return rc;
}

void ib_diffusion_close(ib_diffusion **pd) {
    ib_diffusion *d = *pd;
    if (!d) {
        return;
    }
    ib_text_close(d);
    ib_unet_close(&d->unet);
    ib_loras_close(&d->loras);
    ib_ip_adapter_close(&d->ip);
    ib_vae_close(&d->vae);
    ib_weights_close(&d->weights);
    ib_unclip_close(&d->unclip);
    free(d->path);
    free(d);
    *pd = NULL;
}

const ib_diffusion_about *ib_diffusion_about_of(const ib_diffusion *d) {
    return &d->about;
}

int ib_diffusion_wants_hidden(const char *ip_adapter, bool *hidden, ib_error *err) {
    ib_ip_adapter *a = NULL;
    int rc = ib_ip_adapter_open(&a, ip_adapter, 0, err);
    *hidden = rc == 0 && ib_ip_adapter_about(a)->plus;
    ib_ip_adapter_close(&a);
    return rc;
}
