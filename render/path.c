#include "render/path.h"

#include <string.h>

#include "base/memory.h"
#include "render/seeking.h"

/* Requests that go through the model together: of one token many, of hundreds few. */
enum { SINGLES = 64, SEQUENCES = 8 };

size_t ib_path_rows(const ib_path_options *o, size_t n) {
    return (n - 1 + o->loop) * (size_t)(o->frames - 1) + !o->loop;
}

void ib_path_places(const ib_path_options *o, float *t) {
    for (int i = 0; i < o->frames - 2; i++) {
        float x = (float)(i + 1) / (float)(o->frames - 1);
        t[i] = o->ease ? x * x * (3 - 2 * x) : x;
    }
}

/* [n] requests; z: [n,T,D] */
static int between_path(const ib_adapter *a, ib_adapter_work *w, const ib_geometry *g, const ib_shape *s,
                        const ib_between *in, int n, float *z, ib_error *err) {
    if (a) {
        return ib_adapter_predict(a, w, in, n, z, err);
    }
    for (int i = 0; i < n; i++) {
        ib_slerp_in(g, in[i].z0, in[i].z1, in[i].t, s->tokens, s->width,
                    z + (size_t)i * s->tokens * s->width);
    }
    return IB_OK;
}

/* What making rows needs. */
typedef struct walk {
    const ib_adapter *adapter;
    ib_adapter_work *work;
    const ib_path_options *o;
    const ib_shape *s;
    int most;               /* requests that go through the model together */
    float *guide, *feature; /* [most, ...] of them; NULL: without guides */
} walk;

static int walk_begin(walk *w, ib_error *err) {
    size_t values = IB_GUIDE_PICTURES * w->s->tokens * w->s->width, most = (size_t)w->most;
    int rc = w->adapter ? ib_adapter_work_create(&w->work, w->adapter, w->s, w->most, false, err) : IB_OK;
    if (!rc && w->o->guides.make) {
        rc = ib_alloc_floats(&w->guide, most * values, "guides", err);
        rc = rc ? rc : ib_alloc_floats(&w->feature, most * IB_GUIDE_FEATURES, "guides", err);
    }
    return rc;
}

static void walk_end(walk *w) {
    ib_adapter_work_free(&w->work);
    ib_free(w->guide);
    ib_free(w->feature);
}

/* Rows at the places t, [n]; gate: [n] or NULL. */
static int make_some(walk *w, size_t way, const float *z0, const float *z1, const float *t, int n,
                     float *rows, float *gate, ib_error *err) {
    const ib_path_guides *g = &w->o->guides;
    size_t values = IB_GUIDE_PICTURES * w->s->tokens * w->s->width;
    ib_between in[SINGLES];
    bool guided = w->guide && g->guided[way];
    int rc = guided ? g->make(g->user, way, t, (size_t)n, w->guide, w->feature, err) : IB_OK;
    for (int i = 0; i < n; i++) {
        in[i] = (ib_between){z0, z1, t[i], w->o->gap_seconds};
        if (guided) {
            in[i].guide = w->guide + (size_t)i * values;
            in[i].feature = w->feature + (size_t)i * IB_GUIDE_FEATURES;
        }
    }
    rc = rc ? rc : between_path(w->adapter, w->work, w->o->geometry, w->s, in, n, rows, err);
    for (int i = 0; !rc && gate && i < n; i++) {
        gate[i] = guided ? ib_adapter_gate(w->work, i) : 0;
    }
    return rc;
}

/* The rows strictly between two keyframes. */
static int make_way(walk *w, size_t way, const float *z0, const float *z1, float *rows, float *t, float *gate,
                    ib_error *err) {
    const ib_path_options *o = w->o;
    int steps = o->frames - 2, n, rc = IB_OK;
    ib_path_places(o, t);
    if (o->seeking && steps > 0) {
        return ib_seeking_way(o->seeking, w->adapter, o, w->s, way, z0, z1, t, (size_t)steps, rows, gate,
                              err);
    }
    for (int first = 0; !rc && first < steps; first += n) {
        n = steps - first < w->most ? steps - first : w->most;
        if (o->stop && atomic_load(o->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
        rc = make_some(w, way, z0, z1, t + first, n, rows + (size_t)first * w->s->tokens * w->s->width,
                       gate ? gate + first : NULL, err);
    }
    return rc;
}

int ib_path_make(const ib_adapter *adapter, const ib_path_options *o, const ib_shape *s, const float *keys,
                 size_t n, float *rows, float *t, ib_error *err) {
    size_t values = s->tokens * s->width, step = (size_t)(o->frames - 1), ways = n - 1 + o->loop;
    float *gate = o->guides.make ? o->guides.gate : NULL;
    walk w = {
        .adapter = adapter, .o = o, .s = s, .most = s->layout == IB_LAYOUT_SINGLE ? SINGLES : SEQUENCES};
    int rc = walk_begin(&w, err);
    for (size_t p = 0; !rc && p < ways; p++) {
        const float *z0 = keys + p * values, *z1 = keys + (p + 1) % n * values;
        size_t at = p * step;
        memcpy(rows + at * values, z0, values * sizeof *rows);
        t[at] = 0;
        if (gate) {
            gate[at] = 0;
        }
        rc = make_way(&w, p, z0, z1, rows + (at + 1) * values, t + at + 1, gate ? gate + at + 1 : NULL, err);
    }
    if (!rc && !o->loop) {
        memcpy(rows + ways * step * values, keys + (n - 1) * values, values * sizeof *rows);
        t[ways * step] = 0;
        if (gate) {
            gate[ways * step] = 0;
        }
    }
    walk_end(&w);
    return rc;
}
