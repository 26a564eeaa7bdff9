#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(sizeof(size_t) >= 8,
               "inbetween needs a 64-bit system: its files and models do not fit into 32 bits of address");

int ib_size_mul(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return -1;
    }
    *out = r;
    return 0;
}

int ib_size_add(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return -1;
    }
    *out = r;
    return 0;
}

enum { LINE = 64, HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

void *ib_calloc(size_t count, size_t element_bytes) {
    size_t bytes;
    void *p;
    if (ib_size_mul(count, element_bytes, &bytes) || bytes > PTRDIFF_MAX) {
        return NULL;
    }
    bool large = bytes >= LARGE;
    if (posix_memalign(&p, large ? HUGE_PAGE : LINE, bytes ? bytes : LINE)) {
        return NULL;
    }
    if (large) {
        /* a wish: without misses of pages large products are up to a tenth faster */
        madvise(p, bytes, MADV_HUGEPAGE);
    }
    memset(p, 0, bytes);
    return p;
}

void ib_free(void *p) {
    free(p);
}

int ib_alloc_floats(float **out, size_t count, const char *what, ib_error *err) {
    float *p = ib_calloc(count, sizeof *p);
    if (!p) {
        size_t bytes;
        if (ib_size_mul(count, sizeof *p, &bytes)) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for %s (%zu floats)", what, count);
        }
        return ib_fail(err, IB_E_MEMORY, "out of memory for %s (%zu bytes)", what, bytes);
    }
    *out = p;
    return IB_OK;
}
