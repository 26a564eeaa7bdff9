#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "clip/tower_names.h"

/* A stored [W,D] in the order of [D,W]. */
static void add_transposed(struct sha256_ctx *h, const ib_st_tensor *x) {
    size_t rows = (size_t)x->shape[0], cols = (size_t)x->shape[1], each = ib_dtype_bytes(x->dtype);
    uint8_t line[8 * 1024];
    size_t most = sizeof line / each;
    for (size_t c = 0; c < cols; c++) {
        for (size_t r = 0; r < rows; r += most) {
            size_t n = rows - r < most ? rows - r : most;
            for (size_t i = 0; i < n; i++) {
                memcpy(line + i * each, (const uint8_t *)x->data + ((r + i) * cols + c) * each, each);
            }
            sha256_update(h, n * each, line);
        }
    }
}

static void add_identity(struct sha256_ctx *h, const ib_st_tensor *x) {
    const char *type = ib_dtype_name(x->dtype);
    sha256_update(h, strlen(type) + 1, (const uint8_t *)type);
    sha256_update(h, x->bytes, x->data);
}

/* Parts of one whole: the type once, the bytes as if they were one tensor. */
static void add_matrix(struct sha256_ctx *h, const ib_clip_matrix *m) {
    add_identity(h, m->part[0]);
    for (int i = 1; i < m->parts; i++) {
        sha256_update(h, m->part[i]->bytes, m->part[i]->data);
    }
}

void ib_clip_tower_sha256(const ib_clip_tower *t, char hex[65]) {
    struct sha256_ctx h;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char head[128];
    sha256_init(&h);
    snprintf(head, sizeof head, "%s tower %zu %zu %zu %zu %zu", t->side == IB_CLIP_VISION ? "image" : "text",
             t->width, t->layers, t->mlp, t->tokens, t->projection);
    sha256_update(&h, strlen(head) + 1, (const uint8_t *)head);
    if (t->table) {
        add_identity(&h, t->table);
    }
    for (int i = 0; i < IB_CLIP_PROJECT; i++) {
        if (t->own[i]) {
            add_identity(&h, t->own[i]);
        }
    }
    for (size_t l = 0; l < t->layers; l++) {
        const ib_clip_block *b = &t->block[l];
        add_matrix(&h, &b->qkv);
        add_identity(&h, b->vector[0]);
        for (int i = 1; i < b->qkv.parts; i++) {
            sha256_update(&h, b->vector[i]->bytes, b->vector[i]->data);
        }
        for (int i = b->qkv.parts; i < b->vectors; i++) {
            add_identity(&h, b->vector[i]);
        }
        add_matrix(&h, &b->out);
        add_matrix(&h, &b->fc1);
        add_matrix(&h, &b->fc2);
    }
    const ib_st_tensor *p = t->own[IB_CLIP_PROJECT];
    if (p && t->naming == IB_CLIP_OPENCLIP) {
        add_transposed(&h, p);
    } else if (p) {
        sha256_update(&h, p->bytes, p->data);
    }
    sha256_digest(&h, sizeof digest, digest);
    ib_text_hex(digest, sizeof digest, hex);
}
