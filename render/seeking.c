#include "render/seeking.h"

#include <string.h>

enum { PIECE = 64 }; /* guides that are made together */

int ib_seeking_open(ib_seeking *s, const ib_search_asked *asked, const char *space_id, int threads,
                    const atomic_int *stop, ib_error *err) {
    *s = (ib_seeking){0};
    int rc = ib_search_begin(asked, space_id, "the keyframes", &s->o, &s->judge, err);
    s->o.threads = threads;
    s->o.stop = stop;
    return !rc && asked->candidates && !s->judge
               ? ib_fail(err, IB_E_ARGUMENT, "a search takes a judge to choose with (inbetween train-judge)")
               : rc;
}

void ib_seeking_free(ib_seeking *s) {
    ib_search_judge_free(&s->judge);
}

static int see(ib_sought *w, const ib_path_guides *g, size_t way, ib_error *err) {
    size_t values = IB_GUIDE_PICTURES * w->shape.tokens * w->shape.width, some;
    int rc = IB_OK;
    w->guided = g->make && g->guided[way];
    for (size_t i = 0; w->guided && i < w->places && !rc; i += some) {
        some = w->places - i < PIECE ? w->places - i : PIECE;
        rc = g->make(g->user, way, w->t + i, some, w->guide + i * values, w->feature + i * IB_GUIDE_FEATURES,
                     err);
    }
    return rc;
}

int ib_seeking_look(ib_sought *w, const ib_adapter *adapter, const ib_path_options *o, const ib_shape *shape,
                    size_t way, const float *z0, const float *z1, const float *t, size_t n, ib_error *err) {
    size_t values = shape->tokens * shape->width;
    int rc = ib_sought_create(w, adapter, o->space_id, shape, n, err);
    if (!rc) {
        w->places = n;
        w->gap_seconds = o->gap_seconds;
        memcpy(w->z0, z0, values * sizeof *z0);
        memcpy(w->z1, z1, values * sizeof *z1);
        memcpy(w->t, t, n * sizeof *t);
        rc = see(w, &o->guides, way, err);
    }
    return rc ? rc : ib_sought_answer(w, adapter, err);
}

int ib_seeking_way(ib_seeking *s, const ib_adapter *adapter, const ib_path_options *o, const ib_shape *shape,
                   size_t way, const float *z0, const float *z1, const float *t, size_t n, float *rows,
                   float *gate, ib_error *err) {
    ib_sought w;
    bool whole = true;
    int rc = ib_seeking_look(&w, adapter, o, shape, way, z0, z1, t, n, err);
    rc = rc ? rc : ib_search_window(s->judge, &w, &s->o, rows, &whole, err);
    s->ended = s->ended || !whole;
    if (!rc && gate) {
        memcpy(gate, w.gate, n * sizeof *gate);
    }
    ib_sought_free(&w);
    return rc;
}
