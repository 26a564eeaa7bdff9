/* The forward kernels of image models beside naive twins in double; one thread, two threads and an image
 * alone must give the same bits. */
#include "base/memory.h"
#include "base/rng.h"
#include "nn/conv2d.h"
#include "nn/forward.h"
#include "nn/panels.h"
#include "tests/check.h"

static float *numbers(size_t n, uint64_t seed) {
    float *x = ib_calloc(n, sizeof *x);
    ib_rng r;
    ib_rng_seed2(&r, seed, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = ib_rng_normal(&r);
    }
    return x;
}

static float *zeros(size_t n) {
    float *x = ib_calloc(n, sizeof *x);
    if (!x) {
        exit(1);
    }
    return x;
}

/* x as the file's type, and what that type has left of it. */
static void *narrow(float *x, size_t n, ib_dtype type) {
    uint16_t *h = ib_calloc(n, 4);
    if (type == IB_F32) {
        memcpy(h, x, n * sizeof *x);
    } else if (type == IB_F16) {
        ib_f32_to_f16(x, h, n);
        ib_f16_to_f32(h, x, n);
    } else {
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, 4);
            h[i] = (uint16_t)(bits >> 16);
            bits &= 0xffff0000u;
            memcpy(x + i, &bits, 4);
        }
    }
    return h;
}

static double difference(const float *got, const double *want, size_t n) {
    double d = 0, r = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        r += want[i] * want[i];
    }
    return sqrt(d / (r > 0 ? r : 1));
}

static void test_product(size_t m, size_t n, size_t k) {
    float *a = numbers(m * (k + 3), 1), *b = numbers(n * k, 2), *c = zeros(m * (n + 2)),
          *p = zeros(ib_panel_floats(n, k));
    double *want = ib_calloc(m * n, sizeof *want);
    ib_panel_pack(b, IB_F32, 0, n, k, 1, p);
    for (int which = 0; which < IB_PANEL_KERNELS; which++) {
        if (!ib_panel_product_by(which, a, k + 3, p, k * IB_PANEL, false, c, n + 2, m, n, k)) {
            printf("    kernel %d does not run here\n", which);
            continue;
        }
        ib_panel_product_by(which, a, k + 3, p, k * IB_PANEL, true, c, n + 2, m, n, k);
        double worst = 0;
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < n; j++) {
                double v = 0;
                for (size_t q = 0; q < k; q++) {
                    v += (double)a[i * (k + 3) + q] * (double)b[j * k + q];
                }
                worst = fmax(worst, fabs(c[i * (n + 2) + j] - 2 * v) / sqrt((double)k));
            }
            CHECK_NEAR(c[i * (n + 2) + n], 0, 0); /* nothing beyond the row */
        }
        CHECK_NEAR(worst, 0, 1e-5);
    }
    ib_free(a);
    ib_free(b);
    ib_free(c);
    ib_free(p);
    ib_free(want);
}

static void test_linear(size_t rows, size_t n, size_t k, ib_dtype type, bool add) {
    float *x = numbers(rows * k, 3), *w = numbers(n * k, 4), *b = numbers(n, 5), *y = numbers(rows * n, 6);
    float *two = zeros(rows * n), *one = zeros(n), *scratch = zeros(ib_linear_half_scratch(n, k));
    double *want = ib_calloc(rows * n, sizeof *want);
    void *file = narrow(w, n * k, type);
    memcpy(two, y, rows * n * sizeof *y);
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < n; j++) {
            double v = (double)b[j] + (add ? (double)y[r * n + j] : 0);
            for (size_t q = 0; q < k; q++) {
                v += (double)x[r * k + q] * (double)w[j * k + q];
            }
            want[r * n + j] = v;
        }
    }
    memcpy(one, y + (rows - 1) * n, n * sizeof *y);
    ib_linear_half(x, k, file, type, b, rows, n, k, add, 1, scratch, y, n);
    ib_linear_half(x, k, file, type, b, rows, n, k, add, 2, scratch, two, n);
    ib_linear_half(x + (rows - 1) * k, k, file, type, b, 1, n, k, add, 1, scratch, one, n);
    CHECK_NEAR(difference(y, want, rows * n), 0, 1e-6);
    CHECK_INT(memcmp(y, two, rows * n * sizeof *y), 0);
    CHECK_INT(memcmp(y + (rows - 1) * n, one, n * sizeof *y), 0);
    float *const all[] = {x, w, b, y, two, one, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_free(want);
    ib_free(file);
}

