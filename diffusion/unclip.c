#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "diffusion/private.h"

static int read_normalizer(ib_unclip *u, const char *dir, size_t n, ib_error *err) {
    const int64_t shape[2] = {1, (int64_t)n};
    ib_weights *w = NULL;
    ib_weight mean, deviation;
    int rc = ib_weights_open(&w, dir, "image_normalizer", err);
    rc = rc < 0 ? rc : ib_weights_get(w, "mean", 2, shape, &mean, err);
    rc = rc < 0 ? rc : ib_weights_get(w, "std", 2, shape, &deviation, err);
    rc = rc < 0 ? rc : ib_alloc_floats(&u->mean, n, "an embedding's mean", err);
    rc = rc < 0 ? rc : ib_alloc_floats(&u->deviation, n, "an embedding's deviation", err);
    if (rc == 0) {
        ib_weight_widen(&mean, 0, n, u->mean);
        ib_weight_widen(&deviation, 0, n, u->deviation);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!(u->deviation[i] > 0)) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: number %zu of std is %g: expected more than 0", dir, i,
                         (double)u->deviation[i]);
        }
    }
    ib_weights_close(&w);
    return rc;
}

/* dir NULL: the cosine schedule, which both models have. */
static int read_levels(ib_unclip *u, const char *dir, ib_error *err) {
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    bool there = false, known;
    int rc = dir ? ib_scheduler_config_read(&c, dir, IB_SAMPLER_DDPM, &there, &known, err) : 0;
    if (rc == 0 && !there) {
        ib_scheduler_defaults(&c, IB_SAMPLER_DDPM);
        c.betas = IB_BETAS_COSINE;
    }
    rc = rc < 0 ? rc : ib_scheduler_open(&s, &c, 1, err);
    if (rc == 0) {
        memcpy(u->alphas, ib_scheduler_alphas(s), sizeof u->alphas);
    }
    ib_scheduler_close(&s);
    return rc;
}

int ib_unclip_open(ib_unclip *u, const char *model, size_t n, ib_error *err) {
    char *normalizer = ib_diffusion_part(model, "image_normalizer"),
         *noising = ib_diffusion_part(model, "image_noising_scheduler");
    int rc = normalizer ? read_normalizer(u, normalizer, n, err) : 0;
    rc = rc < 0 ? rc : read_levels(u, noising, err);
    free(normalizer);
    free(noising);
    return rc;
}

void ib_unclip_close(ib_unclip *u) {
    ib_free(u->mean);
    ib_free(u->deviation);
}

void ib_unclip_condition(const ib_unclip *u, size_t n, int level, const float *e, const float *noise,
                         float *out) {
    double alpha = level >= 0 ? (double)u->alphas[level] : 1, keep = sqrt(alpha), add = sqrt(1 - alpha);
    for (size_t i = 0; i < n; i++) {
        double m = u->mean ? (double)u->mean[i] : 0, s = u->deviation ? (double)u->deviation[i] : 1;
        double z = keep * ((double)e[i] - m) / s + add * (double)noise[i];
        out[i] = level >= 0 ? (float)(z * s + m) : e[i];
    }
    ib_sinusoid(level > 0 ? level : 0, n, true, 0, out + n);
}
