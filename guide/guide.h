/* The guide: two keyframe pictures, each carried by a pixel model to a moment between them, and what the
 * space's own encoder makes of the two pictures. A pooled embedding's path cannot be predicted from its ends,
 * but it can be seen; the adapter learns how far to trust what is seen (docs/model.md). */
#ifndef IB_GUIDE_GUIDE_H
#define IB_GUIDE_GUIDE_H

#include "base/api.h"
#include "base/stop.h"
#include "latent/guides.h"
#include "latent/space.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IB_GUIDE_NONE "none" /* options take it for no guide at all */

typedef struct ib_guide ib_guide;

/* space: resizes (ib_space_resizes), borrowed. adapter: of the patch space, as adapter/named.h names them;
 * NULL: "default", or "prior" where there is no default. IB_E_UNSUPPORTED for a space of pictures, which has
 * no use for a guide. */
IB_API int ib_guide_create(ib_guide **out, const ib_space *space, const char *adapter, int threads,
                           ib_error *err);
IB_API void ib_guide_free(ib_guide **g);

/* Id of the pixel model: what defines its pictures, "prior:MOTION-ID" or "sha256:HEX" of the adapter's file,
 * then a blank and the file's name, for people. At most 159 characters.
 * ib_guide_same_model (latent/guides.h) compares two. */
IB_API const char *ib_guide_model(const ib_guide *g);
/* Guides that are best made together. */
IB_API size_t ib_guide_batch(const ib_guide *g);
/* The picture of which guides are made: `in` itself or, if its shorter side is more than twice the tower's
 * input, made smaller. out: zeroed, or from here; the caller frees it. For keeping keyframes. */
IB_API int ib_guide_fit(const ib_guide *g, const ib_frame *in, ib_frame *out, ib_error *err);

/* One window: two keyframes of one size, and the places between them. */
typedef struct ib_guide_request {
    const ib_frame *first, *last; /* of square, upright pixels, as the reader gives them */
    float gap_seconds;            /* > 0 */
    const float *t;               /* [n], in (0,1) */
    size_t n;
} ib_guide_request;

/* The guides of some windows, all frames of one size, computed together by all threads; frames too large are
 * made smaller, as by ib_guide_fit. z: [sum of n, IB_GUIDE_PICTURES, T,D]; feature: [sum of n,
 * IB_GUIDE_FEATURES]. The same bits for any number of threads; divided otherwise into calls, the pictures and
 * features are the same and z may differ by the rounding of the tower's products. stop may be NULL. One call
 * at a time. */
IB_API int ib_guide_make(ib_guide *g, const ib_guide_request *w, size_t windows, float *z, float *feature,
                         const atomic_int *stop, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
