#include "train/optimiser.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include "nn/gemm.h"
#include "nn/simd.h"
#include "train/muon.h"

enum { BLOCK = 8192 }; /* floats; work is dealt out in whole blocks */

IB_MULTIARCH static void adamw(const ib_update *u, double decay, float *restrict w, const float *restrict g,
                               float *const moments[IB_MAX_MOMENTS], size_t n) {
    const double beta1 = 0.9, beta2 = 0.999;
    const float b1 = (float)beta1, b2 = (float)beta2, c1 = (float)(1 - beta1), c2 = (float)(1 - beta2);
    const float rate = (float)(u->rate / (1 - pow(beta1, (double)u->number)));
    const float root = (float)(1 / sqrt(1 - pow(beta2, (double)u->number)));
    const float keep = (float)(1 - u->rate * decay), scale = (float)u->scale, eps = 1e-8f;
    float *restrict m = moments[0], *restrict v = moments[1];
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * scale;
        m[i] = b1 * m[i] + c1 * d;
        v[i] = b2 * v[i] + c2 * d * d;
        w[i] = keep * w[i] - rate * m[i] / (sqrtf(v[i]) * root + eps);
    }
}

static const float momentum = 0.9f;

IB_MULTIARCH static void sgd(const ib_update *u, double decay, float *restrict w, const float *restrict g,
                             float *const moments[IB_MAX_MOMENTS], size_t n) {
    const float rate = (float)u->rate, keep = (float)(1 - u->rate * decay), scale = (float)u->scale;
    float *restrict m = moments[0];
    for (size_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + g[i] * scale;
        w[i] = keep * w[i] - rate * m[i];
    }
}

IB_MULTIARCH static void nesterov(const ib_update *u, double decay, float *restrict w,
                                  const float *restrict g, float *const moments[IB_MAX_MOMENTS], size_t n) {
    const float rate = (float)u->rate, keep = (float)(1 - u->rate * decay), scale = (float)u->scale;
    float *restrict m = moments[0];
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * scale;
        m[i] = momentum * m[i] + d;
        w[i] = keep * w[i] - rate * (d + momentum * m[i]);
    }
}

static const ib_optimiser muon_row = {
    "muon", "Muon for the trunk's matrices, Adam for the rest", 2, 1e-3, 0.01, adamw, true};
static const ib_optimiser adamw_row = {"adamw", "Adam with decoupled weight decay", 2, 7e-4, 0.01, adamw,
                                       false};
static const ib_optimiser sgd_row = {"sgd", "gradient descent with momentum 0.9", 1, 0.05, 1e-4, sgd, false};
static const ib_optimiser nesterov_row = {
    "nesterov", "gradient descent with Nesterov's momentum 0.9", 1, 0.05, 1e-4, nesterov, false};
const ib_optimiser *const ib_optimisers[] = {&adamw_row, &muon_row, &sgd_row, &nesterov_row, NULL};

const ib_optimiser *ib_optimiser_find(const char *name, ib_error *err) {
    char list[128] = "";
    for (size_t i = 0; ib_optimisers[i]; i++) {
        if (!strcmp(name, ib_optimisers[i]->name)) {
            return ib_optimisers[i];
        }
        size_t l = strlen(list);
        snprintf(list + l, sizeof list - l, "%s%s", l ? ", " : "", ib_optimisers[i]->name);
    }
    ib_fail(err, IB_E_ARGUMENT, "there is no optimiser '%s': expected one of %s", name, list);
    return NULL;
}

