/* Guides in the in-between model: the gate's gradients, where it begins, what holds by construction, and the
 * strengths that a file holds. */
#include "tests/check.h"
#include "tests/gradients.h"

#include "adapter/adapter_file.h"
#include "latent/geometry.h"
#include "nn/gemm.h"
#include <unistd.h>

enum { TOKENS = 15, N = 96 * TOKENS };

static ib_adapter *make(ib_layout layout, float shake) {
    ib_error err;
    ib_adapter_config c = {.layout = layout, .trust = 1, .width = 96, .fine = 32, .fine_blocks = 1};
    ib_adapter *a = NULL;
    snprintf(c.space_id, sizeof c.space_id, "vectors:test");
    snprintf(c.guide, sizeof c.guide, "prior:test");
    CHECK_OK(ib_adapter_create(&a, &c, 3, &err), &err);
    ib_rng r;
    ib_rng_seed(&r, 5);
    for (size_t i = 0; a && i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += shake * ib_rng_normal(&r);
    }
    return a;
}

/* Two pictures as one guide. */
static float *guide_of(const float *first, const float *last, size_t n) {
    float *h = ib_calloc(2 * n, 4);
    memcpy(h, first, n * 4);
    memcpy(h + n, last, n * 4);
    return h;
}

static ib_shape shape_of(ib_layout layout) {
    bool single = layout == IB_LAYOUT_SINGLE;
    return (ib_shape){layout, 1, single ? 1 : TOKENS, single ? 1 : TOKENS, 96};
}

/* What a pixel model might say of its picture; the first two belong to the keyframes. */
static const float doubts[IB_GUIDE_FEATURES] = {0.02f, 0.05f, 0.06f, 0.01f, 0.03f, 0.04f, 0.01f, 0.1f},
                   turned[IB_GUIDE_FEATURES] = {0.05f, 0.02f, 0.06f, 0.01f, 0.03f, 0.04f, 0.01f, 0.1f};

static float *find(ib_adapter *a, const char *name, float *values) {
    for (size_t i = 0; i < ib_adapter_tensor_count(a); i++) {
        const ib_param *t = ib_adapter_tensor(a, i);
        if (!strcmp(t->name, name)) {
            return values + t->offset;
        }
    }
    CHECK(!"the tensor is there");
    return values;
}

/* The first of its two values opens the gate. */
static float *bias_of(ib_adapter *a, float *values) {
    return find(a, "gate.bias", values);
}

/* Everywhere: at its ends the gate's gradient is not the loss's. */
static void open_halfway(ib_adapter *a) {
    float *weight = find(a, "gate.weight", ib_adapter_params(a));
    for (int i = 0; i < 2 * 32; i++) {
        weight[i] *= 0.1f;
    }
    *bias_of(a, ib_adapter_params(a)) = 0.12f;
}

static void test_gradients(ib_layout layout) {
    ib_shape shape = shape_of(layout);
    sample s[2] = {make_sample(3, 5, 0.3f, 1), make_sample(3, 5, 0.75f, 2)};
    ib_between in[3];
    const float *target[3];
    for (int i = 0; i < 3; i++) { /* the last one has no guide */
        const sample *p = &s[i % 2];
        in[i] = (ib_between){.z0 = p->z0, .z1 = p->z1, .t = i ? 0.75f : 0.3f, .gap_seconds = 0.3f};
        target[i] = p->target;
        in[i].feature = i < 2 ? doubts : NULL;
    }
    float *h[2];
    for (int i = 0; i < 2; i++) {
        h[i] = guide_of(s[1 - i].target, s[i].z0, shape.tokens * 96);
        in[i].guide = h[i];
    }
    ib_adapter *a = make(layout, 0.03f);
    open_halfway(a);
    finite_differences(a, &shape, in, target, 3, NULL, 0.03);
    ib_adapter_free(&a);
    ib_free(h[0]);
    ib_free(h[1]);
    free_sample(&s[0]);
    free_sample(&s[1]);
}

