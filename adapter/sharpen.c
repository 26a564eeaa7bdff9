/* The detail that averaging takes. A prediction is a mean, of two carried keyframes and of several motions:
 * what lies a fraction of a px apart in them loses contrast, and grain does. How much contrast the fine
 * detail should have is known from the keyframes, so it is given back: in each of two octaves of an
 * undecimated wavelet transform (Starck, Murtagh and Fadili 2010, "Sparse Image and Signal Processing"; the
 * binomial of five, then the same with holes),
 *
 *   p + s sum of (g - 1) detail(p),   g = E / sqrt(mean of detail(p)^2 + grain^2), in [1,3],
 *   E = m rms0(x - t V0) + (1-m) rms1(x + (1-t) V1),
 *
 * with s the sharpness in [0,1], means over blocks of about 8x8 px and their neighbours, rms the root mean
 * square of a keyframe's own detail, and flows and mask those of the blend (motion/blend.h). Amplified
 * detail of p is nearer to the truth than detail of the same contrast from one keyframe: it is where the
 * hypotheses agree. At the keyframes, and where they agree, g is 1. Luma alone is sharpened. */
#include <math.h>
#include <stdint.h>
#include <omp.h>
#include <string.h>

#include "adapter/private.h"
#include "latent/patch_plane.h"
#include "nn/layers.h"
#include "nn/simd.h"
#include "nn/warp.h"

enum {
    OCTAVES = 2,
    BLOCK = 8,
    REACH = 4, /* of the second octave's filter, px each way */
    STRIP = 4  /* rows of blocks that are made at once */
};
/* One step of 8 bits: contrast below it is not worth restoring. */
static const float grain = 1.0f / 219;
static const float most_gain = 3;

/* Where things are, for a picture of height x width px. */
typedef struct plan {
    const ib_sharpening *s;
    size_t height, width, rows, cols; /* px, blocks */
    float *rms[2], *gain;             /* [OCTAVES,rows,cols] */
    float *share;                     /* [rows,cols]: that of the first keyframe, m; first free */
    float *each;                      /* a strip's scratch, one for each thread */
    size_t per_thread;
} plan;

static size_t blocks_of(size_t px) {
    return (px + BLOCK - 1) / BLOCK;
}

/* Blocks divide the picture evenly, as ib_enlarge sees them: the first px of block b of n. */
static size_t block_begin(size_t b, size_t n, size_t px) {
    return (2 * b * px + n - 1) / (2 * n);
}

static size_t strip_rows(size_t height) {
    return STRIP * BLOCK < height ? STRIP * BLOCK : height;
}

static size_t strip_floats(size_t height, size_t width) {
    size_t n = strip_rows(height), wide = width + 2 * REACH;
    return (OCTAVES + 1) * n * width + (n + 2 * (REACH + 2)) * wide + 2 * (n + 2 * REACH) * wide + 2 * wide +
           ib_enlarge_scratch(blocks_of(height), height, width, n);
}

size_t ib_sharpen_floats(size_t height, size_t width, int threads) {
    size_t blocks = blocks_of(height) * blocks_of(width);
    return (3 * OCTAVES + 1) * blocks + (size_t)threads * strip_floats(height, width);
}

/* Samples of row y with REACH more on both sides, the edge repeated. */
static void load_row(const ib_luma *l, size_t y, size_t width, float *out) {
    float *x = out + REACH;
    if (l->plane) {
        memcpy(x, l->plane + y * width, width * sizeof *x);
    } else {
        ib_patch_load(l->samples + y * l->stride, 0, width, x);
    }
    for (size_t i = 0; i < REACH; i++) {
        out[i] = x[0];
        x[width + i] = x[width - 1];
    }
}

/* The binomial of five samples that lie `step` apart: along a row, which has REACH more on both sides. */
IB_MULTIARCH
static void smooth_along(const float *restrict x, size_t step, size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (6 * x[i + REACH] + 4 * (x[i + REACH - step] + x[i + REACH + step]) +
                  x[i + REACH - 2 * step] + x[i + REACH + 2 * step]) *
                 (1.0f / 16);
    }
}

/* The same across five rows. */
IB_MULTIARCH
static void smooth_across(const float *const r[5], size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (6 * r[2][i] + 4 * (r[1][i] + r[3][i]) + r[0][i] + r[4][i]) * (1.0f / 16);
    }
}

/* Rows of a buffer that holds rows first to end - 1 of a picture: those around y, `step` apart, the edges
 * repeated. */
static void rows_around(const float *buffer, size_t wide, size_t first, size_t height, size_t y, size_t step,
                        const float *out[5]) {
    for (size_t i = 0; i < 5; i++) {
        size_t up = 2 * step, at = y + i * step < up ? 0 : y + i * step - up;
        out[i] = buffer + ((at < height ? at : height - 1) - first) * wide;
    }
}

