/* Image diffusion models as renderers: from embeddings and prompts, one per frame, to pictures. The user's
 * own model: Stable Diffusion 1 and 2, Stable unCLIP, SDXL, Kandinsky 2.2.
 *
 * The face of the room. All frames of a job begin with the same noise and the samplers draw the same for all,
 * so that equal conditions give equal pictures, bit for bit, whatever else is in the job and whatever the
 * number of threads. */
#ifndef IB_DIFFUSION_DIFFUSION_H
#define IB_DIFFUSION_DIFFUSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

typedef struct ib_diffusion ib_diffusion;

typedef enum ib_diffusion_family {
    IB_DIFFUSION_SD, /* Stable Diffusion 1 and 2, and what descends from them */
    IB_DIFFUSION_UNCLIP,
    IB_DIFFUSION_SDXL,
    IB_DIFFUSION_KANDINSKY
} ib_diffusion_family;

typedef struct ib_diffusion_options {
    const char *ip_adapter;   /* file; NULL: none */
    float ip_scale;           /* of the IP-Adapter; 0: 1 */
    const char *const *lora;  /* [loras] files, at most 8 */
    const float *lora_weight; /* [loras]; NULL: 1 each */
    size_t loras;
    const char *vae;        /* a model or file to take the autoencoder from; NULL: the model's own */
    const char *sampler;    /* ib_sampler_by_name; NULL: the model's own */
    const char *prediction; /* "epsilon", "v_prediction"; NULL: the model's own */
    const char
        *spacing; /* of the sampler's times: "leading", "trailing", "linspace"; NULL: the model's own */
    const char *tokenizer; /* a folder or tokenizer.json, or a folder with tokenizer/ and tokenizer_2/, where
                              the model has none of its own; NULL: there is none */
    int threads;           /* at least 1 */
} ib_diffusion_options;

typedef struct ib_diffusion_about {
    ib_diffusion_family family;
    const char *family_name, *sampler, *prediction; /* words for people */
    bool sampler_said, sampler_known; /* a file says which; and it is one that this program has */
    size_t factor;                    /* widths and heights are multiples of it, in px */
    size_t side;                      /* px that it was trained at; single files: as their family was */
    size_t text_floats;               /* of a prompt's condition; 0: the model reads no text */
    size_t text_tokens, text_width;   /* of it that are tokens; the rest is the pooled text (SDXL) */
    bool has_text;                    /* and its text encoders are there */
    size_t embedding_tokens;          /* of a picture's condition: 1, or the hidden tokens of the image tower
                                         (0: any number of them) */
    size_t embedding_width;           /* 0: pictures cannot be asked for */
    bool embedding_hidden;            /* the image tower's tokens before its last block, else its embedding */
    bool normalized;                  /* unCLIP: its embeddings' mean and deviation are there */
    bool encodes;                     /* pictures can be a start */
    double guidance;                  /* usual for the family; 1: none */
    size_t steps;                     /* usual for the sampler */
} ib_diffusion_about;

/* path: a folder as diffusers saves it, or a single file. The weights stay mapped. */
int ib_diffusion_open(ib_diffusion **out, const char *path, const ib_diffusion_options *o, ib_error *err);
/* Accepts NULL; sets it. */
void ib_diffusion_close(ib_diffusion **d);
const ib_diffusion_about *ib_diffusion_about_of(const ib_diffusion *d);

/* Whether an IP-Adapter's file asks for an image tower's hidden tokens (Plus) and not for its embedding. */
int ib_diffusion_wants_hidden(const char *ip_adapter, bool *hidden, ib_error *err);

/* A prompt's condition: the text encoders' hidden tokens side by side [77,width], and for SDXL the pooled
 * text behind them. Conditions may be interpolated. The empty prompt needs no tokenizer. text:
 * [text_floats]. IB_E_UNSUPPORTED without text encoders. */
int ib_diffusion_prompt(ib_diffusion *d, const char *prompt, float *text, ib_error *err);

typedef struct ib_diffusion_job {
    size_t frames, width, height; /* px, multiples of about.factor */
    const float *text;            /* [frames,text_floats]; NULL: the empty prompt for all */
    const float *negative_text;   /* [text_floats]; NULL: the empty prompt */
    const float *embedding;       /* [frames,embedding_tokens,embedding_width], as the tower gives it; NULL:
                                     none, which Kandinsky and unCLIP need and others do without */
    size_t embedding_tokens;      /* where about leaves them open */
    const float *negative_embedding; /* [embedding_tokens,embedding_width]; NULL: zeros */
    const float *const *start; /* [frames] pictures [height,width,3], 0..1; NULL, or one of them: noise */
    const float *strength;     /* [frames], 0..1: how far from start; 0: start as it is, 1: noise alone;
                                  NULL: 1 */
    /* [frames], each [latent_floats]; NULL, or one of them: noise by the seed; nothing added.
     * With any noise, estimates are not clipped, which no way back from noise would survive. */
    const float *const *noise, *const *residual; /* residual: added to the latents at the end */
    size_t steps;                                /* 1..1000 */
    double guidance;                             /* 1 or less: none */
    uint64_t seed;                               /* as torch.Generator().manual_seed on a CPU */
    int noise_level;                             /* unCLIP, of embeddings: 0..999; -1: none */
    size_t batch;           /* frames computed together at most, fewer where they are large; 0: 4 */
    const atomic_int *stop; /* NULL: cannot be stopped */
    /* After each evaluation and each frame's decoding: frames done, and the share of all work. NULL: none */
    void (*progress)(void *context, size_t frames, double share);
    void *context;
} ib_diffusion_job;

/* Numbers of one picture's latents. */
size_t ib_diffusion_latent_floats(const ib_diffusion *d, size_t width, size_t height);
/* The noise from which the job's starts come back, each under its own condition: DDIM run backwards (Song et
 * al. 2010.02502, sec. 4.3) without guidance, and what the way forth with the job's guidance misses of the
 * start's latents. With both in a job, noise and residual, frames of the same conditions are the
 * autoencoder's pictures of the starts. All frames have starts; strength means nothing. noise, residual:
 * [frames,latent_floats]. IB_E_ARGUMENT unless the sampler is ddim. */
int ib_diffusion_invert(ib_diffusion *d, const ib_diffusion_job *job, float *noise, float *residual,
                        ib_error *err);

/* pictures: [frames,height,width,3], 0..1. done: of each frame whether it is complete, for a job that was
 * stopped; NULL: not told. */
int ib_diffusion_render(ib_diffusion *d, const ib_diffusion_job *job, float *pictures, bool *done,
                        ib_error *err);

#endif
