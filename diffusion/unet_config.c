#include "diffusion/unet_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "diffusion/config.h"

typedef struct reading {
    ib_unet_config *c;
    const ib_weights *w;
    const json_t *j;
    const char *path; /* of the config */
    ib_error *err;
} reading;

__attribute__((format(printf, 2, 3))) static bool has(const reading *r, const char *form, ...) {
    char name[256];
    va_list v;
    va_start(v, form);
    vsnprintf(name, sizeof name, form, v);
    va_end(v);
    return ib_weights_has(r->w, name);
}

/* The length of one axis of a tensor with so many. */
__attribute__((format(printf, 5, 6))) static int length(const reading *r, int rank, int axis, size_t *n,
                                                        const char *form, ...) {
    char name[256];
    ib_weight x;
    va_list v;
    va_start(v, form);
    vsnprintf(name, sizeof name, form, v);
    va_end(v);
    int rc = ib_weights_get(r->w, name, rank, (const int64_t[4]){-1, -1, -1, -1}, &x, r->err);
    if (!rc && x.shape[axis] > 1 << 20) {
        return ib_fail(r->err, IB_E_UNSUPPORTED, "%s: tensor '%s' is too large for a U-Net",
                       ib_weights_path(r->w), name);
    }
    if (!rc) {
        *n = (size_t)x.shape[axis];
    }
    return rc;
}

/* ---- what the tensors say ---- */

/* How many transformer blocks there are in `side`_blocks.i.attentions.j. */
static int read_depth(const reading *r, const char *place, unsigned char *depth) {
    size_t n = 0;
    *depth = 0;
    if (r->c->simple) {
        *depth = has(r, "%s.to_q.weight", place);
        return IB_OK;
    }
    while (n <= IB_UNET_DEPTH && has(r, "%s.transformer_blocks.%zu.attn1.to_q.weight", place, n)) {
        n++;
    }
    if (n > IB_UNET_DEPTH) {
        return ib_fail(r->err, IB_E_UNSUPPORTED, "%s: %s has more than %d transformer blocks",
                       ib_weights_path(r->w), place, IB_UNET_DEPTH);
    }
    *depth = (unsigned char)n;
    return IB_OK;
}

static int read_layers(const reading *r, const char *side, size_t level, size_t *layers,
                       unsigned char *depth) {
    size_t n = 0;
    while (n <= IB_UNET_LAYERS && has(r, "%s_blocks.%zu.resnets.%zu.conv1.weight", side, level, n)) {
        n++;
    }
    if (n < 1 || n > IB_UNET_LAYERS) {
        return ib_fail(r->err, IB_E_FORMAT, "%s: %s_blocks.%zu has %s%d resnets, expected 1 to %d",
                       ib_weights_path(r->w), side, level, n ? "more than " : "", n ? IB_UNET_LAYERS : 0,
                       IB_UNET_LAYERS);
    }
    *layers = n;
    for (size_t i = 0; i < n; i++) {
        char place[96];
        snprintf(place, sizeof place, "%s_blocks.%zu.attentions.%zu", side, level, i);
        int rc = read_depth(r, place, &depth[i]);
        if (rc) {
            return rc;
        }
    }
    return IB_OK;
}

static int read_levels(const reading *r) {
    ib_unet_config *c = r->c;
    size_t n = 0;
    int rc;
    while (n <= IB_UNET_LEVELS && has(r, "down_blocks.%zu.resnets.0.conv1.weight", n)) {
        n++;
    }
    if (n > IB_UNET_LEVELS) {
        return ib_fail(r->err, IB_E_UNSUPPORTED, "%s: more than %d levels", ib_weights_path(r->w),
                       IB_UNET_LEVELS);
    }
    c->levels = n ? n : 1; /* with none, the first tensor asked for is named as missing */
    for (size_t i = 0; i < c->levels; i++) {
        if ((rc = length(r, 4, 0, &c->channels[i], "down_blocks.%zu.resnets.0.conv1.weight", i)) ||
            (rc = read_layers(r, "down", i, &c->down_layers[i], c->down_depth[i])) ||
            (rc = read_layers(r, "up", i, &c->up_layers[i], c->up_depth[i]))) {
            return rc;
        }
    }
    if (has(r, "up_blocks.%zu.resnets.0.conv1.weight", c->levels)) {
        return ib_fail(r->err, IB_E_FORMAT, "%s: %zu levels down and more up", ib_weights_path(r->w),
                       c->levels);
    }
    while (c->mid_resnets <= 2 && has(r, "mid_block.resnets.%zu.conv1.weight", c->mid_resnets)) {
        c->mid_resnets++;
    }
    /* a block whose first tensor is gone is damage, not a model without the block */
    if (has(r, "mid_block.resnets.%zu.norm1.weight", c->mid_resnets)) {
        return ib_fail(r->err, IB_E_FORMAT, "%s: tensor 'mid_block.resnets.%zu.conv1.weight' is missing",
                       ib_weights_path(r->w), c->mid_resnets);
    }
    if (c->mid_resnets > 2) {
        return ib_fail(r->err, IB_E_UNSUPPORTED, "%s: a middle block of more than two resnets",
                       ib_weights_path(r->w));
    }
    unsigned char depth = 0;
    rc = read_depth(r, "mid_block.attentions.0", &depth);
    c->mid_depth = depth;
    return rc;
}

