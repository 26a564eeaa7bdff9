#include "diffusion/vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/vae_private.h"
#include "nn/gemm.h"

const char *ib_vae_kind_name(ib_vae_kind k) {
    static const char *const names[] = {"AutoencoderKL", "TAESD", "MoVQ"};
    return names[k];
}

int ib_vae_open(ib_vae **out, const char *path, double scaling, ib_error *err) {
    ib_vae *v = ib_calloc(1, sizeof *v);
    char *movq = ib_join(path, "movq"), *vae = ib_join(path, "vae");
    int rc;
    *out = NULL;
    if (!v || !movq || !vae) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    } else if (!(rc = ib_weights_open(&v->w, path, ib_is_dir(movq) && !ib_is_dir(vae) ? "movq" : "vae",
                                      err))) {
        rc = ib_vae_find(v, err);
    }
    free(movq);
    free(vae);
    if (rc) {
        ib_vae_close(&v);
        return rc;
    }
    if (scaling > 0) {
        v->about.scaling = scaling;
        v->about.scaling_said = true;
    }
    *out = v;
    return IB_OK;
}

void ib_vae_close(ib_vae **v) {
    if (*v) {
        ib_weights_close(&(*v)->w);
        ib_free((*v)->tiny);
        ib_free(*v);
        *v = NULL;
    }
}

const ib_vae_about *ib_vae_about_of(const ib_vae *v) {
    return &v->about;
}

const char *ib_vae_path(const ib_vae *v) {
    return ib_weights_path(v->w);
}

/* ---- running ---- */

typedef struct running {
    const ib_map *z; /* a spatial norm's latent */
    int threads;
    ib_error *err;
} running;

static int run_resnet(const running *r, const ib_vae_resnet *n, ib_map *m) {
    ib_map h = {0}, shortcut = {0};
    ib_map_step first = {.norm = &n->norm1, .z = r->z, .act = IB_MAP_SILU, .spoil = n->has_shortcut};
    ib_map_step second = {.norm = &n->norm2, .z = r->z, .act = IB_MAP_SILU, .spoil = true};
    int rc = IB_OK;
    if (n->has_shortcut) {
        rc = ib_map_conv_run(&n->shortcut, m, &(ib_map_step){0}, &shortcut, r->threads, r->err);
    }
    rc = rc ? rc : ib_map_conv_run(&n->conv1, m, &first, &h, r->threads, r->err);
    if (n->has_shortcut) {
        ib_map_free(m);
        *m = shortcut;
    }
    if (!rc) {
        second.add = m->v;
        rc = ib_map_conv_run(&n->conv2, &h, &second, m, r->threads, r->err);
    }
    ib_map_free(&h);
    return rc;
}

static int run_attention(const running *r, const ib_vae_attention *a, ib_map *m) {
    ib_map q = {0}, k = {0}, v = {0}, y = {0};
    ib_map_step norm = {.norm = &a->norm, .z = r->z};
    int rc = ib_map_conv_run(&a->q, m, &norm, &q, r->threads, r->err);
    rc = rc ? rc : ib_map_conv_run(&a->k, m, &norm, &k, r->threads, r->err);
    rc = rc ? rc : ib_map_conv_run(&a->v, m, &norm, &v, r->threads, r->err);
    rc = rc ? rc : ib_map_attend(&q, &k, &v, &y, r->threads, r->err);
    rc = rc ? rc : ib_map_conv_run(&a->out, &y, &(ib_map_step){.add = m->v}, m, r->threads, r->err);
    ib_map_free(&y);
    ib_map_free(&v);
    ib_map_free(&k);
    ib_map_free(&q);
    return rc;
}

/* m becomes what the convolution makes of it. */
static int run_conv(const running *r, const ib_map_conv *c, const ib_map_step *step, ib_map *m) {
    ib_map y = {0};
    int rc = ib_map_conv_run(c, m, step, &y, r->threads, r->err);
    ib_map_free(m);
    *m = y;
    return rc;
}

static int run_mid(const running *r, const ib_vae_side *s, ib_map *m) {
    int rc = run_resnet(r, &s->mid[0], m);
    if (!rc && s->mid_attention.present) {
        rc = run_attention(r, &s->mid_attention, m);
    }
    return rc ? rc : run_resnet(r, &s->mid[1], m);
}

static int run_level(const running *r, const ib_vae_level *l, bool decoder, ib_map *m) {
    int rc = IB_OK;
    for (size_t i = 0; i < l->layers && !rc; i++) {
        rc = run_resnet(r, &l->resnet[i], m);
        if (!rc && l->attention[i].present) {
            rc = run_attention(r, &l->attention[i], m);
        }
    }
    if (!rc && l->sampled) {
        ib_map_step up = {.up = 2}, down = {.stride = 2, .trailing = true};
        rc = run_conv(r, &l->sample, decoder ? &up : &down, m);
    }
    return rc;
}

