/* Averages of parameter arrays: beside sums in long double, in every order, and against those who send
 * rubbish. */
#include "weights/average.h"
#include "base/rng.h"
#include "tests/check.h"

enum { N = 1003, K = 7 };

/* Values over a wide range, some of them zero, negative zero or subnormal. */
static void fill(float *x, ib_rng *r) {
    for (int i = 0; i < N; i++) {
        uint64_t kind = ib_rng_below(r, 20);
        float v = ib_rng_normal(r) * powf(10, (float)ib_rng_below(r, 30) - 15);
        x[i] = kind == 0 ? 0.0f : kind == 1 ? -0.0f : kind == 2 ? v * 1e-33f * 1e-10f : v;
    }
}

static void shuffle(const float **x, double *w, size_t k, ib_rng *r) {
    for (size_t i = k - 1; i > 0; i--) {
        size_t j = (size_t)ib_rng_below(r, i + 1);
        const float *p = x[i];
        double v = w[i];
        x[i] = x[j];
        w[i] = w[j];
        x[j] = p;
        w[j] = v;
    }
}

static float naive_weighted(const float *const *x, const double *w, size_t k, int at, long double *most) {
    long double sum = 0;
    *most = 0;
    for (size_t i = 0; i < k; i++) {
        long double t = (long double)w[i] * (long double)x[i][at];
        sum += t;
        *most = fmaxl(*most, fabsl(t));
    }
    return (float)sum;
}

static void test_weighted(void) {
    static float data[K][N], out[N], again[N];
    ib_rng r;
    ib_rng_seed(&r, 1);
    for (int round = 0; round < 40; round++) {
        const float *x[K];
        double w[K];
        size_t k = 1 + (size_t)ib_rng_below(&r, K);
        for (size_t i = 0; i < k; i++) {
            fill(data[i], &r);
            x[i] = data[i];
            w[i] = ib_rng_normal(&r);
        }
        ib_average_weighted(x, w, k, out, N);
        int off = 0;
        for (int j = 0; j < N; j++) {
            long double most;
            double want = (double)naive_weighted(x, w, k, j, &most);
            /* half a float's last place of the result, and the grid's error */
            double limit = fabs(want) * 6.0e-8 + (double)most * 49 * 8.9e-16 + 1.5e-45;
            off += !(fabs((double)out[j] - want) <= limit);
        }
        CHECK_INT(off, 0);
        for (int order = 0; order < 5; order++) {
            shuffle(x, w, k, &r);
            ib_average_weighted(x, w, k, again, N);
            CHECK(!memcmp(out, again, sizeof out));
        }
        /* in two pieces, and in place */
        const float *tail[K];
        for (size_t i = 0; i < k; i++) {
            tail[i] = x[i] + 333;
        }
        ib_average_weighted(x, w, k, again, 333);
        ib_average_weighted(tail, w, k, again + 333, N - 333);
        CHECK(!memcmp(out, again, sizeof out));
        memcpy(again, x[k - 1], sizeof again);
        x[k - 1] = again;
        ib_average_weighted(x, w, k, again, N);
        CHECK(!memcmp(out, again, sizeof out));
    }
}

