/* A soup's strengths are fitted on its validation files: against a fit by hand, and what is refused. */
#include "adapter/strengths.h"
#include "base/rng.h"
#include "latent/guides.h"
#include "tests/merges.h"
#include "train/trial.h"

enum { CLIPS = 5, N = 33, D = 8, GAP = 4, WINDOWS = (N - 1) / GAP };
#define MODEL "sha256:0011223344556677889900112233445566778899001122334455667788990011 friday.safetensors"
#define OTHER "sha256:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100 monday.safetensors"

static char last[1024];

static void on_message(void *user, const char *sentence) {
    (void)user;
    snprintf(last, sizeof last, "%s", sentence);
}

/* A walk, whose guides see the truth through a little noise. model NULL: without guides. */
static void write_walk(const char *name, int seed, const char *model) {
    ib_error err = {0};
    ib_latent_info info = {.shape = {IB_LAYOUT_SINGLE, 1, 1, 1, D},
                           .fps = 10,
                           .every = 1,
                           .frame_width = 16,
                           .frame_height = 16};
    ib_latent_writer *w = NULL;
    ib_rng r;
    float z[N][D];
    ib_guide_window window[WINDOWS];
    ib_rng_seed(&r, (uint64_t)seed);
    snprintf(info.space_id, sizeof info.space_id, "test:1");
    snprintf(info.source, sizeof info.source, "%s", name);
    moving_sha(name, info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, in_dir(name), &info, &err), &err);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < D; k++) {
            z[i][k] = (i ? z[i - 1][k] : 0) + 0.3f * ib_rng_normal(&r) + (i ? 0 : 2);
        }
        CHECK_OK(ib_latent_writer_append(w, z[i], i / 10.0, !i, &err), &err);
    }
    for (size_t i = 0; i < WINDOWS; i++) {
        window[i] = (ib_guide_window){.first = i * GAP, .gap = GAP};
    }
    if (model) {
        CHECK_OK(ib_latent_writer_guides(w, model, window, WINDOWS, &err), &err);
    }
    for (size_t i = 0; model && i < WINDOWS * (GAP - 1); i++) {
        size_t frame = i / (GAP - 1) * GAP + i % (GAP - 1) + 1;
        float h[IB_GUIDE_PICTURES * D], feature[IB_GUIDE_FEATURES] = {0.1f, 0.1f, 0.2f, 0.05f, 0.1f, 0.1f};
        for (int k = 0; k < IB_GUIDE_PICTURES * D; k++) {
            h[k] = z[frame][k % D] + 0.05f * ib_rng_normal(&r);
        }
        CHECK_OK(ib_latent_writer_append_guide(w, h, feature, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
}

/* Untrained, but for the gate. */
static void make_guided(const char *name, uint64_t seed) {
    ib_adapter_config c = {.space_id = "test:1",
                           .layout = IB_LAYOUT_SINGLE,
                           .width = D,
                           .fine = 16,
                           .fine_blocks = 1,
                           .trust = 1,
                           .guide = MODEL,
                           .strengths = {1, {0.4f}, {{0.25f}, {0.5f}, {0.5f}}}};
    ib_error err = {0};
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_create(&a, &c, seed, &err), &err);
    for (size_t i = 0; a && i < ib_adapter_tensor_count(a); i++) {
        const ib_param *p = ib_adapter_tensor(a, i);
        if (!strcmp(p->name, "gate.bias")) {
            ib_adapter_params(a)[p->offset] = 0.2f; /* four fifths open */
        }
    }
    save(a, in_dir(name), NULL, 0);
    ib_adapter_free(&a);
}

static int merge_soup(const char *kind, ib_error *err) {
    ib_merge_options o;
    ib_merge_result r;
    ib_paths inputs = {0}, valid = {0};
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s-%d.h5", kind, i);
        CHECK_OK(ib_paths_add(&valid, in_dir(name), err), err);
    }
    CHECK_OK(ib_paths_add(&inputs, in_dir("one"), err), err);
    CHECK_OK(ib_paths_add(&inputs, in_dir("two"), err), err);
    ib_merge_defaults(&o);
    CHECK_OK(ib_merge_set(&o, "gap", GAP, err), err);
    o.inputs = &inputs;
    o.method = "soup";
    o.output = in_dir("soup");
    o.valid = &valid;
    o.message = on_message;
    unlink(o.output);
    int rc = ib_merge(&o, &r, err);
    ib_merge_result_free(&r);
    ib_paths_free(&inputs);
    ib_paths_free(&valid);
    return rc;
}

