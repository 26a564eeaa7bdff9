/* Files of every format that is read, as the first version that wrote them made them: they open for ever, and
 * mean the same. A format that changes gets a new file here, and the old one a place among those that are
 * refused in a sentence. build/test_golden --write     writes those of the present formats anew latents-1.h5:
 * frames of a scene of tools/scenes.c at 48x32. The others are made below. */
#include <math.h>
#include "adapter/adapter.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/latent_file.h"
#include "pool/member.h"
#include "search/judge.h"
#include "tests/check.h"
#include "train/state.h"

static const char latents[] = "tests/golden/latents-1.h5", adapter[] = "tests/golden/adapter-2.safetensors",
                  state[] = "tests/golden/state-4.h5", pool[] = "tests/golden",
                  member[] = "tests/golden/member-2.safetensors",
                  judge[] = "tests/golden/judge-2.safetensors";

/* A model whose heads say something. */
static ib_adapter *make_model(const ib_adapter_config *c) {
    ib_adapter *a = NULL;
    ib_error err;
    ib_rng r;
    CHECK_OK(ib_adapter_create(&a, c, 1, &err), &err);
    ib_rng_seed(&r, 2);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += 0.05f * ib_rng_normal(&r);
    }
    ib_adapter_refresh(a);
    return a;
}

static const ib_adapter_config grid = {.space_id = "patch:dct8+4:v1",
                                       .layout = IB_LAYOUT_GRID,
                                       .width = 96,
                                       .fine = 16,
                                       .coarse = 16,
                                       .fine_blocks = 1,
                                       .coarse_blocks = 1,
                                       .motion = true,
                                       .trust = 0.75},
                               single = {.space_id = "vectors:test",
                                         .layout = IB_LAYOUT_SINGLE,
                                         .width = 8,
                                         .fine = 16,
                                         .fine_blocks = 1,
                                         .trust = 1};

static void write_judge(void) {
    ib_error err;
    ib_rng r;
    ib_search_judge *j = ib_calloc(1, sizeof *j);
    ib_rng_seed(&r, 3);
    snprintf(j->space_id, sizeof j->space_id, "vectors:test");
    snprintf(j->kind, sizeof j->kind, "both");
    snprintf(j->guide, sizeof j->guide, "prior:motion:2");
    j->temperature = 0.7f;
    for (size_t i = 0; i < IB_JUDGE_INPUTS; i++) {
        j->mean[i] = 0.1f * ib_rng_normal(&r);
        j->scale[i] = 0.5f + ib_rng_float(&r);
    }
    for (size_t i = 0; i < IB_JUDGE_PARAMS; i++) {
        j->params[i] = 0.1f * ib_rng_normal(&r);
    }
    CHECK_OK(ib_search_judge_save(j, judge, &err), &err);
    ib_search_judge_free(&j);
}

static void write_all(void) {
    ib_error err;
    ib_adapter *a = make_model(&grid), *b = make_model(&single);
    const ib_st_meta meta[] = {{"train.steps", "12"}};
    CHECK_OK(ib_adapter_save_as(a, adapter, IB_F16, meta, 1, &err), &err);
    ib_member m = {
        .name = "member-2", .serial = 4, .round = 5, .samples = 600, .fresh = 70, .stream = 8, .skill = 0.25};
    snprintf(m.token, sizeof m.token, "0123456789abcdef0123456789abcdef");
    CHECK_OK(ib_member_write(&m, b, true, pool, NULL, &err), &err);
    ib_state s = {.config = grid,
                  .plan = {.preset = "toaster",
                           .optimiser = "muon",
                           .data = "0123",
                           .batch = 8,
                           .rate = 1e-3,
                           .gap_min = 2,
                           .gap_max = 16,
                           .seed = 5},
                  .step = 12,
                  .samples = 96};
    CHECK_OK(ib_state_alloc(&s, 5, 2, &err), &err);
    for (int i = 0; i < 5; i++) {
        s.weights[i] = (float)i;
        s.ema[i] = s.moment[0][i] = s.moment[1][i] = 0.5f * (float)i;
    }
    CHECK_OK(ib_state_save(&s, state, &err), &err);
    ib_state_free(&s);
    ib_adapter_free(&a);
    ib_adapter_free(&b);
    write_judge();
}

/* Sums that notice a value that changes or moves. */
static void sums_of(const float *z, size_t n, double *sum, double *weighted) {
    *sum = *weighted = 0;
    for (size_t i = 0; i < n; i++) {
        *sum += (double)z[i];
        *weighted += (double)z[i] * (double)(i % 101) / 101;
    }
}

