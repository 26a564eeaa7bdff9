#include <math.h>
#include <string.h>
#include "base/memory.h"
#include "diffusion/denoise.h"
#include "diffusion/private.h"

enum { MOST = 64 }; /* frames at once */

/* What one job's frames share, and the rows of those that are not done yet. */
typedef struct run {
    ib_diffusion *d;
    const ib_diffusion_job *job;
    ib_scheduler *scheduler;
    size_t rows, cols, n;                  /* of latents; n: numbers of a frame */
    size_t text_each, ip_each, added_each; /* numbers of a condition */
    float *text, *ip, *added;              /* [frames,..] */
    float *none_text, *none_ip, *none_added;
    float *embedded;      /* guidance that goes in (LCM) */
    bool guided, inverse; /* inverse: from starts to noise */
    float *latents;       /* [frames,n], wanted in the place of pictures; NULL: pictures are */
    double total, before; /* evaluations, of which are done */
    size_t frames_done, now;
} run;

static void run_free(run *r) {
    float *const all[] = {r->text, r->ip, r->added, r->none_text, r->none_ip, r->none_added, r->embedded};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_scheduler_close(&r->scheduler);
}

static int check(const ib_diffusion *d, const ib_diffusion_job *job, ib_error *err) {
    const ib_diffusion_about *a = &d->about;
    size_t f = a->factor;
    if (!job->frames || !job->width || !job->height || job->width % f || job->height % f ||
        job->width > 16384 || job->height > 16384) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "%zu frames of %zux%zu px: expected at least one, of sides from %zu to 16384 px that are "
            "multiples of %zu",
            job->frames, job->width, job->height, f, f);
    }
    if (job->embedding && !a->embedding_width) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: %s takes no picture's embedding without an IP-Adapter",
                       d->path, a->family_name);
    }
    if (!job->embedding && (a->family == IB_DIFFUSION_KANDINSKY || a->family == IB_DIFFUSION_UNCLIP)) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: %s needs a picture's embedding", d->path, a->family_name);
    }
    if (job->noise_level > 999 || job->noise_level < -1) {
        return ib_fail(err, IB_E_ARGUMENT, "a noise level of %d: expected 0 to 999, or none",
                       job->noise_level);
    }
    return 0;
}

/* Context and, of SDXL, the pooled text with the sizes. from: [text_floats] */
static void split_text(const ib_diffusion *d, const ib_diffusion_job *job, const float *from, float *text,
                       float *added) {
    size_t tokens = d->text_tokens * d->config.context, each = d->config.extra_time_width;
    memcpy(text, from, tokens * sizeof *text);
    if (d->about.family == IB_DIFFUSION_SDXL) {
        size_t pooled = d->about.text_floats - tokens;
        const double ids[6] = {(double)job->height, (double)job->width, 0, 0,
                               (double)job->height, (double)job->width};
        memcpy(added, from + tokens, pooled * sizeof *added);
        for (size_t i = 0; i < 6; i++) {
            ib_sinusoid(ids[i], each, true, 0, added + pooled + i * each);
        }
    }
}

static int texts(run *r, ib_error *err) {
    ib_diffusion *d = r->d;
    const ib_diffusion_job *job = r->job;
    size_t floats = d->about.text_floats;
    bool xl = d->about.family == IB_DIFFUSION_SDXL;
    float *empty = NULL;
    int rc;
    if (!floats) {
        return 0;
    }
    r->text_each = d->text_tokens * d->config.context;
    r->added_each = xl ? d->config.extra_width : r->added_each;
    if ((rc = ib_alloc_floats(&r->text, job->frames * r->text_each, "prompts", err)) < 0 ||
        (rc = ib_alloc_floats(&r->none_text, r->text_each, "a negative prompt", err)) < 0 ||
        (xl && ((rc = ib_alloc_floats(&r->added, job->frames * r->added_each, "prompts", err)) < 0 ||
                (rc = ib_alloc_floats(&r->none_added, r->added_each, "a negative prompt", err)) < 0)) ||
        (rc = ib_alloc_floats(&empty, floats, "the empty prompt", err)) < 0) {
        return rc;
    }
    bool zeros = d->zero_negative && !job->negative_text;
    bool needed = !job->text || (r->guided && !job->negative_text && !zeros);
    rc = needed ? ib_diffusion_prompt(d, "", empty, err) : 0;
    for (size_t i = 0; i < job->frames && rc == 0; i++) {
        split_text(d, job, job->text ? job->text + i * floats : empty, r->text + i * r->text_each,
                   xl ? r->added + i * r->added_each : NULL);
    }
    if (zeros) { /* no text at all, the pooled one too */
        memset(empty, 0, floats * sizeof *empty);
    }
    if (rc == 0) {
        split_text(d, job, job->negative_text ? job->negative_text : empty, r->none_text, r->none_added);
    }
    ib_free(empty);
    return rc;
}

