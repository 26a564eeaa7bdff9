/* The trunk: residual blocks at token resolution, a coarser level below them, and again token resolution. */
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "nn/attention.h"
#include "nn/conv3x3.h"
#include "nn/layers.h"
#include "nn/simd.h"

static size_t film_offset(const ib_adapter *a, const ib_trunk *t, int block) {
    size_t n = 0;
    for (int i = 0; i < block; i++) {
        n += 2 * (size_t)a->block[i].channels * t->batch;
    }
    return n;
}

static size_t block_tokens(const ib_trunk *t, const ib_block *b) {
    return b->coarse ? t->ctokens : t->tokens;
}

static size_t largest_block(const ib_trunk *t, const ib_adapter *a) {
    size_t most = 0;
    for (int i = 0; i < a->blocks; i++) {
        size_t m = t->batch * block_tokens(t, &a->block[i]) * (size_t)a->block[i].channels;
        most = m > most ? m : most;
    }
    return most;
}

/* Gradients need every block's input and what is in its middle. Predictions do not: a level has two arrays,
 * and each block reads the one and writes the other. */
static void lay_out_blocks(ib_trunk *t, const ib_adapter *a, bool training, ib_bump *b) {
    float *room[2][2] = {{NULL}}, *u = NULL, *qkv = NULL, *attended = NULL;
    size_t next[2] = {0, 0}; /* of each level: inputs of its blocks, then the last one's output */
    for (int i = 0; i < a->blocks; i++) {
        int level = a->block[i].coarse;
        size_t m = t->batch * block_tokens(t, &a->block[i]) * (size_t)a->block[i].channels, k = next[level]++;
        float **x = &room[level][k % 2];
        *x = training || k < 2 ? ib_take(b, m) : *x;
        if (training || !i) {
            size_t most = training ? m : largest_block(t, a);
            u = ib_take(b, most);
            qkv = a->attention ? ib_take(b, 3 * most) : NULL;
            attended = a->attention ? ib_take(b, most) : NULL;
        }
        if (b->base) {
            t->x[i] = *x;
            t->u[i] = u;
            t->qkv[i] = qkv;
            t->attended[i] = attended;
        }
    }
    for (int level = 0; level < 2; level++) {
        size_t m = t->batch *
                   (level ? t->ctokens * (size_t)a->config.coarse : t->tokens * (size_t)a->config.fine),
               k = next[level];
        float **out = level ? &t->coarse_out : &t->fine_out;
        *out = !k && level ? NULL : training || k < 2 ? ib_take(b, m) : room[level][k % 2];
    }
}

static void lay_out(ib_trunk *t, const ib_adapter *a, bool training, ib_bump *b) {
    size_t n = t->batch * t->tokens, fine = (size_t)a->config.fine, coarse = (size_t)a->config.coarse;
    size_t nc = t->batch * t->ctokens, largest = n * fine;
    bool two_level = a->config.coarse_blocks > 0;
    if (two_level) {
        largest = largest > nc * 4 * fine ? largest : nc * 4 * fine;
        largest = largest > nc * coarse ? largest : nc * coarse;
    }
    largest = largest > t->batch * IB_TIME_WIDTH ? largest : t->batch * IB_TIME_WIDTH;
    t->features = ib_take(b, n * a->features);
    t->time_in = ib_take(b, t->batch * IB_TIME_INPUTS);
    t->time_pre = ib_take(b, t->batch * IB_TIME_WIDTH);
    t->time = ib_take(b, t->batch * IB_TIME_WIDTH);
    size_t film = film_offset(a, t, a->blocks) + 2 * fine * t->batch;
    t->film = ib_take(b, film);
    t->keep_room = training ? ib_take(b, film / 2) : NULL;
    lay_out_blocks(t, a, training, b);
    t->out = ib_take(b, n * fine);
    t->a = ib_take(b, largest);
    t->b = ib_take(b, largest);
    t->c = ib_take(b, largest);
    if (two_level) {
        t->gathered = ib_take(b, nc * 4 * fine);
    }
    if (a->spatial) {
        size_t s = ib_conv3x3_scratch(t->batch, t->rows, t->cols, fine, fine);
        if (two_level) {
            size_t c = ib_conv3x3_scratch(t->batch, t->crows, t->ccols, coarse, coarse);
            s = s > c ? s : c;
        }
        t->conv = ib_take(b, s);
    } else if (a->attention) {
        t->conv = ib_take(b, ib_attention_scratch(t->tokens));
    }
    if (training) {
        t->dtime = ib_take(b, t->batch * IB_TIME_WIDTH);
        t->dfilm = ib_take(b, film);
        t->dout = ib_take(b, largest);
        t->dskip = ib_take(b, n * fine);
        t->dqkv = a->attention ? ib_take(b, 3 * n * fine) : NULL;
    }
}

