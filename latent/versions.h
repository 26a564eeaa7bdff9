/* Inside latent/ only: IB_VERSIONS before a function makes two of it where the compiler can, for SSE2 and for AVX2. Neither has fused
 * multiply-add, unlike those of nn/simd.h: latents are then the same bits on every machine. Helpers called from such a function are
 * IB_ALWAYS_INLINE, so that each version has its own. AddressSanitizer cannot have them: it starts after the versions are chosen. */
#ifndef IB_LATENT_VERSIONS_H
#define IB_LATENT_VERSIONS_H

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_ADDRESS__)
#define IB_VERSIONS __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define IB_VERSIONS
#endif
#define IB_ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
