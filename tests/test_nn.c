/* The numeric kernels: every fast forward against its naive twin over odd shapes, every backward against
 * finite differences (or, where the map is linear, against the definition of the adjoint). */
#include "tests/check.h"

#include "base/memory.h"
#include "base/rng.h"
#include "nn/attention.h"
#include "nn/conv3x3.h"
#include "nn/gemm.h"
#include "nn/layers.h"
#include "nn/product.h"
#include "nn/warp.h"

static float *fill(ib_rng *r, size_t n, float scale) {
    float *p = ib_calloc(n, sizeof *p);
    for (size_t i = 0; p && i < n; i++) {
        p[i] = scale * ib_rng_normal(r);
    }
    return p;
}

static double dot(const float *a, const float *b, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)a[i] * b[i];
    }
    return s;
}

static double norm(const float *a, size_t n) {
    return sqrt(dot(a, a, n));
}

/* The direct form, in double. */
static void naive_conv(const float *x, const float *w, const float *b, long images, long rows, long cols,
                       long cin, long cout, float *y) {
    for (long n = 0; n < images; n++) {
        for (long r = 0; r < rows; r++) {
            for (long c = 0; c < cols; c++) {
                for (long o = 0; o < cout; o++) {
                    double s = b ? b[o] : 0;
                    for (long k = 0; k < 9; k++) {
                        long i = r + k / 3 - 1, j = c + k % 3 - 1;
                        for (long q = 0; i >= 0 && i < rows && j >= 0 && j < cols && q < cin; q++) {
                            s += (double)x[((n * rows + i) * cols + j) * cin + q] *
                                 w[(k * cin + q) * cout + o];
                        }
                    }
                    y[((n * rows + r) * cols + c) * cout + o] = (float)s;
                }
            }
        }
    }
}

static void test_conv(ib_rng *r, size_t images, size_t rows, size_t cols, size_t cin, size_t cout) {
    size_t nx = images * rows * cols * cin, ny = images * rows * cols * cout, nw = 9 * cin * cout,
           nu = ib_conv3x3_derived(cin, cout);
    float *x = fill(r, nx, 1), *w = fill(r, nw, 1), *b = fill(r, cout, 1), *u = ib_calloc(nu, 4),
          *ut = ib_calloc(nu, 4), *y = ib_calloc(ny, 4);
    float *want = ib_calloc(ny, 4), *s = ib_calloc(ib_conv3x3_scratch(images, rows, cols, cin, cout), 4);
    float *dy = fill(r, ny, 1), *dx = ib_calloc(nx, 4), *dw = ib_calloc(nw, 4);
    float *db = ib_calloc(cout, 4), *vx = fill(r, nx, 1), *vw = fill(r, nw, 1), *vb = fill(r, cout, 1);
    ib_conv3x3_weights(w, cin, cout, u);
    ib_conv3x3_weights_transposed(w, cin, cout, ut);
    ib_conv3x3(x, u, b, images, rows, cols, cin, cout, s, y);
    naive_conv(x, w, b, (long)images, (long)rows, (long)cols, (long)cin, (long)cout, want);
    double worst = 0, size = norm(want, ny) / sqrt((double)ny);
    for (size_t i = 0; i < ny; i++) {
        worst = fmax(worst, fabs((double)y[i] - want[i]));
    }
    /* Winograd's transforms grow rounding: about 2e-5 at the worst element, by the kernels that the processor
     * gets */
    CHECK_NEAR(worst / size, 0, 6e-5);
    /* linear in x, w and b apart: <dy, J v> = <J^T dy, v> with J v from the naive twin */
    ib_conv3x3_backward(x, ut, dy, images, rows, cols, cin, cout, s, dx, dw, db);
    double scale = norm(dy, ny) * sqrt((double)(9 * cin));
    naive_conv(vx, w, NULL, (long)images, (long)rows, (long)cols, (long)cin, (long)cout, want);
    CHECK_NEAR((dot(dx, vx, nx) - dot(dy, want, ny)) / scale, 0, 1e-4);
    naive_conv(x, vw, vb, (long)images, (long)rows, (long)cols, (long)cin, (long)cout, want);
    CHECK_NEAR((dot(dw, vw, nw) + dot(db, vb, cout) - dot(dy, want, ny)) / scale, 0, 1e-4);
    void *all[] = {x, w, b, u, ut, y, want, s, dy, dx, dw, db, vx, vw, vb};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static void test_gemm(ib_rng *r) {
    enum { M = 5, N = 7, K = 3 };
    float *a = fill(r, M * K, 1), *b = fill(r, K * N, 1), at[M * K], bt[K * N], c[M * N], d[M * N], e[M * N];
    for (size_t i = 0; i < M * N; i++) {
        c[i] = d[i] = e[i] = 1;
    }
    for (size_t k = 0; k < K; k++) {
        for (size_t i = 0; i < M; i++) {
            at[k * M + i] = a[i * K + k];
        }
        for (size_t j = 0; j < N; j++) {
            bt[j * K + k] = b[k * N + j];
        }
    }
    ib_gemm(a, b, 2, c, M, N, K);
    ib_gemm_bt(a, bt, 2, d, M, N, K);
    ib_gemm_at(at, b, 2, e, M, N, K);
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double s = 2;
            for (size_t k = 0; k < K; k++) {
                s += (double)a[i * K + k] * b[k * N + j];
            }
            CHECK_NEAR(c[i * N + j], s, 1e-5);
            CHECK_NEAR(d[i * N + j], s, 1e-5);
            CHECK_NEAR(e[i * N + j], s, 1e-5);
        }
    }
    ib_free(a);
    ib_free(b);
}

