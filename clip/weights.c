#include "clip/weights.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/text.h"
#include "clip/tower_names.h"

enum { MAX_LAYERS = 1000, MAX_WIDTH = 65536 };

/* ---- tensors by name ---- */

static const ib_st_tensor *find_weights(const ib_clip_source *s, const char *name) {
    for (size_t i = 0; i < s->path.n; i++) {
        const ib_st_tensor *t = ib_st_find(s->file[i], name);
        if (t) {
            return t;
        }
    }
    return NULL;
}

static const char *file_of(const ib_clip_tower *t) {
    return t->source->path.v[0];
}

/* A tensor of this name, of a type with numbers, and of this shape (0: any length of at least 1). */
static int want(ib_clip_tower *t, const char *name, int rank, const size_t *shape, const ib_st_tensor **out,
                ib_error *err) {
    const ib_st_tensor *x = find_weights(t->source, name);
    const char *what = t->side == IB_CLIP_VISION ? "image tower" : "text tower";
    bool fits;
    if (!x) {
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.200s' is missing; the %s in %s naming needs it",
                       file_of(t), name, what, ib_clip_naming_name(t->naming));
    }
    if (x->dtype != IB_F32 && x->dtype != IB_F16 && x->dtype != IB_BF16) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: tensor '%.200s' is %s, expected F32, F16 or BF16",
                       file_of(t), name, ib_dtype_name(x->dtype));
    }
    fits = x->rank == rank;
    for (int i = 0; i < rank && fits; i++) {
        fits = x->shape[i] >= 1 && (!shape[i] || x->shape[i] == (int64_t)shape[i]);
    }
    if (!fits) {
        int64_t wanted[4];
        char got[160], expected[160];
        for (int i = 0; i < rank; i++) {
            wanted[i] = (int64_t)shape[i];
        }
        ib_text_shape(x->shape, x->rank, got, sizeof got);
        ib_text_shape(wanted, rank, expected, sizeof expected);
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.200s' of the %s is %s, expected %s%s", file_of(t),
                       name, what, got, expected,
                       strstr(expected, "0,") || strstr(expected, "[0") ? " (0: any)" : "");
    }
    t->bytes += x->bytes;
    *out = x;
    return IB_OK;
}

static void block_name(const ib_clip_tower *t, size_t layer, ib_clip_part part, char *name, size_t bytes) {
    const ib_clip_names *n = &ib_clip_names_of[t->naming];
    snprintf(name, bytes, "%s%s%zu.%s", t->prefix, n->side[t->side].block, layer, n->part[part]);
}

static int want_part(ib_clip_tower *t, size_t layer, ib_clip_part part, int rank, size_t rows, size_t cols,
                     const ib_st_tensor **out, ib_error *err) {
    char name[512];
    block_name(t, layer, part, name, sizeof name);
    return want(t, name, rank, (const size_t[2]){rows, cols}, out, err);
}

/* ---- matrices ---- */

static void matrix_of(ib_clip_matrix *m, const ib_st_tensor *const *part, int parts, size_t rows,
                      size_t cols) {
    *m = (ib_clip_matrix){.parts = parts, .rows = rows, .cols = cols};
    for (int i = 0; i < parts; i++) {
        m->part[i] = part[i];
    }
}

/* `count` elements from `first`; the tensor's type was checked. */
static void widen_weights(const ib_st_tensor *x, size_t first, size_t count, float *out) {
    ib_st_tensor part = *x;
    size_t each = ib_dtype_bytes(x->dtype);
    part.data = (const uint8_t *)x->data + first * each;
    part.elements = count;
    part.bytes = count * each;
    ib_st_to_f32(&part, out, NULL);
}

void ib_clip_row_get(const ib_st_tensor *table, size_t row, float *out) {
    size_t width = (size_t)table->shape[1];
    widen_weights(table, row * width, width, out);
}

/* ---- one tower ---- */

/* How many layers there are, by the first tensor of each. */
static size_t count_layers(const ib_clip_tower *t) {
    char name[512];
    size_t n = 0;
    do {
        block_name(t, n, IB_CLIP_LN1_W, name, sizeof name);
    } while (n < MAX_LAYERS && find_weights(t->source, name) && ++n);
    return n;
}

