#include "clip/transformer.h"

#include <math.h>
#include "base/memory.h"
#include "nn/forward.h"
#include "nn/panels.h"

enum { ROWS = 64 }; /* of an activation that a thread takes at a time */

static int grow(float **p, size_t *have, size_t count, const char *what, ib_error *err) {
    if (count <= *have) {
        return IB_OK;
    }
    ib_free(*p);
    *p = NULL;
    *have = 0;
    int rc = ib_alloc_floats(p, count, what, err);
    *have = rc ? 0 : count;
    return rc;
}

/* q, k and v lie side by side in the rows of `wide`. */
static ib_attend attention_of(const ib_clip_tower *t, const ib_clip_work *w, size_t sequences,
                              size_t tokens) {
    size_t width = t->width, each = width / t->heads;
    ib_attend a = {.images = sequences, .queries = tokens, .keys = tokens, .heads = t->heads, .width = each};
    a.q = w->wide;
    a.k = w->wide + width;
    a.v = w->wide + 2 * width;
    a.q_row = a.k_row = a.v_row = 3 * width;
    a.y_row = width;
    a.scale = 1.0f / sqrtf((float)each);
    a.gain = 1;
    a.causal = t->side == IB_CLIP_TEXT;
    return a;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

int ib_clip_work_reserve(ib_clip_work *w, const ib_clip_tower *t, size_t sequences, size_t tokens,
                         size_t extra, int threads, ib_error *err) {
    size_t wide = most(most(3 * t->width, t->mlp), extra), rows, x, all;
    if (ib_size_mul(sequences, tokens, &rows) || ib_size_mul(rows, t->width, &x) ||
        ib_size_mul(rows, wide, &all) || rows > INT32_MAX || wide > INT32_MAX) {
        return ib_fail(err, IB_E_MEMORY, "a batch of %zu is too large", sequences);
    }
    const size_t products[][2] = {
        {3 * t->width, t->width}, {t->mlp, t->width}, {t->width, t->mlp}, {t->projection, t->width}};
    size_t scratch = extra ? ib_linear_half_scratch(t->width, extra) : 0;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        scratch = most(scratch, ib_linear_half_scratch(products[i][0], products[i][1]));
    }
    w->threads = threads;
    int rc = grow(&w->x, &w->x_floats, x, "a batch's tokens", err);
    rc = rc ? rc : grow(&w->norm, &w->norm_floats, x, "a batch's tokens", err);
    rc = rc ? rc : grow(&w->wide, &w->wide_floats, all, "a batch's hidden values", err);
    if (!rc) {
        ib_attend a = attention_of(t, w, sequences, tokens);
        scratch = most(scratch, ib_attend_scratch(&a, threads));
        rc = grow(&w->scratch, &w->scratch_floats, scratch, "a layer's weights and scores", err);
    }
    if (rc) {
        ib_clip_work_free(w);
    }
    return rc;
}

void ib_clip_work_free(ib_clip_work *w) {
    ib_free(w->x);
    ib_free(w->norm);
    ib_free(w->wide);
    ib_free(w->scratch);
    *w = (ib_clip_work){0};
}

void ib_clip_linear(ib_clip_work *w, const float *x, const float *m, size_t rows, size_t n, size_t k,
                    float *y) {
    ib_linear_half(x, k, m, IB_F32, NULL, rows, n, k, false, w->threads, w->scratch, y, n);
}

/* y = x m^T + b, or y += x m^T + b where `add`, part by part of the matrix. */
static void apply(const ib_clip_matrix *m, const float *b, const float *x, size_t rows, bool add,
                  ib_clip_work *w, float *y) {
    size_t n = m->rows / (size_t)m->parts;
    for (size_t i = 0; i < (size_t)m->parts; i++) {
        ib_linear_half(x, m->cols, m->part[i]->data, m->part[i]->dtype, b + i * n, rows, n, m->cols, add,
                       w->threads, w->scratch, y + i * n, m->rows);
    }
}

static void activate(ib_clip_act act, size_t rows, size_t width, int threads, float *x) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)((rows + ROWS - 1) / ROWS); i++) {
        size_t first = (size_t)i * ROWS, n = (rows - first < ROWS ? rows - first : ROWS) * width;
        (act == IB_CLIP_QUICK_GELU ? ib_quick_gelu : ib_gelu)(x + first * width, n, x + first * width);
    }
}

void ib_clip_blocks(const ib_clip_tower *t, ib_clip_work *w, size_t sequences, size_t tokens, size_t layers) {
    size_t rows = sequences * tokens, width = t->width;
    ib_attend a = attention_of(t, w, sequences, tokens);
    for (size_t l = 0; l < layers; l++) {
        const ib_clip_block *b = &t->block[l];
        ib_layer_norm(w->x, b->ln1_w, b->ln1_b, t->eps, rows, width, w->threads, w->norm);
        apply(&b->qkv, b->qkv_b, w->norm, rows, false, w, w->wide);
        ib_attend_run(&a, w->threads, w->scratch, w->norm);
        apply(&b->out, b->out_b, w->norm, rows, true, w, w->x);
        ib_layer_norm(w->x, b->ln2_w, b->ln2_b, t->eps, rows, width, w->threads, w->norm);
        apply(&b->fc1, b->fc1_b, w->norm, rows, false, w, w->wide);
        activate(t->act, rows, t->mlp, w->threads, w->wide);
        apply(&b->fc2, b->fc2_b, w->wide, rows, true, w, w->x);
    }
}
