#include <math.h>
#include <stdio.h>
#include <string.h>

#include "diffusion/unet_parts.h"
#include "nn/conv2d.h"
#include "nn/forward.h"
#include "nn/layers.h"
#include "nn/panels.h"

enum {
    FF_ROWS = 4096
}; /* rows that go through a feed-forward at a time: its hidden layer is 8 times as wide */

static const float norm_eps = 1e-5f, transformer_eps = 1e-6f;

/* The matrix as it is to be used: from the file, or widened into a buffer and changed. *buffer: to be given
 * back. */
static const void *matrix(ib_unet_walk *k, const ib_unet_map *m, ib_dtype *type, float **buffer) {
    *buffer = NULL;
    *type = m->w.dtype;
    if (!m->patched) {
        return m->w.data;
    }
    *buffer = ib_buffers_take(&k->u->buffers, m->w.count);
    if (*buffer) {
        *type = IB_F32;
        ib_weight_widen(&m->w, 0, m->w.count, *buffer);
        k->u->patch.apply(k->u->patch.context, m->name, *buffer, m->n, m->w.count / m->n);
    }
    return *buffer;
}

void ib_unet_linear(ib_unet_walk *k, const ib_unet_map *m, const float *x, size_t x_row, size_t rows,
                    bool add, float *y, size_t y_row) {
    ib_buffers *b = &k->u->buffers;
    float *widened, *scratch = ib_buffers_take(b, ib_linear_half_scratch(m->n, m->k));
    ib_dtype type;
    const void *w = matrix(k, m, &type, &widened);
    if (!b->rc) {
        ib_linear_half(x, x_row, w, type, m->b, rows, m->n, m->k, add, k->threads, scratch, y, y_row);
    }
    ib_buffers_give(b, scratch);
    ib_buffers_give(b, widened);
}

void ib_unet_conv(ib_unet_walk *k, const ib_unet_map *m, const ib_unet_grid *x, int stride, const float *bias,
                  size_t bias_row, bool add, float *y) {
    ib_buffers *b = &k->u->buffers;
    int pad = m->kernel / 2;
    ib_conv2d c = {k->in->batch, x->rows, x->cols, m->k, m->n, m->kernel, stride, pad, pad};
    float *widened, *scratch = ib_buffers_take(b, ib_conv2d_scratch(&c, k->threads));
    ib_dtype type;
    const void *w = matrix(k, m, &type, &widened);
    if (!b->rc) {
        ib_conv2d_run(&c, x->x, w, type, bias ? bias : m->b, bias ? bias_row : 0, add, k->threads, scratch,
                      y);
    }
    ib_buffers_give(b, scratch);
    ib_buffers_give(b, widened);
}

void ib_unet_group_norm(ib_unet_walk *k, const ib_unet_norm *n, const ib_unet_grid *x, float eps, bool silu,
                        const float *scale, const float *shift, size_t film_row, float *y) {
    ib_buffers *b = &k->u->buffers;
    ib_group_norm g = {
        .images = k->in->batch, .pixels = x->rows * x->cols, .channels = n->n, .groups = k->u->c.groups};
    g.eps = eps;
    g.gain = n->gain;
    g.bias = n->bias;
    g.scale = scale;
    g.shift = shift;
    g.film_row = film_row;
    g.silu = silu;
    float *scratch = ib_buffers_take(b, ib_group_norm_scratch(&g));
    if (!b->rc) {
        ib_group_norm_run(&g, x->x, k->threads, scratch, y);
    }
    ib_buffers_give(b, scratch);
}

static float *take_grid(ib_unet_walk *k, size_t rows, size_t cols, size_t channels) {
    return ib_buffers_take(&k->u->buffers, ib_floats(k->in->batch, rows, cols, channels));
}

