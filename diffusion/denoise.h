/* Inside diffusion/ only: from noise, or a noisy picture's latents, to latents: the network asked again and
 * again for a batch of frames. */
#ifndef IB_DIFFUSION_DENOISE_H
#define IB_DIFFUSION_DENOISE_H

#include <stdatomic.h>
#include <stddef.h>
#include "base/error.h"
#include "diffusion/noise.h"
#include "diffusion/scheduler.h"
#include "diffusion/unet.h"

/* What one side is told; NULL where the model does not take it. */
typedef struct ib_condition {
    const float *context; /* [n,tokens,context] */
    const float *ip;      /* [n,ip_tokens,context] */
    const float *added;   /* [n,extra_width] */
} ib_condition;

typedef struct ib_denoise {
    size_t frames, rows, cols;
    ib_condition asked;    /* n: frames */
    ib_condition negative; /* n: 1, the same for all frames; looked at if guided */
    size_t tokens, ip_tokens;
    float ip_scale;
    bool guided;           /* classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598) */
    double guidance;       /* negative + guidance (asked - negative) */
    const float *embedded; /* [guidance_width] that LCM models take for it; NULL: left out */
    size_t first;          /* evaluation */
    ib_noise *noise;       /* of samplers that draw; one noise for all frames */
    int threads;
    const atomic_int *stop;                              /* NULL: cannot be stopped */
    void (*progress)(void *context, size_t evaluations); /* after each, for all frames; NULL: none */
    void *context;
} ib_denoise;

/* x: [frames,rows,cols,in_channels], as it is before evaluation `first`; after the last on return. Channels
 * that the network answers beyond those of x are dropped. IB_E_INTERRUPTED between two evaluations;
 * IB_E_NONFINITE if the network answers with what is no number. */
int ib_denoise_run(const ib_denoise *d, ib_unet *u, ib_scheduler *s, float *x, ib_error *err);

#endif
