#include <math.h>
#include <string.h>
#include "diffusion/scheduler_private.h"

/* x [n] is a noisy picture, e the network's answer; abar the share of the picture's variance in x. */

static double alpha_at(const ib_scheduler *s, double t) {
    if (t >= 0) {
        return (double)s->alphas[(size_t)t];
    }
    return s->c.alpha_to_one ? 1 : (double)s->alphas[0];
}

static double clip(const ib_scheduler *s, double v) {
    double r = s->c.clip_range;
    return !s->c.clip_sample ? v : v < -r ? -r : v > r ? r : v;
}

/* The picture and the noise that the answer says are in x = sqrt(abar) picture + sqrt(1 - abar) noise. */
static void separate(const ib_scheduler *s, double keep, double add, double x, double e, double *picture,
                     double *noise) {
    switch (s->c.prediction) {
    case IB_PREDICT_EPSILON:
        *picture = (x - add * e) / keep;
        *noise = e;
        break;
    case IB_PREDICT_V:
        *picture = keep * x - add * e;
        *noise = keep * e + add * x;
        break;
    default:
        *picture = e;
        *noise = (x - keep * e) / add;
    }
}

static void ddim(const ib_scheduler *s, double from, double to, float *x, const float *e) {
    double keep = sqrt(from), add = sqrt(1 - from), keep_to = sqrt(to), add_to = sqrt(1 - to);
    for (size_t j = 0; j < s->n; j++) {
        double picture, noise;
        separate(s, keep, add, (double)x[j], (double)e[j], &picture, &noise);
        if (s->c.clip_sample) {
            /* The noise stays as it was answered, as in the reference. */
            picture = clip(s, picture);
        }
        x[j] = (float)(keep_to * picture + add_to * noise);
    }
}

static void ddpm(const ib_scheduler *s, double t, float *x, const float *e, const float *noise) {
    double to_time = t - (double)(IB_TRAIN_STEPS / s->steps);
    double abar = alpha_at(s, t), abar_to = to_time >= 0 ? alpha_at(s, to_time) : 1, alpha = abar / abar_to;
    double keep = sqrt(abar), add = sqrt(1 - abar);
    double of_picture = sqrt(abar_to) * (1 - alpha) / (1 - abar),
           of_x = sqrt(alpha) * (1 - abar_to) / (1 - abar);
    double variance = (1 - abar_to) / (1 - abar) * (1 - alpha);
    double spread = noise ? sqrt(variance > 1e-20 ? variance : 1e-20) : 0;
    for (size_t j = 0; j < s->n; j++) {
        double picture, unused;
        separate(s, keep, add, (double)x[j], (double)e[j], &picture, &unused);
        double v = of_picture * clip(s, picture) + of_x * (double)x[j];
        x[j] = (float)(v + (noise ? spread * (double)noise[j] : 0));
    }
}

static void remember(ib_scheduler *s, int most) {
    float *last = s->history[most - 1];
    memmove(s->history + 1, s->history, (size_t)(most - 1) * sizeof *s->history);
    s->history[0] = last;
}

/* Liu et al., eq. 9, 11 and 12, without the Runge-Kutta steps at the beginning: the second evaluation goes
 * back to where the first began. */
static void pndm(ib_scheduler *s, double t, float *x, const float *e) {
    static const double weight[4][4] = {{1, 0, 0, 0},
                                        {1.5, -.5, 0, 0},
                                        {23. / 12, -16. / 12, 5. / 12, 0},
                                        {55. / 24, -59. / 24, 37. / 24, -9. / 24}};
    double gap = (double)(IB_TRAIN_STEPS / s->steps), to = t - gap;
    size_t bytes = s->n * sizeof *x;
    float *start = s->history[4];
    const double *w = weight[0];
    static const double mean[4] = {.5, .5, 0, 0};
    if (s->done == 1) {
        to = t;
        t = t + gap < IB_TRAIN_STEPS ? t + gap : IB_TRAIN_STEPS - 1;
        memcpy(x, start, bytes);
        w = mean;
    } else {
        if (s->done == 0) {
            memcpy(start, x, bytes);
        }
        remember(s, 4);
        memcpy(s->history[0], e, bytes);
        size_t known = s->done == 0 ? 1 : s->done < 4 ? s->done : 4;
        w = weight[known - 1];
    }
    double abar = alpha_at(s, t), abar_to = alpha_at(s, to);
    double keep = sqrt(abar), add = sqrt(1 - abar), of_x = sqrt(abar_to / abar);
    double of_noise = (abar_to - abar) / (abar * sqrt(1 - abar_to) + sqrt(abar * (1 - abar) * abar_to));
    for (size_t j = 0; j < s->n; j++) {
        double v;
        if (s->done == 1) {
            v = w[0] * (double)e[j] + w[1] * (double)s->history[0][j];
        } else {
            v = w[0] * (double)e[j];
            for (int k = 1; k < 4 && w[k] != 0; k++) {
                v += w[k] * (double)s->history[k][j];
            }
        }
        if (s->c.prediction == IB_PREDICT_V) {
            v = keep * v + add * (double)x[j];
        }
        x[j] = (float)(of_x * (double)x[j] - of_noise * v);
    }
}

