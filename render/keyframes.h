/* Inside render/: what a user calls a keyframe, as a latent. */
#ifndef IB_RENDER_KEYFRAMES_H
#define IB_RENDER_KEYFRAMES_H

#include "latent/space.h"

typedef enum ib_key_kind {
    IB_KEY_PROMPT,  /* "text:PROMPT" */
    IB_KEY_PICTURE, /* a picture, a video, or VIDEO@TIME (ib_read_still) */
    IB_KEY_LATENT   /* a latent file, NAME.h5 or NAME.h5@TIME: the frame that is on screen then */
} ib_key_kind;
/* What a user's word is; looks at nothing but the word. */
ib_key_kind ib_key_kind_of(const char *spec);
const char *ib_key_kind_name(ib_key_kind k); /* "prompt" "picture" "latent" */
/* The prompt of a "text:PROMPT". */
const char *ib_key_prompt(const char *spec);
/* IB_E_IO, saying how prompts are written, if the word is meant as a file and there is none. A pipe or device
 * is one. */
int ib_key_exists(const char *spec, ib_error *err);

typedef struct ib_keyframes {
    size_t n;
    ib_shape shape; /* of all */
    char space_id[256];
    float *z;        /* [n,T,D], owned */
    ib_frame *frame; /* [n], owned: the pictures if they were asked for, else NULL; empty where there is none.
                      * All of the first one's size and matrix: others are fitted to it, but not to a size
                      * that is odd or below 16 px */
    size_t interlaced; /* keyframes that are of interlaced video */
} ib_keyframes;

/* Of pictures and videos. */
typedef struct ib_key_reading {
    int threads;
    bool keep_interlaced;
    const atomic_int *stop; /* may be NULL */
    bool frames;            /* keep the pictures, too */
} ib_key_reading;

/* space: NULL if all keyframes are latents. IB_E_MISMATCH if one of them is of another space or shape. */
int ib_keyframes_read(ib_keyframes *k, const ib_space *space, const char *const *specs, size_t n,
                      const ib_key_reading *how, ib_error *err);
void ib_keyframes_free(ib_keyframes *k);

#endif
