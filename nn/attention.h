/* Multi-head self-attention between the queries, keys and values of one sequence: softmax(q k^T /
 * sqrt(width)) v, head by head. The maps before and after it are ib_linear's. The backward computes the
 * weights again instead of keeping them: memory is that of the tokens, not of their pairs. */
#ifndef IB_NN_ATTENTION_H
#define IB_NN_ATTENTION_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Floats of scratch that forward and backward need. */
size_t ib_attention_scratch(size_t tokens);

void ib_attention(
    const float *qkv, /* [sequences,T,3C]: each token's query, key and value, head after head in each */
    size_t sequences, size_t tokens, size_t channels, size_t heads, /* heads divides channels */
    float *scratch, float *y /* [sequences,T,C] */);
void ib_attention_backward(const float *qkv, /* [sequences,T,3C] */
                           const float *y,   /* [sequences,T,C], what the forward gave */
                           const float *dy,  /* [sequences,T,C] */
                           size_t sequences, size_t tokens, size_t channels, size_t heads, float *scratch,
                           float *dqkv /* [sequences,T,3C], overwritten */);

#ifdef __cplusplus
}
#endif
#endif
