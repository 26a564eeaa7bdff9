#include "nn/product.h"

#include "nn/simd.h"

#if defined(__x86_64__)

/* Rows of b that are gone through at a time: a strip of them stays in the second cache. */
enum { DEPTH = 128 };

/* Unaligned vectors of one register each. */
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

typedef struct operands {
    const float *a, *b;
    float *c;
    size_t row, column; /* strides of a */
    size_t b_row, c_row, n, k;
    bool add;
} operands;

/* A tile of ROWS x COLS vectors of c is summed in registers over all of k. ROWS + 1 + COLS loads feed ROWS *
 * COLS multiply-adds. */
#define DEFINE_TILE(name, vector, ROWS, COLS)                                                                \
    static IB_INLINE void name(const operands *o, size_t i, size_t j) {                                      \
        enum { LANES = sizeof(vector) / sizeof(float) };                                                     \
        const float *a = o->a + i * o->row, *b = o->b + j;                                                   \
        float *c = o->c + i * o->c_row + j;                                                                  \
        vector sum[ROWS][COLS];                                                                              \
        IB_UNROLL for (size_t r = 0; r < ROWS; r++) {                                                        \
            IB_UNROLL for (size_t q = 0; q < COLS; q++) {                                                    \
                sum[r][q] = (vector){0};                                                                     \
            }                                                                                                \
        }                                                                                                    \
        for (size_t p = 0; p < o->k; p++, a += o->column, b += o->b_row) {                                   \
            vector x[COLS];                                                                                  \
            IB_UNROLL for (size_t q = 0; q < COLS; q++) {                                                    \
                x[q] = *(const vector *)(b + LANES * q);                                                     \
            }                                                                                                \
            IB_UNROLL for (size_t r = 0; r < ROWS; r++) {                                                    \
                float s = a[r * o->row];                                                                     \
                IB_UNROLL for (size_t q = 0; q < COLS; q++) {                                                \
                    sum[r][q] += s * x[q];                                                                   \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        IB_UNROLL for (size_t r = 0; r < ROWS; r++) {                                                        \
            IB_UNROLL for (size_t q = 0; q < COLS; q++) {                                                    \
                vector *to = (vector *)(c + r * o->c_row + LANES * q);                                       \
                if (o->add) {                                                                                \
                    *to += sum[r][q];                                                                        \
                } else {                                                                                     \
                    *to = sum[r][q];                                                                         \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

/* All rows of one strip of columns. */
#define DEFINE_STRIP(name, tile6, tile3, tile1)                                                              \
    static IB_INLINE void name(const operands *o, size_t m, size_t j) {                                      \
        size_t i = 0;                                                                                        \
        for (; i + 6 <= m; i += 6) {                                                                         \
            tile6(o, i, j);                                                                                  \
        }                                                                                                    \
        for (; i + 3 <= m; i += 3) {                                                                         \
            tile3(o, i, j);                                                                                  \
        }                                                                                                    \
        for (; i < m; i++) {                                                                                 \
            tile1(o, i, j);                                                                                  \
        }                                                                                                    \
    }

DEFINE_TILE(tile6x64, v16, 6, 4)
DEFINE_TILE(tile3x64, v16, 3, 4)
DEFINE_TILE(tile1x64, v16, 1, 4)
DEFINE_STRIP(strip64, tile6x64, tile3x64, tile1x64)
DEFINE_TILE(tile6x32, v16, 6, 2)
DEFINE_TILE(tile3x32, v16, 3, 2)
DEFINE_TILE(tile1x32, v16, 1, 2)
DEFINE_STRIP(strip32, tile6x32, tile3x32, tile1x32)
DEFINE_TILE(tile6x16, v16, 6, 1)
DEFINE_TILE(tile3x16, v16, 3, 1)
DEFINE_TILE(tile1x16, v16, 1, 1)
DEFINE_STRIP(strip16, tile6x16, tile3x16, tile1x16)
DEFINE_TILE(tile6x16_ymm, v8, 6, 2)
DEFINE_TILE(tile3x16_ymm, v8, 3, 2)
DEFINE_TILE(tile1x16_ymm, v8, 1, 2)
DEFINE_STRIP(strip16_ymm, tile6x16_ymm, tile3x16_ymm, tile1x16_ymm)

__attribute__((target("avx512f,fma"))) static void product_avx512(const operands *o, size_t m) {
    size_t j = 0;
    for (; j + 64 <= o->n; j += 64) {
        strip64(o, m, j);
    }
    if (j + 32 <= o->n) {
        strip32(o, m, j);
        j += 32;
    }
    if (j < o->n) {
        strip16(o, m, j);
    }
}

__attribute__((target("avx2,fma"))) static void product_fma(const operands *o, size_t m) {
    for (size_t j = 0; j < o->n; j += 16) {
        strip16_ymm(o, m, j);
    }
}

static void (*const kernels[IB_PRODUCT_KERNELS])(const operands *o, size_t m) = {product_avx512, product_fma};

static bool runs_here(int k) {
    return k == 0 ? __builtin_cpu_supports("avx512f")
                  : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool ib_product_by(int which, const float *a, size_t row, size_t column, const float *b, bool add, float *c,
                   size_t m, size_t n, size_t k) {
    if (n % 16 || !k || !runs_here(which)) {
        return false;
    }
    for (size_t p = 0; p < k; p += DEPTH) {
        operands o = {.a = a + p * column,
                      .b = b + p * n,
                      .c = c,
                      .row = row,
                      .column = column,
                      .b_row = n,
                      .c_row = n,
                      .n = n};
        o.k = k - p < DEPTH ? k - p : DEPTH;
        o.add = add || p;
        kernels[which](&o, m);
    }
    return true;
}

bool ib_product_transposed(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    enum { STRIP = 64 };
    float transposed[DEPTH * STRIP];
    int which = runs_here(0) ? 0 : 1;
    if (n % 16 || m < STRIP || !k || !runs_here(which)) {
        return false;
    }
    for (size_t j = 0; j < n; j += STRIP) {
        size_t width = n - j < STRIP ? n - j : STRIP;
        for (size_t p = 0; p < k; p += DEPTH) {
            operands o = {.a = a + p, .b = transposed, .c = c + j, .row = k, .column = 1, .b_row = width};
            o.c_row = n;
            o.n = width;
            o.k = k - p < DEPTH ? k - p : DEPTH;
            o.add = p;
            for (size_t i = 0; i < width; i++) {
                for (size_t q = 0; q < o.k; q++) {
                    transposed[q * width + i] = b[(j + i) * k + p + q];
                }
            }
            kernels[which](&o, m);
        }
    }
    return true;
}

#else

bool ib_product_transposed(const float *a, const float *b, float *c, size_t m, size_t n, size_t k) {
    (void)a, (void)b, (void)c, (void)m, (void)n, (void)k;
    return false;
}

bool ib_product_by(int which, const float *a, size_t row, size_t column, const float *b, bool add, float *c,
                   size_t m, size_t n, size_t k) {
    (void)which, (void)a, (void)row, (void)column, (void)b, (void)add, (void)c, (void)m, (void)n, (void)k;
    return false;
}

#endif

bool ib_product(const float *a, size_t row, size_t column, const float *b, bool add, float *c, size_t m,
                size_t n, size_t k) {
    bool done = false;
    for (int i = 0; !done && i < IB_PRODUCT_KERNELS; i++) {
        done = ib_product_by(i, a, row, column, b, add, c, m, n, k);
    }
    return done;
}
