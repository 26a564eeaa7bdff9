/* Samples of moving waves, and gradients against finite differences, for the tests of the model. */
#ifndef IB_TESTS_GRADIENTS_H
#define IB_TESTS_GRADIENTS_H

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "adapter/adapter.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch.h"
#include "tests/check.h"
#include "tests/waves.h"

typedef struct sample {
    float *z0, *z1, *target;
} sample;

static inline sample make_sample(int rows, int cols, float t, uint64_t seed) {
    size_t n = 96 * (size_t)rows * (size_t)cols;
    sample s = {ib_calloc(n, 4), ib_calloc(n, 4), ib_calloc(n, 4)};
    float *p = ib_calloc(n, 4), *z[3] = {s.z0, s.z1, s.target}, at[3] = {0, 1, t};
    for (int k = 0; k < 3; k++) {
        waves(p, rows, cols, at[k], 5, -3, seed, 0.25f);
        ib_patch_forward(p, rows, cols, z[k]);
    }
    ib_free(p);
    return s;
}

static inline void free_sample(sample *s) {
    ib_free(s->z0);
    ib_free(s->z1);
    ib_free(s->target);
}

static inline double total_loss(const ib_adapter *a, ib_adapter_work *w, const ib_between *in,
                                const float *const *target, int n, const ib_dropout *drop) {
    ib_sample_loss l[8];
    ib_error err;
    double s = 0;
    CHECK_OK(ib_adapter_learn(a, w, in, target, n, 1, 0, drop, l, &err), &err);
    for (int i = 0; i < n; i++) {
        s += l[i].loss;
    }
    return s;
}

/* Every tensor's gradient along a random direction, against the central difference of the loss along it. */
static inline void finite_differences(ib_adapter *a, const ib_shape *shape, const ib_between *in,
                                      const float *const *target, int n, const ib_dropout *drop,
                                      double tolerance) {
    ib_error err;
    ib_adapter_work *w = NULL;
    size_t count = ib_adapter_param_count(a);
    float *g = ib_calloc(count, 4), *p = ib_adapter_params(a), *keep = ib_calloc(count, 4),
          *v = ib_calloc(count, 4);
    CHECK_OK(ib_adapter_trains(a, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, shape, n, true, &err), &err);
    total_loss(a, w, in, target, n, drop);
    ib_adapter_collect(a, w, g);
    memcpy(keep, p, count * sizeof *p);
    ib_rng r;
    ib_rng_seed(&r, 11);
    double all = 0;
    for (size_t i = 0; i < count; i++) {
        all += (double)g[i] * g[i];
    }
    for (size_t k = 0; k < ib_adapter_tensor_count(a); k++) {
        const ib_param *t = ib_adapter_tensor(a, k);
        double slope = 0, length = 0, value[2];
        for (size_t i = 0; i < t->count; i++) {
            /* mostly along the gradient, so that the difference stands out of the rounding */
            v[i] = g[t->offset + i] + 0.3f * (float)sqrt(all / (double)count) * ib_rng_normal(&r);
            length += (double)v[i] * v[i];
        }
        length = sqrt(length);
        double e = 3e-3 / (length > 0 ? length : 1);
        for (size_t i = 0; i < t->count; i++) {
            slope += (double)v[i] * g[t->offset + i];
        }
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < t->count; i++) {
                p[t->offset + i] = keep[t->offset + i] + (float)((side ? -e : e) * v[i]);
            }
            ib_adapter_refresh(a);
            value[side] = total_loss(a, w, in, target, n, drop);
        }
        memcpy(p + t->offset, keep + t->offset, t->count * sizeof *p);
        ib_adapter_refresh(a);
        double got = slope / length, want = (value[0] - value[1]) / 6e-3;
        check_done++;
        if (!(fabs(got - want) <= tolerance * (fabs(want) + 0.02 * sqrt(all)))) {
            check_failed++;
            printf("FAILED gradient of %s along a direction is %.6g, by differences %.6g (tolerance %.2g)\n",
                   t->name, got, want, tolerance);
        }
    }
    ib_adapter_work_free(&w);
    ib_free(g);
    ib_free(keep);
    ib_free(v);
}

static inline double worst(const float *a, const float *b, size_t n) {
    double w = 0;
    for (size_t i = 0; i < n; i++) {
        w = fmax(w, fabs((double)a[i] - b[i]));
    }
    return w;
}

#endif