static size_t least_optimiser(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The part of [first, first + n) that lies in tensor p. */
static void update_part(const ib_optimiser *o, const ib_update *u, const ib_param *p, float *w,
                        const float *g, float *const m[IB_MAX_MOMENTS], size_t first, size_t n) {
    size_t from = first > p->offset ? first : p->offset,
           to = least_optimiser(first + n, p->offset + p->count);
    float *at[IB_MAX_MOMENTS] = {0};
    if (from >= to || (o->muon && p->hidden)) {
        return;
    }
    for (int j = 0; j < o->moments; j++) {
        at[j] = m[j] + from;
    }
    o->step(u, p->decay ? u->weight_decay : 0, w + from, g + from, at, to - from);
}

/* A matrix's sides for Muon. */
static size_t columns_optimiser(const ib_param *p) {
    return (size_t)p->shape[p->rank - 1];
}

/* Of one thread. */
static size_t most_scratch(const ib_optimiser *o, const ib_adapter *a) {
    size_t most = 0;
    for (size_t i = 0; o->muon && i < ib_adapter_tensor_count(a); i++) {
        const ib_param *p = ib_adapter_tensor(a, i);
        size_t n = p->hidden ? ib_muon_scratch(p->count / columns_optimiser(p), columns_optimiser(p)) : 0;
        most = n > most ? n : most;
    }
    return most;
}

size_t ib_optimiser_scratch(const ib_optimiser *o, const ib_adapter *a, int threads) {
    return (size_t)threads * most_scratch(o, a);
}

static void update_matrices(const ib_update *u, const ib_adapter *a, float *w, const float *g, float *m,
                            int threads, float *scratch, size_t each) {
    size_t tensors = ib_adapter_tensor_count(a);
    int before = ib_gemm_pin();
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < tensors; i++) {
        const ib_param *p = ib_adapter_tensor(a, i);
        if (p->hidden) {
            ib_muon(u, p->decay ? u->weight_decay : 0, w + p->offset, g + p->offset, m + p->offset,
                    p->count / columns_optimiser(p), columns_optimiser(p),
                    scratch + (size_t)omp_get_thread_num() * each);
        }
    }
    ib_gemm_unpin(before);
}

void ib_optimiser_update(const ib_optimiser *o, const ib_update *u, const ib_adapter *a, float *w,
                         const float *g, float *const m[IB_MAX_MOMENTS], int threads, float *scratch) {
    size_t n = ib_adapter_param_count(a), tensors = ib_adapter_tensor_count(a);
    if (o->muon) {
        update_matrices(u, a, w, g, m[0], threads, scratch, most_scratch(o, a));
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t first = 0; first < n; first += BLOCK) {
        for (size_t i = 0; i < tensors; i++) {
            update_part(o, u, ib_adapter_tensor(a, i), w, g, m, first, least_optimiser(BLOCK, n - first));
        }
    }
}

IB_MULTIARCH static void ema_block(float *restrict ema, const float *restrict w, size_t n, float rate) {
    for (size_t i = 0; i < n; i++) {
        ema[i] += rate * (w[i] - ema[i]);
    }
}

void ib_ema_update(float *ema, const float *w, size_t n, double decay, int threads) {
    size_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t b = 0; b < blocks; b++) {
        ema_block(ema + b * BLOCK, w + b * BLOCK, least_optimiser(BLOCK, n - b * BLOCK), (float)(1 - decay));
    }
}

IB_MULTIARCH static void add_block(float *restrict out, const float *restrict x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] += x[i];
    }
}

/* Sixteen running sums, so that the order of additions is fixed and the loop still vectorises. */
IB_MULTIARCH static double squares_block(const float *x, size_t n) {
    double s[16] = {0}, sum = 0;
    for (size_t i = 0; i + 16 <= n; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            s[j] += (double)x[i + j] * (double)x[i + j];
        }
    }
    for (size_t i = n / 16 * 16; i < n; i++) {
        s[0] += (double)x[i] * (double)x[i];
    }
    for (size_t j = 0; j < 16; j++) {
        sum += s[j];
    }
    return sum;
}

double ib_gradient_sum(float *const *parts, size_t k, float *out, size_t n, int threads) {
    enum { GROUP = 64 }; /* blocks whose sums are gathered before they are added in order */
    double total = 0;
    for (size_t first = 0; first < n; first += (size_t)GROUP * BLOCK) {
        double sums[GROUP] = {0};
        size_t blocks = least_optimiser(GROUP, (n - first + BLOCK - 1) / BLOCK);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (size_t b = 0; b < blocks; b++) {
            size_t at = first + b * BLOCK, m = least_optimiser(BLOCK, n - at);
            if (out != parts[0]) {
                memcpy(out + at, parts[0] + at, m * sizeof *out);
            }
            for (size_t j = 1; j < k; j++) {
                add_block(out + at, parts[j] + at, m);
            }
            sums[b] = squares_block(out + at, m);
        }
        for (size_t b = 0; b < blocks; b++) {
            total += sums[b];
        }
    }
    return sqrt(total);
}
