/* The patch space's slerp (range1 in geometry.h): a cross-fade where pictures are unlike, and never far out
 * of its sources' range. */
#include <stdbool.h>
#include "base/multiarch.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "latent/space_kind.h"

enum { TOGETHER = 64 }; /* tokens summed up in float */

/* What a sample may be outside its sources' range: 6 steps of 8 bits (docs/measuring.md, also the next). */
static const float tolerance[3] = {6.0f / 219, 6.0f / 224, 6.0f / 224};
/* Pictures whose unlikeness is below the one are joined by slerp, above the other by lerp. */
static const double like = 0.10, unlike = 0.18;
/* Where the planes begin in a block, as coefficients and as samples. */
static const size_t begin[4] = {0, 64, 80, IB_PATCH_D};

/* The sum of n = 3 * 2^k or 2^k values, in halves; x is used up. */
static IB_INLINE float total_range(float *x, size_t n) {
    while (n % 2 == 0) {
        n /= 2;
        for (size_t i = 0; i < n; i++) {
            x[i] += x[i + n];
        }
    }
    return n == 3 ? x[0] + x[1] + x[2] : x[0];
}

/* How much of slerp pictures take, in [0,1], by their squared distance over their squares. */
static IB_INLINE float likeness(const float *z0, const float *z1, size_t tokens) {
    double apart = 0, both = 0;
    for (size_t k = 0; k < tokens; k += TOGETHER) {
        float less[IB_PATCH_D] = {0}, sum[IB_PATCH_D] = {0};
        for (size_t m = k; m < tokens && m < k + TOGETHER; m++, z0 += IB_PATCH_D, z1 += IB_PATCH_D) {
            for (size_t i = 0; i < IB_PATCH_D; i++) {
                less[i] += (z0[i] - z1[i]) * (z0[i] - z1[i]);
                sum[i] += z0[i] * z0[i] + z1[i] * z1[i];
            }
        }
        apart += (double)total_range(less, IB_PATCH_D);
        both += (double)total_range(sum, IB_PATCH_D);
    }
    double x = (unlike * both - apart) / ((unlike - like) * both);
    return x < 1 ? x > 0 ? (float)(x * x * (3 - 2 * x)) : 0 : 1; /* black and black: 1 */
}

/* The transform keeps lengths: no sample differs by more than its plane's coefficients together. */
static IB_INLINE bool may_leave(const float d[IB_PATCH_D]) {
    float square[IB_PATCH_D];
    for (size_t i = 0; i < IB_PATCH_D; i++) {
        square[i] = d[i] * d[i];
    }
    return total_range(square, 64) > tolerance[0] * tolerance[0] ||
           total_range(square + 64, 16) > tolerance[1] * tolerance[1] ||
           total_range(square + 80, 16) > tolerance[2] * tolerance[2];
}

static IB_INLINE bool is_far(const float d[IB_PATCH_D]) {
    int far = 0;
    for (int p = 0; p < 3; p++) {
        for (size_t i = begin[p]; i < begin[p + 1]; i++) {
            far |= (d[i] > tolerance[p]) | (d[i] < -tolerance[p]);
        }
    }
    return far;
}

/* How much of d may be added to the cross-fade of blocks a and b before a sample is out of range: [0,1]. */
static IB_INLINE float share(const float a[IB_PATCH_D], const float b[IB_PATCH_D], const float d[IB_PATCH_D],
                             float t) {
    float part = 1;
    for (int p = 0; p < 3; p++) {
        float low = a[begin[p]], high = low;
        for (size_t i = begin[p]; i < begin[p + 1]; i++) {
            low = a[i] < low ? a[i] : low;
            low = b[i] < low ? b[i] : low;
            high = a[i] > high ? a[i] : high;
            high = b[i] > high ? b[i] : high;
        }
        low -= tolerance[p];
        high += tolerance[p];
        for (size_t i = begin[p]; i < begin[p + 1]; i++) {
            float even = (1 - t) * a[i] + t * b[i];
            if (even + part * d[i] > high) {
                part = (high - even) / d[i];
            } else if (even + part * d[i] < low) {
                part = (low - even) / d[i];
            }
        }
    }
    return part;
}

IB_MULTIARCH_EXACT static void slerp_in_range(const float *z0, const float *z1, float t, size_t tokens,
                                              size_t width, float *out) {
    if (t <= 0 || t >= 1 || width != IB_PATCH_D) {
        ib_slerp(z0, z1, t, tokens, width, out);
        return;
    }
    float take = likeness(z0, z1, tokens), s = 1 - t;
    if (take <= 0) {
        ib_lerp(z0, z1, t, tokens * width, out);
        return;
    }
    for (size_t k = 0; k < tokens; k++, z0 += IB_PATCH_D, z1 += IB_PATCH_D, out += IB_PATCH_D) {
        float z[IB_PATCH_D], d[IB_PATCH_D], first[IB_PATCH_D], last[IB_PATCH_D], beyond[IB_PATCH_D], part = 1;
        ib_slerp(z0, z1, t, 1, IB_PATCH_D, z);
        for (size_t i = 0; i < IB_PATCH_D; i++) {
            d[i] = take * (z[i] - (s * z0[i] + t * z1[i]));
        }
        if (may_leave(d)) {
            ib_patch_inverse(d, 1, 1, beyond);
            if (is_far(beyond)) {
                ib_patch_inverse(z0, 1, 1, first);
                ib_patch_inverse(z1, 1, 1, last);
                part = share(first, last, beyond, t);
            }
        }
        if (part < 1 || take < 1) {
            for (size_t i = 0; i < IB_PATCH_D; i++) {
                z[i] = s * z0[i] + t * z1[i] + part * d[i];
            }
        }
        for (size_t i = 0; i < IB_PATCH_D; i++) {
            out[i] = z[i];
        }
    }
}

const ib_geometry ib_geometry_patch = {"slerp:range1", slerp_in_range};
