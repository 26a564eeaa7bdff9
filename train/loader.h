/* A thread that draws samples ahead of the trainer, so that reading and unpacking cost it no time. */
#ifndef IB_TRAIN_LOADER_H
#define IB_TRAIN_LOADER_H

#include <pthread.h>
#include "train/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_sample {
    uint64_t index; /* number of the sample in the run */
    ib_window window;
    const ib_shape *shape; /* of the clip */
    uint16_t *h;           /* [ib_sampler_frames,T,D] halves: z0, z1, target, guide */
} ib_sample;

/* Which samples of the seed a loader draws: blocks of `block` numbers, the first from `first`, each `stride`
 * after the last. By itself a run takes one after the other (stride = block); ranks that share one order take
 * turns. */
typedef struct ib_sample_order {
    uint64_t first, block, stride; /* block >= 1 */
} ib_sample_order;

typedef struct ib_loader ib_loader;
/* Begins with the first sample of `order`; keeps up to `depth` samples ready. The thread holds `lock` while
 * it reads; others must hold it when they touch the data set. Data set and sampler must outlive the
 * loader. */
int ib_loader_start(ib_loader **out, ib_dataset *d, const ib_sampler *s, pthread_mutex_t *lock,
                    const ib_sample_order *order, size_t depth, ib_error *err);
/* Waits for the next n <= depth samples and lends them until ib_loader_release; or passes on the thread's
 * error. The lock must not be held. samples: room for n pointers. */
int ib_loader_take(ib_loader *l, size_t n, const ib_sample **samples, ib_error *err);
/* Gives back the n samples of the last take. */
void ib_loader_release(ib_loader *l, size_t n);
/* Ends the thread. The lock must not be held. */
void ib_loader_stop(ib_loader **l);

#ifdef __cplusplus
}
#endif
#endif
