#include "nn/conv2d.h"

#include <omp.h>
#include <string.h>

#include "nn/panels.h"
#include "nn/simd.h"
#include "nn/winograd.h"

enum {
    WEIGHT_FLOATS = 2 << 20, /* of weights that lie transformed in scratch at once */
    INPUT_FLOATS = 12 << 20, /* of inputs */
    TILES = 64,              /* tiles that one thread takes at a time */
    ROWS = 96,               /* rows of a product that one thread takes at a time */
    GROUP = 64,              /* columns */
    CHANNELS = 32,           /* channels whose weights are transformed at a time */
    FEWEST = 4               /* tiles of an image from which on Winograd's filtering is used */
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t round_up(size_t n, size_t unit) {
    return (n + unit - 1) / unit * unit;
}

size_t ib_conv2d_side(const ib_conv2d *c, size_t n) {
    size_t padded = n + (size_t)(c->pad_before + c->pad_after);
    return padded < (size_t)c->kernel ? 0 : (padded - (size_t)c->kernel) / (size_t)c->stride + 1;
}

/* How the tiles and columns of a convolution are dealt out. */
typedef struct plan {
    const ib_conv2d *c;
    size_t out_rows, out_cols;
    size_t across, each, tiles; /* tiles in a row, in an image, in all */
    size_t block;               /* columns whose weights are transformed at once, a multiple of 16 */
    size_t strip;               /* tiles, or rows of a product, that are transformed at once */
    size_t u_plane, v_plane, m_plane;
    bool winograd;
} plan;

static plan make_plan(const ib_conv2d *c) {
    plan p = {.c = c, .out_rows = ib_conv2d_side(c, c->rows), .out_cols = ib_conv2d_side(c, c->cols)};
    size_t per_column = c->cin * (size_t)(c->kernel * c->kernel), most;
    p.across = (p.out_cols + OUT - 1) / OUT;
    p.each = (p.out_rows + OUT - 1) / OUT * p.across;
    p.tiles = c->images * p.each;
    p.winograd = c->kernel == 3 && c->stride == 1 && p.each >= FEWEST;
    if (p.winograd) {
        per_column = PLANES * c->cin;
    }
    most = WEIGHT_FLOATS / per_column / IB_PANEL * IB_PANEL;
    p.block = least(most < IB_PANEL ? IB_PANEL : most, round_up(c->cout, IB_PANEL));
    /* blocks of equal size */
    p.block = round_up(
        (c->cout + (c->cout + p.block - 1) / p.block - 1) / ((c->cout + p.block - 1) / p.block), IB_PANEL);
    most = INPUT_FLOATS / (PLANES * c->cin) / TILES * TILES;
    p.strip = least(most < TILES ? TILES : most, p.tiles);
    p.u_plane = plane_floats(c->cin * p.block);
    p.v_plane = plane_floats(p.strip * c->cin);
    p.m_plane = plane_floats(TILES * GROUP);
    return p;
}

size_t ib_conv2d_scratch(const ib_conv2d *c, int threads) {
    plan p = make_plan(c);
    if (p.winograd) {
        return PLANES * (p.u_plane + p.v_plane + (size_t)threads * p.m_plane) +
               (size_t)threads * PLANES * round_up(c->cin, LANES);
    }
    return p.block * c->cin * (size_t)(c->kernel * c->kernel) + (size_t)threads * ROWS * c->cin;
}

/* Of eight outputs: smaller vectors, which stay in registers. */
WEIGHT_MAP(weight_row8, ib_row8)

/* u = G w G^T for a panel of 16 outputs and n channels: w [n,9,16], u planes `plane` apart. */
IB_MULTIARCH
static void transform_weights(const float *w, size_t n, float *u, size_t plane) {
    for (size_t i = 0; i < 2 * n; i++) {
        const float *from = w + i / 2 * 9 * LANES + i % 2 * 8;
        float *to = u + i / 2 * LANES + i % 2 * 8;
        ib_row8 t[3][IN]; /* columns of w, mapped */
        IB_UNROLL
        for (size_t c = 0; c < 3; c++) {
            const ib_row8 tap[3] = {IB_ROW8(from + c * LANES), IB_ROW8(from + (3 + c) * LANES),
                                    IB_ROW8(from + (6 + c) * LANES)};
            weight_row8(tap, t[c]);
        }
        IB_UNROLL
        for (size_t r = 0; r < IN; r++) {
            const ib_row8 row[3] = {t[0][r], t[1][r], t[2][r]};
            ib_row8 g[IN];
            weight_row8(row, g);
            IB_UNROLL
            for (size_t c = 0; c < IN; c++) {
                IB_PUT8(to + (r * IN + c) * plane, g[c]);
            }
        }
    }
}

/* Channels [i, i + n) of the panel at output `first`. */
static void weights_of(const plan *p, const void *w, ib_dtype type, size_t first, size_t panel, size_t i,
                       size_t n, float *u) {
    float turned[CHANNELS * 9 * LANES];
    size_t have = least(LANES, p->c->cout - first - panel * LANES), bytes = type == IB_F32 ? 4 : 2;
    /* a row of the file is [cin,9]: 9 n of it lie together */
    const char *from = (const char *)w + ((first + panel * LANES) * p->c->cin + i) * 9 * bytes;
    ib_panel_pack_part(from, type, p->c->cin * 9, have, n * 9, turned);
    transform_weights(turned, n, u + (panel * p->c->cin + i) * LANES, p->u_plane);
}

/* v = B^T d B of one tile: d at x, rows `row` floats apart. */
IB_MULTIARCH
static void transform_input(const float *x, size_t row, size_t cin, float *v, size_t plane) {
    size_t i = 0;
    for (; i + LANES <= cin; i += LANES) {
        map_2d(input_1d, IN, IN, x + i, (strides){row, cin}, NULL, false, v + i, (strides){IN * plane, plane},
               LANES);
    }
    if (i < cin) {
        map_2d(input_1d, IN, IN, x + i, (strides){row, cin}, NULL, false, v + i, (strides){IN * plane, plane},
               cin - i);
    }
}

/* The input of tile t, by way of `edge` [6,6,cin] where it reaches beyond the image. */
static void input_of(const plan *p, const float *x, size_t t, float *edge, float *v) {
    const ib_conv2d *c = p->c;
    size_t image = t / p->each, at = t % p->each, before = (size_t)c->pad_before;
    size_t r = at / p->across * OUT, q = at % p->across * OUT, cin = c->cin;
    const float *from = x + image * c->rows * c->cols * cin;
    if (r >= before && q >= before && r - before + IN <= c->rows && q - before + IN <= c->cols) {
        transform_input(from + ((r - before) * c->cols + q - before) * cin, c->cols * cin, cin, v,
                        p->v_plane);
        return;
    }
    size_t q0 = q < before ? before - q : 0, q1 = least(IN, c->cols + before > q ? c->cols + before - q : 0);
    memset(edge, 0, PLANES * cin * sizeof *edge);
    for (size_t i = 0; i < IN; i++) {
        if (r + i >= before && r + i - before < c->rows && q1 > q0) {
            memcpy(edge + (i * IN + q0) * cin, from + ((r + i - before) * c->cols + q + q0 - before) * cin,
                   (q1 - q0) * cin * sizeof *edge);
        }
    }
    transform_input(edge, IN * cin, cin, v, p->v_plane);
}

/* y = A^T m A + b of one tile and n channels. */
static IB_INLINE void output_tile(const float *m, size_t plane, const lanes *b, bool add, float *y,
                                  size_t row, size_t c, size_t down, size_t across, const size_t n) {
    float spare[OUT * OUT * LANES];
    if (n == LANES && down == OUT && across == OUT && !add) {
        map_2d(output_1d, IN, OUT, m, (strides){IN * plane, plane}, b, false, y, (strides){row, c}, LANES);
        return;
    }
    map_2d(output_1d, IN, OUT, m, (strides){IN * plane, plane}, b, false, spare,
           (strides){OUT * LANES, LANES}, LANES);
    for (size_t i = 0; i < down; i++) {
        for (size_t j = 0; j < across; j++) {
            float *to = y + i * row + j * c;
            const float *from = spare + (i * OUT + j) * LANES;
            for (size_t k = 0; k < n; k++) {
                to[k] = add ? to[k] + from[k] : from[k];
            }
        }
    }
}

IB_MULTIARCH
static void transform_output(const float *m, size_t plane, const float *b, bool add, size_t n, float *y,
                             size_t row, size_t c, size_t down, size_t across) {
    for (size_t i = 0; i < n; i += LANES) {
        lanes bias = {0};
        size_t now = n - i < LANES ? n - i : LANES;
        if (b) {
            memcpy(&bias, b + i, now * sizeof *b);
        }
        output_tile(m + i, plane, &bias, add, y + i, row, c, down, across, now);
    }
}

/* What a run is given besides the plan. */
typedef struct operands {
    const float *x, *b;
    size_t b_row;
    bool add;
    float *y;
} operands;

/* Tiles [t, t + n), the columns [j, j + cols) of the block that begins at `first`. */
static void tiles_of(const plan *p, const operands *o, const float *u, const float *v, float *m, size_t strip,
                     size_t t, size_t n, size_t first, size_t j, size_t cols) {
    size_t cin = p->c->cin, cout = p->c->cout, row = p->out_cols * cout, have = least(cols, cout - first - j);
    for (size_t k = 0; k < PLANES; k++) {
        ib_panel_product(v + k * p->v_plane + t * cin, cin, u + k * p->u_plane + j * cin, cin * IB_PANEL,
                         false, m + k * p->m_plane, GROUP, n, cols, cin);
    }
    for (size_t i = 0; i < n; i++) {
        size_t image = (strip + t + i) / p->each, at = (strip + t + i) % p->each;
        size_t r = at / p->across * OUT, q = at % p->across * OUT;
        float *y = o->y + image * p->out_rows * row + r * row + q * cout + first + j;
        const float *b = o->b ? o->b + image * o->b_row + first + j : NULL;
        transform_output(m + i * GROUP, p->m_plane, b, o->add, have, y, row, cout,
                         least(OUT, p->out_rows - r), least(OUT, p->out_cols - q));
    }
}

static void run_winograd(const plan *p, const operands *o, const void *w, ib_dtype type, int threads,
                         float *scratch) {
    size_t cin = p->c->cin, cout = p->c->cout, pieces = (cin + CHANNELS - 1) / CHANNELS;
    float *u = scratch, *v = u + PLANES * p->u_plane, *m = v + PLANES * p->v_plane;
    float *edges = m + (size_t)threads * PLANES * p->m_plane;
#pragma omp parallel num_threads(threads) if (threads > 1)
    for (size_t first = 0; first < cout; first += p->block) {
        size_t cols = round_up(least(p->block, cout - first), IB_PANEL), groups = (cols + GROUP - 1) / GROUP;
        size_t panels = cols / IB_PANEL, thread = (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)(panels * pieces); i++) {
            size_t panel = (size_t)i / pieces, at = (size_t)i % pieces * CHANNELS;
            weights_of(p, w, type, first, panel, at, least(CHANNELS, cin - at), u);
        }
        for (size_t strip = 0; strip < p->tiles; strip += p->strip) {
            size_t n = least(p->strip, p->tiles - strip), chunks = (n + TILES - 1) / TILES;
            if (first == 0 || p->tiles > p->strip) {
#pragma omp for schedule(static)
                for (ptrdiff_t t = 0; t < (ptrdiff_t)n; t++) {
                    input_of(p, o->x, strip + (size_t)t, edges + thread * PLANES * round_up(cin, LANES),
                             v + (size_t)t * cin);
                }
            }
#pragma omp for schedule(dynamic, 1)
            for (ptrdiff_t i = 0; i < (ptrdiff_t)(chunks * groups); i++) {
                size_t t = (size_t)i / groups * TILES, j = (size_t)i % groups * GROUP;
                tiles_of(p, o, u, v, m + thread * PLANES * p->m_plane, strip, t, least(TILES, n - t), first,
                         j, least(GROUP, cols - j));
            }
        }
    }
}

