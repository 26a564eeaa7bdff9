#include "diffusion/scheduler.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "diffusion/scheduler_private.h"

/* --- noise levels of training; in float where the reference computes in float --- */

static double cosine(double t) {
    double c = cos((t + 0.008) / 1.008 * 3.14159265358979323846 / 2);
    return c * c;
}

static double cosine_beta(size_t i) {
    double beta = 1 - cosine((double)(i + 1) / IB_TRAIN_STEPS) / cosine((double)i / IB_TRAIN_STEPS);
    return beta < 0.999 ? beta : 0.999;
}

static float between(float start, float end, size_t i, size_t n) {
    float step = (end - start) / (float)(n - 1);
    return i < n / 2 ? start + step * (float)i : end - step * (float)(n - 1 - i);
}

static void betas_of(const ib_scheduler_config *c, float *beta) {
    for (size_t i = 0; i < IB_TRAIN_STEPS; i++) {
        if (c->betas == IB_BETAS_COSINE) {
            beta[i] = (float)cosine_beta(i);
        } else if (c->betas == IB_BETAS_LINEAR) {
            beta[i] = between((float)c->beta_start, (float)c->beta_end, i, IB_TRAIN_STEPS);
        } else {
            float root = between((float)sqrt(c->beta_start), (float)sqrt(c->beta_end), i, IB_TRAIN_STEPS);
            beta[i] = root * root;
        }
    }
}

static void accumulate(const float *beta, float *alphas) {
    double product = 1;
    for (size_t i = 0; i < IB_TRAIN_STEPS; i++) {
        product *= (double)(1 - beta[i]);
        alphas[i] = (float)product;
    }
}

/* Lin et al., algorithm 1: sqrt(abar) shifted so that its last is 0, scaled so that its first stays. */
static void rescale_betas(const float *alphas, float *beta) {
    float first = sqrtf(alphas[0]), last = sqrtf(alphas[IB_TRAIN_STEPS - 1]), before = 1;
    for (size_t i = 0; i < IB_TRAIN_STEPS; i++) {
        float root = (sqrtf(alphas[i]) - last) * (first / (first - last));
        beta[i] = 1 - root * root / before;
        before = root * root;
    }
}

/* --- times --- */

static double round_even(double v) {
    double r = floor(v + 0.5);
    return r - v == 0.5 && fmod(r, 2) != 0 ? r - 1 : r;
}

/* The times of `steps` evaluations from noise to picture. */
static void spread(ib_scheduler *s) {
    size_t n = s->steps;
    bool dpm = s->c.sampler == IB_SAMPLER_DPMPP,
         whole = s->c.sampler != IB_SAMPLER_EULER && s->c.sampler != IB_SAMPLER_EULER_A;
    size_t gap = IB_TRAIN_STEPS / (dpm ? n + 1 : n);
    double ratio = (double)IB_TRAIN_STEPS / (double)n;
    for (size_t i = 0; i < n; i++) {
        size_t up = n - 1 - i; /* the place from below */
        double t = 0;
        if (s->c.spacing == IB_SPACING_LEADING) {
            t = (double)((dpm ? up + 1 : up) * gap) + (double)s->c.steps_offset;
        } else if (s->c.spacing == IB_SPACING_TRAILING) {
            t = round_even(IB_TRAIN_STEPS - (double)i * ratio) - 1;
        } else {
            double parts = dpm ? (double)n : (double)n - 1, last = IB_TRAIN_STEPS - 1;
            t = parts > 0 ? last * (dpm ? (double)(up + 1) : (double)up) / parts : 0;
            t = whole ? round_even(t) : t;
        }
        s->time[i] = t < 0 ? 0 : t > IB_TRAIN_STEPS - 1 ? IB_TRAIN_STEPS - 1 : t;
    }
}

static void spread_inverse(ib_scheduler *s) {
    spread(s);
    for (size_t i = 0; i < s->steps / 2; i++) {
        double t = s->time[i];
        s->time[i] = s->time[s->steps - 1 - i];
        s->time[s->steps - 1 - i] = t;
    }
}

