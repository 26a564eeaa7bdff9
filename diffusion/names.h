/* Inside diffusion/ only: the names that tensors have in files beside diffusers' own. */
#ifndef IB_DIFFUSION_NAMES_H
#define IB_DIFFUSION_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum ib_naming {
    IB_NAMING_DIFFUSERS,
    IB_NAMING_LDM_UNET, /* CompVis's latent diffusion and all single files after it:
                           input_blocks.4.0.in_layers.0 */
    IB_NAMING_LDM_VAE,  /* the same code's autoencoder: decoder.up.3.block.0.norm1 */
    IB_NAMING_TAESD     /* numbers of a torch.nn.Sequential: 3.conv.0 */
} ib_naming;

/* What of a file the translation depends on. */
typedef struct ib_names {
    ib_naming naming;
    size_t stride;  /* LDM_UNET: input blocks to a level, the one that halves among them */
    bool text_time; /* LDM_UNET: label_emb is add_embedding, else class_embedding */
    size_t levels;  /* LDM_VAE: of the decoder, which are counted from the other end */
} ib_names;

enum { IB_NAME_BYTES = 512 };

/* Form number `turn` (from 0) of what a file may call the tensor of diffusers' name: without the file's
 * prefix, in out [IB_NAME_BYTES]. False: there are no more. */
bool ib_name_in_file(const ib_names *n, const char *name, size_t turn, char *out);

#endif
