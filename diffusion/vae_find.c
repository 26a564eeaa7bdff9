#include <stdio.h>
#include <string.h>
#include "diffusion/config.h"
#include "diffusion/vae_private.h"

typedef struct finding {
    const ib_weights *w;
    size_t groups, z_channels;
    ib_error *err;
} finding;

static bool has(const finding *f, const char *place, const char *rest) {
    char name[256];
    snprintf(name, sizeof name, "%.120s.%.120s", place, rest);
    return ib_weights_has(f->w, name);
}

static int find_conv(const finding *f, ib_map_conv *c, const char *place, const char *rest, size_t cin,
                     size_t cout, size_t size) {
    char name[256];
    snprintf(name, sizeof name, "%.120s%s%.120s", place, *rest ? "." : "", rest);
    int rc = ib_map_conv_find(c, f->w, name, cin, cout, true, f->err);
    if (!rc && c->size != size) {
        rc = ib_fail(f->err, IB_E_FORMAT,
                     "%s: tensor '%s.weight' is of a %zux%zu convolution, expected %zux%zu",
                     ib_weights_path(f->w), name, c->size, c->size, size, size);
    }
    return rc;
}

static int find_norm(const finding *f, ib_map_norm *n, const char *place, const char *rest, size_t channels) {
    char name[256];
    snprintf(name, sizeof name, "%.120s.%.120s", place, rest);
    return ib_map_norm_find(n, f->w, name, channels, f->groups, f->z_channels, f->err);
}

static int find_resnet(const finding *f, ib_vae_resnet *r, const char *place, size_t cin) {
    int rc;
    if ((rc = find_norm(f, &r->norm1, place, "norm1", cin)) ||
        (rc = find_conv(f, &r->conv1, place, "conv1", cin, 0, 3)) ||
        (rc = find_norm(f, &r->norm2, place, "norm2", r->conv1.cout)) ||
        (rc = find_conv(f, &r->conv2, place, "conv2", r->conv1.cout, r->conv1.cout, 3))) {
        return rc;
    }
    r->has_shortcut = cin != r->conv1.cout;
    return r->has_shortcut ? find_conv(f, &r->shortcut, place, "conv_shortcut", cin, r->conv1.cout, 1)
                           : IB_OK;
}

/* Absent is fine. */
static int find_attention(const finding *f, ib_vae_attention *a, const char *place, size_t c) {
    int rc;
    a->present = has(f, place, "to_q.weight");
    if (!a->present) {
        return IB_OK;
    }
    bool spatial = has(f, place, "spatial_norm.conv_y.weight");
    if ((rc = find_norm(f, &a->norm, place, spatial ? "spatial_norm" : "group_norm", c)) ||
        (rc = find_conv(f, &a->q, place, "to_q", c, c, 1)) ||
        (rc = find_conv(f, &a->k, place, "to_k", c, c, 1)) ||
        (rc = find_conv(f, &a->v, place, "to_v", c, c, 1))) {
        return rc;
    }
    return find_conv(f, &a->out, place, "to_out.0", c, c, 1);
}

static int find_level(const finding *f, ib_vae_level *l, const char *place, const char *sampler,
                      size_t *channels) {
    char name[256];
    int rc;
    for (;; l->layers++) {
        snprintf(name, sizeof name, "%.120s.resnets.%zu", place, l->layers);
        if (!has(f, name, "conv1.weight")) {
            break;
        }
        if (l->layers == IB_VAE_LAYERS) {
            return ib_fail(f->err, IB_E_UNSUPPORTED, "%s: %s has more than %d resnets", ib_weights_path(f->w),
                           place, IB_VAE_LAYERS);
        }
        if ((rc = find_resnet(f, &l->resnet[l->layers], name, *channels))) {
            return rc;
        }
        *channels = l->resnet[l->layers].conv1.cout;
        snprintf(name, sizeof name, "%.120s.attentions.%zu", place, l->layers);
        if ((rc = find_attention(f, &l->attention[l->layers], name, *channels))) {
            return rc;
        }
    }
    snprintf(name, sizeof name, "%.120s.%s.0.conv", place, sampler);
    l->sampled = has(f, name, "weight");
    return l->sampled ? find_conv(f, &l->sample, name, "", *channels, *channels, 3) : IB_OK;
}

