#include "eval/pixels.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nn/simd.h"

static int plane_width(const ib_frame *f, int p) {
    return p ? (f->width + 1) / 2 : f->width;
}

static int plane_height(const ib_frame *f, int p) {
    return p ? (f->height + 1) / 2 : f->height;
}

static const uint8_t *row_of(const ib_frame *f, int p, int y) {
    return f->plane[p] + (size_t)y * f->stride[p];
}

/* ---- PSNR ---- */

/* At most 16384 * 255^2 fits in 32 bits. */
IB_MULTIARCH static uint32_t row_squares(const uint8_t *a, const uint8_t *b, int n) {
    uint32_t sum = 0;
    for (int x = 0; x < n; x++) {
        int d = a[x] - b[x];
        sum += (uint32_t)(d * d);
    }
    return sum;
}

static double psnr_of(uint64_t squares, double samples) {
    return squares ? fmin(100, 10 * log10(255.0 * 255.0 * samples / (double)squares)) : 100;
}

ib_by_plane ib_psnr(const ib_frame *a, const ib_frame *b) {
    uint64_t sum[3] = {0};
    double samples[3];
    for (int p = 0; p < 3; p++) {
        samples[p] = (double)plane_width(a, p) * plane_height(a, p);
        for (int y = 0; y < plane_height(a, p); y++) {
            sum[p] += row_squares(row_of(a, p, y), row_of(b, p, y), plane_width(a, p));
        }
    }
    return (ib_by_plane){psnr_of(sum[0], samples[0]),
                         psnr_of(sum[0] + sum[1] + sum[2], samples[0] + samples[1] + samples[2])};
}

/* ---- SSIM ---- */

/* Of 4x4 samples of both pictures: sums, sum of all squares, sum of products. */
typedef struct ssim_block {
    int32_t a, b, squares, products;
} ssim_block;

enum { SSIM_COLUMNS = 256 }; /* a stretch of samples that is summed up at once; a multiple of 4 */

/* n: blocks; the four rows begin at a and b. */
IB_MULTIARCH static void block_row(const uint8_t *a, size_t a_stride, const uint8_t *b, size_t b_stride,
                                   int n, ssim_block *out) {
    int32_t sum_a[SSIM_COLUMNS], sum_b[SSIM_COLUMNS], squares[SSIM_COLUMNS], products[SSIM_COLUMNS];
    for (int begin = 0; begin < n * 4; begin += SSIM_COLUMNS) {
        int columns = n * 4 - begin < SSIM_COLUMNS ? n * 4 - begin : SSIM_COLUMNS;
        memset(sum_a, 0, sizeof sum_a);
        memset(sum_b, 0, sizeof sum_b);
        memset(squares, 0, sizeof squares);
        memset(products, 0, sizeof products);
        for (int y = 0; y < 4; y++) {
            const uint8_t *p = a + (size_t)y * a_stride + begin, *q = b + (size_t)y * b_stride + begin;
            for (int x = 0; x < columns; x++) {
                int32_t u = p[x], v = q[x];
                sum_a[x] += u;
                sum_b[x] += v;
                squares[x] += u * u + v * v;
                products[x] += u * v;
            }
        }
        ssim_block *o = out + begin / 4;
        for (int x = 0; x < columns; x += 4, o++) {
            *o = (ssim_block){sum_a[x] + sum_a[x + 1] + sum_a[x + 2] + sum_a[x + 3],
                              sum_b[x] + sum_b[x + 1] + sum_b[x + 2] + sum_b[x + 3],
                              squares[x] + squares[x + 1] + squares[x + 2] + squares[x + 3],
                              products[x] + products[x + 1] + products[x + 2] + products[x + 3]};
        }
    }
}

/* The 8x8 blocks that two rows of 4x4 blocks make, n - 1 of them. With S sums over 64 samples, means are S/64
 * and variances (64 SS - S^2) / (64 * 63); constants K1 = 0.01 and K2 = 0.03 times the peak, in the same
 * units, rounded as FFmpeg does. */
