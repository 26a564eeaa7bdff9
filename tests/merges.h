/* What the tests of merging share: a scratch directory with small models "base", "a", "b", "c" and "d", and
 * merges of them by name. */
#ifndef IB_TESTS_MERGES_H
#define IB_TESTS_MERGES_H

#include <stdarg.h>
#include "adapter/adapter_file.h"
#include "base/rng.h"
#include "merge/merge.h"
#include "tests/moving.h"

static char *dir;
static ib_adapter_config config;

static char *names[512]; /* every path once, for the whole program */
static size_t n_names;

static inline const char *in_dir(const char *name) {
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
static inline ib_adapter *make(const ib_adapter_config *c, uint64_t seed, ib_adapter *like) {
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

static inline void save(const ib_adapter *a, const char *path, const ib_st_meta *meta, size_t n) {
    ib_error err = {0};
    CHECK_OK(ib_adapter_save(a, path, meta, n, &err), &err);
}

static inline ib_adapter *load(const char *path) {
    ib_adapter *a = NULL;
    ib_error err = {0};
    CHECK_OK(ib_adapter_open(&a, path, &err), &err);
    return a;
}

/* inputs: names in the scratch directory, blanks between them. Options as pairs of name and value, ended by
 * NULL. */
static inline int try_merge(const char *method, const char *inputs, const char *base, const double *weights,
                            const char *out, ib_merge_result *result, ib_error *err, ...) {
    ib_merge_options o;
    ib_paths list = {0};
    ib_merge_result mine = {0};
    char words[512], *at = words, *word;
    va_list ap;
    int rc = IB_OK;
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
    for (const char *name; !rc && (name = va_arg(ap, const char *));) {
        double value = va_arg(ap, double);
        if (!strcmp(name, "threads")) {
            o.threads = (int)value;
        } else if (!strcmp(name, "dry run")) {
            o.dry_run = true;
        } else {
            rc = ib_merge_set(&o, name, value, err);
        }
    }
    va_end(ap);
    rc = rc ? rc : ib_merge(&o, result ? result : &mine, err);
    ib_merge_result_free(&mine);
    ib_paths_free(&list);
    return rc;
}

#define MERGE(method, inputs, base, weights, out, ...)                                                       \
    do {                                                                                                     \
        ib_error err_ = {0};                                                                                 \
        CHECK_OK(try_merge(method, inputs, base, weights, out, NULL, &err_, __VA_ARGS__), &err_);            \
    } while (0)

static inline bool same_file(const char *a, const char *b) {
    char x[65] = "a", y[65] = "b";
    ib_error err = {0};
    bool same = !ib_sha256_file(in_dir(a), x, &err) && !ib_sha256_file(in_dir(b), y, &err) && !strcmp(x, y);
    if (!same) {
        printf("%s and %s differ %s\n", a, b, err.text);
    }
    return same;
}

static inline bool same_model(const char *a, const char *b) {
    ib_adapter *x = load(in_dir(a)), *y = load(in_dir(b));
    bool same =
        x && y && ib_adapter_param_count(x) == ib_adapter_param_count(y) &&
        !memcmp(ib_adapter_params(x), ib_adapter_params(y), ib_adapter_param_count(x) * sizeof(float));
    ib_adapter_free(&x);
    ib_adapter_free(&y);
    return same;
}

static inline void make_models(void) {
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

static inline void merges_begin(const char *name) {
    dir = scratch_begin(name);
    make_models();
}

static inline void merges_end(void) {
    scratch_end(dir);
    for (size_t i = 0; i < n_names; i++) {
        free(names[i]);
    }
}

#endif
