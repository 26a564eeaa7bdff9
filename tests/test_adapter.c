/* The in-between model: finite differences through all of it, what holds by construction, its file. */
#include "tests/check.h"
#include "tests/gradients.h"

#include <unistd.h>

#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "nn/gemm.h"

static const char space[] = "patch:dct8+4:v1";

static ib_adapter *make(ib_layout layout, int width, bool motion, int fine_blocks, int coarse_blocks,
                        float shake, ib_error *err) {
    ib_adapter_config c = {.layout = layout,
                           .trust = IB_ADAPTER_TRUST,
                           .width = width,
                           .fine = 16,
                           .coarse = coarse_blocks ? 32 : 0,
                           .fine_blocks = fine_blocks,
                           .coarse_blocks = coarse_blocks,
                           .motion = motion};
    snprintf(c.space_id, sizeof c.space_id, "%s", layout == IB_LAYOUT_GRID ? space : "vectors:test");
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_create(&a, &c, 3, err), err);
    ib_rng r;
    ib_rng_seed(&r, 5);
    for (size_t i = 0; a && i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += shake * ib_rng_normal(&r);
    }
    if (a) {
        ib_adapter_refresh(a);
    }
    return a;
}

static void test_gradients(void) {
    ib_error err;
    ib_shape shape = {IB_LAYOUT_GRID, 3, 5, 15, 96};
    sample s[2] = {make_sample(3, 5, 0.3f, 1), make_sample(3, 5, 0.75f, 2)};
    ib_between in[2] = {{s[0].z0, s[0].z1, 0.3f, 0.2f}, {s[1].z0, s[1].z1, 0.75f, 0.6f}};
    const float *target[2] = {s[0].target, s[1].target};
    const uint64_t seeds[2] = {17, 18};
    ib_dropout drop = {0.3f, seeds};
    ib_adapter *a = make(IB_LAYOUT_GRID, 96, true, 1, 2, 0.05f, &err);
    finite_differences(a, &shape, in, target, 2, NULL, 0.03);
    finite_differences(a, &shape, in, target, 2, &drop, 0.03);
    ib_adapter_free(&a);
    a = make(IB_LAYOUT_GRID, 96, false, 2, 0, 0.05f, &err);
    finite_differences(a, &shape, in, target, 2, NULL, 0.02);
    ib_adapter_free(&a);
    /* the single layout: the same numbers read as separate vectors */
    ib_shape one = {IB_LAYOUT_SINGLE, 1, 1, 1, 96};
    ib_between vector[3];
    const float *aims[3];
    for (int i = 0; i < 3; i++) {
        vector[i] = (ib_between){s[0].z0 + 96 * i, s[0].z1 + 96 * i, 0.2f + 0.3f * (float)i, 0.5f};
        aims[i] = s[0].target + 96 * i;
    }
    a = make(IB_LAYOUT_SINGLE, 96, false, 1, 0, 0.05f, &err);
    finite_differences(a, &one, vector, aims, 3, NULL, 0.02);
    ib_adapter_free(&a);
    /* and as sequences: a square of patches after a token for the whole, and one that is no square */
    ib_shape sequences[] = {{IB_LAYOUT_SEQUENCE, 1, 10, 10, 96}, {IB_LAYOUT_SEQUENCE, 1, 15, 15, 96}};
    for (int i = 0; i < 2; i++) {
        a = make(IB_LAYOUT_SEQUENCE, 96, false, 1 + i, 0, 0.05f, &err);
        finite_differences(a, &sequences[i], in, target, 2, i ? NULL : &drop, 0.02);
        ib_adapter_free(&a);
    }
    free_sample(&s[0]);
    free_sample(&s[1]);
}

