/* Errors in latent space on the windows of one latent file: what `eval` tabulates and what training validates
 * with, so that the two never disagree. */
#ifndef IB_EVAL_SCORE_H
#define IB_EVAL_SCORE_H

#include "base/api.h"
#include "adapter/adapter.h"
#include "latent/latent_file.h"
#include "latent/windows.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sums over targets (every frame strictly between the keyframes of every window). */
typedef struct ib_score_sums {
    double err_model, err_slerp, err_lerp; /* sum of squared differences over [T,D] */
    size_t windows, targets, values;       /* values: of all targets, T D each */
} ib_score_sums;

/* a NULL: the model is slerp. threads: workers over windows (results do not depend on it). At a gap for which
 * the file has guides (latent/guides.h) the windows that have them are judged, as `eval` does, and an adapter
 * that was trained with guides gets them; IB_E_MISMATCH if it was with those of another pixel model. At other
 * gaps there are none. */
IB_API int ib_score_latents(const ib_adapter *a, ib_latent_file *f, int gap, int max_windows, int threads,
                            ib_score_sums *out, ib_error *err);

/* 1 - err_model / err_slerp, of squared errors over `values` values of latents (1 if they are means per
 * value); NaN where slerp's is below IB_ERROR_FLOOR a value: nothing moves there. All skills are this one. */
IB_API double ib_skill(double err_model, double err_slerp, double values);
/* The same of sums. */
IB_API double ib_score_skill(const ib_score_sums *s);

#ifdef __cplusplus
}
#endif
#endif
