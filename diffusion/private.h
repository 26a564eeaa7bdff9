/* Inside the face of diffusion/ only. */
#ifndef IB_DIFFUSION_PRIVATE_H
#define IB_DIFFUSION_PRIVATE_H

#include "clip/clip.h"
#include "diffusion/diffusion.h"
#include "diffusion/ip_adapter.h"
#include "diffusion/scheduler.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"

typedef struct ib_text_side {
    ib_clip *clip;
    size_t width, tokens, skip, pooled;
    bool final_norm;
} ib_text_side;

struct ib_diffusion {
    ib_diffusion_about about;
    char *path;
    ib_weights *weights;
    ib_unet_config config;
    ib_ip_adapter *ip;
    ib_unet *unet;
    ib_vae *vae;
    ib_scheduler_config scheduler;
    ib_text_side side[2];
    size_t sides, text_tokens;
    float *mean, *deviation; /* [D] of unCLIP's embeddings; NULL: 0 and 1 */
    float ip_scale;
    int threads;
};

/* Text encoders; none is no error. */
int ib_text_open(ib_diffusion *d, const char *tokenizer, ib_error *err);
void ib_text_close(ib_diffusion *d);

#endif
