/* Products of small float32 matrices that lie in memory as they are needed: nothing is copied before the
 * arithmetic begins, which is what a general sgemm spends a fifth of its time on at these sizes. */
#ifndef IB_NN_PRODUCT_H
#define IB_NN_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* c = a b, or c += a b where `add`. a: [m,k], its element (i,p) at a[i * row + p * column]; b: [k,n]; c:
 * [m,n]. False, with nothing done, where the processor or the size has no kernel here: n must be a multiple
 * of 16. */
bool ib_product(const float *a, size_t row, size_t column, const float *b, bool add, float *c, size_t m,
                size_t n, size_t k);

/* c = a b^T, a: [m,k], b: [n,k], which is transposed strip by strip: for m of some 64 and more, false below.
 */
bool ib_product_transposed(const float *a, const float *b, float *c, size_t m, size_t n, size_t k);

/* ib_product by one of the kernels, the fastest first; false where this processor cannot run
 * it. For tests. */
enum { IB_PRODUCT_KERNELS = 2 };
bool ib_product_by(int which, const float *a, size_t row, size_t column, const float *b, bool add, float *c,
                   size_t m, size_t n, size_t k);

#ifdef __cplusplus
}
#endif
#endif
