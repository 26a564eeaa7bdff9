/* Arithmetic on parameter arrays, for everything that makes one model out of several: merging files, pools,
 * clusters.
 *
 * Nothing here depends on the order in which the arrays come, to the bit. Sums over arrays are exact on a
 * grid that only the largest term of an element decides (below), and what sorts breaks ties by value and
 * weight. Everything works element by element, or adds up over the elements in their order, so arrays may be
 * handed over in blocks, and by several threads: the elementwise functions then give the same bits; the sums
 * of a comparison depend on where the blocks begin and on nothing else. Finite values are the caller's
 * business (ib_params_finite): what is not finite makes its own element of the result not finite. */
#ifndef IB_WEIGHTS_AVERAGE_H
#define IB_WEIGHTS_AVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_AVERAGE_MOST = 1024 }; /* arrays at most */

/* out = weight[0] x[0] + ... + weight[k-1] x[k-1]. x: [k], each [n]; 1 <= k <= IB_AVERAGE_MOST; weights
 * finite, as they are (they need not add up to 1), of magnitude 0 or 1e-30..1e30. out may be one of x.
 *
 * Each element: with m the largest |weight x| and P the power of two at or below 4 k m, every term is rounded
 * to a multiple of P 2^-52; such sums are exact in double, so any order gives the same (the pre-rounding of
 * Demmel and Nguyen 2013, "Fast reproducible floating-point summation"). The error before the rounding to
 * float is below k^2 2^-50 m. Hence, to the bit: arrays of weight 0 do not matter, one array of weight 1 is
 * itself, the mean of equal arrays is that array, a b - a b is 0. */
IB_API void ib_average_weighted(const float *const *x, const double *weight, size_t k, float *out, size_t n);

/* The same sum of one element: the terms' exact-grid sum, whatever their order. */
IB_API double ib_average_sum(const double *term, size_t k);

/* weight[i] /= their sum (which does not depend on their order). false, and nothing done, if that is 0 or not
 * finite. */
IB_API bool ib_average_normalise(double *weight, size_t k);

/* Trimmed mean of each element (Yin et al. 2018, arXiv:1803.01498): of its k values the `cut` smallest and
 * the `cut` largest are left out, the others averaged by weight. weight: > 0 each; NULL: all alike. 2 cut <
 * k; cut = (k-1)/2 is the median. What up to `cut` of k contributors send, be it infinite, cannot push an
 * element beyond what the others sent; NaN counts as larger than all. */
IB_API void ib_average_trimmed(const float *const *x, const double *weight, size_t k, size_t cut, float *out,
                               size_t n);

/* Clipped mean around a centre (Karimireddy et al. 2021, arXiv:2012.10333): out = centre + sum weight[i] s[i]
 * (x[i] - centre) with s[i] = min(1, radius / |x[i] - centre|), or 0 where that distance is not finite.
 * Arrays whole, not in blocks; k < IB_AVERAGE_MOST; weights add up to 1 or less; radius >= 0. s: [k], filled;
 * may be NULL. out may be `centre` or one of x. */
IB_API void ib_average_clipped(const float *const *x, const double *weight, size_t k, const float *centre,
                               double radius, float *out, size_t n, double *s);

/* No NaN, no infinity. */
IB_API bool ib_params_finite(const float *x, size_t n);
/* Euclidean norm of x, and of a - b (the same as of b - a, to the bit). Differences are taken in double. */
IB_API double ib_params_norm(const float *x, size_t n);
IB_API double ib_params_distance(const float *a, const float *b, size_t n);

/* Two arrays side by side; zero-initialise, add block after block. With a base, a and b stand for a - base
 * and b - base. */
typedef struct ib_comparison {
    double aa, bb, ab, dd; /* |a|^2, |b|^2, a . b, |a - b|^2 */
    size_t elements;       /* all */
    size_t both, same;     /* elements in which neither is 0, and those of them in which the signs agree */
} ib_comparison;
IB_API void ib_compare_add(ib_comparison *c, const float *a, const float *b,
                           const float *base, /* [n] or NULL */
                           size_t n);
/* a . b / (|a| |b|) in [-1,1]; NaN if one of them is 0. */
IB_API double ib_compare_cosine(const ib_comparison *c);
/* same / both in [0,1]; NaN if there is nothing to compare. */
IB_API double ib_compare_signs(const ib_comparison *c);

#ifdef __cplusplus
}
#endif
#endif
