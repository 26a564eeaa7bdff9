/* Half precision and 8-bit floats. The portable loops and the F16C instructions give the same bits, NaN
 * payloads included. */
#include "base/safetensors.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "inbetween needs a little-endian processor: its files are read as they lie in memory"
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define IB_HAVE_F16C 1
#include <cpuid.h>
#include <immintrin.h>
#endif

static inline uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline uint16_t narrow(float f) {
    uint32_t u = bits_of(f), a = u & 0x7fffffffu;
    /* 0.5 has the spacing of half's subnormals, so the addition rounds to them */
    uint32_t small = bits_of(float_of(a) + 0.5f) - 0x3f000000u;
    uint32_t normal = (a - 0x38000000u + 0xfffu + (a >> 13 & 1)) >> 13;
    uint32_t h = a < 0x38800000u ? small : a < 0x477ff000u ? normal : 0x7c00u;
    uint32_t nan = 0x7e00u | (a >> 13 & 0x3ffu);
    h = a > 0x7f800000u ? nan : h;
    return (uint16_t)((u >> 16 & 0x8000u) | h);
}

static inline float widen_half(uint16_t half) {
    uint32_t h = half, mantissa = h & 0x3ffu, e = h & 0x7c00u;
    uint32_t small = bits_of((float)(int32_t)mantissa * 0x1p-24f);
    uint32_t normal = ((h & 0x7fffu) << 13) + 0x38000000u;
    uint32_t special = 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0);
    uint32_t u = e == 0 ? small : e == 0x7c00u ? special : normal;
    return float_of(((h & 0x8000u) << 16) | u);
}

void ib_f32_to_f16_portable(const float *in, uint16_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = narrow(in[i]);
    }
}

void ib_f16_to_f32_portable(const uint16_t *in, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = widen_half(in[i]);
    }
}

#ifdef IB_HAVE_F16C
static bool have_f16c(void) {
    static atomic_int known; /* cpuid costs microseconds inside a virtual machine */
    int k = atomic_load_explicit(&known, memory_order_relaxed);
    if (!k) {
        unsigned a, b, c, d;
        __builtin_cpu_init();
        k = __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 29) ? 1 : -1;
        atomic_store_explicit(&known, k, memory_order_relaxed);
    }
    return k > 0;
}

__attribute__((target("avx,f16c"))) static void narrow_f16c(const float *in, uint16_t *out, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    }
    for (; i < n; i++) {
        out[i] = narrow(in[i]);
    }
}

__attribute__((target("avx,f16c"))) static void widen_f16c(const uint16_t *in, float *out, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + i))));
    }
    for (; i < n; i++) {
        out[i] = widen_half(in[i]);
    }
}
#endif

void ib_f32_to_f16(const float *in, uint16_t *out, size_t n) {
#ifdef IB_HAVE_F16C
    if (have_f16c()) {
        narrow_f16c(in, out, n);
        return;
    }
#endif
    ib_f32_to_f16_portable(in, out, n);
}

void ib_f16_to_f32(const uint16_t *in, float *out, size_t n) {
#ifdef IB_HAVE_F16C
    if (have_f16c()) {
        widen_f16c(in, out, n);
        return;
    }
#endif
    ib_f16_to_f32_portable(in, out, n);
}

void ib_f8_e4m3_to_f32(const uint8_t *in, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t sign = (uint32_t)(in[i] & 0x80) << 24, rest = in[i] & 0x7fu;
        uint32_t small = bits_of((float)rest * 0x1p-9f), normal = (rest << 20) + (120u << 23);
        out[i] = float_of(sign | (rest == 0x7f ? 0x7fc00000u : rest < 8 ? small : normal));
    }
}

void ib_f8_e5m2_to_f32(const uint8_t *in, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = widen_half((uint16_t)(in[i] << 8));
    }
}
