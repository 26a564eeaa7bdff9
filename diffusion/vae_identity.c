#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "diffusion/vae_private.h"

static void add_weight(struct sha256_ctx *h, const ib_weight *w) {
    enum { PIECE = 4096 };
    float v[PIECE];
    for (size_t first = 0; first < w->count; first += PIECE) {
        size_t n = w->count - first < PIECE ? w->count - first : PIECE;
        ib_weight_widen(w, first, n, v);
        sha256_update(h, n * sizeof *v, (const uint8_t *)v);
    }
}

static void add_conv(struct sha256_ctx *h, const ib_map_conv *c) {
    if (c->cin) {
        add_weight(h, &c->w);
        if (c->bias) {
            add_weight(h, &c->b);
        }
    }
}

static void add_norm(struct sha256_ctx *h, const ib_map_norm *n) {
    add_weight(h, &n->w);
    add_weight(h, &n->b);
    add_conv(h, &n->scale);
    add_conv(h, &n->shift);
}

static void add_resnet(struct sha256_ctx *h, const ib_vae_resnet *r) {
    add_norm(h, &r->norm1);
    add_conv(h, &r->conv1);
    add_norm(h, &r->norm2);
    add_conv(h, &r->conv2);
    add_conv(h, &r->shortcut);
}

static void add_attention(struct sha256_ctx *h, const ib_vae_attention *a) {
    if (a->present) {
        const ib_map_conv *all[] = {&a->q, &a->k, &a->v, &a->out};
        add_norm(h, &a->norm);
        for (int i = 0; i < 4; i++) {
            add_conv(h, all[i]);
        }
    }
}

static void add_side(struct sha256_ctx *h, const ib_vae_side *s) {
    if (!s->present) {
        return;
    }
    add_conv(h, &s->in);
    for (size_t l = 0; l < s->levels; l++) {
        for (size_t i = 0; i < s->level[l].layers; i++) {
            add_resnet(h, &s->level[l].resnet[i]);
            add_attention(h, &s->level[l].attention[i]);
        }
        add_conv(h, &s->level[l].sample);
    }
    add_resnet(h, &s->mid[0]);
    add_attention(h, &s->mid_attention);
    add_resnet(h, &s->mid[1]);
    add_norm(h, &s->norm);
    add_conv(h, &s->out);
    add_conv(h, &s->quant);
}

void ib_vae_sha256(const ib_vae *v, char hex[65]) {
    struct sha256_ctx h;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char head[160];
    const ib_vae_about *a = &v->about;
    sha256_init(&h);
    snprintf(head, sizeof head, "%s %zu %zu %.9g %.9g %.9g %zu", ib_vae_kind_name(a->kind), a->channels,
             a->factor, a->scaling, a->shift, v->tiny ? v->tiny->magnitude : 0, v->side[0].norm.groups);
    sha256_update(&h, strlen(head) + 1, (const uint8_t *)head);
    for (int side = 0; side < 2; side++) {
        add_side(&h, &v->side[side]);
        for (size_t i = 0; v->tiny && i < v->tiny->parts[side]; i++) {
            for (int k = 0; k < 3; k++) {
                add_conv(&h, &v->tiny->part[side][i].conv[k]);
            }
            add_conv(&h, &v->tiny->part[side][i].skip);
        }
    }
    sha256_digest(&h, sizeof digest, digest);
    ib_text_hex(digest, sizeof digest, hex);
}
