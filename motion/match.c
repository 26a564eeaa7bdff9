#include "motion/match.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nn/layers.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum { SIDE = 2 * IB_MATCH_REACH + 1, CANDIDATES = SIDE * SIDE, TAPS = 6 };

/* Found on training clips, none of them held out: window in tokens, softness and cost per token of motion on
 * a luma range of 1. */
static const float window_sigma = 2.5f, softness = 0.003f, motion_penalty = 0.005f;
/* Mean squared difference at which the gate is half open: about one 8-bit step. */
static const float gate_noise = 1.5e-5f;

/* Planes of a picture of tokens, each row with a margin so that sideways shifts need no bounds. */
enum { MARGIN = IB_MATCH_REACH + 2 };

static size_t padded(size_t w) {
    return w + 2 * MARGIN;
}

size_t ib_match_scratch(size_t rows, size_t cols) {
    size_t n = rows * cols;
    return 6 * n                                /* Y, U, V of both, a px for each token */
           + 2 * SIDE * 3 * rows * padded(cols) /* both, moved up and down by every candidate */
           + (CANDIDATES + 5) * n               /* costs, sums */
           + IB_CELLS * IB_CELLS * n            /* differences of cells */
           + rows * (cols + 2 * TAPS);          /* blur */
}

/* dst[y,x] = src at (x, y + dy), rows clamped; margins repeat the edge. */
IB_MULTIARCH
static void move_rows(const float *restrict src, size_t h, size_t w, float dy, float *restrict dst) {
    size_t pw = padded(w);
    for (size_t y = 0; y < h; y++) {
        float p = (float)y + dy, top = (float)(h - 1);
        p = p < 0 ? 0 : p > top ? top : p;
        size_t i = (size_t)p;
        float f = p - (float)i;
        const float *a = src + i * w, *b = src + (i + 1 < h ? i + 1 : i) * w;
        float *d = dst + y * pw + MARGIN;
        for (size_t x = 0; x < w; x++) {
            d[x] = a[x] + f * (b[x] - a[x]);
        }
        for (size_t x = 1; x <= MARGIN; x++) {
            d[-(long)x] = d[0];
            d[w - 1 + x] = d[w - 1];
        }
    }
}

/* cost = mean over Y, U, V of |a moved by ax - b moved by bx|, moves sideways.
 * a, b: [3,h,padded(w)] */
IB_MULTIARCH
static void difference_match(const float *restrict a, float ax, const float *restrict b, float bx, size_t h,
                             size_t w, float *restrict cost) {
    size_t pw = padded(w), plane = h * pw;
    long ia = (long)floorf(ax), ib = (long)floorf(bx);
    float fa = ax - (float)ia, fb = bx - (float)ib;
    for (size_t y = 0; y < h; y++) {
        const float *p = a + y * pw + MARGIN + ia, *q = b + y * pw + MARGIN + ib;
        float *c = cost + y * w;
        for (size_t x = 0; x < w; x++) {
            float sum = 0;
            for (size_t k = 0; k < 3; k++) {
                const float *pk = p + k * plane + x, *qk = q + k * plane + x;
                float u = pk[0] + fa * (pk[1] - pk[0]), v = qk[0] + fb * (qk[1] - qk[0]);
                sum += fabsf(u - v) * (1.0f / 3.0f);
            }
            c[x] = sum;
        }
    }
}

/* Gaussian weights at 0 to TAPS tokens. */
typedef struct window {
    float g[TAPS + 1];
} window;

static window make_window(float sigma) {
    window v;
    float sum = 0;
    for (int k = 0; k <= TAPS; k++) {
        v.g[k] = expf(-0.5f * (float)(k * k) / (sigma * sigma));
        sum += k ? 2 * v.g[k] : v.g[k];
    }
    for (size_t k = 0; k <= TAPS; k++) {
        v.g[k] /= sum;
    }
    return v;
}

