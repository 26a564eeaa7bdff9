/* Inside diffusion/ only: LoRA files (Hu et al. 2021, arXiv:2106.09685): small matrices that are added to a
 * U-Net's, W + weight (alpha / rank) up down, while W is widened, so that the model's file stays as it is.
 *
 * Names that are known: kohya's (lora_unet_down_blocks_0_..., or after the single file's names,
 * lora_unet_input_blocks_4_1_...) and PEFT's and diffusers' (unet.down_blocks.0..., lora_A and lora_B or
 * lora.down and lora.up). What is for text encoders is left out. */
#ifndef IB_DIFFUSION_LORA_H
#define IB_DIFFUSION_LORA_H

#include "diffusion/unet.h"

enum { IB_LORAS = 8 };

typedef struct ib_lora ib_lora;

typedef struct ib_loras {
    ib_lora *v[IB_LORAS];
    size_t n;
} ib_loras;

/* Adds one. unet must outlive it. */
int ib_loras_add(ib_loras *l, const char *path, float weight, const ib_weights *unet, const ib_unet_config *c,
                 ib_error *err);
/* What ib_unet_open takes; l must outlive the U-Net. */
ib_unet_patch ib_loras_patch(ib_loras *l);
/* After ib_unet_open: IB_E_MISMATCH if a file holds matrices for the U-Net that it has not, or of other
 * shapes, with the first one's name; IB_E_UNSUPPORTED for kinds that are not known. */
int ib_loras_check(const ib_loras *l, ib_error *err);
void ib_loras_close(ib_loras *l);

#endif
