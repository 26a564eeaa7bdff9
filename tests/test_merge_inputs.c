/* Merging: what goes in and what is said of it: metadata, comparison, states of runs, models chosen by
 * validation, what is refused. */
#include <unistd.h>
#include "weights/parents.h"
#include "tests/merges.h"
#include "train/state.h"

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

static void check_strengths(const char *name, const ib_strengths *want) {
    ib_adapter *a = load(in_dir(name));
    const ib_strengths *got = a ? ib_adapter_strengths(a) : &(ib_strengths){0};
    CHECK_INT(got->bins, want->bins);
    for (int i = 0; i < want->bins; i++) {
        CHECK_NEAR(got->gap_seconds[i], want->gap_seconds[i], 0);
        for (int w = 0; w < IB_STRENGTHS; w++) {
            CHECK_NEAR(got->value[w][i], want->value[w][i], 1e-7);
        }
    }
    ib_adapter_free(&a);
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
    /* every model is tasted at its own strengths: at none the spoilt one is as the untrained, and the soup
     * too */
    ib_adapter *spoilt = load(in_dir("soup-1"));
    const ib_strengths none = {.bins = 1, .gap_seconds = {0.5f}};
    ib_adapter_set_strengths(spoilt, &none);
    save(spoilt, in_dir("soup-3"), NULL, 0);
    ib_adapter_free(&spoilt);
    char *name = inputs.v[1];
    inputs.v[1] = strdup(in_dir("soup-3"));
    o.output = in_dir("weak");
    CHECK_OK(ib_merge(&o, &r, &err), &err);
    CHECK(r.parts == 3 && r.part[1].kept);
    CHECK_NEAR(r.parts == 3 ? r.part[1].skill : 9, r.parts == 3 ? r.part[0].skill : 0, 1e-6);
    check_strengths("weak", &none);
    ib_merge_result_free(&r);
    free(inputs.v[1]);
    inputs.v[1] = name;
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

#define SHA_1 "sha256:0011223344556677889900112233445566778899001122334455667788990011"
#define SHA_2 "sha256:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static void make_guided(const char *name, uint64_t seed, const char *guide, const ib_strengths *s) {
    ib_adapter_config c = config;
    snprintf(c.guide, sizeof c.guide, "%s", guide);
    c.strengths = *s;
    ib_adapter *a = make(&c, seed, NULL);
    save(a, in_dir(name), NULL, 0);
    ib_adapter_free(&a);
}

/* One pixel model for all, and strengths that none of them is hurt by. */
static void test_guided(void) {
    const ib_strengths x = {2, {0.25f, 0.5f}, {{1, 0.5f}, {0.25f, 0}, {0.75f, 0.5f}}},
                       y = {2, {0.25f, 0.5f}, {{0.75f, 1}, {0.5f, 0.25f}, {1, 0}}},
                       low = {2, {0.25f, 0.5f}, {{0.75f, 0.5f}, {0.25f, 0}, {0.75f, 0}}}, none = {0};
    ib_error err = {0};
    make_guided("gx", 21, SHA_1 " friday.safetensors", &x);
    make_guided("gy", 22, SHA_1 " copy of friday.safetensors", &y);
    make_guided("gn", 23, SHA_1 " friday.safetensors", &none);
    make_guided("other", 24, SHA_2 " monday.safetensors", &x);
    MERGE("linear", "gx gy gn", NULL, NULL, "o", NULL);
    check_strengths("o", &low);
    MERGE("linear", "gn gy gx", NULL, NULL, "o2", NULL);
    CHECK(same_file("o", "o2"));
    ib_adapter *a = load(in_dir("o"));
    CHECK(a && !strcmp(ib_adapter_config_of(a)->guide, SHA_1 " copy of friday.safetensors"));
    ib_adapter_free(&a);
    MERGE("linear", "gx gy", NULL, ((double[]){1, 0}), "o", NULL); /* who does not count has no say */
    check_strengths("o", &x);
    MERGE("linear", "gx gx", NULL, NULL, "o", NULL);
    check_strengths("o", &x);
    MERGE("ties", "gx gy", "gn", NULL, "o", NULL);
    check_strengths("o", &low);
    MERGE("task-arithmetic", "gx", "gy", NULL, "o", "lambda", 0.0, NULL);
    check_strengths("o", &y);
    MERGE("linear", "gn gn", NULL, NULL, "o", NULL);
    check_strengths("o", &none);
    CHECK_ERROR(try_merge("linear", "gx other", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH,
                "was trained with guides of monday.safetensors (sha256 ffeeddccbbaa...), but");
    CHECK(strstr(err.text, "with guides of friday.safetensors (sha256 001122334455...)") != NULL);
    CHECK_ERROR(try_merge("ties", "gx", "other", NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH, "monday");
    CHECK_ERROR(try_merge("linear", "gx a", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH,
                "of no pixel model");
    CHECK_ERROR(try_merge("linear", "a gx", NULL, NULL, "x", NULL, &err, NULL), &err, IB_E_MISMATCH,
                "of friday.safetensors");
    CHECK(!ib_is_file(in_dir("x")));
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
    CHECK_INT(try_merge("linear", "a nan", NULL, NULL, "x", NULL, NULL, NULL),
              IB_E_NONFINITE); /* also unheard */
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
    merges_begin("merge-inputs");
    RUN(test_metadata());
    RUN(test_compare());
    RUN(test_ema());
    RUN(test_soup());
    RUN(test_guided());
    RUN(test_refusals());
    RUN(test_stop());
    merges_end();
    return check_report("test_merge_inputs");
}
