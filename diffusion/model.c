#include "diffusion/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "diffusion/config.h"

const char *ib_family_name(ib_family f) {
    static const char *const names[] = {"Stable Diffusion 1", "Stable Diffusion 2", "Stable unCLIP 2.1",
                                        "Stable Diffusion XL", "Kandinsky 2.2 decoder"};
    return names[f];
}

/* dir/name is a file; or with `folder` a folder. */
static bool there(const char *dir, const char *name, bool folder) {
    char *path = ib_join(dir, name);
    bool is = path && (folder ? ib_is_dir(path) : ib_is_file(path));
    free(path);
    return is;
}

bool ib_model_is(const char *path) {
    ib_error none = {0};
    ib_weights *w = NULL;
    json_t *j = NULL;
    if (ib_is_dir(path)) {
        bool is = there(path, "model_index.json", false) || there(path, "unet", true);
        if (!is && !ib_config_load(&j, path, "config.json", &none)) {
            const char *class = ib_config_text(j, "_class_name");
            is = class && !strncmp(class, "UNet", 4);
        }
        json_decref(j);
        return is;
    }
    bool is = !ib_weights_open(&w, path, "unet", &none);
    ib_weights_close(&w);
    return is;
}

static ib_family family_of(const ib_unet_config *c) {
    return c->extra == IB_UNET_IMAGE || c->simple ? IB_FAMILY_KANDINSKY
           : c->extra == IB_UNET_TEXT_TIME        ? IB_FAMILY_SDXL
           : c->extra == IB_UNET_CLASS            ? IB_FAMILY_UNCLIP
           : c->linear                            ? IB_FAMILY_SD2
                                                  : IB_FAMILY_SD1;
}

/* A string of a config, which may be anything, cut. */
static void take_text(const json_t *j, const char *key, char *out, size_t bytes) {
    const char *text = ib_config_text(j, key);
    snprintf(out, bytes, "%s", text ? text : "");
}

size_t ib_model_sample_size(const char *path) {
    ib_error ignored = {0};
    char *folder = ib_is_dir(path) ? ib_join(path, "unet") : NULL;
    json_t *unet = NULL;
    size_t side = 0;
    if (folder && !ib_config_load(&unet, folder, "config.json", &ignored) &&
        ib_config_count(unet, "sample_size", 1, 8192, &side, folder, &ignored)) {
        side = 0;
    }
    json_decref(unet);
    free(folder);
    return side;
}

static int read_configs(ib_model_about *a, const char *path, const ib_weights *w, ib_error *err) {
    json_t *index = NULL, *unet = NULL, *scheduler = NULL;
    char *place = ib_join(path, "scheduler");
    size_t side = 0;
    const char *folder = ib_weights_folder(w);
    int rc = place ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
    rc = rc || !ib_is_dir(path) ? rc : ib_config_load(&index, path, "model_index.json", err);
    rc = rc || !ib_is_dir(path) ? rc : ib_config_load(&scheduler, place, "scheduler_config.json", err);
    rc = rc ? rc : ib_config_load(&unet, folder, "config.json", err);
    rc = rc ? rc : ib_config_count(unet, "sample_size", 1, 8192, &side, folder, err);
    rc = rc ? rc : ib_config_bool(index, "force_zeros_for_empty_prompt", &a->zero_negative, path, err);
    take_text(scheduler, "_class_name", a->scheduler, sizeof a->scheduler);
    take_text(scheduler, "prediction_type", a->prediction, sizeof a->prediction);
    a->side = side * (a->has_vae ? a->vae.factor : 8);
    json_decref(scheduler);
    json_decref(unet);
    json_decref(index);
    free(place);
    return rc;
}

