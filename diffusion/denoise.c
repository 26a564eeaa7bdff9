#include "diffusion/denoise.h"

#include <math.h>
#include <string.h>
#include "base/memory.h"

typedef struct work {
    size_t sides, n, out_n; /* n: numbers of a frame; out_n: of what is answered for it */
    float *in, *out, *t, *context, *ip, *added, *guidance, *answer, *noise, *scratch;
} work;

static void work_free(work *w) {
    float *const all[] = {w->in,    w->out,      w->t,      w->context, w->ip,
                          w->added, w->guidance, w->answer, w->noise,   w->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

/* Both sides in one array, the negative one first. */
static int join(const ib_denoise *d, const float *negative, const float *asked, size_t each, float **out,
                ib_error *err) {
    size_t sides = d->guided ? 2 : 1, all;
    *out = NULL;
    if (!asked) {
        return 0;
    }
    if (d->guided && !negative) {
        return ib_fail(err, IB_E_ARGUMENT, "guidance needs something to lead away from");
    }
    if (ib_size_mul(each, sides * d->frames, &all) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%zu frames at once do not fit in memory", d->frames);
    }
    int rc = ib_alloc_floats(out, all, "what frames are conditioned on", err);
    for (size_t i = 0; i < d->frames && rc == 0 && d->guided; i++) {
        memcpy(*out + i * each, negative, each * sizeof **out);
    }
    if (rc == 0) {
        memcpy(*out + (sides - 1) * d->frames * each, asked, d->frames * each * sizeof **out);
    }
    return rc;
}

static int work_make(const ib_denoise *d, const ib_unet_config *c, work *w, ib_error *err) {
    const char *what = "sampling";
    size_t area = d->rows * d->cols, all = 0, out_all = 0;
    w->sides = d->guided ? 2 : 1;
    w->n = area * c->in_channels;
    w->out_n = area * c->out_channels;
    if (ib_size_mul(w->n, w->sides * d->frames, &all) < 0 ||
        ib_size_mul(w->out_n, w->sides * d->frames, &out_all) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%zu frames at once do not fit in memory", d->frames);
    }
    int rc;
    if ((rc = ib_alloc_floats(&w->in, all, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->out, out_all, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->t, w->sides * d->frames, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->answer, w->n * d->frames, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->noise, w->n * d->frames, what, err)) < 0 ||
        (rc = ib_alloc_floats(&w->scratch, w->n, what, err)) < 0 ||
        (rc = join(d, d->negative.context, d->asked.context, d->tokens * c->context, &w->context, err)) < 0 ||
        (rc = join(d, d->negative.ip, d->asked.ip, d->ip_tokens * c->context, &w->ip, err)) < 0 ||
        (rc = join(d, d->negative.added, d->asked.added, c->extra_width, &w->added, err)) < 0) {
        return rc;
    }
    if (d->embedded) {
        rc = ib_alloc_floats(&w->guidance, w->sides * d->frames * c->guidance_width, what, err);
        for (size_t i = 0; i < w->sides * d->frames && rc == 0; i++) {
            memcpy(w->guidance + i * c->guidance_width, d->embedded, c->guidance_width * sizeof *w->guidance);
        }
    }
    return rc;
}

/* The sides become one; channels beyond the latents' are left out. */
static bool merge(const ib_denoise *d, const ib_unet_config *c, const work *w) {
    size_t area = d->rows * d->cols * d->frames, in = c->in_channels, out = c->out_channels;
    const float *asked = w->out + (w->sides - 1) * d->frames * w->out_n;
    bool finite = true;
    for (size_t i = 0; i < area; i++) {
        for (size_t k = 0; k < in; k++) {
            float v = asked[i * out + k];
            if (d->guided) {
                float n = w->out[i * out + k];
                v = n + (float)d->guidance * (v - n);
            }
            finite = finite && isfinite(v);
            w->answer[i * in + k] = v;
        }
    }
    return finite;
}

static int evaluate(const ib_denoise *d, ib_unet *u, const ib_scheduler *s, size_t i, const float *x, work *w,
                    ib_error *err) {
    const ib_unet_config *c = ib_unet_config_of(u);
    size_t all = w->n * d->frames;
    float scale = (float)ib_scheduler_input_scale(s, i);
    for (size_t j = 0; j < all; j++) {
        w->in[j] = x[j] * scale;
    }
    if (d->guided) {
        memcpy(w->in + all, w->in, all * sizeof *w->in);
    }
    for (size_t j = 0; j < w->sides * d->frames; j++) {
        w->t[j] = (float)ib_scheduler_time(s, i);
    }
    ib_unet_input in = {.batch = w->sides * d->frames,
                        .rows = d->rows,
                        .cols = d->cols,
                        .latents = w->in,
                        .t = w->t,
                        .context = w->context,
                        .tokens = d->tokens,
                        .ip = w->ip,
                        .ip_tokens = d->ip_tokens,
                        .ip_scale = d->ip_scale,
                        .added = w->added,
                        .guidance = w->guidance};
    int rc = ib_unet_run(u, &in, w->out, d->threads, err);
    if (rc == 0 && !merge(d, c, w)) {
        rc = ib_fail(err, IB_E_NONFINITE, "the model's answer at time %g holds what is no number",
                     (double)*w->t);
    }
    return rc;
}

int ib_denoise_run(const ib_denoise *d, ib_unet *u, ib_scheduler *s, float *x, ib_error *err) {
    const ib_unet_config *c = ib_unet_config_of(u);
    work w = {0};
    if (c->out_channels < c->in_channels) {
        return ib_fail(err, IB_E_UNSUPPORTED, "a model that answers %zu of %zu channels", c->out_channels,
                       c->in_channels);
    }
    int rc = work_make(d, c, &w, err);
    rc = rc < 0 ? rc : ib_scheduler_begin(s, w.n * d->frames, err);
    for (size_t i = d->first; i < ib_scheduler_evaluations(s) && rc == 0; i++) {
        if (d->stop && atomic_load(d->stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
            break;
        }
        rc = evaluate(d, u, s, i, x, &w, err);
        if (rc < 0) {
            break;
        }
        bool noisy = ib_scheduler_wants_noise(s, i);
        if (noisy) {
            ib_noise_latents(d->noise, d->rows, d->cols, c->in_channels, w.scratch, w.noise);
            for (size_t f = 1; f < d->frames; f++) {
                memcpy(w.noise + f * w.n, w.noise, w.n * sizeof *w.noise);
            }
        }
        ib_scheduler_step(s, i, x, w.answer, noisy ? w.noise : NULL);
        if (d->progress) {
            d->progress(d->context, i + 1 - d->first);
        }
    }
    work_free(&w);
    return rc;
}
