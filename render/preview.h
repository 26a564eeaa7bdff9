/* Inside render/: embeddings shown through the nearest frames of real footage, by the cosine of the angle
 * between them (of sequences: of all their tokens as one vector). */
#ifndef IB_RENDER_PREVIEW_H
#define IB_RENDER_PREVIEW_H

#include "render/embeddings.h"

/* What the output may not replace: keyframes, adapter, modality gap and footage. malloc'ed, its texts are the
 * options'; NULL when memory is out. */
const char **ib_embeddings_inputs(const ib_embeddings_options *o, size_t *n);

/* rows: [n,T,D]; pts: [n] seconds for the labels. Writes o->output and fills the summary's figures of
 * previews. */
int ib_preview_write(const ib_embeddings_options *o, const ib_shape *shape, const float *rows,
                     const double *pts, size_t n, ib_embeddings_summary *summary, ib_error *err);

#endif
