/* What kernels that vectorise share: versions for several processors (base/multiarch.h), and rows of eight
 * floats. */
#ifndef IB_NN_SIMD_H
#define IB_NN_SIMD_H

#include "base/multiarch.h"

/* Before a loop whose iterations touch nothing of each other, where the compiler cannot know it. */
#if defined(__clang__)
#define IB_INDEPENDENT
#else
#define IB_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Before a loop of a few rounds whose counter must not outlive compilation: its arrays then live in
 * registers. */
#if defined(__clang__)
#define IB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define IB_UNROLL _Pragma("GCC unroll 16")
#endif

/* Eight floats of a row, and the same wherever they lie. */
typedef float ib_row8 __attribute__((vector_size(32)));
typedef float ib_unaligned8 __attribute__((vector_size(32), aligned(4), may_alias));
#define IB_ROW8(p) (*(const ib_unaligned8 *)(p))
#define IB_PUT8(p, v) (*(ib_unaligned8 *)(p) = (v))

#endif