static void naive_conv(const ib_conv2d *c, const float *x, const float *w, const float *b, double *y) {
    size_t rows = ib_conv2d_side(c, c->rows), cols = ib_conv2d_side(c, c->cols), side = (size_t)c->kernel;
    for (size_t at = 0; at < c->images * rows * cols * c->cout; at++) {
        size_t o = at % c->cout, q = at / c->cout % cols, r = at / c->cout / cols % rows,
               i = at / c->cout / cols / rows;
        double v = b[i * c->cout + o];
        for (size_t tap = 0; tap < side * side; tap++) {
            size_t from_r = r * (size_t)c->stride + tap / side - (size_t)c->pad_before;
            size_t from_q = q * (size_t)c->stride + tap % side - (size_t)c->pad_before;
            for (size_t k = 0; from_r < c->rows && from_q < c->cols && k < c->cin; k++) {
                v += (double)x[((i * c->rows + from_r) * c->cols + from_q) * c->cin + k] *
                     (double)w[(o * c->cin + k) * side * side + tap];
            }
        }
        y[at] = v;
    }
}

static void test_conv(ib_conv2d c, ib_dtype type) {
    size_t in = c.rows * c.cols * c.cin,
           out = ib_conv2d_side(&c, c.rows) * ib_conv2d_side(&c, c.cols) * c.cout;
    size_t n_w = c.cout * c.cin * (size_t)(c.kernel * c.kernel);
    float *x = numbers(c.images * in, 7), *w = numbers(n_w, 8), *b = numbers(c.images * c.cout, 9);
    float *y = zeros(c.images * out), *other = zeros(c.images * out),
          *scratch = zeros(ib_conv2d_scratch(&c, 2));
    double *want = ib_calloc(c.images * out, sizeof *want);
    void *file = narrow(w, n_w, type);
    naive_conv(&c, x, w, b, want);
    ib_conv2d_run(&c, x, file, type, b, c.cout, false, 2, scratch, y);
    double d = difference(y, want, c.images * out);
    printf("    %zu x %zu x %zu, %zu to %zu: %.2e\n", c.images, c.rows, c.cols, c.cin, c.cout, d);
    CHECK_NEAR(d, 0, 4e-6);
    ib_conv2d one = c;
    one.images = 1;
    for (size_t i = 0; i < c.images; i++) {
        ib_conv2d_run(&one, x + i * in, file, type, b + i * c.cout, 0, false, 1, scratch, other + i * out);
    }
    CHECK_INT(memcmp(y, other, c.images * out * sizeof *y), 0);
    ib_conv2d_run(&c, x, file, type, b, c.cout, true, 1, scratch, other);
    for (size_t i = 0; i < c.images * out; i++) {
        want[i] *= 2;
    }
    CHECK_NEAR(difference(other, want, c.images * out), 0, 4e-6);
    float *const all[] = {x, w, b, y, other, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_free(want);
    ib_free(file);
}

static void test_group_norm(size_t images, size_t pixels, size_t channels, size_t groups, bool film,
                            bool silu) {
    size_t n = images * pixels * channels, each = channels / groups;
    float *x = numbers(n, 10), *gain = numbers(channels, 11), *bias = numbers(channels, 12), *y = zeros(n),
          *two = zeros(n);
    float *f = numbers(images * 2 * channels, 13);
    double *want = ib_calloc(n, sizeof *want);
    for (size_t i = 0; i < n; i++) {
        x[i] += 30; /* a mean that is large beside the deviation */
    }
    for (size_t i = 0; i < images; i++) {
        for (size_t g = 0; g < groups; g++) {
            double s = 0, q = 0;
            for (size_t p = 0; p < pixels * each; p++) {
                s += x[(i * pixels + p / each) * channels + g * each + p % each];
            }
            s /= (double)(pixels * each);
            for (size_t p = 0; p < pixels * each; p++) {
                double v = x[(i * pixels + p / each) * channels + g * each + p % each] - s;
                q += v * v / (double)(pixels * each);
            }
            for (size_t p = 0; p < pixels * each; p++) {
                size_t c = g * each + p % each, at = (i * pixels + p / each) * channels + c;
                double v = (x[at] - s) / sqrt(q + 1e-5) * (double)gain[c] + (double)bias[c];
                v = film ? v * (1 + (double)f[i * 2 * channels + c]) +
                               (double)f[i * 2 * channels + channels + c]
                         : v;
                want[at] = silu ? v / (1 + exp(-v)) : v;
            }
        }
    }
    ib_group_norm g = {
        .images = images, .pixels = pixels, .channels = channels, .groups = groups, .eps = 1e-5f};
    g.gain = gain;
    g.bias = bias;
    g.scale = film ? f : NULL;
    g.shift = f + channels;
    g.film_row = 2 * channels;
    g.silu = silu;
    float *scratch = zeros(ib_group_norm_scratch(&g));
    ib_group_norm_run(&g, x, 1, scratch, y);
    CHECK_NEAR(difference(y, want, n), 0, 4e-6);
    memcpy(two, x, n * sizeof *x);
    ib_group_norm_run(&g, two, 2, scratch, two);
    CHECK_INT(memcmp(y, two, n * sizeof *y), 0);
    float *const all[] = {x, gain, bias, y, two, f, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_free(want);
}

static void test_attend(size_t images, size_t queries, size_t keys, size_t heads, size_t width, bool causal) {
    size_t c = heads * width, n = images * queries * c;
    float *q = numbers(n, 14), *k = numbers(images * keys * c, 15), *v = numbers(images * keys * c, 16);
    float *y = zeros(n), *alone = zeros(n);
    double *want = ib_calloc(n, sizeof *want), *s = ib_calloc(keys, sizeof *s), most = 0, sum = 0;
    for (size_t at = 0; at < images * queries * heads; at++) {
        size_t i = at / heads / queries, head = at % heads * width, row = at / heads * c + head;
        size_t seen = causal ? at / heads % queries + 1 : keys;
        most = -INFINITY;
        for (size_t j = 0; j < seen; j++) {
            s[j] = 0;
            for (size_t e = 0; e < width; e++) {
                s[j] +=
                    3 * (double)q[row + e] * (double)k[(i * keys + j) * c + head + e] / sqrt((double)width);
            }
            most = fmax(most, s[j]);
        }
        sum = 0;
        for (size_t j = 0; j < seen; j++) {
            sum += s[j] = exp(s[j] - most);
        }
        for (size_t j = 0; j < seen; j++) {
            for (size_t e = 0; e < width; e++) {
                want[row + e] += 1.5 * s[j] / sum * (double)v[(i * keys + j) * c + head + e];
            }
        }
    }
    ib_attend a = {
        .images = images, .queries = queries, .keys = keys, .heads = heads, .width = width, .q = q, .k = k};
    a.v = v;
    a.q_row = a.k_row = a.v_row = a.y_row = c;
    a.scale = 3 / sqrtf((float)width);
    a.gain = 1.5f;
    a.causal = causal;
    float *scratch = zeros(ib_attend_scratch(&a, 2));
    ib_attend_run(&a, 2, scratch, y);
    CHECK_NEAR(difference(y, want, n), 0, 3e-6);
    ib_attend one = a;
    one.images = 1;
    for (size_t i = 0; i < images; i++) {
        one.q = q + i * queries * c;
        one.k = k + i * keys * c;
        one.v = v + i * keys * c;
        ib_attend_run(&one, 1, scratch, alone + i * queries * c);
    }
    CHECK_INT(memcmp(y, alone, n * sizeof *y), 0);
    float *const all[] = {q, k, v, y, alone, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_free(want);
    ib_free(s);
}

static void test_gelu(void) {
    enum { N = 400001 };
    float *x = ib_calloc(N, sizeof *x), *y = ib_calloc(N, sizeof *y);
    double apart = 0, near = 0, far = 0;
    if (!x || !y) {
        exit(1);
    }
    for (size_t i = 0; i < N; i++) {
        y[i] = x[i] = (float)(-10 + 20.0 * (double)i / (N - 1));
    }
    ib_gelu(y, N, y);
    for (size_t i = 0; i < N; i++) {
        double v = x[i], want = 0.5 * v * erfc(-v / sqrt(2)), off = fabs(y[i] - want);
        double share = want != 0 ? off / fabs(want) : off;
        apart = fmax(apart, off);
        *(fabs(v) < 4 ? &near : &far) = fmax(fabs(v) < 4 ? near : far, share);
    }
    printf("gelu over [-10, 10]: off by at most %.3g; relative %.3g for |x| < 4, %.3g beyond\n", apart, near,
           far);
    CHECK_NEAR(apart, 0, 2.5e-7);
    CHECK_NEAR(near, 0, 6e-7);
    CHECK_NEAR(far, 0, 3e-6);
    float ends[] = {-1e30f, -40, -0.0f, 0, 40, 1e30f};
    ib_gelu(ends, 6, ends);
    for (size_t i = 0; i < 6; i++) {
        CHECK_NEAR(ends[i], i < 4 ? 0 : i == 4 ? 40 : 1e30f, 1e-37);
    }
    for (size_t i = 0; i < N; i++) {
        y[i] = x[i];
    }
    ib_quick_gelu(y, N, y);
    for (size_t i = 0; i < N; i++) {
        apart = fmax(i ? apart : 0, fabs(y[i] - x[i] / (1 + exp(-1.702 * x[i]))));
    }
    printf("quick gelu: off by at most %.3g\n", apart);
    CHECK_NEAR(apart, 0, 2e-6);
    ib_free(y);
    ib_free(x);
}

static void test_tokens(size_t tokens, size_t channels) {
    float *x = numbers(tokens * 2 * channels, 17), *gain = numbers(channels, 18),
          *bias = numbers(channels, 19);
    float *y = zeros(tokens * channels);
    double *want = ib_calloc(tokens * channels, sizeof *want);
    for (size_t t = 0; t < tokens; t++) {
        double s = 0, q = 0;
        for (size_t c = 0; c < channels; c++) {
            s += x[t * channels + c] / (double)channels;
        }
        for (size_t c = 0; c < channels; c++) {
            q += pow(x[t * channels + c] - s, 2) / (double)channels;
        }
        for (size_t c = 0; c < channels; c++) {
            want[t * channels + c] =
                (x[t * channels + c] - s) / sqrt(q + 1e-5) * (double)gain[c] + (double)bias[c];
        }
    }
    ib_layer_norm(x, gain, bias, 1e-5f, tokens, channels, 2, y);
    CHECK_NEAR(difference(y, want, tokens * channels), 0, 1e-6);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t c = 0; c < channels; c++) {
            double g = x[t * 2 * channels + channels + c];
            want[t * channels + c] = x[t * 2 * channels + c] * 0.5 * g * erfc(-g / sqrt(2));
        }
    }
    ib_geglu(x, tokens, channels, 2, y);
    CHECK_NEAR(difference(y, want, tokens * channels), 0, 1e-6);
    ib_free(x);
    ib_free(gain);
    ib_free(bias);
    ib_free(y);
    ib_free(want);
}

static void test_sizes(void) {
    float x[3 * 3 * 2], y[6 * 5 * 2];
    for (size_t i = 0; i < 18; i++) {
        x[i] = (float)i;
    }
    ib_nearest(x, 1, 3, 3, 2, 6, 5, 2, y);
    for (size_t r = 0; r < 6; r++) {
        static const size_t from[5] = {0, 0, 1, 1, 2};
        for (size_t c = 0; c < 5; c++) {
            CHECK_NEAR(y[(r * 5 + c) * 2 + 1], x[(r / 2 * 3 + from[c]) * 2 + 1], 0);
        }
    }
    ib_pool2(x, 1, 3, 3, 2, 2, y);
    CHECK_NEAR(y[0], (0 + 2 + 6 + 8) / 4.0, 0);
    CHECK_NEAR(y[1], (1 + 3 + 7 + 9) / 4.0, 0);
}

int main(void) {
    RUN(test_product(13, 70, 130));
    RUN(test_product(1, 5, 1));
    RUN(test_product(6, 128, 300));
    RUN(test_linear(5, 33, 20, IB_F16, false));
    RUN(test_linear(200, 300, 70, IB_BF16, true));
    RUN(test_linear(97, 16, 400, IB_F32, false));
    RUN(test_conv((ib_conv2d){2, 18, 22, 20, 37, 3, 1, 1, 1}, IB_F16));
    RUN(test_conv((ib_conv2d){1, 8, 8, 64, 80, 3, 1, 1, 1}, IB_F32));
    RUN(test_conv((ib_conv2d){3, 3, 2, 17, 48, 3, 1, 1, 1}, IB_BF16));
    RUN(test_conv((ib_conv2d){2, 9, 8, 32, 40, 3, 2, 1, 1}, IB_F16));
    RUN(test_conv((ib_conv2d){2, 9, 8, 32, 40, 3, 2, 0, 1}, IB_F16));
    RUN(test_conv((ib_conv2d){2, 5, 3, 33, 50, 1, 1, 0, 0}, IB_F16));
    RUN(test_conv((ib_conv2d){2, 1, 1, 4, 4, 3, 1, 1, 1}, IB_F16));
    RUN(test_conv((ib_conv2d){1, 20, 150, 3, 3, 3, 1, 1, 1}, IB_F16));
    RUN(test_group_norm(2, 300, 96, 32, false, true));
    RUN(test_group_norm(3, 7, 40, 4, true, false));
    RUN(test_attend(2, 100, 77, 3, 40, false));
    RUN(test_attend(1, 50, 1300, 2, 24, false));
    RUN(test_attend(3, 1, 1, 1, 5, false));
    RUN(test_attend(2, 77, 77, 3, 40, true));
    RUN(test_attend(1, 1100, 1100, 1, 8, true));
    RUN(test_gelu());
    RUN(test_tokens(9, 70));
    RUN(test_sizes());
    return check_report("test_nn_forward");
}
