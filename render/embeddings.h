/* Rendering in spaces that cannot turn latents into pictures: keyframes in, the embeddings on the way between
 * them out, one row a frame, for a diffusion pipeline (docs/diffusers.md); or a preview of them through the
 * nearest real frames of given footage. */
#ifndef IB_RENDER_EMBEDDINGS_H
#define IB_RENDER_EMBEDDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"
#include "base/stop.h"
#include "latent/space.h"
#include "search/asked.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_embeddings_options {
    const char *const
        *keyframes; /* [n_keyframes] "text:PROMPT", a picture, VIDEO@TIME, or a latent file, NAME.h5@TIME */
    size_t n_keyframes;  /* >= 2 */
    const char *output;  /* NAME.safetensors, or, with preview_from, a clip (video_io/writer.h) */
    const char *adapter; /* file; NULL: slerp alone */
    double trust;        /* -1: what the adapter's file says; 0..1: that (ib_adapter_trust) */
    const char
        *guide; /* for an adapter with guides, the pixel model that makes them between keyframes that are
                 * pictures, by name (adapter/named.h). It must be the one that the adapter was trained with.
                 * NULL: that one, if it is the program's own; IB_GUIDE_NONE (guide/guide.h): no guides */
    double guide_scale;       /* ib_adapter_guide_scale; default 1 */
    ib_search_asked search;   /* with a judge; one that is stopped gives the best so far (summary.ended) */
    const ib_space *space;    /* NULL if all keyframes are latents and there is no preview */
    const char *modality_gap; /* file of render/modality_gap.h, added to prompts; NULL: prompts as they are */
    int frames;               /* from one keyframe to the next, both counted, 2..1000000 */
    double fps;               /* > 0, <= 1000 */
    double gap_seconds;       /* the time between keyframes that the model sees; 0: (frames - 1) / fps */
    bool ease, loop;          /* as in render/movie.h */
    const char *const *preview_from; /* [n_preview] videos */
    size_t n_preview;                /* 0: no preview */
    int preview_every;               /* look at every nth frame of them, >= 1; 0: 1 */
    int width, height;      /* of the preview; 0, 0: the first video's, at most 640 on the longer side */
    const char *codec;      /* of the preview; NULL: by the file name */
    int crf;                /* -1: the codec's default */
    bool overwrite;         /* a preview as pictures replaces those of its names */
    bool keep_interlaced;   /* read interlaced video as it is; default false: deinterlaced */
    int threads;            /* for decoding; 0: as many as cores */
    const atomic_int *stop; /* non-zero: nothing is written, IB_E_INTERRUPTED; may be NULL */
    void (*progress)(void *user, const char *stage,
                     double fraction);                 /* from the calling thread; may be NULL */
    void (*message)(void *user, const char *sentence); /* what is done with guides; may be NULL */
    void *user;
} ib_embeddings_options;

typedef struct ib_embeddings_summary {
    size_t rows;
    ib_shape shape;    /* of a row */
    size_t prompts;    /* keyframes that are */
    size_t guided;     /* ways from keyframe to keyframe with guides */
    char guide[160];   /* id of their pixel model (guide/guide.h); empty: no guides */
    bool ended;        /* a search was out of time somewhere, or was stopped */
    size_t interlaced; /* keyframes and videos of previews that are */
    /* previews only: */
    int width, height;
    size_t footage_frames, shown; /* frames that were looked at, and different ones that the preview shows */
    double least_cosine, mean_cosine; /* of rows and the frames shown for them */
} ib_embeddings_summary;

/* Frames 25, 24 a second, every frame of footage. */
IB_API void ib_embeddings_defaults(ib_embeddings_options *o);
/* True if a file name means embeddings: it ends in .safetensors. */
IB_API bool ib_embeddings_name(const char *output);
/* Errors leave no file: IB_E_MISMATCH for an adapter, a latent or a modality gap of another space, and for an
 * adapter whose pixel model is another one or has to be named;
 * IB_E_UNSUPPORTED, with what to do, for a clip as output without a preview; IB_E_ARGUMENT for an output that
 * is an input. Rows at keyframes are the keyframes' embeddings (of prompts with a modality gap: the corrected
 * ones) bit for bit. The file is described in docs/files.md. summary may be NULL. */
IB_API int ib_render_embeddings(const ib_embeddings_options *o, ib_embeddings_summary *summary,
                                ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