static int find_block(ib_clip_tower *t, size_t layer, ib_error *err) {
    static const ib_clip_part vectors[] = {IB_CLIP_LN1_W, IB_CLIP_LN1_B, IB_CLIP_OUT_B, IB_CLIP_LN2_W,
                                           IB_CLIP_LN2_B, IB_CLIP_FC1_B, IB_CLIP_FC2_B};
    static const ib_clip_part weights[] = {IB_CLIP_Q_W, IB_CLIP_K_W, IB_CLIP_V_W};
    static const ib_clip_part biases[] = {IB_CLIP_Q_B, IB_CLIP_K_B, IB_CLIP_V_B};
    ib_clip_block *b = &t->block[layer];
    size_t w = t->width, m = t->mlp;
    bool fused = t->naming == IB_CLIP_OPENCLIP;
    const ib_st_tensor *part[3];
    int rc;
    for (int i = 0; i < (fused ? 1 : 3); i++) {
        size_t rows = fused ? 3 * w : w;
        if ((rc = want_part(t, layer, weights[i], 2, rows, w, &part[i], err)) ||
            (rc = want_part(t, layer, biases[i], 1, rows, 0, &b->vector[b->vectors++], err))) {
            return rc;
        }
    }
    matrix_of(&b->qkv, part, fused ? 1 : 3, 3 * w, w);
    if ((rc = want_part(t, layer, IB_CLIP_OUT_W, 2, w, w, &part[0], err))) {
        return rc;
    }
    matrix_of(&b->out, part, 1, w, w);
    if ((rc = want_part(t, layer, IB_CLIP_FC1_W, 2, m, w, &part[0], err))) {
        return rc;
    }
    matrix_of(&b->fc1, part, 1, m, w);
    if ((rc = want_part(t, layer, IB_CLIP_FC2_W, 2, w, m, &part[0], err))) {
        return rc;
    }
    matrix_of(&b->fc2, part, 1, w, m);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        size_t n = vectors[i] == IB_CLIP_FC1_B ? m : w;
        if ((rc = want_part(t, layer, vectors[i], 1, n, 0, &b->vector[b->vectors++], err))) {
            return rc;
        }
    }
    return IB_OK;
}

static int want_own(ib_clip_tower *t, ib_clip_own own, int rank, const size_t *shape, ib_error *err) {
    char name[512];
    ib_clip_own_name(t, own, name, sizeof name);
    return want(t, name, rank, shape, &t->own[own], err);
}

/* The projection may be absent, which is told later to those who ask for what it gives. */
static int find_projection(ib_clip_tower *t, ib_error *err) {
    bool transposed = t->naming == IB_CLIP_OPENCLIP;
    char name[512];
    ib_clip_own_name(t, IB_CLIP_PROJECT, name, sizeof name);
    if (!find_weights(t->source, name)) {
        return IB_OK;
    }
    int rc = want_own(t, IB_CLIP_PROJECT, 2,
                      (const size_t[2]){transposed ? t->width : 0, transposed ? 0 : t->width}, err);
    if (!rc) {
        t->projection = (size_t)t->own[IB_CLIP_PROJECT]->shape[transposed];
    }
    return rc;
}

static int find_vision(ib_clip_tower *t, ib_error *err) {
    int rc = want_own(t, IB_CLIP_CLASS, 1, (const size_t[1]){0}, err);
    if (rc) {
        return rc;
    }
    t->width = t->own[IB_CLIP_CLASS]->elements;
    if ((rc = want_own(t, IB_CLIP_CONV, 4, (const size_t[4]){t->width, 3, 0, 0}, err)) ||
        (rc = want_own(t, IB_CLIP_POSITIONS, 2, (const size_t[2]){0, t->width}, err))) {
        return rc;
    }
    const ib_st_tensor *conv = t->own[IB_CLIP_CONV];
    t->patch = (size_t)conv->shape[2];
    t->tokens = (size_t)t->own[IB_CLIP_POSITIONS]->shape[0];
    size_t grid = (size_t)lround(sqrt((double)(t->tokens - 1)));
    if (conv->shape[2] != conv->shape[3] || t->patch > 1024) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: patches of %lld x %lld px, expected squares of at most 1024", file_of(t),
                       (long long)conv->shape[2], (long long)conv->shape[3]);
    }
    if (t->tokens < 2 || grid * grid != t->tokens - 1 || grid > 256 || grid * t->patch > 8192) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: %zu positions are not one more than a square of patches in a picture of at most 8192 px",
            file_of(t), t->tokens);
    }
    t->image = grid * t->patch;
    const size_t w[1] = {t->width};
    if ((rc = want_own(t, IB_CLIP_PRE_W, 1, w, err)) || (rc = want_own(t, IB_CLIP_PRE_B, 1, w, err))) {
        return rc;
    }
    return IB_OK;
}

static int find_text(ib_clip_tower *t, ib_error *err) {
    char name[512];
    ib_clip_own_name(t, IB_CLIP_TABLE, name, sizeof name);
    int rc = want(t, name, 2, (const size_t[2]){0, 0}, &t->table, err);
    if (rc) {
        return rc;
    }
    t->vocab = (size_t)t->table->shape[0];
    t->width = (size_t)t->table->shape[1];
    if ((rc = want_own(t, IB_CLIP_POSITIONS, 2, (const size_t[2]){0, t->width}, err))) {
        return rc;
    }
    t->tokens = (size_t)t->own[IB_CLIP_POSITIONS]->shape[0];
    if (t->tokens < 2 || t->tokens > 4096) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: a text tower of %zu positions, expected 2 to 4096",
                       file_of(t), t->tokens);
    }
    return IB_OK;
}

