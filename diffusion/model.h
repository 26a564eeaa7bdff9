/* What a model is, by its files: its family, what its U-Net asks for, which parts are there. Nothing is
 * computed. */
#ifndef IB_DIFFUSION_MODEL_H
#define IB_DIFFUSION_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include "diffusion/unet_config.h"
#include "diffusion/vae.h"

typedef enum ib_family {
    IB_FAMILY_SD1,      /* Stable Diffusion 1, LCM, and the smaller ones after it */
    IB_FAMILY_SD2,      /* Stable Diffusion 2, SD-Turbo */
    IB_FAMILY_UNCLIP,   /* Stable unCLIP 2.1, of OpenCLIP's (h) or OpenAI's (l) image tower */
    IB_FAMILY_SDXL,     /* SDXL, its Turbo and Lightning, SSD-1B, Vega */
    IB_FAMILY_KANDINSKY /* Kandinsky 2.2's decoder */
} ib_family;
const char *ib_family_name(ib_family f);

typedef struct ib_model_about {
    ib_family family;
    bool single_file; /* under the original names, without configs */
    ib_unet_config unet;
    ib_dtype type;            /* of most of the U-Net's numbers */
    size_t parameters, bytes; /* of the U-Net */
    char scheduler[64];       /* the class that its config names; empty: none */
    char prediction[32];      /* "epsilon", "v_prediction" ... as a config says; empty: none does */
    size_t side;              /* px that it was trained at, as a config says; 0: none does */
    size_t embedding; /* width of the image embeddings that the U-Net takes by itself; 0: it takes none */
    bool has_vae;
    ib_vae_about vae;
    bool text_encoder, text_encoder_2, tokenizer, tokenizer_2, image_encoder, image_normalizer;
    bool zero_negative; /* an absent negative prompt is zeros (SDXL's force_zeros_for_empty_prompt) */
    char missing[400];  /* in words, what rendering needs and is not there; empty: nothing */
} ib_model_about;

/* Whether there is a U-Net or a model: a folder with model_index.json, unet/, or a U-Net's config.json; a
 * safetensors file with a U-Net's tensors. */
bool ib_model_is(const char *path);
/* path: a model's folder, a U-Net's folder, or a safetensors file. IB_E_UNSUPPORTED for models that take
 * other inputs than latents (inpainting, upscaling). */
int ib_model_describe(ib_model_about *a, const char *path, ib_error *err);

/* The size in latents that the U-Net in a diffusers folder was trained at (its config's sample_size); 0:
 * nothing says so. */
size_t ib_model_sample_size(const char *path);

#endif
