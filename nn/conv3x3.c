#include "nn/conv3x3.h"

#include <string.h>

#include "nn/gemm.h"
#include "nn/layers.h"
#include "nn/simd.h"

/* Images are taken together until their transformed inputs outgrow a second-level cache, so that small grids with many channels
 * still give the products enough rows for the weights that they read. */
enum { CHUNK_FLOATS = 1 << 19 };

/* Tiles are 2x2 outputs fed by 4x4 inputs. The padded input has a border of one token, plus one more row or column where the
 * grid is odd. */
typedef struct tiling {
    size_t th, tw, tiles; /* tiles down, across, together */
    size_t ph, pw;        /* padded input, tokens */
} tiling;

/* Floats between the 16 transformed planes: an odd number of cache lines, lest all 16 fall into the same cache sets. */
static size_t plane_floats(size_t tiles, size_t c) {
    return ((tiles * c + 15) / 16 | 1) * 16;
}

static tiling tile(size_t rows, size_t cols) {
    tiling g;
    g.th = (rows + 1) / 2;
    g.tw = (cols + 1) / 2;
    g.tiles = g.th * g.tw;
    g.ph = 2 * g.th + 2;
    g.pw = 2 * g.tw + 2;
    return g;
}

static size_t chunk_images(tiling g, size_t images, size_t cin, size_t cout) {
    size_t n = CHUNK_FLOATS / (16 * g.tiles * (cin > cout ? cin : cout));
    return n < 1 ? 1 : n > images ? images : n;
}

size_t ib_conv3x3_scratch(size_t images, size_t rows, size_t cols, size_t cin, size_t cout) {
    tiling g = tile(rows, cols);
    size_t cmax = cin > cout ? cin : cout, n = chunk_images(g, images, cin, cout);
    return g.ph * g.pw * cmax + 16 * (2 * plane_floats(n * g.tiles, cin) + plane_floats(n * g.tiles, cout));
}

IB_MULTIARCH
void ib_conv3x3_weights(const float *restrict w, size_t cin, size_t cout, float *restrict u) {
    size_t n = cin * cout;
    for (size_t i = 0; i < n; i++) {
        float g[4][3];
        for (int j = 0; j < 3; j++) {
            float a = w[(size_t)j * n + i], b = w[(size_t)(3 + j) * n + i], c = w[(size_t)(6 + j) * n + i];
            g[0][j] = a;
            g[1][j] = 0.5f * (a + b + c);
            g[2][j] = 0.5f * (a - b + c);
            g[3][j] = c;
        }
        for (int r = 0; r < 4; r++) {
            float a = g[r][0], b = g[r][1], c = g[r][2];
            u[(size_t)(4 * r) * n + i] = a;
            u[(size_t)(4 * r + 1) * n + i] = 0.5f * (a + b + c);
            u[(size_t)(4 * r + 2) * n + i] = 0.5f * (a - b + c);
            u[(size_t)(4 * r + 3) * n + i] = c;
        }
    }
}

IB_MULTIARCH
void ib_conv3x3_weights_backward(const float *restrict du, size_t cin, size_t cout, float *restrict dw) {
    size_t n = cin * cout;
    for (size_t i = 0; i < n; i++) {
        float g[4][3];
        for (int r = 0; r < 4; r++) {
            float a = du[(size_t)(4 * r) * n + i], b = du[(size_t)(4 * r + 1) * n + i];
            float c = du[(size_t)(4 * r + 2) * n + i], d = du[(size_t)(4 * r + 3) * n + i];
            g[r][0] = a + 0.5f * (b + c);
            g[r][1] = 0.5f * (b - c);
            g[r][2] = d + 0.5f * (b + c);
        }
        for (int j = 0; j < 3; j++) {
            float a = g[0][j], b = g[1][j], c = g[2][j], d = g[3][j];
            dw[(size_t)j * n + i] += a + 0.5f * (b + c);
            dw[(size_t)(3 + j) * n + i] += 0.5f * (b - c);
            dw[(size_t)(6 + j) * n + i] += d + 0.5f * (b + c);
        }
    }
}

static void pad(const float *x, tiling g, size_t rows, size_t cols, size_t c, float *p) {
    size_t row = g.pw * c;
    memset(p, 0, row * sizeof *p);
    for (size_t r = 0; r < rows; r++) {
        float *q = p + (r + 1) * row;
        memset(q, 0, c * sizeof *q);
        memcpy(q + c, x + r * cols * c, cols * c * sizeof *q);
        memset(q + (cols + 1) * c, 0, (g.pw - cols - 1) * c * sizeof *q);
    }
    memset(p + (rows + 1) * row, 0, (g.ph - rows - 1) * row * sizeof *p);
}

