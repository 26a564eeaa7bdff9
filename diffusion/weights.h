/* The tensors of one part of a diffusion model (its U-Net, its VAE ...) under the names that diffusers gives
 * them, wherever and under whatever names the user's files hold them. The files stay mapped and keep their
 * types; who computes widens what is needed when it is needed. */
#ifndef IB_DIFFUSION_WEIGHTS_H
#define IB_DIFFUSION_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/file.h"
#include "base/safetensors.h"

typedef struct ib_weights ib_weights;

/* path: the folder of a whole model, the folder of the part, or a safetensors file. part: "unet", "vae", ...:
 * the name of its folder in a model. */
int ib_weights_open(ib_weights **out, const char *path, const char *part, ib_error *err);
/* Accepts NULL; sets it. What ib_weights_get gave is gone then. */
void ib_weights_close(ib_weights **w);
/* The file (the first of several), for messages. */
const char *ib_weights_path(const ib_weights *w);
/* The folder in which the part's config.json would lie; NULL for a single file of a whole model. */
const char *ib_weights_folder(const ib_weights *w);
/* Whether the names are the original ones, as files of whole models have them. */
bool ib_weights_is_single_file(const ib_weights *w);
/* Whether a tensor's whole name in the files, whatever the part, begins so. */
bool ib_weights_file_has(const ib_weights *w, const char *begin);
/* Numbers and bytes of the tensors under the part's prefix, and the type of most of them. */
void ib_weights_size(const ib_weights *w, size_t *parameters, size_t *bytes, ib_dtype *type);
const ib_paths *ib_weights_files(const ib_weights *w);
/* Gives back the memory of what was read so far; it comes back from the files when it is needed. */
void ib_weights_release(const ib_weights *w);
bool ib_weights_has(const ib_weights *w, const char *name);

typedef struct ib_weight {
    const void *data; /* mapped and perhaps not aligned */
    ib_dtype dtype;   /* IB_F32, IB_F16 or IB_BF16 */
    int rank;         /* 0..4 */
    int64_t shape[4];
    size_t count; /* product of shape */
} ib_weight;

/* shape: [rank], -1: any length of at least 1. A matrix [n,m] may be asked for as a 1x1 convolution [n,m,1,1]
 * and the other way round. rank -1: any rank and shape (shape may be NULL). IB_E_FORMAT for a tensor that is
 * missing or has another shape, IB_E_UNSUPPORTED for another type. */
int ib_weights_get(const ib_weights *w, const char *name, int rank, const int64_t *shape, ib_weight *out,
                   ib_error *err);
/* Elements [first, first + n) as float32. out: [n] */
void ib_weight_widen(const ib_weight *w, size_t first, size_t n, float *out);

#endif
