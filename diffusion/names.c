#include "diffusion/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pair {
    const char *ours, *theirs;
} pair;

/* If name begins with `ours` and a dot or its end, what follows; else NULL. */
static const char *after(const char *name, const char *ours) {
    size_t n = strlen(ours);
    return !strncmp(name, ours, n) && (name[n] == '.' || !name[n]) ? name + n : NULL;
}

/* The first pair that name begins with, put in its place. */
static bool replace(const pair *p, size_t n, const char *before, const char *name, char *out) {
    for (size_t i = 0; i < n; i++) {
        const char *rest = after(name, p[i].ours);
        if (rest) {
            return snprintf(out, IB_NAME_BYTES, "%s%s%s", before, p[i].theirs, rest) < IB_NAME_BYTES;
        }
    }
    return snprintf(out, IB_NAME_BYTES, "%s%s", before, name) < IB_NAME_BYTES;
}

/* "WHAT.12.REST": 12, and REST; false for another WHAT and for no number of at most three digits. */
static bool numbered(const char *name, const char *what, size_t *number, const char **rest) {
    const char *at = after(name, what);
    if (!at || *at != '.' || at[1] < '0' || at[1] > '9') {
        return false;
    }
    char *end;
    unsigned long v = strtoul(at + 1, &end, 10);
    if (end - at > 4 || *end != '.') {
        return false;
    }
    *number = v;
    *rest = end + 1;
    return true;
}

/* ---- the U-Net ---- */

static const pair unet_resnet[] = {{"norm1", "in_layers.0"},          {"conv1", "in_layers.2"},
                                   {"norm2", "out_layers.0"},         {"conv2", "out_layers.3"},
                                   {"time_emb_proj", "emb_layers.1"}, {"conv_shortcut", "skip_connection"}};
static const pair unet_rest[] = {{"conv_in", "input_blocks.0.0"},
                                 {"conv_norm_out", "out.0"},
                                 {"conv_out", "out.2"},
                                 {"time_embedding.linear_1", "time_embed.0"},
                                 {"time_embedding.linear_2", "time_embed.2"},
                                 {"time_embedding", "time_embed"}};
static const pair unet_label[] = {{"linear_1", "label_emb.0.0"}, {"linear_2", "label_emb.0.2"}};

static bool resnet_or_attention(const char *block, size_t number, size_t sub, bool resnet, const char *rest,
                                char *out) {
    char before[96];
    snprintf(before, sizeof before, "%s.%zu.%zu.", block, number, sub);
    return replace(unet_resnet, resnet ? sizeof unet_resnet / sizeof *unet_resnet : 0, before, rest, out);
}

/* An upsampler lies in the level's last output block, after the resnet and, if there is one, the attention.
 */
static bool upsampler(const ib_names *n, size_t level, const char *rest, size_t turn, char *out) {
    size_t block = level * n->stride + n->stride - 1 - turn / 2;
    if (turn / 2 >= n->stride) {
        return false;
    }
    return snprintf(out, IB_NAME_BYTES, "output_blocks.%zu.%d.%s", block, turn % 2 ? 1 : 2, rest) <
           IB_NAME_BYTES;
}

static bool unet_name(const ib_names *n, const char *name, size_t turn, char *out) {
    size_t level, layer;
    const char *in, *rest;
    bool down = numbered(name, "down_blocks", &level, &in);
    if (!down && numbered(name, "up_blocks", &level, &in) && numbered(in, "upsamplers", &layer, &rest)) {
        return !layer && upsampler(n, level, rest, turn, out);
    }
    if (turn) {
        return false;
    }
    if (down && numbered(in, "downsamplers", &layer, &rest)) {
        const char *last = after(rest, "conv");
        return last && !layer &&
               snprintf(out, IB_NAME_BYTES, "input_blocks.%zu.0.op%s", (level + 1) * n->stride, last) <
                   IB_NAME_BYTES;
    }
    if (down || numbered(name, "up_blocks", &level, &in)) {
        bool resnet = numbered(in, "resnets", &layer, &rest);
        if ((!resnet && !numbered(in, "attentions", &layer, &rest)) || layer + (down ? 1 : 0) >= n->stride) {
            return false;
        }
        return resnet_or_attention(down ? "input_blocks" : "output_blocks",
                                   level * n->stride + layer + (down ? 1 : 0), resnet ? 0 : 1, resnet, rest,
                                   out);
    }
    if (numbered(name, "mid_block.resnets", &layer, &rest)) {
        char before[64];
        snprintf(before, sizeof before, "middle_block.%zu.", 2 * layer);
        return replace(unet_resnet, sizeof unet_resnet / sizeof *unet_resnet, before, rest, out);
    }
    if (numbered(name, "mid_block.attentions", &layer, &rest)) {
        return !layer && snprintf(out, IB_NAME_BYTES, "middle_block.1.%s", rest) < IB_NAME_BYTES;
    }
    const char *label = after(name, n->text_time ? "add_embedding" : "class_embedding");
    if (label) {
        return *label == '.' && replace(unet_label, 2, "", label + 1, out);
    }
    return !after(name, "add_embedding") && !after(name, "class_embedding") &&
           replace(unet_rest, sizeof unet_rest / sizeof *unet_rest, "", name, out);
}