/* The second time comes twice. */
static void repeat_second(ib_scheduler *s) {
    if (s->steps > 1) {
        memmove(s->time + 2, s->time + 1, (s->steps - 1) * sizeof *s->time);
    } else {
        s->time[1] = s->time[0];
    }
    s->evaluations = s->steps + 1;
}

static int spread_lcm(ib_scheduler *s, ib_error *err) {
    size_t origin = s->c.original_steps, gap = IB_TRAIN_STEPS / origin;
    if (s->steps > origin) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu steps: an LCM was made from %zu and has no more", s->steps,
                       origin);
    }
    for (size_t i = 0; i < s->steps; i++) {
        size_t at = i * origin / s->steps; /* of the times from above */
        s->time[i] = (double)((origin - at) * gap - 1);
    }
    return 0;
}

/* --- noise levels of sampling --- */

static double level(const ib_scheduler *s, double t) {
    size_t low = (size_t)t, high = low + 1 < IB_TRAIN_STEPS ? low + 1 : low;
    double w = t - (double)low;
    double a = (double)s->alphas[low], b = (double)s->alphas[high];
    return (1 - w) * sqrt((1 - a) / a) + w * sqrt((1 - b) / b);
}

/* The inverse of level(), interpolated in the logarithm. */
static double time_of(const ib_scheduler *s, double sigma) {
    size_t low = 0;
    for (size_t i = 1; i + 1 < IB_TRAIN_STEPS && level(s, (double)i) <= sigma; i++) {
        low = i;
    }
    double a = log(level(s, (double)low)), b = log(level(s, (double)(low + 1)));
    double w = (a - log(sigma)) / (a - b);
    w = w < 0 ? 0 : w > 1 ? 1 : w;
    return (1 - w) * (double)low + w * (double)(low + 1);
}

static void levels(ib_scheduler *s) {
    size_t n = s->steps;
    for (size_t i = 0; i < n; i++) {
        s->sigma[i] = level(s, s->time[i]);
    }
    s->sigma[n] = 0;
    if (!s->c.karras || s->c.sampler == IB_SAMPLER_EULER_A) {
        return;
    }
    /* Euler spreads what it has selected, DPM++ what there is; and only DPM++ rounds the times. */
    bool dpm = s->c.sampler == IB_SAMPLER_DPMPP;
    double most = dpm ? level(s, IB_TRAIN_STEPS - 1) : s->sigma[0],
           least = dpm ? level(s, 0) : s->sigma[n - 1];
    double a = pow(most, 1.0 / 7), b = pow(least, 1.0 / 7);
    for (size_t i = 0; i < n; i++) {
        double ramp = n > 1 ? (double)i / (double)(n - 1) : 0;
        s->sigma[i] = pow(a + ramp * (b - a), 7);
        double t = time_of(s, s->sigma[i]);
        s->time[i] = dpm ? round_even(t) : t;
    }
}

/* --- the face --- */

static int fill(ib_scheduler *s, ib_error *err) {
    float beta[IB_TRAIN_STEPS];
    betas_of(&s->c, beta);
    accumulate(beta, s->alphas);
    bool by_level = s->c.sampler == IB_SAMPLER_EULER || s->c.sampler == IB_SAMPLER_EULER_A ||
                    s->c.sampler == IB_SAMPLER_DPMPP;
    if (s->c.zero_snr) {
        rescale_betas(s->alphas, beta);
        accumulate(beta, s->alphas);
        if (by_level) {
            s->alphas[IB_TRAIN_STEPS - 1] = 0x1p-24f;
        }
    }
    s->evaluations = s->steps;
    if (s->c.sampler == IB_SAMPLER_LCM) {
        return spread_lcm(s, err);
    }
    if (s->c.sampler == IB_SAMPLER_DDIM_INVERSE) {
        spread_inverse(s);
        return 0;
    }
    spread(s);
    if (s->c.sampler == IB_SAMPLER_PNDM) {
        repeat_second(s);
    }
    if (by_level) {
        levels(s);
    }
    return 0;
}

