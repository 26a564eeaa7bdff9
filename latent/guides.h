/* Guides in a latent file: for some windows, what the space makes of the pictures that a pixel model renders
 * between their keyframes (docs/model.md). Each in-between is seen twice: the first keyframe carried there
 * and the last one carried there, each a whole picture. Their mixture, the model's in-between, is no guide:
 * where the two do not quite agree it shows ghosts, which an encoder of pictures takes for something else.
 * They are made with the latents, by `inbetween encode`; a file may have none. Layout in docs/files.md. */
#ifndef IB_LATENT_GUIDES_H
#define IB_LATENT_GUIDES_H

#include "base/api.h"
#include "latent/latent_file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the pixel model tells of a guide besides its picture, all >= 0. Differences are means over the
 * picture of |a - b| of luma, 1 from black to white. The first two change places with the keyframes. */
typedef enum ib_guide_feature {
    IB_GUIDE_FROM_FIRST, /* first keyframe - itself carried to t */
    IB_GUIDE_FROM_LAST,  /* last keyframe - itself carried to t */
    IB_GUIDE_APART,      /* first keyframe - last keyframe */
    IB_GUIDE_DOUBT,      /* the two pictures of the guide, one from the other */
    IB_GUIDE_DOUBT_PEAK, /* the same, root of the mean square: where doubt is gathered in few places */
    IB_GUIDE_MOTION,     /* length of the estimated motion over the gap, mean, parts of the picture's width */
    IB_GUIDE_VIEWS,      /* difference of the motion as either keyframe sees it, likewise */
    IB_GUIDE_UNSEEN,     /* share of the picture that a keyframe does not cover: 0..1 */
    IB_GUIDE_FEATURES
} ib_guide_feature;

/* A window of `gap` frames: keyframes `first` and first + gap. Its guides, of frames first + 1 to first +
 * gap - 1, are numbers `at` to at + gap - 2 of the file. */
typedef struct ib_guide_window {
    size_t first;
    int gap;
    size_t at;
} ib_guide_window;

typedef struct ib_guide_table {
    char model[160];               /* id of the pixel model (guide/guide.h); no guides: empty */
    size_t windows, guides;        /* guides: of all windows */
    const ib_guide_window *window; /* [windows], rising by gap, then by first */
    const float *feature;          /* [guides, IB_GUIDE_FEATURES] */
} ib_guide_table;

enum {
    IB_GUIDE_MAX_GAP = 1000,
    IB_GUIDE_PICTURES = 2 /* of a guide: the first keyframe carried to t, the last one */
};

/* Whether two ids are of the same model: equal up to the first blank. */
IB_API bool ib_guide_same_model(const char *a, const char *b);

/* Read with the file's description. NULL: the file has no guides. */
IB_API const ib_guide_table *ib_latent_guides(const ib_latent_file *f);
/* The windows of one gap: the first of them and their number, 0 if there are none. */
IB_API size_t ib_guide_windows(const ib_guide_table *t, int gap, const ib_guide_window **first);
/* The window that begins at a frame; NULL if it has no guides. */
IB_API const ib_guide_window *ib_guide_window_at(const ib_guide_table *t, int gap, size_t first);
/* Guides as ib_latent_read reads frames. z: [count,IB_GUIDE_PICTURES,T,D] */
IB_API int ib_latent_read_guides(ib_latent_file *f, size_t first, size_t count, float *z, ib_error *err);
IB_API int ib_latent_read_guides_half(ib_latent_file *f, size_t first, size_t count, uint16_t *h,
                                      ib_error *err);

/* After the last frame was appended: the windows that will have guides, by gap, then by first; `at` is taken
 * no notice of. IB_E_ARGUMENT for windows out of order, across a cut or beyond the frames. */
IB_API int ib_latent_writer_guides(ib_latent_writer *w, const char *model, const ib_guide_window *window,
                                   size_t windows, ib_error *err);
/* The next guide, window after window. z: [IB_GUIDE_PICTURES,T,D]; feature: [IB_GUIDE_FEATURES]. Errors as of
 * append. All must have come before the file is finished. */
IB_API int ib_latent_writer_append_guide(ib_latent_writer *w, const float *z, const float *feature,
                                         ib_error *err);
/* The guide of a number (ib_guide_window.at), in any order, each once: IB_E_ARGUMENT. Not together with the
 * above. */
IB_API int ib_latent_writer_put_guide(ib_latent_writer *w, size_t number, const float *z,
                                      const float *feature, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
