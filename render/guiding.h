/* Inside render/: the guides on the way between keyframes that are pictures (guide/guide.h). */
#ifndef IB_RENDER_GUIDING_H
#define IB_RENDER_GUIDING_H

#include "guide/guide.h"
#include "render/embeddings.h"
#include "render/keyframes.h"
#include "render/path.h"

typedef struct ib_guiding {
    const ib_embeddings_options *o;
    ib_guide *guide;     /* NULL: none */
    bool *guided;        /* [ways] from keyframe to keyframe */
    size_t ways, usable; /* usable: those with pictures at both ends */
    const ib_keyframes *keys;
    float gap_seconds;
    double done, all; /* guides */
} ib_guiding;

/* Chooses the pixel model, before keyframes are read. adapter: NULL for slerp. Without a use for guides
 * g->guide stays NULL, and a guide that was asked for is answered with a sentence. IB_E_MISMATCH if the pixel
 * model is not the adapter's, or is not known. *g is to be freed in any case. */
int ib_guiding_open(ib_guiding *g, const ib_embeddings_options *o, const ib_adapter *adapter, ib_error *err);
/* The keyframes are there, with their pictures, which are made as small as guides need; says between how many
 * of them there are guides. p: for the path, which asks for guides as it comes to them. gate: [rows], filled
 * by the path. */
int ib_guiding_begin(ib_guiding *g, ib_keyframes *keys, float gap_seconds, float *gate, ib_path_guides *p,
                     ib_error *err);
void ib_guiding_free(ib_guiding *g);

#endif
