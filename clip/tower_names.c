#include "clip/tower_names.h"

#include <stdio.h>

/* Hugging Face's names, behind a stem for each tower ("" in folders of one tower alone); "pre_layrnorm" is
 * theirs. */
#define HUGGING_FACE(label, vision, text)                                                                    \
    {                                                                                                        \
        .name = label,                                                                                       \
        .side = {[IB_CLIP_VISION] = {.block = vision "encoder.layers.",                                      \
                                     .own = {[IB_CLIP_CLASS] = vision "embeddings.class_embedding",          \
                                             [IB_CLIP_CONV] = vision "embeddings.patch_embedding.weight",    \
                                             [IB_CLIP_POSITIONS] =                                           \
                                                 vision "embeddings.position_embedding.weight",              \
                                             [IB_CLIP_PRE_W] = vision "pre_layrnorm.weight",                 \
                                             [IB_CLIP_PRE_B] = vision "pre_layrnorm.bias",                   \
                                             [IB_CLIP_POST_W] = vision "post_layernorm.weight",              \
                                             [IB_CLIP_POST_B] = vision "post_layernorm.bias",                \
                                             [IB_CLIP_PROJECT] = "visual_projection.weight"}},               \
                 [IB_CLIP_TEXT] = {.block = text "encoder.layers.",                                          \
                                   .own = {[IB_CLIP_POSITIONS] =                                             \
                                               text "embeddings.position_embedding.weight",                  \
                                           [IB_CLIP_POST_W] = text "final_layer_norm.weight",                \
                                           [IB_CLIP_POST_B] = text "final_layer_norm.bias",                  \
                                           [IB_CLIP_PROJECT] = "text_projection.weight",                     \
                                           [IB_CLIP_TABLE] = text "embeddings.token_embedding.weight"}}},    \
        .part = {                                                                                            \
            [IB_CLIP_Q_W] = "self_attn.q_proj.weight",                                                       \
            [IB_CLIP_K_W] = "self_attn.k_proj.weight",                                                       \
            [IB_CLIP_V_W] = "self_attn.v_proj.weight",                                                       \
            [IB_CLIP_Q_B] = "self_attn.q_proj.bias",                                                         \
            [IB_CLIP_K_B] = "self_attn.k_proj.bias",                                                         \
            [IB_CLIP_V_B] = "self_attn.v_proj.bias",                                                         \
            [IB_CLIP_OUT_W] = "self_attn.out_proj.weight",                                                   \
            [IB_CLIP_OUT_B] = "self_attn.out_proj.bias",                                                     \
            [IB_CLIP_LN1_W] = "layer_norm1.weight",                                                          \
            [IB_CLIP_LN1_B] = "layer_norm1.bias",                                                            \
            [IB_CLIP_LN2_W] = "layer_norm2.weight",                                                          \
            [IB_CLIP_LN2_B] = "layer_norm2.bias",                                                            \
            [IB_CLIP_FC1_W] = "mlp.fc1.weight",                                                              \
            [IB_CLIP_FC1_B] = "mlp.fc1.bias",                                                                \
            [IB_CLIP_FC2_W] = "mlp.fc2.weight",                                                              \
            [IB_CLIP_FC2_B] = "mlp.fc2.bias"                                                                 \
        }                                                                                                    \
    }

const ib_clip_names ib_clip_names_of[IB_CLIP_NAMINGS] = {
    [IB_CLIP_HF] = HUGGING_FACE("Hugging Face", "vision_model.", "text_model."),
    [IB_CLIP_HF_BARE] = HUGGING_FACE("Hugging Face without stem", "", ""),
    [IB_CLIP_OPENCLIP] = {
        .name = "OpenCLIP",
        .side = {[IB_CLIP_VISION] = {.block = "visual.transformer.resblocks.",
                                     .own = {[IB_CLIP_CLASS] = "visual.class_embedding",
                                             [IB_CLIP_CONV] = "visual.conv1.weight",
                                             [IB_CLIP_POSITIONS] = "visual.positional_embedding",
                                             [IB_CLIP_PRE_W] = "visual.ln_pre.weight",
                                             [IB_CLIP_PRE_B] = "visual.ln_pre.bias",
                                             [IB_CLIP_POST_W] = "visual.ln_post.weight",
                                             [IB_CLIP_POST_B] = "visual.ln_post.bias",
                                             [IB_CLIP_PROJECT] = "visual.proj"}},
                 [IB_CLIP_TEXT] = {.block = "transformer.resblocks.",
                                   .own = {[IB_CLIP_POSITIONS] = "positional_embedding",
                                           [IB_CLIP_POST_W] = "ln_final.weight",
                                           [IB_CLIP_POST_B] = "ln_final.bias",
                                           [IB_CLIP_PROJECT] = "text_projection",
                                           [IB_CLIP_TABLE] = "token_embedding.weight"}}},
        .part = {[IB_CLIP_Q_W] = "attn.in_proj_weight",
                 [IB_CLIP_Q_B] = "attn.in_proj_bias",
                 [IB_CLIP_OUT_W] = "attn.out_proj.weight",
                 [IB_CLIP_OUT_B] = "attn.out_proj.bias",
                 [IB_CLIP_LN1_W] = "ln_1.weight",
                 [IB_CLIP_LN1_B] = "ln_1.bias",
                 [IB_CLIP_LN2_W] = "ln_2.weight",
                 [IB_CLIP_LN2_B] = "ln_2.bias",
                 [IB_CLIP_FC1_W] = "mlp.c_fc.weight",
                 [IB_CLIP_FC1_B] = "mlp.c_fc.bias",
                 [IB_CLIP_FC2_W] = "mlp.c_proj.weight",
                 [IB_CLIP_FC2_B] = "mlp.c_proj.bias"}}};

const char *ib_clip_naming_name(ib_clip_naming n) {
    return ib_clip_names_of[n].name;
}

void ib_clip_own_name(const ib_clip_tower *t, ib_clip_own own, char *name, size_t bytes) {
    snprintf(name, bytes, "%s%s", t->prefix, ib_clip_names_of[t->naming].side[t->side].own[own]);
}