int ib_trunk_create(ib_trunk *t, const ib_adapter *a, size_t batch, size_t rows, size_t cols, bool training,
                    ib_error *err) {
    memset(t, 0, sizeof *t);
    t->batch = batch;
    t->rows = rows;
    t->cols = cols;
    t->tokens = rows * cols;
    t->crows = (rows + 1) / 2;
    t->ccols = (cols + 1) / 2;
    t->ctokens = t->crows * t->ccols;
    t->x = ib_calloc((size_t)a->blocks, sizeof *t->x);
    t->u = ib_calloc((size_t)a->blocks, sizeof *t->u);
    t->qkv = ib_calloc((size_t)a->blocks, sizeof *t->qkv);
    t->attended = ib_calloc((size_t)a->blocks, sizeof *t->attended);
    if (!t->x || !t->u || !t->qkv || !t->attended) {
        ib_trunk_free(t);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the model's work space");
    }
    ib_bump b = {0};
    lay_out(t, a, training, &b);
    int rc = ib_alloc_floats(&t->arena, b.used, "the model's work space", err);
    if (rc) {
        ib_trunk_free(t);
        return rc;
    }
    b = (ib_bump){.base = t->arena};
    lay_out(t, a, training, &b);
    return 0;
}

void ib_trunk_free(ib_trunk *t) {
    ib_free(t->x);
    ib_free(t->u);
    ib_free(t->qkv);
    ib_free(t->attended);
    ib_free(t->arena);
    memset(t, 0, sizeof *t);
}

/* [n,rows,cols,C] -> [n,crows,ccols,4C]: the 2x2 tokens under each coarse one; beyond an odd edge, zero. */
static void gather2x2(const float *x, const ib_trunk *t, size_t n, size_t c, float *g) {
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < 2 * t->crows; r++) {
            for (size_t q = 0; q < 2 * t->ccols; q++) {
                float *o = g + ((i * t->crows + r / 2) * t->ccols + q / 2) * 4 * c + (r % 2 * 2 + q % 2) * c;
                if (r < t->rows && q < t->cols) {
                    memcpy(o, x + ((i * t->rows + r) * t->cols + q) * c, c * sizeof *o);
                } else {
                    memset(o, 0, c * sizeof *o);
                }
            }
        }
    }
}

/* Its adjoint, added to x. */
static void scatter2x2(const float *g, const ib_trunk *t, size_t n, size_t c, float *x) {
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < t->rows; r++) {
            for (size_t q = 0; q < t->cols; q++) {
                const float *o =
                    g + ((i * t->crows + r / 2) * t->ccols + q / 2) * 4 * c + (r % 2 * 2 + q % 2) * c;
                ib_add(o, c, x + ((i * t->rows + r) * t->cols + q) * c);
            }
        }
    }
}

static void mix_trunk(const ib_adapter *a, const ib_trunk *t, const ib_block *b, ib_span s, size_t u,
                      const float *x, size_t n, float *y) {
    size_t c = (size_t)b->channels;
    if (a->spatial) {
        ib_conv3x3(x, a->derived + u, a->params + s.b, n, b->coarse ? t->crows : t->rows,
                   b->coarse ? t->ccols : t->cols, c, c, t->conv, y);
    } else {
        ib_linear(x, a->params + s.w, a->params + s.b, n * t->tokens, c, c, y);
    }
}

