/* Inside diffusion/ only: what an autoencoder is made of. */
#ifndef IB_DIFFUSION_VAE_PRIVATE_H
#define IB_DIFFUSION_VAE_PRIVATE_H

#include "diffusion/map.h"
#include "diffusion/vae.h"

enum { IB_VAE_LEVELS = 8, IB_VAE_LAYERS = 8, IB_VAE_TINY_PARTS = 64 };

typedef struct ib_vae_resnet {
    ib_map_norm norm1, norm2;
    ib_map_conv conv1, conv2, shortcut;
    bool has_shortcut;
} ib_vae_resnet;

typedef struct ib_vae_attention {
    bool present;
    ib_map_norm norm;
    ib_map_conv q, k, v, out;
} ib_vae_attention;

typedef struct ib_vae_level {
    size_t layers;
    ib_vae_resnet resnet[IB_VAE_LAYERS];
    ib_vae_attention attention[IB_VAE_LAYERS]; /* each after its resnet */
    bool sampled;
    ib_map_conv sample; /* then the next level's size */
} ib_vae_level;

/* An encoder or a decoder. */
typedef struct ib_vae_side {
    bool present;
    ib_map_conv in, out;
    size_t levels;
    ib_vae_level level[IB_VAE_LEVELS]; /* in running order */
    ib_vae_resnet mid[2];
    ib_vae_attention mid_attention;
    ib_map_norm norm;
    bool has_quant; /* 1x1 after the encoder, before the decoder */
    ib_map_conv quant;
} ib_vae_side;

/* TAESD: a chain of these. */
typedef struct ib_vae_tiny_part {
    enum { IB_VAE_TINY_CONV, IB_VAE_TINY_BLOCK } kind;
    ib_map_conv conv[3], skip; /* a convolution has one */
    bool has_skip;
    size_t up, stride; /* of a convolution */
    bool relu;         /* after a convolution */
} ib_vae_tiny_part;

typedef struct ib_vae_tiny {
    size_t parts[2];
    ib_vae_tiny_part part[2][IB_VAE_TINY_PARTS];
    double magnitude; /* latents are bent into +-magnitude before decoding */
} ib_vae_tiny;

enum { IB_VAE_ENCODER, IB_VAE_DECODER };

struct ib_vae {
    ib_weights *w;
    ib_vae_about about;
    ib_vae_side side[2];
    ib_vae_tiny *tiny; /* NULL: another kind */
};

/* All of it, from v->w. */
int ib_vae_find(ib_vae *v, ib_error *err);
/* TAESD's: fills about's channels, factor, encodes and decodes. */
int ib_vae_tiny_find(ib_vae *v, ib_error *err);
/* m: the picture or the latent; becomes the other. */
int ib_vae_tiny_run(const ib_vae_tiny *t, int side, ib_map *m, int threads, ib_error *err);

#endif
