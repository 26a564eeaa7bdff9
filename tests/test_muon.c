/* Muon: its orthogonalisation against plain doubles, and which tensors it updates. */
#include <math.h>
#include <string.h>
#include "base/memory.h"
#include "base/rng.h"
#include "tests/check.h"
#include "train/muon.h"

/* X to a X + b X X^T X + c X X^T X X^T X five times, from X over its Frobenius norm: the iteration as it is
 * written in the paper. */
static void plain(double *x, size_t rows, size_t cols) {
    double *g = ib_calloc(rows * rows, sizeof *g), *h = ib_calloc(rows * rows, sizeof *h),
           *y = ib_calloc(rows * cols, sizeof *y), sum = 0;
    for (size_t i = 0; i < rows * cols; i++) {
        sum += x[i] * x[i];
    }
    for (size_t i = 0; i < rows * cols; i++) {
        x[i] /= sqrt(sum);
    }
    for (int step = 0; step < 5; step++) {
        for (size_t i = 0; i < rows * rows; i++) {
            g[i] = 0;
            for (size_t k = 0; k < cols; k++) {
                g[i] += x[i / rows * cols + k] * x[i % rows * cols + k];
            }
        }
        for (size_t i = 0; i < rows * rows; i++) {
            double square = 0;
            for (size_t k = 0; k < rows; k++) {
                square += g[i / rows * rows + k] * g[k * rows + i % rows];
            }
            h[i] = (i / rows == i % rows ? 3.4445 : 0) - 4.7750 * g[i] + 2.0315 * square;
        }
        for (size_t i = 0; i < rows * cols; i++) {
            y[i] = 0;
            for (size_t k = 0; k < rows; k++) {
                y[i] += h[i / cols * rows + k] * x[k * cols + i % cols];
            }
        }
        memcpy(x, y, rows * cols * sizeof *x);
    }
    ib_free(g);
    ib_free(h);
    ib_free(y);
}

static float *random_matrix(size_t n, uint64_t seed) {
    float *x = ib_calloc(n, sizeof *x);
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++) {
        x[i] = 3.0f * ib_rng_normal(&rng);
    }
    return x;
}

static void orthogonalise(float *x, size_t rows, size_t cols) {
    float *scratch = ib_calloc(ib_orthogonalise_scratch(rows, cols), sizeof *scratch);
    ib_orthogonalise(x, rows, cols, scratch);
    ib_free(scratch);
}

static void test_against_plain(void) {
    static const size_t sides[][2] = {{1, 1},   {1, 7},  {7, 1},   {3, 5},   {5, 3},
                                      {16, 16}, {72, 8}, {33, 70}, {144, 16}};
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
        size_t rows = sides[s][0], cols = sides[s][1], n = rows * cols;
        float *x = random_matrix(n, 5 + s);
        double *y = ib_calloc(n, sizeof *y), worst = 0;
        for (size_t i = 0; i < n; i++) {
            y[i] = (double)x[i];
        }
        plain(y, rows, cols);
        orthogonalise(x, rows, cols);
        for (size_t i = 0; i < n; i++) {
            CHECK(isfinite(x[i]));
            worst = fmax(worst, fabs((double)x[i] - y[i]));
        }
        printf("%zu x %zu: worst difference to plain doubles %.2g\n", rows, cols, worst);
        CHECK(worst < 2e-4);
        ib_free(x);
        ib_free(y);
    }
}

/* All directions come out about as long as they went in, however different they were. */
static void test_lengths(void) {
    enum { ROWS = 96, COLS = 12 };
    float *x = random_matrix(ROWS * COLS, 3), zero[6] = {0};
    for (size_t i = 0; i < ROWS * COLS; i++) {
        x[i] *= powf(0.7f, (float)(i % COLS)); /* columns from 1 to 0.02 */
    }
    orthogonalise(x, ROWS, COLS);
    ib_rng rng;
    ib_rng_seed(&rng, 8);
    double least = 1e9, most = 0;
    for (int k = 0; k < 500; k++) {
        double v[COLS], in = 0, out = 0;
        for (size_t j = 0; j < COLS; j++) {
            v[j] = (double)ib_rng_normal(&rng);
            in += v[j] * v[j];
        }
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0;
            for (size_t j = 0; j < COLS; j++) {
                sum += (double)x[i * COLS + j] * v[j];
            }
            out += sum * sum;
        }
        CHECK(isfinite(out));
        least = fmin(least, sqrt(out / in));
        most = fmax(most, sqrt(out / in));
    }
    printf("lengths after orthogonalising: %.3f to %.3f times\n", least, most);
    CHECK(least > 0.65 && most < 1.25);
    orthogonalise(zero, 2, 3);
    for (size_t i = 0; i < 6; i++) {
        CHECK(zero[i] == 0);
    }
    ib_free(x);
}

