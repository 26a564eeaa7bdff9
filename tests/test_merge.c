/* Merging: every method beside a naive one, and what must hold to the bit. */
#include <unistd.h>
#include "tests/merges.h"

/* One tensor of the naive result. x: [k], base may be NULL. */
typedef void naive(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                   double *out);

static double naive_lambda = 1, naive_density = 1, naive_t, naive_alpha;

static void naive_linear(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                         double *out) {
    (void)base;
    for (size_t e = 0; e < n; e++) {
        long double sum = 0, all = 0;
        for (size_t i = 0; i < k; i++) {
            sum += (long double)w[i] * (long double)x[i][e];
            all += (long double)w[i];
        }
        out[e] = (double)(sum / all);
    }
}

static void naive_task(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                       double *out) {
    for (size_t e = 0; e < n; e++) {
        long double sum = 0;
        for (size_t i = 0; i < k; i++) {
            sum += (long double)w[i] * ((long double)x[i][e] - (long double)base[e]);
        }
        out[e] = (double)((long double)base[e] + (long double)naive_lambda * sum);
    }
}

static void naive_difference(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                             double *out) {
    (void)base, (void)k, (void)w;
    for (size_t e = 0; e < n; e++) {
        out[e] = (double)x[0][e] + naive_alpha * ((double)x[1][e] - (double)x[2][e]);
    }
}

static void naive_slerp(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                        double *out) {
    long double aa = 0, bb = 0, ab = 0, t = naive_t;
    (void)base, (void)k, (void)w;
    for (size_t e = 0; e < n; e++) {
        aa += (long double)x[0][e] * x[0][e];
        bb += (long double)x[1][e] * x[1][e];
        ab += (long double)x[0][e] * x[1][e];
    }
    long double na = sqrtl(aa), nb = sqrtl(bb),
                angle = na * nb > 0 ? acosl(fminl(1, fmaxl(-1, ab / na / nb))) : 0;
    for (size_t e = 0; e < n; e++) {
        long double u = (long double)x[0][e], v = (long double)x[1][e];
        out[e] = angle > 1e-4L && angle < 3.1414L
                     ? (double)(((1 - t) * na + t * nb) *
                                (sinl((1 - t) * angle) * u / na + sinl(t * angle) * v / nb) / sinl(angle))
                     : (double)((1 - t) * u + t * v);
    }
}

