/* exp as plain arithmetic, so that loops over it vectorise. For functions with IB_MULTIARCH
 * (base/multiarch.h). */
#ifndef IB_NN_EXP_H
#define IB_NN_EXP_H

#include <stdint.h>
#include <string.h>
#include "nn/simd.h"

/* Where arguments are cut off: -87 and 88. They are kept in exp.c because GCC, if it knows them, answers
 * beyond them by a jump, and then vectorises none of the loops. */
extern const float ib_exp_low, ib_exp_high;

/* Relative error below 3e-7; arguments are clamped to [-87, 88]. exp(x) = 2^k exp(r), |r| <= ln2 / 2, with
 * the Taylor polynomial of degree 7 for exp(r). */
static IB_INLINE float ib_exp1(float x) {
    x = x < ib_exp_low ? ib_exp_low : x;
    x = x > ib_exp_high ? ib_exp_high : x;
    float k = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23 rounds to the nearest integer */
    int32_t bits;
    memcpy(&bits, &k, sizeof bits);
    k -= 12582912.0f;
    float r = x - k * 0.693359375f + k * 2.12194440e-4f; /* ln2 in two parts */
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t e = (int32_t)((uint32_t)(bits - 0x4B400000 + 127) << 23);
    float scale;
    memcpy(&scale, &e, sizeof scale);
    return p * scale;
}

#endif
