/* What a U-Net looks like: by its tensors, and by the config.json beside them where tensors cannot say it
 * (heads, constants). */
#ifndef IB_DIFFUSION_UNET_CONFIG_H
#define IB_DIFFUSION_UNET_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include "diffusion/weights.h"

enum { IB_UNET_LEVELS = 8, IB_UNET_LAYERS = 8, IB_UNET_DEPTH = 32 };

typedef enum ib_unet_extra {
    IB_UNET_NOTHING,
    IB_UNET_CLASS,     /* class_embedding.* of `extra_width` numbers (unCLIP: embedding and noise level) */
    IB_UNET_TEXT_TIME, /* add_embedding.* of the pooled text and 6 numbers, `extra_width` together (SDXL) */
    IB_UNET_IMAGE      /* add_embedding.image_* of an image embedding of `extra_width` (Kandinsky 2.2) */
} ib_unet_extra;

typedef struct ib_unet_config {
    size_t in_channels, out_channels;
    size_t levels;                   /* of resolution, 1..IB_UNET_LEVELS */
    size_t channels[IB_UNET_LEVELS]; /* from the finest level down */
    size_t heads[IB_UNET_LEVELS];    /* of attention at each level */
    size_t down_layers[IB_UNET_LEVELS],
        up_layers[IB_UNET_LEVELS]; /* resnets; up: in running order, coarsest first */
    /* Transformer blocks behind each resnet, 0: no attention; with `simple` 1: there is one attention. */
    unsigned char down_depth[IB_UNET_LEVELS][IB_UNET_LAYERS], up_depth[IB_UNET_LEVELS][IB_UNET_LAYERS];
    size_t mid_resnets; /* 0: no middle block; 1 (SSD-1B): a resnet and nothing else; 2: resnet, attention,
                           resnet */
    size_t mid_depth;
    size_t mid_heads;
    bool simple;          /* attention is SimpleCross (Kandinsky), else transformers */
    bool resnet_sampling; /* levels change by resnets (Kandinsky), else by convolutions */
    bool scale_shift;     /* time goes in as scale and shift */
    bool linear;          /* proj_in, proj_out are stored as matrices; the arithmetic is the same */
    bool flip_sin_to_cos; /* cosines first */
    double freq_shift;
    size_t groups;         /* of group norms */
    float norm_eps;        /* of the resnets' group norms */
    size_t context;        /* width of the context's tokens; 0: no attention to any */
    size_t guidance_width; /* of LCM's guidance embedding; 0: none */
    ib_unet_extra extra;
    size_t extra_width;
    size_t extra_time_width; /* TEXT_TIME: of each number's sinusoid; 0: a sixth of what the pooled text
                                leaves */
    size_t image_tokens;     /* IMAGE: tokens that encoder_hid_proj makes; 0: none */
    bool heads_said;         /* by a config; else by convention */
} ib_unet_config;

/* IB_E_UNSUPPORTED for parts that this program does not have, IB_E_FORMAT for shapes that do not fit
 * together. */
int ib_unet_config_read(ib_unet_config *c, const ib_weights *w, ib_error *err);

#endif
