/* Strengths of a model that is made of several (adapter/adapter.h has what they are). Not installed. */
#ifndef IB_ADAPTER_STRENGTHS_H
#define IB_ADAPTER_STRENGTHS_H

#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The lowest of all at every gap: what was found to be safe for each of them. s: [n], n >= 1; one without
 * bins counts as all 1. The bins are those of all and, where these end at different gaps, the gap at which
 * the first to end has fallen to 0 (`pictures`: they do not fall); between two of them the result is never
 * above any of s. Where that makes more than IB_STRENGTH_BINS, as many are spaced evenly in the logarithm of
 * the gap, each with the lowest value between its neighbours. The order of s does not matter; equal ones give
 * themselves, to the bit. out may be one of s. */
void ib_strengths_lowest(ib_strengths *out, const ib_strengths *const *s, size_t n, bool pictures);

#ifdef __cplusplus
}
#endif
#endif