/* Where the input of output pixel `at` lies for one tap; NULL: beyond the image. */
static const float *input_at(const plan *p, const float *x, size_t at, size_t tap) {
    const ib_conv2d *c = p->c;
    size_t image = at / (p->out_rows * p->out_cols), pixel = at % (p->out_rows * p->out_cols);
    size_t kernel = (size_t)c->kernel, stride = (size_t)c->stride, before = (size_t)c->pad_before;
    size_t r = pixel / p->out_cols * stride + tap / kernel, q = pixel % p->out_cols * stride + tap % kernel;
    if (r < before || q < before || r - before >= c->rows || q - before >= c->cols) {
        return NULL;
    }
    return x + ((image * c->rows + r - before) * c->cols + q - before) * c->cin;
}

/* Rows [at, at + n) of the product of every tap, added up. */
static void rows_of(const plan *p, const operands *o, const float *u, float *gathered, size_t at, size_t n,
                    size_t first, size_t j, size_t cols) {
    size_t cin = p->c->cin, cout = p->c->cout, taps = (size_t)(p->c->kernel * p->c->kernel);
    float *y = o->y + at * cout + first + j;
    for (size_t i = 0; i < n; i++) {
        float *to = y + i * cout;
        const float *b = o->b ? o->b + (at + i) / (p->out_rows * p->out_cols) * o->b_row + first + j : NULL;
        for (size_t k = 0; k < cols; k++) {
            to[k] = (o->add ? to[k] : 0) + (b ? b[k] : 0);
        }
    }
    for (size_t tap = 0; tap < taps; tap++) {
        for (size_t i = 0; i < n; i++) {
            const float *from = input_at(p, o->x, at + i, tap);
            if (from) {
                memcpy(gathered + i * cin, from, cin * sizeof *gathered);
            } else {
                memset(gathered + i * cin, 0, cin * sizeof *gathered);
            }
        }
        ib_panel_product(gathered, cin, u + (j * taps + tap * IB_PANEL) * cin, taps * cin * IB_PANEL, true, y,
                         cout, n, cols, cin);
    }
}

