/* Training: latent files in, a run directory out. */
#ifndef IB_TRAIN_TRAIN_H
#define IB_TRAIN_TRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/api.h"
#include "adapter/adapter.h"
#include "base/file.h"
#include "base/stop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_train_progress {
    int64_t step, steps;          /* steps: estimated when the budget is time */
    double seconds, seconds_left; /* of training, all sessions of the run together */
    double loss;                  /* smoothed */
    double valid_skill;           /* NaN before the first validation */
    double samples_per_second;
} ib_train_progress;

/* Zero (or NULL, or below zero where it says so) stands for the default; for a resumed run, for what the run
 * started with. A resumed run refuses any other value of what defines it, by name: that is everything above
 * `minutes` but `run` and `resume`. */
typedef struct ib_train_options {
    const ib_paths *latents; /* training files, or directories of them */
    const ib_paths
        *valid; /* validation files; NULL or empty: split off `valid_fraction` of the training *videos* */
    double valid_fraction; /* [0,1); < 0: 0.1, at least one video if there are three or more */
    const char *run;       /* directory; created */
    bool resume;
    bool overwrite; /* a new run replaces an adapter, a log or kept states that lie in its directory, not a
                       run's state */
    const char *preset; /* "toaster", "default", "large": model, batch, memory */
    /* Adapter whose weights the run begins with: a file, "default" (adapter/named.h), or "none", random ones
     * by the seed. NULL: random ones, or of a resumed run what it began with. Of the data's space, or
     * IB_E_MISMATCH. Its architecture is the run's: a preset that is given must be of the same one, one that
     * is not given is the preset of that architecture. */
    const char *init;
    /* Only where it fits: random weights, and the preset is what it would be, where the adapter cannot be
     * opened or is of another space or architecture. Not for a resumed run. A message says in the space of
     * pictures which it was. */
    bool init_if_fits;
    const char *optimiser; /* "muon", "adamw", "sgd", "nesterov"; default muon for grids, adamw otherwise */
    int batch;             /* samples per step; default by the preset */
    double lr;             /* peak learning rate; default by the optimiser */
    double weight_decay;   /* < 0: by the optimiser */
    double clip_norm;      /* largest norm of the gradient; 0: no clipping; < 0: default */
    double ema_decay;      /* of the mean of weights, [0,1); < 0: default */
    int64_t warmup_steps;  /* < 0: default */
    int gap_min, gap_max;  /* frames, 2 <= min <= max; 0, 0: 2..16 */
    int crop_width; /* luma samples, multiples of 8: train on parts of frames (patch space). 0, 0: whole
                       frames */
    int crop_height;
    bool no_guide;  /* as if the latent files had no guides */
    uint64_t seed;  /* 0: 1 */
    double minutes; /* > 0, or */
    int64_t steps;  /* > 0: one of the two (a resumed run may keep its own). The total of all sessions of the
                       run */
    int threads;    /* 0: as many as cores. Equal bits need equal threads */
    double state_seconds; /* between states, default 60 */
    int64_t state_steps;  /* a state also every N steps; 0: none */
    int keep_states;      /* states kept in RUN/states, for averages; 0: none */
    double log_seconds;   /* between lines of log.csv, default 5 */
    int patience;         /* a run ends after so many validations in a row without a better one; 0: never */
    double valid_seconds; /* between validations, default 60; seldom enough to take at most 3 % of the time */
    /* What an average with others, in a pool or a cluster, makes of the weights. May differ from session to
     * session. */
    const char *outer;     /* outer optimiser: "nesterov" (NULL) or "plain", see train/outer.h */
    double outer_rate;     /* 0: the optimiser's own */
    double outer_momentum; /* [0,1); < 0: the optimiser's own */
    bool exchange_half;    /* weights (a pool) or differences (a cluster) are sent as IEEE halves */
    /* A pool: a folder through which workers share what they learn, see pool/pool.h. May differ from session
     * to session. */
    const char *pool;      /* the folder; NULL: none */
    const char *pool_name; /* of this worker; NULL: the host's and a few letters */
    double pool_minutes;   /* between publications; 0: 10 */
    int64_t pool_steps;    /* > 0: instead, and training waits for the folder, so that runs can be repeated */
    int64_t pool_stale;    /* what is more rounds behind is left out; 0: 8 */
    /* A cluster: one process for each rank under mpirun, all with the same options. May differ from session
     * to session. */
    bool mpi; /* also if this is the only process; else found out from the surroundings, unless there is a
                 pool */
    int64_t sync_every; /* steps between exchanges; 0: 100 */
    bool shard_samples; /* all ranks train on all videos and take turns; else every video is one rank's */
    const char *judge; /* SHA-256 of the judge that chose targets, for the adapter's metadata; NULL: none, or,
                          of a run that is resumed, its own */
    const atomic_int *stop; /* non-zero: end cleanly, state kept, IB_E_INTERRUPTED; may be NULL */
    /* Called from the training thread; may be NULL. */
    void (*progress)(void *user, const ib_train_progress *p);
    void (*message)(void *user, const char *sentence);
    void *user;
} ib_train_options;

/* What came of it. */
typedef struct ib_train_result {
    int64_t step, samples, skipped; /* skipped: steps of this session without a finite gradient */
    double seconds;                 /* of training, all sessions together */
    double loss;                    /* smoothed; NaN before the first step */
    double valid_skill;             /* of the weights that are exported; NaN if there is none */
    double samples_per_second;      /* of this session, validation and saving included */
    size_t parameters, train_videos, valid_videos;
    int rank, ranks;                            /* of a cluster; 0, 1 */
    int64_t exchanges, sent_bytes, taken_bytes; /* of this session: averages with others, bytes */
} ib_train_result;

IB_API void ib_train_defaults(ib_train_options *o);
/* result may be NULL; filled as far as training came. After IB_E_INTERRUPTED and IB_E_NONFINITE the run can
 * be resumed from its last state. Other errors before the first step leave no new directory behind. */
IB_API int ib_train(const ib_train_options *o, ib_train_result *result, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
