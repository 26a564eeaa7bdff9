/* Function multiversioning: one binary serves an SSE2 box and an AVX-512 one. Put IB_MULTIARCH before a function whose loops the
 * compiler vectorises; helpers called from it must be `static inline` with IB_INLINE, so that each version gets its own copy.
 * Left out where it cannot work: other processors, and AddressSanitizer, whose start-up comes after the resolvers have run. */
#ifndef IB_NN_SIMD_H
#define IB_NN_SIMD_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IB_NO_CLONES 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__) || !defined(__linux__)
#define IB_NO_CLONES 1
#endif

#if defined(IB_NO_CLONES) || defined(__clang__)
#define IB_MULTIARCH
#elif __GNUC__ < 12 /* which knows no levels of the architecture */
#define IB_MULTIARCH __attribute__((target_clones("avx512f", "fma", "default"), optimize("O3")))
#else
/* v3: AVX2 and FMA together. "fma" alone has no integers of 256 bits, which exponentials need. */
#define IB_MULTIARCH __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default"), optimize("O3")))
#endif
#ifdef __OPTIMIZE__
#define IB_INLINE inline __attribute__((always_inline))
#else /* nothing is inlined through a pointer to a function then */
#define IB_INLINE inline
#endif

/* Before a loop whose iterations touch nothing of each other, where the compiler cannot know it. */
#if defined(__clang__)
#define IB_INDEPENDENT
#else
#define IB_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Before a loop of a few rounds whose counter must not outlive compilation: its arrays then live in registers. */
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
