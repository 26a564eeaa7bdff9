/* Inside render/: the embeddings on the way between keyframes, for whoever makes pictures of them. */
#ifndef IB_RENDER_ROWS_H
#define IB_RENDER_ROWS_H

#include "render/embeddings.h"
#include "search/sought.h"

typedef struct ib_rows {
    size_t n;       /* a chain of K keyframes: (K - 1)(frames - 1) + 1, a loop: K (frames - 1) */
    ib_shape shape; /* of a row */
    char space_id[256];
    float *z, *t;   /* [n,T,D], [n]; owned */
    float *nothing; /* [T,D] of a picture that is zero after normalisation; NULL if the space has none; owned
                     */
} ib_rows;

/* Output and preview of the options mean nothing here. Errors are those of ib_render_embeddings. */
int ib_rows_make(ib_rows *r, const ib_embeddings_options *o, ib_error *err);
/* What a search sees between one keyframe and the next, whether there is one or not: all frames - 2 places.
 * Frames >= 3. visit: for each way; what it returns other than 0 ends the visits and is returned. */
typedef int ib_rows_visit(void *user, size_t way, const ib_sought *s, ib_error *err);
int ib_rows_look(const ib_embeddings_options *o, ib_rows_visit *visit, void *user, ib_error *err);
void ib_rows_free(ib_rows *r); /* harmless on a zeroed one */

#endif