/* The window over a plane, edges repeated. tmp: [h, w + 2 TAPS]; out may be c. */
IB_MULTIARCH
static void blur(const float *c, size_t h, size_t w, const window *v, float *restrict tmp, float *out) {
    size_t pw = w + 2 * TAPS;
    const float *g = v->g;
    for (size_t y = 0; y < h; y++) {
        float *d = tmp + y * pw + TAPS;
        const float *s = c + y * w, *up[TAPS], *low[TAPS];
        for (size_t k = 1; k <= TAPS; k++) {
            up[k - 1] = c + (y >= k ? y - k : 0) * w;
            low[k - 1] = c + (y + k < h ? y + k : h - 1) * w;
        }
        IB_INDEPENDENT
        for (size_t x = 0; x < w; x++) {
            float sum = g[0] * s[x];
            for (size_t k = 1; k <= TAPS; k++) {
                sum += g[k] * (up[k - 1][x] + low[k - 1][x]);
            }
            d[x] = sum;
        }
        for (size_t x = 1; x <= TAPS; x++) {
            d[-(long)x] = d[0];
            d[w - 1 + x] = d[w - 1];
        }
    }
    for (size_t y = 0; y < h; y++) {
        const float *d = tmp + y * pw + TAPS;
        float *o = out + y * w;
        IB_INDEPENDENT
        for (size_t x = 0; x < w; x++) {
            float sum = g[0] * d[x];
            for (size_t k = 1; k <= TAPS; k++) {
                sum += g[k] * (d[x - k] + d[x + k]);
            }
            o[x] = sum;
        }
    }
}

IB_MULTIARCH
static void least_match(const float *restrict c, float extra, size_t n, bool first, float *restrict low) {
    for (size_t i = 0; i < n; i++) {
        float v = c[i] + extra;
        low[i] = first || v < low[i] ? v : low[i];
    }
}

/* Adds one candidate's weight e to the sums: total, motion. */
IB_MULTIARCH
static void gather_match(const float *restrict e, float x, float y, size_t n, float *restrict total,
                         float *restrict vx, float *restrict vy, float *restrict square) {
    float r = x * x + y * y;
    for (size_t i = 0; i < n; i++) {
        total[i] += e[i];
        vx[i] += x * e[i];
        vy[i] += y * e[i];
        square[i] += r * e[i];
    }
}

IB_MULTIARCH
static void soften(const float *restrict c, float extra, const float *restrict low, size_t n,
                   float *restrict exponent) {
    float k = 1.0f / softness;
    for (size_t i = 0; i < n; i++) {
        exponent[i] = (low[i] - extra - c[i]) * k;
    }
}

/* Mean squared difference of the keyframes over each cell (luma and chroma), then over 5x5 cells, then the
 * gate. */
static void gates(const float *p0, const float *p1, size_t rows, size_t cols, float *square, float *gate) {
    size_t h = IB_CELLS * rows, w = IB_CELLS * cols, width = IB_CELL_PX * w, luma = 16 * h * w,
           chroma = luma / 4;
    memset(square, 0, h * w * sizeof *square);
    for (size_t y = 0; y < IB_CELL_PX * h; y++) {
        for (size_t x = 0; x < width; x++) {
            float d = p1[y * width + x] - p0[y * width + x];
            square[y / IB_CELL_PX * w + x / IB_CELL_PX] += d * d * (1.0f / 24.0f);
        }
    }
    for (size_t k = 0; k < 2; k++) {
        const float *c0 = p0 + luma + k * chroma, *c1 = p1 + luma + k * chroma;
        for (size_t y = 0; y < 2 * h; y++) {
            for (size_t x = 0; x < width / 2; x++) {
                float d = c1[y * width / 2 + x] - c0[y * width / 2 + x];
                square[y / 2 * w + x / 2] += d * d * (1.0f / 24.0f);
            }
        }
    }
    for (size_t y = 0; y < h; y++) {
        for (size_t x = 0; x < w; x++) {
            float s = 0;
            size_t n = 0;
            for (size_t j = y < 2 ? 0 : y - 2; j <= y + 2 && j < h; j++) {
                for (size_t i = x < 2 ? 0 : x - 2; i <= x + 2 && i < w; i++, n++) {
                    s += square[j * w + i];
                }
            }
            s /= (float)n;
            gate[y * w + x] = s / (s + gate_noise);
        }
    }
}

/* What is known of each token after a look at all candidates; [n] each. */
typedef struct summary {
    float *low, *still;    /* least cost, that of no motion */
    float *total, *square; /* sums of weights, of weighted squared motion */
    float *tmp;            /* [h, w + 2 TAPS] */
} summary;

