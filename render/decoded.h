/* Clips in spaces that decode their latents, such as vae:PATH: keyframes are encoded, the latents between
 * them made as embeddings are, and decoded. Keyframes themselves are in the clip as they are, undecoded. */
#ifndef IB_RENDER_DECODED_H
#define IB_RENDER_DECODED_H

#include "render/embeddings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* o->space decodes, and keyframes are pictures (NAME or VIDEO@TIME); the output is a clip, o->width and
 * o->height its size (0, 0: the first keyframe's). No guides, no modality gap, no preview. Errors leave no
 * file. IB_E_MISMATCH for an adapter of another space. summary may be NULL. */
IB_API int ib_render_decoded(const ib_embeddings_options *o, ib_embeddings_summary *summary, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