static void test_exact(void) {
    static float a[N], b[N], out[N];
    ib_rng r;
    ib_rng_seed(&r, 2);
    fill(a, &r);
    fill(b, &r);
    for (size_t k = 1; k <= 13; k++) { /* the mean of k equal arrays is that array */
        const float *x[13];
        double w[13];
        for (size_t i = 0; i < k; i++) {
            x[i] = a;
            w[i] = ib_rng_double(&r) + 0.01;
        }
        CHECK(ib_average_normalise(w, k));
        ib_average_weighted(x, w, k, out, N);
        CHECK(!memcmp(out, a, sizeof a));
    }
    ib_average_weighted((const float *const[]){b, a, b}, (double[]){0, 1, 0}, 3, out, N);
    CHECK(!memcmp(out, a, sizeof a));
    int off = 0;
    ib_average_weighted((const float *const[]){b, a, b}, (double[]){0.37, 1, -0.37}, 3, out, N);
    for (int i = 0; i < N; i++) { /* a + c (b - b), to the grid of the largest term */
        off += !(fabs((double)out[i] - (double)a[i]) <= 1e-14 * fabs((double)b[i]));
    }
    CHECK_INT(off, 0);
    ib_average_weighted((const float *const[]){b, b}, (double[]){0.37, -0.37}, 2, out, N);
    for (int i = 0; i < N; i++) {
        off += out[i] != 0;
    }
    CHECK_INT(off, 0);
    ib_average_weighted((const float *const[]){a, b}, (double[]){0, 0}, 2, out, N);
    CHECK(out[0] == 0 && out[N - 1] == 0);
    CHECK(!ib_average_normalise((double[]){1, -1}, 2));
    CHECK(!ib_average_normalise((double[]){0, 0, 0}, 3));
    CHECK(!ib_average_normalise((double[]){INFINITY, 1}, 2));
    double w[3] = {1, 2, 5};
    CHECK(ib_average_normalise(w, 3) && w[0] == 0.125 && w[1] == 0.25 && w[2] == 0.625);
    a[5] = NAN;
    b[6] = INFINITY;
    ib_average_weighted((const float *const[]){a, b}, (double[]){0.5, 0.5}, 2, out, N);
    CHECK(isnan(out[5]) && isinf(out[6]) && isfinite(out[7]));
    ib_average_weighted((const float *const[]){b, a}, (double[]){0.5, 0.5}, 2, out, N);
    CHECK(isnan(out[5]) && isinf(out[6]) && isfinite(out[7]));
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_trimmed(void) {
    static float data[K][N], out[N], again[N];
    const float *x[K];
    double w[K];
    ib_rng r;
    ib_rng_seed(&r, 3);
    for (int i = 0; i < K; i++) {
        fill(data[i], &r);
        x[i] = data[i];
        w[i] = 1 + (double)ib_rng_below(&r, 3);
    }
    for (size_t cut = 0; 2 * cut < K; cut++) {
        ib_average_trimmed(x, NULL, K, cut, out, N);
        int off = 0;
        for (int j = 0; j < N; j++) {
            float v[K];
            double sum = 0, size = 0;
            for (int i = 0; i < K; i++) {
                v[i] = x[i][j];
            }
            qsort(v, K, sizeof *v, by_value);
            for (size_t i = cut; i < K - cut; i++) {
                sum += (double)v[i] / (double)(K - 2 * cut);
                size = fmax(size, fabs((double)v[i]));
            }
            off += !(fabs((double)out[j] - sum) <= fabs(sum) * 6.0e-8 + size * 1e-13 + 1.5e-45);
        }
        CHECK_INT(off, 0);
        ib_average_trimmed(x, w, K, cut, out, N);
        for (int order = 0; order < 5; order++) {
            shuffle(x, w, K, &r);
            ib_average_trimmed(x, w, K, cut, again, N);
            CHECK(!memcmp(out, again, sizeof out));
        }
    }
    /* two of seven send rubbish: the result stays within what the others sent */
    for (int j = 0; j < N; j++) {
        data[0][j] = j % 3 == 0 ? NAN : j % 3 == 1 ? INFINITY : -1e38f;
        data[1][j] = j % 2 ? 1e38f : -INFINITY;
    }
    ib_average_trimmed(x, w, K, 2, out, N);
    for (int j = 0; j < N; j++) {
        float least = INFINITY, most = -INFINITY;
        for (int i = 2; i < K; i++) {
            least = fminf(least, data[i][j]);
            most = fmaxf(most, data[i][j]);
        }
        CHECK(out[j] >= least && out[j] <= most);
    }
}

static void test_clipped(void) {
    static float centre[N], data[5][N], out[N], again[N];
    const float *x[5] = {data[0], data[1], data[2], data[3], data[4]};
    double w[5] = {0.2, 0.2, 0.2, 0.2, 0.2}, s[5];
    ib_rng r;
    ib_rng_seed(&r, 4);
    for (int j = 0; j < N; j++) {
        centre[j] = ib_rng_normal(&r);
        for (int i = 0; i < 5; i++) {
            data[i][j] = centre[j] + 0.01f * ib_rng_normal(&r);
        }
        data[3][j] *= 100;
    }
    double usual = ib_params_distance(data[0], centre, N), radius = 2 * usual;
    ib_average_clipped(x, w, 5, centre, radius, out, N, s);
    CHECK(s[0] == 1 && s[1] == 1 && s[2] == 1 && s[4] == 1 && s[3] < 0.01);
    CHECK(ib_params_distance(out, centre, N) <= 0.2 * radius + 0.8 * 1.2 * usual);
    for (int j = 0; j < N; j += 17) {
        double want = centre[j];
        for (int i = 0; i < 5; i++) {
            want += 0.2 * s[i] * ((double)data[i][j] - (double)centre[j]);
        }
        CHECK_NEAR(out[j], want, 1e-6 * (1 + fabs(want)));
    }
    shuffle(x, w, 5, &r);
    ib_average_clipped(x, w, 5, centre, radius, again, N, NULL);
    CHECK(!memcmp(out, again, sizeof out));
    data[3][7] = NAN;
    ib_average_clipped(x, w, 5, centre, radius, out, N, s);
    CHECK(ib_params_finite(out, N));
    ib_average_clipped(x, w, 5, centre, 0, out, N, s); /* nobody may move it */
    CHECK(!memcmp(out, centre, sizeof out));
    ib_average_clipped(x, w, 0, centre, 1, out, N, NULL);
    CHECK(!memcmp(out, centre, sizeof out));
}

static void test_compare(void) {
    float a[6] = {1, -2, 0, 4, 1, 1}, b[6] = {2, 2, 3, 0, -1, 5}, base[6] = {0, 0, 0, 0, 1, 2};
    ib_comparison c = {0}, d = {0}, e = {0};
    ib_compare_add(&c, a, b, NULL, 6);
    CHECK_NEAR(c.aa, 23, 0);
    CHECK_NEAR(c.bb, 43, 0);
    CHECK_NEAR(c.ab, 2 - 4 - 1 + 5, 0);
    CHECK_NEAR(c.dd, 1 + 16 + 9 + 16 + 4 + 16, 0);
    CHECK_INT(c.elements, 6);
    CHECK_INT(c.both, 4);
    CHECK_INT(c.same, 2);
    CHECK_NEAR(ib_compare_signs(&c), 0.5, 0);
    CHECK_NEAR(ib_compare_cosine(&c), 2 / sqrt(23.0 * 43.0), 1e-15);
    CHECK_NEAR(ib_params_norm(a, 6), sqrt(23), 1e-15);
    CHECK_NEAR(ib_params_distance(a, b, 6), sqrt(62), 1e-15);
    ib_compare_add(&d, a, b, base, 3);
    ib_compare_add(&d, a + 3, b + 3, base + 3, 3);
    CHECK_INT(d.both, 3); /* 1,2  -2,2  -1,3 */
    CHECK_INT(d.same, 1);
    CHECK_NEAR(d.dd, 62, 0);
    CHECK(isnan(ib_compare_cosine(&e)) && isnan(ib_compare_signs(&e)));
    ib_compare_add(&e, a, a, NULL, 6);
    CHECK_NEAR(ib_compare_cosine(&e), 1, 0);
    CHECK(ib_params_finite(a, 6));
    a[5] = -INFINITY;
    CHECK(!ib_params_finite(a, 6));
    a[5] = NAN;
    CHECK(!ib_params_finite(a, 6));
}

int main(void) {
    RUN(test_weighted());
    RUN(test_exact());
    RUN(test_trimmed());
    RUN(test_clipped());
    RUN(test_compare());
    return check_report("test_average");
}
