#include "clip/transformer.h"

#include <math.h>
#include <omp.h>
#include "base/memory.h"
#include "clip/kernels.h"
#include "nn/gemm.h"

enum {
    QUERIES = 64
}; /* rows of scores that one thread holds: with 257 keys 66 kB, which stays in its cache */

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

int ib_clip_work_reserve(ib_clip_work *w, const ib_clip_tower *t, size_t sequences, size_t tokens,
                         size_t extra, int threads, ib_error *err) {
    size_t wide = 3 * t->width, rows, x, all, weights = 0;
    wide = t->mlp > wide ? t->mlp : wide;
    wide = extra > wide ? extra : wide;
    if (ib_size_mul(sequences, tokens, &rows) || ib_size_mul(rows, t->width, &x) ||
        ib_size_mul(rows, wide, &all) || rows > INT32_MAX || wide > INT32_MAX) {
        return ib_fail(err, IB_E_MEMORY, "a batch of %zu is too large", sequences);
    }
    for (size_t l = 0; l < t->layers; l++) {
        const ib_clip_matrix *m[4] = {&t->block[l].qkv, &t->block[l].out, &t->block[l].fc1, &t->block[l].fc2};
        for (int i = 0; i < 4; i++) {
            if (!m[i]->direct && m[i]->rows * m[i]->cols > weights) {
                weights = m[i]->rows * m[i]->cols;
            }
        }
    }
    size_t norm_transformer = w->x_floats;
    w->threads = threads;
    int rc = grow(&w->x, &w->x_floats, x, "a batch's tokens", err);
    rc = rc ? rc : grow(&w->norm, &norm_transformer, x, "a batch's tokens", err);
    rc = rc ? rc : grow(&w->wide, &w->wide_floats, all, "a batch's hidden values", err);
    rc = rc ? rc : grow(&w->weights, &w->weights_floats, weights, "a layer's weights", err);
    if (!rc) {
        rc = grow(&w->scores, &w->scores_floats, (size_t)threads * QUERIES * tokens, "attention's scores",
                  err);
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
    ib_free(w->weights);
    ib_free(w->scores);
    *w = (ib_clip_work){0};
}

/* What is done to a product besides the product. */
typedef enum finish { SET, ADD, ACTIVATE } finish;

typedef struct linear {
    finish finish; /* y = x w^T + b; y += x w^T + b; y = act(x w^T + b) */
    ib_clip_act act;
    const float *x; /* [rows,K] */
    const float *w; /* [N,K] */
    const float *b; /* [N] or NULL */
    float *y;       /* rows `stride` apart */
    size_t rows, n, k, stride;
} linear;

static void tile_transformer(const linear *l, size_t r0, size_t r1, size_t c0, size_t c1) {
    size_t rows = r1 - r0, cols = c1 - c0;
    float *y = l->y + r0 * l->stride + c0;
    const float *b = l->b ? l->b + c0 : NULL;
    if (l->finish == ADD && b) {
        ib_clip_bias(b, rows, cols, l->stride, y);
    }
    ib_gemm_bt_part(1.0f, l->x + r0 * l->k, l->k, l->w + c0 * l->k, l->k, l->finish == ADD ? 1.0f : 0.0f, y,
                    l->stride, rows, cols, l->k);
    if (l->finish == SET && b) {
        ib_clip_bias(b, rows, cols, l->stride, y);
    }
    if (l->finish == ACTIVATE) {
        ib_clip_activate(l->act, b, rows, cols, l->stride, y);
    }
}

/* The i-th of n nearly equal parts of `whole`, in units of `unit`. */
static size_t cut(size_t whole, size_t i, size_t n, size_t unit) {
    size_t at = whole * i / n / unit * unit;
    return i == n ? whole : at;
}

/* Each thread gets one tile, as square as can be: OpenBLAS packs both factors of every product, which costs a
 * tile's circumference, while the work is its area. */
static void run_transformer(const linear *l, int threads) {
    size_t best = 1, p = (size_t)threads;
    double least = INFINITY;
    for (size_t down = 1; down <= p; down++) {
        double cost = (double)l->rows / (double)down + (double)l->n / (double)(p / down);
        if (p % down == 0 && cost < least) {
            least = cost;
            best = down;
        }
    }
    size_t down = best, across = p / best;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int i = 0; i < threads; i++) {
        size_t r = (size_t)i / across, c = (size_t)i % across;
        size_t r0 = cut(l->rows, r, down, 1), r1 = cut(l->rows, r + 1, down, 1);
        size_t c0 = cut(l->n, c, across, 16), c1 = cut(l->n, c + 1, across, 16);
        if (r1 > r0 && c1 > c0) {
            tile_transformer(l, r0, r1, c0, c1);
        }
    }
}

