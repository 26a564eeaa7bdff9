#include <math.h>
#include <stdio.h>
#include "base/memory.h"
#include "diffusion/vae_private.h"

/* One number of the chain: a block, a convolution, or nothing with weights. */
static int find_part(const ib_vae *v, const char *side, size_t number, ib_vae_tiny_part *p, bool *there,
                     ib_error *err) {
    char name[96];
    int rc = IB_OK;
    *p = (ib_vae_tiny_part){0};
    snprintf(name, sizeof name, "%s.layers.%zu.conv.0.weight", side, number);
    *there = ib_weights_has(v->w, name);
    if (*there) {
        size_t cout = 0;
        p->kind = IB_VAE_TINY_BLOCK;
        for (int i = 0; i < 3 && !rc; i++) {
            snprintf(name, sizeof name, "%s.layers.%zu.conv.%d", side, number, 2 * i);
            rc = ib_map_conv_find(&p->conv[i], v->w, name, cout, cout, true, err);
            cout = p->conv[i].cout;
        }
        snprintf(name, sizeof name, "%s.layers.%zu.skip.weight", side, number);
        p->has_skip = ib_weights_has(v->w, name);
        if (!rc && p->has_skip) {
            snprintf(name, sizeof name, "%s.layers.%zu.skip", side, number);
            rc = ib_map_conv_find(&p->skip, v->w, name, p->conv[0].cin, cout, false, err);
        } else if (!rc && p->conv[0].cin != cout) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: tensor '%s' is missing", ib_weights_path(v->w), name);
        }
        return rc;
    }
    snprintf(name, sizeof name, "%s.layers.%zu.weight", side, number);
    *there = ib_weights_has(v->w, name);
    if (*there) {
        snprintf(name, sizeof name, "%s.layers.%zu", side, number);
        rc = ib_map_conv_find(&p->conv[0], v->w, name, 0, 0, false, err);
    }
    return rc;
}

/* A number without weights is the ReLU after the decoder's first convolution, else an enlargement. An
 * encoder's convolution without bias halves. */
static int find_chain(ib_vae *v, int side, ib_error *err) {
    const char *name = side == IB_VAE_ENCODER ? "encoder" : "decoder";
    ib_vae_tiny *t = v->tiny;
    size_t n = 0, skipped = 0, factor = 1, channels = 0;
    for (size_t number = 0; skipped < 2; number++) {
        ib_vae_tiny_part *p = &t->part[side][n];
        bool there;
        if (n == IB_VAE_TINY_PARTS) {
            return ib_fail(err, IB_E_UNSUPPORTED, "%s: the %s has more than %d layers", ib_weights_path(v->w),
                           name, IB_VAE_TINY_PARTS);
        }
        int rc = find_part(v, name, number, p, &there, err);
        if (rc) {
            return rc;
        }
        if (!there) {
            if (n == 1 && side == IB_VAE_DECODER) {
                t->part[side][0].relu = true;
            }
            skipped++;
            continue;
        }
        p->up = skipped && side == IB_VAE_DECODER && n > 1 ? 2 : 1;
        p->stride = p->kind == IB_VAE_TINY_CONV && side == IB_VAE_ENCODER && n && !p->conv[0].bias ? 2 : 1;
        if (n && p->conv[0].cin != channels) {
            return ib_fail(err, IB_E_FORMAT,
                           "%s: '%s.layers.%zu' takes %zu channels, but the layer before gives %zu",
                           ib_weights_path(v->w), name, number, p->conv[0].cin, channels);
        }
        if (p->kind == IB_VAE_TINY_BLOCK && p->up == 2) {
            return ib_fail(err, IB_E_FORMAT, "%s: '%s.layers.%zu' is missing", ib_weights_path(v->w), name,
                           number - 1);
        }
        channels = p->kind == IB_VAE_TINY_BLOCK ? p->conv[2].cout : p->conv[0].cout;
        factor *= p->up * p->stride;
        skipped = 0;
        n++;
    }
    t->parts[side] = n;
    if (!n) {
        return IB_OK;
    }
    size_t first = t->part[side][0].conv[0].cin, latent = side == IB_VAE_ENCODER ? channels : first;
    size_t colours = side == IB_VAE_ENCODER ? first : channels;
    if (colours != 3 || factor > 64) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: the %s is for pictures of %zu colours and a factor of %zu",
                       ib_weights_path(v->w), name, colours, factor);
    }
    if (v->about.factor && (v->about.factor != factor || v->about.channels != latent)) {
        return ib_fail(err, IB_E_MISMATCH, "%s: encoder and decoder do not belong together",
                       ib_weights_path(v->w));
    }
    v->about.factor = factor;
    v->about.channels = latent;
    return IB_OK;
}

int ib_vae_tiny_find(ib_vae *v, ib_error *err) {
    if (!(v->tiny = ib_calloc(1, sizeof *v->tiny))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", ib_weights_path(v->w));
    }
    v->tiny->magnitude = 3;
    int rc = find_chain(v, IB_VAE_ENCODER, err);
    rc = rc ? rc : find_chain(v, IB_VAE_DECODER, err);
    v->about.encodes = v->tiny->parts[IB_VAE_ENCODER] > 0;
    v->about.decodes = v->tiny->parts[IB_VAE_DECODER] > 0;
    return rc;
}

static int run_block(const ib_vae_tiny_part *p, ib_map *m, int threads, ib_error *err) {
    ib_map a = {0}, b = {0}, skip = {0};
    ib_map_step relu = {.relu = true};
    int rc = ib_map_conv_run(&p->conv[0], m, &relu, &a, threads, err);
    rc = rc ? rc : ib_map_conv_run(&p->conv[1], &a, &relu, &b, threads, err);
    ib_map_free(&a);
    if (!rc && p->has_skip) {
        rc = ib_map_conv_run(&p->skip, m, &(ib_map_step){0}, &skip, threads, err);
        ib_map_free(m);
        *m = skip;
    }
    if (!rc) {
        rc = ib_map_conv_run(&p->conv[2], &b, &(ib_map_step){.add = m->v, .relu = true}, m, threads, err);
    }
    ib_map_free(&b);
    return rc;
}

int ib_vae_tiny_run(const ib_vae_tiny *t, int side, ib_map *m, int threads, ib_error *err) {
    size_t n = m->rows * m->cols * m->channels;
    int rc = IB_OK;
    if (side == IB_VAE_DECODER) {
        float by = (float)t->magnitude;
        for (size_t i = 0; i < n; i++) {
            m->v[i] = by * tanhf(m->v[i] / by);
        }
    }
    for (size_t i = 0; i < t->parts[side] && !rc; i++) {
        const ib_vae_tiny_part *p = &t->part[side][i];
        if (p->kind == IB_VAE_TINY_BLOCK) {
            rc = run_block(p, m, threads, err);
            continue;
        }
        ib_map y = {0};
        ib_map_step step = {.up = p->up, .stride = p->stride, .relu = p->relu};
        rc = ib_map_conv_run(&p->conv[0], m, &step, &y, threads, err);
        ib_map_free(m);
        *m = y;
    }
    return rc;
}
