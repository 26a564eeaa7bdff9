#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/unet_parts.h"
#include "nn/forward.h"
#include "nn/layers.h"

enum { SKIPS = IB_UNET_LEVELS * (IB_UNET_LAYERS + 1) + 1 };

void ib_sinusoid(double t, size_t n, bool cosines_first, double shift, float *out) {
    size_t half = n / 2;
    for (size_t i = 0; i < half; i++) {
        /* the frequencies are float, as the reference's are */
        float frequency = expf((float)(-log(10000.0) * (double)i / ((double)half - shift)));
        double angle = (double)((float)t * frequency);
        out[cosines_first ? i : half + i] = (float)cos(angle);
        out[cosines_first ? half + i : i] = (float)sin(angle);
    }
}

static float *take_rows(ib_unet_walk *k, size_t n) {
    return ib_buffers_take(&k->u->buffers, ib_floats(k->in->batch, n, 1, 1));
}

/* emb += what the model's extra input makes. */
static void add_extra(ib_unet_walk *k, float *emb) {
    ib_unet *u = k->u;
    const ib_unet_config *c = &u->c;
    size_t batch = k->in->batch, width = u->time2.n, hidden = u->extra1.n;
    float *h = c->extra == IB_UNET_NOTHING ? NULL : take_rows(k, hidden);
    if (c->extra == IB_UNET_NOTHING || u->buffers.rc) {
        return;
    }
    ib_unet_linear(k, &u->extra1, k->in->added, c->extra_width, batch, false, h, hidden);
    if (c->extra == IB_UNET_IMAGE) {
        ib_layer_norm(h, u->image_norm.gain, u->image_norm.bias, 1e-5f, batch, width, k->threads, h);
        ib_add(h, batch * width, emb);
    } else {
        ib_silu(h, batch * hidden, h);
        ib_unet_linear(k, &u->extra2, h, hidden, batch, true, emb, width);
    }
    ib_buffers_give(&u->buffers, h);
}

/* k->emb from the times. */
static void embed(ib_unet_walk *k) {
    ib_unet *u = k->u;
    const ib_unet_config *c = &u->c;
    size_t batch = k->in->batch, first = c->channels[0], width = u->time2.n;
    float *waves = take_rows(k, first), *hidden = take_rows(k, u->time1.n), *emb = take_rows(k, width);
    if (!u->buffers.rc) {
        for (size_t i = 0; i < batch; i++) {
            ib_sinusoid((double)k->in->t[i], first, c->flip_sin_to_cos, c->freq_shift, waves + i * first);
        }
        if (k->in->guidance) {
            ib_unet_linear(k, &u->guidance, k->in->guidance, c->guidance_width, batch, true, waves, first);
        }
        ib_unet_linear(k, &u->time1, waves, first, batch, false, hidden, u->time1.n);
        ib_silu(hidden, batch * u->time1.n, hidden);
        ib_unet_linear(k, &u->time2, hidden, u->time1.n, batch, false, emb, width);
        ib_unet_tell(k, "time_embedding", emb, 1, width);
        add_extra(k, emb);
        ib_silu(emb, batch * width, emb);
    }
    ib_buffers_give(&u->buffers, waves);
    ib_buffers_give(&u->buffers, hidden);
    k->emb = emb;
    k->emb_width = width;
}

/* A Kandinsky's context from its image embedding. Returns its buffer. */
static float *embed_image(ib_unet_walk *k) {
    ib_unet *u = k->u;
    size_t n = u->image_tokens.n, context = u->c.context, batch = k->in->batch;
    float *tokens = take_rows(k, n);
    if (!u->buffers.rc) {
        ib_unet_linear(k, &u->image_tokens, k->in->added, u->c.extra_width, batch, false, tokens, n);
        ib_layer_norm(tokens, u->tokens_norm.gain, u->tokens_norm.bias, 1e-5f, batch * n / context, context,
                      k->threads, tokens);
    }
    k->context = tokens;
    k->tokens = u->c.image_tokens;
    return tokens;
}

typedef struct stack {
    ib_unet_grid grid[SKIPS];
    size_t n;
} stack;

static void push(ib_unet_walk *k, stack *s, const ib_unet_grid *g) {
    ib_unet_grid copy = *g;
    size_t n = ib_floats(k->in->batch, g->rows, g->cols, g->channels);
    copy.x = ib_buffers_take(&k->u->buffers, n);
    if (copy.x) {
        memcpy(copy.x, g->x, n * sizeof *copy.x);
    }
    s->grid[s->n++] = copy;
}