static int embeddings(run *r, ib_error *err) {
    ib_diffusion *d = r->d;
    const ib_diffusion_job *job = r->job;
    const ib_diffusion_about *a = &d->about;
    size_t tokens = a->embedding_tokens ? a->embedding_tokens : job->embedding_tokens;
    size_t each = tokens * a->embedding_width, frames = job->frames;
    int rc = 0;
    if (!job->embedding) {
        return 0;
    }
    if (!tokens || tokens > 100000) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu hidden tokens of a picture: expected 1 to 100000", tokens);
    }
    if (a->family == IB_DIFFUSION_UNCLIP || a->family == IB_DIFFUSION_KANDINSKY) {
        r->added_each = d->config.extra_width;
        float *noise = NULL;
        if ((rc = ib_alloc_floats(&r->added, frames * r->added_each, "embeddings", err)) < 0 ||
            (rc = ib_alloc_floats(&r->none_added, r->added_each, "embeddings", err)) < 0 ||
            (rc = ib_alloc_floats(&noise, each, "embeddings", err)) < 0) {
            return rc;
        }
        ib_noise g;
        ib_noise_seed(&g, job->seed);
        ib_noise_normal(&g, noise, each);
        for (size_t i = 0; i < frames; i++) {
            if (a->family == IB_DIFFUSION_UNCLIP) {
                ib_unclip_condition(&d->unclip, each, job->noise_level, job->embedding + i * each, noise,
                                    r->added + i * r->added_each);
            } else {
                memcpy(r->added + i * each, job->embedding + i * each, each * sizeof *noise);
            }
        }
        if (job->negative_embedding && a->family == IB_DIFFUSION_KANDINSKY) {
            memcpy(r->none_added, job->negative_embedding, each * sizeof *noise);
        }
        ib_free(noise);
        return 0;
    }
    const ib_ip_about *ip = ib_ip_adapter_about(d->ip);
    float *none = NULL;
    r->ip_each = ip->tokens * ip->context;
    if ((rc = ib_alloc_floats(&r->ip, frames * r->ip_each, "embeddings", err)) < 0 ||
        (rc = ib_alloc_floats(&r->none_ip, r->ip_each, "embeddings", err)) < 0 ||
        (rc = ib_alloc_floats(&none, each, "embeddings", err)) < 0) {
        return rc;
    }
    rc = ib_ip_adapter_tokens(d->ip, job->embedding, frames, tokens, d->threads, r->ip, err);
    rc = rc < 0 ? rc
                : ib_ip_adapter_tokens(d->ip, job->negative_embedding ? job->negative_embedding : none, 1,
                                       tokens, d->threads, r->none_ip, err);
    ib_free(none);
    return rc;
}

static size_t first_of(const run *r, size_t i) {
    const ib_diffusion_job *job = r->job;
    if (!job->start || !job->start[i] || r->inverse) {
        return 0;
    }
    return ib_scheduler_first(r->scheduler, job->strength ? (double)job->strength[i] : 1);
}

/* Nothing of the picture is left at full strength. */
static bool is_noise(const run *r, size_t i) {
    const ib_diffusion_job *job = r->job;
    return !r->inverse && (!job->start || !job->start[i] || !job->strength || job->strength[i] >= 1);
}

static bool has_noise(const ib_diffusion_job *job) {
    bool any = false;
    for (size_t i = 0; i < job->frames && job->noise; i++) {
        any |= job->noise[i] != NULL;
    }
    return any;
}

