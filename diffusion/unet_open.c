#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/unet_parts.h"

/* A model being opened; rc of the first thing that was wrong. */
typedef struct opening {
    ib_unet *u;
    int rc;
    ib_error *err;
} opening;

/* A name that lives as long as the U-Net. */
__attribute__((format(printf, 2, 3))) static const char *name_of(opening *o, const char *form, ...) {
    ib_unet *u = o->u;
    char text[256];
    va_list v;
    va_start(v, form);
    vsnprintf(text, sizeof text, form, v);
    va_end(v);
    if (u->n_names == u->names_room) {
        size_t room = u->names_room ? 2 * u->names_room : 512;
        char **more = realloc(u->names, room * sizeof *more);
        if (!more) {
            o->rc = o->rc ? o->rc : ib_fail(o->err, IB_E_MEMORY, "out of memory for a model's names");
            return "";
        }
        u->names = more;
        u->names_room = room;
    }
    char *copy = strdup(text);
    if (!copy) {
        o->rc = o->rc ? o->rc : ib_fail(o->err, IB_E_MEMORY, "out of memory for a model's names");
        return "";
    }
    u->names[u->n_names++] = copy;
    return copy;
}

static float *vector(opening *o, const char *place, const char *what, size_t n) {
    ib_weight w;
    float *v = NULL;
    char name[300];
    snprintf(name, sizeof name, "%s.%s", place, what);
    if (!o->rc) {
        o->rc = ib_weights_get(o->u->w, name, 1, (const int64_t[1]){(int64_t)n}, &w, o->err);
    }
    if (!o->rc) {
        o->rc = ib_alloc_floats(&v, n, "a model's vectors", o->err);
    }
    if (!o->rc) {
        ib_weight_widen(&w, 0, n, v);
    }
    return v;
}

static void norm(opening *o, const char *place, size_t n, ib_unet_norm *out) {
    out->n = n;
    out->gain = vector(o, place, "weight", n);
    out->bias = vector(o, place, "bias", n);
}

/* kernel 0: a linear map, kept as [n,k] or [n,k,1,1]. n 0: any, filled in. */
static void map_from(opening *o, const ib_weights *from, const char *place, size_t n, size_t k, int kernel,
                     bool bias, ib_unet_map *out) {
    char name[300];
    int rank = 2;
    ib_weight any;
    if (o->rc) {
        return;
    }
    snprintf(name, sizeof name, "%s.weight", place);
    if (kernel) {
        rank = 4;
    } else if (ib_weights_has(from, name)) {
        if ((o->rc = ib_weights_get(from, name, -1, NULL, &any, o->err))) {
            return;
        }
        rank = any.rank == 4 ? 4 : 2;
    }
    int64_t side = kernel ? kernel : 1;
    o->rc = ib_weights_get(from, name, rank, (const int64_t[4]){n ? (int64_t)n : -1, (int64_t)k, side, side},
                           &out->w, o->err);
    if (o->rc) {
        return;
    }
    out->n = (size_t)out->w.shape[0];
    out->k = k;
    out->kernel = kernel ? kernel : 1;
    out->name = name_of(o, "%s", name);
    out->patched = o->u->patch.touches && o->u->patch.touches(o->u->patch.context, name);
    if (bias) {
        out->b = vector(o, place, "bias", out->n);
    }
}

static void map(opening *o, const char *place, size_t n, size_t k, int kernel, bool bias, ib_unet_map *out) {
    map_from(o, o->u->w, place, n, k, kernel, bias, out);
}

static bool has(const opening *o, const char *place, const char *what) {
    char name[300];
    snprintf(name, sizeof name, "%s.%s", place, what);
    return ib_weights_has(o->u->w, name);
}

static void groups_fit(opening *o, const char *place, size_t channels) {
    if (!o->rc && (!o->u->c.groups || channels % o->u->c.groups)) {
        o->rc = ib_fail(o->err, IB_E_FORMAT, "%s: %s: %zu channels are no multiple of %zu groups",
                        ib_weights_path(o->u->w), place, channels, o->u->c.groups);
    }
}