static int find_mid(const finding *f, ib_vae_side *s, const char *side, size_t *channels) {
    char name[256];
    int rc;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.mid_block.resnets.%d", side, i);
        if ((rc = find_resnet(f, &s->mid[i], name, *channels))) {
            return rc;
        }
        *channels = s->mid[i].conv1.cout;
    }
    snprintf(name, sizeof name, "%s.mid_block.attentions.0", side);
    return find_attention(f, &s->mid_attention, name, s->mid[0].conv1.cout);
}

static int find_levels(const finding *f, ib_vae_side *s, bool decoder, size_t *channels) {
    char name[256];
    for (;; s->levels++) {
        snprintf(name, sizeof name, "%s.%zu", decoder ? "decoder.up_blocks" : "encoder.down_blocks",
                 s->levels);
        if (!has(f, name, "resnets.0.conv1.weight")) {
            break;
        }
        if (s->levels == IB_VAE_LEVELS) {
            return ib_fail(f->err, IB_E_UNSUPPORTED, "%s: more than %d levels", ib_weights_path(f->w),
                           IB_VAE_LEVELS);
        }
        int rc = find_level(f, &s->level[s->levels], name, decoder ? "upsamplers" : "downsamplers", channels);
        if (rc) {
            return rc;
        }
    }
    return s->levels ? IB_OK
                     : ib_fail(f->err, IB_E_FORMAT, "%s: tensor '%s.resnets.0.conv1.weight' is missing",
                               ib_weights_path(f->w), name);
}

/* Absent is fine. */
static int find_side(const finding *f, ib_vae_side *s, bool decoder) {
    const char *side = decoder ? "decoder" : "encoder", *quant = decoder ? "post_quant_conv" : "quant_conv";
    int rc;
    s->present = has(f, side, "conv_in.weight");
    if (!s->present) {
        return IB_OK;
    }
    if ((rc = find_conv(f, &s->in, side, "conv_in", 0, 0, 3))) {
        return rc;
    }
    size_t channels = s->in.cout;
    if ((decoder && (rc = find_mid(f, s, side, &channels))) || (rc = find_levels(f, s, decoder, &channels)) ||
        (!decoder && (rc = find_mid(f, s, side, &channels))) ||
        (rc = find_norm(f, &s->norm, side, "conv_norm_out", channels)) ||
        (rc = find_conv(f, &s->out, side, "conv_out", channels, 0, 3))) {
        return rc;
    }
    s->has_quant = has(f, quant, "weight");
    if (!s->has_quant) {
        return IB_OK;
    }
    return decoder ? find_conv(f, &s->quant, quant, "", 0, s->in.cin, 1)
                   : find_conv(f, &s->quant, quant, "", s->out.cout, 0, 1);
}

static size_t factor_of(const ib_vae_side *s) {
    size_t n = 1;
    for (size_t i = 0; i < s->levels; i++) {
        n *= s->level[i].sampled ? 2 : 1;
    }
    return n;
}

/* Both halves belong together, and are for pictures. */
static int judge_sides(ib_vae *v, ib_error *err) {
    const ib_vae_side *e = &v->side[IB_VAE_ENCODER], *d = &v->side[IB_VAE_DECODER];
    const char *path = ib_weights_path(v->w);
    ib_vae_about *a = &v->about;
    size_t out = e->has_quant ? e->quant.cout : e->out.cout, in = d->has_quant ? d->quant.cin : d->in.cin;
    size_t from = a->kind == IB_VAE_KL ? out / 2 : out;
    a->encodes = e->present;
    a->decodes = d->present;
    a->channels = d->present ? in : from;
    a->factor = factor_of(d->present ? d : e);
    if ((e->present && e->in.cin != 3) || (d->present && d->out.cout != 3)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: an autoencoder of pictures of %zu colours, expected 3",
                       path, e->present ? e->in.cin : d->out.cout);
    }
    if (e->present && a->kind == IB_VAE_KL && out % 2) {
        return ib_fail(err, IB_E_FORMAT, "%s: an encoder of %zu numbers, expected means and variances", path,
                       out);
    }
    if (e->present && d->present && (from != in || factor_of(e) != factor_of(d))) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: the encoder's latents are %zu wide at 1/%zu, the decoder's %zu wide at 1/%zu",
                       path, from, factor_of(e), in, factor_of(d));
    }
    return IB_OK;
}

