/* Inside diffusion/ only: memory for activations. A buffer that is given back serves the next one of about
 * its size, so a walk through a model allocates once and later walks of the same size not at all. */
#ifndef IB_DIFFUSION_BUFFERS_H
#define IB_DIFFUSION_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

enum { IB_BUFFERS = 96 };

/* Zero-initialise. After a failure everything that is taken is NULL, and rc holds what happened: a walk may
 * go on to the next place where it looks at rc. */
typedef struct ib_buffers {
    struct {
        float *p;
        size_t floats;
        bool taken;
    } slot[IB_BUFFERS];
    int rc;
    ib_error *err;
} ib_buffers;

/* Product of four sizes; beyond size_t or with a zero, 0. */
size_t ib_floats(size_t a, size_t b, size_t c, size_t d);
/* [n] of unknown content; NULL, with rc and the error filled, if there is no memory or n is 0. */
float *ib_buffers_take(ib_buffers *b, size_t n);
/* Accepts NULL. */
void ib_buffers_give(ib_buffers *b, const float *p);
void ib_buffers_give_all(ib_buffers *b);
void ib_buffers_free(ib_buffers *b);

#endif