static void resnet(opening *o, const char *place, size_t cin, size_t cout, int resample,
                   ib_unet_resnet *out) {
    const ib_unet_config *c = &o->u->c;
    groups_fit(o, place, cin);
    groups_fit(o, place, cout);
    out->cin = cin;
    out->cout = cout;
    out->resample = resample;
    out->scale_shift = c->scale_shift;
    norm(o, name_of(o, "%s.norm1", place), cin, &out->norm1);
    map(o, name_of(o, "%s.conv1", place), cout, cin, 3, true, &out->conv1);
    map(o, name_of(o, "%s.time_emb_proj", place), c->scale_shift ? 2 * cout : cout, o->u->time2.n, 0, true,
        &out->time);
    norm(o, name_of(o, "%s.norm2", place), cout, &out->norm2);
    map(o, name_of(o, "%s.conv2", place), cout, cout, 3, true, &out->conv2);
    if (cin != cout || has(o, place, "conv_shortcut.weight")) {
        map(o, name_of(o, "%s.conv_shortcut", place), cout, cin, 1, true, &out->shortcut);
    }
}

static void block(opening *o, const char *place, size_t channels, ib_unet_block *out) {
    static const char *const attn[2] = {"attn1", "attn2"};
    for (int i = 0; i < 3; i++) {
        norm(o, name_of(o, "%s.norm%d", place, i + 1), channels, &out->norm[i]);
    }
    for (int i = 0; i < 2; i++) {
        size_t from = i ? o->u->c.context : channels;
        map(o, name_of(o, "%s.%s.to_q", place, attn[i]), channels, channels, 0, false, &out->q[i]);
        map(o, name_of(o, "%s.%s.to_k", place, attn[i]), channels, from, 0, false, &out->k[i]);
        map(o, name_of(o, "%s.%s.to_v", place, attn[i]), channels, from, 0, false, &out->v[i]);
        map(o, name_of(o, "%s.%s.to_out.0", place, attn[i]), channels, channels, 0, true, &out->o[i]);
    }
    map(o, name_of(o, "%s.ff.net.0.proj", place), 8 * channels, channels, 0, true, &out->ff_in);
    map(o, name_of(o, "%s.ff.net.2", place), channels, 4 * channels, 0, true, &out->ff_out);
    out->layer = o->u->layers++;
    if (o->u->ip && !o->rc) {
        size_t at = 2 * out->layer + 1;
        map_from(o, o->u->ip, name_of(o, "ip_adapter.%zu.to_k_ip", at), channels, o->u->c.context, 0, false,
                 &out->ip_k);
        map_from(o, o->u->ip, name_of(o, "ip_adapter.%zu.to_v_ip", at), channels, o->u->c.context, 0, false,
                 &out->ip_v);
    }
}

static void attention(opening *o, const char *place, size_t channels, size_t heads, size_t depth,
                      ib_unet_attention *out) {
    const ib_unet_config *c = &o->u->c;
    groups_fit(o, place, channels);
    if (!o->rc && (!heads || channels % heads)) {
        o->rc = ib_fail(o->err, IB_E_FORMAT, "%s: %s: %zu channels cannot be divided among %zu heads",
                        ib_weights_path(o->u->w), place, channels, heads);
    }
    out->heads = heads;
    out->channels = channels;
    out->simple = c->simple;
    if (c->simple) {
        norm(o, name_of(o, "%s.group_norm", place), channels, &out->norm);
        map(o, name_of(o, "%s.to_q", place), channels, channels, 0, true, &out->q);
        map(o, name_of(o, "%s.to_k", place), channels, channels, 0, true, &out->k);
        map(o, name_of(o, "%s.to_v", place), channels, channels, 0, true, &out->v);
        map(o, name_of(o, "%s.add_k_proj", place), channels, c->context, 0, true, &out->more_k);
        map(o, name_of(o, "%s.add_v_proj", place), channels, c->context, 0, true, &out->more_v);
        map(o, name_of(o, "%s.to_out.0", place), channels, channels, 0, true, &out->o);
        out->depth = 1;
        return;
    }
    norm(o, name_of(o, "%s.norm", place), channels, &out->norm);
    map(o, name_of(o, "%s.proj_in", place), channels, channels, 0, true, &out->proj_in);
    map(o, name_of(o, "%s.proj_out", place), channels, channels, 0, true, &out->proj_out);
    if (o->rc) {
        return;
    }
    out->block = ib_calloc(depth, sizeof *out->block);
    if (!out->block) {
        o->rc = ib_fail(o->err, IB_E_MEMORY, "out of memory for a model's layers");
        return;
    }
    out->depth = depth;
    for (size_t i = 0; i < depth; i++) {
        block(o, name_of(o, "%s.transformer_blocks.%zu", place, i), channels, &out->block[i]);
    }
}