/* Untrained, the guide is not followed, and yet the gate learns that it is good, or that it is bad. */
static void test_begins_closed(ib_layout layout) {
    ib_error err;
    ib_shape shape = shape_of(layout);
    size_t n = shape.tokens * 96;
    sample s = make_sample(3, 5, 0.3f, 1);
    ib_adapter *a = make(layout, 0);
    ib_adapter_work *w = NULL;
    float *h = guide_of(s.target, s.target, n);
    ib_between in = {s.z0, s.z1, 0.3f, 0.3f, h, doubts};
    const float *target = s.target;
    ib_sample_loss loss;
    float z[N], slerp[N], *g = ib_calloc(ib_adapter_param_count(a), 4);
    CHECK_OK(ib_adapter_trains(a, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, true, &err), &err);
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    ib_slerp_in(ib_geometry_of("vectors:test"), s.z0, s.z1, 0.3f, n / 96, 96, slerp);
    CHECK_INT(memcmp(z, slerp, n * 4), 0);
    CHECK_NEAR(ib_adapter_gate(w, 0), 0, 0);
    CHECK_OK(ib_adapter_learn(a, w, &in, &target, 1, 1, 0, NULL, &loss, &err), &err);
    ib_adapter_collect(a, w, g);
    CHECK(*bias_of(a, g) < -1e-3f); /* down the gradient the gate opens */
    /* a guide on the other side of slerp: the gate stays closed */
    for (size_t i = 0; i < n; i++) {
        h[i] = h[n + i] = 2 * slerp[i] - s.target[i];
    }
    memset(g, 0, ib_adapter_param_count(a) * sizeof *g);
    CHECK_OK(ib_adapter_learn(a, w, &in, &target, 1, 1, 0, NULL, &loss, &err), &err);
    ib_adapter_collect(a, w, g);
    CHECK_NEAR(*bias_of(a, g), 0, layout == IB_LAYOUT_SINGLE ? 0 : 1e-3);
    ib_free(g);
    ib_free(h);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    free_sample(&s);
}

static void test_follows(ib_layout layout) {
    ib_error err;
    ib_shape shape = shape_of(layout);
    size_t n = shape.tokens * 96;
    sample s = make_sample(3, 5, 0.3f, 1), other = make_sample(3, 5, 0.6f, 7);
    ib_adapter *a = make(layout, 0);
    ib_adapter_work *w = NULL;
    float z[N], y[N], slerp[N], *h = guide_of(other.target, other.z0, n);
    ib_between in = {s.z0, s.z1, 0.3f, 0.3f, h, doubts},
               alone = {.z0 = s.z0, .z1 = s.z1, .t = 0.3f, .gap_seconds = 0.3f};
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, false, &err), &err);
    ib_slerp_in(ib_geometry_of("vectors:test"), s.z0, s.z1, 0.3f, n / 96, 96, slerp);
    /* wide open: the guide itself; half open: half the way */
    const float bias[] = {1, 0.125f}, follow[] = {1, 0.5f};
    for (int k = 0; k < 2; k++) {
        *bias_of(a, ib_adapter_params(a)) = bias[k];
        CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
        CHECK_NEAR(ib_adapter_gate(w, 0), follow[k], 1e-6);
        for (size_t i = 0; i < n; i++) {
            float seen = 0.7f * other.target[i] + 0.3f * other.z0[i]; /* by nearness */
            y[i] = slerp[i] + follow[k] * (seen - slerp[i]);
        }
        CHECK_NEAR(worst(z, y, n), 0, 1e-5);
    }
    /* strength and trust multiply; 0.3 s lies halfway from 0.1 s to 0.9 s */
    ib_strengths strengths = {2, {0.1f, 0.9f}, {{1, 0.5f}, {1, 1}, {1, 1}}};
    ib_adapter_set_strengths(a, &strengths);
    ib_adapter_trust(a, 0.5);
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK_NEAR(ib_adapter_gate(w, 0), 0.5 * 0.5 * 0.75, 1e-6);
    ib_adapter_set_strengths(a, NULL);
    ib_adapter_trust(a, 1);
    /* without a guide: slerp, the correction being silent; at the keyframes: themselves */
    CHECK_OK(ib_adapter_predict(a, w, &alone, 1, z, &err), &err);
    CHECK_INT(memcmp(z, slerp, n * 4), 0);
    CHECK_NEAR(ib_adapter_gate(w, 0), 0, 0);
    in.t = 1;
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK_INT(memcmp(z, s.z1, n * 4), 0);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_free(h);
    free_sample(&s);
    free_sample(&other);
}

