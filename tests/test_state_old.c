/* States of other formats, features and procedures are refused with both names: made from a fresh one by
 * changing what it says of itself. */
#include <hdf5.h>
#include "base/seal.h"
#include "latent/hdf5.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "train/state.h"

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

static void reopen(const char *path, void (*change)(hid_t file, const char *name, const char *text),
                   const char *name, const char *text) {
    ib_error err = {0};
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    change(file, name, text);
    CHECK(H5Fclose(file) >= 0);
    CHECK_OK(ib_seal_write(path, &err), &err);
}

static void set_number(hid_t file, const char *name, const char *text) {
    int value = atoi(text);
    hid_t a = H5Aopen(file, name, H5P_DEFAULT);
    CHECK(H5Awrite(a, H5T_NATIVE_INT, &value) >= 0 && H5Aclose(a) >= 0);
}

static void set_text(hid_t file, const char *name, const char *text) {
    CHECK(H5Adelete(file, name) >= 0);
    CHECK(ib_hdf5_put_text(file, name, text) == 0);
}

static void drop(hid_t file, const char *name, const char *text) {
    (void)text;
    CHECK(H5Adelete(file, name) >= 0);
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
    static const char *const needed[] = {"pool_name", "pool_serial", "others_samples", "init",
                                         "trust",     "features",    "geometry",       "procedure"};
    static const char *const ways[] = {"features", "geometry", "procedure"};
    if (!make_scratch("state_old")) {
        return check_skip("test_state_old", "no scratch directory");
    }
    ib_error err = {0};
    ib_state s;
    const char *path = in_scratch("state.h5");
    save(path);
    CHECK_OK(ib_state_load(&s, path, &err), &err);
    check_common(&s);
    ib_state_free(&s);
    for (int version = 1; version <= 5; version += version == 3 ? 2 : 1) {
        char text[8];
        snprintf(text, sizeof text, "%d", version % 10);
        save(path);
        reopen(path, set_number, "format_version", text);
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_UNSUPPORTED, "this version reads format 4");
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_UNSUPPORTED, text);
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        save(path);
        reopen(path, drop, needed[i], NULL);
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_FORMAT, needed[i]);
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        save(path);
        reopen(path, set_text, ways[i], "another:9");
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_UNSUPPORTED, ways[i]);
        CHECK_ERROR(ib_state_load(&s, path, &err), &err, IB_E_UNSUPPORTED, "another:9");
    }
    remove_scratch();
    return check_report("test_state_old");
}
