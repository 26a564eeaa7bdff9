/* A window as search sees it: two keyframes, the places between them, guides if there are any, and what the
 * adapter answers at every place. */
#ifndef IB_SEARCH_SOUGHT_H
#define IB_SEARCH_SOUGHT_H

#include "adapter/adapter.h"
#include "latent/geometry.h"
#include "latent/latent_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pairs of slerp, the adapter's answer, both keyframes, the guide's pictures and their mean by t. */
enum { IB_SOUGHT_WHOLE = 21 };

typedef struct ib_sought {
    ib_shape shape;
    const ib_geometry *geometry;
    size_t most; /* places that there is room for */

    /* Filled by ib_sought_read or by the caller, then ib_sought_answer. */
    size_t places;     /* n, 1..most */
    float gap_seconds; /* > 0 */
    bool guided;       /* guide and feature count */
    float *z0, *z1;    /* [T,D] */
    float *t;          /* [n] in (0,1), rising */
    float *guide;      /* [n,IB_GUIDE_PICTURES,T,D] */
    float *feature;    /* [n,IB_GUIDE_FEATURES] */

    /* Filled by ib_sought_answer. */
    float *slerp; /* [n,T,D] */
    float *own;   /* [n,T,D] the adapter's answer, or slerp */
    float *calm;  /* [n,T,D] the mean by t of the guide's pictures here and at the places beside it; slerp
                     without guides, as `guide` then is */
    float *gate;  /* [n] how far the adapter follows its guide (ib_adapter_gate) */
    float *whole; /* [n,IB_SOUGHT_WHOLE] how far things are apart, all tokens together (search/judge.h) */

    ib_adapter_work *work;
    float *arena;
} ib_sought;

/* a: NULL for slerp; the adapter that will answer. *s is to be freed in any case. */
int ib_sought_create(ib_sought *s, const ib_adapter *a, const char *space_id, const ib_shape *shape,
                     size_t most, ib_error *err);
void ib_sought_free(ib_sought *s); /* accepts a zeroed one */

/* The windows of a file that are searched: those with guides or, where it has none, all end to end at gaps of
 * 4, 8 and 16 frames, with SIZE_MAX for `at`. Rising by gap, then by first. *out: [n], the caller's
 * (ib_free). */
int ib_sought_windows(const ib_latent_file *f, ib_guide_window **out, size_t *n, ib_error *err);
/* The window [first, first + gap] of a file. guide: number of its first guide, SIZE_MAX: it has none.
 * truth: [gap - 1,T,D], the frames between; NULL: not wanted. */
int ib_sought_read(ib_sought *s, ib_latent_file *f, size_t first, int gap, size_t guide, float *truth,
                   ib_error *err);
/* What the adapter says at every place. Call once the window is filled in. */
int ib_sought_answer(ib_sought *s, const ib_adapter *a, ib_error *err);

/* log of a distance over the keyframes', from squares: what all comparisons of search are made of. */
float ib_sought_ratio(float square, float unit);
float ib_sought_apart(const float *a, const float *b, size_t n); /* |a - b|^2 */

#ifdef __cplusplus
}
#endif
#endif
