/* Inside the schedulers only. */
#ifndef IB_DIFFUSION_SCHEDULER_PRIVATE_H
#define IB_DIFFUSION_SCHEDULER_PRIVATE_H

#include "diffusion/scheduler.h"

enum { IB_HISTORY = 5 };

struct ib_scheduler {
    ib_scheduler_config c;
    size_t steps, evaluations;
    float alphas[IB_TRAIN_STEPS];     /* cumulative product of 1 - beta */
    double time[IB_TRAIN_STEPS + 2];  /* [evaluations] */
    double sigma[IB_TRAIN_STEPS + 2]; /* [evaluations + 1], Euler and DPM++ */
    size_t n;                         /* of x */
    size_t done;                      /* steps since begin */
    float *memory;                    /* [IB_HISTORY,n] */
    float *history[IB_HISTORY];       /* answers (PNDM) or estimates (DPM++), newest first; PNDM: [4] is x */
};

#endif
