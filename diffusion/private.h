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
    float *mean, *deviation; /* [D] of unCLIP's embeddings; NULL: 0 and 1 */
    bool zero_negative;      /* an absent negative prompt is zeros, not the empty prompt */
    float ip_scale;
    int threads;
};

/* Text encoders; none is no error. */
int ib_text_open(ib_diffusion *d, const char *tokenizer, ib_error *err);
void ib_text_close(ib_diffusion *d);

/* unCLIP's condition: the embedding normalised by mean and deviation (NULL: 0 and 1), made noisy as step
 * `level` of the cosine schedule has it, and back; then the level's sinusoids. level -1: the embedding as it
 * is, with the sinusoids of 0. e, noise: [n]; out: [2n] */
void ib_unclip_condition(const float *mean, const float *deviation, size_t n, int level, const float *e,
                         const float *noise, float *out);

#endif