/* An autoencoder is no part of a folder or file of a U-Net alone; a broken one is an error. */
static int read_vae(ib_model_about *a, const char *path, const ib_weights *w, ib_error *err) {
    ib_vae *v = NULL;
    bool folder = ib_is_dir(path);
    a->has_vae = folder ? there(path, "vae", true) || there(path, "movq", true)
                        : ib_weights_file_has(w, "first_stage_model.") || ib_weights_file_has(w, "vae.");
    if (!a->has_vae) {
        return IB_OK;
    }
    int rc = ib_vae_open(&v, path, 0, err);
    if (!rc) {
        a->vae = *ib_vae_about_of(v);
        if (!a->vae.scaling_said && a->family == IB_FAMILY_SDXL) {
            a->vae.scaling = 0.13025;
        }
        a->vae.scaling_said = true;
    }
    ib_vae_close(&v);
    return rc;
}

static void find_parts(ib_model_about *a, const char *path, const ib_weights *w) {
    if (ib_is_dir(path)) {
        a->text_encoder = there(path, "text_encoder", true);
        a->text_encoder_2 = there(path, "text_encoder_2", true);
        a->tokenizer = there(path, "tokenizer", true);
        a->tokenizer_2 = there(path, "tokenizer_2", true);
        a->image_encoder = there(path, "image_encoder", true);
        a->image_normalizer = there(path, "image_normalizer", true);
        return;
    }
    a->text_encoder =
        ib_weights_file_has(w, "cond_stage_model.") || ib_weights_file_has(w, "conditioner.embedders.0.");
    a->text_encoder_2 = ib_weights_file_has(w, "conditioner.embedders.1.");
    a->image_encoder = ib_weights_file_has(w, "embedder.model.visual.");
}

static void lacks(ib_model_about *a, const char *what) {
    size_t n = strlen(a->missing);
    snprintf(a->missing + n, sizeof a->missing - n, "%s%s", n ? "; " : "", what);
}

static void find_missing(ib_model_about *a) {
    if (!a->has_vae) {
        lacks(a, a->family == IB_FAMILY_KANDINSKY ? "the autoencoder (movq)" : "the autoencoder (vae)");
    }
    if (a->family != IB_FAMILY_KANDINSKY && !a->text_encoder) {
        lacks(a, "the text encoder, which prompts need, the empty one too");
    } else if (a->family != IB_FAMILY_KANDINSKY && !a->single_file && !a->tokenizer) {
        lacks(a, "the tokenizer, which prompts need");
    }
    if (a->family == IB_FAMILY_SDXL && a->text_encoder && !a->text_encoder_2) {
        lacks(a, "the second text encoder, which prompts need");
    }
    if (a->family == IB_FAMILY_UNCLIP && !a->image_normalizer && a->embedding == 768) {
        lacks(a, "the image_normalizer folder with the embeddings' mean and deviation");
    }
}

int ib_model_describe(ib_model_about *a, const char *path, ib_error *err) {
    ib_weights *w = NULL;
    *a = (ib_model_about){0};
    int rc = ib_weights_open(&w, path, "unet", err);
    if (rc || (rc = ib_unet_config_read(&a->unet, w, err))) {
        goto end;
    }
    const ib_unet_config *c = &a->unet;
    a->family = family_of(c);
    a->single_file = ib_weights_is_single_file(w);
    ib_weights_size(w, &a->parameters, &a->bytes, &a->type);
    a->embedding = c->extra == IB_UNET_CLASS   ? c->extra_width / 2
                   : c->extra == IB_UNET_IMAGE ? c->extra_width
                                               : 0;
    if (a->family == IB_FAMILY_UNCLIP && c->extra_width % 2) {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: classes of %zu numbers, expected an embedding and as many of its noise",
                     ib_weights_path(w), c->extra_width);
        goto end;
    }
    if ((rc = read_vae(a, path, w, err)) || (rc = read_configs(a, path, w, err))) {
        goto end;
    }
    if (c->in_channels != (a->has_vae ? a->vae.channels : 4)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: the U-Net takes %zu channels, more than the latents': a model for inpainting, "
                     "upscaling or editing",
                     ib_weights_path(w), c->in_channels);
        goto end;
    }
    find_parts(a, path, w);
    find_missing(a);
end:
    ib_weights_close(&w);
    return rc;
}
