/* How far two latents are apart. */
#ifndef IB_EVAL_METRICS_H
#define IB_EVAL_METRICS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sum of squared differences. a, b: [n] */
double ib_squared_error(const float *a, const float *b, size_t n);

/* A latent beside the true one. Token by token, each weighing as much as the true token is long: in the patch
 * space black tokens, whose direction is noise, do not count. */
typedef struct ib_closeness {
    double error;         /* sum of squared differences */
    double cosine;        /* of the angle between the tokens; NaN if the true latent is zero */
    double angle_degrees; /* that angle; a zero token is at a right angle to any other. NaN likewise */
    double norm_error;    /* | |z| - |truth| | / |truth|; NaN likewise */
} ib_closeness;
/* z, truth: [T,D] */
void ib_closeness_of(const float *z, const float *truth, size_t tokens, size_t width, ib_closeness *out);

/* The angle in degrees by which a path through a, b and c turns at b: 0 straight on, 180 back. NaN if it does
 * not move before or after b. a, b, c: [n] */
double ib_turning_degrees(const float *a, const float *b, const float *c, size_t n);

#ifdef __cplusplus
}
#endif
#endif
