/* Inside the face of diffusion/ only. */
#ifndef IB_DIFFUSION_PRIVATE_H
#define IB_DIFFUSION_PRIVATE_H

#include "clip/clip.h"
#include "diffusion/diffusion.h"
#include "diffusion/ip_adapter.h"
#include "diffusion/lora.h"
#include "diffusion/scheduler.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"

typedef struct ib_text_side {
    ib_clip *clip;
    size_t width, tokens, skip, pooled;
    bool final_norm;
    bool pads_zero; /* with token 0 behind the end, as OpenCLIP does; else as its tokenizer says */
} ib_text_side;

/* What Stable unCLIP does to embeddings, from image_normalizer/ and image_noising_scheduler/. */
typedef struct ib_unclip {
    float *mean, *deviation;      /* [D]; NULL: 0 and 1 */
    float alphas[IB_TRAIN_STEPS]; /* of the schedule of their noise: cumulative product of 1 - beta */
} ib_unclip;

struct ib_diffusion {
    ib_diffusion_about about;
    char *path;
    ib_weights *weights;
    ib_unet_config config;
    ib_ip_adapter *ip;
    ib_loras loras;
    ib_unet *unet;
    ib_vae *vae;
    ib_scheduler_config scheduler;
    ib_text_side side[2];
    size_t sides, text_tokens;
    bool zero_negative; /* an absent negative prompt is zeros, not the empty prompt */
    ib_unclip unclip;
    float ip_scale;
    int threads;
};

/* As ib_diffusion_render, but for latents [frames,latent_floats]; inverse: from the starts to noise. */
int ib_diffusion_latents(ib_diffusion *d, const ib_diffusion_job *job, bool inverse, float *latents,
                         ib_error *err);

/* Text encoders; none is no error. */
int ib_text_open(ib_diffusion *d, const char *tokenizer, ib_error *err);
void ib_text_close(ib_diffusion *d);

/* The folder `name` of a model's folder, or beside its single file; NULL: there is none. malloc'ed. */
char *ib_diffusion_part(const char *model, const char *name);

/* n: width of the embeddings. *u: zeros. */
int ib_unclip_open(ib_unclip *u, const char *model, size_t n, ib_error *err);
void ib_unclip_close(ib_unclip *u);
/* unCLIP's condition: the embedding normalised by mean and deviation, made noisy as step `level` of the
 * noising schedule has it, and back; then the level's sinusoids. level -1: the embedding as it is, with the
 * sinusoids of 0. e, noise: [n]; out: [2n] */
void ib_unclip_condition(const ib_unclip *u, size_t n, int level, const float *e, const float *noise,
                         float *out);

#endif
