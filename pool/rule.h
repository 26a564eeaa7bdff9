/* How a pool makes one model of several of which some may be wrong (docs/pools.md).
 *
 * Every voice counts by its fresh samples, but by no more than four times the median voice: a claim is not a
 * proof. The centre is the median of each weight over the voices, which a minority cannot move beyond what
 * the others say; R is the median distance from it. Who has learned from more samples may be further away: by
 * g = sqrt(fresh / median fresh), at least 1 and at most 4.
 *  - Further than 3 g R (but no more than the larger of 3 R and half the centre's norm, whatever g): left
 * out, IB_VOICE_FAR. Random weights, other magnitudes, other signs, other beginnings.
 *  - Away from where the centre went since the anchor, cosine below -1/4: left out, IB_VOICE_AWAY.
 *  - Further than 2 g R: taken, shortened to that distance (clipping around a centre, Karimireddy et al.
 * 2021, arXiv:2012.10333). With two voices there is no majority, and the first, the caller's own, is
 * believed: the other is left out if it is further from it than three times its own way from the anchor
 * (times g) and than a quarter of the anchor's norm.
 *
 * The result does not depend on the order of three voices or more, to the bit. */
#ifndef IB_POOL_RULE_H
#define IB_POOL_RULE_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ib_verdict { IB_VOICE_TAKEN, IB_VOICE_SHORTENED, IB_VOICE_FAR, IB_VOICE_AWAY } ib_verdict;

typedef struct ib_voice {
    const float *weights; /* [n], finite */
    int64_t fresh;        /* samples, >= 0 */
    /* filled: */
    ib_verdict verdict;
    double share;           /* in the average, 0..1 */
    double distance, usual; /* from the centre; R g, what is usual there */
    double cosine;          /* of its way and the centre's since the anchor; NaN without anchor */
} ib_voice;

/* v: [k], 1 <= k < IB_AVERAGE_MOST; anchor: [n], the last common average, or NULL; out: [n], none of the
 * inputs. IB_E_EMPTY if nobody is left; out is then undefined. */
int ib_pool_average(ib_voice *v, size_t k, const float *anchor, float *out, size_t n, ib_error *err);
/* "its weights are 12 times as far ..." for what was left out or shortened. */
void ib_voice_explain(const ib_voice *v, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