IB_MULTIARCH static double similarity(const ssim_block *up, const ssim_block *down, int n) {
    static const double c1 = 416, c2 = 235963; /* (0.01 * 255)^2 * 64 and (0.03 * 255)^2 * 64 * 63 */
    double sum = 0;
    for (int i = 0; i + 1 < n; i++) {
        double a = up[i].a + up[i + 1].a + down[i].a + down[i + 1].a;
        double b = up[i].b + up[i + 1].b + down[i].b + down[i + 1].b;
        double squares = up[i].squares + up[i + 1].squares + down[i].squares + down[i + 1].squares;
        double products = up[i].products + up[i + 1].products + down[i].products + down[i + 1].products;
        double ab = a * b, aabb = a * a + b * b;
        sum += (2 * ab + c1) * (2 * (64 * products - ab) + c2) / ((aabb + c1) * (64 * squares - aabb + c2));
    }
    return sum;
}

static double ssim_plane(const ib_frame *a, const ib_frame *b, int p, ssim_block *two_rows) {
    int n = plane_width(a, p) / 4, rows = plane_height(a, p) / 4;
    ssim_block *up = two_rows, *down = two_rows + n;
    double sum = 0;
    if (n < 2 || rows < 2) {
        return NAN;
    }
    for (int y = 0; y < rows; y++) {
        block_row(row_of(a, p, 4 * y), a->stride[p], row_of(b, p, 4 * y), b->stride[p], n, down);
        sum += y ? similarity(up, down, n) : 0;
        ssim_block *swap = up;
        up = down;
        down = swap;
    }
    return sum / ((double)(n - 1) * (rows - 1));
}

ib_by_plane ib_ssim(const ib_frame *a, const ib_frame *b) {
    enum { ON_STACK = 1024 };
    ssim_block some[ON_STACK], *rows = some;
    size_t n = (size_t)a->width / 4 * 2;
    double s[3], samples = 0, all = 0;
    if (n > ON_STACK && !(rows = calloc(n, sizeof *rows))) {
        return (ib_by_plane){NAN, NAN};
    }
    for (int p = 0; p < 3; p++) {
        double here = (double)plane_width(a, p) * plane_height(a, p);
        s[p] = ssim_plane(a, b, p, rows);
        all += here * s[p];
        samples += here;
    }
    if (rows != some) {
        free(rows);
    }
    return (ib_by_plane){s[0], all / samples};
}

/* ---- one picture, and steps of a sequence ---- */

IB_MULTIARCH static uint32_t row_sum(const uint8_t *a, int n) {
    uint32_t sum = 0;
    for (int x = 0; x < n; x++) {
        sum += a[x];
    }
    return sum;
}

void ib_plane_means(const ib_frame *f, double mean[3]) {
    for (int p = 0; p < 3; p++) {
        uint64_t sum = 0;
        for (int y = 0; y < plane_height(f, p); y++) {
            sum += row_sum(row_of(f, p, y), plane_width(f, p));
        }
        mean[p] = (double)sum / ((double)plane_width(f, p) * plane_height(f, p));
    }
}

double ib_gradient_energy(const ib_frame *f) {
    uint64_t sum = 0;
    for (int y = 0; y < f->height; y++) {
        const uint8_t *row = row_of(f, 0, y);
        sum += row_squares(row, row + 1, f->width - 1);
        sum += y + 1 < f->height ? row_squares(row, row_of(f, 0, y + 1), f->width) : 0;
    }
    return (double)sum / ((double)f->width * f->height);
}

IB_MULTIARCH static uint32_t row_change(const uint8_t *a, const uint8_t *b, const uint8_t *x,
                                        const uint8_t *y, int n) {
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += (uint32_t)abs((b[i] - a[i]) - (y[i] - x[i]));
    }
    return sum;
}

double ib_change_error(const ib_frame *a, const ib_frame *b, const ib_frame *x, const ib_frame *y) {
    uint64_t sum = 0;
    for (int r = 0; r < a->height; r++) {
        sum += row_change(row_of(a, 0, r), row_of(b, 0, r), row_of(x, 0, r), row_of(y, 0, r), a->width);
    }
    return (double)sum / ((double)a->width * a->height);
}
