/* Matrix products whose second factor lies in panels of 16 columns. Weights are widened from the type of
 * their file straight into panels, once for all rows that are multiplied with them. Unlike a general sgemm,
 * every element of the result is summed in the same order whatever the number of rows, columns and threads:
 * the same bits for a row alone and among others. */
#ifndef IB_NN_PANELS_H
#define IB_NN_PANELS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_PANEL = 16 };

/* Floats of the panels of n columns: [ceil(n / 16), k, 16], zeros beyond n. */
size_t ib_panel_floats(size_t n, size_t k);

/* Panels of columns [first, first + n) of the transpose of w: [all, cin, taps] row by row, IB_F32, IB_F16 or
 * IB_BF16, at any address. Row p of a panel is tap p / cin of channel p % cin; with taps 1 a linear map's
 * weights [cout, cin]. */
void ib_panel_pack(const void *w, ib_dtype type, size_t first, size_t n, size_t cin, size_t taps,
                   float *panels);
/* Panel [k,16] of `have` rows of k numbers, w_row numbers apart; zeros beyond `have`. k at most 288. */
void ib_panel_pack_part(const void *w, ib_dtype type, size_t w_row, size_t have, size_t k, float *panel);
/* The same of floats that are not transposed: b: [k,n], rows b_row floats apart. */
void ib_panel_copy(const float *b, size_t b_row, size_t n, size_t k, float *panels);

/* c = a b, or c += a b where `add`, on one thread; k at least 1. */
void ib_panel_product(const float *a, size_t a_row,     /* [m,k], rows a_row floats apart */
                      const float *panels,              /* of b: [k,n] */
                      size_t panel,                     /* floats from panel to panel: 16 k, or more */
                      bool add, float *c, size_t c_row, /* [m,n] */
                      size_t m, size_t n, size_t k);
/* The same by one of the kernels, the fastest first; false where this processor cannot run it. For tests. */
enum { IB_PANEL_KERNELS = 3 };
bool ib_panel_product_by(int which, const float *a, size_t a_row, const float *panels, size_t panel, bool add,
                         float *c, size_t c_row, size_t m, size_t n, size_t k);

/* y = x w^T + b, or y += x w^T + b where `add`, with w widened block by block of its rows into scratch. */
size_t ib_linear_half_scratch(size_t n, size_t k);
void ib_linear_half(const float *x, size_t x_row, /* [rows,K], rows x_row floats apart */
                    const void *w, ib_dtype type, /* [N,K] */
                    const float *b,               /* [N] or NULL */
                    size_t rows, size_t n, size_t k, bool add, int threads, float *scratch, float *y,
                    size_t y_row /* [rows,N] */);

#ifdef __cplusplus
}
#endif
#endif
