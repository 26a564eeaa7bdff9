/* Inside train only: one session of a run, from opening to the last file written. */
#ifndef IB_TRAIN_SESSION_H
#define IB_TRAIN_SESSION_H

#include <pthread.h>
#include "nn/gemm.h"
#include "train/augment.h"
#include "train/loader.h"
#include "train/plan.h"
#include "train/rundir.h"
#include "train/schedule.h"
#include "train/team.h"
#include "train/trial.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_exchange ib_exchange; /* exchange.h */

typedef struct ib_session {
    const ib_train_options *o;
    int threads;
    double begun;  /* monotonic seconds */
    double before; /* seconds of training before this session */
    int64_t first_step, skipped, skipped_in_a_row;
    bool finished;      /* the budget was used up before this session began */
    const char *preset; /* of the run */
    char *init_file;    /* of the adapter that was named to begin with, owned; NULL: none was */
    char init[65];      /* SHA-256 of it; empty: none */
    ib_error init_not;  /* why that does not fit, where it need not */
    ib_rundir dir;
    ib_state state; /* weights and means are its arrays */
    const ib_optimiser *optimiser;
    float *optimiser_scratch; /* ib_optimiser_scratch floats; NULL: it needs none */
    ib_dataset *data;
    ib_gemm_threads blas;    /* as it was before the session */
    pthread_mutex_t reading; /* the lock on `data` */
    ib_sampler *sampler;
    ib_loader *loader;
    ib_adapter *adapter; /* learns; its parameters are copied into the state when that is written */
    ib_adapter *mean;    /* carries the EMA for validation and for the file */
    ib_team *team;
    ib_exchange *exchange; /* NULL: none */
    int rank,
        ranks; /* of a cluster; 0, 1. Rank 0 alone writes to the run's directory, validates and speaks */
    bool over; /* some rank's budget is used up, or it was stopped: all end here */
    bool interrupted; /* some rank was asked to stop */
    float *mean_base; /* [P] the EMA at the last exchange; NULL without */
    double mean_kept; /* product of the decays since */
    const ib_sample **batch;
    ib_trial *trial; /* validation in other spaces than the pictures'; NULL: none */
    int valid_gap;
    double valid_skill, grad_norm, rate;
    double best_skill; /* valid_skill of the best weights */
    /* when what is due: seconds of training */
    double next_log, next_state, next_valid, next_strip;
    int64_t valid_every; /* validation by steps instead: a run of so many steps is the same on any machine */
    bool told_apart;     /* that training runs away from validation */
    double valid_cost, save_cost; /* seconds that the last one took */
    int64_t logged_samples;
    double logged_seconds, logged_skill;
    double speed; /* samples per second, smoothed */
} ib_session;

/* Opens data, directory, model and threads; everything that can be refused is refused here. */
int ib_session_open(ib_session *s, const ib_train_options *o, ib_error *err);
void ib_session_close(ib_session *s);
double ib_session_seconds(const ib_session *s); /* of training, all sessions together */
/* A sentence to the caller's message function. */
__attribute__((format(printf, 2, 3))) void ib_session_say(const ib_session *s, const char *fmt, ...);

/* begin.c: the file that `init` names. */
int ib_session_find_init(ib_session *s, ib_error *err);
/* The preset of the run, and the adapter that it is to begin with or, resumed, was begun with; before the
 * data is opened. */
int ib_session_open_init(ib_session *s, ib_error *err);
/* The learning adapter of a run that begins, and its config; after the data was opened. */
int ib_session_begin_model(ib_session *s, ib_error *err);

/* save.c: state and adapter. */
int ib_session_save(ib_session *s, ib_error *err);
/* Copies the EMA into s->mean, ready to predict. */
void ib_session_use_mean(ib_session *s);
/* The same with what is exported: the weights that did best on validation, at their strengths. */
void ib_session_use_best(ib_session *s);

/* validate.c */
/* Validates the mean, keeps it if it is the best so far, and sets when the next one is due. */
int ib_session_validate(ib_session *s, ib_error *err);
/* At the end of a run: strengths of a model of pictures; says in words what was found. */
int ib_session_conclude(ib_session *s, ib_error *err);
/* Whether validation has not got better for as long as the user's patience lasts. */
bool ib_session_lost_patience(const ib_session *s);

#ifdef __cplusplus
}
#endif
#endif