/* A grid's buffer gives way to the same grid at another size. */
static void resize(ib_unet_walk *k, ib_unet_grid *g, size_t to_rows, size_t to_cols, bool down) {
    float *y = take_grid(k, to_rows, to_cols, g->channels);
    if (y && g->x && down) {
        ib_pool2(g->x, k->in->batch, g->rows, g->cols, g->channels, k->threads, y);
    } else if (y && g->x) {
        ib_nearest(g->x, k->in->batch, g->rows, g->cols, g->channels, to_rows, to_cols, k->threads, y);
    }
    ib_buffers_give(&k->u->buffers, g->x);
    *g = (ib_unet_grid){y, to_rows, to_cols, g->channels};
}

void ib_unet_run_resnet(ib_unet_walk *k, const ib_unet_resnet *r, ib_unet_grid *g, size_t to_rows,
                        size_t to_cols) {
    ib_buffers *b = &k->u->buffers;
    size_t batch = k->in->batch, film = r->time.n;
    ib_unet_grid h = {take_grid(k, g->rows, g->cols, r->cin), g->rows, g->cols, r->cin};
    float *time = ib_buffers_take(b, ib_floats(batch, film, 1, 1));
    if (!b->rc) {
        ib_unet_group_norm(k, &r->norm1, g, k->u->c.norm_eps, true, NULL, NULL, 0, h.x);
        ib_unet_linear(k, &r->time, k->emb, k->emb_width, batch, false, time, film);
    }
    if (r->resample) {
        resize(k, &h, to_rows, to_cols, r->resample < 0);
        resize(k, g, to_rows, to_cols, r->resample < 0);
    }
    ib_unet_grid m = {take_grid(k, h.rows, h.cols, r->cout), h.rows, h.cols, r->cout};
    if (!b->rc && r->scale_shift) {
        ib_unet_conv(k, &r->conv1, &h, 1, NULL, 0, false, m.x);
        ib_unet_group_norm(k, &r->norm2, &m, k->u->c.norm_eps, true, time, time + r->cout, film, m.x);
    } else if (!b->rc) {
        for (size_t i = 0; i < batch; i++) {
            ib_add(r->conv1.b, film, time + i * film);
        }
        ib_unet_conv(k, &r->conv1, &h, 1, time, film, false, m.x);
        ib_unet_group_norm(k, &r->norm2, &m, k->u->c.norm_eps, true, NULL, NULL, 0, m.x);
    }
    ib_buffers_give(b, h.x);
    ib_buffers_give(b, time);
    if (r->shortcut.name) {
        float *y = take_grid(k, g->rows, g->cols, r->cout);
        if (!b->rc) {
            ib_unet_linear(k, &r->shortcut, g->x, r->cin, batch * g->rows * g->cols, false, y, r->cout);
        }
        ib_buffers_give(b, g->x);
        g->x = y;
    }
    g->channels = r->cout;
    if (!b->rc) {
        ib_unet_conv(k, &r->conv2, &m, 1, NULL, 0, true, g->x);
    }
    ib_buffers_give(b, m.x);
}

/* What an attention reads: queries' tokens, keys' tokens, and where its result is added. */
typedef struct sight {
    const ib_unet_map *q, *k, *v, *o, *ip_k, *ip_v;
    const float *from; /* [batch, tokens, width] of keys; NULL: the queries' own */
    size_t tokens, heads;
    size_t layer;
} sight;

static void attend(ib_unet_walk *k, const sight *s, size_t queries, size_t keys, size_t channels,
                   const float *q, const float *key, const float *value, float gain, bool add, float *y) {
    ib_buffers *b = &k->u->buffers;
    ib_attend a = {
        .images = k->in->batch, .queries = queries, .keys = keys, .heads = s->heads, .q = q, .k = key};
    a.v = value;
    a.width = channels / s->heads;
    a.q_row = a.k_row = a.v_row = a.y_row = channels;
    a.scale = 1.0f / sqrtf((float)a.width);
    a.gain = gain;
    a.add = add;
    float *scratch = ib_buffers_take(b, ib_attend_scratch(&a, k->threads));
    if (!b->rc) {
        ib_attend_run(&a, k->threads, scratch, y);
    }
    ib_buffers_give(b, scratch);
}

