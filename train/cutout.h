/* Inside train only: a piece of a picture that moves over it, so that samples have edges with different motion on either side, things that
 * are covered and things that appear, and a target that is known. Patch space only. */
#ifndef IB_TRAIN_CUTOUT_H
#define IB_TRAIN_CUTOUT_H

#include "base/rng.h"
#include "latent/space.h"

#ifdef __cplusplus
extern "C" {
#endif

/* |x/a|^p + |y/b|^p <= 1 about its centre, with a soft edge. Lengths in luma samples. */
typedef struct ib_cutout {
    double x, y, vx, vy;   /* centre in z0; how far it moves until z1 */
    double a, b, power;    /* half axes; p */
    double from_x, from_y; /* it shows what z0 shows so far away from where it starts */
} ib_cutout;

/* reach: farthest that it moves between the keyframes, in luma samples. */
void ib_cutout_draw(const ib_shape *s, double reach, ib_rng *rng, ib_cutout *c);

/* Lays the piece where it is at t over a frame. texture: planes of z0 moved by (from - t v), [96 rows cols] as in latent/patch.h. */
void ib_cutout_lay(const ib_cutout *c, double t, const ib_shape *s, const float *texture, float *planes);

#ifdef __cplusplus
}
#endif
#endif
