/* Inside render/: pictures as noise. The keyframes at both ends of a way, inverted, and what frames between
 * them have of both: the slerp of the noises, and the sum of the residuals, each faded out over the quarter
 * of the way next to its keyframe. */
#ifndef IB_RENDER_DIFFUSED_ENDS_H
#define IB_RENDER_DIFFUSED_ENDS_H

#include "render/diffusing.h"

typedef struct ib_ends {
    size_t floats;                 /* of a picture's latents */
    float *noise[2], *residual[2]; /* [floats], owned */
    bool there[2];
    size_t way; /* whose ends they are */
} ib_ends;

int ib_ends_alloc(ib_ends *e, size_t floats, ib_error *err);
void ib_ends_free(ib_ends *e); /* harmless on a zeroed one */
/* Forgets the ends of another way; the end that both share is kept. */
void ib_ends_turn(ib_ends *e, size_t way);
/* The noise and the residual at t, 0..1. Both: [floats] */
void ib_ends_between(const ib_ends *e, float t, float *noise, float *residual);

#endif