/* The loss against its formula, from the answer and from slerp. */
static void test_loss(bool motion) {
    enum { ROWS = 3, COLS = 4, TOKENS = ROWS * COLS, N = TOKENS * 96 };
    ib_error err;
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, TOKENS, 96};
    sample s = make_sample(ROWS, COLS, 0.4f, 3);
    ib_between in = {s.z0, s.z1, 0.4f, 0.2f};
    const float *target = s.target;
    ib_adapter *a = make(IB_LAYOUT_GRID, 96, motion, 1, 0, motion ? 0.02f : 0.2f, &err);
    ib_adapter_work *w = NULL;
    ib_sample_loss l = {0};
    float *z = ib_calloc(N, 4), *slerp = ib_calloc(N, 4);
    double model = 0, straight = 2e-6 * N;
    CHECK_ERROR(ib_adapter_work_create(&w, a, &shape, 1, true, &err), &err, IB_E_ARGUMENT, "that trains");
    CHECK_OK(ib_adapter_trains(a, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, true, &err), &err);
    ib_ordered ordered = ib_order(&in, N);
    ib_adapter_trust(a, 1); /* as it learns */
    CHECK_OK(ib_model_predict(a, w, &ordered, 1, 0, &z, &err), &err);
    CHECK_OK(ib_adapter_learn(a, w, &in, &target, 1, 1, 0, NULL, &l, &err), &err);
    ib_slerp_in(ib_geometry_of(space), s.z0, s.z1, 0.4f, TOKENS, 96, slerp);
    for (size_t i = 0; i < N; i++) {
        model += ((double)z[i] - target[i]) * ((double)z[i] - target[i]);
        straight += ((double)slerp[i] - target[i]) * ((double)slerp[i] - target[i]);
    }
    double left = model / straight, bent = log(1 + 10 * left) / log(11), expected = motion ? bent : left;
    CHECK(fabs(bent - left) > 0.01); /* else the two forms agree and nothing is tested */
    CHECK_NEAR(l.loss, expected, 1e-4 * expected);
    CHECK_NEAR(l.err_model, model, 1e-4 * model);
    ib_free(z);
    ib_free(slerp);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    free_sample(&s);
}

/* What predictions owe to training: nothing without trust, all of it with trust, and by itself something
 * between. */
static void test_trust(ib_layout layout, bool motion) {
    enum { ROWS = 3, COLS = 4, N = 96 * ROWS * COLS };
    ib_error err;
    ib_shape shape = {layout, motion ? ROWS : 1, motion ? COLS : N / 96, N / 96, 96};
    sample s = make_sample(ROWS, COLS, 0.4f, 3);
    ib_between in = {s.z0, s.z1, 0.3f, 0.2f};
    const double trust[] = {0, IB_ADAPTER_TRUST, 1, -5, 7};
    float *z = ib_calloc(7 * N, 4);
    for (int i = 0; i < 7; i++) { /* the last two: untrained; as it comes */
        ib_adapter *a = make(layout, 96, motion, 1, 0, i == 5 ? 0 : 0.02f, &err);
        ib_adapter_work *w = NULL;
        if (i < 5) {
            ib_adapter_trust(a, trust[i]);
        }
        CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, false, &err), &err);
        CHECK_OK(ib_adapter_predict(a, w, &in, 1, z + i * N, &err), &err);
        ib_adapter_work_free(&w);
        ib_adapter_free(&a);
    }
    const float *none = z, *some = z + N, *all = z + 2 * N, *untrained = z + 5 * N;
    /* by itself: what the file says with a motion head, else all of it */
    CHECK_INT(memcmp(motion ? some : all, z + 6 * N, N * 4), 0);
    CHECK_INT(memcmp(none, z + 3 * N, N * 4), 0);
    CHECK_INT(memcmp(all, z + 4 * N, N * 4), 0);
    CHECK(worst(all, untrained, N) > 1e-3);
    CHECK_NEAR(worst(none, untrained, N), 0, 1e-6);
    CHECK(worst(some, untrained, N) < worst(all, untrained, N));
    CHECK(worst(some, all, N) > 1e-4 && worst(some, untrained, N) > 1e-4);
    ib_free(z);
    free_sample(&s);
}

