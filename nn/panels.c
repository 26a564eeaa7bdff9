#include "nn/panels.h"

#include <omp.h>
#include <stdint.h>
#include <string.h>

#include "nn/simd.h"

enum {
    DEPTH = 128,             /* rows of a panel that are gone through at a time */
    GROUP = 128,             /* columns that one thread takes at a time */
    ROWS = 96,               /* rows that one thread takes at a time */
    WIDENED_FLOATS = 4 << 20 /* of weights that lie in scratch at once */
};

size_t ib_panel_floats(size_t n, size_t k) {
    return (n + IB_PANEL - 1) / IB_PANEL * IB_PANEL * k;
}

typedef struct operands {
    const float *a, *b;
    float *c;
    size_t a_row, panel, c_row, k;
    bool add;
} operands;

/* Unaligned vectors of one register each. */
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

/* A tile of HIGH rows x PANELS panels of c is summed in registers. */
#define DEFINE_TILE(name, vector, HIGH, PANELS)                                                              \
    static IB_INLINE void name(const operands *o, const float *a, const float *b, float *c) {                \
        enum { LANES = sizeof(vector) / sizeof(float), EACH = IB_PANEL / LANES };                            \
        vector sum[HIGH][PANELS * EACH];                                                                     \
        IB_UNROLL for (size_t r = 0; r < HIGH; r++) {                                                        \
            IB_UNROLL for (size_t q = 0; q < PANELS * EACH; q++) {                                           \
                sum[r][q] = (vector){0};                                                                     \
            }                                                                                                \
        }                                                                                                    \
        for (size_t p = 0; p < o->k; p++, a++, b += IB_PANEL) {                                              \
            vector x[PANELS * EACH];                                                                         \
            IB_UNROLL for (size_t q = 0; q < PANELS * EACH; q++) {                                           \
                x[q] = *(const vector *)(b + q / EACH * o->panel + q % EACH * LANES);                        \
            }                                                                                                \
            IB_UNROLL for (size_t r = 0; r < HIGH; r++) {                                                    \
                float s = a[r * o->a_row];                                                                   \
                IB_UNROLL for (size_t q = 0; q < PANELS * EACH; q++) {                                       \
                    sum[r][q] += s * x[q];                                                                   \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        IB_UNROLL for (size_t r = 0; r < HIGH; r++) {                                                        \
            IB_UNROLL for (size_t q = 0; q < PANELS * EACH; q++) {                                           \
                vector *to = (vector *)(c + r * o->c_row + q * LANES);                                       \
                if (o->add) {                                                                                \
                    *to += sum[r][q];                                                                        \
                } else {                                                                                     \
                    *to = sum[r][q];                                                                         \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

/* All rows of PANELS panels, whose columns are all there. */
#define DEFINE_STRIP(name, high, most, low, one)                                                             \
    static IB_INLINE void name(const operands *o, size_t m, const float *b, float *c) {                      \
        size_t i = 0;                                                                                        \
        for (; i + high <= m; i += high) {                                                                   \
            most(o, o->a + i * o->a_row, b, c + i * o->c_row);                                               \
        }                                                                                                    \
        for (; i + high / 2 <= m; i += high / 2) {                                                           \
            low(o, o->a + i * o->a_row, b, c + i * o->c_row);                                                \
        }                                                                                                    \
        for (; i < m; i++) {                                                                                 \
            one(o, o->a + i * o->a_row, b, c + i * o->c_row);                                                \
        }                                                                                                    \
    }

/* The last columns, fewer than a panel's: by way of a panel of its own. */
#define DEFINE_EDGE(name, strip)                                                                             \
    static IB_INLINE void name(const operands *o, size_t m, size_t n, const float *b, float *c) {            \
        enum { HIGH = 6 };                                                                                   \
        float whole[HIGH * IB_PANEL];                                                                        \
        operands part = *o;                                                                                  \
        part.c_row = IB_PANEL;                                                                               \
        part.add = false;                                                                                    \
        for (size_t i = 0; i < m; i += HIGH) {                                                               \
            size_t rows = m - i < HIGH ? m - i : HIGH;                                                       \
            part.a = o->a + i * o->a_row;                                                                    \
            strip(&part, rows, b, whole);                                                                    \
            for (size_t r = 0; r < rows; r++) {                                                              \
                float *to = c + (i + r) * o->c_row;                                                          \
                for (size_t j = 0; j < n; j++) {                                                             \
                    to[j] = o->add ? to[j] + whole[r * IB_PANEL + j] : whole[r * IB_PANEL + j];              \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_TILE(tile4_v4, v4, 2, 1)
DEFINE_TILE(tile1_v4, v4, 1, 1)
DEFINE_STRIP(strip_v4, 2, tile4_v4, tile1_v4, tile1_v4)
DEFINE_EDGE(edge_v4, strip_v4)

static void product_plain(const operands *o, size_t m, size_t n) {
    size_t j = 0;
    for (; j + IB_PANEL <= n; j += IB_PANEL) {
        strip_v4(o, m, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
    if (j < n) {
        edge_v4(o, m, n - j, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
}

#if defined(__x86_64__)

DEFINE_TILE(tile6x4_v16, v16, 6, 4)
DEFINE_TILE(tile3x4_v16, v16, 3, 4)
DEFINE_TILE(tile1x4_v16, v16, 1, 4)
DEFINE_STRIP(strip4_v16, 6, tile6x4_v16, tile3x4_v16, tile1x4_v16)
DEFINE_TILE(tile6x1_v16, v16, 6, 1)
DEFINE_TILE(tile3x1_v16, v16, 3, 1)
DEFINE_TILE(tile1x1_v16, v16, 1, 1)
DEFINE_STRIP(strip1_v16, 6, tile6x1_v16, tile3x1_v16, tile1x1_v16)
DEFINE_EDGE(edge_v16, strip1_v16)
DEFINE_TILE(tile6_v8, v8, 6, 1)
DEFINE_TILE(tile3_v8, v8, 3, 1)
DEFINE_TILE(tile1_v8, v8, 1, 1)
DEFINE_STRIP(strip_v8, 6, tile6_v8, tile3_v8, tile1_v8)
DEFINE_EDGE(edge_v8, strip_v8)

__attribute__((target("avx512f,fma"))) static void product_avx512(const operands *o, size_t m, size_t n) {
    size_t j = 0;
    for (; j + 4 * IB_PANEL <= n; j += 4 * IB_PANEL) {
        strip4_v16(o, m, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
    for (; j + IB_PANEL <= n; j += IB_PANEL) {
        strip1_v16(o, m, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
    if (j < n) {
        edge_v16(o, m, n - j, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
}

__attribute__((target("avx2,fma"))) static void product_fma(const operands *o, size_t m, size_t n) {
    size_t j = 0;
    for (; j + IB_PANEL <= n; j += IB_PANEL) {
        strip_v8(o, m, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
    if (j < n) {
        edge_v8(o, m, n - j, o->b + j / IB_PANEL * o->panel, o->c + j);
    }
}

static void (*const kernels[IB_PANEL_KERNELS])(const operands *, size_t,
                                               size_t) = {product_avx512, product_fma, product_plain};

static bool runs_here(int which) {
    return which == 0   ? __builtin_cpu_supports("avx512f")
           : which == 1 ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                        : true;
}

#else

static void (*const kernels[IB_PANEL_KERNELS])(const operands *, size_t, size_t) = {NULL, NULL,
                                                                                    product_plain};

static bool runs_here(int which) {
    return which == 2;
}

#endif

bool ib_panel_product_by(int which, const float *a, size_t a_row, const float *panels, size_t panel, bool add,
                         float *c, size_t c_row, size_t m, size_t n, size_t k) {
    if (!runs_here(which)) {
        return false;
    }
    for (size_t p = 0; p < k; p += DEPTH) {
        operands o = {
            .a = a + p, .b = panels + p * IB_PANEL, .c = c, .a_row = a_row, .panel = panel, .c_row = c_row};
        o.k = k - p < DEPTH ? k - p : DEPTH;
        o.add = add || p;
        kernels[which](&o, m, n);
    }
    return true;
}

void ib_panel_product(const float *a, size_t a_row, const float *panels, size_t panel, bool add, float *c,
                      size_t c_row, size_t m, size_t n, size_t k) {
    int which = 0;
    while (!ib_panel_product_by(which, a, a_row, panels, panel, add, c, c_row, m, n, k)) {
        which++;
    }
}

static void widen(const char *from, ib_dtype type, size_t n, float *to) {
    enum { AT_ONCE = 256 };
    uint16_t half[AT_ONCE];
    if (type == IB_F32) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i < n; i += AT_ONCE) {
        size_t now = n - i < AT_ONCE ? n - i : AT_ONCE;
        memcpy(half, from + 2 * i, 2 * now);
        if (type == IB_F16) {
            ib_f16_to_f32(half, to + i, now);
            continue;
        }
        for (size_t j = 0; j < now; j++) {
            uint32_t bits = (uint32_t)half[j] << 16;
            memcpy(to + i + j, &bits, sizeof bits);
        }
    }
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* the same in the words of older GCCs */
typedef int32_t order8 __attribute__((vector_size(32)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (order8){__VA_ARGS__})
#endif

/* r[i][j] becomes r[j][i], in registers. */
static IB_INLINE void transpose8(v8 r[8]) {
    v8 a[8], b[8];
    IB_UNROLL for (size_t i = 0; i < 8; i += 2) {
        a[i] = SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    IB_UNROLL for (size_t i = 0; i < 8; i += 4) {
        IB_UNROLL for (size_t k = 0; k < 2; k++) {
            b[i + 2 * k] = SHUFFLE(a[i + k], a[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            b[i + 2 * k + 1] = SHUFFLE(a[i + k], a[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    IB_UNROLL for (size_t i = 0; i < 4; i++) {
        r[i] = SHUFFLE(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[i + 4] = SHUFFLE(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* to[i,j] = from[j,i] for i < n, j < 16 */
IB_MULTIARCH
static void turn(const float *from, size_t from_row, size_t n, float *to) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (size_t half = 0; half < IB_PANEL; half += 8) {
            v8 r[8];
            IB_UNROLL for (size_t j = 0; j < 8; j++) {
                r[j] = *(const v8 *)(from + (half + j) * from_row + i);
            }
            transpose8(r);
            IB_UNROLL for (size_t j = 0; j < 8; j++) {
                *(v8 *)(to + (i + j) * IB_PANEL + half) = r[j];
            }
        }
    }
    for (; i < n; i++) {
        for (size_t j = 0; j < IB_PANEL; j++) {
            to[i * IB_PANEL + j] = from[j * from_row + i];
        }
    }
}

enum { CHANNELS = 32, MOST = 9 * CHANNELS }; /* numbers of a row that are turned at once */

void ib_panel_pack_part(const void *w, ib_dtype type, size_t w_row, size_t have, size_t k, float *panel) {
    float row[IB_PANEL * MOST];
    size_t bytes = type == IB_F32 ? 4 : 2;
    for (size_t r = 0; r < have; r++) {
        widen((const char *)w + r * w_row * bytes, type, k, row + r * MOST);
    }
    for (size_t r = have; r < IB_PANEL; r++) {
        memset(row + r * MOST, 0, k * sizeof *row);
    }
    turn(row, MOST, k, panel);
}

void ib_panel_pack(const void *w, ib_dtype type, size_t first, size_t n, size_t cin, size_t taps,
                   float *panels) {
    float turned[IB_PANEL * MOST];
    size_t bytes = type == IB_F32 ? 4 : 2, k = cin * taps, step = MOST / taps;
    for (size_t j = 0; j < n; j += IB_PANEL) {
        size_t have = n - j < IB_PANEL ? n - j : IB_PANEL;
        float *panel = panels + j * k;
        for (size_t i = 0; i < cin; i += step) {
            size_t now = cin - i < step ? cin - i : step;
            const char *from = (const char *)w + ((first + j) * k + i * taps) * bytes;
            ib_panel_pack_part(from, type, k, have, now * taps, taps == 1 ? panel + i * IB_PANEL : turned);
            for (size_t c = 0; taps > 1 && c < now; c++) {
                for (size_t t = 0; t < taps; t++) {
                    memcpy(panel + (t * cin + i + c) * IB_PANEL, turned + (c * taps + t) * IB_PANEL,
                           IB_PANEL * sizeof *panel);
                }
            }
        }
    }
}

void ib_panel_copy(const float *b, size_t b_row, size_t n, size_t k, float *panels) {
    for (size_t j = 0; j < n; j += IB_PANEL) {
        size_t have = n - j < IB_PANEL ? n - j : IB_PANEL;
        for (size_t p = 0; p < k; p++) {
            float *to = panels + j * k + p * IB_PANEL;
            memcpy(to, b + p * b_row + j, have * sizeof *to);
            memset(to + have, 0, (IB_PANEL - have) * sizeof *to);
        }
    }
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns that are widened at once. */
static size_t block_columns(size_t n, size_t k) {
    size_t most = WIDENED_FLOATS / k / IB_PANEL * IB_PANEL, all = (n + IB_PANEL - 1) / IB_PANEL * IB_PANEL;
    return most < IB_PANEL ? IB_PANEL : least(most, all);
}

size_t ib_linear_half_scratch(size_t n, size_t k) {
    return block_columns(n, k) * k;
}

/* One item of work: rows [r, r + m) of columns [j, j + cols) of the result. */
typedef struct linear {
    const float *x, *panels, *b;
    float *y;
    size_t x_row, y_row, k;
    bool add;
} linear;

static void multiply(const linear *l, size_t r, size_t m, size_t j, size_t cols) {
    float *y = l->y + r * l->y_row + j;
    bool add = l->add || l->b;
    if (l->b) {
        for (size_t i = 0; i < m; i++) {
            float *to = y + i * l->y_row;
            for (size_t c = 0; c < cols; c++) {
                to[c] = l->add ? to[c] + l->b[j + c] : l->b[j + c];
            }
        }
    }
    ib_panel_product(l->x + r * l->x_row, l->x_row, l->panels + j * l->k, l->k * IB_PANEL, add, y, l->y_row,
                     m, cols, l->k);
}

void ib_linear_half(const float *x, size_t x_row, const void *w, ib_dtype type, const float *b, size_t rows,
                    size_t n, size_t k, bool add, int threads, float *scratch, float *y, size_t y_row) {
    size_t block = block_columns(n, k), high = (rows + ROWS - 1) / ROWS;
    for (size_t first = 0; first < n; first += block) {
        size_t cols = least(block, n - first), panels = (cols + IB_PANEL - 1) / IB_PANEL;
        size_t group = high >= 4 * (size_t)threads ? GROUP : GROUP / 2, across = (cols + group - 1) / group;
        linear l = {.x = x, .panels = scratch, .b = b ? b + first : NULL, .y = y + first};
        l.x_row = x_row;
        l.y_row = y_row;
        l.k = k;
        l.add = add;
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
#pragma omp for schedule(static)
            for (ptrdiff_t p = 0; p < (ptrdiff_t)panels; p++) {
                size_t at = (size_t)p * IB_PANEL;
                ib_panel_pack(w, type, first + at, least(IB_PANEL, cols - at), k, 1, scratch + at * k);
            }
#pragma omp for schedule(dynamic, 1)
            for (ptrdiff_t i = 0; i < (ptrdiff_t)(high * across); i++) {
                size_t r = (size_t)i % high * ROWS, j = (size_t)i / high * group;
                multiply(&l, r, least(ROWS, rows - r), j, least(group, cols - j));
            }
        }
    }
}
