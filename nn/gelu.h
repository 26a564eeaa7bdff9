/* gelu(x) = x (1 + erf(x / sqrt 2)) / 2 as plain arithmetic, so that loops over it vectorise. For functions
 * with IB_MULTIARCH (base/multiarch.h). */
#ifndef IB_NN_GELU_H
#define IB_NN_GELU_H

#include <math.h>
#include "nn/exp.h"
#include "nn/simd.h"

/* a (1 - Phi(a)), Phi the normal distribution's, for a >= 0: what gelu(a) lacks to a. As a t P(t) exp(-a^2/2)
 * with t = 1 / (1 + 0.26 a). P, of degree 8, is our own fit for a in [0, 13.5], by least squares in
 * Chebyshev polynomials, weighted anew until the largest relative error is least: 2.2e-8; beyond 13.2 exp
 * is cut off near 1e-38. In float, over [-10, 10], gelu is within 2.5e-7 of the truth, within 6e-7 of its
 * own size for |x| < 4, and within 3e-6 of it else (tests/test_nn_forward.c). */
static IB_INLINE float ib_gelu_tail(float a) {
    float t = 1.0f / (1.0f + 0.26f * a);
    float p = 0.0307835545f;
    p = p * t - 0.15418914f;
    p = p * t + 0.254317522f;
    p = p * t - 0.154206038f;
    p = p * t + 0.163220137f;
    p = p * t + 0.0500471033f;
    p = p * t + 0.103285372f;
    p = p * t + 0.102980219f;
    p = p * t + 0.103761263f;
    return a * t * p * ib_exp1(-0.5f * a * a);
}

/* Without a choice between two sums, of which GCC makes a jump, and then vectorises nothing. */
static IB_INLINE float ib_gelu1(float x) {
    float positive = x > 0 ? x : 0;
    return positive - ib_gelu_tail(fabsf(x));
}

#endif
