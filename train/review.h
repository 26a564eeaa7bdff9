/* Looking at a run while it goes: validation on other videos and film strips. */
#ifndef IB_TRAIN_REVIEW_H
#define IB_TRAIN_REVIEW_H

#include "adapter/adapter.h"
#include "train/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Mean over the validating clips of the skill at `gap`: every clip counts once. At most 32 clips, evenly
 * spread, and a few windows of each; the same ones every time. NaN if no clip holds such a window. Reads the
 * data set. */
int ib_review_skill(const ib_adapter *a, ib_dataset *d, int gap, int threads, double *skill, ib_error *err);

/* A film strip of up to three clips (validating ones, or training ones if there are none): truth, slerp and
 * model over the window with the largest slerp error among a few. Nothing, and no error, where the space has
 * no pictures or no clip has such a window. Reads the data set. */
int ib_review_strip(const ib_adapter *a, ib_dataset *d, int gap, const char *path, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
