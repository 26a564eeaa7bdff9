/* Interpolation between latents, token by token. */
#ifndef IB_LATENT_GEOMETRY_H
#define IB_LATENT_GEOMETRY_H

#include <stddef.h>
#include "base/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Spherical interpolation (Shoemake 1985) of each token: direction on the great circle, norm linear:
 *   out = ((1-t)|u| + t|v|) * (sin((1-t)w) u/|u| + sin(tw) v/|v|) / sin w ,
 * w = 2 atan2(|u/|u| - v/|v||, |u/|u| + v/|v||) (Kahan), well-conditioned at both ends.
 * Exact ends: t = 0 gives z0's and t = 1 gives z1's own bits. Near-parallel tokens (w below 1e-4) are
 * interpolated linearly; if one token is zero (norm below 1e-20), linearly too; antipodal tokens (pi - w
 * below 1e-4), whose great circle is undefined, turn through the coordinate axis on which u is smallest in
 * magnitude (the first such), made orthogonal to u: finite and of the interpolated norm. Tokens of width 1
 * are interpolated linearly. Inputs must be finite. out may alias z0 or z1. */
IB_API void ib_slerp(const float *z0, /* [T,D] */
                     const float *z1, /* [T,D] */
                     float t,         /* in [0,1] */
                     size_t tokens, size_t width, float *out /* [T,D] */);

/* How the latents of a space are joined. */
typedef struct ib_geometry ib_geometry;
/* Never NULL, never released. */
IB_API const ib_geometry *ib_geometry_of(const char *space_id);
/* Names what ib_slerp_in does, in files and reports: "slerp", or "slerp:range1" for patch. */
IB_API const char *ib_geometry_id(const ib_geometry *g);
/* What slerp means for pictures of that space, for whoever joins, predicts, judges or shows them; z0 and z1
 * are the whole latents. For "slerp" ib_slerp's bits. A token of the patch space is a block of samples: slerp
 * turns its direction, which for a dark block may be nearly all chroma, and gives it the length of a bright
 * one. Therefore "slerp:range1" is z = lerp + a l (slerp - lerp) , l for the pair: 1 up to an unlikeness |z0
 * - z1|^2 / (|z0|^2 + |z1|^2) of 0.10, 0 from 0.18, a smooth step between; a for the token: as much, in
 * [0,1], as keeps every sample within 6 steps of 8 bits of the range of both sources' blocks, least to most
 * in its plane (Y, U, V). The bits are ib_slerp's where both are 1, ib_lerp's where l is 0. Continuous in z0,
 * z1 and t; ends, symmetry and aliasing as with ib_slerp. */
IB_API void ib_slerp_in(const ib_geometry *g, const float *z0, /* [T,D] */
                        const float *z1,                       /* [T,D] */
                        float t,                               /* in [0,1] */
                        size_t tokens, size_t width, float *out /* [T,D] */);

/* out = (1-t) z0 + t z1, exact at both ends. */
IB_API void ib_lerp(const float *z0, const float *z1, float t, size_t n, float *out);

/* Angle between two tokens in radians, [0, pi]; 0 if either is zero. u, v: [D]. */
IB_API double ib_angle(const float *u, const float *v, size_t width);

#ifdef __cplusplus
}
#endif
#endif
