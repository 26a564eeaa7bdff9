/* Inside train only: Muon's update of one matrix (Jordan et al. 2024, "Muon: an optimizer for hidden layers
 * in neural networks"). */
#ifndef IB_TRAIN_MUON_H
#define IB_TRAIN_MUON_H

#include "train/optimiser.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x [rows, cols] becomes about the nearest matrix whose singular values are all alike: U V^T of x = U S V^T,
 * with singular values of 0.7 to 1.2 instead of 1 (smaller ones where x's is below about 0.002 of its norm).
 * Five steps of the quintic Newton-Schulz iteration with Jordan's coefficients; all products but the first
 * and the last are of the smaller side squared. Zero stays zero. */
void ib_orthogonalise(float *x, size_t rows, size_t cols, float *scratch);
size_t ib_orthogonalise_scratch(size_t rows, size_t cols); /* floats */

/* w -= rate 0.2 sqrt(max(rows, cols)) orthogonal(Nesterov's momentum of 0.95), after the decay; the factor
 * makes the update as large as AdamW's usual one, so that both share their rates (Liu et al. 2025,
 * arXiv:2502.16982). w, g, momentum: [rows, cols]; scratch: ib_muon_scratch floats. */
void ib_muon(const ib_update *u, double decay, float *w, const float *g, float *momentum, size_t rows,
             size_t cols, float *scratch);
size_t ib_muon_scratch(size_t rows, size_t cols);

#ifdef __cplusplus
}
#endif
#endif
