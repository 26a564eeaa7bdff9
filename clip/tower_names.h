/* Inside clip/ only: what the two namings call the tensors of a tower, and how a tower becomes known. */
#ifndef IB_CLIP_TOWER_NAMES_H
#define IB_CLIP_TOWER_NAMES_H

#include "clip/weights.h"

typedef enum ib_clip_part {
    IB_CLIP_Q_W, /* in OpenCLIP's naming q|k|v are one tensor, under this name */
    IB_CLIP_K_W,
    IB_CLIP_V_W,
    IB_CLIP_Q_B,
    IB_CLIP_K_B,
    IB_CLIP_V_B,
    IB_CLIP_OUT_W,
    IB_CLIP_OUT_B,
    IB_CLIP_LN1_W,
    IB_CLIP_LN1_B,
    IB_CLIP_LN2_W,
    IB_CLIP_LN2_B,
    IB_CLIP_FC1_W,
    IB_CLIP_FC1_B,
    IB_CLIP_FC2_W,
    IB_CLIP_FC2_B,
    IB_CLIP_PARTS
} ib_clip_part;

/* A tower's tensors outside its blocks; the first eight index ib_clip_tower.own. */
typedef enum ib_clip_own {
    IB_CLIP_CLASS,
    IB_CLIP_CONV,
    IB_CLIP_POSITIONS,
    IB_CLIP_PRE_W,
    IB_CLIP_PRE_B,
    IB_CLIP_POST_W,
    IB_CLIP_POST_B,
    IB_CLIP_PROJECT,
    IB_CLIP_TABLE,
    IB_CLIP_OWNS
} ib_clip_own;

typedef struct ib_clip_names {
    const char *name;
    struct {
        const char *block;             /* before a block's number */
        const char *own[IB_CLIP_OWNS]; /* NULL: the tower has none */
    } side[2];
    const char *part[IB_CLIP_PARTS]; /* behind a block's number and its dot */
} ib_clip_names;

extern const ib_clip_names ib_clip_names_of[IB_CLIP_NAMINGS]; /* by ib_clip_naming */
const char *ib_clip_naming_name(ib_clip_naming n);            /* "Hugging Face" ... */
void ib_clip_own_name(const ib_clip_tower *t, ib_clip_own own, char *name, size_t bytes);

/* t: side, naming, source and prefix are set; everything else is found and checked. */
int ib_clip_tower_load(ib_clip_tower *t, ib_error *err);
/* Heads, eps and activation, from config or convention; checks that they fit the tensors. */
int ib_clip_choose(ib_clip_tower *t, ib_error *err);

#endif