/* What holds whatever the weights are. */
static void test_construction(ib_layout layout, bool motion) {
    ib_error err;
    bool grid = layout == IB_LAYOUT_GRID;
    enum { ROWS = 4, COLS = 5, N = 96 * ROWS * COLS };
    ib_shape shape = {layout, grid ? ROWS : 1, grid ? COLS : N / 96, N / 96, 96};
    sample s = make_sample(ROWS, COLS, 0.4f, 3);
    ib_adapter *a = make(layout, 96, motion, 1, grid, 0.1f, &err);
    ib_adapter_work *w = NULL;
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, false, &err), &err);
    float *z = ib_calloc(N, 4), *y = ib_calloc(N, 4);
    ib_between in = {s.z0, s.z1, 0, 0.3f};
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK_INT(memcmp(z, s.z0, N * 4), 0);
    in.t = 1;
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK_INT(memcmp(z, s.z1, N * 4), 0);
    /* near the ends the in-between tends to the keyframe */
    in.t = 1e-5f;
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK_NEAR(worst(z, s.z0, N), 0, 2e-3);
    /* forward and backward in time: the same bits */
    const float times[] = {0.2f, 0.5f, 0.7f};
    for (int k = 0; k < 3; k++) {
        ib_between back = {s.z1, s.z0, 1.0f - times[k], 0.3f};
        in.t = times[k];
        CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
        CHECK_OK(ib_adapter_predict(a, w, &back, 1, y, &err), &err);
        CHECK_NEAR(worst(z, y, N), 0, k == 0 ? 1e-5 : 0);
        CHECK(worst(z, s.z0, N) > 1e-3);
    }
    /* silent when the keyframes agree, as a whole ... */
    ib_between same = {s.z0, s.z0, 0.4f, 0.3f};
    CHECK_OK(ib_adapter_predict(a, w, &same, 1, z, &err), &err);
    CHECK_INT(memcmp(z, s.z0, N * 4), 0);
    /* ... and where they do: only the first token's block differs, what lies far from it stays as it is */
    memcpy(y, s.z0, N * 4);
    y[0] += 1;
    ib_between near = {s.z0, y, 0.4f, 0.3f};
    CHECK_OK(ib_adapter_predict(a, w, &near, 1, z, &err), &err);
    size_t far = 96 * (COLS * 3 + 3);
    CHECK_NEAR(worst(z + far, s.z0 + far, 96), 0, 2e-6);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    /* untrained: the correction is silent; without the motion head that leaves slerp */
    a = make(layout, 96, motion, 1, grid, 0, &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, false, &err), &err);
    in.t = 0.4f;
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    ib_slerp_in(ib_geometry_of(space), s.z0, s.z1, 0.4f, ROWS * COLS, 96, y);
    if (!motion) {
        CHECK_INT(memcmp(z, y, N * 4), 0);
    } else { /* block matching alone beats slerp on a plain pan */
        double model = 0, slerp = 0;
        for (size_t i = 0; i < N; i++) {
            model += (z[i] - s.target[i]) * (z[i] - s.target[i]);
            slerp += (y[i] - s.target[i]) * (y[i] - s.target[i]);
        }
        CHECK(model < 0.7 * slerp);
        printf("untrained on a pan: squared error %.3g, slerp %.3g\n", model, slerp);
    }
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_free(z);
    ib_free(y);
    free_sample(&s);
}

/* Every place has features of its own, within [-1,1]; in a square those of a column agree from row to row. */
static void test_position(void) {
    enum { F = IB_POSITION_FEATURES };
    static const size_t lengths[] = {2, 10, 50, 77, 256, 257};
    float f[257][F];
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        double nearest = 1e9, most = 0;
        for (size_t i = 0; i < lengths[k]; i++) {
            ib_position_features(i, lengths[k], f[i]);
            for (size_t j = 0; j < F; j++) {
                most = fmax(most, fabs((double)f[i][j]));
            }
            for (size_t j = 0; j < i; j++) {
                nearest = fmin(nearest, worst(f[i], f[j], F));
            }
        }
        CHECK(nearest > 0.01);
        CHECK(most <= 1);
    }
    CHECK_NEAR(worst(f[1 + 3] + F / 2 + 1, f[1 + 16 + 3] + F / 2 + 1, F / 2), 0, 0);
    CHECK(f[0][0] == 1 && f[1][0] == 0);
}

static void test_overfit(ib_layout layout) {
    ib_error err;
    enum { ROWS = 4, COLS = 6 };
    bool grid = layout == IB_LAYOUT_GRID;
    ib_shape shape = {layout, grid ? ROWS : 1, grid ? COLS : ROWS * COLS, ROWS * COLS, 96};
    sample s = make_sample(ROWS, COLS, 0.5f, 9);
    ib_adapter *a = make(layout, 96, grid, 1, grid, 0, &err);
    ib_adapter_work *w = NULL;
    CHECK_OK(ib_adapter_trains(a, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, true, &err), &err);
    size_t n = ib_adapter_param_count(a);
    float *g = ib_calloc(n, 4), *m = ib_calloc(n, 4), *v = ib_calloc(n, 4), *p = ib_adapter_params(a);
    ib_between in = {s.z0, s.z1, 0.5f, 0.3f};
    const float *target = s.target;
    ib_sample_loss l = {0};
    double first = 0;
    for (int step = 1; step <= 250; step++) {
        memset(g, 0, n * 4);
        CHECK_OK(ib_adapter_learn(a, w, &in, &target, 1, 1, 0, NULL, &l, &err), &err);
        ib_adapter_collect(a, w, g);
        for (size_t i = 0; i < n; i++) {
            m[i] = 0.9f * m[i] + 0.1f * g[i];
            v[i] = 0.99f * v[i] + 0.01f * g[i] * g[i];
            p[i] -= 2e-3f * m[i] / (1 - powf(0.9f, (float)step)) /
                    (sqrtf(v[i] / (1 - powf(0.99f, (float)step))) + 1e-8f);
        }
        ib_adapter_refresh(a);
        first = step == 1 ? 1 - l.err_model / l.err_slerp : first;
    }
    double skill = 1 - l.err_model / l.err_slerp;
    printf("overfitting one window, %s: skill %.3f at first, %.3f after 250 steps\n", ib_layout_name(layout),
           first, skill);
    CHECK(skill > 0.97);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_free(g);
    ib_free(m);
    ib_free(v);
    free_sample(&s);
}