/* Two steps of one matrix, by the formula. */
static void test_step(void) {
    enum { ROWS = 6, COLS = 4, N = ROWS * COLS };
    float *w = random_matrix(N, 1), *g = random_matrix(N, 2), momentum[N] = {0};
    float *scratch = ib_calloc(ib_muon_scratch(ROWS, COLS), sizeof *scratch);
    double expected[N], m[N] = {0}, worst = 0;
    for (size_t i = 0; i < N; i++) {
        expected[i] = (double)w[i];
    }
    for (int step = 1; step <= 2; step++) {
        ib_update u = {.rate = 0.01 * step, .weight_decay = 1, .scale = 0.5, .number = step};
        double direction[N];
        for (size_t i = 0; i < N; i++) {
            double d = 0.5 * (double)g[i];
            m[i] = 0.95 * m[i] + d;
            direction[i] = d + 0.95 * m[i];
        }
        plain(direction, ROWS, COLS);
        for (size_t i = 0; i < N; i++) {
            expected[i] = (1 - u.rate * 0.3) * expected[i] - u.rate * 0.2 * sqrt(6) * direction[i];
        }
        ib_muon(&u, 0.3, w, g, momentum, ROWS, COLS, scratch);
        g[step] += 1;
    }
    for (size_t i = 0; i < N; i++) {
        CHECK(isfinite(w[i]));
        worst = fmax(worst, fabs((double)w[i] - expected[i]));
    }
    CHECK_NEAR(worst, 0, 1e-5);
    ib_free(w);
    ib_free(g);
    ib_free(scratch);
}

/* The trunk's matrices move by Muon, all else exactly as with adamw; any number of threads gives the same
 * bits. */
static void test_tensors(void) {
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_preset("toaster", "patch:test", IB_LAYOUT_GRID, 96, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 7, &err), &err);
    const ib_optimiser *muon = ib_optimiser_find("muon", &err), *adamw = ib_optimiser_find("adamw", &err);
    size_t n = ib_adapter_param_count(a);
    float *g = random_matrix(n, 4), *w[4], *moments = ib_calloc(2 * n, sizeof *moments),
          *scratch = ib_calloc(ib_optimiser_scratch(muon, a, 3), sizeof *scratch);
    CHECK_INT(ib_optimiser_scratch(adamw, a, 3), 0);
    for (int k = 0; k < 4; k++) { /* 0: adamw; 1 to 3: muon on so many threads */
        ib_update u = {.rate = 0.01, .weight_decay = 0.3, .scale = 1, .number = 1};
        float *const m[IB_MAX_MOMENTS] = {moments, moments + n};
        w[k] = ib_calloc(n, sizeof **w);
        memcpy(w[k], ib_adapter_params(a), n * sizeof **w);
        memset(moments, 0, 2 * n * sizeof *moments);
        ib_optimiser_update(k ? muon : adamw, &u, a, w[k], g, m, k ? k : 1, k ? scratch : NULL);
    }
    CHECK_INT(memcmp(w[1], w[2], n * sizeof **w), 0);
    CHECK_INT(memcmp(w[1], w[3], n * sizeof **w), 0);
    size_t hidden = 0, others = 0;
    for (size_t i = 0; i < ib_adapter_tensor_count(a); i++) {
        const ib_param *p = ib_adapter_tensor(a, i);
        bool same = !memcmp(w[0] + p->offset, w[1] + p->offset, p->count * sizeof **w);
        CHECK(same == !p->hidden);
        CHECK(!p->hidden || p->rank >= 2);
        *(p->hidden ? &hidden : &others) += p->count;
    }
    CHECK(hidden > others); /* most of the model */
    for (int k = 0; k < 4; k++) {
        ib_free(w[k]);
    }
    ib_free(g);
    ib_free(moments);
    ib_free(scratch);
    ib_adapter_free(&a);
}

int main(void) {
    RUN(test_against_plain());
    RUN(test_lengths());
    RUN(test_step());
    RUN(test_tensors());
    return check_report("test_muon");
}
