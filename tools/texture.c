#include "tools/texture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float clamp(float v, float lo, float hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

static float smooth_texture(float lo, float hi, float v) {
    v = clamp((v - lo) / (hi - lo), 0, 1);
    return v * v * (3 - 2 * v);
}

static float mix_texture(float a, float b, float t) {
    return a + (b - a) * t;
}

colour colour_random(ib_rng *r, float dark, float light, float saturation) {
    float angle = 6.2831853f * ib_rng_float(r), s = saturation * (0.3f + 0.7f * ib_rng_float(r));
    return (colour){mix_texture(dark, light, ib_rng_float(r)), 128 + 70 * s * cosf(angle),
                    128 + 70 * s * sinf(angle)};
}

static colour blend(colour a, colour b, float t) {
    return (colour){mix_texture(a.y, b.y, t), mix_texture(a.u, b.u, t), mix_texture(a.v, b.v, t)};
}

/* Gradient noise on a tileable lattice of n x n cells (Perlin 1985, with the 2002 fade); about -0.7..0.7. */
typedef struct lattice {
    int n;
    float gx[64 * 64], gy[64 * 64];
} lattice;

static void lattice_fill(lattice *l, int n, ib_rng *r) {
    l->n = n;
    for (int i = 0; i < n * n; i++) {
        float a = 6.2831853f * ib_rng_float(r);
        l->gx[i] = cosf(a);
        l->gy[i] = sinf(a);
    }
}

static float corner(const lattice *l, int x, int y, float dx, float dy) {
    int i = ((y + l->n) % l->n) * l->n + (x + l->n) % l->n;
    return l->gx[i] * dx + l->gy[i] * dy;
}

/* x, y in tiles, 0..1 */
static float noise(const lattice *l, float x, float y) {
    x = (x - floorf(x)) * (float)l->n;
    y = (y - floorf(y)) * (float)l->n;
    int ix = (int)x, iy = (int)y;
    float fx = x - (float)ix, fy = y - (float)iy;
    float sx = fx * fx * fx * (fx * (fx * 6 - 15) + 10), sy = fy * fy * fy * (fy * (fy * 6 - 15) + 10);
    float top = mix_texture(corner(l, ix, iy, fx, fy), corner(l, ix + 1, iy, fx - 1, fy), sx);
    float low = mix_texture(corner(l, ix, iy + 1, fx, fy - 1), corner(l, ix + 1, iy + 1, fx - 1, fy - 1), sx);
    return mix_texture(top, low, sy);
}

enum { OCTAVES = 4, CELLS = 64, STROKES = 40 };

typedef struct recipe {
    int kind, across; /* across: stripes, checks or bricks per tile; even */
    float warp, rough, soft;
    colour base, second, third;
    lattice octave[OCTAVES];
    float cell_x[CELLS], cell_y[CELLS], cell_shade[CELLS];
    float stroke[STROKES][5]; /* x, y, half length along x and y, half width, in tiles */
} recipe;

static float fractal(const recipe *p, float x, float y) {
    float sum = 0, gain = 1;
    for (int i = 0; i < OCTAVES; i++) {
        sum += gain * noise(&p->octave[i], x, y);
        gain *= p->rough;
    }
    return sum;
}

static float wrapped(float d) {
    return d - roundf(d);
}

/* Distances to the nearest and second nearest of the cells' middles (Worley 1996), in cells. */
static float cells(const recipe *p, float x, float y, float *shade) {
    float first = 9, second = 9;
    for (int i = 0; i < CELLS; i++) {
        float dx = wrapped(x - p->cell_x[i]), dy = wrapped(y - p->cell_y[i]), d = sqrtf(dx * dx + dy * dy);
        if (d < first) {
            second = first;
            first = d;
            *shade = p->cell_shade[i];
        } else if (d < second) {
            second = d;
        }
    }
    return 8 * (second - first);
}

static float strokes(const recipe *p, float x, float y) {
    float best = 0;
    for (int i = 0; i < STROKES; i++) {
        const float *s = p->stroke[i];
        float dx = wrapped(x - s[0]), dy = wrapped(y - s[1]), l2 = s[2] * s[2] + s[3] * s[3];
        float along = clamp((dx * s[2] + dy * s[3]) / l2, -1, 1), ex = dx - along * s[2],
              ey = dy - along * s[3];
        float d = sqrtf(ex * ex + ey * ey);
        best = fmaxf(best, (float)(1 + i % 3) / 3 * (1 - smooth_texture(s[4] - 0.003f, s[4], d)));
    }
    return best;
}

