#include "nn/conv3x3.h"

#include <stdbool.h>
#include <string.h>

#include "nn/gemm.h"
#include "nn/layers.h"
#include "nn/simd.h"
#include "nn/winograd.h"

/* Images are taken together until their transformed inputs outgrow what the caches hold well, so that small
 * grids with many channels still give the products enough rows for the weights that they read. */
enum { CHUNK_FLOATS = 1 << 19 };

/* Tiles are 4x4 outputs fed by 6x6 inputs. The padded input has a border of one token, and more rows or
 * columns where the grid is not a multiple of a tile. */
typedef struct tiling {
    size_t th, tw, tiles; /* tiles down, across, together */
    size_t ph, pw;        /* padded input, tokens */
} tiling;

size_t ib_conv3x3_derived(size_t cin, size_t cout) {
    return PLANES * plane_floats(cin * cout);
}

static tiling tile_conv3x3(size_t rows, size_t cols) {
    tiling g;
    g.th = (rows + OUT - 1) / OUT;
    g.tw = (cols + OUT - 1) / OUT;
    g.tiles = g.th * g.tw;
    g.ph = OUT * g.th + 2;
    g.pw = OUT * g.tw + 2;
    return g;
}

static size_t chunk_images(tiling g, size_t images, size_t cin, size_t cout) {
    size_t n = CHUNK_FLOATS / (PLANES * g.tiles * (cin > cout ? cin : cout));
    return n < 1 ? 1 : n > images ? images : n;
}

size_t ib_conv3x3_scratch(size_t images, size_t rows, size_t cols, size_t cin, size_t cout) {
    tiling g = tile_conv3x3(rows, cols);
    size_t cmax = cin > cout ? cin : cout, n = chunk_images(g, images, cin, cout);
    return g.ph * g.pw * cmax + ib_conv3x3_derived(cin, cout) +
           PLANES * (2 * plane_floats(n * g.tiles * cin) + plane_floats(n * g.tiles * cout));
}

/* w: taps `tap` floats apart; u: planes `plane` floats apart. */
static IB_INLINE void weight_lanes(size_t i, const size_t n, const float *w, size_t tap, float *u,
                                   size_t plane) {
    map_2d(weight_1d, 3, IN, w + i, (strides){3 * tap, tap}, NULL, false, u + i, (strides){IN * plane, plane},
           n);
}

IB_MULTIARCH
static void weights_conv3x3(const float *w, size_t tap, size_t n, float *u, size_t plane) {
    FOR_LANES(n, weight_lanes, w, tap, u, plane);
}

void ib_conv3x3_weights(const float *w, size_t cin, size_t cout, float *u) {
    weights_conv3x3(w, cin * cout, cin * cout, u, plane_floats(cin * cout));
}

void ib_conv3x3_weights_transposed(const float *w, size_t cin, size_t cout, float *ut) {
    enum { AT_ONCE = 256 };
    float transposed[9 * AT_ONCE];
    for (size_t o = 0; o < cout; o++) {
        for (size_t first = 0; first < cin; first += AT_ONCE) {
            size_t n = cin - first < AT_ONCE ? cin - first : AT_ONCE;
            for (size_t k = 0; k < 9; k++) {
                const float *q = w + (k * cin + first) * cout + o;
                for (size_t i = 0; i < n; i++) {
                    transposed[k * AT_ONCE + i] = q[i * cout];
                }
            }
            weights_conv3x3(transposed, AT_ONCE, n, ut + o * cin + first, plane_floats(cin * cout));
        }
    }
}

static IB_INLINE void weight_lanes_backward(size_t i, const size_t n, const float *du, size_t plane,
                                            float *dw, size_t tap) {
    map_2d(weight_1d_backward, IN, 3, du + i, (strides){plane, IN * plane}, NULL, true, dw + i,
           (strides){tap, 3 * tap}, n);
}

/* dw += the adjoint of weights */
IB_MULTIARCH
static void weights_backward(const float *du, size_t plane, size_t n, float *dw) {
    FOR_LANES(n, weight_lanes_backward, du, plane, dw, n);
}