static void test_file(void) {
    ib_error err;
    char dir[] = "/tmp/ib-adapter-XXXXXX", path[64];
    if (!mkdtemp(dir)) {
        CHECK(!"mkdtemp");
        return;
    }
    snprintf(path, sizeof path, "%s/a.safetensors", dir);
    ib_adapter *a = make(IB_LAYOUT_GRID, 96, true, 1, 1, 0.1f, &err), *b = NULL;
    ib_st_meta meta = {"inbetween.note", "test"};
    CHECK_OK(ib_adapter_save(a, path, &meta, 1, &err), &err);
    CHECK_OK(ib_adapter_open(&b, path, &err), &err);
    if (b) {
        CHECK_INT(ib_adapter_param_count(b), ib_adapter_param_count(a));
        CHECK_INT(memcmp(ib_adapter_params(a), ib_adapter_params(b), ib_adapter_param_count(a) * 4), 0);
        CHECK_OK(ib_adapter_check_space(b, space, "the test", &err), &err);
        CHECK_ERROR(ib_adapter_check_space(b, "clip:x", "the test", &err), &err, IB_E_MISMATCH, "clip:x");
        ib_shape wrong = {IB_LAYOUT_SINGLE, 1, 1, 1, 96};
        ib_adapter_work *w = NULL;
        CHECK_ERROR(ib_adapter_work_create(&w, b, &wrong, 1, false, &err), &err, IB_E_MISMATCH, "single");
        ib_adapter_free(&b);
    }
    /* a number that is not finite is neither written nor read */
    unlink(path);
    ib_adapter_params(a)[5] = NAN;
    CHECK_ERROR(ib_adapter_save(a, path, NULL, 0, &err), &err, IB_E_NONFINITE, "not finite");
    CHECK(access(path, F_OK) != 0);
    CHECK_ERROR(ib_adapter_open(&b, path, &err), &err, IB_E_IO, "a.safetensors");
    ib_adapter_free(&a);
    rmdir(dir);
}

static void test_refusals(void) {
    ib_error err;
    ib_adapter *a = NULL;
    ib_adapter_config c = {
        .layout = IB_LAYOUT_GRID, .width = 96, .fine = 16, .fine_blocks = 1, .motion = true};
    c.fine = 17;
    CHECK_ERROR(ib_adapter_create(&a, &c, 1, &err), &err, IB_E_ARGUMENT, "multiple of 16");
    c.fine = 16;
    c.width = 95;
    CHECK_ERROR(ib_adapter_create(&a, &c, 1, &err), &err, IB_E_ARGUMENT, "motion");
    c.layout = IB_LAYOUT_SEQUENCE;
    CHECK_ERROR(ib_adapter_create(&a, &c, 1, &err), &err, IB_E_ARGUMENT, "grid");
    CHECK_ERROR(ib_adapter_preset("huge", space, IB_LAYOUT_GRID, 96, &c, &err), &err, IB_E_ARGUMENT,
                "toaster");
    const char *names[] = {"toaster", "default", "large"};
    for (int i = 0; i < 3; i++) {
        for (ib_layout l = IB_LAYOUT_GRID; l <= IB_LAYOUT_SINGLE; l++) {
            int width = l == IB_LAYOUT_GRID ? 96 : l == IB_LAYOUT_SINGLE ? 768 : 1280;
            CHECK_OK(ib_adapter_preset(names[i], l == IB_LAYOUT_GRID ? space : "vectors", l, width, &c, &err),
                     &err);
            CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
            printf("%s, %s: %zu parameters\n", names[i], ib_layout_name(l),
                   a ? ib_adapter_param_count(a) : 0);
            ib_adapter_free(&a);
        }
    }
}

int main(void) {
    ib_gemm_one_thread();
    RUN(test_gradients());
    RUN(test_loss(true));
    RUN(test_loss(false));
    RUN(test_position());
    RUN(test_trust(IB_LAYOUT_GRID, true));
    RUN(test_trust(IB_LAYOUT_SEQUENCE, false));
    RUN(test_construction(IB_LAYOUT_GRID, true));
    RUN(test_construction(IB_LAYOUT_GRID, false));
    RUN(test_construction(IB_LAYOUT_SEQUENCE, false));
    RUN(test_overfit(IB_LAYOUT_GRID));
    RUN(test_overfit(IB_LAYOUT_SEQUENCE));
    RUN(test_file());
    RUN(test_refusals());
    return check_report("test_adapter");
}