static int run_make(run *r, ib_error *err) {
    const ib_diffusion_job *job = r->job;
    ib_diffusion *d = r->d;
    int rc = check(d, job, err);
    ib_scheduler_config how = d->scheduler;
    how.sampler = r->inverse ? IB_SAMPLER_DDIM_INVERSE : how.sampler;
    how.clip_sample = how.clip_sample && !r->inverse && !has_noise(job);
    rc = rc < 0 ? rc : ib_scheduler_open(&r->scheduler, &how, job->steps, err);
    if (rc < 0) {
        return rc;
    }
    r->rows = job->height / ib_vae_about_of(d->vae)->factor;
    r->cols = job->width / ib_vae_about_of(d->vae)->factor;
    r->n = r->rows * r->cols * d->config.in_channels;
    r->guided = job->guidance > 1 && !d->config.guidance_width && !r->inverse;
    rc = texts(r, err);
    rc = rc < 0 ? rc : embeddings(r, err);
    if (rc == 0 && d->config.guidance_width) {
        rc = ib_alloc_floats(&r->embedded, d->config.guidance_width, "guidance", err);
        if (rc == 0) {
            ib_sinusoid(1000 * (job->guidance - 1), d->config.guidance_width, false, 1, r->embedded);
        }
    }
    for (size_t i = 0; i < job->frames && rc == 0; i++) {
        r->total += (double)(ib_scheduler_evaluations(r->scheduler) - first_of(r, i)) + 1;
    }
    return rc;
}

static void progress(void *context, size_t evaluations) {
    run *r = context;
    if (r->job->progress) {
        r->job->progress(r->job->context, r->frames_done,
                         (r->before + (double)(evaluations * r->now)) / r->total);
    }
}

/* Rows of the frames which[n], side by side. */
static float *gather(const float *all, size_t each, const size_t *which, size_t n) {
    float *v = all ? ib_calloc(n * each, sizeof *v) : NULL;
    for (size_t i = 0; v && i < n; i++) {
        memcpy(v + i * each, all + which[i] * each, each * sizeof *v);
    }
    return v;
}

/* Latents as they are before the evaluation `first`. */
static int begin(run *r, const size_t *which, size_t n, size_t first, ib_noise *g, float *x, ib_error *err) {
    const ib_diffusion_job *job = r->job;
    float *noise = NULL, *scratch = NULL;
    size_t width = r->d->about.embedding_width;
    int rc = ib_alloc_floats(&noise, r->n > width ? r->n : width, "noise", err);
    rc = rc < 0 ? rc : ib_alloc_floats(&scratch, r->n, "noise", err);
    if (rc == 0 && r->d->about.family == IB_DIFFUSION_UNCLIP && job->noise_level >= 0) {
        ib_noise_normal(g, noise, width); /* what embeddings() took */
    }
    if (rc == 0) {
        ib_noise_latents(g, r->rows, r->cols, r->d->config.in_channels, scratch, noise);
    }
    float scale = (float)ib_scheduler_start_scale(r->scheduler);
    for (size_t i = 0; i < n && rc == 0; i++) {
        float *to = x + i * r->n;
        if (is_noise(r, which[i])) {
            const float *own = job->noise ? job->noise[which[i]] : NULL;
            for (size_t k = 0; k < r->n; k++) {
                to[k] = (own ? own : noise)[k] * scale;
            }
            continue;
        }
        rc = ib_vae_encode(r->d->vae, job->start[which[i]], job->height, job->width, to, NULL, r->d->threads,
                           err);
        if (rc == 0 && !r->inverse && first < ib_scheduler_evaluations(r->scheduler)) {
            ib_scheduler_add_noise(r->scheduler, first, to, noise, to, r->n);
        }
    }
    ib_free(noise);
    ib_free(scratch);
    return rc;
}

static int finish(run *r, const size_t *which, size_t n, float *x, float *pictures, bool *done,
                  ib_error *err) {
    size_t each = r->job->width * r->job->height * 3;
    ib_weights_release(r->d->weights); /* or they would be there beside what decoding needs */
    for (size_t i = 0; i < n; i++) {
        const float *more = r->job->residual ? r->job->residual[which[i]] : NULL;
        float *z = x + i * r->n, *to = r->latents ? NULL : pictures + which[i] * each;
        for (size_t k = 0; more && k < r->n; k++) {
            z[k] += more[k];
        }
        if (r->latents) {
            memcpy(r->latents + which[i] * r->n, z, r->n * sizeof *z);
        }
        int rc = to ? ib_vae_decode(r->d->vae, z, r->rows, r->cols, to, r->d->threads, err) : 0;
        if (rc < 0) {
            return rc;
        }
        for (size_t k = 0; to && k < each; k++) {
            to[k] = to[k] > 0 ? to[k] < 1 ? to[k] : 1 : 0;
        }
        if (done) {
            done[which[i]] = true;
        }
        r->frames_done++;
        r->before++;
        r->now = 0;
        progress(r, 0);
    }
    return 0;
}