static void mix_backward(const ib_adapter *a, const ib_trunk *t, const ib_block *b, ib_span s, size_t u,
                         const float *x, const float *dy, size_t n, float *dx, float *grads) {
    size_t c = (size_t)b->channels;
    if (a->spatial) {
        ib_conv3x3_backward(x, a->transposed + u, dy, n, b->coarse ? t->crows : t->rows,
                            b->coarse ? t->ccols : t->cols, c, c, t->conv, dx, grads + s.w, grads + s.b);
    } else {
        ib_linear_backward(x, a->params + s.w, dy, n * t->tokens, c, c, dx, grads + s.w, grads + s.b);
    }
}

/* x [tokens, C] times keep [C] */
IB_MULTIARCH
static void leave_out(const float *restrict keep, size_t tokens, size_t c, float *restrict x) {
    for (size_t k = 0; k < tokens; k++) {
        for (size_t i = 0; i < c; i++) {
            x[k * c + i] *= keep[i];
        }
    }
}

/* film: [batch, 2C], scale then shift; keep: [batch, C] or NULL */
static void film_silu(const float *x, const float *film, const float *keep, size_t n, size_t tokens, size_t c,
                      float *y) {
    for (size_t i = 0; i < n; i++) {
        const float *f = film + i * 2 * c;
        ib_norm_film_silu(x + i * tokens * c, f, f + c, tokens, c, y + i * tokens * c);
        if (keep) {
            leave_out(keep + i * c, tokens, c, y + i * tokens * c);
        }
    }
}

/* dy is used up. */
static void film_silu_backward(const float *x, const float *film, const float *keep, float *dy, size_t n,
                               size_t tokens, size_t c, float *dx, float *dfilm) {
    for (size_t i = 0; i < n; i++) {
        const float *f = film + i * 2 * c;
        float *df = dfilm + i * 2 * c;
        if (keep) {
            leave_out(keep + i * c, tokens, c, dy + i * tokens * c);
        }
        ib_norm_film_silu_backward(x + i * tokens * c, f, f + c, dy + i * tokens * c, tokens, c,
                                   dx + i * tokens * c, df, df + c);
    }
}

/* Of block i, or of the last film. */
static const float *keep_of(const ib_adapter *a, const ib_trunk *t, int i) {
    return t->keep ? t->keep + film_offset(a, t, i) / 2 : NULL;
}

void ib_trunk_drop(const ib_adapter *a, ib_trunk *t, size_t n, const ib_dropout *drop, size_t first) {
    t->keep = drop && drop->rate > 0 ? t->keep_room : NULL;
    for (size_t k = 0; k < n && t->keep; k++) {
        ib_rng r;
        ib_rng_seed(&r, drop->seed[first + k]);
        for (int i = 0; i <= a->blocks; i++) {
            size_t c = (size_t)(i < a->blocks ? a->block[i].channels : a->config.fine);
            float *keep = t->keep + film_offset(a, t, i) / 2 + k * c;
            for (size_t j = 0; j < c; j++) {
                keep[j] = ib_rng_float(&r) < drop->rate ? 0 : 1.0f / (1.0f - drop->rate);
            }
        }
    }
}

/* y [N,C] += what the tokens h [N,C] of block i learn from each other. */
static void attend_trunk(const ib_adapter *a, ib_trunk *t, int i, const float *h, size_t n, float *y) {
    const ib_block *b = &a->block[i];
    size_t c = (size_t)b->channels, m = n * t->tokens;
    const float *p = a->params;
    ib_linear(h, p + b->qkv.w, p + b->qkv.b, m, c, 3 * c, t->qkv[i]);
    ib_attention(t->qkv[i], n, t->tokens, c, ib_attention_heads(c), t->conv, t->attended[i]);
    ib_linear(t->attended[i], p + b->attend.w, p + b->attend.b, m, c, c, t->b);
    ib_add(t->b, m * c, y);
}

