#include "eval/metrics.h"

#include <math.h>
#include <stdint.h>

double ib_squared_error(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

double ib_psnr_luma(const ib_frame *a, const ib_frame *b) {
    uint64_t sum = 0;
    for (int y = 0; y < a->height; y++) {
        const uint8_t *p = a->plane[0] + (size_t)y * a->stride[0],
                      *q = b->plane[0] + (size_t)y * b->stride[0];
        uint32_t row = 0; /* at most 16384 * 255^2 */
        for (int x = 0; x < a->width; x++) {
            int d = p[x] - q[x];
            row += (uint32_t)(d * d);
        }
        sum += row;
    }
    if (!sum) {
        return 100;
    }
    return fmin(100, 10 * log10(255.0 * 255.0 * a->width * a->height / (double)sum));
}