static void level_down(opening *o, size_t i) {
    const ib_unet_config *c = &o->u->c;
    ib_unet_stage *s = &o->u->down[i];
    size_t cin = i ? c->channels[i - 1] : c->channels[0], cout = c->channels[i];
    const char *place = name_of(o, "down_blocks.%zu", i);
    s->layers = c->down_layers[i];
    for (size_t j = 0; j < s->layers; j++) {
        resnet(o, name_of(o, "%s.resnets.%zu", place, j), j ? cout : cin, cout, 0, &s->resnet[j]);
        if (c->down_depth[i][j]) {
            attention(o, name_of(o, "%s.attentions.%zu", place, j), cout, c->heads[i], c->down_depth[i][j],
                      &s->attention[j]);
        }
    }
    if (i + 1 == c->levels) {
        return;
    }
    if (c->resnet_sampling) {
        s->has_sampler = true;
        resnet(o, name_of(o, "%s.downsamplers.0", place), cout, cout, -1, &s->sampler);
    } else {
        map(o, name_of(o, "%s.downsamplers.0.conv", place), cout, cout, 3, true, &s->sample);
    }
}

/* skips: channels of what the way down has left, the last one on top. */
static void level_up(opening *o, size_t i, const size_t *skips, size_t *n_skips) {
    const ib_unet_config *c = &o->u->c;
    ib_unet_stage *s = &o->u->up[i];
    size_t level = c->levels - 1 - i, cout = c->channels[level], x = i ? c->channels[level + 1] : cout;
    const char *place = name_of(o, "up_blocks.%zu", i);
    s->layers = c->up_layers[i];
    for (size_t j = 0; j < s->layers && !o->rc; j++) {
        if (!*n_skips) {
            o->rc = ib_fail(o->err, IB_E_FORMAT, "%s: %s has more resnets than the way down left results",
                            ib_weights_path(o->u->w), place);
            return;
        }
        resnet(o, name_of(o, "%s.resnets.%zu", place, j), x + skips[--*n_skips], cout, 0, &s->resnet[j]);
        x = cout;
        if (c->up_depth[i][j]) {
            attention(o, name_of(o, "%s.attentions.%zu", place, j), cout, c->heads[level], c->up_depth[i][j],
                      &s->attention[j]);
        }
    }
    if (i + 1 == c->levels) {
        return;
    }
    if (c->resnet_sampling) {
        s->has_sampler = true;
        resnet(o, name_of(o, "%s.upsamplers.0", place), cout, cout, 1, &s->sampler);
    } else {
        map(o, name_of(o, "%s.upsamplers.0.conv", place), cout, cout, 3, true, &s->sample);
    }
}

static void middle(opening *o) {
    const ib_unet_config *c = &o->u->c;
    size_t channels = c->channels[c->levels - 1];
    o->u->mid.layers = c->mid_resnets;
    for (size_t j = 0; j < c->mid_resnets; j++) {
        resnet(o, name_of(o, "mid_block.resnets.%zu", j), channels, channels, 0, &o->u->mid.resnet[j]);
    }
    if (c->mid_depth) {
        attention(o, "mid_block.attentions.0", channels, c->mid_heads, c->mid_depth, &o->u->mid.attention[0]);
    }
}

static void embeddings(opening *o) {
    ib_unet *u = o->u;
    const ib_unet_config *c = &u->c;
    size_t first = c->channels[0];
    map(o, "time_embedding.linear_1", 0, first, 0, true, &u->time1);
    map(o, "time_embedding.linear_2", 0, u->time1.n, 0, true, &u->time2);
    if (c->guidance_width) {
        map(o, "time_embedding.cond_proj", first, c->guidance_width, 0, false, &u->guidance);
    }
    if (c->extra == IB_UNET_CLASS || c->extra == IB_UNET_TEXT_TIME) {
        const char *place = c->extra == IB_UNET_CLASS ? "class_embedding" : "add_embedding";
        map(o, name_of(o, "%s.linear_1", place), 0, c->extra_width, 0, true, &u->extra1);
        map(o, name_of(o, "%s.linear_2", place), u->time2.n, u->extra1.n, 0, true, &u->extra2);
    }
    if (c->extra == IB_UNET_IMAGE) {
        map(o, "add_embedding.image_proj", u->time2.n, c->extra_width, 0, true, &u->extra1);
        norm(o, "add_embedding.image_norm", u->time2.n, &u->image_norm);
    }
    if (c->image_tokens) {
        map(o, "encoder_hid_proj.image_embeds", c->image_tokens * c->context, c->extra_width, 0, true,
            &u->image_tokens);
        norm(o, "encoder_hid_proj.norm", c->context, &u->tokens_norm);
    }
}