/* Whatever the weights are. */
/* 0: the answer without a guide; 2: twice as far from it; the gate is said as it is. */
static void test_scale(ib_layout layout) {
    ib_error err;
    ib_shape shape = shape_of(layout);
    size_t n = shape.tokens * 96;
    sample s = make_sample(3, 5, 0.3f, 1);
    ib_adapter *a = make(layout, 0.03f);
    ib_adapter_work *w = NULL;
    float *h = guide_of(s.target, s.target, n), *z = ib_calloc(8 * n, 4);
    ib_between in[2] = {{s.z0, s.z1, 0.3f, 0.3f, h, doubts}, {s.z0, s.z1, 0.3f, 0.3f, NULL, NULL}};
    open_halfway(a);
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 2, false, &err), &err);
    CHECK_OK(ib_adapter_predict(a, w, in, 2, z, &err), &err);
    float gate = ib_adapter_gate(w, 0);
    CHECK(gate > 0.1f);
    ib_adapter_guide_scale(a, 0);
    CHECK_OK(ib_adapter_predict(a, w, in, 2, z + 2 * n, &err), &err);
    ib_adapter_guide_scale(a, 2);
    CHECK_OK(ib_adapter_predict(a, w, in, 2, z + 4 * n, &err), &err);
    CHECK_NEAR(ib_adapter_gate(w, 0), gate, 0);
    double far = 0;
    for (size_t i = 0; i < n; i++) {
        float with = z[i], without = z[n + i];
        CHECK_NEAR(z[2 * n + i], without, 1e-5);
        CHECK_NEAR(z[4 * n + i], without + 2 * (with - without), 1e-4);
        CHECK(z[3 * n + i] == without && z[5 * n + i] == without);
        far += fabs((double)(with - without));
    }
    CHECK(far > 0);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_free(h);
    ib_free(z);
    free_sample(&s);
}

static void test_turned(ib_layout layout) {
    ib_error err;
    ib_shape shape = shape_of(layout);
    size_t n = shape.tokens * 96;
    sample s = make_sample(3, 5, 0.3f, 1), other = make_sample(3, 5, 0.6f, 7);
    ib_adapter *a = make(layout, 0.1f);
    ib_adapter_work *w = NULL;
    float z[N], y[N], *h = guide_of(other.target, other.z0, n),
                      *turned_h = guide_of(other.z0, other.target, n);
    ib_between in = {s.z0, s.z1, 0.3f, 0.3f, h, doubts}, back = {s.z1, s.z0, 0.7f, 0.3f, turned_h, turned};
    open_halfway(a);
    CHECK_OK(ib_adapter_work_create(&w, a, &shape, 1, false, &err), &err);
    CHECK_OK(ib_adapter_predict(a, w, &in, 1, z, &err), &err);
    CHECK(ib_adapter_gate(w, 0) > 0.01f && ib_adapter_gate(w, 0) < 0.99f);
    CHECK_OK(ib_adapter_predict(a, w, &back, 1, y, &err), &err);
    CHECK_NEAR(worst(z, y, n), 0, 2e-5);
    /* with its features the wrong way round it is another answer: else nothing was tested */
    back.feature = doubts;
    CHECK_OK(ib_adapter_predict(a, w, &back, 1, y, &err), &err);
    CHECK(worst(z, y, n) > 1e-4);
    back.feature = turned;
    back.guide = h;
    CHECK_OK(ib_adapter_predict(a, w, &back, 1, y, &err), &err);
    CHECK(worst(z, y, n) > 1e-4);
    back.feature = NULL;
    CHECK_ERROR(ib_adapter_predict(a, w, &back, 1, y, &err), &err, IB_E_ARGUMENT, "features");
    ib_free(turned_h);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_free(h);
    free_sample(&s);
    free_sample(&other);
}