/* dh [N,C] += its gradient; t->b is used up. */
static void attend_backward(const ib_adapter *a, ib_trunk *t, int i, const float *h, const float *dy,
                            size_t n, float *dh, float *grads) {
    const ib_block *b = &a->block[i];
    size_t c = (size_t)b->channels, m = n * t->tokens;
    const float *p = a->params;
    ib_linear_backward(t->attended[i], p + b->attend.w, dy, m, c, c, t->b, grads + b->attend.w,
                       grads + b->attend.b);
    ib_attention_backward(t->qkv[i], t->attended[i], t->b, n, t->tokens, c, ib_attention_heads(c), t->conv,
                          t->dqkv);
    ib_linear_backward(h, p + b->qkv.w, t->dqkv, m, c, 3 * c, t->b, grads + b->qkv.w, grads + b->qkv.b);
    ib_add(t->b, m * c, dh);
}

static void run_block(const ib_adapter *a, ib_trunk *t, int i, size_t n, float *y) {
    const ib_block *b = &a->block[i];
    size_t c = (size_t)b->channels, tokens = block_tokens(t, b), m = n * tokens * c;
    const float *film = t->film + film_offset(a, t, i);
    film_silu(t->x[i], film, keep_of(a, t, i), n, tokens, c, t->a);
    mix_trunk(a, t, b, b->mix1, b->u1, t->a, n, t->u[i]);
    ib_silu(t->u[i], m, t->c);
    mix_trunk(a, t, b, b->mix2, b->u2, t->c, n, y);
    ib_add(t->x[i], m, y);
    if (a->attention) {
        attend_trunk(a, t, i, t->a, n, y);
    }
}

/* dy is turned from the gradient of the block's output into that of its input. */
static void run_block_backward(const ib_adapter *a, ib_trunk *t, int i, size_t n, float *dy, float *grads) {
    const ib_block *b = &a->block[i];
    size_t c = (size_t)b->channels, tokens = block_tokens(t, b), m = n * tokens * c,
           film = film_offset(a, t, i);
    ib_silu(t->u[i], m, t->a);
    mix_backward(a, t, b, b->mix2, b->u2, t->a, dy, n, t->b, grads);
    ib_silu_backward(t->u[i], t->b, m, t->b);
    film_silu(t->x[i], t->film + film, keep_of(a, t, i), n, tokens, c, t->a);
    mix_backward(a, t, b, b->mix1, b->u1, t->a, t->b, n, t->c, grads);
    if (a->attention) {
        attend_backward(a, t, i, t->a, dy, n, t->c, grads);
    }
    film_silu_backward(t->x[i], t->film + film, keep_of(a, t, i), t->c, n, tokens, c, t->b, t->dfilm + film);
    ib_add(t->b, m, dy);
}

void ib_trunk_forward(const ib_adapter *a, ib_trunk *t, size_t n) {
    const float *p = a->params;
    size_t fine = (size_t)a->config.fine, coarse = (size_t)a->config.coarse, tokens = n * t->tokens;
    int before = a->config.fine_blocks, below = a->config.coarse_blocks, after = before + below;
    ib_linear(t->time_in, p + a->time.w, p + a->time.b, n, IB_TIME_INPUTS, IB_TIME_WIDTH, t->time_pre);
    ib_silu(t->time_pre, n * IB_TIME_WIDTH, t->time);
    for (int i = 0; i <= a->blocks; i++) {
        ib_span s = i < a->blocks ? a->block[i].film : a->out_film;
        size_t c = i < a->blocks ? (size_t)a->block[i].channels : fine;
        ib_linear(t->time, p + s.w, p + s.b, n, IB_TIME_WIDTH, 2 * c, t->film + film_offset(a, t, i));
    }
    ib_linear(t->features, p + a->into.w, p + a->into.b, tokens, a->features, fine, t->x[0]);
    for (int i = 0; i < before; i++) {
        /* the last block before the coarse level writes what the first one after it continues from */
        run_block(a, t, i, n, t->x[i + 1 < before ? i + 1 : after]);
    }
    if (below) {
        gather2x2(t->x[after], t, n, fine, t->gathered);
        ib_linear(t->gathered, p + a->down.w, p + a->down.b, n * t->ctokens, 4 * fine, coarse, t->x[before]);
        for (int i = before; i < after; i++) {
            run_block(a, t, i, n, i + 1 < after ? t->x[i + 1] : t->coarse_out);
        }
        ib_linear(t->coarse_out, p + a->up.w, p + a->up.b, n * t->ctokens, coarse, 4 * fine, t->a);
        scatter2x2(t->a, t, n, fine, t->x[after]);
    }
    for (int i = after; i < a->blocks; i++) {
        run_block(a, t, i, n, i + 1 < a->blocks ? t->x[i + 1] : t->fine_out);
    }
    film_silu(t->fine_out, t->film + film_offset(a, t, a->blocks), keep_of(a, t, a->blocks), n, t->tokens,
              fine, t->out);
}

