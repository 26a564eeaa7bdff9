#include <stdlib.h>
#include "base/memory.h"
#include "diffusion/private.h"

size_t ib_diffusion_latent_floats(const ib_diffusion *d, size_t width, size_t height) {
    const ib_vae_about *v = ib_vae_about_of(d->vae);
    return width / v->factor * (height / v->factor) * v->channels;
}

/* Part `at` of three, in shares of the work: the way to noise is half as long as the way back. */
typedef struct part {
    const ib_diffusion_job *job;
    double from, share;
} part;

static void progress(void *context, size_t frames, double share) {
    const part *p = context;
    p->job->progress(p->job->context, frames, p->from + p->share * share);
}

int ib_diffusion_invert(ib_diffusion *d, const ib_diffusion_job *job, float *noise, float *residual,
                        ib_error *err) {
    size_t each = ib_diffusion_latent_floats(d, job->width, job->height), n = job->frames;
    if (d->scheduler.sampler != IB_SAMPLER_DDIM) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: the way back to noise is that of ddim, and the sampler is %s",
                       d->path, d->about.sampler);
    }
    part p = {job, 0, 0.4};
    ib_diffusion_job way = *job;
    float *back = NULL, *zeros = NULL;
    const float **from = calloc(n, sizeof *from);
    int rc = from ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for noise");
    rc = rc < 0 ? rc : ib_alloc_floats(&back, n * each, "noise", err);
    rc = rc < 0 ? rc : ib_alloc_floats(&zeros, n, "noise", err);
    way.progress = job->progress ? progress : NULL;
    way.context = &p;
    way.noise = way.residual = NULL;
    rc = rc < 0 ? rc : ib_diffusion_latents(d, &way, true, noise, err);
    p = (part){job, 0.4, 0.6};
    for (size_t i = 0; i < n && rc == 0; i++) {
        from[i] = noise + i * each;
    }
    way.noise = from;
    way.start = NULL;
    rc = rc < 0 ? rc : ib_diffusion_latents(d, &way, false, back, err);
    way.start = job->start;
    way.strength = zeros;
    way.progress = NULL;
    rc = rc < 0 ? rc : ib_diffusion_latents(d, &way, false, residual, err);
    for (size_t i = 0; i < n * each && rc == 0; i++) {
        residual[i] -= back[i];
    }
    ib_free(back);
    ib_free(zeros);
    free(from);
    return rc;
}