/* Between and beyond the bins, and as text. */
static void test_strengths(void) {
    ib_strengths s = {3, {0.1f, 0.2f, 0.8f}, {{0.9f, 0.5f, 0.2f}, {0, 1, 0}, {1, 1, 0.5f}}}, back;
    char text[IB_STRENGTHS_TEXT];
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_GUIDE, 0.01f, false), 0.9, 1e-6);
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_GUIDE, 0.2f, false), 0.5, 1e-6);
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_GUIDE, 0.4f, false), 0.35, 1e-6);
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_ALONE, 1.6f, false), 0, 1e-6);
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_ALONE, 1.6f, true), 0.5, 1e-6);
    CHECK_NEAR(ib_strength_at(&s, IB_STRENGTH_ALONE, 1e5f, false), 0, 0);
    CHECK_NEAR(ib_strength_at(&(ib_strengths){0}, IB_STRENGTH_GUIDE, 0.3f, false), 1, 0);
    ib_strengths_write(&s, text);
    CHECK(ib_strengths_read(text, &back));
    CHECK_INT(memcmp(&s, &back, sizeof s), 0);
    const char *const bad[] = {
        "",          "0.1 1 1",     "0.1 1 1 2", "0.1 1 1 -0.1", "0.2 1 1 1; 0.1 1 1 1",
        "nan 1 1 1", "0.1 1 1 1 x", "0 1 1 1",   "0.1 1 1 1;"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!ib_strengths_read(bad[i], &back));
    }
}

/* The file keeps the guide's model and the strengths; models with other guides do not mix. */
static void test_file(void) {
    ib_error err;
    char path[64];
    snprintf(path, sizeof path, "test_gate.%d.safetensors", (int)getpid());
    ib_adapter *a = make(IB_LAYOUT_SINGLE, 0.1f), *b = NULL;
    ib_strengths strengths = {2, {0.1f, 0.9f}, {{1, 0.5f}, {0, 0.25f}, {1, 1}}};
    ib_adapter_set_strengths(a, &strengths);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    CHECK_OK(ib_adapter_open(&b, path, &err), &err);
    ib_adapter_config c = *ib_adapter_config_of(a), d = *ib_adapter_config_of(b);
    CHECK(!strcmp(d.guide, "prior:test"));
    CHECK_INT(memcmp(&d.strengths, &strengths, sizeof strengths), 0);
    CHECK_NEAR(ib_adapter_trust_of(b), 1, 0);
    CHECK_OK(ib_adapter_check_same(&c, "one", &d, "two", &err), &err);
    d.strengths.bins = 0; /* no part of the architecture */
    CHECK_OK(ib_adapter_check_same(&c, "one", &d, "two", &err), &err);
    snprintf(d.guide, sizeof d.guide, "sha256:12 friday.safetensors");
    CHECK_ERROR(ib_adapter_check_same(&c, "one", &d, "two", &err), &err, IB_E_MISMATCH,
                "friday.safetensors, but one with guides of prior (test)");
    *d.guide = 0;
    CHECK_ERROR(ib_adapter_check_same(&c, "one", &d, "two", &err), &err, IB_E_MISMATCH, "no pixel model");
    CHECK(ib_guide_same_model("sha256:12 a", "sha256:12 b") && !ib_guide_same_model("sha256:12", "sha256:1"));
    remove(path);
    ib_adapter_free(&a);
    ib_adapter_free(&b);
}

int main(void) {
    ib_gemm_one_thread();
    const ib_layout layouts[] = {IB_LAYOUT_SINGLE, IB_LAYOUT_SEQUENCE};
    for (size_t i = 0; i < 2; i++) {
        RUN(test_gradients(layouts[i]));
        RUN(test_begins_closed(layouts[i]));
        RUN(test_follows(layouts[i]));
        RUN(test_scale(layouts[i]));
        RUN(test_turned(layouts[i]));
    }
    RUN(test_strengths());
    RUN(test_file());
    return check_report("test_gate");
}