static void take_weights(const ib_st_tensor *x, float **at) {
    widen_weights(x, 0, x->elements, *at);
    *at += x->elements;
}

/* All that is small becomes float32 once. */
static int load_vectors(ib_clip_tower *t, ib_error *err) {
    size_t n = 0;
    for (int i = 0; i < 8; i++) {
        n += t->own[i] ? t->own[i]->elements : 0;
    }
    for (size_t l = 0; l < t->layers; l++) {
        for (int i = 0; i < t->block[l].vectors; i++) {
            n += t->block[l].vector[i]->elements;
        }
    }
    int rc = ib_alloc_floats(&t->arena, n, "the small tensors of a tower", err);
    if (rc) {
        return rc;
    }
    const float **own[8] = {
        [IB_CLIP_CLASS] = &t->class_row, [IB_CLIP_CONV] = &t->conv,      [IB_CLIP_POSITIONS] = &t->positions,
        [IB_CLIP_PRE_W] = &t->pre_w,     [IB_CLIP_PRE_B] = &t->pre_b,    [IB_CLIP_POST_W] = &t->post_w,
        [IB_CLIP_POST_B] = &t->post_b,   [IB_CLIP_PROJECT] = &t->project};
    float *at = t->arena;
    for (int i = 0; i < 8; i++) {
        if (!t->own[i]) {
            continue;
        }
        *own[i] = at;
        if (i == IB_CLIP_PROJECT && t->naming == IB_CLIP_OPENCLIP) {
            const ib_st_tensor *x = t->own[i];
            for (size_t d = 0; d < t->projection; d++) {
                for (size_t c = 0; c < t->width; c++) {
                    widen_weights(x, c * t->projection + d, 1, at++);
                }
            }
        } else {
            take_weights(t->own[i], &at);
        }
    }
    for (size_t l = 0; l < t->layers; l++) {
        ib_clip_block *b = &t->block[l];
        const ib_st_tensor *const *x = b->vector;
        int q = b->qkv.parts;
        b->qkv_b = at;
        for (int i = 0; i < q; i++) {
            take_weights(x[i], &at);
        }
        const float **rest[] = {&b->ln1_w, &b->ln1_b, &b->out_b, &b->ln2_w, &b->ln2_b, &b->fc1_b, &b->fc2_b};
        for (int i = 0; q + i < b->vectors; i++) {
            *rest[i] = at;
            take_weights(x[q + i], &at);
        }
    }
    return IB_OK;
}

int ib_clip_tower_load(ib_clip_tower *t, ib_error *err) {
    int rc = t->side == IB_CLIP_VISION ? find_vision(t, err) : find_text(t, err);
    if (rc) {
        return rc;
    }
    if (t->width > MAX_WIDTH) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: a tower of width %zu, expected at most %d", file_of(t),
                       t->width, MAX_WIDTH);
    }
    const size_t w[1] = {t->width};
    if ((rc = want_own(t, IB_CLIP_POST_W, 1, w, err)) || (rc = want_own(t, IB_CLIP_POST_B, 1, w, err)) ||
        (rc = find_projection(t, err))) {
        return rc;
    }
    t->layers = count_layers(t);
    const ib_st_tensor *fc1;
    if ((rc = want_part(t, 0, IB_CLIP_LN1_W, 1, t->width, 0, &fc1, err)) ||
        (rc = want_part(t, 0, IB_CLIP_FC1_W, 2, 0, t->width, &fc1, err))) {
        return rc;
    }
    t->mlp = (size_t)fc1->shape[0];
    t->dtype = fc1->dtype;
    t->bytes = t->table ? t->table->bytes : 0; /* the two above come again */
    for (int i = 0; i < 8; i++) {
        t->bytes += t->own[i] ? t->own[i]->bytes : 0;
    }
    if (!(t->block = ib_calloc(t->layers, sizeof *t->block))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu layers", t->layers);
    }
    for (size_t l = 0; l < t->layers; l++) {
        if ((rc = find_block(t, l, err))) {
            return rc;
        }
    }
    if ((rc = ib_clip_choose(t, err)) || (rc = load_vectors(t, err))) {
        return rc;
    }
    t->present = true;
    return IB_OK;
}

void ib_clip_tower_close(ib_clip_tower *t) {
    ib_free(t->arena);
    ib_free(t->block);
    *t = (ib_clip_tower){0};
}
