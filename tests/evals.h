/* What the tests of the evaluation share: requests, planted latent files, adapters. */
#ifndef IB_TESTS_EVALS_H
#define IB_TESTS_EVALS_H

#include <math.h>
#include "adapter/adapter.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "latent/geometry.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/moving.h"

enum { ROWS = 4, COLS = 6, TOKENS = ROWS * COLS, VALUES = TOKENS * IB_PATCH_D };

static inline ib_paths list(const char *const *v, size_t n) {
    ib_paths l = {0};
    ib_error err;
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(ib_paths_add(&l, v[i], &err), &err);
    }
    return l;
}

typedef struct request {
    ib_eval_options o;
    ib_paths inputs, adapters;
} request;

static inline request ask(const char *const *inputs, size_t n, const char *adapter) {
    request q = {.inputs = list(inputs, n), .adapters = list(&adapter, adapter != NULL)};
    ib_eval_defaults(&q.o);
    q.o.threads = 2;
    return q;
}

/* Releases the request. */
static inline int answer(request *q, ib_eval_report *r, ib_error *err) {
    *err = (ib_error){0};
    q->o.inputs = &q->inputs;
    q->o.adapters = &q->adapters;
    int rc = ib_eval(&q->o, r, err);
    ib_paths_free(&q->inputs);
    ib_paths_free(&q->adapters);
    return rc;
}

static inline int eval_one(const char *path, const char *adapter, ib_eval_report *r, ib_error *err) {
    request q = ask(&path, 1, adapter);
    return answer(&q, r, err);
}

/* A figure of a method in a clip; NaN if there is no such method. */
static inline double figure_of(const ib_eval_report *r, size_t gap, size_t clip, const char *method,
                               int figure) {
    for (size_t m = 0; m < r->methods; m++) {
        if (!strcmp(r->method[m].name, method)) {
            return r->gap[gap].clip[clip].score[m].figure[figure];
        }
    }
    return NAN;
}

typedef void (*frame_maker)(const float *a, const float *b, int k, int gap, float *z);

/* Windows of `gap` frames end to end between latents that are alike, but for every twelfth token, which is
 * random, filled by `make`. */
static inline void write_path(const char *path, const char *video, int gap, int windows, frame_maker make) {
    ib_latent_info info = {.fps = 25, .every = 1, .matrix = IB_MATRIX_BT601, .space_id = MOVING_SPACE};
    ib_latent_writer *w = NULL;
    ib_error err;
    ib_rng rng;
    float *key = ib_calloc((size_t)(windows + 1) * VALUES, sizeof *key), *z = ib_calloc(VALUES, sizeof *z);
    ib_rng_seed(&rng, 5);
    for (int i = 0; i < (windows + 1) * VALUES; i++) {
        float other = 0.3f * ib_rng_normal(&rng);
        key[i] = i < VALUES || i / IB_PATCH_D % TOKENS % 12 == 0 ? other : key[i - VALUES];
    }
    info.shape = (ib_shape){IB_LAYOUT_GRID, ROWS, COLS, TOKENS, IB_PATCH_D};
    info.frame_width = 8 * COLS;
    info.frame_height = 8 * ROWS;
    snprintf(info.source, sizeof info.source, "%s", video);
    moving_sha(video, info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, path, &info, &err), &err);
    for (int i = 0; i <= gap * windows; i++) {
        const float *a = key + (size_t)(i / gap) * VALUES;
        make(a, i % gap ? a + VALUES : a, i % gap, gap, z);
        CHECK_OK(ib_latent_writer_append(w, z, i / 25.0, false, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
    ib_free(key);
    ib_free(z);
}

static inline void on_line(const float *a, const float *b, int k, int gap, float *z) {
    ib_lerp(a, b, (float)k / (float)gap, VALUES, z);
}

static inline void on_circle(const float *a, const float *b, int k, int gap, float *z) {
    ib_slerp_in(ib_geometry_of(MOVING_SPACE), a, b, (float)k / (float)gap, TOKENS, IB_PATCH_D, z);
}

static inline void on_hold(const float *a, const float *b, int k, int gap, float *z) {
    (void)b;
    (void)k;
    (void)gap;
    memcpy(z, a, VALUES * sizeof *z);
}

static inline void write_moving(const char *path, const char *video, size_t frames, double speed,
                                const char *cuts) {
    moving m = {ROWS, COLS, frames, speed, 3, cuts, false, video, NULL};
    ib_error err;
    CHECK_OK(moving_write(path, &m, &err), &err);
}

static inline void write_adapter(const char *path, const char *space, uint64_t seed) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err;
    CHECK_OK(ib_adapter_preset("toaster", space, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, seed, &err), &err);
    float *p = ib_adapter_params(a);
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        p[i] += 0.01f * ib_rng_normal(&rng);
    }
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

#endif
