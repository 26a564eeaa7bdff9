/* state.h5: everything that a run needs to go on as if it had never stopped (layout in docs/files.md).
 *
 * The file carries the SHA-256 of itself and is checked against it before HDF5 looks at it, so damage of any
 * kind is refused with a sentence. It is written beside and renamed: whatever happens, the state before it
 * stays. */
#ifndef IB_TRAIN_STATE_H
#define IB_TRAIN_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include "adapter/adapter_file.h"
#include "base/seal.h"
#include "train/optimiser.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Names what a training draws and how: the sampler's and the augmentation's constants, dropout, the streams
 * of random numbers. A state of another procedure is refused, since the run would not go on as it began; it
 * changes whenever any of them does. */
#define IB_TRAINING_PROCEDURE "training:2"

/* What must stay the same for a run to be the same run. */
typedef struct ib_run_plan {
    char preset[32], optimiser[32];
    int64_t batch;
    double rate, weight_decay, clip_norm, ema_decay;
    int64_t warmup_steps;
    int64_t gap_min, gap_max;
    int64_t crop_width, crop_height;
    double valid_fraction;
    int64_t seed;
    char data[65]; /* ib_dataset_identity */
    char init[65],
        init_name[64]; /* SHA-256 and name of the adapter that it began with; empty: random weights */
    char judge[65];    /* SHA-256 of the judge that chose its targets; empty: none */
} ib_run_plan;

/* A worker's place in its pool. */
typedef struct ib_pool_place {
    char name[64], token[33]; /* of the worker and of its run; empty: the run has not been in a pool */
    int64_t serial;           /* of its last publication */
    int64_t round, fresh;     /* of its last average, and samples since */
    int64_t stream;           /* its sample number k is sample stream + k of the seed */
} ib_pool_place;

typedef struct ib_valid_point {
    double step, seconds, skill;
} ib_valid_point;

/* Sample number `pool.stream + samples` is the next one to be drawn; all randomness of a sample comes from
 * (seed, its number), so these two are the whole state of the random numbers and of the order of samples. */
typedef struct ib_state {
    ib_adapter_config config;
    ib_run_plan plan;
    ib_pool_place pool;
    int64_t steps_total;   /* the budget: 0 if it is time */
    double minutes_total;  /* 0 if it is steps */
    int64_t step, updates; /* updates: steps that changed the weights, that is, whose gradient was finite */
    int64_t samples;
    int64_t others_samples;        /* that the other ranks of a cluster have learned from */
    double seconds;                /* of training so far, all sessions together */
    double loss;                   /* smoothed */
    double err_model, err_slerp;   /* smoothed means per value, for the skill on training samples */
    size_t params;                 /* P */
    float *weights, *ema;          /* [P], owned */
    int moments;                   /* of the optimiser */
    float *moment[IB_MAX_MOMENTS]; /* [P] each, owned */
    float *outer;                  /* [P] moments of a cluster's outer optimiser, owned; NULL: none */
    /* What did best on validation and is exported; best is NULL before the first validation */
    float *best;                       /* [P] means of weights, owned */
    double best_score;                 /* ib_trial_score, or in the patch space the skill */
    int64_t best_step, since_best;     /* since_best: validations that were not better */
    char strengths[IB_STRENGTHS_TEXT]; /* fitted to the best weights; empty: none */
    size_t valids;                     /* length of the history of validation */
    ib_valid_point *valid;             /* [valids], owned */
} ib_state;

/* Arrays for a run that begins: zeros. */
int ib_state_alloc(ib_state *s, size_t params, int moments, ib_error *err);
int ib_state_alloc_outer(ib_state *s, ib_error *err);
int ib_state_alloc_best(ib_state *s, ib_error *err);
void ib_state_free(ib_state *s);
int ib_state_add_valid(ib_state *s, const ib_valid_point *p, ib_error *err);

/* IB_E_NONFINITE, and no file, if a weight, mean or moment is not finite. */
int ib_state_save(const ib_state *s, const char *path, ib_error *err);
/* Fills *s (freed by the caller; empty after a failure). IB_E_IO if there is no such file, IB_E_FORMAT if it
 * is damaged or something else, IB_E_UNSUPPORTED if it is of a later version. */
int ib_state_load(ib_state *s, const char *path, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