/* Both octaves of rows first .. first + n - 1. detail: [OCTAVES,n,width] */
static void make_octaves(const plan *p, const ib_luma *l, size_t first, size_t n, float *scratch,
                         float *detail) {
    size_t h = p->height, w = p->width, wide = w + 2 * REACH, begin = first < REACH ? 0 : first - REACH,
           end = first + n + REACH < h ? first + n + REACH : h, above = begin < 2 ? 0 : begin - 2,
           below = end + 2 < h ? end + 2 : h;
    float *along = scratch, *low = along + (strip_rows(h) + 2 * (REACH + 2)) * wide,
          *holes = low + (strip_rows(h) + 2 * REACH) * wide,
          *row = holes + (strip_rows(h) + 2 * REACH) * wide, *lower = row + wide;
    const float *around[5];
    for (size_t y = above; y < below; y++) {
        load_row(l, y, w, row);
        smooth_along(row, 1, w, along + (y - above) * wide);
    }
    for (size_t y = begin; y < end; y++) {
        float *x = low + (y - begin) * wide;
        rows_around(along, wide, above, h, y, 1, around);
        smooth_across(around, w, x + REACH);
        for (size_t i = 0; i < REACH; i++) {
            x[i] = x[REACH];
            x[REACH + w + i] = x[REACH + w - 1];
        }
        smooth_along(x, 2, w, holes + (y - begin) * wide);
    }
    for (size_t y = first; y < first + n; y++) {
        const float *x = low + (y - begin) * wide + REACH;
        float *out = detail + (y - first) * w;
        load_row(l, y, w, row);
        ib_subtract(row + REACH, x, w, out);
        rows_around(holes, wide, begin, h, y, 2, around);
        smooth_across(around, w, lower);
        ib_subtract(x, lower, w, out + n * w);
    }
}

/* sum += x^2 */
IB_MULTIARCH
static void add_squares(const float *restrict x, size_t n, float *restrict sum) {
    for (size_t i = 0; i < n; i++) {
        sum[i] += x[i] * x[i];
    }
}

/* Mean squares of the blocks of a strip's rows. */
static void measure_strip(const plan *p, const ib_luma *l, size_t strip, float *scratch, float *square) {
    size_t begin = strip * STRIP, end = begin + STRIP < p->rows ? begin + STRIP : p->rows,
           first = block_begin(begin, p->rows, p->height), n = block_begin(end, p->rows, p->height) - first;
    float *detail = scratch, *sum = detail + OCTAVES * n * p->width;
    make_octaves(p, l, first, n, sum, detail);
    for (size_t k = 0; k < OCTAVES; k++) {
        for (size_t b = begin; b < end; b++) {
            size_t y0 = block_begin(b, p->rows, p->height), y1 = block_begin(b + 1, p->rows, p->height);
            memset(sum, 0, p->width * sizeof *sum);
            for (size_t y = y0; y < y1; y++) {
                add_squares(detail + (k * n + y - first) * p->width, p->width, sum);
            }
            for (size_t i = 0; i < p->cols; i++) {
                size_t x0 = block_begin(i, p->cols, p->width), x1 = block_begin(i + 1, p->cols, p->width);
                float total = 0;
                for (size_t x = x0; x < x1; x++) {
                    total += sum[x];
                }
                square[(k * p->rows + b) * p->cols + i] = total / (float)((y1 - y0) * (x1 - x0));
            }
        }
    }
}

/* The binomial of three blocks, along and across. tmp: [rows,cols] */
static void smooth_blocks(float *x, size_t rows, size_t cols, float *tmp) {
    for (size_t r = 0; r < rows; r++) {
        const float *a = x + r * cols;
        for (size_t c = 0; c < cols; c++) {
            tmp[r * cols + c] = (2 * a[c] + a[c ? c - 1 : 0] + a[c + 1 < cols ? c + 1 : c]) * 0.25f;
        }
    }
    for (size_t r = 0; r < rows; r++) {
        const float *a = tmp + r * cols, *up = r ? a - cols : a, *down = r + 1 < rows ? a + cols : a;
        for (size_t c = 0; c < cols; c++) {
            x[r * cols + c] = (2 * a[c] + up[c] + down[c]) * 0.25f;
        }
    }
}

/* Root mean squares of the octaves of a picture's luma. out: [OCTAVES,rows,cols] */
static void measure(const plan *p, const ib_luma *l, int threads, float *out) {
    size_t blocks = p->rows * p->cols;
    int strips = (int)((p->rows + STRIP - 1) / STRIP);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < strips; i++) {
        measure_strip(p, l, (size_t)i, p->each + (size_t)omp_get_thread_num() * p->per_thread, out);
    }
    for (size_t k = 0; k < OCTAVES; k++) {
        smooth_blocks(out + k * blocks, p->rows, p->cols, p->share);
        smooth_blocks(out + k * blocks, p->rows, p->cols, p->share);
    }
    for (size_t i = 0; i < OCTAVES * blocks; i++) {
        out[i] = sqrtf(out[i]);
    }
}

