/* Trains a judge: latent files in, a judge and what it is worth out. */
#ifndef IB_SEARCH_JUDGE_TRAIN_H
#define IB_SEARCH_JUDGE_TRAIN_H

#include "base/file.h"
#include "base/stop.h"
#include "search/judge.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_judge_training {
    const ib_paths *latents; /* files or directories of them, of one space */
    const char *adapter;     /* file whose answers are judged; NULL: slerp's */
    const char *kind;        /* search/judge_loss.h; NULL: the first */
    size_t samples;          /* places that are looked at, of all videos; default 60000, 7 kB each */
    int epochs;              /* times that they are gone through; default 8 */
    double valid_part;       /* of the videos, (0,1): tried on, at least one; default 0.1 */
    const ib_paths *held; /* other videos, as latents are given, that nothing is chosen by: the report is of
                             them; NULL: of those that it is tried on */
    uint64_t seed;
    int threads;
    const atomic_int *stop;
    void (*progress)(void *user, double fraction, const char *doing);
    void *user;
} ib_judge_training;

/* On videos that it did not learn from. Skills are of single places, with neighbours as a search has them. */
typedef struct ib_judge_report {
    size_t train_videos, valid_videos, train_samples, valid_samples, parameters;
    size_t held_videos, held_samples; /* 0: the rest is of those that it was tried on */
    double accuracy;                  /* of two candidates it prefers the nearer one; 0.5 is chance */
    double accuracy_all;              /* the same with wrong frames and the true one among them */
    double truth_first;               /* share of places where the true frame scores above every candidate */
    double calibration; /* mean difference of how sure it is of a pair and how often it is right, ten bins */
    double
        still_fooled; /* where the adapter is nearer than the still frame: share that it prefers the latter */
    double slerp_fooled; /* the same of slerp */
    double own, best, mean, condensed,
        oracle; /* skill of the adapter, of the candidate that it prefers, of the
                   plain mean, of the weighted mean, of the nearest candidate */
} ib_judge_report;

void ib_judge_training_defaults(ib_judge_training *o);
/* *out is the caller's. Same seed, same bits. Errors: IB_E_ARGUMENT; IB_E_EMPTY for fewer than two videos;
 * IB_E_MISMATCH; IB_E_INTERRUPTED; those of opening files. */
int ib_judge_train(ib_search_judge **out, const ib_judge_training *o, ib_judge_report *report, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
