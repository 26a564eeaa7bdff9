#include "diffusion/buffers.h"

#include "base/memory.h"

size_t ib_floats(size_t a, size_t b, size_t c, size_t d) {
    size_t n;
    if (ib_size_mul(a, b, &n) || ib_size_mul(n, c, &n) || ib_size_mul(n, d, &n)) {
        return 0;
    }
    return n;
}

float *ib_buffers_take(ib_buffers *b, size_t n) {
    int best = -1, empty = -1;
    if (b->rc) {
        return NULL;
    }
    for (int i = 0; i < IB_BUFFERS; i++) {
        if (!b->slot[i].p) {
            empty = i;
        } else if (!b->slot[i].taken && b->slot[i].floats >= n && b->slot[i].floats / 2 <= n &&
                   (best < 0 || b->slot[i].floats < b->slot[best].floats)) {
            best = i;
        }
    }
    if (best >= 0) {
        b->slot[best].taken = true;
        return b->slot[best].p;
    }
    /* none that fits: a free one of another size makes room */
    for (int i = 0; i < IB_BUFFERS && empty < 0; i++) {
        if (!b->slot[i].taken) {
            ib_free(b->slot[i].p);
            b->slot[i].p = NULL;
            empty = i;
        }
    }
    if (empty < 0 || !n) {
        b->rc = ib_fail(b->err, IB_E_MEMORY, "these pictures are too large, or too many at once");
        return NULL;
    }
    b->rc = ib_alloc_floats(&b->slot[empty].p, n, "activations", b->err);
    if (b->rc) {
        b->slot[empty].p = NULL;
        return NULL;
    }
    b->slot[empty].floats = n;
    b->slot[empty].taken = true;
    return b->slot[empty].p;
}

void ib_buffers_give(ib_buffers *b, const float *p) {
    for (int i = 0; i < IB_BUFFERS && p; i++) {
        if (b->slot[i].p == p) {
            b->slot[i].taken = false;
        }
    }
}

void ib_buffers_give_all(ib_buffers *b) {
    for (int i = 0; i < IB_BUFFERS; i++) {
        b->slot[i].taken = false;
    }
}

void ib_buffers_free(ib_buffers *b) {
    for (int i = 0; i < IB_BUFFERS; i++) {
        ib_free(b->slot[i].p);
    }
    *b = (ib_buffers){0};
}