/* Frames that begin at the same evaluation. */
static int batch(run *r, const size_t *which, size_t n, size_t first, float *pictures, bool *done,
                 ib_error *err) {
    ib_diffusion *d = r->d;
    float *text = gather(r->text, r->text_each, which, n), *ip = gather(r->ip, r->ip_each, which, n),
          *added = gather(r->added, r->added_each, which, n), *x = ib_calloc(n * r->n, sizeof *x);
    ib_noise g;
    int rc = 0;
    ib_noise_seed(&g, r->job->seed);
    if (!x || (r->text && !text) || (r->ip && !ip) || (r->added && !added)) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames", n);
    }
    rc = rc < 0 ? rc : begin(r, which, n, first, &g, x, err);
    if (rc == 0) {
        r->now = n;
        ib_denoise m = {.frames = n,
                        .rows = r->rows,
                        .cols = r->cols,
                        .asked = {text, ip, added},
                        .negative = {r->none_text, r->none_ip, r->none_added},
                        .tokens = r->text ? d->text_tokens : 0,
                        .ip_tokens = ip ? r->ip_each / d->config.context : 0,
                        .ip_scale = d->ip_scale,
                        .guided = r->guided,
                        .guidance = r->job->guidance,
                        .embedded = r->embedded,
                        .first = first,
                        .noise = &g,
                        .threads = d->threads,
                        .stop = r->job->stop,
                        .progress = progress,
                        .context = r};
        rc = ib_denoise_run(&m, d->unet, r->scheduler, x, err);
        r->before += (double)(n * (ib_scheduler_evaluations(r->scheduler) - first));
    }
    rc = rc < 0 ? rc : finish(r, which, n, x, pictures, done, err);
    ib_free(text);
    ib_free(ip);
    ib_free(added);
    ib_free(x);
    return rc;
}

/* Frames that are computed together: each costs memory by its size, and that the weights are widened once for
 * all is little gain where a frame is large. */
static size_t at_once(const ib_diffusion_job *job) {
    enum { PIXELS = 4 * 384 * 384 };
    size_t fit = PIXELS / (job->width * job->height * (job->guidance > 1 ? 2 : 1)), most = job->batch;
    most = most ? most : 4;
    most = most < MOST ? most : MOST;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

static int render(run *r, float *pictures, bool *done, ib_error *err) {
    const ib_diffusion_job *job = r->job;
    size_t each = at_once(job), which[MOST];
    bool *taken = ib_calloc(job->frames, sizeof *taken);
    int rc =
        taken ? run_make(r, err) : ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames", job->frames);
    for (size_t i = 0; done && i < job->frames; i++) {
        done[i] = false;
    }
    for (size_t i = 0; i < job->frames && rc == 0; i++) {
        if (taken[i]) {
            continue;
        }
        size_t n = 0, first = first_of(r, i);
        for (size_t k = i; k < job->frames && n < each; k++) {
            if (!taken[k] && first_of(r, k) == first) {
                which[n++] = k;
                taken[k] = true;
            }
        }
        rc = batch(r, which, n, first, pictures, done, err);
    }
    ib_free(taken);
    run_free(r);
    return rc;
}

int ib_diffusion_render(ib_diffusion *d, const ib_diffusion_job *job, float *pictures, bool *done,
                        ib_error *err) {
    run r = {.d = d, .job = job};
    return render(&r, pictures, done, err);
}

int ib_diffusion_latents(ib_diffusion *d, const ib_diffusion_job *job, bool inverse, float *latents,
                         ib_error *err) {
    run r = {.d = d, .job = job, .inverse = inverse, .latents = latents};
    return render(&r, NULL, NULL, err);
}
