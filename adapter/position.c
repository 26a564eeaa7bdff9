/* Where a token of a sequence lies, as features that wave. They are computed and not learned: a model of a
 * few minutes' training knows neighbourhood from its first step, serves any number of tokens, and has nothing
 * to fit to places that its clips left empty; and what image towers give already carries their own learned
 * positions. */
#include <math.h>

#include "adapter/private.h"

/* Side of the square that the tokens fill (with one token before it if *extra), 0 if they do not: the hidden
 * tokens of image transformers are squares of patches, row by row, after a token for the whole picture. */
static size_t square_side(size_t tokens, size_t *extra) {
    for (*extra = 0; *extra < 2; ++*extra) {
        size_t side = (size_t)lround(sqrt((double)(tokens - *extra)));
        if (side > 1 && side * side == tokens - *extra) {
            return side;
        }
    }
    *extra = 0;
    return 0;
}

/* Two coordinates in [0,1): row and column in a square, else the place in the sequence and, 16 times finer,
 * that within its sixteenth. Each as sine and cosine at IB_POSITION_OCTAVES wavelengths from 2 down, halved
 * each time. */
void ib_position_features(size_t token, size_t tokens, float *f) {
    size_t extra, side = square_side(tokens, &extra);
    double x[2] = {(double)token / (double)tokens, fmod(16.0 * (double)token / (double)tokens, 1)};
    *f++ = token < extra ? 1 : 0;
    if (token >= extra && side) {
        x[0] = (double)((token - extra) / side) / (double)side;
        x[1] = (double)((token - extra) % side) / (double)side;
    }
    for (int k = 0; k < 2 * IB_POSITION_OCTAVES; k++) {
        double angle = 3.14159265358979324 * x[k / IB_POSITION_OCTAVES] * (1 << k % IB_POSITION_OCTAVES);
        *f++ = token < extra ? 0 : (float)sin(angle);
        *f++ = token < extra ? 0 : (float)cos(angle);
    }
}
