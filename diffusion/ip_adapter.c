#include "diffusion/ip_adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "nn/forward.h"
#include "nn/panels.h"

enum { LAYERS = 16, HEAD = 64 };
static const float EPS = 1e-5f;

typedef struct layer {
    ib_weight to_q, to_kv, to_out, up, down; /* [I,H] [2I,H] [H,I] [M,H] [H,M] */
    float *norm1, *norm2, *norm3;            /* [2,H]: gain, bias */
} layer;

struct ib_ip_adapter {
    ib_weights *w;
    ib_ip_about about;
    ib_weight proj_in, proj_out; /* base: proj_in alone, [tokens context, width] */
    float *in_bias, *out_bias;
    float *norm;                /* [2,context] */
    float *latents;             /* [tokens,H] */
    size_t layers, hidden, mlp; /* hidden: H */
    size_t inner;               /* I: HEAD times heads */
    layer layer[LAYERS];
};

/* A vector of n numbers as floats. */
static int vector(const ib_ip_adapter *a, const char *name, size_t n, float *out, ib_error *err) {
    ib_weight v;
    int rc = ib_weights_get(a->w, name, 1, (int64_t[]){(int64_t)n}, &v, err);
    if (rc == 0) {
        ib_weight_widen(&v, 0, n, out);
    }
    return rc;
}

static int matrix(const ib_ip_adapter *a, const char *name, size_t n, size_t k, ib_weight *out,
                  ib_error *err) {
    return ib_weights_get(a->w, name, 2, (int64_t[]){n ? (int64_t)n : -1, k ? (int64_t)k : -1}, out, err);
}

/* Gain and bias of a normalisation. */
static int norm(const ib_ip_adapter *a, const char *stem, size_t n, float **out, ib_error *err) {
    char name[128];
    int rc = ib_alloc_floats(out, 2 * n, "an IP-Adapter", err);
    snprintf(name, sizeof name, "%s.weight", stem);
    rc = rc < 0 ? rc : vector(a, name, n, *out, err);
    snprintf(name, sizeof name, "%s.bias", stem);
    return rc < 0 ? rc : vector(a, name, n, *out + n, err);
}

static int bias(const ib_ip_adapter *a, const char *name, size_t n, float **out, ib_error *err) {
    int rc = ib_alloc_floats(out, n, "an IP-Adapter", err);
    return rc < 0 ? rc : vector(a, name, n, *out, err);
}

static int find_base(ib_ip_adapter *a, ib_error *err) {
    ib_weight n;
    int rc = ib_weights_get(a->w, "image_proj.norm.weight", 1, (int64_t[]){-1}, &n, err);
    rc = rc < 0 ? rc : matrix(a, "image_proj.proj.weight", 0, 0, &a->proj_in, err);
    if (rc < 0) {
        return rc;
    }
    a->about.context = n.count;
    a->about.width = (size_t)a->proj_in.shape[1];
    a->about.tokens = (size_t)a->proj_in.shape[0] / n.count;
    if (a->about.tokens * n.count != (size_t)a->proj_in.shape[0]) {
        return ib_fail(err, IB_E_FORMAT, "%s: image_proj.proj.weight has %lld rows, no multiple of %zu",
                       ib_weights_path(a->w), (long long)a->proj_in.shape[0], n.count);
    }
    rc = bias(a, "image_proj.proj.bias", (size_t)a->proj_in.shape[0], &a->in_bias, err);
    return rc < 0 ? rc : norm(a, "image_proj.norm", n.count, &a->norm, err);
}

static int find_layer(ib_ip_adapter *a, size_t i, ib_error *err) {
    layer *l = &a->layer[i];
    char stem[64], name[128];
    int rc = 0;
    snprintf(stem, sizeof stem, "image_proj.layers.%zu", i);
    const struct {
        const char *name;
        ib_weight *to;
        size_t n, k;
    } matrices[] = {{"0.to_q", &l->to_q, a->inner, a->hidden},
                    {"0.to_kv", &l->to_kv, 2 * a->inner, a->hidden},
                    {"0.to_out", &l->to_out, a->hidden, a->inner},
                    {"1.1", &l->up, a->mlp, a->hidden},
                    {"1.3", &l->down, a->hidden, a->mlp}};
    const struct {
        const char *name;
        float **to;
    } norms[] = {{"0.norm1", &l->norm1}, {"0.norm2", &l->norm2}, {"1.0", &l->norm3}};
    for (int k = 0; k < 5 && rc == 0; k++) {
        snprintf(name, sizeof name, "%s.%s.weight", stem, matrices[k].name);
        rc = matrix(a, name, matrices[k].n, matrices[k].k, matrices[k].to, err);
    }
    for (int k = 0; k < 3 && rc == 0; k++) {
        snprintf(name, sizeof name, "%s.%s", stem, norms[k].name);
        rc = norm(a, name, a->hidden, norms[k].to, err);
    }
    return rc;
}

