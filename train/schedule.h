/* The learning rate over a run: linear warm-up, then half a cosine down to a small rest. */
#ifndef IB_TRAIN_SCHEDULE_H
#define IB_TRAIN_SCHEDULE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is left of the peak at the end. */
#define IB_SCHEDULE_REST 0.01

typedef struct ib_schedule {
    double peak;          /* > 0 */
    int64_t warmup_steps; /* 0: none */
} ib_schedule;

/* The rate of update number `step` (from 0) at `progress` in [0,1] of the run (steps done / steps, or seconds
 * / seconds; clamped). The warm-up multiplies the cosine, so there is no kink where it ends. */
double ib_schedule_rate(const ib_schedule *s, int64_t step, double progress);

/* Decay of the running mean of the weights after `updates` updates: `decay`, but (1+n)/(10+n) while that is
 * smaller, so that the random beginning is forgotten quickly. */
double ib_ema_decay(double decay, int64_t updates);

#ifdef __cplusplus
}
#endif
#endif
