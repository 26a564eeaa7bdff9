/* Merging: every method beside a naive one, what must hold to the bit, and what is refused. */
#include <stdarg.h>
#include <unistd.h>
#include "adapter/adapter_file.h"
#include "adapter/parents.h"
#include "base/rng.h"
#include "merge/merge.h"
#include "tests/moving.h"
#include "train/state.h"

static char *dir;
static ib_adapter_config config;

static char *names[512]; /* every path once, for the whole program */
static size_t n_names;

static const char *in_dir(const char *name) {
    char *p = ib_join(dir, name);
    for (size_t i = 0; p && i < n_names; i++) {
        if (!strcmp(names[i], p)) {
            free(p);
            return names[i];
        }
    }
    if (!p || n_names == sizeof names / sizeof *names) {
        printf("out of memory for names\n");
        exit(1);
    }
    return names[n_names++] = p;
}

/* A model with values of very different size, some of them 0, some equal to those of `like`. */
static ib_adapter *make(const ib_adapter_config *c, uint64_t seed, ib_adapter *like) {
    ib_adapter *a = NULL;
    ib_error err = {0};
    ib_rng r;
    CHECK_OK(ib_adapter_create(&a, c, seed, &err), &err);
    ib_rng_seed(&r, seed);
    float *x = ib_adapter_params(a);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        uint64_t kind = ib_rng_below(&r, 50);
        float near = like ? ib_adapter_params(like)[i] : 0;
        x[i] = kind == 0 ? near : near + ib_rng_normal(&r) * (kind == 1 ? 1e-6f : 0.1f);
    }
    return a;
}

static void save(const ib_adapter *a, const char *path, const ib_st_meta *meta, size_t n) {
    ib_error err = {0};
    CHECK_OK(ib_adapter_save(a, path, meta, n, &err), &err);
}

static ib_adapter *load(const char *path) {
    ib_adapter *a = NULL;
    ib_error err = {0};
    CHECK_OK(ib_adapter_open(&a, path, &err), &err);
    return a;
}

/* inputs: names in the scratch directory, blanks between them. Options as pairs of name and value, ended by NULL. */
static int try_merge(const char *method, const char *inputs, const char *base, const double *weights,
                     const char *out, ib_merge_result *result, ib_error *err, ...) {
    ib_merge_options o;
    ib_paths list = {0};
    ib_merge_result mine = {0};
    char words[512], *at = words, *word;
    va_list ap;
    int r = IB_OK;
    snprintf(words, sizeof words, "%s", inputs);
    while ((word = strsep(&at, " "))) {
        CHECK_OK(ib_paths_add(&list, in_dir(word), err), err);
    }
    ib_merge_defaults(&o);
    o.inputs = &list;
    o.method = method;
    o.base = base ? in_dir(base) : NULL;
    o.weights = weights;
    o.output = in_dir(out);
    va_start(ap, err);
    for (const char *name; !r && (name = va_arg(ap, const char *));) {
        double value = va_arg(ap, double);
        if (!strcmp(name, "threads")) {
            o.threads = (int)value;
        } else if (!strcmp(name, "dry run")) {
            o.dry_run = true;
        } else {
            r = ib_merge_set(&o, name, value, err);
        }
    }
    va_end(ap);
    r = r ? r : ib_merge(&o, result ? result : &mine, err);
    ib_merge_result_free(&mine);
    ib_paths_free(&list);
    return r;
}

#define MERGE(method, inputs, base, weights, out, ...)                                                       \
    do {                                                                                                     \
        ib_error err_ = {0};                                                                                 \
        CHECK_OK(try_merge(method, inputs, base, weights, out, NULL, &err_, __VA_ARGS__), &err_);            \
    } while (0)

static bool same_file(const char *a, const char *b) {
    char x[65] = "a", y[65] = "b";
    ib_error err = {0};
    bool same = !ib_sha256_file(in_dir(a), x, &err) && !ib_sha256_file(in_dir(b), y, &err) && !strcmp(x, y);
    if (!same) {
        printf("%s and %s differ %s\n", a, b, err.text);
    }
    return same;
}

static bool same_model(const char *a, const char *b) {
    ib_adapter *x = load(in_dir(a)), *y = load(in_dir(b));
    bool same =
        x && y && ib_adapter_param_count(x) == ib_adapter_param_count(y) &&
        !memcmp(ib_adapter_params(x), ib_adapter_params(y), ib_adapter_param_count(x) * sizeof(float));
    ib_adapter_free(&x);
    ib_adapter_free(&y);
    return same;
}

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

