/* Optimisers over the flat parameter array. They work element by element or, on some matrices, matrix by
 * matrix on one thread each, so any number of threads gives the same bits. */
#ifndef IB_TRAIN_OPTIMISER_H
#define IB_TRAIN_OPTIMISER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_MAX_MOMENTS = 2 };

/* What one update needs to know. */
typedef struct ib_update {
    double rate;         /* learning rate, >= 0 */
    double weight_decay; /* decoupled: w -= rate * weight_decay * w, only where ib_param.decay says so */
    double scale;        /* the gradient is multiplied by this first (clipping) */
    int64_t number;      /* of the update, from 1 */
} ib_update;

typedef struct ib_optimiser {
    const char *name, *help;
    int moments;         /* arrays of P floats that it keeps, 0..IB_MAX_MOMENTS; zero at the start */
    double rate;         /* default learning rate (peak) */
    double weight_decay; /* default */
    /* Updates w [n] from g [n]; decay is u->weight_decay or 0. m: [moments], each [n]. */
    void (*step)(const ib_update *u, double decay, float *w, const float *g, float *const m[IB_MAX_MOMENTS],
                 size_t n);
    bool muon; /* hidden matrices are updated by Muon (muon.h) instead; m[0] is its momentum */
} ib_optimiser;

/* adamw (Loshchilov and Hutter 2019, arXiv:1711.05101; betas 0.9, 0.999, eps 1e-8), muon (Muon for the
 * trunk's matrices, adamw for all else), sgd (momentum 0.9), nesterov (the same
 * with Nesterov's look-ahead). */
extern const ib_optimiser *const ib_optimisers[]; /* ends with NULL */
/* NULL and IB_E_ARGUMENT with the list for an unknown name. */
const ib_optimiser *ib_optimiser_find(const char *name, ib_error *err);

/* One update of all parameters, on `threads` threads. Values outside any tensor of the adapter stay. */
void ib_optimiser_update(const ib_optimiser *o, const ib_update *u, const ib_adapter *a, float *w, /* [P] */
                         const float *g,                                                           /* [P] */
                         float *const m[IB_MAX_MOMENTS], /* [moments], each [P] */
                         int threads, float *scratch);   /* ib_optimiser_scratch floats; NULL if they are 0 */
size_t ib_optimiser_scratch(const ib_optimiser *o, const ib_adapter *a, int threads);

/* ema = decay ema + (1-decay) w. ema, w: [n] */
void ib_ema_update(float *ema, const float *w, size_t n, double decay, int threads);

/* out = parts[0] + parts[1] + ..., in this order. parts: [k], each [n]; out may be parts[0]. Returns the
 * Euclidean norm of out, summed in double over fixed blocks, so that it does not depend on `threads`; not
 * finite if any element is not. */
double ib_gradient_sum(float *const *parts, size_t k, float *out, size_t n, int threads);

#ifdef __cplusplus
}
#endif
#endif
