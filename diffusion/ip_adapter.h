/* Inside diffusion/ only: IP-Adapters (Ye et al. 2023, arXiv:2308.06721), small files that let a U-Net look
 * at a picture's CLIP embedding beside its text. Two kinds: "base" makes a few tokens of an embedding in the
 * joint space; "Plus" lets learnt queries look at the image tower's hidden tokens (those before its last
 * block; a perceiver, Jaegle et al. 2021, arXiv:2103.03206). */
#ifndef IB_DIFFUSION_IP_ADAPTER_H
#define IB_DIFFUSION_IP_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include "diffusion/weights.h"

typedef struct ib_ip_adapter ib_ip_adapter;

typedef struct ib_ip_about {
    bool plus;
    size_t width;   /* of what goes in: an embedding, or a hidden token */
    size_t tokens;  /* that come out */
    size_t context; /* and their width */
} ib_ip_about;

/* path: a safetensors file with image_proj.* and ip_adapter.*. context: width of the U-Net's context; 0: not
 * to be checked. IB_E_UNSUPPORTED for kinds that are not known, IB_E_MISMATCH for another width. */
int ib_ip_adapter_open(ib_ip_adapter **out, const char *path, size_t context, ib_error *err);
/* Accepts NULL; sets it. */
void ib_ip_adapter_close(ib_ip_adapter **a);
const ib_ip_about *ib_ip_adapter_about(const ib_ip_adapter *a);
/* For ib_unet_open, which takes K and V from it. */
const ib_weights *ib_ip_adapter_weights(const ib_ip_adapter *a);

/* x: [n, width] embeddings as the tower gives them, not normalised, or for Plus [n, hidden, width]; hidden is
 * 1 for base. out: [n, tokens, context]. Where nothing is asked for, base takes zeros and Plus the hidden
 * tokens of a black picture. */
int ib_ip_adapter_tokens(const ib_ip_adapter *a, const float *x, size_t n, size_t hidden, int threads,
                         float *out, ib_error *err);

#endif
