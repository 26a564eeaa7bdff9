#include "diffusion/noise.h"

#include <math.h>

enum { WORDS = 624, SHIFT = 397 };
static const double TWO_PI = 6.283185307179586476925286766559;

void ib_noise_seed(ib_noise *g, uint64_t seed) {
    g->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t before = g->state[i - 1];
        g->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    g->at = WORDS;
    g->kept = false;
    g->next = 0;
}

static uint32_t twist(uint32_t a, uint32_t b) {
    return (((a & 0x80000000u) | (b & 0x7fffffffu)) >> 1) ^ (b & 1 ? 0x9908b0dfu : 0);
}

static void renew(ib_noise *g) {
    uint32_t *s = g->state;
    for (int i = 0; i < WORDS; i++) {
        s[i] = s[(i + SHIFT) % WORDS] ^ twist(s[i], s[(i + 1) % WORDS]);
    }
    g->at = 0;
}

static uint32_t word(ib_noise *g) {
    if (g->at >= WORDS) {
        renew(g);
    }
    uint32_t y = g->state[g->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* In [0, 1), 24 bits. */
static float uniform24(ib_noise *g) {
    return (float)(word(g) & 0xffffffu) * 0x1p-24f;
}

/* In [0, 1), 53 bits. */
static double uniform53(ib_noise *g) {
    uint64_t high = word(g), low = word(g);
    return (double)(((high << 32) | low) & ((1ull << 53) - 1)) * 0x1p-53;
}

/* 16 uniform numbers become normal ones; in float, and so rounded where torch rounds. */
static void normal16(float *v) {
    for (int j = 0; j < 8; j++) {
        float r = sqrtf(-2 * logf(1 - v[j])), angle = (float)TWO_PI * v[j + 8];
        v[j] = r * cosf(angle);
        v[j + 8] = r * sinf(angle);
    }
}

static double normal1(ib_noise *g) {
    if (g->kept) {
        g->kept = false;
        return g->next;
    }
    double angle = TWO_PI * uniform53(g), r = sqrt(-2 * log1p(-uniform53(g)));
    g->next = r * sin(angle);
    g->kept = true;
    return r * cos(angle);
}

void ib_noise_normal(ib_noise *g, float *out, size_t n) {
    if (n < 16) {
        for (size_t i = 0; i < n; i++) {
            out[i] = (float)normal1(g);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = uniform24(g);
    }
    for (size_t i = 0; i + 16 <= n; i += 16) {
        normal16(out + i);
    }
    if (n % 16) {
        for (size_t i = n - 16; i < n; i++) {
            out[i] = uniform24(g);
        }
        normal16(out + n - 16);
    }
}

void ib_noise_latents(ib_noise *g, size_t rows, size_t cols, size_t channels, float *scratch, float *out) {
    size_t area = rows * cols;
    ib_noise_normal(g, scratch, area * channels);
    for (size_t i = 0; i < area; i++) {
        for (size_t c = 0; c < channels; c++) {
            out[i * channels + c] = scratch[c * area + i];
        }
    }
}
