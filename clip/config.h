/* Inside clip/ only: what the files beside the weights say about them. Everything may be silent; then the
 * tensors' shapes and the field's conventions decide. */
#ifndef IB_CLIP_CONFIG_H
#define IB_CLIP_CONFIG_H

#include <stdbool.h>
#include "base/error.h"

typedef enum ib_clip_act { IB_CLIP_QUICK_GELU, IB_CLIP_GELU } ib_clip_act;
const char *ib_clip_act_name(ib_clip_act a);
/* "quick_gelu", "gelu"; false for another. */
bool ib_clip_act_of(const char *name, ib_clip_act *a);

typedef struct ib_clip_tower_config {
    bool said;                /* a config was there for this tower */
    int heads, width, layers; /* 0: not said */
    int image_size;           /* px; 0: not said */
    float eps;                /* 0: not said */
    bool act_said;
    ib_clip_act act;
    char source[512]; /* the file */
} ib_clip_tower_config;

typedef struct ib_clip_config {
    ib_clip_tower_config vision, text;
} ib_clip_config;

/* Hugging Face's config.json (of the whole model or of one tower) or OpenCLIP's open_clip_config.json, told
 * apart by content. What is not in the file keeps its value in *c. IB_E_UNSUPPORTED for an activation that
 * this program does not have, and for a SigLIP. */
int ib_clip_config_load(ib_clip_config *c, const char *path, ib_error *err);
/* IB_E_UNSUPPORTED: path belongs to a SigLIP. */
int ib_clip_refuse_siglip(const char *path, ib_error *err);

typedef enum ib_clip_filter { IB_CLIP_BICUBIC, IB_CLIP_BILINEAR } ib_clip_filter;

/* From frames to what the image tower takes in. */
typedef struct ib_clip_preprocess {
    int edge;              /* px: the shorter side before the centre is cut out; 0: the tower's own size */
    ib_clip_filter filter; /* default bicubic */
    float mean[3], std[3]; /* of R, G, B in 0..1 */
    bool usual;            /* mean and std are those of OpenAI's models, which nearly all others use */
    char source[512];      /* the file that said so; empty: the defaults */
} ib_clip_preprocess;

void ib_clip_preprocess_defaults(ib_clip_preprocess *p);
/* Hugging Face's preprocessor_config.json or the preprocess_cfg of open_clip_config.json (if it has one). */
int ib_clip_preprocess_load(ib_clip_preprocess *p, const char *path, ib_error *err);

#endif