static int read_config(ib_vae *v, const json_t *j, const char *path, size_t *groups, ib_error *err) {
    static const ib_config_only only[] = {
        {"act_fn", "silu"}, {"lookup_from_codebook", "false"}, {"latents_mean", ""}, {"latents_std", ""}};
    static const ib_config_only tiny[] = {
        {"act_fn", "relu"}, {"upsampling_scaling_factor", "2"}, {"upsample_fn", "nearest"}};
    ib_vae_about *a = &v->about;
    double scaling = 0;
    int rc = a->kind == IB_VAE_TINY ? ib_config_check(j, tiny, 3, path, err)
                                    : ib_config_check(j, only, 4, path, err);
    if (rc || (rc = ib_config_count(j, "norm_num_groups", 1, 1024, groups, path, err)) ||
        (rc = ib_config_number(j, "scaling_factor", 1e-6, 1e6, &scaling, path, err)) ||
        (rc = ib_config_number(j, "shift_factor", -1e6, 1e6, &a->shift, path, err)) ||
        (v->tiny &&
         (rc = ib_config_number(j, "latent_magnitude", 1e-3, 1e6, &v->tiny->magnitude, path, err)))) {
        return rc;
    }
    if (!(scaling > 0) && ib_weights_file_has(v->w, "conditioner.embedders.1.")) {
        scaling = 0.13025; /* a whole model of the SDXL family */
    } else if (!(scaling > 0) && ib_weights_file_has(v->w, "cond_stage_model.")) {
        scaling = 0.18215;
    }
    a->scaling_said = scaling > 0;
    a->scaling = scaling > 0 ? scaling : 0.18215;
    if (a->kind !=
        IB_VAE_KL) { /* TAESD's latents are the U-Net's own; MoVQ's config has a factor that nobody uses */
        a->scaling = a->kind == IB_VAE_TINY && scaling > 0 ? scaling : 1;
        a->scaling_said = true;
        a->shift = 0;
    }
    return IB_OK;
}

int ib_vae_find(ib_vae *v, ib_error *err) {
    const char *folder = ib_weights_folder(v->w);
    char path[512];
    finding f = {v->w, 32, 0, err};
    json_t *j;
    int rc;
    bool chain =
        ib_weights_has(v->w, "decoder.layers.0.weight") || ib_weights_has(v->w, "encoder.layers.0.weight");
    bool spatial = ib_weights_has(v->w, "decoder.mid_block.resnets.0.norm1.conv_y.weight");
    v->about.kind = chain ? IB_VAE_TINY : spatial ? IB_VAE_MOVQ : IB_VAE_KL;
    if (chain && (rc = ib_vae_tiny_find(v, err))) {
        return rc;
    }
    snprintf(path, sizeof path, "%.480s%s", folder ? folder : ib_weights_path(v->w),
             folder ? "/config.json" : "");
    if ((rc = ib_config_load(&j, folder, "config.json", err))) {
        return rc;
    }
    rc = read_config(v, j, path, &f.groups, err);
    json_decref(j);
    if (rc || chain) {
        return rc;
    }
    if ((rc = find_side(&f, &v->side[IB_VAE_ENCODER], false))) {
        return rc;
    }
    if (spatial) {
        ib_weight z;
        rc = ib_weights_get(v->w, "post_quant_conv.weight", 4, (const int64_t[4]){-1, -1, 1, 1}, &z, err);
        if (rc) {
            return rc;
        }
        f.z_channels = (size_t)z.shape[1];
    }
    if ((rc = find_side(&f, &v->side[IB_VAE_DECODER], true))) {
        return rc;
    }
    if (!v->side[IB_VAE_ENCODER].present && !v->side[IB_VAE_DECODER].present) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: no autoencoder in it: tensor 'decoder.conv_in.weight' is missing",
                       ib_weights_path(v->w));
    }
    return judge_sides(v, err);
}
