/* Inside diffusion/ only: samplers ("schedulers" in diffusers' files): at which times the network is asked,
 * how its input is scaled, and what becomes of its answer.
 *
 * Each is the deterministic or stochastic method of its paper in the parametrisation that diffusers gives it,
 * and is tested against that implementation: DDIM (Song et al. 2010.02502) and its inverse, DDPM (Ho et al.
 * 2006.11239), PNDM (Liu et al. 2202.09778, without Runge-Kutta steps), Euler and Euler ancestral (Karras et
 * al. 2206.00364), DPM-Solver++ 2M (Lu et al. 2211.01095), LCM (Luo et al. 2310.04378). Zero terminal SNR:
 * Lin et al. 2305.08891. */
#ifndef IB_DIFFUSION_SCHEDULER_H
#define IB_DIFFUSION_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

typedef enum ib_sampler {
    IB_SAMPLER_DDIM,
    IB_SAMPLER_DDIM_INVERSE, /* from a picture's latents to noise */
    IB_SAMPLER_DDPM,
    IB_SAMPLER_PNDM,
    IB_SAMPLER_EULER,
    IB_SAMPLER_EULER_A,
    IB_SAMPLER_DPMPP,
    IB_SAMPLER_LCM,
    IB_SAMPLERS
} ib_sampler;

typedef enum ib_prediction { IB_PREDICT_EPSILON, IB_PREDICT_V, IB_PREDICT_SAMPLE } ib_prediction;
typedef enum ib_spacing { IB_SPACING_LEADING, IB_SPACING_TRAILING, IB_SPACING_LINSPACE } ib_spacing;
/* Cosine: Nichol and Dhariwal 2102.09672. */
typedef enum ib_betas { IB_BETAS_LINEAR, IB_BETAS_SCALED_LINEAR, IB_BETAS_COSINE } ib_betas;

enum { IB_TRAIN_STEPS = 1000 };

typedef struct ib_scheduler_config {
    ib_sampler sampler;
    ib_betas betas;
    double beta_start, beta_end;
    ib_prediction prediction;
    ib_spacing spacing;
    size_t steps_offset; /* 0..999 */
    bool alpha_to_one;   /* the last step ends at noise 0 and not at the first training step's */
    bool zero_snr;       /* betas rescaled so that the last training step is pure noise */
    bool karras;         /* Euler, DPM++: noise levels as Karras et al. space them */
    bool clip_sample;    /* DDIM, DDPM, LCM: the estimate is clipped to +-clip_range */
    double clip_range;
    size_t original_steps; /* LCM: steps of the solver that it was distilled from, 1..1000 */
    double time_scale;     /* LCM */
} ib_scheduler_config;

/* What a sampler has where its file says nothing. */
void ib_scheduler_defaults(ib_scheduler_config *c, ib_sampler sampler);
/* The command line's word: ddim, ddpm, pndm, euler, euler-a, dpm++, lcm. -1: no such sampler. */
int ib_sampler_by_name(const char *name);
const char *ib_sampler_name(ib_sampler s);
/* dir/scheduler_config.json. *there false, and c with its defaults for PNDM, without such a file. A class
 * that is not known here, or known with settings that are not, gives *known false and what the file says of
 * betas, prediction and spacing. wanted: an ib_sampler to use with the file's training settings in the place
 * of the file's own; -1: the file's own. */
int ib_scheduler_config_read(ib_scheduler_config *c, const char *dir, int wanted, bool *there, bool *known,
                             ib_error *err);

typedef struct ib_scheduler ib_scheduler;
/* steps: 1..1000. IB_E_ARGUMENT for another number, and for zero_snr with IB_PREDICT_EPSILON. */
int ib_scheduler_open(ib_scheduler **out, const ib_scheduler_config *c, size_t steps, ib_error *err);
void ib_scheduler_close(ib_scheduler **s);

/* Evaluations of the network from noise to picture: steps, one more for PNDM. */
size_t ib_scheduler_evaluations(const ib_scheduler *s);
/* The first evaluation of a start from a picture: strength 0..1, the share of the steps that is run. Equal to
 * ib_scheduler_evaluations: none is. */
size_t ib_scheduler_first(const ib_scheduler *s, double strength);
double ib_scheduler_time(const ib_scheduler *s, size_t i);        /* what the network is told */
double ib_scheduler_input_scale(const ib_scheduler *s, size_t i); /* its input is x times this */
double ib_scheduler_start_scale(const ib_scheduler *s);           /* x at the start is noise times this */
bool ib_scheduler_wants_noise(const ib_scheduler *s, size_t i);
/* A picture's latents with the noise of evaluation i. out may be x. */
void ib_scheduler_add_noise(const ib_scheduler *s, size_t i, const float *x, const float *noise, float *out,
                            size_t n);
/* Cumulative product of 1 - beta. [IB_TRAIN_STEPS] */
const float *ib_scheduler_alphas(const ib_scheduler *s);
/* Noise level of evaluation i, i up to and including the number of evaluations; Euler, DPM++. */
double ib_scheduler_sigma(const ib_scheduler *s, size_t i);

/* Forgets earlier answers and makes room for x of n numbers (a whole batch of frames). */
int ib_scheduler_begin(ib_scheduler *s, size_t n, ib_error *err);
/* x after evaluation i from x before it and the network's answer. Evaluations follow each other from the
 * first. noise: [n], NULL unless it is wanted. x: [n], e: [n] */
void ib_scheduler_step(ib_scheduler *s, size_t i, float *x, const float *e, const float *noise);

#endif
