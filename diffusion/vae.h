/* The autoencoders between pictures and a U-Net's latents: AutoencoderKL (Rombach et al. 2022,
 * arXiv:2112.10752), TAESD (Bohan, github.com/madebyollin/taesd: small, for drafts) and MoVQ (Zheng et al.
 * 2022, arXiv:2209.09002: Kandinsky's). Computed in float32 whatever the weights' type, so that no picture
 * turns black as in half precision.
 *
 * Pictures are [rows,cols,3], red, green, blue, 0 black and 1 white; latents [rows / factor,cols /
 * factor,channels] in the units in which the U-Net sees them (scaled). Channels come last in both. */
#ifndef IB_DIFFUSION_VAE_H
#define IB_DIFFUSION_VAE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

typedef enum ib_vae_kind { IB_VAE_KL, IB_VAE_TINY, IB_VAE_MOVQ } ib_vae_kind;
const char *ib_vae_kind_name(ib_vae_kind k); /* "AutoencoderKL" "TAESD" "MoVQ" */

typedef struct ib_vae_about {
    ib_vae_kind kind;
    size_t channels;       /* of latents */
    size_t factor;         /* px to a latent's position, along either side */
    bool encodes, decodes; /* a file may hold one half only */
    double scaling, shift; /* latent = (mean - shift) * scaling */
    bool scaling_said; /* by the user, a config, or the kind; else that of Stable Diffusion 1 and 2 was taken
                        */
} ib_vae_about;

typedef struct ib_vae ib_vae;
/* path: a model's folder (its vae/ or movq/), the autoencoder's own folder, or a safetensors file under
 * diffusers' or the original names; of TAESD's two files either, with the other beside it. scaling: 0: what
 * the files say. */
int ib_vae_open(ib_vae **out, const char *path, double scaling, ib_error *err);
void ib_vae_close(ib_vae **v);
const ib_vae_about *ib_vae_about_of(const ib_vae *v);
const char *ib_vae_path(const ib_vae *v);
/* Lower-case hex SHA-256 over all that is used of the weights, as float32, and the constants: equal for equal
 * numbers, under whatever names and in whatever type they are stored. */
void ib_vae_sha256(const ib_vae *v, char hex[65]);

/* Both give the same bits whatever the number of threads (>= 1). Call them outside parallel regions. */

/* rows, cols: of the picture, multiples of the factor. mean: what a deterministic encoder gives. deviation:
 * NULL, or the standard deviation beside the mean, zeros where there is none (TAESD, MoVQ). IB_E_UNSUPPORTED
 * without an encoder. */
int ib_vae_encode(const ib_vae *v, const float *picture, size_t rows, size_t cols, float *mean,
                  float *deviation, int threads, ib_error *err);
/* rows, cols: of the latent. Values of the picture may lie outside 0..1. */
int ib_vae_decode(const ib_vae *v, const float *latent, size_t rows, size_t cols, float *picture, int threads,
                  ib_error *err);

#endif