static void make_models(void) {
    config = (ib_adapter_config){.space_id = "test:1",
                                 .layout = IB_LAYOUT_GRID,
                                 .width = 8,
                                 .fine = 16,
                                 .coarse = 16,
                                 .fine_blocks = 1,
                                 .coarse_blocks = 1};
    ib_adapter *base = make(&config, 100, NULL);
    save(base, in_dir("base"), NULL, 0);
    for (int i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        ib_adapter *a = make(&config, (uint64_t)i + 1, base);
        save(a, in_dir(name), NULL, 0);
        ib_adapter_free(&a);
    }
    ib_adapter_free(&base);
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

static void test_metadata(void) {
    char a[65], b[65], want[512];
    ib_error err = {0};
    ib_st *f = NULL;
    CHECK_OK(ib_sha256_file(in_dir("a"), a, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("base"), b, &err), &err);
    MERGE("ties", "a", "base", (double[]){2}, "o", NULL);
    CHECK_OK(ib_st_open(&f, in_dir("o"), &err), &err);
    snprintf(want, sizeof want,
             "[{\"role\":\"base\",\"name\":\"base\",\"sha256\":\"%s\"},"
             "{\"role\":\"ingredient\",\"name\":\"a\",\"sha256\":\"%s\",\"weight\":2.0}]",
             b, a);
    const char *got = ib_st_metadata(f, IB_PARENTS_KEY);
    CHECK(got && !strcmp(got, want));
    CHECK(!strcmp(ib_st_metadata(f, "merge.method"), "ties"));
    CHECK(!strcmp(ib_st_metadata(f, "merge.options"), "lambda=1 density=0.2"));
    CHECK(!strcmp(ib_st_metadata(f, "modelspec.merged_from"), "base, a"));
    CHECK(ib_st_metadata(f, "modelspec.title") && ib_st_metadata(f, "modelspec.architecture"));
    ib_st_close(&f);
}

static void test_compare(void) {
    ib_merge_result r = {0};
    ib_error err = {0};
    CHECK_OK(try_merge("linear", "a b a", "base", NULL, "nothing", &r, &err, "dry run", 1.0, NULL), &err);
    CHECK(!ib_is_file(in_dir("nothing")));
    CHECK_INT(r.pairs, 3);
    CHECK_INT(r.parts, 4);
    ib_adapter *a = load(in_dir("a")), *b = load(in_dir("b")), *base = load(in_dir("base"));
    double dd = 0, aa = 0, bb = 0, ab = 0, both = 0, same = 0;
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        double z = (double)ib_adapter_params(base)[i];
        double x = (double)ib_adapter_params(a)[i] - z, y = (double)ib_adapter_params(b)[i] - z;
        dd += (x - y) * (x - y);
        aa += x * x;
        bb += y * y;
        ab += x * y;
        both += x != 0 && y != 0;
        same += x * y > 0;
    }
    if (r.pairs == 3) {
        CHECK_NEAR(r.pair[0].distance, sqrt(dd), 1e-9);
        CHECK_NEAR(r.pair[0].cosine, ab / sqrt(aa * bb), 1e-9);
        CHECK_NEAR(r.pair[0].signs, same / both, 1e-12);
        CHECK_NEAR(r.part[0].norm, sqrt(aa), 1e-9);
        CHECK_NEAR(r.part[1].norm, sqrt(bb), 1e-9);
        CHECK(r.pair[1].a == 0 && r.pair[1].b == 2 && r.pair[1].distance == 0 && r.pair[1].signs == 1);
        CHECK(r.pair[2].distance == r.pair[0].distance);
    }
    ib_adapter_free(&a);
    ib_adapter_free(&b);
    ib_adapter_free(&base);
    ib_merge_result_free(&r);
}

static void save_state(const char *name, const ib_adapter *a, int64_t step, int64_t seed) {
    ib_state s = {.config = *ib_adapter_config_of(a), .step = step, .steps_total = 100};
    ib_error err = {0};
    snprintf(s.plan.preset, sizeof s.plan.preset, "toaster");
    snprintf(s.plan.optimiser, sizeof s.plan.optimiser, "sgd");
    snprintf(s.plan.data, sizeof s.plan.data, "%064d", 1);
    s.plan.batch = 8;
    s.plan.gap_min = s.plan.gap_max = 2;
    s.plan.seed = seed;
    CHECK_OK(ib_state_alloc(&s, ib_adapter_param_count(a), 0, &err), &err);
    memcpy(s.ema, ib_adapter_params((ib_adapter *)a), s.params * sizeof(float));
    memset(s.weights, 0, s.params * sizeof(float));
    CHECK_OK(ib_state_save(&s, in_dir(name), &err), &err);
    ib_state_free(&s);
}

