/* Overflow-checked sizes and aligned memory. Every size that comes from a file, an option or a product of
 * dimensions goes through these. */
#ifndef IB_BASE_MEMORY_H
#define IB_BASE_MEMORY_H

#include <stddef.h>
#include "base/api.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* *out = a * b, or -1 with *out untouched when the product does not fit. */
IB_API int ib_size_mul(size_t a, size_t b, size_t *out);
/* *out = a + b, likewise. */
IB_API int ib_size_add(size_t a, size_t b, size_t *out);

/* 64-byte aligned, zero-filled array of `count` elements of `element_bytes`. NULL when the size does not fit
 * or memory is out; count 0 gives a pointer that may be freed but not read. Free with ib_free. */
IB_API void *ib_calloc(size_t count, size_t element_bytes);
IB_API void ib_free(void *p);

/* Like ib_calloc for floats, with the error filled: "out of memory for WHAT (N bytes)". */
IB_API int ib_alloc_floats(float **out, size_t count, const char *what, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
