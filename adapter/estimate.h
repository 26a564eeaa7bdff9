/* What a model with a motion head starts from, for those who compute the rest elsewhere (python/inbetween/):
 * all that ib_adapter_predict makes of two keyframes of the patch space before its trunk runs. Nothing in it
 * has parameters, and no gradient goes back through it. docs/model.md says what becomes of it. */
#ifndef IB_ADAPTER_ESTIMATE_H
#define IB_ADAPTER_ESTIMATE_H

#include <stddef.h>
#include "base/api.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    IB_ESTIMATE_HYPOTHESES = 3, /* either view's, the patches' */
    IB_ESTIMATE_SEEN = 74       /* what the trunk sees of it, per token */
};

/* Memory for keyframes of one size. One thread at a time. */
typedef struct ib_estimate ib_estimate;
/* rows, cols: tokens, 1..8192. IB_E_ARGUMENT, IB_E_MEMORY. */
IB_API int ib_estimate_create(ib_estimate **out, int rows, int cols, ib_error *err);
IB_API void ib_estimate_free(ib_estimate **e);

/* Floats of a keyframe's splines: planes Y [8 rows, 8 cols], U and V [4 rows, 4 cols], one after the other,
 * each with a margin of one all round. */
IB_API size_t ib_estimate_spline_floats(int rows, int cols);

/* Where the parts go: the caller's memory, all of it. T = rows cols tokens, D = 96, cells [2 rows, 2 cols] of
 * 4x4 luma px. */
typedef struct ib_estimate_parts {
    float *slerp;               /* [T,D], that of the space (latent/geometry.h) */
    float *carried0, *carried1; /* [T,D] the keyframes carried along the prior */
    float *hypothesis;          /* [IB_ESTIMATE_HYPOTHESES,T,D] */
    float *seen;                /* [T,IB_ESTIMATE_SEEN] in about unit range */
    float *gate;                /* [cells] in [0,1]: how far the keyframes differ near a cell */
    float *prior;               /* [2,cells] x, then y: px over the whole gap */
    float *spline0, *spline1;   /* [ib_estimate_spline_floats] of the keyframes, cubic B-splines */
} ib_estimate_parts;

/* z0, z1: [T,D], finite; t in (0,1/2]: a later place is that of the keyframes exchanged and 1 - t.
 * IB_E_ARGUMENT for another t. */
IB_API int ib_estimate_make(ib_estimate *e, const float *z0, const float *z1, float t,
                            const ib_estimate_parts *out, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