static int find_plus(ib_ip_adapter *a, ib_error *err) {
    ib_weight latents, to_q, up;
    int rc;
    char name[64];
    if ((rc = ib_weights_get(a->w, "image_proj.latents", 3, (int64_t[]){1, -1, -1}, &latents, err)) < 0 ||
        (rc = matrix(a, "image_proj.layers.0.0.to_q.weight", 0, (size_t)latents.shape[2], &to_q, err)) < 0 ||
        (rc = matrix(a, "image_proj.layers.0.1.1.weight", 0, (size_t)latents.shape[2], &up, err)) < 0 ||
        (rc = matrix(a, "image_proj.proj_in.weight", (size_t)latents.shape[2], 0, &a->proj_in, err)) < 0 ||
        (rc = matrix(a, "image_proj.proj_out.weight", 0, (size_t)latents.shape[2], &a->proj_out, err)) < 0) {
        return rc;
    }
    a->about.plus = true;
    a->about.tokens = (size_t)latents.shape[1];
    a->about.width = (size_t)a->proj_in.shape[1];
    a->about.context = (size_t)a->proj_out.shape[0];
    a->hidden = (size_t)latents.shape[2];
    a->inner = (size_t)to_q.shape[0];
    a->mlp = (size_t)up.shape[0];
    if (a->inner % HEAD) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: to_q has %zu rows: expected a multiple of %d, the width of a head",
                       ib_weights_path(a->w), a->inner, HEAD);
    }
    if ((rc = ib_alloc_floats(&a->latents, latents.count, "an IP-Adapter", err)) < 0 ||
        (rc = bias(a, "image_proj.proj_in.bias", a->hidden, &a->in_bias, err)) < 0 ||
        (rc = bias(a, "image_proj.proj_out.bias", a->about.context, &a->out_bias, err)) < 0 ||
        (rc = norm(a, "image_proj.norm_out", a->about.context, &a->norm, err)) < 0) {
        return rc;
    }
    ib_weight_widen(&latents, 0, latents.count, a->latents);
    for (size_t i = 0; rc == 0; i++) {
        snprintf(name, sizeof name, "image_proj.layers.%zu.0.to_q.weight", i);
        if (!ib_weights_has(a->w, name)) {
            return 0;
        }
        if (i == LAYERS) {
            return ib_fail(err, IB_E_UNSUPPORTED, "%s: an IP-Adapter of more than %d layers",
                           ib_weights_path(a->w), LAYERS);
        }
        rc = find_layer(a, i, err);
        a->layers = i + 1;
    }
    return rc;
}

int ib_ip_adapter_open(ib_ip_adapter **out, const char *path, size_t context, ib_error *err) {
    *out = NULL;
    ib_ip_adapter *a = calloc(1, sizeof *a);
    if (!a) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for an IP-Adapter");
    }
    int rc = ib_weights_open(&a->w, path, "ip_adapter", err);
    if (rc < 0) {
        goto fail;
    }
    if (ib_weights_has(a->w, "image_proj.proj.weight")) {
        rc = find_base(a, err);
    } else if (ib_weights_has(a->w, "image_proj.latents")) {
        rc = find_plus(a, err);
    } else {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: no IP-Adapter of a kind that is known (neither image_proj.proj.weight nor "
                     "image_proj.latents is in it); base and Plus are, those for faces are not",
                     path);
    }
    if (rc == 0 && context && context != a->about.context) {
        rc = ib_fail(err, IB_E_MISMATCH,
                     "%s: an IP-Adapter for a U-Net with a context of width %zu: this one's is %zu", path,
                     a->about.context, context);
    }
    if (rc < 0) {
        goto fail;
    }
    *out = a;
    return 0;
fail:
    ib_ip_adapter_close(&a);
    return rc;
}

void ib_ip_adapter_close(ib_ip_adapter **a) {
    ib_ip_adapter *p = *a;
    if (!p) {
        return;
    }
    for (size_t i = 0; i < LAYERS; i++) {
        ib_free(p->layer[i].norm1);
        ib_free(p->layer[i].norm2);
        ib_free(p->layer[i].norm3);
    }
    ib_free(p->in_bias);
    ib_free(p->out_bias);
    ib_free(p->norm);
    ib_free(p->latents);
    ib_weights_close(&p->w);
    free(p);
    *a = NULL;
}

const ib_ip_about *ib_ip_adapter_about(const ib_ip_adapter *a) {
    return &a->about;
}

const ib_weights *ib_ip_adapter_weights(const ib_ip_adapter *a) {
    return a->w;
}

/* --- tokens --- */

typedef struct work {
    float *kv_in, *kv, *q, *att, *mid, *norm, *lat, *scratch;
    size_t hidden; /* tokens that are looked at */
    int threads;
} work;

