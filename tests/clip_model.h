/* CLIP models of any geometry with random weights, as safetensors files in both namings, and a tokenizer. For
 * tests, benchmarks and tools/clip_weights.c. The numbers are kept as the file holds them (rounded to its
 * type), for oracles. */
#ifndef IB_TESTS_CLIP_MODEL_H
#define IB_TESTS_CLIP_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "base/safetensors.h"
#include "tests/check.h"

typedef struct model_block {
    float *ln1_w, *ln1_b, *qkv_w, *qkv_b, *out_w, *out_b; /* [W] [W] [3W,W] [3W] [W,W] [W] */
    float *ln2_w, *ln2_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b; /* [W] [W] [M,W] [M] [W,M] [W] */
} model_block;

typedef struct model_tower {
    size_t width, layers, heads, mlp, tokens, projection; /* projection 0: none */
    size_t patch, image;                                  /* image tower */
    size_t vocab;                                         /* text tower */
    float *class_row, *conv, *positions, *pre_w, *pre_b, *post_w, *post_b, *project, *table;
    model_block *block;
} model_tower;

typedef struct model_tensor {
    char name[512];
    int rank;
    int64_t shape[4];
    float *data;
    bool transposed; /* written as [cols,rows] */
} model_tensor;

typedef struct model {
    model_tower vision, text; /* width 0: absent */
    bool openclip;
    ib_dtype dtype;
    char prefix[64];
    model_tensor *tensor;
    size_t n;
    float *pool; /* if set, all tensors but the short ones are parts of it */
    size_t pool_floats;
    ib_rng rng;
} model;

/* Rounds to what the type can hold. */
static inline float model_round(float v, ib_dtype t) {
    uint16_t h;
    uint32_t u;
    if (t == IB_F16) {
        ib_f32_to_f16(&v, &h, 1);
        ib_f16_to_f32(&h, &v, 1);
    } else if (t == IB_BF16) {
        memcpy(&u, &v, 4);
        u &= 0xffff0000u;
        memcpy(&v, &u, 4);
    }
    return v;
}

/* n values around `mean`, spread by `spread`. */
static inline float *model_values(model *m, size_t n, float mean, float spread) {
    if (m->pool && n > 65536) {
        size_t slack = m->pool_floats - n;
        return m->pool + (slack ? ib_rng_below(&m->rng, slack) : 0);
    }
    float *v = malloc((n ? n : 1) * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i] = model_round(mean + spread * ib_rng_normal(&m->rng), m->dtype);
    }
    return v;
}

static inline model_tensor *model_add(model *m, const char *name, float *data, int rank,
                                      const size_t *shape) {
    m->tensor = realloc(m->tensor, (m->n + 1) * sizeof *m->tensor);
    model_tensor *t = &m->tensor[m->n++];
    *t = (model_tensor){.rank = rank, .data = data};
    snprintf(t->name, sizeof t->name, "%s%s", m->prefix, name);
    for (int i = 0; i < rank; i++) {
        t->shape[i] = (int64_t)shape[i];
    }
    return t;
}

static inline float *model_vector(model *m, const char *name, size_t n, float mean, float spread) {
    float *v = model_values(m, n, mean, spread);
    model_add(m, name, v, 1, (const size_t[1]){n});
    return v;
}

static inline float *model_matrix(model *m, const char *name, size_t rows, size_t cols, float spread) {
    float *v = model_values(m, rows * cols, 0, spread);
    model_add(m, name, v, 2, (const size_t[2]){rows, cols});
    return v;
}