static void test_refit(void) {
    ib_error err = {0};
    ib_dataset *d = NULL;
    ib_trial *t = NULL;
    ib_strengths want;
    ib_paths valid = {0};
    CHECK_OK(merge_soup("guided", &err), &err);
    CHECK(strstr(last, "strengths fitted on the validation files") != NULL);
    ib_adapter *a = load(in_dir("soup"));
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "guided-%d.h5", i);
        CHECK_OK(ib_paths_add(&valid, in_dir(name), &err), &err);
    }
    CHECK_OK(ib_dataset_create(&d, 1 << 20, 2, &err), &err);
    CHECK_OK(ib_dataset_add(d, &valid, true, &err), &err);
    CHECK_OK(ib_dataset_settle(d, 0, 0, &err), &err);
    CHECK_OK(ib_trial_create(&t, d, true, 2, 16, &err), &err);
    CHECK_OK(ib_trial_run(t, a, d, 1, &err), &err);
    ib_trial_fit(t, IB_HALF_BOTH, &want);
    const ib_strengths *got = ib_adapter_strengths(a);
    CHECK_INT(got->bins, want.bins);
    CHECK(want.bins > 0);
    for (int k = 0; k < want.bins; k++) {
        CHECK_NEAR(got->gap_seconds[k], want.gap_seconds[k], 1e-6);
        for (int i = 0; i < IB_STRENGTHS; i++) {
            CHECK_NEAR(got->value[i][k], want.value[i][k], 1e-6);
        }
    }
    double skill = ib_trial_skill(t, IB_HALF_BOTH, got);
    printf("guide %.3f, skill %+.4f on the files that it was fitted on\n", (double)got->value[0][0], skill);
    CHECK(got->value[IB_STRENGTH_GUIDE][0] > 0.5f); /* it is followed further than the parents' 0.25 */
    CHECK(skill > 0);
    ib_trial_free(&t);
    ib_dataset_free(&d);
    ib_paths_free(&valid);
    ib_adapter_free(&a);
}

/* Files without guides tell nothing of them; those of another pixel model are refused. */
static void test_others(void) {
    ib_error err = {0};
    CHECK_OK(merge_soup("plain", &err), &err);
    CHECK(strstr(last, "the validation files have no guides") != NULL);
    ib_adapter *a = load(in_dir("soup"));
    CHECK_INT(a ? ib_adapter_strengths(a)->bins : 0, 1);
    CHECK_NEAR(a ? ib_adapter_strengths(a)->value[IB_STRENGTH_GUIDE][0] : 0, 0.25, 0);
    ib_adapter_free(&a);
    CHECK_ERROR(merge_soup("other", &err), &err, IB_E_MISMATCH, "monday.safetensors");
    CHECK(strstr(err.text, "friday.safetensors") != NULL);
    CHECK(!ib_is_file(in_dir("soup")));
}

int main(void) {
    merges_begin("merge-refit");
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "guided-%d.h5", i);
        write_walk(name, i, MODEL);
        snprintf(name, sizeof name, "plain-%d.h5", i);
        write_walk(name, i, NULL);
        snprintf(name, sizeof name, "other-%d.h5", i);
        write_walk(name, i, OTHER);
    }
    make_guided("one", 1);
    make_guided("two", 2);
    RUN(test_refit());
    RUN(test_others());
    merges_end();
    return check_report("test_merge_refit");
}