static void pad_conv3x3(const float *x, tiling g, size_t rows, size_t cols, size_t c, float *p) {
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
static IB_INLINE void input_lanes(size_t i, const size_t n, const float *p, size_t row, size_t c, float *v,
                                  size_t plane) {
    map_2d(input_1d, IN, IN, p + i, (strides){row, c}, NULL, false, v + i, (strides){IN * plane, plane}, n);
}

IB_MULTIARCH
static void input_transform(const float *p, tiling g, size_t c, float *v, size_t plane) {
    size_t row = g.pw * c;
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            FOR_LANES(c, input_lanes, p + OUT * (i * row + j * c), row, c, v + (i * g.tw + j) * c, plane);
        }
    }
}

/* The adjoint: p += B dv B^T. */
static IB_INLINE void input_lanes_backward(size_t i, const size_t n, float *p, size_t row, size_t c,
                                           const float *v, size_t plane) {
    map_2d(input_1d_backward, IN, IN, v + i, (strides){plane, IN * plane}, NULL, true, p + i,
           (strides){c, row}, n);
}

IB_MULTIARCH
static void input_transform_backward(const float *v, size_t plane, tiling g, size_t c, float *p) {
    size_t row = g.pw * c;
    memset(p, 0, g.ph * row * sizeof *p);
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            FOR_LANES(c, input_lanes_backward, p + OUT * (i * row + j * c), row, c, v + (i * g.tw + j) * c,
                      plane);
        }
    }
}

/* y = A^T m A + b for one whole tile. */
static IB_INLINE void output_lanes(size_t i, const size_t n, const float *m, size_t plane, const float *b,
                                   float *y, size_t row, size_t c) {
    lanes bias = {0};
    if (b) {
        load_conv3x3(b + i, n, &bias);
    }
    map_2d(output_1d, IN, OUT, m + i, (strides){IN * plane, plane}, &bias, false, y + i, (strides){row, c},
           n);
}

/* spare: a tile of its own, for those that reach beyond the grid. */
IB_MULTIARCH
static void output_transform(const float *m, size_t plane, tiling g, const float *b, size_t rows, size_t cols,
                             size_t c, float *spare, float *y) {
    size_t row = cols * c;
    for (size_t i = 0; i < g.th; i++) {
        size_t down = rows - OUT * i < OUT ? rows - OUT * i : OUT;
        for (size_t j = 0; j < g.tw; j++) {
            size_t across = cols - OUT * j < OUT ? cols - OUT * j : OUT;
            const float *mt = m + (i * g.tw + j) * c;
            float *yt = y + OUT * (i * row + j * c);
            if (down == OUT && across == OUT) {
                FOR_LANES(c, output_lanes, mt, plane, b, yt, row, c);
                continue;
            }
            FOR_LANES(c, output_lanes, mt, plane, b, spare, OUT * c, c);
            for (size_t r = 0; r < down; r++) {
                memcpy(yt + r * row, spare + r * OUT * c, across * c * sizeof *yt);
            }
        }
    }
}

/* The adjoint: dm = A dy A^T. dy is read from a buffer padded with zeros. */
static IB_INLINE void output_lanes_backward(size_t i, const size_t n, const float *p, size_t row, size_t c,
                                            float *m, size_t plane) {
    map_2d(output_1d_backward, OUT, IN, p + i, (strides){row, c}, NULL, false, m + i,
           (strides){IN * plane, plane}, n);
}

IB_MULTIARCH
static void output_transform_backward(const float *p, tiling g, size_t c, float *m, size_t plane) {
    size_t row = g.pw * c;
    for (size_t i = 0; i < g.th; i++) {
        for (size_t j = 0; j < g.tw; j++) {
            FOR_LANES(c, output_lanes_backward, p + (OUT * i + 1) * row + (OUT * j + 1) * c, row, c,
                      m + (i * g.tw + j) * c, plane);
        }
    }
}

