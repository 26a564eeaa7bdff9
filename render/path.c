#include "render/path.h"

#include <string.h>

/* Requests that go through the model together: of one token many, of hundreds few. */
enum { SINGLES = 64, SEQUENCES = 4 };

size_t ib_path_rows(const ib_path_options *o, size_t n) {
    return (n - 1 + o->loop) * (size_t)(o->frames - 1) + !o->loop;
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

/* The rows strictly between two keyframes. */
static int make_pair(const ib_adapter *a, ib_adapter_work *w, int most, const ib_path_options *o,
                     const ib_shape *s, const float *z0, const float *z1, float *rows, float *t,
                     ib_error *err) {
    ib_between in[SINGLES];
    int steps = o->frames - 2, n, rc = IB_OK;
    for (int first = 0; !rc && first < steps; first += n) {
        n = steps - first < most ? steps - first : most;
        for (int i = 0; i < n; i++) {
            float x = (float)(first + i + 1) / (float)(o->frames - 1);
            x = o->ease ? x * x * (3 - 2 * x) : x;
            in[i] = (ib_between){z0, z1, x, o->gap_seconds};
            t[first + i] = x;
        }
        if (o->stop && atomic_load(o->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
        rc = between_path(a, w, o->geometry, s, in, n, rows + (size_t)first * s->tokens * s->width, err);
    }
    return rc;
}

int ib_path_make(const ib_adapter *adapter, const ib_path_options *o, const ib_shape *s, const float *keys,
                 size_t n, float *rows, float *t, ib_error *err) {
    size_t values = s->tokens * s->width, step = (size_t)(o->frames - 1), pairs = n - 1 + o->loop;
    int most = s->layout == IB_LAYOUT_SINGLE ? SINGLES : SEQUENCES, rc = IB_OK;
    ib_adapter_work *w = NULL;
    if (adapter) {
        rc = ib_adapter_work_create(&w, adapter, s, most, false, err);
    }
    for (size_t p = 0; !rc && p < pairs; p++) {
        const float *z0 = keys + p * values, *z1 = keys + (p + 1) % n * values;
        memcpy(rows + p * step * values, z0, values * sizeof *rows);
        t[p * step] = 0;
        rc = make_pair(adapter, w, most, o, s, z0, z1, rows + (p * step + 1) * values, t + p * step + 1, err);
    }
    if (!rc && !o->loop) {
        memcpy(rows + pairs * step * values, keys + (n - 1) * values, values * sizeof *rows);
        t[pairs * step] = 0;
    }
    ib_adapter_work_free(&w);
    return rc;
}