static void check_sums(const char *what, const float *z, size_t n, double sum, double weighted) {
    double s, w;
    sums_of(z, n, &s, &w);
    printf("%s: %.6f %.6f\n", what, s, w);
    CHECK_NEAR(s, sum, 2e-3);
    CHECK_NEAR(w, weighted, 2e-3);
}

static void test_prediction(void) {
    ib_error err;
    ib_latent_file *f = NULL;
    ib_adapter *a = NULL;
    ib_adapter_work *w = NULL;
    CHECK_OK(ib_latent_open(&f, latents, &err), &err);
    CHECK_OK(ib_adapter_open(&a, adapter, &err), &err);
    if (!f || !a) {
        return;
    }
    const ib_latent_info *info = ib_latent_info_of(f);
    size_t n = info->shape.tokens * info->shape.width;
    CHECK_INT(info->frames, 9);
    CHECK_NEAR(ib_adapter_trust_of(a), 0.75, 0);
    float *z = ib_calloc(4 * n, 4);
    CHECK_OK(ib_latent_read(f, 0, 1, z, &err), &err);
    CHECK_OK(ib_latent_read(f, 4, 1, z + n, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &info->shape, 1, false, &err), &err);
    const ib_between in[] = {{z, z + n, 0.25f, 0.16f}, {z, z + n, 0.75f, 0.16f}};
    CHECK_OK(ib_adapter_predict(a, w, &in[0], 1, z + 2 * n, &err), &err);
    CHECK_OK(ib_adapter_predict(a, w, &in[1], 1, z + 3 * n, &err), &err);
    check_sums("frame 0", z, n, 94.591600, 48.343508);
    check_sums("frame 4", z + n, n, 98.023191, 50.458106);
    check_sums("in-between at 1/4", z + 2 * n, n, 95.464197, 48.936020);
    check_sums("in-between at 3/4", z + 3 * n, n, 97.678107, 50.212993);
    ib_free(z);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_latent_close(&f);
}

/* Of an earlier motion estimate; of an earlier form of state. */
static void test_refused(void) {
    ib_error err;
    ib_adapter *a = NULL;
    CHECK_INT(ib_adapter_open(&a, "tests/golden/adapter-2-motion-1.safetensors", &err), IB_E_UNSUPPORTED);
    CHECK(strstr(err.text, "between:2 motion:1") && strstr(err.text, "motion:2") &&
          strstr(err.text, "train it anew"));
    ib_adapter_free(&a);
    ib_state s = {0};
    CHECK_ERROR(ib_state_load(&s, "tests/golden/state-3.h5", &err), &err, IB_E_UNSUPPORTED,
                "begin a new run");
    ib_state_free(&s);
}

static void test_state_and_member(void) {
    ib_error err;
    ib_state s;
    ib_member m;
    CHECK_OK(ib_state_load(&s, state, &err), &err);
    CHECK(s.step == 12 && s.samples == 96 && s.params == 5 && s.moments == 2 && s.config.fine == 16);
    CHECK(s.params == 5 && s.weights[4] == 4 && s.moment[1][2] == 1);
    ib_state_free(&s);
    CHECK_OK(ib_member_read(&m, member, 1 << 20, &err), &err);
    CHECK(m.serial == 4 && m.round == 5 && m.samples == 600 && m.fresh == 70 && m.stream == 8);
    CHECK_NEAR(m.skill, 0.25, 0);
    ib_member_free(&m);
}

/* What its inputs mean is named in the file (IB_JUDGE_ID); here it scores any. */
static void test_judge(void) {
    enum { ROWS = 50 };
    ib_error err;
    ib_search_judge *j = NULL;
    CHECK_OK(ib_search_judge_open(&j, judge, &err), &err);
    if (!j) {
        return;
    }
    CHECK(!strcmp(j->space_id, "vectors:test") && !strcmp(j->kind, "both") &&
          !strcmp(j->guide, "prior:motion:2") && !*j->adapter_sha256);
    CHECK_NEAR(j->temperature, 0.7, 1e-6);
    size_t n = (size_t)ROWS * IB_JUDGE_INPUTS;
    float *x = ib_calloc(n + ROWS + ib_judge_scratch(ROWS), sizeof *x), *score = x + n;
    for (size_t i = 0; i < n; i++) {
        x[i] = sinf((float)i);
    }
    ib_judge_score(j, x, ROWS, score + ROWS, score);
    check_sums("scores", score, ROWS, -3.707436, -1.021808);
    ib_free(x);
    ib_search_judge_free(&j);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--write")) {
        write_all();
    }
    RUN(test_prediction());
    RUN(test_refused());
    RUN(test_state_and_member());
    RUN(test_judge());
    return check_report("test_golden");
}
