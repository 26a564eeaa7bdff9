/* Strengths of a model that is made of several (adapter/adapter.h has what they are). Not installed. */
#ifndef IB_ADAPTER_STRENGTHS_H
#define IB_ADAPTER_STRENGTHS_H

#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The lowest strengths of some models of one architecture at every gap: what was found to be safe for each of
 * them. c: [n], n >= 1. Without bins a model counts as 1, one of pictures as its trust. The bins are those of
 * all and, where these end at different gaps, the gap at which the first to end has fallen to 0 (pictures' do
 * not fall); between two of them the result is never above any of c. Where that makes more than
 * IB_STRENGTH_BINS, as many are spaced evenly in the logarithm of the gap, each with the lowest value between
 * its neighbours. The order of c does not matter; equal ones give themselves, to the bit. */
void ib_strengths_lowest(ib_strengths *out, const ib_adapter_config *const *c, size_t n);

#ifdef __cplusplus
}
#endif
#endif