/* Where between the colours a place lies: 0 base, 1 second; *third: how much of the third lies over them. */
static float place_texture(const recipe *p, float x, float y, float *third) {
    float n = fractal(p, x, y), k = (float)p->across, a, b, shade = 0;
    *third = 0;
    float wx = x + p->warp * n, wy = y + p->warp * fractal(p, y + 0.37f, x);
    switch (p->kind) {
    case 0: /* clouds */
        *third = smooth_texture(0.25f, 0.6f, n);
        return smooth_texture(-0.5f, 0.5f, n);
    case 1: /* stripes, straight or like wood */
        *third = 0.2f * smooth_texture(0, 0.5f, n);
        return smooth_texture(-p->soft, p->soft, sinf(6.2831853f * k / 2 * wx));
    case 2: /* checks */
        *third = 0.4f * smooth_texture(-0.2f, 0.5f, n);
        a = sinf(3.1415927f * k * wx);
        b = sinf(3.1415927f * k * wy);
        return smooth_texture(-p->soft, p->soft, a * b);
    case 3: /* bricks, each of its own shade */
        b = wy * k;
        a = wx * k / 2 + 0.5f * (float)((int)floorf(b) & 1);
        shade = p->cell_shade[((int)floorf(a) * 7 + (int)floorf(b) * 13) & (CELLS - 1)];
        a = fabsf(a - floorf(a) - 0.5f) * 2;
        b = fabsf(b - floorf(b) - 0.5f) * 2;
        *third = fmaxf(smooth_texture(0.93f, 0.97f, a), smooth_texture(0.86f, 0.92f, b));
        return clamp(shade + 0.4f * n, 0, 1);
    case 4: /* dots */
        a = wrapped(wx * k / 2);
        b = wrapped(wy * k / 2);
        *third = 0.3f * smooth_texture(-0.2f, 0.5f, n);
        return 1 - smooth_texture(0.3f - 0.1f * p->soft, 0.3f, sqrtf(a * a + b * b));
    case 5: /* stones */
        a = cells(p, wx, wy, &shade);
        *third = 1 - smooth_texture(0.03f, 0.16f, a);
        return clamp(shade + 0.5f * n, 0, 1);
    default: /* scribbles on paper */
        *third = strokes(p, wx, wy);
        return clamp(0.3f + 0.5f * n, 0, 1);
    }
}

static void write_recipe(recipe *p, ib_rng *r, colour base) {
    p->kind = (int)ib_rng_below(r, 7);
    p->across = 2 * (2 + (int)ib_rng_below(r, 7));
    p->warp = ib_rng_below(r, 2) ? 0.12f * ib_rng_float(r) : 0.01f;
    p->rough = 0.45f + 0.25f * ib_rng_float(r);
    p->soft = 0.1f + 0.5f * ib_rng_float(r);
    p->base = base;
    float step = base.y > 125 ? -1.0f : 1.0f;
    p->second = colour_random(r, 0, 1, 0.7f);
    p->second.y = clamp(base.y + step * (35 + 70 * ib_rng_float(r)), 20, 230);
    p->third = colour_random(r, 20, 230, 0.9f);
    int n = 2 << ib_rng_below(r, 3);
    for (int i = 0; i < OCTAVES; i++, n *= 2) {
        lattice_fill(&p->octave[i], n, r);
    }
    for (int i = 0; i < CELLS; i++) {
        p->cell_x[i] = ((float)(i % 8) + 0.15f + 0.7f * ib_rng_float(r)) / 8;
        p->cell_y[i] = ((float)(i / 8) + 0.15f + 0.7f * ib_rng_float(r)) / 8;
        p->cell_shade[i] = ib_rng_float(r);
    }
    for (int i = 0; i < STROKES; i++) {
        float a = 6.2831853f * ib_rng_float(r), l = 0.02f + 0.09f * ib_rng_float(r);
        p->stroke[i][0] = ib_rng_float(r);
        p->stroke[i][1] = ib_rng_float(r);
        p->stroke[i][2] = l * cosf(a);
        p->stroke[i][3] = l * sinf(a);
        p->stroke[i][4] = 0.006f + 0.012f * ib_rng_float(r);
    }
}

