/* Cubic convolution (R. Keys, 1981) with a = -1/2, which passes through the samples and is exact for
 * parabolas. */
#ifndef IB_NN_KEYS_H
#define IB_NN_KEYS_H

#include <math.h>

/* The weight of a sample at a distance of x samples; 0 from 2 on. */
static inline double ib_keys(double x) {
    x = fabs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

#endif
