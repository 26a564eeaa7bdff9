#include "render/between.h"

#include <stdlib.h>
#include "base/memory.h"
#include "latent/geometry.h"
#include "motion/pair.h"

typedef struct worker {
    float *z; /* [T,D]; NULL without slerp */
    ib_adapter_work *work;
} worker;

struct ib_betweener {
    ib_space *space;
    const ib_geometry *geometry;
    ib_shape shape; /* of full-size keyframes */
    float *z0, *z1; /* [T,D] of the pair; NULL without slerp */
    const ib_adapter *adapter;
    ib_pair *keys; /* NULL without an adapter */
    float gap_seconds;
    worker *worker; /* [threads] */
    int threads;
};

static int open_slerp(ib_betweener *b, int width, int height, ib_error *err) {
    size_t n;
    b->geometry = ib_geometry_of(ib_space_id(b->space));
    int rc = ib_space_shape(b->space, width, height, &b->shape, err);
    if (rc) {
        return rc;
    }
    if (ib_size_mul(b->shape.tokens, b->shape.width, &n)) {
        return ib_fail(err, IB_E_MEMORY, "keyframes of %d x %d are too large", width, height);
    }
    if ((rc = ib_alloc_floats(&b->z0, n, "a keyframe's latent", err)) ||
        (rc = ib_alloc_floats(&b->z1, n, "a keyframe's latent", err))) {
        return rc;
    }
    for (int i = 0; i < b->threads && !rc; i++) {
        rc = ib_alloc_floats(&b->worker[i].z, n, "an in-between's latent", err);
    }
    return rc;
}

/* Large: a thread's is made when it is first needed. */
static int open_work(ib_betweener *b, int thread, ib_error *err) {
    ib_adapter_work **w = &b->worker[thread].work;
    return *w ? 0 : ib_adapter_work_create(w, b->adapter, ib_pair_shape(b->keys), 1, false, err);
}

static int open_model(ib_betweener *b, int width, int height, ib_error *err) {
    int rc = ib_adapter_check_space(b->adapter, ib_space_id(b->space), "rendering pictures", err);
    if (!rc && !ib_adapter_renders(b->adapter)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "this adapter has no motion head and cannot render pictures");
    }
    rc = rc ? rc : ib_pair_create(&b->keys, width, height, err);
    return rc ? rc : open_work(b, 0, err);
}

int ib_betweener_create(ib_betweener **out, const ib_adapter *adapter, bool slerp, int width, int height,
                        int threads, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    *err = (ib_error){0};
    *out = NULL;
    ib_betweener *b = calloc(1, sizeof *b);
    if (!b || !(b->worker = calloc((size_t)threads, sizeof *b->worker))) {
        free(b);
        return ib_fail(err, IB_E_MEMORY, "out of memory for rendering");
    }
    b->adapter = adapter;
    b->threads = threads;
    int rc = ib_space_open(&b->space, "patch", err);
    if (!rc && slerp) {
        rc = open_slerp(b, width, height, err);
    }
    if (!rc && adapter) {
        rc = open_model(b, width, height, err);
    }
    if (rc) {
        ib_betweener_free(&b);
        return rc;
    }
    *out = b;
    return 0;
}

void ib_betweener_free(ib_betweener **pb) {
    ib_betweener *b = *pb;
    *pb = NULL;
    if (!b) {
        return;
    }
    for (int i = 0; i < b->threads; i++) {
        ib_adapter_work_free(&b->worker[i].work);
        ib_free(b->worker[i].z);
    }
    free(b->worker);
    ib_pair_free(&b->keys);
    ib_free(b->z1);
    ib_free(b->z0);
    ib_space_close(&b->space);
    free(b);
}

int ib_betweener_pair(ib_betweener *b, const ib_frame *first, const ib_frame *last, float gap_seconds,
                      ib_error *err) {
    b->gap_seconds = gap_seconds;
    int rc = b->keys ? ib_pair_set(b->keys, first, last, b->threads, err) : 0;
    rc = rc || !b->z0 ? rc : ib_space_encode(b->space, first, b->z0, err);
    return rc || !b->z1 ? rc : ib_space_encode(b->space, last, b->z1, err);
}

int ib_betweener_slerp(ib_betweener *b, int thread, float t, ib_frame *out, ib_error *err) {
    float *z = b->worker[thread].z;
    ib_slerp_in(b->geometry, b->z0, b->z1, t, b->shape.tokens, b->shape.width, z);
    return ib_space_decode(b->space, z, out, err);
}

int ib_betweener_model(ib_betweener *b, int thread, float t, int threads, ib_frame *out, ib_error *err) {
    int rc = open_work(b, thread, err);
    return rc ? rc
              : ib_adapter_render(b->adapter, b->worker[thread].work, b->keys, t, b->gap_seconds, threads,
                                  out, err);
}