static void run_taps(const plan *p, const operands *o, const void *w, ib_dtype type, int threads,
                     float *scratch) {
    size_t cin = p->c->cin, cout = p->c->cout, taps = (size_t)(p->c->kernel * p->c->kernel);
    size_t rows = p->c->images * p->out_rows * p->out_cols, high = (rows + ROWS - 1) / ROWS;
    float *u = scratch, *gathered = u + p->block * cin * taps;
#pragma omp parallel num_threads(threads) if (threads > 1)
    for (size_t first = 0; first < cout; first += p->block) {
        size_t cols = least(p->block, cout - first), panels = (cols + IB_PANEL - 1) / IB_PANEL;
        size_t groups = (cols + GROUP - 1) / GROUP, thread = (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)panels; i++) {
            size_t at = (size_t)i * IB_PANEL;
            ib_panel_pack(w, type, first + at, least(IB_PANEL, cols - at), cin, taps, u + at * cin * taps);
        }
#pragma omp for schedule(dynamic, 1)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)(high * groups); i++) {
            size_t at = (size_t)i / groups * ROWS, j = (size_t)i % groups * GROUP;
            rows_of(p, o, u, gathered + thread * ROWS * cin, at, least(ROWS, rows - at), first, j,
                    least(GROUP, cols - j));
        }
    }
}

void ib_conv2d_run(const ib_conv2d *c, const float *x, const void *w, ib_dtype type, const float *b,
                   size_t b_row, bool add, int threads, float *scratch, float *y) {
    plan p = make_plan(c);
    operands o = {.x = x, .b = b, .b_row = b_row, .add = add, .y = y};
    (p.winograd ? run_winograd : run_taps)(&p, &o, w, type, threads, scratch);
}
