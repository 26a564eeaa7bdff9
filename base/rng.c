#include "base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x) {
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

void ib_rng_seed(ib_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

void ib_rng_seed2(ib_rng *r, uint64_t seed, uint64_t stream) {
    /* chained: neither (1,1) and (7,7) nor (1,2) and (2,1) are one stream */
    uint64_t mixed = splitmix(&seed) + stream;
    ib_rng_seed(r, splitmix(&mixed));
}

uint64_t ib_rng_u64(ib_rng *r) {
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

float ib_rng_float(ib_rng *r) {
    return (float)(ib_rng_u64(r) >> 40) * 0x1p-24f;
}

double ib_rng_double(ib_rng *r) {
    return (double)(ib_rng_u64(r) >> 11) * 0x1p-53;
}

uint64_t ib_rng_below(ib_rng *r, uint64_t n) {
    /* draws below 2^64 mod n are refused, so that every remainder has the same number of draws */
    uint64_t reject = -n % n, x;
    do {
        x = ib_rng_u64(r);
    } while (x < reject);
    return x % n;
}

float ib_rng_normal(ib_rng *r) {
    double u = 1.0 - ib_rng_double(r); /* (0,1]: its logarithm is finite */
    double v = ib_rng_double(r);
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}
