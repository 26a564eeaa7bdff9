/* The gap between the text side and the image side of a joint space (Liang et al. 2022, arXiv:2203.02053: the
 * two lie in separate cones). A prompt's embedding is therefore far from every picture's, and a path from a
 * picture to a prompt leaves the pictures. The correction here is the plainest there is: the difference of
 * the two sides' means on given data, raw embeddings as diffusion pipelines take them, added to what comes
 * from a prompt. */
#ifndef IB_RENDER_MODALITY_GAP_H
#define IB_RENDER_MODALITY_GAP_H

#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/file.h"
#include "base/stop.h"
#include "latent/space.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_modality_gap {
    char space_id[256];
    size_t width;           /* D; the layout is single */
    float *image, *text;    /* [D] means, owned */
    int64_t videos, frames; /* a video counts as much as another, however long */
    int64_t prompts;
    double image_norm, text_norm; /* mean Euclidean norm of the embeddings of each side */
} ib_modality_gap;

/* latents: files of the space, or directories of them; prompts: at least one. IB_E_MISMATCH for files of
 * another space, IB_E_UNSUPPORTED for a space that does not read text. progress: may be NULL. */
IB_API int ib_modality_gap_measure(ib_modality_gap *g, const ib_space *space, const ib_paths *latents,
                                   const char *const *prompts, size_t n_prompts, const atomic_int *stop,
                                   void (*progress)(void *user, double fraction), void *user, ib_error *err);
IB_API void ib_modality_gap_free(ib_modality_gap *g);

/* A safetensors file: image_mean and text_mean [D], metadata (docs/files.md). */
IB_API int ib_modality_gap_save(const ib_modality_gap *g, const char *path, ib_error *err);
/* IB_E_FORMAT if it is something else. */
IB_API int ib_modality_gap_open(ib_modality_gap *g, const char *path, ib_error *err);

/* z += image - text. z: [D], from a prompt */
IB_API void ib_modality_gap_apply(const ib_modality_gap *g, float *z);
/* Euclidean length of image - text. */
IB_API double ib_modality_gap_length(const ib_modality_gap *g);
/* Cosine of the two means. */
IB_API double ib_modality_gap_cosine(const ib_modality_gap *g);

#ifdef __cplusplus
}
#endif
#endif
