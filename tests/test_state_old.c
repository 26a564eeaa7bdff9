/* States of version 1, which knew nothing of pools and clusters: made from a fresh one by removing what
 * came later. */
#include <hdf5.h>
#include "base/seal.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "train/state.h"

static const char *const since_2[] = {"pool_name",  "pool_token",  "pool_serial",   "pool_round",
                                      "pool_fresh", "pool_stream", "others_samples"};
static const char *const optional[] = {"init", "init_name"};

static void save(const char *path) {
    ib_error err = {0};
    ib_state s = {
        .config = {.space_id = "patch:8x8:1:192x112", .layout = IB_LAYOUT_GRID, .width = 96, .fine = 48},
        .plan = {.preset = "toaster",
                 .optimiser = "adamw",
                 .data = "0123",
                 .init = "4567",
                 .init_name = "other.safetensors",
                 .batch = 16,
                 .rate = 1e-3,
                 .gap_min = 2,
                 .gap_max = 16,
                 .seed = -5},
        .pool = {.name = "mine", .token = "89ab", .serial = 4, .round = 5, .fresh = 6, .stream = 7},
        .step = 12,
        .samples = 99,
        .others_samples = 8,
        .err_slerp = 0.75};
    CHECK_OK(ib_state_alloc(&s, 3, 1, &err), &err);
    for (int i = 0; i < 3; i++) {
        s.weights[i] = s.ema[i] = s.moment[0][i] = (float)i;
    }
    CHECK_OK(ib_state_save(&s, path, &err), &err);
    ib_state_free(&s);
}

/* Says that the file is of `version`, without these attributes. */
static void change(const char *path, int version, const char *const *without, size_t n) {
    ib_error err = {0};
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), a = H5Aopen(file, "format_version", H5P_DEFAULT);
    CHECK(H5Awrite(a, H5T_NATIVE_INT, &version) >= 0 && H5Aclose(a) >= 0);
    for (size_t i = 0; i < n; i++) {
        CHECK(H5Adelete(file, without[i]) >= 0);
    }
    CHECK(H5Fclose(file) >= 0);
    CHECK_OK(ib_seal_write(path, &err), &err);
}

static void check_common(const ib_state *s) {
    CHECK_INT(s->config.width, 96);
    CHECK_INT(s->plan.seed, -5);
    CHECK_INT(s->step, 12);
    CHECK_INT(s->samples, 99);
    CHECK_NEAR(s->err_slerp, 0.75, 0);
    CHECK(s->params == 3 && s->moments == 1 && s->weights[2] == 2 && s->moment[0][1] == 1);
}

int main(void) {
    enum { SINCE_2 = sizeof since_2 / sizeof *since_2, OPTIONAL = sizeof optional / sizeof *optional };
    if (!make_scratch("state_old")) {
        return check_skip("test_state_old", "no scratch directory");
    }
    ib_error err = {0};
    ib_state s;
    const char *path = in_scratch("state.h5");
    save(path);
    change(path, 1, since_2, SINCE_2);
    CHECK_OK(ib_state_load(&s, path, &err), &err);
    check_common(&s);
    CHECK(!*s.pool.name && !*s.pool.token && !s.pool.serial && !s.pool.stream && !s.others_samples);
    CHECK(!strcmp(s.plan.init, "4567"));
    ib_state_free(&s);

    change(path, 1, optional, OPTIONAL);
    CHECK_OK(ib_state_load(&s, path, &err), &err);
    check_common(&s);
    CHECK(!*s.plan.init && !*s.plan.init_name);
    ib_state_free(&s);

    for (size_t i = 0; i < SINCE_2; i++) { /* of version 2 each must be there */
        save(path);
        change(path, 2, &since_2[i], 1);
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_FORMAT, since_2[i]);
    }
    save(path);
    change(path, 3, NULL, 0);
    CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_UNSUPPORTED, "version 3");
    remove_scratch();
    return check_report("test_state_old");
}
