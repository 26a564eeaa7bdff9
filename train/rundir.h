/* A run's directory: who may write to it, and its log. */
#ifndef IB_TRAIN_RUNDIR_H
#define IB_TRAIN_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_rundir {
    char *path, *state, *adapter, *log, *samples, *states; /* owned names */
    int lock; /* descriptor; the lock ends with the process, however it ends */
    FILE *csv;
} ib_rundir;

/* Names only; touches nothing. */
int ib_rundir_name(ib_rundir *r, const char *path, ib_error *err);
/* Makes the directory, takes its lock (IB_E_IO with a sentence if another process trains there) and clears
 * away what a killed process left half-written. */
int ib_rundir_lock(ib_rundir *r, ib_error *err);
/* For a run that begins: IB_E_ARGUMENT if the directory holds an adapter, a log, samples or kept states of
 * other making, which the run would replace. A log of ours alone, of a run that was killed before it saved,
 * is none. */
int ib_rundir_check_new(const ib_rundir *r, ib_error *err);
/* IB_E_ARGUMENT if a file that the run writes is one of the inputs (ib_output_check; of folders their latent
 * files). */
int ib_rundir_check_inputs(const ib_rundir *r, const char *const *inputs, size_t n, ib_error *err);
/* Opens log.csv for appending. Lines of steps after `step` (of a session whose end was lost) are dropped; the
 * header is written if the file is new. */
int ib_rundir_open_log(ib_rundir *r, int64_t step, ib_error *err);
/* One line; NaN leaves its field empty. */
typedef struct ib_log_line {
    int64_t step, samples;
    double seconds, rate, loss, grad_norm, train_skill, valid_skill, samples_per_second;
} ib_log_line;
int ib_rundir_log(ib_rundir *r, const ib_log_line *line, ib_error *err);
void ib_rundir_close(ib_rundir *r); /* accepts a zeroed one */

#ifdef __cplusplus
}
#endif
#endif