/* v = B^T d B for one tile: d at p with row stride `row`, results `plane` floats apart. */
static IB_INLINE void input_tile(const float *restrict p, size_t row, size_t c, float *restrict v,
                                 size_t plane) {
    for (size_t i = 0; i < c; i++) {
        float t[4][4];
        for (size_t j = 0; j < 4; j++) {
            const float *q = p + j * c + i;
            float a = q[0], b = q[row], d = q[2 * row], e = q[3 * row];
            t[0][j] = a - d;
            t[1][j] = b + d;
            t[2][j] = d - b;
            t[3][j] = b - e;
        }
        for (size_t r = 0; r < 4; r++) {
            float *o = v + 4 * r * plane + i;
            o[0] = t[r][0] - t[r][2];
            o[plane] = t[r][1] + t[r][2];
            o[2 * plane] = t[r][2] - t[r][1];
            o[3 * plane] = t[r][1] - t[r][3];
        }
    }
}

IB_MULTIARCH
static void input_transform(const float *p, tiling g, size_t c, float *v, size_t plane) {
    size_t row = g.pw * c;
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            input_tile(p + 2 * i * row + 2 * j * c, row, c, v + (i * g.tw + j) * c, plane);
        }
    }
}

/* The adjoint of input_tile: p += B dv B^T. */
static IB_INLINE void input_tile_backward(float *restrict p, size_t row, size_t c, const float *restrict v,
                                          size_t plane) {
    for (size_t i = 0; i < c; i++) {
        float t[4][4];
        for (size_t r = 0; r < 4; r++) {
            const float *o = v + 4 * r * plane + i;
            float a = o[0], b = o[plane], d = o[2 * plane], e = o[3 * plane];
            t[r][0] = a;
            t[r][1] = b - d + e;
            t[r][2] = b + d - a;
            t[r][3] = -e;
        }
        for (size_t j = 0; j < 4; j++) {
            float *q = p + j * c + i;
            q[0] += t[0][j];
            q[row] += t[1][j] - t[2][j] + t[3][j];
            q[2 * row] += t[1][j] + t[2][j] - t[0][j];
            q[3 * row] -= t[3][j];
        }
    }
}

IB_MULTIARCH
static void input_transform_backward(const float *v, size_t plane, tiling g, size_t c, float *p) {
    size_t row = g.pw * c;
    memset(p, 0, g.ph * row * sizeof *p);
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            input_tile_backward(p + 2 * i * row + 2 * j * c, row, c, v + (i * g.tw + j) * c, plane);
        }
    }
}

/* y = A^T m A + b for one tile; rows and columns beyond the grid (odd sizes) are left out. */
static IB_INLINE void output_tile(const float *restrict m, size_t plane, const float *restrict b,
                                  float *restrict y, size_t row, size_t c, int below, int right) {
    for (size_t i = 0; i < c; i++) {
        float t[2][4];
        for (size_t j = 0; j < 4; j++) {
            const float *o = m + j * plane + i;
            float m0 = o[0], m1 = o[4 * plane], m2 = o[8 * plane], m3 = o[12 * plane];
            t[0][j] = m0 + m1 + m2;
            t[1][j] = m1 - m2 - m3;
        }
        float bias = b ? b[i] : 0.0f;
        y[i] = t[0][0] + t[0][1] + t[0][2] + bias;
        if (right) {
            y[c + i] = t[0][1] - t[0][2] - t[0][3] + bias;
        }
        if (below) {
            y[row + i] = t[1][0] + t[1][1] + t[1][2] + bias;
            if (right) {
                y[row + c + i] = t[1][1] - t[1][2] - t[1][3] + bias;
            }
        }
    }
}

IB_MULTIARCH
static void output_transform(const float *m, size_t plane, tiling g, const float *b, size_t rows, size_t cols,
                             size_t c, float *y) {
    size_t row = cols * c;
    for (size_t i = 0; i < g.th; i++) {
        int below = 2 * i + 1 < rows;
        for (size_t j = 0; j < g.tw; j++) {
            const float *mt = m + (i * g.tw + j) * c;
            float *yt = y + 2 * i * row + 2 * j * c;
            if (below && 2 * j + 1 < cols) {
                output_tile(mt, plane, b, yt, row, c, 1, 1);
            } else {
                output_tile(mt, plane, b, yt, row, c, below, 2 * j + 1 < cols);
            }
        }
    }
}