/* Every kernel that runs here, with a as it is and transposed, set and added. */
static void test_product(ib_rng *r, size_t m, size_t n, size_t k) {
    float *a = fill(r, m * k, 1), *b = fill(r, k * n, 1), *c = ib_calloc(m * n, 4);
    for (int i = 0; i < 4 * IB_PRODUCT_KERNELS; i++) {
        bool turned = i & 1, add = i & 2;
        size_t row = turned ? 1 : k, column = turned ? m : 1;
        for (size_t j = 0; j < m * n; j++) {
            c[j] = 3;
        }
        if (!ib_product_by(i / 4, a, row, column, b, add, c, m, n, k)) {
            if (n % 16 == 0) {
                printf("product kernel %d does not run here: not tested\n", i / 4);
            }
            continue;
        }
        for (size_t j = 0; j < m * n; j++) {
            double s = add ? 3 : 0;
            for (size_t p = 0; p < k; p++) {
                s += (double)a[j / n * row + p * column] * b[p * n + j % n];
            }
            CHECK_NEAR(c[j], s, 2e-6 * (double)(k + 8));
        }
    }
    ib_free(a);
    ib_free(b);
    ib_free(c);
}

static void test_product_turned(ib_rng *r, size_t m, size_t n, size_t k) {
    float *a = fill(r, m * k, 1), *b = fill(r, n * k, 1), *c = ib_calloc(m * n, 4);
    ib_gemm_bt(a, b, 0, c, m, n, k);
    for (size_t j = 0; j < m * n; j++) {
        CHECK_NEAR(c[j], dot(a + j / n * k, b + j % n * k, k), 2e-6 * (double)(k + 8));
    }
    ib_free(a);
    ib_free(b);
    ib_free(c);
}

static void naive_norm_film_silu(const float *x, const float *scale, const float *shift, size_t tokens,
                                 size_t c, double *y) {
    for (size_t t = 0; t < tokens; t++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < c; i++) {
            mean += x[t * c + i] / (double)c;
        }
        for (size_t i = 0; i < c; i++) {
            var += (x[t * c + i] - mean) * (x[t * c + i] - mean) / (double)c;
        }
        for (size_t i = 0; i < c; i++) {
            double h = (x[t * c + i] - mean) / sqrt(var + 1e-5) * (1 + scale[i]) + shift[i];
            y[t * c + i] = h / (1 + exp(-h));
        }
    }
}

static double film_value(const float *x, const float *scale, const float *shift, const float *dy,
                         size_t tokens, size_t c, double *y) {
    naive_norm_film_silu(x, scale, shift, tokens, c, y);
    double s = 0;
    for (size_t i = 0; i < tokens * c; i++) {
        s += y[i] * dy[i];
    }
    return s;
}

