/* Keyframes in, a clip out whose frames are made by the user's own image diffusion model (diffusion/). What
 * leads it between keyframes are image embeddings (render/embeddings.h), prompts, or both.
 *
 * Keyframes that are pictures are in the clip as they are. Between two of them every k-th frame is diffused.
 * It starts from the pixel model's in-between (render/renderer.h) with noise of a strength that is zero at
 * the keyframes and largest in the middle; where that is less than one step of the sampler, the in-between
 * itself is taken. The frames between those come from the pixel model again. All frames have one noise, and
 * the sampler is deterministic, so that equal conditions give equal pictures. A keyframe that is a prompt is
 * drawn first, from noise alone, and is a picture from then on, whose embedding leads where embeddings do; a
 * latent is drawn too, but its own embedding leads, and all k-th frames beside it start from noise alone. So
 * do those beside prompts where `direct`.
 *
 * With inverted noise, frames between two pictures start from noise alone: from the slerp of the two noises
 * to which DDIM leads backwards from the pictures. What the way forth misses of the pictures is added to the
 * latents of frames near them. */
#ifndef IB_RENDER_DIFFUSED_H
#define IB_RENDER_DIFFUSED_H

#include "render/embeddings.h"

typedef enum ib_led_by {
    IB_LED_BY_PROMPT = 1, /* the prompt; without one, keyframes that are prompts */
    IB_LED_BY_IMAGE = 2,  /* the embeddings of the way */
    IB_LED_BY_BOTH = 3
} ib_led_by;

/* What is going on. */
typedef struct ib_diffused_progress {
    int64_t frames, all;        /* of the clip */
    size_t evaluated, evaluate; /* steps of diffused frames, of all that are to be made in this call */
    double left_seconds;        /* < 0: not known yet */
} ib_diffused_progress;

enum { IB_SEEDS_MOST = 64 };

typedef struct ib_diffused_options {
    ib_embeddings_options way; /* keyframes, output, adapter, guide, frames, fps, ... as there; no preview.
                                * width, height: of the clip, 0, 0: the first picture's own size, or the
                                * model's */
    const char *renderer;      /* folder or safetensors file of the model */
    const char *ip_adapter;    /* NULL: none */
    double ip_scale;           /* of the IP-Adapter, 0..2; default 1 */
    const char *vae;           /* "full" (NULL: the same), "tiny", or a path */
    const char *const *lora;   /* [n_lora] FILE or FILE:WEIGHT */
    size_t n_lora;
    const char *sampler;    /* ddim, euler, dpm++, lcm, pndm; NULL: by the model */
    const char *prediction; /* epsilon or v_prediction; NULL: what the model's files say */
    const char *spacing;    /* leading, trailing or linspace; NULL: what the model's files say */
    const char *tokenizer;  /* for a model that has none of its own; NULL: none */
    int steps;              /* 1..1000; 0: by the sampler; 50 with inverted noise */
    double guidance;        /* >= 0; < 0: by the model */
    uint64_t seed;          /* as torch's generator on the CPU takes it */
    int seeds; /* 1, the default, to IB_SEEDS_MOST: of that many, from `seed` on, the one whose pictures
                * agree best with what leads them makes the clip (render/seeds.h) */
    const char *seeds_judge;     /* file of a judge that says which does; NULL: the cosine */
    bool inverted;               /* between two pictures: frames start from noise that leads back to them */
    int noise_level;             /* of a Stable unCLIP's embeddings, 0..999; -1: none; -2, the default: 0 for
                                  * it, and others take no noise level */
    const char *prompt;          /* NULL: none */
    const char *negative_prompt; /* NULL: empty */
    ib_led_by condition;         /* 0: image with an IP-Adapter or a model of image embeddings, prompt
                                  * without, both with a prompt beside or where all keyframes are prompts
                                  * that are drawn */
    double strength; /* of the middle between two pictures, 0..1, above 0; 1: from noise alone; default 0.5 */
    int every;       /* diffuse every that many frames; default 4 */
    bool direct;     /* prompts lead by themselves, without becoming pictures first */
    bool draft; /* fast: TAESD where it is there, at most 8 steps (LCM: its 4), at most 256 px, unless said
                 * otherwise */
    const char *pixels; /* the pixel model, by name (adapter/named.h); NULL or "none": slerp of pictures */
    void (*progress_diffused)(void *user, const ib_diffused_progress *p); /* may be NULL */
} ib_diffused_options;

typedef struct ib_diffused_summary {
    int64_t frames, taken_up; /* of the clip; of them from a run that was stopped */
    int64_t diffused;         /* made by the model, in this call */
    int width, height, steps;
    uint64_t seed;    /* the one that was used */
    double agreement; /* with several seeds: the mean cosine, or score of the judge, of the one used */
    double seconds;
    const char *sampler;
} ib_diffused_summary;

void ib_diffused_defaults(ib_diffused_options *o);
/* Sentences for the user (what will be done; what may not fit, beginning with "warning: ") go to way.message.
 * A picture sequence that was stopped is kept in .NAME.resume, and so are the diffused frames of other clips;
 * the same call goes on from there and gives the same bytes. IB_E_MISMATCH for embeddings that the model does
 * not take, IB_E_ARGUMENT for a size that is no multiple of what the model works in, and as
 * ib_render_embeddings and ib_render_movie. summary may be NULL. */
int ib_render_diffused(const ib_diffused_options *o, ib_diffused_summary *summary, ib_error *err);

#endif