/* x = picture + sigma noise; from one sigma to the next along the straight line. */
static void euler(const ib_scheduler *s, size_t i, float *x, const float *e, const float *noise) {
    double sigma = s->sigma[i], to = s->sigma[i + 1], down = to, up = 0;
    if (s->c.sampler == IB_SAMPLER_EULER_A) {
        up = sqrt(to * to * (sigma * sigma - to * to) / (sigma * sigma));
        down = sqrt(to * to - up * up);
    }
    double level = sigma * sigma + 1;
    for (size_t j = 0; j < s->n; j++) {
        double v = (double)x[j], a = (double)e[j];
        double picture = s->c.prediction == IB_PREDICT_EPSILON ? v - sigma * a
                         : s->c.prediction == IB_PREDICT_V     ? v / level - a * sigma / sqrt(level)
                                                               : a;
        v += (v - picture) / sigma * (down - sigma);
        x[j] = (float)(v + (noise ? up * (double)noise[j] : 0));
    }
}

/* Lu et al., algorithm 2, in its midpoint form; of first order at both ends. */
static void dpmpp(ib_scheduler *s, size_t i, float *x, const float *e) {
    double sigma = s->sigma[i], to = s->sigma[i + 1];
    double keep = 1 / sqrt(sigma * sigma + 1), add = sigma * keep;
    double keep_to = 1 / sqrt(to * to + 1), add_to = to * keep_to;
    bool last = i + 1 == s->evaluations, first = s->done == 0;
    /* lambda = ln(keep / add) = -ln sigma, so h is the logarithm of a quotient, and e^-h that quotient. */
    double shrink = to / sigma, ratio = 0;
    if (!first && !last) {
        double h = log(sigma / to), before = log(s->sigma[i - 1] / sigma);
        ratio = h / before;
    }
    remember(s, 2);
    float *now = s->history[0];
    const float *earlier = s->history[1];
    for (size_t j = 0; j < s->n; j++) {
        double picture, unused;
        separate(s, keep, add, (double)x[j], (double)e[j], &picture, &unused);
        now[j] = (float)picture;
        double v = add_to / add * (double)x[j] - keep_to * (shrink - 1) * picture;
        if (!first && !last) {
            v -= .5 * keep_to * (shrink - 1) * ratio * (picture - (double)earlier[j]);
        }
        x[j] = (float)v;
    }
}

/* Luo et al., with the boundary condition of consistency models: sigma_data = .5. */
static void lcm(const ib_scheduler *s, size_t i, float *x, const float *e, const float *noise) {
    double t = s->time[i], scaled = t * s->c.time_scale, square = scaled * scaled + .25;
    double skip = .25 / square, out = scaled / sqrt(square);
    double to = i + 1 < s->evaluations ? s->time[i + 1] : t;
    double abar = alpha_at(s, t), abar_to = alpha_at(s, to);
    double keep = sqrt(abar), add = sqrt(1 - abar), keep_to = sqrt(abar_to), add_to = sqrt(1 - abar_to);
    for (size_t j = 0; j < s->n; j++) {
        double picture, unused;
        separate(s, keep, add, (double)x[j], (double)e[j], &picture, &unused);
        double v = out * clip(s, picture) + skip * (double)x[j];
        x[j] = (float)(noise ? keep_to * v + add_to * (double)noise[j] : v);
    }
}

bool ib_scheduler_wants_noise(const ib_scheduler *s, size_t i) {
    switch (s->c.sampler) {
    case IB_SAMPLER_DDPM:
        return s->time[i] > 0;
    case IB_SAMPLER_EULER_A:
        return true;
    case IB_SAMPLER_LCM:
        return i + 1 < s->evaluations;
    default:
        return false;
    }
}

void ib_scheduler_step(ib_scheduler *s, size_t i, float *x, const float *e, const float *noise) {
    double t = s->time[i], gap = (double)(IB_TRAIN_STEPS / s->steps);
    switch (s->c.sampler) {
    case IB_SAMPLER_DDIM:
        ddim(s, alpha_at(s, t), alpha_at(s, t - gap), x, e);
        break;
    case IB_SAMPLER_DDIM_INVERSE:
        ddim(s, alpha_at(s, t - gap), alpha_at(s, t), x, e);
        break;
    case IB_SAMPLER_DDPM:
        ddpm(s, t, x, e, noise);
        break;
    case IB_SAMPLER_PNDM:
        pndm(s, t, x, e);
        break;
    case IB_SAMPLER_EULER:
    case IB_SAMPLER_EULER_A:
        euler(s, i, x, e, noise);
        break;
    case IB_SAMPLER_DPMPP:
        dpmpp(s, i, x, e);
        break;
    default:
        lcm(s, i, x, e, noise);
    }
    s->done++;
}