/* ---- the autoencoder ---- */

static const pair vae_resnet[] = {{"conv_shortcut", "nin_shortcut"}};
static const pair attention[] = {
    {"group_norm", "norm"}, {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}, {"to_out.0", "proj_out"}};
static const pair vae_side[] = {{"conv_norm_out", "norm_out"}};

static bool vae_part(const char *side, const char *place, const char *rest, bool resnet, char *out) {
    char before[128];
    snprintf(before, sizeof before, "%s.%s.", side, place);
    return resnet ? replace(vae_resnet, 1, before, rest, out)
                  : replace(attention, sizeof attention / sizeof *attention, before, rest, out);
}

static bool vae_name(const ib_names *n, const char *name, char *out) {
    bool decoder = after(name, "decoder") != NULL;
    const char *side = decoder ? "decoder" : "encoder", *in = after(name, side), *rest, *last;
    size_t level, layer;
    char place[96];
    if (!in || *in != '.') {
        return replace(NULL, 0, "", name, out);
    }
    in++;
    if (numbered(in, decoder ? "up_blocks" : "down_blocks", &level, &rest)) {
        if (decoder && level >= n->levels) {
            return false;
        }
        const char *way = decoder ? "up" : "down";
        level = decoder ? n->levels - 1 - level : level;
        if (numbered(rest, decoder ? "upsamplers" : "downsamplers", &layer, &last)) {
            snprintf(place, sizeof place, "%s.%zu.%ssample", way, level, way);
            return !layer && vae_part(side, place, last, true, out);
        }
        bool resnet = numbered(rest, "resnets", &layer, &last);
        if (!resnet && !numbered(rest, "attentions", &layer, &last)) {
            return false;
        }
        snprintf(place, sizeof place, "%s.%zu.%s.%zu", way, level, resnet ? "block" : "attn", layer);
        return vae_part(side, place, last, resnet, out);
    }
    if (numbered(in, "mid_block.resnets", &layer, &rest)) {
        snprintf(place, sizeof place, "mid.block_%zu", layer + 1);
        return vae_part(side, place, rest, true, out);
    }
    if (numbered(in, "mid_block.attentions", &layer, &rest)) {
        snprintf(place, sizeof place, "mid.attn_%zu", layer + 1);
        return vae_part(side, place, rest, false, out);
    }
    snprintf(place, sizeof place, "%s.", side);
    return replace(vae_side, 1, place, in, out);
}

/* Until 2023 diffusers named an autoencoder's attention otherwise. */
static bool old_name(const char *name, char *out) {
    static const pair old[] = {
        {"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}, {"to_out.0", "proj_attn"}};
    static const char *const places[] = {"encoder.mid_block.attentions", "decoder.mid_block.attentions"};
    for (int i = 0; i < 2; i++) {
        size_t layer;
        const char *rest;
        if (numbered(name, places[i], &layer, &rest)) {
            char before[96];
            snprintf(before, sizeof before, "%s.%zu.", places[i], layer);
            return replace(old, 4, before, rest, out);
        }
    }
    return false;
}

/* TAESD's decoder begins with a layer that has no weights and that diffusers does not count. */
static bool taesd_name(const char *name, char *out) {
    size_t number;
    const char *rest;
    bool decoder = numbered(name, "decoder.layers", &number, &rest);
    return (decoder || numbered(name, "encoder.layers", &number, &rest)) &&
           snprintf(out, IB_NAME_BYTES, "%zu.%s", number + (decoder ? 1 : 0), rest) < IB_NAME_BYTES;
}

bool ib_name_in_file(const ib_names *n, const char *name, size_t turn, char *out) {
    switch (n->naming) {
    case IB_NAMING_LDM_UNET:
        return unet_name(n, name, turn, out);
    case IB_NAMING_LDM_VAE:
        return !turn && vae_name(n, name, out);
    case IB_NAMING_TAESD:
        return !turn && taesd_name(name, out);
    default:
        return turn ? turn == 1 && old_name(name, out)
                    : snprintf(out, IB_NAME_BYTES, "%s", name) < IB_NAME_BYTES;
    }
}