void ib_clip_linear(const float *x, const float *w, const float *b, size_t rows, size_t n, size_t k,
                    int threads, float *y) {
    run_transformer(
        &(linear){.finish = SET, .x = x, .w = w, .b = b, .y = y, .rows = rows, .n = n, .k = k, .stride = n},
        threads);
}

/* A product with a matrix of the block's, widened if need be. */
static void apply(const ib_clip_matrix *m, linear l, ib_clip_work *w) {
    const float *piece[3];
    size_t n = m->rows / (size_t)m->parts;
    ib_clip_matrix_get(m, w->weights, w->threads, piece);
    l.k = m->cols;
    l.stride = m->rows;
    l.n = m->rows;
    l.w = piece[0];
    if (m->parts == 1 || !m->direct) {
        run_transformer(&l, w->threads);
        return;
    }
    for (int i = 0; i < m->parts; i++) {
        linear part = l;
        part.w = piece[i];
        part.n = n;
        part.b = l.b + (size_t)i * n;
        part.y = l.y + (size_t)i * n;
        run_transformer(&part, w->threads);
    }
}

static void norm_transformer(const float *x, const float *g, const float *b, float eps, size_t rows,
                             size_t width, int threads, float *y) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (ptrdiff_t r = 0; r < (ptrdiff_t)rows; r++) {
        ib_clip_norm(x + (size_t)r * width, g, b, eps, 1, width, y + (size_t)r * width);
    }
}

/* wide: [sequences,tokens,3W] with q|k|v; out: [sequences,tokens,W] */
static void attend_transformer(const ib_clip_tower *t, ib_clip_work *w, size_t sequences, size_t tokens) {
    size_t width = t->width, stride = 3 * width, each = width / t->heads;
    float scale = 1.0f / sqrtf((float)each);
    bool causal = t->side == IB_CLIP_TEXT;
#pragma omp parallel for num_threads(w->threads) schedule(dynamic, 1)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(sequences * t->heads); i++) {
        float *s = w->scores + (size_t)omp_get_thread_num() * QUERIES * tokens;
        size_t first_row = (size_t)i / t->heads * tokens, head = (size_t)i % t->heads;
        const float *q = w->wide + first_row * stride + head * each, *k = q + width, *v = k + width;
        float *out = w->norm + first_row * width + head * each;
        for (size_t r = 0; r < tokens; r += QUERIES) {
            size_t rows = tokens - r < QUERIES ? tokens - r : QUERIES, keys = causal ? r + rows : tokens;
            ib_gemm_bt_part(scale, q + r * stride, stride, k, stride, 0.0f, s, keys, rows, keys, each);
            ib_clip_softmax(s, rows, keys, causal, r);
            ib_gemm_part(1.0f, s, keys, v, stride, 0.0f, out + r * width, width, rows, each, keys);
        }
    }
}

void ib_clip_blocks(const ib_clip_tower *t, ib_clip_work *w, size_t sequences, size_t tokens, size_t layers) {
    size_t rows = sequences * tokens, width = t->width;
    for (size_t l = 0; l < layers; l++) {
        const ib_clip_block *b = &t->block[l];
        norm_transformer(w->x, b->ln1_w, b->ln1_b, t->eps, rows, width, w->threads, w->norm);
        apply(&b->qkv, (linear){.finish = SET, .x = w->norm, .b = b->qkv_b, .y = w->wide, .rows = rows}, w);
        attend_transformer(t, w, sequences, tokens);
        apply(&b->out, (linear){.finish = ADD, .x = w->norm, .b = b->out_b, .y = w->x, .rows = rows}, w);
        norm_transformer(w->x, b->ln2_w, b->ln2_b, t->eps, rows, width, w->threads, w->norm);
        apply(&b->fc1,
              (linear){
                  .finish = ACTIVATE, .act = t->act, .x = w->norm, .b = b->fc1_b, .y = w->wide, .rows = rows},
              w);
        apply(&b->fc2, (linear){.finish = ADD, .x = w->wide, .b = b->fc2_b, .y = w->x, .rows = rows}, w);
    }
}