static inline void model_make_block(model *m, const model_tower *t, const char *stem, size_t layer,
                                    model_block *b) {
    size_t w = t->width;
    float s = 1 / sqrtf((float)w), q = 1 / sqrtf((float)t->mlp);
    char n[200], k[400];
    snprintf(n, sizeof n, "%s%zu.", stem, layer);
#define NAME(hf, open) (snprintf(k, sizeof k, "%s%s", n, m->openclip ? open : hf), k)
    b->qkv_w = model_values(m, 3 * w * w, 0, 1.5f * s);
    b->qkv_b = model_values(m, 3 * w, 0, 0.1f);
    if (m->openclip) {
        model_add(m, NAME("", "attn.in_proj_weight"), b->qkv_w, 2, (const size_t[2]){3 * w, w});
        model_add(m, NAME("", "attn.in_proj_bias"), b->qkv_b, 1, (const size_t[1]){3 * w});
    }
    for (size_t i = 0; i < 3 && !m->openclip; i++) {
        char part[64];
        snprintf(part, sizeof part, "self_attn.%c_proj.weight", "qkv"[i]);
        model_add(m, NAME(part, ""), b->qkv_w + i * w * w, 2, (const size_t[2]){w, w});
        snprintf(part, sizeof part, "self_attn.%c_proj.bias", "qkv"[i]);
        model_add(m, NAME(part, ""), b->qkv_b + i * w, 1, (const size_t[1]){w});
    }
    b->out_w = model_matrix(m, NAME("self_attn.out_proj.weight", "attn.out_proj.weight"), w, w, s);
    b->out_b = model_vector(m, NAME("self_attn.out_proj.bias", "attn.out_proj.bias"), w, 0, 0.1f);
    b->ln1_w = model_vector(m, NAME("layer_norm1.weight", "ln_1.weight"), w, 1, 0.1f);
    b->ln1_b = model_vector(m, NAME("layer_norm1.bias", "ln_1.bias"), w, 0, 0.1f);
    b->ln2_w = model_vector(m, NAME("layer_norm2.weight", "ln_2.weight"), w, 1, 0.1f);
    b->ln2_b = model_vector(m, NAME("layer_norm2.bias", "ln_2.bias"), w, 0, 0.1f);
    b->fc1_w = model_matrix(m, NAME("mlp.fc1.weight", "mlp.c_fc.weight"), t->mlp, w, 1.5f * s);
    b->fc1_b = model_vector(m, NAME("mlp.fc1.bias", "mlp.c_fc.bias"), t->mlp, 0, 0.1f);
    b->fc2_w = model_matrix(m, NAME("mlp.fc2.weight", "mlp.c_proj.weight"), w, t->mlp, q);
    b->fc2_b = model_vector(m, NAME("mlp.fc2.bias", "mlp.c_proj.bias"), w, 0, 0.1f);
#undef NAME
}

static inline void model_make_tower(model *m, model_tower *t, bool text) {
    bool o = m->openclip;
    size_t w = t->width;
    float s = 1 / sqrtf((float)w);
    if (text) {
        t->table =
            model_matrix(m, o ? "token_embedding.weight" : "text_model.embeddings.token_embedding.weight",
                         t->vocab, w, 0.5f);
    } else {
        size_t taps = 3 * t->patch * t->patch;
        t->tokens = 1 + t->image / t->patch * (t->image / t->patch);
        t->class_row = model_vector(
            m, o ? "visual.class_embedding" : "vision_model.embeddings.class_embedding", w, 0, 0.5f);
        t->conv = model_values(m, w * taps, 0, 1 / sqrtf((float)taps));
        model_add(m, o ? "visual.conv1.weight" : "vision_model.embeddings.patch_embedding.weight", t->conv, 4,
                  (const size_t[4]){w, 3, t->patch, t->patch});
        t->pre_w =
            model_vector(m, o ? "visual.ln_pre.weight" : "vision_model.pre_layrnorm.weight", w, 1, 0.1f);
        t->pre_b = model_vector(m, o ? "visual.ln_pre.bias" : "vision_model.pre_layrnorm.bias", w, 0, 0.1f);
    }
    t->positions =
        model_matrix(m,
                     text ? o ? "positional_embedding" : "text_model.embeddings.position_embedding.weight"
                     : o  ? "visual.positional_embedding"
                          : "vision_model.embeddings.position_embedding.weight",
                     t->tokens, w, 0.3f);
    t->block = calloc(t->layers, sizeof *t->block);
    for (size_t l = 0; l < t->layers; l++) {
        model_make_block(m, t,
                         text ? o ? "transformer.resblocks." : "text_model.encoder.layers."
                         : o  ? "visual.transformer.resblocks."
                              : "vision_model.encoder.layers.",
                         l, &t->block[l]);
    }
    const char *post = text ? o ? "ln_final" : "text_model.final_layer_norm"
                       : o  ? "visual.ln_post"
                            : "vision_model.post_layernorm";
    char name[100];
    snprintf(name, sizeof name, "%s.weight", post);
    t->post_w = model_vector(m, name, w, 1, 0.1f);
    snprintf(name, sizeof name, "%s.bias", post);
    t->post_b = model_vector(m, name, w, 0, 0.1f);
    if (t->projection) {
        t->project = model_matrix(m,
                                  text ? o ? "text_projection" : "text_projection.weight"
                                  : o  ? "visual.proj"
                                       : "visual_projection.weight",
                                  t->projection, w, s);
        m->tensor[m->n - 1].transposed = o;
    }
}