/* g = [g, top of the stack], channel by channel. */
static void pop(ib_unet_walk *k, stack *s, ib_unet_grid *g) {
    ib_unet_grid top = s->grid[--s->n];
    size_t pixels = k->in->batch * g->rows * g->cols, channels = g->channels + top.channels;
    float *y = ib_buffers_take(&k->u->buffers, ib_floats(pixels, channels, 1, 1));
    for (size_t p = 0; y && p < pixels; p++) {
        memcpy(y + p * channels, g->x + p * g->channels, g->channels * sizeof *y);
        memcpy(y + p * channels + g->channels, top.x + p * top.channels, top.channels * sizeof *y);
    }
    ib_buffers_give(&k->u->buffers, g->x);
    ib_buffers_give(&k->u->buffers, top.x);
    g->x = y;
    g->channels = channels;
}

/* The next level's size, by a convolution. */
static void sample(ib_unet_walk *k, const ib_unet_map *m, ib_unet_grid *g, size_t rows, size_t cols,
                   bool down) {
    ib_buffers *b = &k->u->buffers;
    ib_unet_grid wide = *g;
    if (!down) {
        wide.x = ib_buffers_take(b, ib_floats(k->in->batch, rows, cols, g->channels));
        wide.rows = rows;
        wide.cols = cols;
        if (wide.x) {
            ib_nearest(g->x, k->in->batch, g->rows, g->cols, g->channels, rows, cols, k->threads, wide.x);
        }
        ib_buffers_give(b, g->x);
    }
    float *y = ib_buffers_take(b, ib_floats(k->in->batch, rows, cols, m->n));
    if (!b->rc) {
        ib_unet_conv(k, m, &wide, down ? 2 : 1, NULL, 0, false, y);
    }
    ib_buffers_give(b, wide.x);
    *g = (ib_unet_grid){y, rows, cols, m->n};
}

static void run_layer(ib_unet_walk *k, const ib_unet_stage *s, size_t j, const char *place, ib_unet_grid *g) {
    char name[96];
    ib_unet_run_resnet(k, &s->resnet[j], g, g->rows, g->cols);
    snprintf(name, sizeof name, "%s.resnets.%zu", place, j);
    ib_unet_tell(k, name, g->x, g->rows * g->cols, g->channels);
    if (s->attention[j].depth && !k->u->buffers.rc) {
        snprintf(name, sizeof name, "%s.attentions.%zu", place, j);
        ib_unet_run_attention(k, &s->attention[j], g, name);
    }
}

static void go_down(ib_unet_walk *k, ib_unet_grid *g, stack *skips) {
    ib_unet *u = k->u;
    for (size_t i = 0; i < u->c.levels && !u->buffers.rc; i++) {
        const ib_unet_stage *s = &u->down[i];
        char place[64];
        snprintf(place, sizeof place, "down_blocks.%zu", i);
        for (size_t j = 0; j < s->layers && !u->buffers.rc; j++) {
            run_layer(k, s, j, place, g);
            push(k, skips, g);
        }
        if (i + 1 < u->c.levels && !u->buffers.rc) {
            if (s->has_sampler) {
                ib_unet_run_resnet(k, &s->sampler, g, g->rows / 2, g->cols / 2);
            } else {
                sample(k, &s->sample, g, (g->rows + 1) / 2, (g->cols + 1) / 2, true);
            }
            push(k, skips, g);
        }
        ib_unet_tell(k, place, g->x, g->rows * g->cols, g->channels);
    }
}

static void go_up(ib_unet_walk *k, ib_unet_grid *g, stack *skips) {
    ib_unet *u = k->u;
    for (size_t i = 0; i < u->c.levels && !u->buffers.rc; i++) {
        const ib_unet_stage *s = &u->up[i];
        char place[64];
        snprintf(place, sizeof place, "up_blocks.%zu", i);
        for (size_t j = 0; j < s->layers && !u->buffers.rc; j++) {
            pop(k, skips, g);
            run_layer(k, s, j, place, g);
        }
        if (i + 1 < u->c.levels && !u->buffers.rc) {
            const ib_unet_grid *next = &skips->grid[skips->n - 1];
            if (s->has_sampler) {
                ib_unet_run_resnet(k, &s->sampler, g, next->rows, next->cols);
            } else {
                sample(k, &s->sample, g, next->rows, next->cols, false);
            }
        }
        ib_unet_tell(k, place, g->x, g->rows * g->cols, g->channels);
    }
}