void ib_conv3x3(const float *x, const float *u, const float *b, size_t images, size_t rows, size_t cols,
                size_t cin, size_t cout, float *scratch, float *y) {
    tiling g = tile_conv3x3(rows, cols);
    size_t weight_plane = plane_floats(cin * cout);
    size_t step = chunk_images(g, images, cin, cout), image_in = rows * cols * cin,
           image_out = rows * cols * cout;
    float *p = scratch, *v = p + g.ph * g.pw * (cin > cout ? cin : cout),
          *m = v + PLANES * plane_floats(step * g.tiles * cin);
    for (size_t first = 0; first < images; first += step) {
        size_t n = images - first < step ? images - first : step, tiles = n * g.tiles;
        size_t in_plane = plane_floats(tiles * cin), out_plane = plane_floats(tiles * cout);
        for (size_t i = 0; i < n; i++) {
            pad_conv3x3(x + (first + i) * image_in, g, rows, cols, cin, p);
            input_transform(p, g, cin, v + i * g.tiles * cin, in_plane);
        }
        for (size_t k = 0; k < PLANES; k++) {
            ib_gemm(v + k * in_plane, u + k * weight_plane, 0.0f, m + k * out_plane, tiles, cout, cin);
        }
        for (size_t i = 0; i < n; i++) {
            output_transform(m + i * g.tiles * cout, out_plane, g, b, rows, cols, cout, p,
                             y + (first + i) * image_out);
        }
    }
}

void ib_conv3x3_backward(const float *x, const float *ut, const float *dy, size_t images, size_t rows,
                         size_t cols, size_t cin, size_t cout, float *scratch, float *dx, float *dw,
                         float *db) {
    tiling g = tile_conv3x3(rows, cols);
    size_t weight_plane = plane_floats(cin * cout);
    size_t step = chunk_images(g, images, cin, cout), image_in = rows * cols * cin,
           image_out = rows * cols * cout;
    float *p = scratch, *v = p + g.ph * g.pw * (cin > cout ? cin : cout),
          *dv = v + PLANES * plane_floats(step * g.tiles * cin);
    float *dm = dv + PLANES * plane_floats(step * g.tiles * cin);
    float *du = dm + PLANES * plane_floats(step * g.tiles * cout);
    if (db) {
        ib_column_sums(dy, images * rows * cols, cout, db);
    }
    for (size_t first = 0; first < images; first += step) {
        size_t n = images - first < step ? images - first : step, tiles = n * g.tiles;
        size_t in_plane = plane_floats(tiles * cin), out_plane = plane_floats(tiles * cout);
        for (size_t i = 0; i < n; i++) {
            pad_conv3x3(dy + (first + i) * image_out, g, rows, cols, cout, p);
            output_transform_backward(p, g, cout, dm + i * g.tiles * cout, out_plane);
            pad_conv3x3(x + (first + i) * image_in, g, rows, cols, cin, p);
            input_transform(p, g, cin, v + i * g.tiles * cin, in_plane);
        }
        for (size_t k = 0; k < PLANES; k++) {
            ib_gemm_at(v + k * in_plane, dm + k * out_plane, first ? 1.0f : 0.0f, du + k * weight_plane, cin,
                       cout, tiles);
        }
        if (!dx) {
            continue;
        }
        for (size_t k = 0; k < PLANES; k++) {
            ib_gemm(dm + k * out_plane, ut + k * weight_plane, 0.0f, dv + k * in_plane, tiles, cin, cout);
        }
        for (size_t i = 0; i < n; i++) {
            input_transform_backward(dv + i * g.tiles * cin, in_plane, g, cin, p);
            float *d = dx + (first + i) * image_in;
            for (size_t r = 0; r < rows; r++) {
                memcpy(d + r * cols * cin, p + ((r + 1) * g.pw + 1) * cin, cols * cin * sizeof *d);
            }
        }
    }
    weights_backward(du, weight_plane, cin * cout, dw);
}