int ib_scheduler_open(ib_scheduler **out, const ib_scheduler_config *c, size_t steps, ib_error *err) {
    *out = NULL;
    if (steps < 1 || steps > IB_TRAIN_STEPS) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu steps: expected 1 to %d", steps, IB_TRAIN_STEPS);
    }
    if (c->zero_snr && c->prediction == IB_PREDICT_EPSILON) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "a sampler that begins with pure noise (rescale_betas_zero_snr): a model that predicts "
            "the noise cannot say what is under it; expected v_prediction");
    }
    if (c->sampler == IB_SAMPLER_LCM && (c->original_steps < 1 || c->original_steps > IB_TRAIN_STEPS)) {
        return ib_fail(err, IB_E_ARGUMENT, "an LCM's original steps are %zu: expected 1 to %d",
                       c->original_steps, IB_TRAIN_STEPS);
    }
    ib_scheduler *s = calloc(1, sizeof *s);
    if (!s) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a sampler");
    }
    s->c = *c;
    s->steps = steps;
    int rc = fill(s, err);
    if (rc < 0) {
        ib_scheduler_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void ib_scheduler_close(ib_scheduler **s) {
    if (*s) {
        ib_free((*s)->memory);
        free(*s);
        *s = NULL;
    }
}

size_t ib_scheduler_evaluations(const ib_scheduler *s) {
    return s->evaluations;
}

size_t ib_scheduler_first(const ib_scheduler *s, double strength) {
    if (!(strength > 0)) {
        return s->evaluations;
    }
    double run = (double)s->steps * strength;
    size_t n = run < (double)s->steps ? (size_t)run : s->steps;
    return n ? s->steps - n : s->evaluations;
}

double ib_scheduler_time(const ib_scheduler *s, size_t i) {
    return s->time[i];
}

double ib_scheduler_sigma(const ib_scheduler *s, size_t i) {
    return s->sigma[i];
}

const float *ib_scheduler_alphas(const ib_scheduler *s) {
    return s->alphas;
}

static bool is_euler(const ib_scheduler *s) {
    return s->c.sampler == IB_SAMPLER_EULER || s->c.sampler == IB_SAMPLER_EULER_A;
}

double ib_scheduler_input_scale(const ib_scheduler *s, size_t i) {
    return is_euler(s) ? 1 / sqrt(s->sigma[i] * s->sigma[i] + 1) : 1;
}

double ib_scheduler_start_scale(const ib_scheduler *s) {
    if (!is_euler(s)) {
        return 1;
    }
    return s->c.spacing == IB_SPACING_LEADING ? sqrt(s->sigma[0] * s->sigma[0] + 1) : s->sigma[0];
}

void ib_scheduler_add_noise(const ib_scheduler *s, size_t i, const float *x, const float *noise, float *out,
                            size_t n) {
    double keep = 1, add = 0;
    if (is_euler(s)) {
        add = s->sigma[i];
    } else if (s->c.sampler == IB_SAMPLER_DPMPP) {
        keep = 1 / sqrt(s->sigma[i] * s->sigma[i] + 1);
        add = s->sigma[i] * keep;
    } else {
        double alpha = (double)s->alphas[(size_t)s->time[i]];
        keep = sqrt(alpha);
        add = sqrt(1 - alpha);
    }
    for (size_t j = 0; j < n; j++) {
        out[j] = (float)(keep * (double)x[j] + add * (double)noise[j]);
    }
}

int ib_scheduler_begin(ib_scheduler *s, size_t n, ib_error *err) {
    s->done = 0;
    if (n != s->n) {
        ib_free(s->memory);
        s->memory = NULL;
        s->n = 0;
        size_t all;
        if (ib_size_mul(n, IB_HISTORY, &all) < 0) {
            return ib_fail(err, IB_E_MEMORY, "a sampler for %zu numbers does not fit in memory", n);
        }
        bool remembers = s->c.sampler == IB_SAMPLER_PNDM || s->c.sampler == IB_SAMPLER_DPMPP;
        int rc = ib_alloc_floats(&s->memory, remembers ? all : 1, "a sampler", err);
        if (rc < 0) {
            return rc;
        }
        s->n = n;
        for (int k = 0; k < IB_HISTORY; k++) {
            s->history[k] = remembers ? s->memory + (size_t)k * n : NULL;
        }
    }
    return 0;
}