/* The width of the context, by the first attention to it. */
static int read_context(const reading *r) {
    const ib_unet_config *c = r->c;
    const char *last = c->simple ? "add_k_proj.weight" : "transformer_blocks.0.attn2.to_k.weight";
    for (size_t i = 0; i < c->levels; i++) {
        for (size_t j = 0; j < c->down_layers[i]; j++) {
            if (c->down_depth[i][j]) {
                return length(r, 2, 1, &r->c->context, "down_blocks.%zu.attentions.%zu.%s", i, j, last);
            }
        }
    }
    return c->mid_depth ? length(r, 2, 1, &r->c->context, "mid_block.attentions.0.%s", last) : IB_OK;
}

static int read_linear(const reading *r) {
    ib_weight x;
    for (size_t i = 0; i < r->c->levels; i++) {
        char name[96];
        snprintf(name, sizeof name, "down_blocks.%zu.attentions.0.proj_in.weight", i);
        if (ib_weights_has(r->w, name)) {
            int rc = ib_weights_get(r->w, name, -1, NULL, &x, r->err);
            r->c->linear = !rc && x.rank == 2;
            return rc;
        }
    }
    return IB_OK;
}

static int read_extra(const reading *r) {
    ib_unet_config *c = r->c;
    int rc;
    if (has(r, "class_embedding.linear_1.weight")) {
        c->extra = IB_UNET_CLASS;
        return length(r, 2, 1, &c->extra_width, "class_embedding.linear_1.weight");
    }
    if (has(r, "add_embedding.linear_1.weight")) {
        c->extra = IB_UNET_TEXT_TIME;
        c->extra_time_width = 256;
        if ((rc = length(r, 2, 1, &c->extra_width, "add_embedding.linear_1.weight")) ||
            (rc = ib_config_count(r->j, "addition_time_embed_dim", 2, 4096, &c->extra_time_width, r->path,
                                  r->err))) {
            return rc;
        }
        if (6 * c->extra_time_width >= c->extra_width && !json_object_get(r->j, "addition_time_embed_dim")) {
            c->extra_time_width = 0;
        }
        if (6 * c->extra_time_width >= c->extra_width || c->extra_time_width % 2) {
            return ib_fail(
                r->err, IB_E_FORMAT,
                "%s: tensor 'add_embedding.linear_1.weight' takes %zu numbers, too few for six times %zu",
                ib_weights_path(r->w), c->extra_width, c->extra_time_width);
        }
        return IB_OK;
    }
    if (has(r, "add_embedding.image_proj.weight")) {
        size_t rows = 0;
        c->extra = IB_UNET_IMAGE;
        if ((rc = length(r, 2, 1, &c->extra_width, "add_embedding.image_proj.weight")) ||
            !has(r, "encoder_hid_proj.image_embeds.weight") ||
            (rc = length(r, 2, 0, &rows, "encoder_hid_proj.image_embeds.weight"))) {
            return rc;
        }
        if (!c->context || rows % c->context) {
            return ib_fail(
                r->err, IB_E_FORMAT,
                "%s: tensor 'encoder_hid_proj.image_embeds.weight' gives %zu numbers, not a multiple of "
                "the context's %zu",
                ib_weights_path(r->w), rows, c->context);
        }
        c->image_tokens = rows / c->context;
    }
    return IB_OK;
}

static int read_tensors(const reading *r) {
    ib_unet_config *c = r->c;
    size_t rows = 0;
    int rc;
    c->simple = has(r, "mid_block.attentions.0.add_k_proj.weight");
    c->resnet_sampling = has(r, "down_blocks.0.downsamplers.0.conv1.weight");
    if ((rc = length(r, 4, 1, &c->in_channels, "conv_in.weight")) ||
        (rc = length(r, 4, 0, &c->out_channels, "conv_out.weight")) || (rc = read_levels(r)) ||
        (rc = read_context(r)) || (rc = read_linear(r)) || (rc = read_extra(r)) ||
        (rc = length(r, 2, 0, &rows, "down_blocks.0.resnets.0.time_emb_proj.weight"))) {
        return rc;
    }
    c->scale_shift = rows == 2 * c->channels[0];
    if (has(r, "time_embedding.cond_proj.weight")) {
        return length(r, 2, 1, &c->guidance_width, "time_embedding.cond_proj.weight");
    }
    return IB_OK;
}

/* ---- what only a config says ---- */

