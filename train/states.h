/* The states that a run keeps beside its latest one: RUN/states/step-NNNNNNNNNN.h5, each a whole state.h5. */
#ifndef IB_TRAIN_STATES_H
#define IB_TRAIN_STATES_H

#include "base/file.h"
#include "train/state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps the state that was just written to `path` in the directory `dir`, which is made: a second name for
 * the same file where the file system can do that, else another copy. Then removes all but the `most` >= 1
 * latest ones, and those of later steps, which belong to an end of the run that was lost. */
int ib_states_keep(const char *dir, const ib_state *s, const char *path, size_t most, ib_error *err);

/* Adds the states in `dir` in the order of their steps; nothing, and no error, if there is
 * no such directory. */
int ib_states_list(ib_paths *l, const char *dir, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