static int falling(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void naive_ties(const float *const *x, const float *base, size_t k, size_t n, const double *w,
                       double *out) {
    float *threshold = malloc(k * sizeof *threshold), *size = malloc(n * sizeof *size);
    for (size_t i = 0; i < k; i++) {
        for (size_t e = 0; e < n; e++) {
            size[e] = fabsf((float)((double)x[i][e] - (double)base[e]));
        }
        qsort(size, n, sizeof *size, falling);
        threshold[i] = size[(size_t)ceil(naive_density * (double)n) - 1];
    }
    for (size_t e = 0; e < n; e++) {
        long double vote = 0, sum = 0, all = 0;
        for (size_t i = 0; i < k; i++) {
            double d = (double)x[i][e] - (double)base[e];
            vote += fabsf((float)d) >= threshold[i] ? (long double)(w[i] * d) : 0;
        }
        for (size_t i = 0; i < k; i++) {
            double d = (double)x[i][e] - (double)base[e];
            if (fabsf((float)d) >= threshold[i] && ((d > 0 && vote > 0) || (d < 0 && vote < 0))) {
                sum += (long double)(w[i] * d);
                all += (long double)w[i];
            }
        }
        out[e] = (double)base[e] + (all > 0 ? naive_lambda * (double)(sum / all) : 0);
    }
    free(threshold);
    free(size);
}

static void check_naive(naive *f, const char *inputs, const char *base, const double *weights,
                        const char *out) {
    ib_adapter *a[8] = {0}, *b = base ? load(in_dir(base)) : NULL, *got = load(in_dir(out));
    const double ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    char words[512], *at = words, *word;
    size_t k = 0, off = 0;
    double worst = 0;
    snprintf(words, sizeof words, "%s", inputs);
    while ((word = strsep(&at, " "))) {
        a[k++] = load(in_dir(word));
    }
    for (size_t i = 0; got && i < ib_adapter_tensor_count(got); i++) {
        const ib_param *p = ib_adapter_tensor(got, i);
        const float *x[8];
        double *want = malloc(p->count * sizeof *want);
        for (size_t m = 0; m < k; m++) {
            x[m] = ib_adapter_params(a[m]) + p->offset;
        }
        f(x, b ? ib_adapter_params(b) + p->offset : NULL, k, p->count, weights ? weights : ones, want);
        for (size_t e = 0; e < p->count; e++) {
            double d = fabs((double)ib_adapter_params(got)[p->offset + e] - want[e]);
            off += !(d <= 6.1e-8 * fabs(want[e]) + 1e-14);
            worst = fmax(worst, d);
        }
        free(want);
    }
    if (off) {
        printf("%s: %zu elements are off, the worst by %g\n", out, off, worst);
    }
    CHECK_INT(off, 0);
    for (size_t m = 0; m < k; m++) {
        ib_adapter_free(&a[m]);
    }
    ib_adapter_free(&b);
    ib_adapter_free(&got);
}

static void test_methods(void) {
    const double w[3] = {0.5, 3, 1.25}, turned[3] = {1.25, 0.5, 3};
    MERGE("linear", "a b c", NULL, NULL, "o", NULL);
    check_naive(naive_linear, "a b c", NULL, NULL, "o");
    MERGE("linear", "a b c", NULL, w, "o", NULL);
    check_naive(naive_linear, "a b c", NULL, w, "o");
    MERGE("linear", "c a b", NULL, turned, "o2", "threads", 3.0, NULL);
    CHECK(same_file("o", "o2"));
    for (int i = 0; i < 2; i++) {
        naive_lambda = i ? -0.3 : 0.7;
        MERGE("task-arithmetic", "a b c", "base", w, "o", "lambda", naive_lambda, NULL);
        check_naive(naive_task, "a b c", "base", w, "o");
        MERGE("task-arithmetic", "c a b", "base", turned, "o2", "lambda", naive_lambda, NULL);
        CHECK(same_file("o", "o2"));
        naive_alpha = i ? 0.25 : -2;
        MERGE("add-difference", "a b c", NULL, NULL, "o", "alpha", naive_alpha, NULL);
        check_naive(naive_difference, "a b c", NULL, NULL, "o");
        naive_t = i ? 0.3 : 0.5;
        MERGE("slerp", "a b", NULL, NULL, "o", "t", naive_t, NULL);
        check_naive(naive_slerp, "a b", NULL, NULL, "o");
        naive_density = i ? 0.2 : 0.55;
        MERGE("ties", "a b c d", "base", NULL, "o", "density", naive_density, "lambda", naive_lambda, NULL);
        check_naive(naive_ties, "a b c d", "base", NULL, "o");
        MERGE("ties", "c d b a", "base", NULL, "o2", "density", naive_density, "lambda", naive_lambda,
              "threads", 2.0, NULL);
        CHECK(same_file("o", "o2"));
        MERGE("ties", "a b c", "base", w, "o", "density", naive_density, "lambda", naive_lambda, NULL);
        check_naive(naive_ties, "a b c", "base", w, "o");
        MERGE("ties", "c a b", "base", turned, "o2", "density", naive_density, "lambda", naive_lambda, NULL);
        CHECK(same_file("o", "o2"));
        MERGE("dare", "a b c", "base", w, "o", "seed", 7.0 + i, "drop", 0.4, NULL);
        MERGE("dare", "c a b", "base", turned, "o2", "seed", 7.0 + i, "drop", 0.4, "threads", 2.0, NULL);
        CHECK(same_file("o", "o2"));
    }
}

static void test_to_the_bit(void) {
    const double one[2] = {1, 0}, other[2] = {0, 2}, odd[3] = {0.1, 0.7, 1.9};
    MERGE("linear", "a a", NULL, NULL, "o", NULL);
    CHECK(same_model("o", "a"));
    MERGE("linear", "a a a", NULL, odd, "o", NULL);
    CHECK(same_model("o", "a"));
    MERGE("linear", "a", NULL, NULL, "o", NULL);
    CHECK(same_model("o", "a"));
    MERGE("linear", "a b", NULL, one, "o", NULL);
    CHECK(same_model("o", "a"));
    MERGE("linear", "a b", NULL, other, "o", NULL);
    CHECK(same_model("o", "b"));
    MERGE("slerp", "a b", NULL, NULL, "o", "t", 0.0, NULL);
    CHECK(same_model("o", "a"));
    MERGE("slerp", "a b", NULL, NULL, "o", "t", 1.0, NULL);
    CHECK(same_model("o", "b"));
    MERGE("slerp", "a a", NULL, NULL, "o", "t", 0.3, NULL);
    CHECK(same_model("o", "a"));
    MERGE("slerp", "a b", NULL, NULL, "o", NULL);
    MERGE("slerp", "b a", NULL, NULL, "o2", NULL);
    CHECK(same_model("o", "o2")); /* half-way there are no first and second */
    MERGE("add-difference", "a b b", NULL, NULL, "o", "alpha", 0.7, NULL);
    CHECK(same_model("o", "a"));
    MERGE("add-difference", "a b c", NULL, NULL, "o", "alpha", 0.0, NULL);
    CHECK(same_model("o", "a"));
    MERGE("add-difference", "a b a", NULL, NULL, "o", NULL);
    CHECK(same_model("o", "b"));
    MERGE("task-arithmetic", "a", "base", NULL, "o", NULL);
    CHECK(same_model("o", "a"));
    MERGE("task-arithmetic", "a b", "base", NULL, "o", "lambda", 0.0, NULL);
    CHECK(same_model("o", "base"));
    MERGE("task-arithmetic", "base base", "base", NULL, "o", NULL);
    CHECK(same_model("o", "base"));
    MERGE("ties", "a", "base", NULL, "o", "density", 1.0, NULL);
    CHECK(same_model("o", "a"));
    MERGE("ties", "a a a", "base", odd, "o", "density", 1.0, NULL);
    CHECK(same_model("o", "a"));
    MERGE("ties", "a b", "base", NULL, "o", "lambda", 0.0, NULL);
    CHECK(same_model("o", "base"));
    MERGE("dare", "a b c", "base", odd, "o", "drop", 0.0, "lambda", 0.6, NULL);
    MERGE("task-arithmetic", "a b c", "base", odd, "o2", "lambda", 0.6, NULL);
    CHECK(same_model("o", "o2"));
}

static void test_dare(void) {
    size_t dropped = 0, scaled = 0, n;
    MERGE("dare", "a", "base", NULL, "o", "drop", 0.3, "seed", 5.0, NULL);
    MERGE("dare", "a", "base", NULL, "o2", "drop", 0.3, "seed", 6.0, NULL);
    CHECK(!same_model("o", "o2"));
    ib_adapter *a = load(in_dir("a")), *b = load(in_dir("base")), *o = load(in_dir("o"));
    n = ib_adapter_param_count(a);
    for (size_t i = 0; i < n; i++) {
        double x = (double)ib_adapter_params(a)[i], base = (double)ib_adapter_params(b)[i];
        double got = (double)ib_adapter_params(o)[i], want = base + (x - base) / 0.7;
        dropped += got == base && x != base;
        scaled += got != base && fabs(got - want) <= 6.1e-8 * fabs(want) + 1e-14;
    }
    /* four standard deviations; one value in 50 is its base's anyway */
    CHECK_NEAR((double)dropped / (double)n, 0.3 * 0.98, 4 * sqrt(0.3 * 0.7 / (double)n) + 0.005);
    CHECK_NEAR((double)(dropped + scaled) / (double)n, 0.98, 0.01);
    ib_adapter_free(&a);
    ib_adapter_free(&b);
    ib_adapter_free(&o);
}

/* Tensors larger than a block, and halves beside floats. */
static void test_large(void) {
    ib_adapter_config c = config;
    ib_error err = {0};
    c.fine = 368; /* 9 x 368 x 368 elements */
    c.coarse_blocks = c.coarse = 0;
    ib_adapter *base = make(&c, 9, NULL);
    save(base, in_dir("large-base"), NULL, 0);
    for (int i = 0; i < 2; i++) {
        ib_adapter *a = make(&c, 10 + (uint64_t)i, base);
        CHECK_OK(ib_adapter_save_as(a, in_dir(i ? "large-b" : "large-a"), i ? IB_F16 : IB_F32, NULL, 0, &err),
                 &err);
        ib_adapter_free(&a);
    }
    ib_adapter_free(&base);
    MERGE("linear", "large-a large-b", NULL, NULL, "o", NULL);
    check_naive(naive_linear, "large-a large-b", NULL, NULL, "o");
    naive_t = 0.5;
    MERGE("slerp", "large-a large-b", NULL, NULL, "o", "threads", 2.0, NULL);
    check_naive(naive_slerp, "large-a large-b", NULL, NULL, "o");
    naive_lambda = 1;
    naive_density = 0.3;
    MERGE("ties", "large-b large-a", "large-base", NULL, "o", "density", 0.3, "threads", 2.0, NULL);
    check_naive(naive_ties, "large-b large-a", "large-base", NULL, "o");
    for (const char *const *name = (const char *const[]){"large-a", "large-b", "large-base", NULL}; *name;
         name++) {
        unlink(in_dir(*name));
    }
}

int main(void) {
    merges_begin("merge");
    RUN(test_methods());
    RUN(test_to_the_bit());
    RUN(test_dare());
    RUN(test_large());
    merges_end();
    return check_report("test_merge");
}
