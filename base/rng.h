/* Random numbers whose whole state is four words, so that a resumed run draws what the unbroken run would
 * have. xoshiro256** by Blackman and Vigna (2018), https://prng.di.unimi.it/, seeded through splitmix64. */
#ifndef IB_BASE_RNG_H
#define IB_BASE_RNG_H

#include <stdint.h>
#include "base/api.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_rng {
    uint64_t s[4];
} ib_rng;

IB_API void ib_rng_seed(ib_rng *r, uint64_t seed);
/* A stream that depends on (seed, stream) only; for per-sample randomness independent of threads. */
IB_API void ib_rng_seed2(ib_rng *r, uint64_t seed, uint64_t stream);
IB_API uint64_t ib_rng_u64(ib_rng *r);
/* Uniform in [0,1), 24 bits. */
IB_API float ib_rng_float(ib_rng *r);
/* Uniform in [0,1), 53 bits. */
IB_API double ib_rng_double(ib_rng *r);
/* Uniform integer in [0,n), n >= 1, unbiased. */
IB_API uint64_t ib_rng_below(ib_rng *r, uint64_t n);
/* Standard normal (Box-Muller, one value per two draws, stateless). */
IB_API float ib_rng_normal(ib_rng *r);

#ifdef __cplusplus
}
#endif
#endif
