/* What a model is worth on videos that it has not learned from, in spaces other than the pictures': its parts
 * (ib_adapter_parts) against the truth on validation windows, and the strengths at which they do best there.
 *
 * With e = truth - slerp, u = what the guide adds and v the correction, the squared error at strengths a and
 * b is |e - a u - b v|^2, so a window's six products of e, u and v tell the error at any strengths. A video's
 * products are divided by its |e|^2: its gain is then its skill. */
#ifndef IB_TRAIN_TRIAL_H
#define IB_TRAIN_TRIAL_H

#include "adapter/adapter.h"
#include "train/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The validating videos, or one of two halves of them: weights are chosen on one, strengths fitted on the
 * other. With fewer than four videos there are no halves: windows take the part of videos. */
typedef enum ib_half { IB_HALF_CHOOSE, IB_HALF_FIT, IB_HALF_BOTH } ib_half;

typedef struct ib_trial ib_trial;

/* Windows of the validating clips, a few of each clip and gap: those of their guides if `guided`, and gaps of
 * 2, 4, 8 ... frames within gap_min..gap_max. IB_E_EMPTY never: without any window the trial is empty. */
int ib_trial_create(ib_trial **out, const ib_dataset *d, bool guided, int gap_min, int gap_max,
                    ib_error *err);
void ib_trial_free(ib_trial **t);
bool ib_trial_empty(const ib_trial *t);
/* Whether there are videos enough for halves of them. */
bool ib_trial_by_videos(const ib_trial *t);

/* The products of an adapter of the data's space, without a motion head. Reads the data set. The same bits
 * for any number of threads. */
int ib_trial_run(ib_trial *t, const ib_adapter *a, ib_dataset *d, int threads, ib_error *err);

/* What is certain of a gain, 0..1: max(0, 1 - (c s / m)^2), positive-part James-Stein, for gains of n videos
 * with the mean m and standard error s, c = 2 + 4 / (n - 1). sum, squares: of the gains and their squares. */
double ib_certainty(double sum, double squares, size_t n);

/* The strengths that gain most on a half, those of guides on both, each times its ib_certainty; a video's
 * gain is taken at the strength that the others give. What does not gain gets 0. */
void ib_trial_fit(const ib_trial *t, ib_half half, ib_strengths *out);
/* Mean skill over the gaps at these strengths, with guides where there are any, else without. NaN: empty. */
double ib_trial_skill(const ib_trial *t, ib_half half, const ib_strengths *s);
/* The same of one gap, `bin` of the strengths that were fitted; guided or not. NaN where there is none. */
double ib_trial_skill_at(const ib_trial *t, ib_half half, const ib_strengths *s, int bin, bool guided);
/* For choosing among weights: mean over gaps, with guides and without, at the half's own best strengths. */
double ib_trial_score(const ib_trial *t, ib_half half);

#ifdef __cplusplus
}
#endif
#endif