/* The towers' geometry, the naming, the type and the prefix are set. */
static inline void model_make(model *m, uint64_t seed) {
    ib_rng_seed(&m->rng, seed);
    if (m->pool_floats) {
        m->pool = malloc(m->pool_floats * sizeof *m->pool);
        for (size_t i = 0; i < m->pool_floats; i++) {
            m->pool[i] = model_round(0.03f * ib_rng_normal(&m->rng), m->dtype);
        }
    }
    if (m->vision.width) {
        model_make_tower(m, &m->vision, false);
    }
    if (m->text.width) {
        model_make_tower(m, &m->text, true);
    }
}

static inline model_tensor *model_find(model *m, const char *name) {
    for (size_t i = 0; i < m->n; i++) {
        if (!strcmp(m->tensor[i].name, name)) {
            return &m->tensor[i];
        }
    }
    return NULL;
}

/* The tensors [from, to) as a file. */
static inline int model_write_part(const model *m, const char *path, size_t from, size_t to, ib_error *err) {
    ib_st_tensor *t = calloc(to - from + 1, sizeof *t);
    for (size_t i = from; i < to; i++) {
        const model_tensor *x = &m->tensor[i];
        ib_st_tensor *out = &t[i - from];
        size_t n = 1, rows = (size_t)x->shape[0], cols = x->rank > 1 ? (size_t)x->shape[1] : 1;
        *out = (ib_st_tensor){.name = x->name, .dtype = m->dtype, .rank = x->rank};
        for (int k = 0; k < x->rank; k++) {
            n *= (size_t)x->shape[k];
            out->shape[k] = x->transposed ? x->shape[1 - k] : x->shape[k];
        }
        float *v = malloc(n * sizeof *v + 4);
        uint16_t *h = (uint16_t *)v; /* written behind what is read */
        for (size_t k = 0; k < n; k++) {
            v[k] = x->transposed ? x->data[k % rows * cols + k / rows] : x->data[k];
        }
        if (m->dtype == IB_F16) {
            ib_f32_to_f16(v, h = malloc(n * 2 + 2), n);
        }
        if (m->dtype == IB_BF16) {
            h = malloc(n * 2 + 2);
            for (size_t k = 0; k < n; k++) {
                uint32_t u;
                memcpy(&u, v + k, 4);
                h[k] = (uint16_t)(u >> 16);
            }
        }
        out->data = m->dtype == IB_F32 ? (void *)v : (void *)h;
        if (m->dtype != IB_F32) {
            free(v);
        }
    }
    int rc = ib_st_write(path, t, to - from, NULL, 0, err);
    for (size_t i = 0; i < to - from; i++) {
        free((void *)t[i].data);
    }
    free(t);
    return rc;
}

static inline int model_write(const model *m, const char *path, ib_error *err) {
    return model_write_part(m, path, 0, m->n, err);
}

static inline void model_free(model *m) {
    for (size_t i = 0; i < m->n; i++) {
        const float *d = m->tensor[i].data;
        bool inner = strstr(m->tensor[i].name, "k_proj") || strstr(m->tensor[i].name, "v_proj");
        if (!inner && !(m->pool && d >= m->pool && d < m->pool + m->pool_floats)) {
            free(m->tensor[i].data);
        }
    }
    free(m->vision.block);
    free(m->text.block);
    free(m->tensor);
    free(m->pool);
    *m = (model){0};
}