static void go_through_middle(ib_unet_walk *k, ib_unet_grid *g) {
    ib_unet *u = k->u;
    for (size_t j = 0; j < u->mid.layers && !u->buffers.rc; j++) {
        ib_unet_run_resnet(k, &u->mid.resnet[j], g, g->rows, g->cols);
        if (!j && u->mid.attention[0].depth && !u->buffers.rc) {
            ib_unet_run_attention(k, &u->mid.attention[0], g, "mid_block.attentions.0");
        }
    }
    if (u->mid.layers) {
        ib_unet_tell(k, "mid_block", g->x, g->rows * g->cols, g->channels);
    }
}

static int check(const ib_unet *u, const ib_unet_input *in, ib_error *err) {
    const ib_unet_config *c = &u->c;
    size_t fewest = (size_t)1 << (c->levels - 1), n;
    if (!in->batch || !in->rows || !in->cols || ib_size_mul(in->batch, in->rows, &n) ||
        ib_size_mul(n, in->cols, &n) || n > INT32_MAX / 16) {
        return ib_fail(err, IB_E_ARGUMENT, "a batch of %zu pictures of %zu x %zu latents is out of range",
                       in->batch, in->cols, in->rows);
    }
    if (c->resnet_sampling && (in->rows % fewest || in->cols % fewest)) {
        return ib_fail(err, IB_E_ARGUMENT, "latents of %zu x %zu: this model needs multiples of %zu",
                       in->cols, in->rows, fewest);
    }
    if (c->context && !c->image_tokens && (!in->context || !in->tokens)) {
        return ib_fail(err, IB_E_ARGUMENT, "this model needs a text's tokens, or an empty text's");
    }
    if ((c->extra != IB_UNET_NOTHING || c->image_tokens) && !in->added) {
        return ib_fail(err, IB_E_ARGUMENT, "this model needs an embedding beside the text");
    }
    if (in->guidance && !c->guidance_width) {
        return ib_fail(err, IB_E_ARGUMENT, "this model takes no embedding of the guidance");
    }
    if (in->ip && (!u->ip || !in->ip_tokens)) {
        return ib_fail(err, IB_E_ARGUMENT, "image tokens without an IP-Adapter");
    }
    return IB_OK;
}

int ib_unet_run(ib_unet *u, const ib_unet_input *in, float *out, int threads, ib_error *err) {
    ib_unet_walk k = {.u = u, .in = in, .threads = threads < 1 ? 1 : threads};
    ib_buffers *b = &u->buffers;
    stack skips = {.n = 0};
    int rc = check(u, in, err);
    if (rc) {
        return rc;
    }
    b->rc = IB_OK;
    b->err = err;
    k.context = in->context;
    k.tokens = in->tokens;
    embed(&k);
    if (u->c.image_tokens) {
        embed_image(&k);
    }
    ib_unet_grid latents = {NULL, in->rows, in->cols, u->c.in_channels}, g = latents;
    size_t n = ib_floats(in->batch, in->rows, in->cols, u->c.in_channels);
    latents.x = ib_buffers_take(b, n);
    g.channels = u->conv_in.n;
    g.x = ib_buffers_take(b, ib_floats(in->batch, in->rows, in->cols, g.channels));
    if (!b->rc) {
        memcpy(latents.x, in->latents, n * sizeof *latents.x);
        ib_unet_conv(&k, &u->conv_in, &latents, 1, NULL, 0, false, g.x);
        ib_unet_tell(&k, "conv_in", g.x, g.rows * g.cols, g.channels);
        push(&k, &skips, &g);
        go_down(&k, &g, &skips);
        go_through_middle(&k, &g);
        go_up(&k, &g, &skips);
    }
    if (!b->rc) {
        ib_unet_group_norm(&k, &u->norm_out, &g, u->c.norm_eps, false, NULL, NULL, 0, g.x);
        ib_unet_tell(&k, "conv_norm_out", g.x, g.rows * g.cols, g.channels);
        ib_silu(g.x, ib_floats(in->batch, g.rows, g.cols, g.channels), g.x);
        ib_unet_conv(&k, &u->conv_out, &g, 1, NULL, 0, false, out);
    }
    ib_buffers_give_all(b);
    rc = b->rc;
    b->err = NULL;
    return rc;
}