/* The motion of candidate k, in tokens, and what it costs. */
static float down(int k) {
    return (float)(k / SIDE - IB_MATCH_REACH);
}

static float right(int k) {
    return (float)(k % SIDE - IB_MATCH_REACH);
}

static float penalty(int k) {
    return motion_penalty * sqrtf(right(k) * right(k) + down(k) * down(k));
}

/* The soft minimum over costs [CANDIDATES,n] plus what motion costs, whose least is in s->low: vx, vy in
 * tokens. weights: [n] scratch. */
static void soft_minimum(const float *costs, size_t n, float *weights, const summary *s, float *vx,
                         float *vy) {
    memcpy(s->still, costs + CANDIDATES / 2 * n, n * sizeof *s->still);
    float *sums[] = {s->total, s->square, vx, vy};
    for (size_t k = 0; k < 4; k++) {
        memset(sums[k], 0, n * sizeof(float));
    }
    for (int k = 0; k < CANDIDATES; k++) {
        soften(costs + (size_t)k * n, penalty(k), s->low, n, weights);
        ib_exp(weights, n, weights);
        gather_match(weights, right(k), down(k), n, s->total, vx, vy, s->square);
    }
    for (size_t i = 0; i < n; i++) {
        vx[i] /= s->total[i];
        vy[i] /= s->total[i];
    }
}

void ib_match(const float *planes0, const float *planes1, size_t rows, size_t cols, float t, float *scratch,
              float *flow, float *gate, float *features) {
    size_t n = rows * cols, moved = 3 * rows * padded(cols), luma = IB_TOKEN_PX * IB_TOKEN_PX * n;
    float *q0 = scratch, *q1 = q0 + 3 * n, *m0 = q1 + 3 * n, *m1 = m0 + SIDE * moved;
    float *costs = m1 + SIDE * moved, *weights = costs + CANDIDATES * n;
    summary s = {.low = weights + n};
    s.still = s.low + n;
    s.total = s.still + n;
    s.square = s.total + n;
    s.tmp = s.square + n;
    gates(planes0, planes1, rows, cols, s.tmp + rows * (cols + 2 * TAPS), gate);
    for (size_t k = 0; k < 3; k++) {
        size_t side = k ? IB_TOKEN_PX / 2 : IB_TOKEN_PX, at = k ? luma + (k - 1) * luma / 4 : 0;
        ib_shrink(planes0 + at, side * rows, side * cols, side, q0 + k * n);
        ib_shrink(planes1 + at, side * rows, side * cols, side, q1 + k * n);
    }
    for (int d = -IB_MATCH_REACH; d <= IB_MATCH_REACH; d++) {
        for (size_t k = 0; k < 3; k++) {
            size_t at = (size_t)(d + IB_MATCH_REACH) * moved + k * rows * padded(cols);
            move_rows(q0 + k * n, rows, cols, -t * (float)d, m0 + at);
            move_rows(q1 + k * n, rows, cols, (1.0f - t) * (float)d, m1 + at);
        }
    }
    window about = make_window(window_sigma);
    for (int k = 0; k < CANDIDATES; k++) {
        size_t at = (size_t)(k / SIDE) * moved;
        float *c = costs + (size_t)k * n;
        difference_match(m0 + at, -t * right(k), m1 + at, (1.0f - t) * right(k), rows, cols, weights);
        blur(weights, rows, cols, &about, s.tmp, c);
        least_match(c, penalty(k), n, k == 0, s.low);
    }
    soft_minimum(costs, n, weights, &s, flow, flow + n);
    for (size_t i = 0; i < n; i++) {
        float *f = features + i * IB_MATCH_FEATURES, x = flow[i], y = flow[n + i];
        float spread = s.square[i] / s.total[i] - x * x - y * y;
        f[0] = x * IB_TOKEN_PX / 32.0f;
        f[1] = y * IB_TOKEN_PX / 32.0f;
        f[2] = s.low[i] * 20.0f;
        f[3] = s.still[i] * 20.0f;
        f[4] = (s.still[i] - s.low[i]) * 50.0f;
        f[5] = sqrtf(spread > 0 ? spread : 0) * 0.5f;
        flow[i] = x * IB_TOKEN_PX;
        flow[n + i] = y * IB_TOKEN_PX;
    }
}