static void test_ema(void) {
    ib_merge_result r = {0};
    ib_error err = {0};
    ib_adapter *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = load(in_dir((const char *const[]){"a", "b", "c"}[i]));
    }
    CHECK_OK(ib_mkdirs(in_dir("run/states"), &err), &err);
    save_state("run/states/step-0000000010.h5", a[0], 10, 1);
    save_state("run/states/step-0000000020.h5", a[1], 20, 1);
    save_state("run/state.h5", a[2], 30, 1);
    CHECK_OK(try_merge("ema", "run", NULL, NULL, "o", &r, &err, "decay", 0.5, NULL), &err);
    CHECK_INT(r.ingredients, 3);
    CHECK(r.parts == 3 && r.part[0].step == 10 && r.part[2].step == 30);
    ib_merge_result_free(&r);
    MERGE("linear", "a b c", NULL, ((double[]){1, 2, 4}), "o2", NULL);
    CHECK(same_model("o", "o2"));
    MERGE("ema", "run/state.h5 run/states/step-0000000020.h5 run/states/step-0000000010.h5", NULL, NULL, "o2",
          "decay", 0.5, NULL);
    CHECK(same_file("o", "o2"));
    MERGE("ema", "run", NULL, NULL, "o", "decay", 0.0, NULL);
    CHECK(same_model("o", "c"));
    MERGE("ema", "run", NULL, NULL, "o", "decay", 1.0, NULL);
    MERGE("linear", "a b c", NULL, NULL, "o2", NULL);
    CHECK(same_model("o", "o2"));
    MERGE("ema", "run", NULL, NULL, "o", "raw", 1.0, NULL);
    ib_adapter *zero = load(in_dir("o"));
    CHECK(zero && ib_adapter_params(zero)[0] == 0 && ib_adapter_params(zero)[100] == 0);
    ib_adapter_free(&zero);
    MERGE("linear", "run/state.h5 a", NULL, NULL, "o", NULL); /* states are ingredients like any other */
    MERGE("linear", "c a", NULL, NULL, "o2", NULL);
    CHECK(same_model("o", "o2"));
    CHECK_OK(ib_mkdirs(in_dir("run2/states"), &err), &err);
    save_state("run2/states/step-0000000030.h5", a[2], 30, 1);
    CHECK(!link(in_dir("run2/states/step-0000000030.h5"), in_dir("run2/state.h5")));
    CHECK_OK(try_merge("ema", "run2", NULL, NULL, "o", &r, &err, NULL), &err);
    CHECK_INT(r.ingredients, 1); /* the latest one, under both its names */
    ib_merge_result_free(&r);
    save_state("other.h5", a[1], 40, 2);
    CHECK_ERROR(try_merge("ema", "run other.h5", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH,
                "not of one run");
    CHECK_ERROR(try_merge("ema", "run run2", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "both of step 30");
    CHECK_ERROR(try_merge("ema", "a b", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH, "which run");
    CHECK_ERROR(try_merge("ema", "run/states", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_EMPTY,
                "no states");
    CHECK(!ib_is_file(in_dir("x")));
    for (int i = 0; i < 3; i++) {
        ib_adapter_free(&a[i]);
    }
}

static void test_soup(void) {
    ib_adapter_config c;
    ib_error err = {0};
    ib_merge_options o;
    ib_merge_result r = {0};
    ib_paths inputs = {0}, valid = {0};
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    for (int i = 0; i < 3;
         i++) { /* two untrained models, which interpolate along the motion, and one spoilt */
        char name[16];
        ib_adapter *a = NULL;
        snprintf(name, sizeof name, "soup-%d", i);
        CHECK_OK(ib_adapter_create(&a, &c, 1 + (uint64_t)i, &err), &err);
        for (size_t k = 0; i == 1 && k < ib_adapter_param_count(a); k++) {
            ib_adapter_params(a)[k] += 0.3f * (float)((int)(k * 7919 % 13) - 6);
        }
        save(a, in_dir(name), NULL, 0);
        CHECK_OK(ib_paths_add(&inputs, in_dir(name), &err), &err);
        ib_adapter_free(&a);
    }
    CHECK_OK(moving_write(in_dir("v.h5"), &(moving){4, 6, 30, 2, 5, NULL, false, "v.mp4", NULL}, &err), &err);
    CHECK_OK(ib_paths_add(&valid, in_dir("v.h5"), &err), &err);
    ib_merge_defaults(&o);
    o.inputs = &inputs;
    o.method = "soup";
    o.output = in_dir("soup");
    o.valid = &valid;
    CHECK_OK(ib_merge(&o, &r, &err), &err);
    CHECK(r.parts == 3 && r.part[0].kept && !r.part[1].kept && r.part[2].kept);
    CHECK(r.parts == 3 && r.skill >= r.part[0].skill && r.skill >= r.part[2].skill &&
          r.part[1].skill < r.skill);
    ib_merge_result_free(&r);
    MERGE("linear", "soup-2 soup-0", NULL, NULL, "o", NULL);
    CHECK(same_model("o", "soup"));
    char *first = inputs.v[0];
    inputs.v[0] = inputs.v[2];
    inputs.v[2] = first;
    o.output = in_dir("soup2");
    CHECK_OK(ib_merge(&o, &r, &err), &err);
    CHECK(same_file("soup", "soup2"));
    ib_merge_result_free(&r);
    CHECK_OK(ib_paths_add(&inputs, in_dir("soup-1"), &err), &err);
    CHECK_ERROR(ib_merge(&o, &r, &err), &err, IB_E_ARGUMENT, "every model once");
    ib_merge_result_free(&r);
    CHECK_OK(ib_merge_set(&o, "gap", 900, &err), &err);
    inputs.n--;
    CHECK_ERROR(ib_merge(&o, &r, &err), &err, IB_E_EMPTY, "901 frames");
    ib_merge_result_free(&r);
    inputs.n++;
    o.valid = NULL;
    CHECK_ERROR(ib_merge(&o, &r, &err), &err, IB_E_ARGUMENT, "validate");
    ib_merge_result_free(&r);
    ib_paths_free(&inputs);
    ib_paths_free(&valid);
}

/* A copy of `a` with one tensor changed as said; rank, dtype or name. */
static void write_odd(const char *name, const char *what) {
    ib_error err = {0};
    ib_st *f = NULL;
    ib_st_tensor t[64];
    ib_st_meta m[32];
    size_t n = 0, metas = 0;
    static float more[4];
    CHECK_OK(ib_st_open(&f, in_dir("a"), &err), &err);
    for (; n < ib_st_count(f); n++) {
        t[n] = *ib_st_at(f, n);
    }
    for (; metas < ib_st_metadata_count(f); metas++) {
        ib_st_metadata_at(f, metas, &m[metas].key, &m[metas].value);
        if (!strcmp(what, m[metas].key)) {
            m[metas].value = "7";
        }
    }
    if (!strcmp(what, "missing")) {
        n--;
    } else if (!strcmp(what, "foreign")) {
        t[n++] = (ib_st_tensor){
            .name = "stowaway", .dtype = IB_F32, .rank = 1, .shape = {4}, .elements = 4, .data = more};
    } else if (!strcmp(what, "dtype")) {
        t[1].dtype = IB_I32;
    } else if (!strcmp(what, "shape")) {
        t[0].shape[0] = 1;
        t[0].rank = 1;
        t[0].shape[0] = (int64_t)t[0].elements;
    }
    CHECK_OK(ib_st_write(in_dir(name), t, n, m, metas, &err), &err);
    ib_st_close(&f);
}

static void test_refusals(void) {
    static const struct {
        const char *what, *text;
        int code;
    } odd[] = {{"missing", "is missing", IB_E_FORMAT},
               {"foreign", "stowaway", IB_E_FORMAT},
               {"dtype", "I32", IB_E_UNSUPPORTED},
               {"shape", "shape", IB_E_FORMAT},
               {"inbetween.space", "belongs to the space '7'", IB_E_MISMATCH},
               {"inbetween.format", "format 7", IB_E_UNSUPPORTED},
               {"inbetween.layout", "layout", IB_E_FORMAT}};
    ib_error err = {0};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        write_odd("odd", odd[i].what);
        CHECK_ERROR(try_merge("linear", "a odd", NULL, NULL, "x", NULL, &err, NULL), &err, odd[i].code,
                    odd[i].text);
        CHECK(strstr(err.text, in_dir("odd")) != NULL);
        CHECK(try_merge("ties", "a", "odd", NULL, "x", NULL, &err, NULL) == odd[i].code);
    }
    ib_adapter_config c = config;
    c.fine = 32;
    ib_adapter *a = make(&c, 1, NULL);
    save(a, in_dir("wide"), NULL, 0);
    ib_adapter_free(&a);
    CHECK_ERROR(try_merge("linear", "a wide", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH,
                "inbetween.fine is 32, not 16");

    /* values: in an input, and only in the result */
    ib_st *f = NULL;
    CHECK_OK(ib_st_open(&f, in_dir("a"), &err), &err);
    size_t bytes;
    const char *all = ib_st_bytes(f, &bytes);
    FILE *out = fopen(in_dir("nan"), "wb");
    const float nan = NAN, huge = 3e38f;
    fwrite(all, 1, bytes - 4, out);
    fwrite(&nan, 1, 4, out);
    fclose(out);
    out = fopen(in_dir("huge"), "wb");
    fwrite(all, 1, bytes - 4, out);
    fwrite(&huge, 1, 4, out);
    fclose(out);
    out = fopen(in_dir("short"), "wb");
    fwrite(all, 1, bytes - 5, out);
    fclose(out);
    ib_st_close(&f);
    CHECK_ERROR(try_merge("linear", "a nan", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_NONFINITE,
                in_dir("nan"));
    CHECK_ERROR(try_merge("task-arithmetic", "huge", "base", NULL, "x", NULL, &err, "lambda", 5.0, NULL),
                &err, IB_E_NONFINITE, "of the result is not finite");
    CHECK_ERROR(try_merge("linear", "a short", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_FORMAT,
                in_dir("short"));
    CHECK_ERROR(try_merge("linear", "a gone", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_IO,
                in_dir("gone"));

    CHECK_ERROR(try_merge("linear", "a b", NULL, NULL, "b", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "choose another name");
    CHECK_ERROR(try_merge("linear", "a b", NULL, NULL, "no/x", NULL, &err, NULL), &err, IB_E_IO, "no/x");
    CHECK_ERROR(try_merge("linear", "a b", NULL, (double[]){1, -1}, "x", NULL, &err, NULL), &err,
                IB_E_ARGUMENT, "sum to 0");
    CHECK_ERROR(try_merge("linear", "a b", NULL, (double[]){0, 0}, "x", NULL, &err, NULL), &err,
                IB_E_ARGUMENT, "all weights are 0");
    CHECK_ERROR(try_merge("linear", "a b", NULL, (double[]){1, NAN}, "x", NULL, &err, NULL), &err,
                IB_E_ARGUMENT, "weight");
    CHECK_ERROR(try_merge("ties", "a b", "base", (double[]){1, -1}, "x", NULL, &err, NULL), &err,
                IB_E_ARGUMENT, "ties");
    CHECK_ERROR(try_merge("ties", "a b", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "needs a base");
    CHECK_ERROR(try_merge("linear", "a b", "base", NULL, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "no base");
    CHECK_ERROR(try_merge("slerp", "a b c", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "takes 2");
    CHECK_ERROR(try_merge("slerp", "a b", NULL, NULL, "x", NULL, &err, "t", 1.5, NULL), &err, IB_E_ARGUMENT,
                "t must be");
    CHECK_ERROR(try_merge("slerp", "a b", NULL, (double[]){1, 2}, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "no weights");
    CHECK_ERROR(try_merge("dare", "a", "base", NULL, "x", NULL, &err, "seed", 0.5, NULL), &err, IB_E_ARGUMENT,
                "whole");
    CHECK_ERROR(try_merge("average", "a", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_ARGUMENT,
                "soup or ema");
    CHECK_ERROR(try_merge("linear", "a", NULL, NULL, "x", NULL, &err, "shine", 1.0, NULL), &err,
                IB_E_ARGUMENT, "shine");
    CHECK(!ib_is_file(in_dir("x")) && same_model("b", "b"));
}

static void on_progress(void *user, const ib_merge_progress *p) {
    (void)p;
    atomic_store((atomic_int *)user, 1);
}

static void test_stop(void) {
    atomic_int stop = 0;
    ib_merge_options o;
    ib_merge_result r = {0};
    ib_paths inputs = {0};
    ib_error err = {0};
    CHECK_OK(ib_paths_add(&inputs, in_dir("a"), &err), &err);
    ib_merge_defaults(&o);
    o.inputs = &inputs;
    o.output = in_dir("stopped");
    o.stop = &stop;
    o.progress = on_progress;
    o.user = &stop;
    CHECK_ERROR(ib_merge(&o, &r, &err), &err, IB_E_INTERRUPTED, "nothing was written");
    CHECK(!ib_is_file(o.output));
    ib_merge_result_free(&r);
    ib_paths_free(&inputs);
}

int main(void) {
    dir = scratch_begin("merge");
    make_models();
    test_methods();
    test_to_the_bit();
    test_dare();
    test_large();
    test_metadata();
    test_compare();
    test_ema();
    test_soup();
    test_refusals();
    test_stop();
    scratch_end(dir);
    for (size_t i = 0; i < n_names; i++) {
        free(names[i]);
    }
    return check_report("test_merge");
}
