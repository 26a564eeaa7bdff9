/* Inside render/: a path between keyframes that is searched for (search/search.h). */
#ifndef IB_RENDER_SEEKING_H
#define IB_RENDER_SEEKING_H

#include "render/path.h"
#include "search/search.h"

typedef struct ib_seeking {
    ib_search_options o;
    ib_search_judge *judge; /* NULL: there is no search */
    bool ended;             /* somewhere it was out of time, or stopped */
} ib_seeking;

/* Nothing is opened if no search is asked for. IB_E_ARGUMENT without a judge; those of ib_search_begin. *s is
 * to be freed in any case. */
int ib_seeking_open(ib_seeking *s, const ib_search_asked *asked, const char *space_id, int threads,
                    const atomic_int *stop, ib_error *err);
void ib_seeking_free(ib_seeking *s);

/* What a search sees of the places t [n] between keyframes `way` and the next. *w is to be freed in any case.
 */
int ib_seeking_look(ib_sought *w, const ib_adapter *adapter, const ib_path_options *o, const ib_shape *shape,
                    size_t way, const float *z0, const float *z1, const float *t, size_t n, ib_error *err);
/* The rows strictly between keyframes `way` and the next, at t [n]. rows: [n,T,D]; gate: [n] or NULL. A
 * search that is stopped ends with the adapter's answers and is no error. */
int ib_seeking_way(ib_seeking *s, const ib_adapter *adapter, const ib_path_options *o, const ib_shape *shape,
                   size_t way, const float *z0, const float *z1, const float *t, size_t n, float *rows,
                   float *gate, ib_error *err);

#endif
