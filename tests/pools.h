/* What the tests of pools share: a scratch directory, small models, workers' files. */
#ifndef IB_TESTS_POOLS_H
#define IB_TESTS_POOLS_H

#include "base/rng.h"
#include "pool/survey.h"
#include "tests/moving.h"

static char *dir;

static inline char *in_dir(const char *name) {
    char *p = ib_join(dir, name);
    if (!p) {
        exit(1);
    }
    return p;
}

static inline ib_adapter *make_adapter(const char *space, uint64_t seed) {
    ib_adapter_config c = {.layout = IB_LAYOUT_SINGLE, .width = 8, .fine = 16, .fine_blocks = 1, .trust = 1};
    ib_adapter *a = NULL;
    ib_error err = {0};
    ib_rng rng;
    snprintf(c.space_id, sizeof c.space_id, "%s", space);
    CHECK_OK(ib_adapter_create(&a, &c, seed, &err), &err);
    ib_rng_seed(&rng, seed + 100);
    for (size_t i = 0; a && i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += 0.001f * ib_rng_normal(&rng);
    }
    return a;
}

static inline ib_member card(const char *name, int64_t serial) {
    ib_member m = {.serial = serial, .round = 3, .samples = 5000, .fresh = 800, .stream = 7, .skill = 0.1234};
    snprintf(m.name, sizeof m.name, "%s", name);
    snprintf(m.token, sizeof m.token, "token of %s", name);
    return m;
}

static inline void publish(const char *pool, const char *name, int64_t serial, const ib_adapter *a) {
    ib_member m = card(name, serial);
    ib_error err = {0};
    CHECK_OK(ib_member_write(&m, a, false, pool, NULL, &err), &err);
}

static const size_t most = 1 << 22;

static inline uint8_t *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    uint8_t *b = malloc(1 << 20);
    *n = f && b ? fread(b, 1, 1 << 20, f) : 0;
    if (f) {
        fclose(f);
    }
    return b;
}

static inline void store(const char *path, const uint8_t *b, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(b, 1, n, f) == n);
    if (f) {
        fclose(f);
    }
}

static inline bool said(const ib_pool_news *news, const char *text) {
    for (size_t i = 0; i < news->remarks; i++) {
        if (strstr(news->remark[i], text)) {
            return true;
        }
    }
    return false;
}

#endif