static int run_side(const running *r, const ib_vae_side *s, bool decoder, ib_map *m) {
    const ib_map_step plain = {0}, last = {.norm = &s->norm, .z = r->z, .act = IB_MAP_SILU, .spoil = true};
    int rc = IB_OK;
    if (decoder && s->has_quant) {
        rc = run_conv(r, &s->quant, &plain, m);
    }
    rc = rc ? rc : run_conv(r, &s->in, &plain, m);
    rc = rc || !decoder ? rc : run_mid(r, s, m);
    for (size_t i = 0; i < s->levels && !rc; i++) {
        rc = run_level(r, &s->level[i], decoder, m);
    }
    rc = rc || decoder ? rc : run_mid(r, s, m);
    rc = rc ? rc : run_conv(r, &s->out, &last, m);
    if (!rc && !decoder && s->has_quant) {
        rc = run_conv(r, &s->quant, &plain, m);
    }
    return rc;
}

/* ---- the face ---- */

static int check_run(const ib_vae *v, bool decoder, size_t rows, size_t cols, ib_error *err) {
    const ib_vae_about *a = &v->about;
    size_t n = decoder ? 1 : a->factor;
    if (!(decoder ? a->decodes : a->encodes)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: the file holds no %s", ib_weights_path(v->w),
                       decoder ? "decoder, so that latents cannot become pictures"
                               : "encoder, so that pictures cannot become latents");
    }
    if (!rows || !cols || rows % n || cols % n || rows > (size_t)1 << 16 || cols > (size_t)1 << 16) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "a picture of %zu x %zu: both sides must be multiples of %zu up to 65536", cols, rows,
                       n);
    }
    return IB_OK;
}

/* MoVQ's spatial norms look at the latent before post_quant_conv. */
static int run(const ib_vae *v, int side, ib_map *m, int threads, ib_error *err) {
    ib_map z = {0};
    int rc = IB_OK, before = ib_gemm_pin();
    if (v->tiny) {
        rc = ib_vae_tiny_run(v->tiny, side, m, threads, err);
    } else {
        if (side == IB_VAE_DECODER && v->about.kind == IB_VAE_MOVQ &&
            !(rc = ib_map_alloc(&z, m->rows, m->cols, m->channels, err))) {
            memcpy(z.v, m->v, m->rows * m->cols * m->channels * sizeof *z.v);
        }
        running r = {&z, threads, err};
        rc = rc ? rc : run_side(&r, &v->side[side], side == IB_VAE_DECODER, m);
    }
    ib_gemm_unpin(before);
    ib_map_free(&z);
    return rc;
}

int ib_vae_encode(const ib_vae *v, const float *picture, size_t rows, size_t cols, float *mean,
                  float *deviation, int threads, ib_error *err) {
    const ib_vae_about *a = &v->about;
    size_t c = a->channels;
    ib_map m = {0};
    int rc = check_run(v, false, rows, cols, err);
    rc = rc ? rc : ib_map_alloc(&m, rows, cols, 3, err);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < rows * cols * 3; i++) {
        m.v[i] = v->tiny ? picture[i] : 2 * picture[i] - 1;
    }
    rc = run(v, IB_VAE_ENCODER, &m, threads, err);
    for (size_t p = 0; !rc && p < m.rows * m.cols; p++) {
        const float *in = m.v + p * m.channels;
        for (size_t i = 0; i < c; i++) {
            mean[p * c + i] = (float)((in[i] - a->shift) * a->scaling);
            if (deviation && a->kind == IB_VAE_KL) {
                double log_variance = in[c + i] < -30 ? -30 : in[c + i] > 20 ? 20 : in[c + i];
                deviation[p * c + i] = (float)(exp(log_variance / 2) * a->scaling);
            } else if (deviation) {
                deviation[p * c + i] = 0;
            }
        }
    }
    ib_map_free(&m);
    return rc;
}

int ib_vae_decode(const ib_vae *v, const float *latent, size_t rows, size_t cols, float *picture, int threads,
                  ib_error *err) {
    const ib_vae_about *a = &v->about;
    ib_map m = {0};
    int rc = check_run(v, true, rows, cols, err);
    rc = rc ? rc : ib_map_alloc(&m, rows, cols, a->channels, err);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < rows * cols * a->channels; i++) {
        m.v[i] = (float)(latent[i] / a->scaling + a->shift);
    }
    rc = run(v, IB_VAE_DECODER, &m, threads, err);
    for (size_t i = 0; !rc && i < m.rows * m.cols * 3; i++) {
        picture[i] = v->tiny ? m.v[i] : m.v[i] * 0.5F + 0.5F;
    }
    ib_map_free(&m);
    return rc;
}
