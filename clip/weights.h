/* Inside clip/ only: where the weights of the two towers lie in the user's files, checked; and their way to
 * float32.
 *
 * Three namings are known. Hugging Face: vision_model.* and text_model.* with visual_projection.weight and
 * text_projection.weight beside them, q, k and v apart. OpenCLIP (and OpenAI before it): visual.* and,
 * without a stem, the text tower's names; q|k|v in one, projections stored [W,D], transposed. Either may sit
 * under any prefix, as it does in checkpoints of whole diffusion models. */
#ifndef IB_CLIP_WEIGHTS_H
#define IB_CLIP_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/file.h"
#include "base/safetensors.h"
#include "clip/config.h"

/* Files that were saved together (one, or the shards of an index), and what lies beside them. */
typedef struct ib_clip_source {
    ib_paths path;    /* of the files */
    ib_st **file;     /* [path.n] */
    char *folder;     /* in which they lie */
    bool chosen_file; /* the user named the file and not the folder: a config beside it may be another model's
                       */
    ib_clip_config config;
} ib_clip_source;

typedef struct ib_clip_sources {
    ib_clip_source *v;
    size_t n;
    char *root; /* the folder that the user named, or in which the file that they named lies */
} ib_clip_sources;

/* path: a safetensors file; a folder with one, or with the index of several; a diffusers pipeline, whose
 * image_encoder/ and text encoders are such folders. Opens all of them with their configs. */
int ib_clip_sources_open(ib_clip_sources *s, const char *path, ib_error *err);
void ib_clip_sources_close(ib_clip_sources *s);
/* malloc'ed path of the first of these places (relative to the source's folder or the root) that is a file;
 * NULL: none is. */
char *ib_clip_beside(const ib_clip_sources *s, const ib_clip_source *source, const char *const *places,
                     size_t n);

typedef enum ib_clip_naming {
    IB_CLIP_HF,
    IB_CLIP_OPENCLIP,
    IB_CLIP_HF_BARE, /* one tower alone, without vision_model. or text_model., as transformers 5 saves it */
    IB_CLIP_NAMINGS
} ib_clip_naming;
typedef enum ib_clip_side { IB_CLIP_VISION, IB_CLIP_TEXT } ib_clip_side;

/* A matrix [rows, cols] from one tensor or from three of as many rows below each other: float32, half or
 * bfloat16, as it is mapped. */
typedef struct ib_clip_matrix {
    const ib_st_tensor *part[3];
    int parts;
    size_t rows, cols;
} ib_clip_matrix;

typedef struct ib_clip_block {
    ib_clip_matrix qkv, out, fc1, fc2;          /* [3W,W] [W,W] [M,W] [W,M] */
    const float *ln1_w, *ln1_b, *ln2_w, *ln2_b; /* [W] */
    const float *qkv_b, *out_b, *fc1_b, *fc2_b; /* [3W] [W] [M] [W] */
    const ib_st_tensor *vector[10];             /* where those came from, q, k and v counted apart */
    int vectors;
} ib_clip_block;

typedef struct ib_clip_tower {
    bool present;
    ib_clip_side side;
    ib_clip_naming naming;
    const ib_clip_source *source;
    char prefix[256]; /* before the naming's own words */
    size_t width, layers, heads, mlp, tokens;
    size_t projection;   /* D; 0: no projection, so no place in the joint space */
    size_t patch, image; /* px; image tower */
    size_t vocab;        /* text tower */
    float eps;
    ib_clip_act act;
    char act_why[256];
    ib_dtype dtype;               /* of the large matrices */
    size_t bytes;                 /* of all its tensors */
    ib_clip_block *block;         /* [layers] */
    const ib_st_tensor *table;    /* [vocab,W], text tower */
    const float *class_row;       /* [W], image tower */
    const float *positions;       /* [tokens,W] */
    const float *conv;            /* [W,3 patch patch], image tower */
    const float *pre_w, *pre_b;   /* [W], image tower */
    const float *post_w, *post_b; /* [W] */
    const float *project;         /* [D,W], whatever the file's order; NULL: none */
    const ib_st_tensor *own[8];   /* where those came from, in this order; NULL: not in this tower */
    float *arena;                 /* owns what is float above */
} ib_clip_tower;

/* Finds the towers in the sources, the ones that have a projection before others, a text tower that fits the
 * image tower before others, and checks every tensor's presence, dtype and shape. At least one tower is
 * present on success. activation: NULL or the user's word for both. under: NULL, or what the names of their
 * tensors begin with. */
int ib_clip_towers_open(const ib_clip_sources *s, const char *activation, const char *under,
                        ib_clip_tower *vision, ib_clip_tower *text, ib_error *err);
/* True if one of the file's tensors announces a tower. */
bool ib_clip_is_in(const ib_st *f);
void ib_clip_tower_close(ib_clip_tower *t);

/* Rows of a table as float32. out: [W] */
void ib_clip_row_get(const ib_st_tensor *table, size_t row, float *out);

/* Lower-case hex SHA-256 over the tower's numbers as stored, in one order for both namings and both orders of
 * the projection, so that the same weights have the same hash wherever they lie. */
void ib_clip_tower_sha256(const ib_clip_tower *t, char hex[65]);

#endif
