#include "motion/padded.h"

#include <string.h>

size_t ib_padded_floats(size_t height, size_t width) {
    return (height + 2 * IB_MARGIN) * (width + 2 * IB_MARGIN);
}

ib_padded ib_pad(const float *image, size_t height, size_t width, float *room) {
    size_t stride = width + 2 * IB_MARGIN;
    float *out = room + IB_MARGIN * stride + IB_MARGIN;
    for (size_t y = 0; y < height; y++) {
        float *o = out + y * stride;
        memcpy(o, image + y * width, width * sizeof *o);
        for (size_t k = 1; k <= IB_MARGIN; k++) {
            o[-(long)k] = o[0];
            o[width - 1 + k] = o[width - 1];
        }
    }
    for (size_t k = 1; k <= IB_MARGIN; k++) {
        memcpy(out - k * stride - IB_MARGIN, out - IB_MARGIN, stride * sizeof *out);
        memcpy(out + (height - 1 + k) * stride - IB_MARGIN, out + (height - 1) * stride - IB_MARGIN,
               stride * sizeof *out);
    }
    return (ib_padded){out, height, width, stride};
}