static void test_film(ib_rng *r, size_t tokens, size_t c) {
    size_t n = tokens * c;
    float *x = fill(r, n, 2), *scale = fill(r, c, 0.3f), *shift = fill(r, c, 0.3f), *y = ib_calloc(n, 4);
    float *dy = fill(r, n, 1), *dx = ib_calloc(n, 4), *dscale = ib_calloc(c, 4), *dshift = ib_calloc(c, 4);
    double *want = ib_calloc(n, 8);
    ib_norm_film_silu(x, scale, shift, tokens, c, y);
    naive_norm_film_silu(x, scale, shift, tokens, c, want);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(y[i] - want[i]));
    }
    CHECK_NEAR(worst, 0, 2e-5);
    ib_norm_film_silu_backward(x, scale, shift, dy, tokens, c, dx, dscale, dshift);
    struct {
        float *p, *d;
        size_t n;
    } part[] = {{x, dx, n}, {scale, dscale, c}, {shift, dshift, c}};
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < part[k].n; i += 1 + part[k].n / 23) {
            const float keep = part[k].p[i], e = 1e-2f;
            part[k].p[i] = keep + e;
            double up = film_value(x, scale, shift, dy, tokens, c, want);
            part[k].p[i] = keep - e;
            double low = film_value(x, scale, shift, dy, tokens, c, want);
            part[k].p[i] = keep;
            CHECK_NEAR(part[k].d[i], (up - low) / (2 * (double)e), 2e-3 * (1 + fabs((double)part[k].d[i])));
        }
    }
    void *all[] = {x, scale, shift, y, dy, dx, dscale, dshift, want};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static void test_pointwise(void) {
    float x[400], y[400], one[400], d[400];
    for (int i = 0; i < 400; i++) {
        x[i] = ((float)i - 200) * 0.4f;
        one[i] = 1;
    }
    ib_exp(x, 400, y);
    for (int i = 0; i < 400; i++) {
        double want = exp(fmin(88, fmax(-87, x[i])));
        CHECK_NEAR(y[i] / want, 1, 3e-7);
    }
    ib_silu(x, 400, y);
    ib_silu_backward(x, one, 400, d);
    for (int i = 0; i < 400; i++) {
        double v = x[i], s = 1 / (1 + exp(-v));
        CHECK_NEAR(y[i], v * s, 1e-6 * (1 + fabs(v)));
        CHECK_NEAR(d[i], s * (1 + v * (1 - s)), 2e-6 * (1 + fabs(v)));
    }
    ib_sigmoid(x, 400, y);
    for (int i = 0; i < 400; i++) {
        CHECK_NEAR(y[i], 1 / (1 + exp(-(double)x[i])), 1e-6);
    }
}

static void test_linear(ib_rng *r) {
    enum { T = 9, I = 6, O = 5 };
    float *x = fill(r, T * I, 1), *w = fill(r, I * O, 1), *b = fill(r, O, 1), *dy = fill(r, T * O, 1);
    float y[T * O], dx[T * I], dw[I * O] = {0}, db[O] = {0};
    ib_linear(x, w, b, T, I, O, y);
    ib_linear_backward(x, w, dy, T, I, O, dx, dw, db);
    for (size_t t = 0; t < T; t++) {
        for (size_t o = 0; o < O; o++) {
            double s = b[o];
            for (size_t i = 0; i < I; i++) {
                s += (double)x[t * I + i] * w[i * O + o];
            }
            CHECK_NEAR(y[t * O + o], s, 1e-5);
        }
        for (size_t i = 0; i < I; i++) {
            CHECK_NEAR(dx[t * I + i], dot(dy + t * O, w + i * O, O), 1e-5);
        }
    }
    for (size_t o = 0; o < O; o++) {
        double s = 0;
        for (size_t t = 0; t < T; t++) {
            s += dy[t * O + o];
        }
        CHECK_NEAR(db[o], s, 1e-5);
        for (size_t i = 0; i < I; i++) {
            double g = 0;
            for (size_t t = 0; t < T; t++) {
                g += (double)x[t * I + i] * dy[t * O + o];
            }
            CHECK_NEAR(dw[i * O + o], g, 1e-5);
        }
    }
    ib_free(x);
    ib_free(w);
    ib_free(b);
    ib_free(dy);
}