static void work_free(work *w) {
    float *const all[] = {w->kv_in, w->kv, w->q, w->att, w->mid, w->norm, w->lat, w->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static void linear(const work *w, const ib_weight *m, const float *b, const float *x, size_t rows, bool add,
                   float *y) {
    size_t n = (size_t)m->shape[0], k = (size_t)m->shape[1];
    ib_linear_half(x, k, m->data, m->dtype, b, rows, n, k, add, w->threads, w->scratch, y, n);
}

static void normalise(const work *w, const float *gain_bias, const float *x, size_t rows, size_t n,
                      float *y) {
    ib_layer_norm(x, gain_bias, gain_bias + n, EPS, rows, n, w->threads, y);
}

static ib_attend attention(const ib_ip_adapter *a, const work *w) {
    return (ib_attend){.images = 1,
                       .queries = a->about.tokens,
                       .keys = w->hidden + a->about.tokens,
                       .heads = a->inner / HEAD,
                       .width = HEAD,
                       .q = w->q,
                       .k = w->kv,
                       .v = w->kv ? w->kv + a->inner : NULL, /* not yet there while scratch is counted */
                       .q_row = a->inner,
                       .k_row = 2 * a->inner,
                       .v_row = 2 * a->inner,
                       .y_row = a->inner,
                       .scale = 1 / sqrtf((float)HEAD),
                       .gain = 1};
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static int work_make(const ib_ip_adapter *a, work *w, ib_error *err) {
    size_t keys, t = a->about.tokens, scratch = ib_linear_half_scratch(most(a->mlp, 2 * a->inner), a->hidden);
    const char *const what = "an IP-Adapter's tokens";
    if (ib_size_add(w->hidden, t, &keys) < 0 ||
        keys > SIZE_MAX / sizeof(float) / (2 * a->inner + a->hidden)) {
        return ib_fail(err, IB_E_MEMORY, "%s do not fit in memory", what);
    }
    scratch = most(scratch, ib_linear_half_scratch(a->hidden, most(a->mlp, a->inner)));
    scratch = most(scratch, ib_linear_half_scratch(a->hidden, a->about.width));
    scratch = most(scratch, ib_linear_half_scratch(a->about.context, a->hidden));
    ib_attend att = attention(a, w);
    scratch = most(scratch, ib_attend_scratch(&att, w->threads));
    int rc;
    if ((rc = ib_alloc_floats(&w->kv_in, keys * a->hidden, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->kv, keys * 2 * a->inner, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->q, t * a->inner, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->att, t * a->inner, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->mid, t * a->mlp, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->norm, w->hidden * a->hidden, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->lat, t * a->hidden, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->scratch, scratch, what, err)) < 0) {
        return rc;
    }
    return 0;
}

/* One picture. x: [hidden, width]; out: [tokens, context] */
static void look(const ib_ip_adapter *a, work *w, const float *x, float *out) {
    size_t t = a->about.tokens, h = a->hidden;
    float *own = w->kv_in + w->hidden * h; /* the queries, normalised, are looked at too */
    memcpy(w->lat, a->latents, t * h * sizeof *w->lat);
    linear(w, &a->proj_in, a->in_bias, x, w->hidden, false, w->norm);
    for (size_t i = 0; i < a->layers; i++) {
        const layer *l = &a->layer[i];
        normalise(w, l->norm1, w->norm, w->hidden, h, w->kv_in);
        normalise(w, l->norm2, w->lat, t, h, own);
        linear(w, &l->to_q, NULL, own, t, false, w->q);
        linear(w, &l->to_kv, NULL, w->kv_in, w->hidden + t, false, w->kv);
        ib_attend att = attention(a, w);
        ib_attend_run(&att, w->threads, w->scratch, w->att);
        linear(w, &l->to_out, NULL, w->att, t, true, w->lat);
        normalise(w, l->norm3, w->lat, t, h, own);
        linear(w, &l->up, NULL, own, t, false, w->mid);
        ib_gelu(w->mid, t * a->mlp, w->mid);
        linear(w, &l->down, NULL, w->mid, t, true, w->lat);
    }
    linear(w, &a->proj_out, a->out_bias, w->lat, t, false, out);
    normalise(w, a->norm, out, t, a->about.context, out);
}

int ib_ip_adapter_tokens(const ib_ip_adapter *a, const float *x, size_t n, size_t hidden, int threads,
                         float *out, ib_error *err) {
    size_t each = a->about.tokens * a->about.context;
    work w = {.hidden = hidden, .threads = threads};
    if (!a->about.plus) {
        int rc = ib_alloc_floats(&w.scratch, ib_linear_half_scratch(each, a->about.width), "tokens", err);
        if (rc == 0) {
            linear(&w, &a->proj_in, a->in_bias, x, n, false, out);
            normalise(&w, a->norm, out, n * a->about.tokens, a->about.context, out);
        }
        ib_free(w.scratch);
        return rc;
    }
    int rc = work_make(a, &w, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        look(a, &w, x + i * hidden * a->about.width, out + i * each);
    }
    work_free(&w);
    return rc;
}