static void halve(const uint8_t *from, int side, uint8_t *to) {
    int half = side / 2;
    for (int y = 0; y < half; y++) {
        for (int x = 0; x < half; x++) {
            for (int c = 0; c < 4; c++) {
                const uint8_t *p = from + 4 * (2 * y * side + 2 * x) + c;
                to[4 * (y * half + x) + c] = (uint8_t)((p[0] + p[4] + p[4 * side] + p[4 * side + 4] + 2) / 4);
            }
        }
    }
}

static void make_smaller(texture *t) {
    for (int i = 1; i < TEXTURE_LEVELS; i++) {
        halve(t->level[i - 1], TEXTURE_SIDE >> (i - 1), t->level[i]);
    }
}

int texture_make(texture *t, ib_rng *r, colour base) {
    memset(t, 0, sizeof *t);
    recipe *p = malloc(sizeof *p);
    for (int i = 0; i < TEXTURE_LEVELS; i++) {
        t->level[i] = calloc((size_t)(TEXTURE_SIDE >> i) * (size_t)(TEXTURE_SIDE >> i), 4);
        if (!t->level[i] || !p) {
            free(p);
            texture_free(t);
            return -1;
        }
    }
    write_recipe(p, r, base);
    uint8_t *q = t->level[0];
    for (int y = 0; y < TEXTURE_SIDE; y++) {
        for (int x = 0; x < TEXTURE_SIDE; x++, q += 4) {
            float third, f = place_texture(p, (float)x / TEXTURE_SIDE, (float)y / TEXTURE_SIDE, &third);
            colour c = blend(blend(p->base, p->second, f), p->third, third);
            q[0] = (uint8_t)clamp(c.y, 16, 235);
            q[1] = (uint8_t)clamp(c.u, 16, 240);
            q[2] = (uint8_t)clamp(c.v, 16, 240);
        }
    }
    make_smaller(t);
    free(p);
    return 0;
}

/* Bilinear between an n x n grid's values, wrapping; x, y in texels of the full side. */
static float grid_at(const float *grid, int n, int x, int y) {
    int step = TEXTURE_SIDE / n, ix = x / step, iy = y / step, jx = (ix + 1) % n, jy = (iy + 1) % n;
    float fx = (float)(x % step) / (float)step, fy = (float)(y % step) / (float)step;
    float top = mix_texture(grid[iy * n + ix], grid[iy * n + jx], fx);
    return mix_texture(top, mix_texture(grid[jy * n + ix], grid[jy * n + jx], fx), fy);
}

int texture_roughen(texture *t, ib_rng *r, float amount) {
    enum { TEXELS = TEXTURE_SIDE * TEXTURE_SIDE };
    float *grid = malloc(sizeof *grid * TEXELS), *sum = calloc(TEXELS, sizeof *sum);
    if (!grid || !sum) {
        free(grid);
        free(sum);
        return -1;
    }
    for (int n = 8; n <= TEXTURE_SIDE; n *= 2) {
        for (int i = 0; i < n * n; i++) {
            grid[i] = amount * (2 * ib_rng_float(r) - 1);
        }
        for (int i = 0; i < TEXELS; i++) {
            sum[i] += grid_at(grid, n, i % TEXTURE_SIDE, i / TEXTURE_SIDE);
        }
    }
    for (int i = 0; i < TEXELS; i++) {
        uint8_t *q = t->level[0] + 4 * i;
        q[0] = (uint8_t)clamp((float)q[0] + sum[i], 16, 235);
        q[1] = (uint8_t)clamp((float)q[1] + 0.15f * sum[i], 16, 240);
        q[2] = (uint8_t)clamp((float)q[2] - 0.1f * sum[i], 16, 240);
    }
    make_smaller(t);
    free(grid);
    free(sum);
    return 0;
}

void texture_free(texture *t) {
    for (int i = 0; i < TEXTURE_LEVELS; i++) {
        free(t->level[i]);
        t->level[i] = NULL;
    }
}