/* The coefficient at (j, i), mirrored about the edges. */
static double coefficient(const float *spline, long j, long i, long h, long w) {
    j = j < 0 ? 0 : j < h ? j : h - 1;
    i = i < 0 ? 0 : i < w ? i : w - 1;
    return (double)spline[(j + 1) * (w + 2) + i + 1];
}

/* The cubic B-spline about 0. */
static double kernel(double x) {
    x = fabs(x);
    return x < 1 ? 2.0 / 3 - x * x + x * x * x / 2 : x < 2 ? pow(2 - x, 3) / 6 : 0;
}

static double naive_warp(const float *spline, double x, double y, long h, long w) {
    x = fmin(fmax(x, 0), (double)(w - 1));
    y = fmin(fmax(y, 0), (double)(h - 1));
    long i = (long)x, j = (long)y;
    double sum = 0;
    for (long l = j - 1; l <= j + 2; l++) {
        for (long k = i - 1; k <= i + 2; k++) {
            sum += kernel(y - (double)l) * kernel(x - (double)k) * coefficient(spline, l, k, h, w);
        }
    }
    return sum;
}

/* A picture's samples come back from its spline, also at the edges and from small ones; a wave between its
 * samples is nearer to itself than by bilinear sampling of the picture. */
static void test_spline(ib_rng *r, size_t h, size_t w) {
    size_t n = h * w;
    float *image = fill(r, n, 1), *none = ib_calloc(n, sizeof *none), *half = ib_calloc(n, sizeof *half),
          *spline = ib_calloc(ib_spline_floats(h, w), sizeof *spline), *out = ib_calloc(n, sizeof *out);
    ib_spline_fit(image, h, w, spline);
    ib_warp(spline, 1, none, none, h, w, 0, h, out);
    for (size_t i = 0; i < n; i++) {
        CHECK_NEAR(out[i], image[i], 2e-6);
        image[i] = (float)sin(0.9 * (double)(i % w));
        half[i] = 0.5f;
    }
    ib_spline_fit(image, h, w, spline);
    ib_warp(spline, 1, half, none, h, w, 0, h, out);
    double ours = 0, bilinear = 0;
    for (size_t x = 8; x + 8 < w; x++) {
        double want = sin(0.9 * ((double)x + 0.5)), *worst[] = {&ours, &bilinear};
        const double got[] = {(double)out[h / 2 * w + x], 0.5 * ((double)image[x] + (double)image[x + 1])};
        for (size_t k = 0; k < 2; k++) {
            *worst[k] = fmax(*worst[k], fabs(got[k] - want));
        }
    }
    if (w > 20) {
        printf("a wave of 7 px half a px on: largest error %.4f, bilinear %.4f\n", ours, bilinear);
        CHECK(ours < 0.1 * bilinear);
    }
    float *all[] = {image, none, half, spline, out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

/* Two planes along one flow. */
static void test_warp(ib_rng *r, long h, long w) {
    size_t n = (size_t)(h * w), each = ib_spline_floats((size_t)h, (size_t)w);
    float *image = fill(r, 2 * n, 1), *fx = fill(r, n, 3), *fy = fill(r, n, 3), *dout = fill(r, 2 * n, 1),
          *out = ib_calloc(2 * n, 4), *dfx = ib_calloc(n, 4), *dfy = ib_calloc(n, 4),
          *spline = ib_calloc(2 * each, 4);
    fx[3] = 1e6f;
    fy[5] = -1e6f;
    for (size_t k = 0; k < 2; k++) {
        ib_spline_fit(image + k * n, (size_t)h, (size_t)w, spline + k * each);
    }
    ib_warp(spline, 2, fx, fy, (size_t)h, (size_t)w, 0, (size_t)h, out);
    for (size_t y = 0; y < (size_t)h; y++) { /* a row alone is the same */
        float *row = ib_calloc(2 * (size_t)w, 4);
        size_t at = y * (size_t)w;
        ib_warp(spline, 2, fx + at, fy + at, (size_t)h, (size_t)w, y, 1, row);
        CHECK_INT(memcmp(row, out + at, (size_t)w * 4) | memcmp(row + w, out + n + at, (size_t)w * 4), 0);
        ib_free(row);
    }
    ib_warp_backward(spline, 2, fx, fy, dout, (size_t)h, (size_t)w, dfx, dfy);
    for (long y = 0; y < h; y++) {
        for (long x = 0; x < w; x++) {
            long i = y * w + x;
            double px = (double)((float)x + fx[i]), py = (double)((float)y + fy[i]), e = 1e-4, gx = 0, gy = 0;
            for (long k = 0; k < 2; k++) {
                const float *p = spline + (size_t)k * each;
                double d = dout[k * h * w + i] / (2 * e);
                CHECK_NEAR(out[k * h * w + i], naive_warp(p, px, py, h, w), 1e-4);
                gx += d * (naive_warp(p, px + e, py, h, w) - naive_warp(p, px - e, py, h, w));
                gy += d * (naive_warp(p, px, py + e, h, w) - naive_warp(p, px, py - e, h, w));
            }
            /* a finite difference says nothing across the edges */
            if (fabs(px) > 1e-3 && fabs(py) > 1e-3 && fabs(px - (double)(w - 1)) > 1e-3 &&
                fabs(py - (double)(h - 1)) > 1e-3) {
                CHECK_NEAR(dfx[i], gx, 1e-3);
                CHECK_NEAR(dfy[i], gy, 1e-3);
            }
        }
    }
    float *all[] = {image, fx, fy, dout, out, dfx, dfy, spline};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static double naive_sample(const float *image, double x, double y, long h, long w) {
    x = fmin(fmax(x, 0), (double)(w - 1));
    y = fmin(fmax(y, 0), (double)(h - 1));
    long i = (long)x, j = (long)y, i1 = i + 1 < w ? i + 1 : i, j1 = j + 1 < h ? j + 1 : j;
    double a = x - (double)i, b = y - (double)j;
    return (1 - b) * ((1 - a) * image[j * w + i] + a * image[j * w + i1]) +
           b * ((1 - a) * image[j1 * w + i] + a * image[j1 * w + i1]);
}

/* A rectangle that moves as a whole, against the same motion told pixel by pixel. */
static void test_warp_patch(ib_rng *r, size_t h, size_t w) {
    size_t n = h * w;
    float *image = fill(r, n, 1), *spline = ib_calloc(ib_spline_floats(h, w), 4), *fx = ib_calloc(n, 4),
          *fy = ib_calloc(n, 4), *all = ib_calloc(n, 4), patch[IB_WARP_PATCH * IB_WARP_PATCH];
    ib_spline_fit(image, h, w, spline);
    for (int round = 0; round < 40; round++) {
        size_t ph = 1 + ib_rng_below(r, h < IB_WARP_PATCH ? h : IB_WARP_PATCH),
               pw = 1 + ib_rng_below(r, w < IB_WARP_PATCH ? w : IB_WARP_PATCH),
               y = ib_rng_below(r, h - ph + 1), x = ib_rng_below(r, w - pw + 1);
        float u = (round % 2 ? 3 : 30) * ib_rng_normal(r), v = (round % 2 ? 3 : 30) * ib_rng_normal(r),
              worst = 0;
        u = round == 7 ? NAN : u;
        for (size_t i = 0; i < n; i++) {
            fx[i] = u;
            fy[i] = v;
        }
        ib_warp(spline, 1, fx, fy, h, w, 0, h, all);
        ib_warp_patch(spline, h, w, x, y, u, v, ph, pw, patch);
        for (size_t i = 0; i < ph * pw; i++) {
            worst = fmaxf(worst, fabsf(patch[i] - all[(y + i / pw) * w + x + i % pw]));
        }
        CHECK_NEAR(worst, 0, 2e-5);
    }
    float *arrays[] = {image, spline, fx, fy, all};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        ib_free(arrays[i]);
    }
}

/* To any size, and by whole factors backwards; bands of rows are the rows of the whole. */
static void test_enlarge(ib_rng *r, size_t rows, size_t cols, size_t height, size_t width) {
    size_t n = rows * cols, m = height * width, factor = height / rows;
    float *f = fill(r, n, 1), *dout = fill(r, m, 1), *out = ib_calloc(m, 4), *df = ib_calloc(n, 4),
          *s = ib_calloc(ib_enlarge_scratch(rows, height, width, height), 4), *band = ib_calloc(3 * width, 4);
    ib_enlarge(f, rows, cols, height, width, 0, height, 1.5f, s, out);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            double cx = ((double)x + 0.5) * (double)cols / (double)width - 0.5,
                   cy = ((double)y + 0.5) * (double)rows / (double)height - 0.5;
            CHECK_NEAR(out[y * width + x], 1.5 * naive_sample(f, cx, cy, (long)rows, (long)cols), 1e-5);
        }
    }
    for (size_t y = 0; y < height; y += 3) {
        size_t left = height - y < 3 ? height - y : 3;
        ib_enlarge(f, rows, cols, height, width, y, left, 1.5f, s, band);
        CHECK_INT(memcmp(band, out + y * width, left * width * 4), 0);
    }
    if (height == rows * factor && width == cols * factor) {
        ib_enlarge_backward(dout, rows, cols, factor, 1.5f, s, df);
        CHECK_NEAR(dot(df, f, n), dot(dout, out, m), 1e-3 * (1 + norm(dout, m)));
    }
    float *all[] = {f, dout, out, s, df, band};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static void test_shrink(ib_rng *r, size_t rows, size_t cols, size_t factor) {
    size_t width = cols * factor, n = rows * factor * width;
    float *in = fill(r, n, 1), *out = ib_calloc(rows * cols, 4);
    ib_shrink(in, rows * factor, width, factor, out);
    for (size_t i = 0; i < rows * cols; i++) {
        double sum = 0;
        for (size_t k = 0; k < factor * factor; k++) {
            sum += in[(i / cols * factor + k / factor) * width + i % cols * factor + k % factor];
        }
        CHECK_NEAR(out[i], sum / (double)(factor * factor), 1e-5);
    }
    ib_free(in);
    ib_free(out);
}

/* The formula, in double, one query at a time. */
static void naive_attention(const float *qkv, size_t sequences, size_t tokens, size_t c, size_t heads,
                            double *y) {
    size_t width = c / heads;
    double *p = calloc(tokens, sizeof *p);
    for (size_t s = 0; s < sequences; s++) {
        for (size_t h = 0; h < heads; h++) {
            const float *q = qkv + s * tokens * 3 * c + h * width, *k = q + c, *v = k + c;
            for (size_t i = 0; i < tokens; i++) {
                double sum = 0;
                for (size_t j = 0; j < tokens; j++) {
                    p[j] = exp(dot(q + i * 3 * c, k + j * 3 * c, width) / sqrt((double)width));
                    sum += p[j];
                }
                for (size_t d = 0; d < width; d++) {
                    double o = 0;
                    for (size_t j = 0; j < tokens; j++) {
                        o += p[j] / sum * v[j * 3 * c + d];
                    }
                    y[(s * tokens + i) * c + h * width + d] = o;
                }
            }
        }
    }
    free(p);
}

static double attention_value(const float *qkv, const float *dy, size_t sequences, size_t tokens, size_t c,
                              size_t heads, double *y) {
    double sum = 0;
    naive_attention(qkv, sequences, tokens, c, heads, y);
    for (size_t i = 0; i < sequences * tokens * c; i++) {
        sum += y[i] * dy[i];
    }
    return sum;
}

static void test_attention(ib_rng *r, size_t sequences, size_t tokens, size_t c, size_t heads, float spread) {
    size_t n = sequences * tokens * c;
    float *qkv = fill(r, 3 * n, spread), *y = ib_calloc(n, 4), *dy = fill(r, n, 1), *dqkv = fill(r, 3 * n, 1),
          *moved = ib_calloc(3 * n, 4), *s = ib_calloc(ib_attention_scratch(tokens), 4);
    double *want = calloc(n, sizeof *want), worst = 0;
    ib_attention(qkv, sequences, tokens, c, heads, s, y);
    naive_attention(qkv, sequences, tokens, c, heads, want);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(y[i] - want[i]));
    }
    CHECK_NEAR(worst, 0, 4e-6 * (double)spread);
    ib_attention_backward(qkv, y, dy, sequences, tokens, c, heads, s, dqkv);
    const double e = 1e-3;
    for (int k = 0; k < 5; k++) { /* along queries, keys, values, and everything at random */
        float *v = fill(r, 3 * n, 1);
        double value[2];
        for (size_t i = 0; i < 3 * n && k < 3; i++) {
            v[i] = i / c % 3 == (size_t)k ? dqkv[i] : 0;
        }
        double length = norm(v, 3 * n) + 1e-30, got = dot(v, dqkv, 3 * n) / length;
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < 3 * n; i++) {
                moved[i] = qkv[i] + (float)((side ? -e : e) * v[i] / length * sqrt((double)n));
            }
            value[side] = attention_value(moved, dy, sequences, tokens, c, heads, want);
        }
        CHECK_NEAR(got, (value[0] - value[1]) / (2 * e * sqrt((double)n)), 1e-3 * norm(dqkv, 3 * n));
        ib_free(v);
    }
    void *all[] = {qkv, y, dy, dqkv, moved, s};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    free(want);
}

