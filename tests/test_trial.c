/* Strengths fitted on validation windows: they are the best ones, they are what predictions gain, and what is
 * not certain is left alone. */
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/seen.h"

#include <unistd.h>

#include "adapter/adapter_file.h"
#include "base/file.h"
#include "tests/moving.h"
#include "train/trial.h"
#include "train/trust.h"

enum { WIDTH = 32, FRAMES = 65 };
static const ib_shape single = {IB_LAYOUT_SINGLE, 1, 1, 1, WIDTH};

static ib_dataset *open_videos(int first, int n, float blur) {
    ib_error err = {0};
    ib_paths valid = {0}, other = {0};
    ib_dataset *d = NULL;
    for (int k = 0; k <= n; k++) { /* the last one trains */
        char name[64];
        seen s = {first + k, FRAMES, blur, 0, "prior:test", single};
        snprintf(name, sizeof name, "%d.h5", first + k);
        char *p = ib_join(scratch, name);
        CHECK_OK(seen_write(p, &s, &err), &err);
        CHECK_OK(ib_paths_add(k < n ? &valid : &other, p, &err), &err);
        free(p);
    }
    CHECK_OK(ib_dataset_create(&d, 1 << 24, 8, &err), &err);
    CHECK_OK(ib_dataset_add(d, &other, false, &err), &err);
    CHECK_OK(ib_dataset_add(d, &valid, true, &err), &err);
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    ib_paths_free(&valid);
    ib_paths_free(&other);
    return d;
}

/* A gate that is half open everywhere; a correction that knows nothing (shake) or is silent. */
static ib_adapter *make(float shake) {
    ib_error err = {0};
    ib_adapter_config c = {
        .layout = IB_LAYOUT_SINGLE, .trust = 1, .width = WIDTH, .fine = 16, .fine_blocks = 1};
    ib_adapter *a = NULL;
    ib_rng r;
    ib_rng_seed(&r, 4);
    snprintf(c.space_id, sizeof c.space_id, SEEN_SPACE);
    snprintf(c.guide, sizeof c.guide, "prior:test");
    CHECK_OK(ib_adapter_create(&a, &c, 3, &err), &err);
    for (size_t i = 0; a && i < ib_adapter_tensor_count(a); i++) {
        const ib_param *t = ib_adapter_tensor(a, i);
        float *p = ib_adapter_params(a) + t->offset;
        if (!strcmp(t->name, "gate.bias")) {
            p[0] = 0.125f;
        }
        for (size_t k = 0; k < t->count && !strncmp(t->name, "correction", 10); k++) {
            p[k] = shake * ib_rng_normal(&r);
        }
    }
    return a;
}

static void test_fit(void) {
    ib_error err = {0};
    ib_dataset *d = open_videos(0, 8, 2);
    ib_adapter *a = make(0);
    ib_trial *t = NULL;
    ib_strengths s, other;
    CHECK_OK(ib_trial_create(&t, d, true, 2, 16, &err), &err);
    CHECK(ib_trial_by_videos(t) && !ib_trial_empty(t));
    CHECK_OK(ib_trial_run(t, a, d, 2, &err), &err);
    ib_trial_fit(t, IB_HALF_FIT, &s);
    CHECK_INT(s.bins, 3);
    for (int k = 0; k < s.bins; k++) {
        double best = ib_trial_skill_at(t, IB_HALF_FIT, &s, k, true);
        printf("gap %.3f s: guide at %.3f, skill %.3f\n", (double)s.gap_seconds[k],
               (double)s.value[IB_STRENGTH_GUIDE][k], best);
        /* half of what is seen counts twice as much where its noise allows: 2 E / (E + noise) of it */
        CHECK_NEAR(s.value[IB_STRENGTH_GUIDE][k], 0.75, 0.2);
        CHECK(best > 0.2);
        for (int side = -1; side <= 1; side += 2) {
            other = s;
            other.value[IB_STRENGTH_GUIDE][k] += 0.15f * (float)side;
            CHECK(ib_trial_skill_at(t, IB_HALF_FIT, &other, k, true) < best + 0.002);
        }
        CHECK_NEAR(s.value[IB_STRENGTH_GUIDED][k], 0, 0); /* there is no correction */
        CHECK_NEAR(s.value[IB_STRENGTH_ALONE][k], 0, 0);
        CHECK_NEAR(ib_trial_skill_at(t, IB_HALF_FIT, &s, k, false), 0, 1e-12);
    }
    /* the mean over the gaps */
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        sum += ib_trial_skill_at(t, IB_HALF_BOTH, &s, k, true) / 3;
    }
    CHECK_NEAR(ib_trial_skill(t, IB_HALF_BOTH, &s), sum, 1e-12);
    /* threads make no difference */
    double whole = ib_trial_score(t, IB_HALF_CHOOSE);
    CHECK_OK(ib_trial_run(t, a, d, 1, &err), &err);
    CHECK_NEAR(ib_trial_score(t, IB_HALF_CHOOSE), whole, 0);
    ib_trial_free(&t);
    ib_adapter_free(&a);
    ib_dataset_free(&d);
}

