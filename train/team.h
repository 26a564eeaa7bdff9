/* The threads that compute: a batch of samples in, one gradient out. Samples are dealt out to threads by
 * their place in the batch and gradients are added thread by thread, so the same batch on the same number of
 * threads gives the same bits. */
#ifndef IB_TRAIN_TEAM_H
#define IB_TRAIN_TEAM_H

#include "adapter/adapter.h"
#include "train/augment.h"
#include "train/loader.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sums over a batch. */
typedef struct ib_batch_result {
    double loss;                 /* mean over samples */
    double err_model, err_slerp; /* mean squares per value of a latent */
    double norm;                 /* of the gradient; not finite if any of it is not */
    const float *gradient;       /* [P], of the mean loss; the team's, until the next batch */
} ib_batch_result;

typedef struct ib_team ib_team;
/* The adapter and the data set must outlive the team. batch: most samples at once. */
int ib_team_create(ib_team **out, const ib_adapter *a, const ib_dataset *d, const ib_augment_options *augment,
                   float dropout, uint64_t seed, int threads, size_t batch, ib_error *err);
void ib_team_free(ib_team **t);
/* unit: of the loss (ib_adapter_learn). Losses that are not finite are a result, not an error. */
int ib_team_learn(ib_team *t, const ib_sample *const *samples, size_t n, double unit, ib_batch_result *result,
                  ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