/* The adjoint of output_tile: dm = A dy A^T. dy is read from a buffer padded with zeros. */
static IB_INLINE void output_tile_backward(const float *restrict p, size_t row, size_t c, float *restrict m,
                                           size_t plane) {
    for (size_t i = 0; i < c; i++) {
        float t[4][2];
        for (size_t j = 0; j < 2; j++) {
            float a = p[j * c + i], b = p[row + j * c + i];
            t[0][j] = a;
            t[1][j] = a + b;
            t[2][j] = a - b;
            t[3][j] = -b;
        }
        for (size_t r = 0; r < 4; r++) {
            float *o = m + 4 * r * plane + i;
            o[0] = t[r][0];
            o[plane] = t[r][0] + t[r][1];
            o[2 * plane] = t[r][0] - t[r][1];
            o[3 * plane] = -t[r][1];
        }
    }
}

IB_MULTIARCH
static void output_transform_backward(const float *p, tiling g, size_t c, float *m, size_t plane) {
    size_t row = g.pw * c;
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            output_tile_backward(p + (2 * i + 1) * row + (2 * j + 1) * c, row, c, m + (i * g.tw + j) * c,
                                 plane);
        }
    }
}

void ib_conv3x3(const float *x, const float *u, const float *b, size_t images, size_t rows, size_t cols,
                size_t cin, size_t cout, float *scratch, float *y) {
    tiling g = tile(rows, cols);
    size_t step = chunk_images(g, images, cin, cout), image_in = rows * cols * cin,
           image_out = rows * cols * cout;
    float *p = scratch, *v = p + g.ph * g.pw * (cin > cout ? cin : cout),
          *m = v + 16 * plane_floats(step * g.tiles, cin);
    for (size_t first = 0; first < images; first += step) {
        size_t n = images - first < step ? images - first : step, tiles = n * g.tiles;
        size_t in_plane = plane_floats(tiles, cin), out_plane = plane_floats(tiles, cout);
        for (size_t i = 0; i < n; i++) {
            pad(x + (first + i) * image_in, g, rows, cols, cin, p);
            input_transform(p, g, cin, v + i * g.tiles * cin, in_plane);
        }
        for (size_t k = 0; k < 16; k++) {
            ib_gemm(v + k * in_plane, u + k * cin * cout, 0.0f, m + k * out_plane, tiles, cout, cin);
        }
        for (size_t i = 0; i < n; i++) {
            output_transform(m + i * g.tiles * cout, out_plane, g, b, rows, cols, cout,
                             y + (first + i) * image_out);
        }
    }
}

void ib_conv3x3_backward(const float *x, const float *u, const float *dy, size_t images, size_t rows,
                         size_t cols, size_t cin, size_t cout, float *scratch, float *dx, float *du,
                         float *db) {
    tiling g = tile(rows, cols);
    size_t step = chunk_images(g, images, cin, cout), image_in = rows * cols * cin,
           image_out = rows * cols * cout;
    float *p = scratch, *v = p + g.ph * g.pw * (cin > cout ? cin : cout),
          *dv = v + 16 * plane_floats(step * g.tiles, cin);
    float *dm = dv + 16 * plane_floats(step * g.tiles, cin);
    if (db) {
        ib_column_sums(dy, images * rows * cols, cout, db);
    }
    for (size_t first = 0; first < images; first += step) {
        size_t n = images - first < step ? images - first : step, tiles = n * g.tiles;
        size_t in_plane = plane_floats(tiles, cin), out_plane = plane_floats(tiles, cout);
        for (size_t i = 0; i < n; i++) {
            pad(dy + (first + i) * image_out, g, rows, cols, cout, p);
            output_transform_backward(p, g, cout, dm + i * g.tiles * cout, out_plane);
            pad(x + (first + i) * image_in, g, rows, cols, cin, p);
            input_transform(p, g, cin, v + i * g.tiles * cin, in_plane);
        }
        for (size_t k = 0; k < 16; k++) {
            ib_gemm_at(v + k * in_plane, dm + k * out_plane, 1.0f, du + k * cin * cout, cin, cout, tiles);
        }
        if (!dx) {
            continue;
        }
        for (size_t k = 0; k < 16; k++) {
            ib_gemm_bt(dm + k * out_plane, u + k * cin * cout, 0.0f, dv + k * in_plane, tiles, cin, cout);
        }
        for (size_t i = 0; i < n; i++) {
            input_transform_backward(dv + i * g.tiles * cin, in_plane, g, cin, p);
            float *d = dx + (first + i) * image_in;
            for (size_t r = 0; r < rows; r++) {
                memcpy(d + r * cols * cin, p + ((r + 1) * g.pw + 1) * cin, cols * cin * sizeof *d);
            }
        }
    }
}