/* A correction of noise, guides of noise: nothing is certain. Few videos: windows speak. */
static void test_uncertain(int videos) {
    ib_error err = {0};
    ib_dataset *d = open_videos(100, videos, 30);
    ib_adapter *a = make(0.3f);
    ib_trial *t = NULL;
    ib_strengths s;
    CHECK_OK(ib_trial_create(&t, d, true, 2, 16, &err), &err);
    CHECK_INT(ib_trial_by_videos(t), videos >= 4);
    CHECK_OK(ib_trial_run(t, a, d, 2, &err), &err);
    ib_trial_fit(t, IB_HALF_FIT, &s);
    for (int k = 0; k < s.bins; k++) {
        for (int i = 0; i < IB_STRENGTHS; i++) {
            CHECK_NEAR(s.value[i][k], 0, 0.02);
        }
    }
    /* followed wholly they would do harm, so the test could fail */
    for (int k = 0; k < s.bins; k++) {
        for (int i = 0; i < IB_STRENGTHS; i++) {
            s.value[i][k] = 1;
        }
    }
    CHECK(ib_trial_skill(t, IB_HALF_BOTH, &s) < -1);
    ib_trial_free(&t);
    ib_adapter_free(&a);
    ib_dataset_free(&d);
}

/* Of pictures: the usual trust stays where nothing is certain, and what does harm is followed less. */
static void test_pictures(int videos) {
    ib_error err = {0};
    ib_paths valid = {0}, other = {0};
    ib_dataset *d = NULL;
    for (int k = 0; k <= videos; k++) { /* the last one trains */
        char name[32], *p;
        moving m = {4, 6, 20, 0.7 + 0.2 * k, k + 1, NULL, false, name, NULL};
        snprintf(name, sizeof name, "moving%d-%d", videos, k);
        p = ib_join(scratch, name);
        CHECK_OK(moving_write(p, &m, &err), &err);
        CHECK_OK(ib_paths_add(k < videos ? &valid : &other, p, &err), &err);
        free(p);
    }
    CHECK_OK(ib_dataset_create(&d, 1 << 24, 8, &err), &err);
    CHECK_OK(ib_dataset_add(d, &other, false, &err), &err);
    CHECK_OK(ib_dataset_add(d, &valid, true, &err), &err);
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    for (int bad = 0; bad < 2; bad++) {
        ib_adapter_config c;
        ib_adapter *a = NULL;
        ib_strengths s;
        CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, 96, &c, &err), &err);
        CHECK_OK(ib_adapter_create(&a, &c, 3, &err), &err);
        ib_rng r;
        ib_rng_seed(&r, 9);
        for (size_t i = 0; bad && i < ib_adapter_tensor_count(a); i++) { /* a correction of noise */
            const ib_param *t = ib_adapter_tensor(a, i);
            for (size_t k = 0; k < t->count && !strncmp(t->name, "correction", 10); k++) {
                ib_adapter_params(a)[t->offset + k] = 0.3f * ib_rng_normal(&r);
            }
        }
        CHECK_OK(ib_trust_fit(a, d, 2, 8, 2, &s, &err), &err);
        CHECK_INT(s.bins, 3);
        for (int k = 0; k < s.bins; k++) {
            float strength = s.value[IB_STRENGTH_ALONE][k];
            printf("%d videos, %s: %.3f at %.3f s\n", videos, bad ? "noise" : "untrained", (double)strength,
                   (double)s.gap_seconds[k]);
            if (!bad) {
                CHECK_NEAR(strength, IB_ADAPTER_TRUST, 1e-6);
            } else if (videos >= 8) {
                CHECK(strength < 0.35f);
            } else {
                CHECK(strength <= (float)IB_ADAPTER_TRUST);
            }
        }
        ib_adapter_free(&a);
    }
    ib_dataset_free(&d);
    ib_paths_free(&valid);
    ib_paths_free(&other);
}

int main(void) {
    if (!make_scratch("trial")) {
        return check_skip("test_trial", "no scratch directory");
    }
    RUN(test_fit());
    RUN(test_uncertain(8));
    RUN(test_uncertain(2));
    RUN(test_pictures(2));
    RUN(test_pictures(10));
    remove_scratch();
    CHECK(access(scratch, F_OK)); /* all of it is gone */
    return check_report("test_trial");
}
