/* Inside eval: a clip's latents, read from their file once for all methods and gaps, and searched for the
 * frame nearest to one. */
#ifndef IB_EVAL_STORE_H
#define IB_EVAL_STORE_H

#include <stdbool.h>
#include "latent/latent_file.h"

typedef struct ib_store ib_store;

/* f is borrowed. Holds all frames as they are in the file (half) if that takes at most `most_bytes`; else
 * every s-th, with the least s that fits, and the others are read when they are asked for. IB_E_NONFINITE and
 * IB_E_FORMAT as ib_latent_read. */
int ib_store_open(ib_store **out, ib_latent_file *f, size_t most_bytes, ib_error *err);
void ib_store_close(ib_store **s);
ib_latent_file *ib_store_file(const ib_store *s);

/* One frame. z: [T,D]. Any thread. */
int ib_store_read(const ib_store *s, size_t frame, float *z, ib_error *err);

/* Whether no other frame that is held is nearer to z than number `frame` is, whose squared distance is `own`.
 * The same frame again is not nearer. Exact: frames are left out by a lower bound of their distance. */
bool ib_store_is_nearest(const ib_store *s, const float *z, size_t frame, double own);

#endif
