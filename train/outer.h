/* The outer optimiser of clusters and pools: what moves the shared weights after workers have trained for a
 * while by themselves. The mean of their differences from the shared weights, d, takes the part of a negative
 * gradient (DiLoCo: Douillard et al. 2023, arXiv:2311.08105). */
#ifndef IB_TRAIN_OUTER_H
#define IB_TRAIN_OUTER_H

#include <stdbool.h>
#include <stddef.h>
#include "train/state.h"
#include "train/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_outer {
    const char *name, *help;
    double rate, momentum; /* rate > 0; momentum in [0,1) */
    bool momenta;          /* keeps an array m [P], zeros at the start */
} ib_outer;

/* plain: x += rate d, rate 1. nesterov: m = momentum m + d, x += rate (d + momentum m), 0.7 and 0.9. */
extern const ib_outer ib_outers[]; /* ends with a NULL name */
/* A copy to change. IB_E_ARGUMENT with the list for an unknown name. */
int ib_outer_find(ib_outer *out, const char *name, ib_error *err);
/* The one that the options ask for, and its array in the state if it keeps one. */
int ib_outer_choose(ib_outer *out, const ib_train_options *o, ib_state *st, ib_error *err);
/* Element by element. x, d, m: [n]; m may be NULL where none is kept. */
void ib_outer_step(const ib_outer *o, float *x, const float *d, float *m, size_t n);

#ifdef __cplusplus
}
#endif
#endif
