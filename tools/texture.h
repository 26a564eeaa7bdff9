/* Procedural textures for the scenes: square, tileable, in Y'CbCr, with smaller copies for when they are seen
 * from afar. */
#ifndef IB_TOOLS_TEXTURE_H
#define IB_TOOLS_TEXTURE_H

#include <stdint.h>
#include "base/rng.h"

enum { TEXTURE_SIDE = 512, TEXTURE_LEVELS = 5 };

typedef struct colour {
    float y, u, v; /* 0..255, limited range, chroma around 128 */
} colour;

colour colour_random(ib_rng *r, float dark, float light, float saturation);

typedef struct texture {
    uint8_t *level[TEXTURE_LEVELS]; /* [side, side, 4]: Y, U, V, unused; each level half the side of the one
                                       before */
} texture;

/* A texture of a kind that the numbers choose, in colours around `base`. Returns 0, or -1 when
 * memory is out. */
int texture_make(texture *t, ib_rng *r, colour base);
/* Gives it a grain with detail at every scale down to the texel (sums of noise whose squares fall as those of
 * natural pictures do), `amount` 8-bit steps at each. Returns 0, or -1 when memory
 * is out. */
int texture_roughen(texture *t, ib_rng *r, float amount);
void texture_free(texture *t);

/* Bilinear, wrapping. u, v in texels of the full side; level < TEXTURE_LEVELS. */
static inline colour texture_at(const texture *t, int level, float u, float v) {
    int side = TEXTURE_SIDE >> level, mask = side - 1;
    float s = 1.0f / (float)(1 << level);
    u = u * s + 65536.5f; /* positive, so that truncation is floor */
    v = v * s + 65536.5f;
    int x = (int)u, y = (int)v;
    float fx = u - (float)x, fy = v - (float)y;
    const uint8_t *p = t->level[level];
    const uint8_t *a = p + 4 * ((y & mask) * side + (x & mask)),
                  *b = p + 4 * ((y & mask) * side + ((x + 1) & mask));
    const uint8_t *c = p + 4 * (((y + 1) & mask) * side + (x & mask));
    const uint8_t *d = p + 4 * (((y + 1) & mask) * side + ((x + 1) & mask));
    float wa = (1 - fx) * (1 - fy), wb = fx * (1 - fy), wc = (1 - fx) * fy, wd = fx * fy;
    return (colour){wa * a[0] + wb * b[0] + wc * c[0] + wd * d[0],
                    wa * a[1] + wb * b[1] + wc * c[1] + wd * d[1],
                    wa * a[2] + wb * b[2] + wc * c[2] + wd * d[2]};
}

#endif