/* y [batch, queries, C] = the attention of x to `from`, before its last map. */
static void attend_to(ib_unet_walk *k, const sight *s, const float *x, size_t queries, size_t channels,
                      float gain, bool add, const float *q, const ib_unet_map *key_map,
                      const ib_unet_map *value_map, const float *from, size_t tokens, float *y) {
    ib_buffers *b = &k->u->buffers;
    size_t keys = from ? tokens : queries, width = key_map->k;
    float *key = ib_buffers_take(b, ib_floats(k->in->batch, keys, channels, 1));
    float *value = ib_buffers_take(b, ib_floats(k->in->batch, keys, channels, 1));
    if (!b->rc) {
        ib_unet_linear(k, key_map, from ? from : x, width, k->in->batch * keys, false, key, channels);
        ib_unet_linear(k, value_map, from ? from : x, width, k->in->batch * keys, false, value, channels);
        attend(k, s, queries, keys, channels, q, key, value, gain, add, y);
    }
    ib_buffers_give(b, key);
    ib_buffers_give(b, value);
}

/* t += attention of x. */
static void run_sight(ib_unet_walk *k, const sight *s, const float *x, size_t queries, size_t channels,
                      float *t) {
    ib_buffers *b = &k->u->buffers;
    size_t rows = k->in->batch * queries;
    float *q = ib_buffers_take(b, ib_floats(rows, channels, 1, 1)),
          *y = ib_buffers_take(b, ib_floats(rows, channels, 1, 1));
    if (!b->rc) {
        ib_unet_linear(k, s->q, x, channels, rows, false, q, channels);
        attend_to(k, s, x, queries, channels, 1, false, q, s->k, s->v, s->from, s->tokens, y);
        if (s->ip_k && k->in->ip) {
            float gain = k->in->ip_scales ? k->in->ip_scales[s->layer] : k->in->ip_scale;
            attend_to(k, s, x, queries, channels, gain, true, q, s->ip_k, s->ip_v, k->in->ip,
                      k->in->ip_tokens, y);
        }
        ib_unet_linear(k, s->o, y, channels, rows, true, t, channels);
    }
    ib_buffers_give(b, q);
    ib_buffers_give(b, y);
}

/* t += the feed-forward of x, a part of the rows at a time. */
static void feed_forward(ib_unet_walk *k, const ib_unet_block *p, const float *x, size_t rows,
                         size_t channels, float *t) {
    ib_buffers *b = &k->u->buffers;
    size_t step = rows < FF_ROWS ? rows : FF_ROWS, wide = 8 * channels;
    float *hidden = ib_buffers_take(b, ib_floats(step, wide, 1, 1));
    float *gated = ib_buffers_take(b, ib_floats(step, wide / 2, 1, 1));
    for (size_t r = 0; !b->rc && r < rows; r += step) {
        size_t n = rows - r < step ? rows - r : step;
        ib_unet_linear(k, &p->ff_in, x + r * channels, channels, n, false, hidden, wide);
        ib_geglu(hidden, n, wide / 2, k->threads, gated);
        ib_unet_linear(k, &p->ff_out, gated, wide / 2, n, true, t + r * channels, channels);
    }
    ib_buffers_give(b, hidden);
    ib_buffers_give(b, gated);
}

static void run_block(ib_unet_walk *k, const ib_unet_block *p, size_t heads, size_t pixels, size_t channels,
                      float *h, float *t) {
    size_t rows = k->in->batch * pixels;
    for (int i = 0; i < 2 && !k->u->buffers.rc; i++) {
        sight s = {
            .q = &p->q[i], .k = &p->k[i], .v = &p->v[i], .o = &p->o[i], .heads = heads, .layer = p->layer};
        if (i) {
            s.from = k->context;
            s.tokens = k->tokens;
            s.ip_k = p->ip_k.name ? &p->ip_k : NULL;
            s.ip_v = &p->ip_v;
        }
        ib_layer_norm(t, p->norm[i].gain, p->norm[i].bias, norm_eps, rows, channels, k->threads, h);
        run_sight(k, &s, h, pixels, channels, t);
    }
    if (!k->u->buffers.rc) {
        ib_layer_norm(t, p->norm[2].gain, p->norm[2].bias, norm_eps, rows, channels, k->threads, h);
        feed_forward(k, p, h, rows, channels, t);
    }
}