/* A number for all levels, or a list of one per level. */
static int read_per_level(const reading *r, const char *key, size_t *v, bool *said) {
    const json_t *x = json_object_get(r->j, key);
    if (!x || json_is_null(x)) {
        return IB_OK;
    }
    if (json_is_array(x) && json_array_size(x) != r->c->levels) {
        return ib_fail(r->err, IB_E_FORMAT, "%s: \"%s\" is a list of %zu, but the weights have %zu levels",
                       r->path, key, json_array_size(x), r->c->levels);
    }
    for (size_t i = 0; i < r->c->levels; i++) {
        const json_t *one = json_is_array(x) ? json_array_get(x, i) : x;
        json_int_t n = json_integer_value(one);
        if (!json_is_integer(one) || n < 1 || n > 65536) {
            return ib_fail(r->err, IB_E_FORMAT,
                           "%s: \"%s\" is no whole number from 1 to 65536, nor a list of them", r->path, key);
        }
        v[i] = (size_t)n;
    }
    *said = true;
    return IB_OK;
}

/* diffusers calls "attention_head_dim" the number of heads of a transformer and the width of a head of a
 * SimpleCross attention. Without a config: Stable Diffusion 1 has eight heads everywhere, the later ones
 * heads 64 wide. */
static int read_heads(const reading *r) {
    ib_unet_config *c = r->c;
    size_t v[IB_UNET_LEVELS];
    int rc;
    bool narrow = false;
    for (size_t i = 0; i < c->levels; i++) {
        narrow = narrow || c->channels[i] % 64;
    }
    for (size_t i = 0; i < c->levels; i++) {
        v[i] = c->simple ? 64 : !c->linear ? 8 : c->channels[i] / (narrow ? 16 : 64);
        v[i] = v[i] ? v[i] : 1;
    }
    if ((rc = read_per_level(r, "attention_head_dim", v, &c->heads_said)) ||
        (!c->simple && (rc = read_per_level(r, "num_attention_heads", v, &c->heads_said)))) {
        return rc;
    }
    for (size_t i = 0; i < c->levels; i++) {
        if (c->channels[i] % v[i]) {
            return ib_fail(r->err, IB_E_FORMAT, "%s: %zu channels are not divisible by %zu %s", r->path,
                           c->channels[i], v[i], c->simple ? "for a head's width" : "heads");
        }
        c->heads[i] = c->simple ? c->channels[i] / v[i] : v[i];
    }
    c->mid_heads = c->heads[c->levels - 1];
    return IB_OK;
}

static int read_constants(const reading *r) {
    static const ib_config_only only[] = {
        {"center_input_sample", "false"},
        {"only_cross_attention", "false"},
        {"dual_cross_attention", "false"},
        {"act_fn", "silu"},
        {"time_embedding_type", "positional"},
        {"time_embedding_act_fn", ""},
        {"timestep_post_act", ""},
        {"conv_in_kernel", "3"},
        {"conv_out_kernel", "3"},
        {"downsample_padding", "1"},
        {"mid_block_scale_factor", "1"},
        {"resnet_out_scale_factor", "1"},
        {"resnet_skip_time_act", "false"},
        {"class_embeddings_concat", "false"},
        {"cross_attention_norm", ""},
        {"attention_type", "default"},
    };
    ib_unet_config *c = r->c;
    double eps = 1e-5;
    int rc;
    c->flip_sin_to_cos = true;
    c->groups = 32;
    if ((rc = ib_config_check(r->j, only, sizeof only / sizeof *only, r->path, r->err)) ||
        (rc = ib_config_bool(r->j, "flip_sin_to_cos", &c->flip_sin_to_cos, r->path, r->err)) ||
        (rc = ib_config_number(r->j, "freq_shift", 0, 1, &c->freq_shift, r->path, r->err)) ||
        (rc = ib_config_count(r->j, "norm_num_groups", 1, 1024, &c->groups, r->path, r->err)) ||
        (rc = ib_config_number(r->j, "norm_eps", 1e-12, 1, &eps, r->path, r->err)) || (rc = read_heads(r))) {
        return rc;
    }
    c->norm_eps = (float)eps;
    for (size_t i = 0; i < c->levels; i++) {
        if (c->channels[i] % c->groups || c->channels[i] % 2) {
            return ib_fail(r->err, IB_E_FORMAT, "%s: %zu channels are not divisible by %zu groups",
                           ib_weights_path(r->w), c->channels[i], c->groups);
        }
    }
    return IB_OK;
}

int ib_unet_config_read(ib_unet_config *c, const ib_weights *w, ib_error *err) {
    json_t *j;
    char path[512];
    const char *folder = ib_weights_folder(w);
    *c = (ib_unet_config){0};
    snprintf(path, sizeof path, "%.480s%s", folder ? folder : ib_weights_path(w),
             folder ? "/config.json" : "");
    int rc = ib_config_load(&j, folder, "config.json", err);
    if (rc) {
        return rc;
    }
    reading r = {c, w, j, path, err};
    rc = read_tensors(&r);
    rc = rc ? rc : read_constants(&r);
    json_decref(j);
    return rc;
}