int ib_unet_open(ib_unet **out, const ib_weights *w, const ib_unet_config *c, const ib_weights *ip,
                 const ib_unet_patch *patch, ib_error *err) {
    ib_unet *u = ib_calloc(1, sizeof *u);
    opening o = {.u = u, .err = err};
    size_t skips[IB_UNET_LEVELS * (IB_UNET_LAYERS + 1) + 1], n = 0;
    *out = NULL;
    if (!u) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a model");
    }
    u->c = *c;
    u->w = w;
    u->ip = ip;
    u->patch = patch ? *patch : (ib_unet_patch){0};
    embeddings(&o);
    map(&o, "conv_in", c->channels[0], c->in_channels, 3, true, &u->conv_in);
    skips[n++] = c->channels[0];
    for (size_t i = 0; i < c->levels; i++) {
        level_down(&o, i);
        for (size_t j = 0; j < c->down_layers[i] + (i + 1 < c->levels); j++) {
            skips[n++] = c->channels[i];
        }
    }
    for (size_t i = 0; i < c->levels; i++) {
        level_up(&o, i, skips, &n);
    }
    middle(&o); /* last: an IP-Adapter counts its layers so */
    groups_fit(&o, "conv_norm_out", c->channels[0]);
    norm(&o, "conv_norm_out", c->channels[0], &u->norm_out);
    map(&o, "conv_out", c->out_channels, c->channels[0], 3, true, &u->conv_out);
    if (!o.rc && n) {
        o.rc = ib_fail(err, IB_E_FORMAT, "%s: the way up leaves %zu results of the way down unused",
                       ib_weights_path(w), n);
    }
    if (o.rc) {
        ib_unet_close(&u);
        return o.rc;
    }
    *out = u;
    return IB_OK;
}

static void free_norm(ib_unet_norm *n) {
    ib_free(n->gain);
    ib_free(n->bias);
}

static void free_resnet(ib_unet_resnet *r) {
    ib_unet_map *const m[] = {&r->conv1, &r->conv2, &r->time, &r->shortcut};
    free_norm(&r->norm1);
    free_norm(&r->norm2);
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        ib_free(m[i]->b);
    }
}

static void free_attention(ib_unet_attention *a) {
    ib_unet_map *const m[] = {&a->proj_in, &a->proj_out, &a->q, &a->k, &a->v, &a->more_k, &a->more_v, &a->o};
    for (size_t i = 0; a->block && i < a->depth; i++) {
        ib_unet_block *b = &a->block[i];
        for (size_t j = 0; j < 3; j++) {
            free_norm(&b->norm[j]);
        }
        ib_free(b->o[0].b);
        ib_free(b->o[1].b);
        ib_free(b->ff_in.b);
        ib_free(b->ff_out.b);
    }
    ib_free(a->block);
    free_norm(&a->norm);
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        ib_free(m[i]->b);
    }
}

static void free_stage(ib_unet_stage *s) {
    for (size_t i = 0; i < IB_UNET_LAYERS; i++) {
        free_resnet(&s->resnet[i]);
        free_attention(&s->attention[i]);
    }
    ib_free(s->sample.b);
    free_resnet(&s->sampler);
}

void ib_unet_close(ib_unet **up) {
    ib_unet *u = *up;
    if (!u) {
        return;
    }
    ib_unet_map *const m[] = {&u->conv_in,  &u->conv_out, &u->time1,  &u->time2,
                              &u->guidance, &u->extra1,   &u->extra2, &u->image_tokens};
    for (size_t i = 0; i < IB_UNET_LEVELS; i++) {
        free_stage(&u->down[i]);
        free_stage(&u->up[i]);
    }
    free_stage(&u->mid);
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        ib_free(m[i]->b);
    }
    free_norm(&u->norm_out);
    free_norm(&u->image_norm);
    free_norm(&u->tokens_norm);
    for (size_t i = 0; i < u->n_names; i++) {
        free(u->names[i]);
    }
    free(u->names);
    ib_buffers_free(&u->buffers);
    ib_free(u);
    *up = NULL;
}

const ib_unet_config *ib_unet_config_of(const ib_unet *u) {
    return &u->c;
}

size_t ib_unet_ip_layers(const ib_unet *u) {
    return u->layers;
}

void ib_unet_set_watch(ib_unet *u, ib_unet_watch *watch, void *context) {
    u->watch = watch;
    u->watch_context = context;
}
