/* Spaces: fixed maps from frames (and, where they can, from prompts) to latents and, where they can, back to
 * frames. */
#ifndef IB_LATENT_SPACE_H
#define IB_LATENT_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/api.h"
#include "base/error.h"
#include "video_io/reader.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ib_layout {
    IB_LAYOUT_GRID,     /* T = rows x cols, row-major */
    IB_LAYOUT_SEQUENCE, /* T tokens in order */
    IB_LAYOUT_SINGLE    /* T = 1 */
} ib_layout;
IB_API const char *ib_layout_name(ib_layout l); /* "grid" "sequence" "single" */

/* The shape that a space gives frames of one size. */
typedef struct ib_shape {
    ib_layout layout;
    int rows, cols;       /* grid; else 1 x T */
    size_t tokens, width; /* T, D */
} ib_shape;

/* What of a frame becomes its latent, where a space has the choice. */
typedef enum ib_tokens {
    IB_TOKENS_POOLED,     /* default: one embedding, layout single */
    IB_TOKENS_PENULTIMATE /* the hidden tokens before the last block, layout sequence; no prompts */
} ib_tokens;

/* Zeros are the defaults. Spaces that have no use for an option ignore it. */
typedef struct ib_space_options {
    ib_fit fit; /* for spaces that resize (ib_space_resizes): how a frame becomes the space's own size; part
                   of the id */
    ib_tokens tokens; /* part of the id */
    const char
        *activation;       /* "quick_gelu" or "gelu" for both towers; NULL: what config or known models say */
    const char *tokenizer; /* folder or tokenizer.json; NULL: beside the weights */
    int threads;           /* 0: as many as OpenMP has */
} ib_space_options;

typedef struct ib_space ib_space;
/* spec: "patch", "clip:PATH" or "vae:PATH". o: NULL for the defaults. IB_E_ARGUMENT with the list of spaces
 * for anything else. */
IB_API int ib_space_open_with(ib_space **out, const char *spec, const ib_space_options *o, ib_error *err);
IB_API int ib_space_open(ib_space **out, const char *spec, ib_error *err); /* with the defaults */
IB_API void ib_space_close(ib_space **s);
/* Names everything that defines the coordinates; equal ids mean exchangeable latents. At
 * most 255 characters. */
IB_API const char *ib_space_id(const ib_space *s);
/* Whether a space's id, or the name that it is asked for by, is that of pictures as they are: latents that
 * can be moved, mirrored and scaled (the patch space, latent/patch.h). */
IB_API bool ib_space_is_pictures(const char *id);
/* A sentence for the user on what was found and chosen in opening (activation, preprocessing) and why; empty
 * if nothing was. */
IB_API const char *ib_space_remark(const ib_space *s);

/* False: frames are encoded at the size that the caller gives them, and it is part of the picture (patch).
 * True: the space resizes by itself, so give it frames of the source's own size (0 x 0 in ib_reader_options)
 * with their RGB (`rgb` there). */
IB_API bool ib_space_resizes(const ib_space *s);
/* For patch, sizes are rounded up to multiples of 8 and the frame is padded by repeating its edge; decode
 * crops back. Spaces that resize give all sizes one shape. */
IB_API int ib_space_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err);
/* z: [T,D]. From several threads at once, if need be. IB_E_UNSUPPORTED by a space without an image side. */
IB_API int ib_space_encode(const ib_space *s, const ib_frame *frame, float *z, ib_error *err);
/* The same for n frames of one size, with all threads of the space together. z: [n,T,D] */
IB_API int ib_space_encode_frames(const ib_space *s, const ib_frame *const *frames, size_t n, float *z,
                                  ib_error *err);

/* For streams, whose frames do not live long enough to be gathered: a space may have its own form of a frame,
 * `floats` long (clip: the resized, normalised picture), about `batch` of which are best given at once.
 * floats 0: it has none, encode frame by frame. */
typedef struct ib_space_input {
    size_t floats, batch;
    int side; /* px of the square picture that a frame becomes; 0 without */
} ib_space_input;
IB_API ib_space_input ib_space_input_of(const ib_space *s);
/* input: [floats]. From several threads at once, if need be. */
IB_API int ib_space_prepare(const ib_space *s, const ib_frame *frame, float *input, ib_error *err);
/* input: [n,floats]; z: [n,T,D] */
IB_API int ib_space_encode_inputs(const ib_space *s, const float *input, size_t n, float *z, ib_error *err);

/* True if prompts have a place in this space, beside the frames'. */
IB_API bool ib_space_reads_text(const ib_space *s);
/* prompt: UTF-8, cut at what the text side takes in (clip: 75 tokens). z: [T,D]. IB_E_UNSUPPORTED, with the
 * reason, by a space that does not read text. */
IB_API int ib_space_encode_text(const ib_space *s, const char *prompt, float *z, ib_error *err);

/* True if the space can turn latents into pictures by itself. */
IB_API bool ib_space_decodes(const ib_space *s);
/* frame: allocated by the caller at the wanted size, whose shape must be z's. Values are rounded and clipped
 * to 0..255. */
IB_API int ib_space_decode(const ib_space *s, const float *z, /* [T,D] */ ib_frame *frame, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
