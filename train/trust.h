/* How far a model of pictures is to be followed: its strengths by gap. Such a model's answer is not linear in
 * them, so a ladder of strengths is tried on validation windows. */
#ifndef IB_TRAIN_TRUST_H
#define IB_TRAIN_TRUST_H

#include "adapter/adapter.h"
#include "train/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tries the trust that a's file says (IB_ADAPTER_TRUST for new ones) and strengths 0, 0.2 .. 1 at gaps of 2,
 * 4, 8 and 16 frames within gap_min..gap_max, on the frame in the middle of two windows of at most 16
 * validating clips. A gap's strength lies between that trust and the one of the best mean skill, as far
 * towards the best as its gain is certain (ib_certainty, over clips): few clips change nothing, nor does a
 * gain below 1e-5. Strength 0 is the untrained model. out->bins is 0 where fewer than two clips have windows.
 * a's strengths and trust are changed. Reads the data set. */
int ib_trust_fit(ib_adapter *a, ib_dataset *d, int gap_min, int gap_max, int threads, ib_strengths *out,
                 ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