/* A map of blocks at (y, x), in blocks, clamped to the map. */
static float map_at(const float *map, size_t rows, size_t cols, float y, float x) {
    float bottom = (float)(rows - 1), right = (float)(cols - 1);
    y = y > 0 ? y < bottom ? y : bottom : 0;
    x = x > 0 ? x < right ? x : right : 0;
    size_t r = (size_t)y, c = (size_t)x, r1 = r + 1 < rows ? r + 1 : r, c1 = c + 1 < cols ? c + 1 : c;
    float v = y - (float)r, u = x - (float)c;
    float top = map[r * cols + c] + u * (map[r * cols + c1] - map[r * cols + c]);
    float low = map[r1 * cols + c] + u * (map[r1 * cols + c1] - map[r1 * cols + c]);
    return top + v * (low - top);
}

/* The cell at the middle of a block. */
static size_t cell_of(const plan *p, size_t block) {
    const ib_canvas *c = p->s->canvas;
    size_t row = (2 * (block / p->cols) + 1) * c->rows / (2 * p->rows),
           col = (2 * (block % p->cols) + 1) * c->cols / (2 * p->cols);
    return row * c->cols + col;
}

/* p->gain holds the picture's own contrast and becomes s (g - 1). */
static void find_gains(const plan *p) {
    const ib_sharpening *s = p->s;
    const ib_canvas *c = s->canvas;
    size_t rows = p->rows, cols = p->cols, blocks = rows * cols, cells = c->rows * c->cols;
    float odds = logf((1.0f - s->t) / s->t), across = (float)cols / (float)(IB_CELL_PX * c->cols),
          down = (float)rows / (float)(IB_CELL_PX * c->rows);
    for (size_t b = 0; b < blocks; b++) {
        p->share[b] = odds + s->fields[4 * cells + cell_of(p, b)];
    }
    ib_sigmoid(p->share, blocks, p->share);
    for (size_t b = 0; b < blocks; b++) {
        const float *v = s->fields + cell_of(p, b);
        float y = (float)(b / cols), x = (float)(b % cols), t = s->t;
        for (size_t k = 0; k < OCTAVES; k++) {
            float e0 = map_at(p->rms[0] + k * blocks, rows, cols, y - t * down * v[cells],
                              x - t * across * v[0]),
                  e1 = map_at(p->rms[1] + k * blocks, rows, cols, y + (1 - t) * down * v[3 * cells],
                              x + (1 - t) * across * v[2 * cells]);
            float *own = p->gain + k * blocks + b, g = e1 + p->share[b] * (e0 - e1);
            g /= sqrtf(*own * *own + grain * grain);
            *own = s->sharpness * ((g > 1 ? g < most_gain ? g : most_gain : 1) - 1);
        }
    }
}

/* out += gain detail */
IB_MULTIARCH
static void add_scaled(const float *restrict gain, const float *restrict detail, size_t n,
                       float *restrict out) {
    for (size_t i = 0; i < n; i++) {
        out[i] += gain[i] * detail[i];
    }
}

static void sharpen_strip(const plan *p, size_t strip, float *scratch, float *out) {
    size_t begin = strip * STRIP, end = begin + STRIP < p->rows ? begin + STRIP : p->rows, w = p->width,
           first = block_begin(begin, p->rows, p->height), n = block_begin(end, p->rows, p->height) - first;
    float *detail = scratch, *gain = detail + OCTAVES * n * w, *rest = gain + n * w;
    const ib_luma l = {.plane = p->s->picture};
    make_octaves(p, &l, first, n, rest, detail);
    memcpy(out + first * w, p->s->picture + first * w, n * w * sizeof *out);
    for (size_t k = 0; k < OCTAVES; k++) {
        ib_enlarge(p->gain + k * p->rows * p->cols, p->rows, p->cols, p->height, w, first, n, 1.0f, rest,
                   gain);
        add_scaled(gain, detail + k * n * w, n * w, out + first * w);
    }
}

void ib_sharpen(const ib_sharpening *s, int threads, float *scratch, float *out) {
    size_t h = s->canvas->height, w = s->canvas->width, rows = blocks_of(h), cols = blocks_of(w),
           map = OCTAVES * rows * cols;
    plan p = {.s = s,
              .height = h,
              .width = w,
              .rows = rows,
              .cols = cols,
              .rms = {scratch, scratch + map},
              .gain = scratch + 2 * map,
              .share = scratch + 3 * map,
              .per_thread = strip_floats(h, w)};
    p.each = p.share + rows * cols;
    for (int k = 0; k < 2; k++) {
        measure(&p, &s->key[k], threads, p.rms[k]);
    }
    measure(&p, &(ib_luma){.plane = s->picture}, threads, p.gain);
    find_gains(&p);
    int strips = (int)((rows + STRIP - 1) / STRIP);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < strips; i++) {
        sharpen_strip(&p, (size_t)i, p.each + (size_t)omp_get_thread_num() * p.per_thread, out);
    }
}