void ib_trunk_backward(const ib_adapter *a, ib_trunk *t, size_t n, float *grads) {
    const float *p = a->params;
    size_t fine = (size_t)a->config.fine, coarse = (size_t)a->config.coarse, tokens = n * t->tokens,
           m = tokens * fine;
    int before = a->config.fine_blocks, below = a->config.coarse_blocks, after = before + below;
    size_t last = film_offset(a, t, a->blocks);
    memset(t->dfilm, 0, (last + 2 * fine * t->batch) * sizeof *t->dfilm);
    film_silu_backward(t->fine_out, t->film + last, keep_of(a, t, a->blocks), t->dout, n, t->tokens, fine,
                       t->b, t->dfilm + last);
    memcpy(t->dout, t->b, m * sizeof *t->dout);
    for (int i = a->blocks - 1; i >= after; i--) {
        run_block_backward(a, t, i, n, t->dout, grads);
    }
    if (below) {
        memcpy(t->dskip, t->dout, m * sizeof *t->dskip);
        gather2x2(t->dout, t, n, fine, t->a);
        ib_linear_backward(t->coarse_out, p + a->up.w, t->a, n * t->ctokens, coarse, 4 * fine, t->dout,
                           grads + a->up.w, grads + a->up.b);
        for (int i = after - 1; i >= before; i--) {
            run_block_backward(a, t, i, n, t->dout, grads);
        }
        ib_linear_backward(t->gathered, p + a->down.w, t->dout, n * t->ctokens, 4 * fine, coarse, t->a,
                           grads + a->down.w, grads + a->down.b);
        scatter2x2(t->a, t, n, fine, t->dskip);
        memcpy(t->dout, t->dskip, m * sizeof *t->dout);
    }
    for (int i = before - 1; i >= 0; i--) {
        run_block_backward(a, t, i, n, t->dout, grads);
    }
    ib_linear_backward(t->features, p + a->into.w, t->dout, tokens, a->features, fine, NULL,
                       grads + a->into.w, grads + a->into.b);
    memset(t->dtime, 0, n * IB_TIME_WIDTH * sizeof *t->dtime);
    for (int i = 0; i <= a->blocks; i++) {
        ib_span s = i < a->blocks ? a->block[i].film : a->out_film;
        size_t c = i < a->blocks ? (size_t)a->block[i].channels : fine;
        ib_linear_backward(t->time, p + s.w, t->dfilm + film_offset(a, t, i), n, IB_TIME_WIDTH, 2 * c, t->a,
                           grads + s.w, grads + s.b);
        ib_add(t->a, n * IB_TIME_WIDTH, t->dtime);
    }
    ib_silu_backward(t->time_pre, t->dtime, n * IB_TIME_WIDTH, t->dtime);
    ib_linear_backward(t->time_in, p + a->time.w, t->dtime, n, IB_TIME_INPUTS, IB_TIME_WIDTH, NULL,
                       grads + a->time.w, grads + a->time.b);
}