/* Small, but with everything in it that the real ones have: heads, a grid, more than one block. */
static inline model model_small(bool openclip, ib_dtype dtype, const char *prefix) {
    model m = {.openclip = openclip, .dtype = dtype};
    m.vision = (model_tower){
        .width = 64, .layers = 3, .heads = 1, .mlp = 144, .projection = 40, .patch = 6, .image = 30};
    m.text = (model_tower){
        .width = 128, .layers = 2, .heads = 2, .mlp = 176, .tokens = 16, .projection = 40, .vocab = 540};
    snprintf(m.prefix, sizeof m.prefix, "%s", prefix);
    return m;
}

/* ---- a tokenizer of the 512 tokens that single bytes have, some merges and the two special ones ---- */

static const char *const model_merges[] = {
    "c a",      "ca t</w>", "t h",
    "th e</w>", "x x",      "xx xx",
    "r e",      "re d</w>", "' s</w>",
    "o f</w>",  "h e",      "he llo</w>",
    "l l",      "ll o</w>", "\xc3\x83 \xc2\xa9</w>" /* the two bytes of e with acute */};
enum { MODEL_MERGES = sizeof model_merges / sizeof *model_merges };

static inline void model_byte_text(int b, char out[3]) {
    int c = b, n = 0;
    bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    for (int k = 0; k < b && !plain; k++) {
        n += !((k >= 33 && k <= 126) || (k >= 161 && k <= 172) || k >= 174);
    }
    c = plain ? b : 256 + n;
    if (c < 128) {
        snprintf(out, 3, "%c", c);
    } else {
        snprintf(out, 3, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 63));
    }
}

static inline void model_put_token(FILE *f, const char *text, const char *end, int id) {
    fprintf(f, "%s\"%s%s%s\": %d", id ? ", " : "", *text == '"' || *text == '\\' ? "\\" : "", text, end, id);
}

static inline void model_write_vocabulary(FILE *f) {
    char text[3];
    fputc('{', f);
    for (int b = 0; b < 512; b++) {
        model_byte_text(b & 255, text);
        model_put_token(f, text, b < 256 ? "" : "</w>", b);
    }
    for (int i = 0; i < MODEL_MERGES; i++) {
        char both[40];
        size_t n = strcspn(model_merges[i], " ");
        snprintf(both, sizeof both, "%.*s%s", (int)n, model_merges[i], model_merges[i] + n + 1);
        model_put_token(f, both, "", 512 + i);
    }
    model_put_token(f, "<|startoftext|>", "", 538);
    model_put_token(f, "<|endoftext|>", "", 539);
    fputc('}', f);
}

/* vocab.json and merges.txt, or tokenizer.json with merges as strings (form 1) or as pairs (form 2), in the
 * folder. */
static inline void model_write_tokenizer(const char *folder, int form) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, form ? "tokenizer.json" : "vocab.json");
    FILE *f = fopen(path, "w");
    if (form) {
        fputs("{\"version\": \"1.0\", \"model\": {\"type\": \"BPE\", \"vocab\": ", f);
    }
    model_write_vocabulary(f);
    if (form) {
        fputs(", \"merges\": [", f);
    }
    if (!form) {
        fclose(f);
        snprintf(path, sizeof path, "%s/merges.txt", folder);
        f = fopen(path, "w");
        fputs("#version: 0.2\n", f);
    }
    for (int i = 0; i < MODEL_MERGES; i++) {
        size_t n = strcspn(model_merges[i], " ");
        if (!form) {
            fprintf(f, "%s\n", model_merges[i]);
        } else if (form == 1) {
            fprintf(f, "%s\"%s\"", i ? ", " : "", model_merges[i]);
        } else {
            fprintf(f, "%s[\"%.*s\", \"%s\"]", i ? ", " : "", (int)n, model_merges[i],
                    model_merges[i] + n + 1);
        }
    }
    if (form) {
        fputs("]}}", f);
    }
    fclose(f);
}

/* Both towers of random weights and a tokenizer in `folder`; spec [600]: the space of them. */
static inline void model_write_small(const char *folder, char spec[600]) {
    ib_error err;
    char path[560];
    model m = model_small(false, IB_F32, "");
    model_make(&m, 7);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    CHECK_OK(model_write(&m, path, &err), &err);
    model_free(&m);
    model_write_tokenizer(folder, 0);
    snprintf(spec, 600, "clip:%s", path);
}

#endif
