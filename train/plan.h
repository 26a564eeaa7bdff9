/* From options to a plan: presets, defaults, and what a resumed run may not change. */
#ifndef IB_TRAIN_PLAN_H
#define IB_TRAIN_PLAN_H

#include "train/state.h"
#include "train/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a preset decides besides the model. */
typedef struct ib_train_preset {
    const char *name;
    int batch_grid, batch_single;
    size_t cache_bytes; /* of frames */
    int open_files;
} ib_train_preset;
const ib_train_preset *ib_train_preset_find(const char *name,
                                            ib_error *err); /* NULL: IB_E_ARGUMENT with the list */

/* Ranges of everything that can be judged without the data. `resuming`: the budget may be left
 * to the state. */
int ib_train_check(const ib_train_options *o, ib_error *err);
/* The plan of a run that begins, with the preset's batch; `data`, `init` and `init_name` are filled in by
 * others. */
int ib_plan_begin(ib_run_plan *plan, const ib_train_options *o, const char *preset, ib_layout layout,
                  ib_error *err);
/* IB_E_MISMATCH naming the first option that was given and differs from the run's. */
int ib_plan_check(const ib_run_plan *plan, const ib_train_options *o, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
