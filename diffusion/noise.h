/* Inside diffusion/ only: the normal numbers of torch's CPU generator, so that a seed means here what it
 * means to people's other programs.
 *
 * The generator is the Mersenne twister MT19937 (Matsumoto and Nishimura 1998). From it `torch.randn(n)`
 * makes normal numbers by Box and Muller's method in one of two ways. n >= 16: n uniform numbers of 24 bits;
 * of each group of 16, number j and number j + 8 become r cos and r sin; if 16 does not divide n, the last 16
 * are drawn anew. n < 16: pairs of uniform numbers of 53 bits, of which the second result is kept for the
 * next call. */
#ifndef IB_DIFFUSION_NOISE_H
#define IB_DIFFUSION_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ib_noise {
    uint32_t state[624];
    int at; /* next of state; 624: to be renewed */
    bool kept;
    double next; /* the second of a pair, if kept */
} ib_noise;

/* torch.Generator().manual_seed(seed): its lower 32 bits count. */
void ib_noise_seed(ib_noise *g, uint64_t seed);
/* torch.randn(n, generator=g); equal to torch's within 3e-7. out: [n] */
void ib_noise_normal(ib_noise *g, float *out, size_t n);
/* One picture's noise: torch.randn(1, channels, rows, cols), laid out as latents are here. out:
 * [rows,cols,channels]; scratch: [rows*cols*channels] */
void ib_noise_latents(ib_noise *g, size_t rows, size_t cols, size_t channels, float *scratch, float *out);

#endif
