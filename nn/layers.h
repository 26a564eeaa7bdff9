/* The token-wise layers: linear maps, normalisation with scale and shift, SiLU. Each forward beside its
 * backward. Backward functions take the same inputs as the forward, add to parameter gradients and overwrite
 * input gradients. */
#ifndef IB_NN_LAYERS_H
#define IB_NN_LAYERS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = x w + b */
void ib_linear(const float *x, /* [T,cin] */
               const float *w, /* [cin,cout] */
               const float *b, /* [cout] or NULL */
               size_t tokens, size_t cin, size_t cout, float *y /* [T,cout] */);
void ib_linear_backward(const float *x,                                    /* [T,cin] */
                        const float *w,                                    /* [cin,cout] */
                        const float *dy,                                   /* [T,cout] */
                        size_t tokens, size_t cin, size_t cout, float *dx, /* [T,cin]; NULL: not wanted */
                        float *dw,                                         /* [cin,cout], added to */
                        float *db /* [cout], added to; NULL: no bias */);

/* y = silu(n * (1 + scale) + shift), n = (x - mean) / sqrt(variance + 1e-5) over the channels
 * of each token. */
void ib_norm_film_silu(const float *x,                         /* [T,C] */
                       const float *scale, const float *shift, /* [C] */
                       size_t tokens, size_t channels, float *y /* [T,C] */);
void ib_norm_film_silu_backward(const float *x,                            /* [T,C] */
                                const float *scale, const float *shift,    /* [C] */
                                const float *dy,                           /* [T,C] */
                                size_t tokens, size_t channels, float *dx, /* [T,C] */
                                float *dscale, float *dshift /* [C], added to */);

/* silu(x) = x / (1 + exp(-x)); y may alias x. */
void ib_silu(const float *x, size_t n, float *y);
/* dx = dy * silu'(x); dx may alias dy. */
void ib_silu_backward(const float *x, const float *dy, size_t n, float *dx);

/* y = 1 / (1 + exp(-x)); y may alias x. */
void ib_sigmoid(const float *x, size_t n, float *y);

/* exp with a relative error below 3e-7; arguments are clamped to [-87, 88]. y may alias x. */
void ib_exp(const float *x, size_t n, float *y);

/* y += x */
void ib_add(const float *x, size_t n, float *y);
/* y = a - b, y neither of them */
void ib_subtract(const float *a, const float *b, size_t n, float *y);
/* sum[c] += x over tokens */
void ib_column_sums(const float *x, /* [T,C] */ size_t tokens, size_t channels, float *sum);

#ifdef __cplusplus
}
#endif
#endif
