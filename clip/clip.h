/* CLIP: an image tower and a text tower that map pictures and prompts into one space, with weights from the
 * user's own safetensors files. After Radford et al. 2021, arXiv:2103.00020; every ViT of that family,
 * OpenAI's and OpenCLIP's.
 *
 * The face of the room. Letters: S side of the pictures in px, D width of the joint space, T tokens and W
 * width of a tower. */
#ifndef IB_CLIP_CLIP_H
#define IB_CLIP_CLIP_H

#include <stdint.h>
#include "clip/weights.h"
#include "video_io/reader.h"

typedef struct ib_clip_options {
    const char *activation; /* "quick_gelu", "gelu" or NULL: by config, known models, convention */
    const char *tokenizer;  /* folder or tokenizer.json; NULL: beside the weights */
    int threads;            /* 0: as many as OpenMP has */
    const char *under;      /* what the names of a tower's tensors begin with; NULL: anything */
} ib_clip_options;

typedef struct ib_clip ib_clip;
/* path: a safetensors file, a folder with one or with an index, or a diffusers pipeline's folder. At least
 * one tower is there on success. The files stay mapped: half-precision weights stay half, and are widened
 * layer by layer when they are used. */
int ib_clip_open(ib_clip **out, const char *path, const ib_clip_options *o, ib_error *err);
void ib_clip_close(ib_clip **c);

/* NULL: there is none. */
const ib_clip_tower *ib_clip_vision(const ib_clip *c);
const ib_clip_tower *ib_clip_text(const ib_clip *c);
const ib_clip_preprocess *ib_clip_preprocess_of(const ib_clip *c);
/* The tokenizer's file or folder; NULL: there is none, or none is needed. */
const char *ib_clip_tokenizer_path(const ib_clip *c);

/* From a picture to the image tower's input, as the reference implementations do it: antialiased resampling
 * in 8 bits, then the centre (crop) or no cut at all (squash), then (v / 255 - mean) / std. rgb:
 * [height,width,3], rows `stride` bytes apart; pixels: [3,S,S]. From several threads at once, if need be. */
int ib_clip_prepare(const ib_clip *c, ib_fit fit, const uint8_t *rgb, size_t stride, int width, int height,
                    float *pixels, ib_error *err);
/* Pictures that are best computed together. */
size_t ib_clip_batch(const ib_clip *c);
/* What follows uses all threads for one call; calls from several threads wait for each other. */

/* Embeddings in the joint space, not normalised. pixels: [n,3,S,S]; z: [n,D]. IB_E_UNSUPPORTED without image
 * tower or projection. */
int ib_clip_images(ib_clip *c, const float *pixels, size_t n, float *z, ib_error *err);
/* Hidden tokens after all blocks but the last `skip`. h: [n,T,W]. */
int ib_clip_image_hidden(ib_clip *c, const float *pixels, size_t n, size_t skip, float *h, ib_error *err);

/* A prompt's token numbers: begin, at most T - 2 of the text, end, and padding. ids: [T] of
 * the text tower. */
int ib_clip_tokenize(const ib_clip *c, const char *prompt, int32_t *ids, ib_error *err);
/* Embeddings in the joint space, not normalised: the tower's output at the end token, which is the largest of
 * the numbers. ids: [n,T]; z: [n,D]. */
int ib_clip_texts(ib_clip *c, const int32_t *ids, size_t n, float *z, ib_error *err);
/* Hidden tokens after all blocks but the last `skip`; final_norm: through the tower's last normalisation. h:
 * [n,T,W]. */
int ib_clip_text_hidden(ib_clip *c, const int32_t *ids, size_t n, size_t skip, bool final_norm, float *h,
                        ib_error *err);

#endif
