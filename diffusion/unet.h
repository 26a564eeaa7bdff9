/* Inside diffusion/ only: the U-Net of an image diffusion model, which finds the noise in latents. One walker
 * for Stable Diffusion 1 and 2, LCM, Stable unCLIP, SDXL and Kandinsky 2.2, led by ib_unet_config (Rombach et
 * al. 2022, arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952; parts as diffusers' UNet2DConditionModel
 * has them).
 *
 * A batch of frames goes through layer by layer: weights stay in their file and are widened, or transformed,
 * once a layer for the whole batch. A frame's result has the same bits alone and among others, on any number
 * of threads. */
#ifndef IB_DIFFUSION_UNET_H
#define IB_DIFFUSION_UNET_H

#include <stdbool.h>
#include <stddef.h>
#include "diffusion/unet_config.h"
#include "diffusion/weights.h"

typedef struct ib_unet ib_unet;

typedef struct ib_unet_input {
    size_t batch, rows, cols; /* latents [batch, rows, cols, channels] row-major, channels last */
    const float *latents;
    const float *t;       /* [batch], 0..999, may be fractional */
    const float *context; /* [batch, tokens, context]; NULL for a Kandinsky, which makes its own */
    size_t tokens;
    const float *ip; /* [batch, ip_tokens, context] of an IP-Adapter; NULL: none */
    size_t ip_tokens;
    float ip_scale;
    const float *ip_scales; /* [ib_unet_ip_layers], one for each; NULL: ip_scale for all */
    const float *added;     /* [batch, extra_width]; NULL where the model has none */
    const float *guidance;  /* [batch, guidance_width]; NULL: left out */
} ib_unet_input;

/* Another matrix added to one of the model's (LoRA). name: the weight, as in
 * "mid_block.resnets.0.conv1.weight"; w: [n,k], widened, to be changed. Called once for every matrix, layer
 * and evaluation. */
typedef struct ib_unet_patch {
    bool (*touches)(void *context, const char *name);
    void (*apply)(void *context, const char *name, float *w, size_t n, size_t k);
    void *context;
} ib_unet_patch;

/* w must outlive the U-Net, and so must ip: the K and V of an IP-Adapter, NULL for none, as
 * "ip_adapter.N.to_k_ip.weight" and to_v_ip, N odd, down, up and then middle. patch: copied; NULL for none.
 */
int ib_unet_open(ib_unet **out, const ib_weights *w, const ib_unet_config *c, const ib_weights *ip,
                 const ib_unet_patch *patch, ib_error *err);
/* Accepts NULL; sets it. */
void ib_unet_close(ib_unet **u);
const ib_unet_config *ib_unet_config_of(const ib_unet *u);
/* Attentions to the context, of which an IP-Adapter has one K and V each. */
size_t ib_unet_ip_layers(const ib_unet *u);

/* One evaluation. out: [batch, rows, cols, out_channels]. IB_E_ARGUMENT for an input that is missing or too
 * much, IB_E_MEMORY. Memory is kept for the next one. */
int ib_unet_run(ib_unet *u, const ib_unet_input *in, float *out, int threads, ib_error *err);

/* Called with each part's result; for tests. name as in diffusers; x: [batch, pixels, channels]. */
typedef void ib_unet_watch(void *context, const char *name, const float *x, size_t batch, size_t pixels,
                           size_t channels);
void ib_unet_set_watch(ib_unet *u, ib_unet_watch *watch, void *context);

/* The sinusoids that times and sizes are told by: cosines and sines of t * 10000^(-i / (n/2 - shift)), i <
 * n/2, cosines first or last. n even. */
void ib_sinusoid(double t, size_t n, bool cosines_first, double shift, float *out /* [n] */);

#endif
