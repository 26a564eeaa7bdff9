/* Function multiversioning: one binary serves an SSE2 box and an AVX-512 one. A macro before a function
 * whose loops the compiler vectorises makes several of it, and the loader takes the one for its processor.
 * Helpers that it calls are `static IB_INLINE`, so that each version has its own.
 *
 * Where it is left out: other processors; C libraries other than glibc (musl has no ifunc);
 * AddressSanitizer and ThreadSanitizer, which start after the versions are chosen; and clang, which in
 * version 14 gives a function with clones the symbol NAME.ifunc, so that no other file can call it, and
 * takes x86-64-v3 for the name of one processor. A clang build therefore runs SSE2 code; its results are
 * right, and only where IB_MULTIARCH_EXACT stands are they promised to be the same bits. */
#ifndef IB_BASE_MULTIARCH_H
#define IB_BASE_MULTIARCH_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#include <features.h> /* says whether this is glibc */
#ifdef __GLIBC__
#define IB_HAVE_CLONES 1
#endif
#endif

#ifndef IB_HAVE_CLONES
#define IB_MULTIARCH
#define IB_MULTIARCH_EXACT
#else
/* Each level has fused multiply-add for vectors of every width, or for none. "avx512f" alone has it for 512
 * bits and for single numbers but not for 256 bits, which the ends of loops take: an element's last bit would
 * depend on where its array begins. "fma" alone has no integers of 256 bits, which exponentials need. */
#if __GNUC__ < 12 /* which knows no levels of the architecture */
#define IB_MULTIARCH __attribute__((target_clones("arch=skylake-avx512", "fma", "default")))
#else
#define IB_MULTIARCH __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
/* None of them has fused multiply-add, and the file is built with -ffp-contract=off: the same bits on
 * every machine. */
#define IB_MULTIARCH_EXACT __attribute__((target_clones("avx2", "default")))
#endif

#ifdef __OPTIMIZE__
#define IB_INLINE inline __attribute__((always_inline))
#else /* nothing is inlined through a pointer to a function then */
#define IB_INLINE inline
#endif

#endif
