/* What a pair of keyframes holds, for those who carry them. Not installed. */
#ifndef IB_MOTION_PAIR_PRIVATE_H
#define IB_MOTION_PAIR_PRIVATE_H

#include <stdbool.h>

#include "motion/blend.h"
#include "motion/pair.h"

struct ib_pair {
    ib_shape shape; /* the grid */
    ib_canvas canvas;
    int width, height;
    const ib_frame *full0, *full1; /* NULL before the first pair */
    ib_frame small;                /* of the grid's size */
    float *planes;            /* a picture of the grid; then two of the canvas, while splines are fitted */
    float *spline0, *spline1; /* of the canvas */
    float *z0, *z1;           /* [T,D] */
    float *arena;
    float *forward, *backward; /* [2, 8 rows, 8 cols] of the grid, by whoever wants them; NULL at first */
    bool has_flows;            /* they are those of these keyframes */
};

#endif
