/* Convolutions over grids of tokens, channels last, forward only, with weights as files of models hold them.
 *
 * 3x3 with stride 1 is computed by Winograd's filtering F(4x4, 3x3) (nn/winograd.h) where an image has a few
 * tiles, else and with other strides as a product for every tap. Which of them depends on the image's size
 * alone, and every element is summed in one order: an image alone, among others, and on any number of threads
 * gives the same bits. Weights are widened and transformed once a call for all images, block by block of
 * their rows, and inputs strip by strip: scratch stays within some 100 MB whatever the sizes. */
#ifndef IB_NN_CONV2D_H
#define IB_NN_CONV2D_H

#include <stdbool.h>
#include <stddef.h>
#include "base/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_conv2d {
    size_t images, rows, cols, cin, cout;
    int kernel;     /* 1 or 3 */
    int stride;     /* 1 or 2 */
    int pad_before; /* zeros above and left, 0 or 1; with kernel 1: 0 */
    int pad_after;  /* below and right, 0 or 1 */
} ib_conv2d;

/* Rows or columns of the output of a side of n. */
size_t ib_conv2d_side(const ib_conv2d *c, size_t n);
/* Floats of scratch. */
size_t ib_conv2d_scratch(const ib_conv2d *c, int threads);
/* y = x * w + b, or y += x * w + b where `add`. */
void ib_conv2d_run(
    const ib_conv2d *c, const float *x, /* [images, rows, cols, cin] */
    const void *w, ib_dtype type,       /* [cout, cin, kernel, kernel] */
    const float *b,                     /* [cout] or NULL */
    size_t b_row, /* 0: one b for all images; else b is [images, cout], rows b_row floats apart */
    bool add, int threads, float *scratch, float *y /* [images, side(rows), side(cols), cout] */);

#ifdef __cplusplus
}
#endif
#endif