int main(void) {
    ib_rng r;
    ib_rng_seed(&r, 1);
    ib_gemm_one_thread();
    RUN(test_gemm(&r));
    RUN(test_product(&r, 1, 16, 1));
    RUN(test_product(&r, 5, 112, 7));
    RUN(test_product(&r, 14, 80, 130));
    RUN(test_product(&r, 23, 64, 300));
    RUN(test_product(&r, 6, 24, 5));
    RUN(test_product_turned(&r, 65, 80, 131));
    RUN(test_product_turned(&r, 70, 64, 24));
    RUN(test_product_turned(&r, 64, 17, 9));
    RUN(test_linear(&r));
    RUN(test_pointwise());
    RUN(test_film(&r, 5, 16));
    RUN(test_film(&r, 3, 40));
    RUN(test_film(&r, 2, 7));
    RUN(test_conv(&r, 1, 1, 1, 1, 1));
    RUN(test_conv(&r, 1, 2, 2, 3, 5));
    RUN(test_conv(&r, 2, 3, 5, 4, 2));
    RUN(test_conv(&r, 3, 7, 4, 16, 16));
    RUN(test_conv(&r, 1, 1, 9, 8, 24));
    RUN(test_conv(&r, 5, 14, 13, 32, 16));
    RUN(test_attention(&r, 1, 1, 16, 1, 1));
    RUN(test_attention(&r, 2, 5, 32, 2, 1));
    RUN(test_attention(&r, 1, 37, 48, 3, 3));
    RUN(test_attention(&r, 3, 2, 128, 2, 0.5f));
    RUN(test_spline(&r, 9, 40));
    RUN(test_spline(&r, 4, 5));
    RUN(test_spline(&r, 18, 33));
    RUN(test_spline(&r, 2, 2));
    RUN(test_warp(&r, 11, 14));
    RUN(test_warp(&r, 2, 3));
    RUN(test_warp(&r, 3, 531));
    RUN(test_warp_patch(&r, 40, 57));
    RUN(test_warp_patch(&r, 24, 12));
    RUN(test_warp_patch(&r, 3, 2));
    RUN(test_enlarge(&r, 1, 1, 4, 4));
    RUN(test_enlarge(&r, 5, 3, 20, 12));
    RUN(test_enlarge(&r, 2, 6, 4, 12));
    RUN(test_enlarge(&r, 5, 3, 23, 17));
    RUN(test_enlarge(&r, 9, 7, 9, 7));
    RUN(test_enlarge(&r, 8, 6, 5, 4));
    RUN(test_enlarge(&r, 1, 4, 2, 900));
    RUN(test_shrink(&r, 2, 3, 2));
    RUN(test_shrink(&r, 5, 19, 2));
    RUN(test_shrink(&r, 3, 21, 4));
    RUN(test_shrink(&r, 2, 4, 3));
    return check_report("test_nn");
}