/* Keys or values of a Kandinsky: those of the context, then its own. */
static float *joined(ib_unet_walk *k, const ib_unet_map *more, const ib_unet_map *own, const float *x,
                     size_t pixels, size_t channels) {
    ib_buffers *b = &k->u->buffers;
    size_t batch = k->in->batch, all = k->tokens + pixels;
    float *y = ib_buffers_take(b, ib_floats(batch, all, channels, 1));
    float *part = ib_buffers_take(b, ib_floats(batch, k->tokens > pixels ? k->tokens : pixels, channels, 1));
    for (int i = 0; i < 2 && !b->rc; i++) {
        size_t n = i ? pixels : k->tokens, at = i ? k->tokens : 0;
        const ib_unet_map *m = i ? own : more;
        ib_unet_linear(k, m, i ? x : k->context, m->k, batch * n, false, part, channels);
        for (size_t j = 0; j < batch; j++) {
            memcpy(y + (j * all + at) * channels, part + j * n * channels, n * channels * sizeof *y);
        }
    }
    ib_buffers_give(b, part);
    return y;
}

static void run_simple(ib_unet_walk *k, const ib_unet_attention *a, ib_unet_grid *g, float *h) {
    ib_buffers *b = &k->u->buffers;
    size_t pixels = g->rows * g->cols, channels = a->channels, rows = k->in->batch * pixels;
    sight s = {.heads = a->heads};
    ib_unet_group_norm(k, &a->norm, g, norm_eps, false, NULL, NULL, 0, h);
    float *q = ib_buffers_take(b, ib_floats(rows, channels, 1, 1)),
          *y = ib_buffers_take(b, ib_floats(rows, channels, 1, 1));
    float *key = joined(k, &a->more_k, &a->k, h, pixels, channels);
    float *value = joined(k, &a->more_v, &a->v, h, pixels, channels);
    if (!b->rc) {
        ib_unet_linear(k, &a->q, h, channels, rows, false, q, channels);
        attend(k, &s, pixels, k->tokens + pixels, channels, q, key, value, 1, false, y);
        ib_unet_linear(k, &a->o, y, channels, rows, true, g->x, channels);
    }
    ib_buffers_give(b, q);
    ib_buffers_give(b, y);
    ib_buffers_give(b, key);
    ib_buffers_give(b, value);
}

void ib_unet_run_attention(ib_unet_walk *k, const ib_unet_attention *a, ib_unet_grid *g, const char *name) {
    ib_buffers *b = &k->u->buffers;
    size_t pixels = g->rows * g->cols, channels = a->channels, rows = k->in->batch * pixels;
    float *h = ib_buffers_take(b, ib_floats(rows, channels, 1, 1));
    if (!b->rc && a->simple) {
        run_simple(k, a, g, h);
    } else if (!b->rc) {
        float *t = ib_buffers_take(b, ib_floats(rows, channels, 1, 1));
        ib_unet_group_norm(k, &a->norm, g, transformer_eps, false, NULL, NULL, 0, h);
        if (!b->rc) {
            ib_unet_linear(k, &a->proj_in, h, channels, rows, false, t, channels);
        }
        for (size_t i = 0; i < a->depth && !b->rc; i++) {
            char part[128];
            run_block(k, &a->block[i], a->heads, pixels, channels, h, t);
            snprintf(part, sizeof part, "%s.transformer_blocks.%zu", name, i);
            ib_unet_tell(k, part, t, pixels, channels);
        }
        if (!b->rc) {
            ib_unet_linear(k, &a->proj_out, t, channels, rows, true, g->x, channels);
        }
        ib_buffers_give(b, t);
    }
    ib_buffers_give(b, h);
    ib_unet_tell(k, name, g->x, pixels, channels);
}

void ib_unet_tell(ib_unet_walk *k, const char *name, const float *x, size_t pixels, size_t channels) {
    if (k->u->watch && !k->u->buffers.rc) {
        k->u->watch(k->u->watch_context, name, x, k->in->batch, pixels, channels);
    }
}
