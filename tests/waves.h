/* A moving picture for tests of the adapter. */
#ifndef IB_TESTS_WAVES_H
#define IB_TESTS_WAVES_H

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* A smooth moving picture: sums of waves that travel by (dx, dy) px per unit of time; frequency: RMS, radians
 * per px. */
static void waves(float *planes, int rows, int cols, float time, float dx, float dy, uint64_t seed,
                  float frequency) {
    ib_rng r;
    ib_rng_seed(&r, seed);
    size_t luma = 64 * (size_t)rows * (size_t)cols;
    memset(planes, 0, 96 * (size_t)rows * (size_t)cols * sizeof *planes);
    for (int k = 0; k < 12; k++) {
        float fx = frequency * ib_rng_normal(&r), fy = frequency * ib_rng_normal(&r),
              phase = 6.28f * ib_rng_float(&r);
        for (int p = 0; p < 3; p++) {
            int w = p ? 4 * cols : 8 * cols, h = p ? 4 * rows : 8 * rows;
            float *o = planes + (p ? luma + (size_t)(p - 1) * luma / 4 : 0), s = p ? 2 : 1,
                  gain = p ? 0.02f : 0.06f;
            for (int y = 0; y < h; y++) {
                for (int x = 0; x < w; x++) {
                    o[y * w + x] += gain * sinf(fx * (s * (float)x - dx * time) +
                                                fy * (s * (float)y - dy * time) + phase + (float)p) +
                                    (p == 0 ? 0.04f : 0);
                }
            }
        }
    }
}

#endif
