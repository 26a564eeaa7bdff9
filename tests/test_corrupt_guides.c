/* Guides in latent files: written and read back, refused when they are out of place, and damaged ones refused
 * with a sentence or read as they were written; never a crash, a hang or a large allocation. */
#include <hdf5.h>
#include "base/memory.h"
#include "latent/guides.h"
#include "tests/corrupt.h"

enum { CASES = 2500, LARGEST = 4 << 20, FRAMES = 20, CUT = 11, T = 2, D = 5, N = T * D, PICTURES = 2 };

static const ib_guide_window good_windows[] = {{0, 2, 0}, {4, 2, 1}, {0, 5, 2}, {11, 5, 6}, {11, 8, 10}};
enum { WINDOWS = 5, GUIDES = 1 + 1 + 4 + 4 + 7 };

static float guide_value(size_t guide, size_t i) {
    return (float)((guide * 31 + i * 7) % 400 + 1) / 32;
}

static float feature_value(size_t guide, int k) {
    return 0.01f * (float)(guide + 1) + 0.1f * (float)k;
}

static int begin_file(ib_latent_writer **w, const char *path, ib_error *err) {
    ib_latent_info info = {.space_id = "test:space",
                           .fps = 25,
                           .every = 1,
                           .frame_width = 16,
                           .frame_height = 16,
                           .source = "clip.mp4",
                           .shape = {IB_LAYOUT_SEQUENCE, 1, T, T, D}};
    float z[N] = {0};
    int rc = ib_latent_writer_create(w, path, &info, err);
    for (size_t f = 0; f < FRAMES && !rc; f++) {
        z[0] = (float)f;
        rc = ib_latent_writer_append(*w, z, (double)f, f == CUT, err);
    }
    return rc;
}

/* order: numbers of the guides as they come; NULL: appended */
static void write_good(const char *path, const size_t *order) {
    ib_error err = {0};
    ib_latent_writer *w = NULL;
    CHECK_OK(begin_file(&w, path, &err), &err);
    CHECK_OK(ib_latent_writer_guides(w, "prior:test", good_windows, WINDOWS, &err), &err);
    for (size_t i = 0; i < GUIDES; i++) {
        size_t g = order ? order[i] : i;
        float z[PICTURES * N], feature[IB_GUIDE_FEATURES];
        for (size_t k = 0; k < PICTURES * N; k++) {
            z[k] = guide_value(g, k);
        }
        for (int k = 0; k < IB_GUIDE_FEATURES; k++) {
            feature[k] = feature_value(g, k);
        }
        CHECK_OK(order ? ib_latent_writer_put_guide(w, g, z, feature, &err)
                       : ib_latent_writer_append_guide(w, z, feature, &err),
                 &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
    ib_latent_writer_abort(&w);
}

/* ---- round trip ---- */

static void check_content(const char *path) {
    ib_error err = {0};
    ib_latent_file *f = NULL;
    CHECK_OK(ib_latent_open(&f, path, &err), &err);
    const ib_guide_table *t = f ? ib_latent_guides(f) : NULL;
    CHECK(t != NULL);
    if (!t) {
        return;
    }
    CHECK(!strcmp(t->model, "prior:test"));
    CHECK_INT(t->windows, WINDOWS);
    CHECK_INT(t->guides, GUIDES);
    for (size_t i = 0; i < WINDOWS; i++) {
        const ib_guide_window *a = &good_windows[i], *b = &t->window[i];
        CHECK(a->first == b->first && a->gap == b->gap && a->at == b->at);
        CHECK(ib_guide_window_at(t, a->gap, a->first) == b);
    }
    const ib_guide_window *five = NULL;
    CHECK_INT(ib_guide_windows(t, 5, &five), 2);
    CHECK(five == t->window + 2 && !ib_guide_window_at(t, 5, 1) && !ib_guide_window_at(t, 3, 0));
    CHECK_INT(ib_guide_windows(t, 4, &five), 0);
    float z[3 * PICTURES * N];
    for (size_t g = 0; g + 3 <= GUIDES; g++) {
        CHECK_OK(ib_latent_read_guides(f, g, 3, z, &err), &err);
        for (size_t i = 0; i < 3 * PICTURES * N; i++) {
            CHECK_NEAR(z[i], guide_value(g + i / (PICTURES * N), i % (PICTURES * N)), 0);
        }
        for (int k = 0; k < IB_GUIDE_FEATURES; k++) {
            CHECK_NEAR(t->feature[g * IB_GUIDE_FEATURES + (size_t)k], feature_value(g, k), 0);
        }
    }
    CHECK(ib_latent_read_guides(f, GUIDES - 1, 2, z, &err) < 0);
    ib_latent_close(&f);
}

static void test_round_trip(const char *dir) {
    char one[512], two[512];
    size_t order[GUIDES], size[2] = {0};
    snprintf(one, sizeof one, "%s/one.h5", dir);
    snprintf(two, sizeof two, "%s/two.h5", dir);
    for (size_t i = 0; i < GUIDES; i++) {
        order[i] = i * 7 % GUIDES; /* 7 and 17 have no common divisor */
    }
    write_good(one, NULL);
    write_good(two, order);
    check_content(one);
    check_content(two);
    uint8_t *a = corrupt_load(one, &size[0]), *b = corrupt_load(two, &size[1]);
    CHECK_INT(size[0], size[1]);
    free(a);
    free(b);
}

/* ---- what a writer refuses ---- */

static void refuse_windows(const char *path, const ib_guide_window *w, size_t n, const char *model,
                           const char *says) {
    ib_error err = {0};
    ib_latent_writer *out = NULL;
    CHECK_OK(begin_file(&out, path, &err), &err);
    CHECK_ERROR(ib_latent_writer_guides(out, model, w, n, &err), &err, IB_E_ARGUMENT, says);
    ib_latent_writer_abort(&out);
}

static void test_writer(const char *dir) {
    char path[512], model[200];
    ib_error err = {0};
    ib_latent_writer *w = NULL;
    float z[PICTURES * N] = {0}, feature[IB_GUIDE_FEATURES] = {0};
    snprintf(path, sizeof path, "%s/no.h5", dir);
    memset(model, 'm', sizeof model);
    model[199] = 0;
    refuse_windows(path, (ib_guide_window[]){{0, 5, 0}, {0, 4, 0}}, 2, "m", "out of order");
    refuse_windows(path, (ib_guide_window[]){{4, 4, 0}, {0, 4, 0}}, 2, "m", "out of order");
    refuse_windows(path, (ib_guide_window[]){{4, 4, 0}, {4, 4, 0}}, 2, "m", "out of order");
    refuse_windows(path, (ib_guide_window[]){{8, 4, 0}}, 1, "m", "across a cut");
    refuse_windows(path, (ib_guide_window[]){{16, 4, 0}}, 1, "m", "outside");
    refuse_windows(path, (ib_guide_window[]){{0, 1, 0}}, 1, "m", "outside");
    refuse_windows(path, (ib_guide_window[]){{SIZE_MAX, 4, 0}}, 1, "m", "outside");
    refuse_windows(path, good_windows, WINDOWS, "", "model");
    refuse_windows(path, good_windows, WINDOWS, model, "model");
    CHECK_OK(begin_file(&w, path, &err), &err);
    CHECK_OK(ib_latent_writer_guides(w, "m", good_windows, 1, &err), &err);
    feature[2] = -1;
    CHECK_ERROR(ib_latent_writer_append_guide(w, z, feature, &err), &err, IB_E_NONFINITE, "guide 0");
    feature[2] = 0;
    z[PICTURES * N - 1] = NAN;
    CHECK_ERROR(ib_latent_writer_append_guide(w, z, feature, &err), &err, IB_E_NONFINITE, "guide 0");
    z[PICTURES * N - 1] = 0;
    CHECK_ERROR(ib_latent_writer_put_guide(w, 1, z, feature, &err), &err, IB_E_ARGUMENT, "one more");
    CHECK_OK(ib_latent_writer_put_guide(w, 0, z, feature, &err), &err);
    CHECK_ERROR(ib_latent_writer_put_guide(w, 0, z, feature, &err), &err, IB_E_ARGUMENT, "twice");
    CHECK_ERROR(ib_latent_writer_append_guide(w, z, feature, &err), &err, IB_E_ARGUMENT, "one more");
    ib_latent_writer_abort(&w);
    CHECK_OK(begin_file(&w, path, &err), &err);
    CHECK_OK(ib_latent_writer_guides(w, "m", good_windows, WINDOWS, &err), &err);
    CHECK_OK(ib_latent_writer_append_guide(w, z, feature, &err), &err);
    CHECK_ERROR(ib_latent_writer_finish(&w, &err), &err, IB_E_ARGUMENT, "1 of 17 guides");
    FILE *f = fopen(path, "r");
    CHECK(!f);
}

/* ---- files that HDF5 finds valid and that are not ours ---- */

static void replace_int(hid_t g, const char *name, int64_t v) {
    hid_t s = H5Screate(H5S_SCALAR);
    H5Adelete(g, name);
    hid_t a = H5Acreate2(g, name, H5T_STD_I64LE, s, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(a >= 0 && H5Awrite(a, H5T_NATIVE_INT64, &v) >= 0);
    H5Aclose(a);
    H5Sclose(s);
}

static void replace_set(hid_t g, const char *name, hid_t type, int rank, const hsize_t *size,
                        const hsize_t *chunk) {
    hid_t s = H5Screate_simple(rank, size, NULL), p = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(p, rank, chunk);
    H5Ldelete(g, name, H5P_DEFAULT);
    hid_t d = H5Dcreate2(g, name, type, s, H5P_DEFAULT, p, H5P_DEFAULT);
    CHECK(d >= 0);
    H5Dclose(d);
    H5Pclose(p);
    H5Sclose(s);
}

static void put_values(hid_t g, const char *name, hid_t type, const void *values) {
    hid_t d = H5Dopen2(g, name, H5P_DEFAULT);
    CHECK(H5Dwrite(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(d);
}

static void put_window(hid_t g, size_t i, int32_t first, int32_t gap) {
    int32_t w[WINDOWS][2];
    for (size_t k = 0; k < WINDOWS; k++) {
        w[k][0] = k == i ? first : (int32_t)good_windows[k].first;
        w[k][1] = k == i ? gap : good_windows[k].gap;
    }
    put_values(g, "windows", H5T_NATIVE_INT32, w);
}

static void put_feature(hid_t g, float v) {
    float f[GUIDES * IB_GUIDE_FEATURES] = {0};
    f[IB_GUIDE_FEATURES + 3] = v;
    put_values(g, "features", H5T_NATIVE_FLOAT, f);
}

static const struct {
    int code;
    const char *says;
} hostile[] = {
    {IB_E_UNSUPPORTED, "version 2"},
    {IB_E_FORMAT, "'version'"},
    {IB_E_FORMAT, "'model'"},
    {IB_E_FORMAT, "'windows' is missing"},
    {IB_E_FORMAT, "'latents' is missing"},
    {IB_E_FORMAT, "'features' is missing"},
    {IB_E_FORMAT, "out of order"},
    {IB_E_FORMAT, "across a cut"},
    {IB_E_FORMAT, "outside"},
    {IB_E_FORMAT, "outside"},
    {IB_E_FORMAT, "outside"},
    {IB_E_FORMAT, "expected 34 x 2 x 5"},
    {IB_E_FORMAT, "incomplete"},
    {IB_E_FORMAT, "expected N x 2"},
    {IB_E_FORMAT, "17 x 8"},
    {IB_E_NONFINITE, "guide 1"},
    {IB_E_NONFINITE, "guide 1"},
    {IB_E_FORMAT, "guides"},
    {IB_E_FORMAT, "guides"},
};

static void make_hostile(hid_t f, size_t k) {
    hid_t g = H5Gopen2(f, "guides", H5P_DEFAULT), d = H5Dopen2(g, "latents", H5P_DEFAULT),
          half = H5Dget_type(d);
    const hsize_t row[3] = {1, T, D}, few[3] = {GUIDES, T, D}, all[3] = {2 * GUIDES, T, D};
    H5Dclose(d);
    switch (k) {
    case 0:
        replace_int(g, "version", 2);
        break;
    case 1:
        replace_int(g, "version", -1);
        break;
    case 2:
        H5Adelete(g, "model");
        break;
    case 3:
        H5Ldelete(g, "windows", H5P_DEFAULT);
        break;
    case 4:
        H5Ldelete(g, "latents", H5P_DEFAULT);
        break;
    case 5:
        H5Ldelete(g, "features", H5P_DEFAULT);
        break;
    case 6:
        put_window(g, 1, 0, 2);
        break;
    case 7:
        put_window(g, 1, CUT - 1, 2);
        break;
    case 8:
        put_window(g, 4, INT32_MAX, 8);
        break;
    case 9:
        put_window(g, 0, -1, 2);
        break;
    case 10:
        put_window(g, 0, 0, 0);
        break;
    case 11: /* one picture a guide */
        replace_set(g, "latents", half, 3, few, row);
        break;
    case 12: /* nothing was written */
        replace_set(g, "latents", half, 3, all, row);
        break;
    case 13:
        replace_set(g, "windows", H5T_STD_I32LE, 2, (const hsize_t[]){WINDOWS, 3}, (const hsize_t[]){1, 2});
        break;
    case 14:
        replace_set(g, "features", H5T_IEEE_F32LE, 2, (const hsize_t[]){GUIDES + 1, IB_GUIDE_FEATURES},
                    (const hsize_t[]){1, IB_GUIDE_FEATURES});
        break;
    case 15:
        put_feature(g, NAN);
        break;
    case 16:
        put_feature(g, -1);
        break;
    case 17: /* a data set in its place */
        H5Ldelete(f, "guides", H5P_DEFAULT);
        H5Ocopy(f, "cut", f, "guides", H5P_DEFAULT, H5P_DEFAULT);
        break;
    default:
        H5Ldelete(f, "guides", H5P_DEFAULT);
        H5Lcreate_external("elsewhere.h5", "guides", f, "guides", H5P_DEFAULT, H5P_DEFAULT);
    }
    H5Tclose(half);
    H5Gclose(g);
}

static void test_hostile(const char *dir) {
    char good[512], bad[512];
    size_t size = 0;
    ib_error err = {0};
    ib_latent_file *f = NULL;
    snprintf(good, sizeof good, "%s/good.h5", dir);
    snprintf(bad, sizeof bad, "%s/bad.h5", dir);
    write_good(good, NULL);
    uint8_t *bytes = corrupt_load(good, &size);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    for (size_t k = 0; k < sizeof hostile / sizeof *hostile; k++) {
        corrupt_store(bad, bytes, size);
        hid_t access = H5Pcreate(H5P_FILE_ACCESS);
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
        hid_t h = H5Fopen(bad, H5F_ACC_RDWR, access);
        CHECK(h >= 0);
        make_hostile(h, k);
        CHECK(H5Fclose(h) >= 0);
        H5Pclose(access);
        atomic_store(&corrupt_largest, 0);
        CHECK_ERROR(ib_latent_open(&f, bad, &err), &err, hostile[k].code, hostile[k].says);
        CHECK(!f && atomic_load(&corrupt_largest) <= LARGEST);
        ib_latent_close(&f);
    }
    /* NaN among the guides, under a valid checksum */
    corrupt_store(bad, bytes, size);
    hid_t h = H5Fopen(bad, H5F_ACC_RDWR, H5P_DEFAULT), g = H5Gopen2(h, "guides", H5P_DEFAULT);
    float z[PICTURES * GUIDES * N];
    for (size_t i = 0; i < PICTURES * GUIDES * N; i++) {
        z[i] = i == 3 * PICTURES * N + 1 ? NAN : 1;
    }
    put_values(g, "latents", H5T_NATIVE_FLOAT, z);
    H5Gclose(g);
    H5Fclose(h);
    CHECK_OK(ib_latent_open(&f, bad, &err), &err);
    if (f) {
        CHECK_OK(ib_latent_read_guides(f, 0, 3, z, &err), &err);
        CHECK_ERROR(ib_latent_read_guides(f, 2, 2, z, &err), &err, IB_E_NONFINITE, "guide");
    }
    ib_latent_close(&f);
    free(bytes);
}

/* ---- damaged files ---- */

/* Guides that read well but differ. A chunk that is zero together with its checksum passes Fletcher's sum,
 * and an index may lead to another guide's chunk. */
static void read_all(const char *path, int *opened, int *wrong) {
    ib_latent_file *f = NULL;
    ib_error err = {0};
    float z[PICTURES * N];
    if (ib_latent_open(&f, path, &err)) {
        CHECK(!f && err.code < 0 && strstr(err.text, path));
        return;
    }
    const ib_guide_table *t = ib_latent_guides(f);
    (*opened)++;
    for (size_t g = 0; t && ib_latent_info_of(f)->shape.width == D && g < t->guides; g++) {
        if (ib_latent_read_guides(f, g, 1, z, &err)) {
            CHECK(strstr(err.text, path));
            continue;
        }
        for (size_t k = 0; k < PICTURES; k++) {
            bool same = false, zero = true;
            for (size_t i = 0; i < N; i++) {
                zero = zero && z[k * N + i] == 0;
            }
            for (size_t j = 0; j < PICTURES * GUIDES && !same; j++) {
                same = true;
                for (size_t i = 0; i < N; i++) {
                    same = same && z[k * N + i] == guide_value(j / PICTURES, j % PICTURES * N + i);
                }
            }
            *wrong += !same && !zero;
        }
    }
    ib_latent_close(&f);
}

static void test_damaged(const char *dir, uint64_t seed) {
    char good[512], bad[512];
    size_t size = 0;
    int opened = 0, wrong = 0;
    snprintf(good, sizeof good, "%s/good.h5", dir);
    snprintf(bad, sizeof bad, "%s/bad.h5", dir);
    write_good(good, NULL);
    uint8_t *bytes = corrupt_load(good, &size), *copy = malloc(size + 64);
    atomic_store(&corrupt_largest, 0);
    for (int k = 0; k < CASES; k++) {
        ib_rng r;
        size_t m = size;
        ib_rng_seed2(&r, seed, (uint64_t)k);
        memcpy(copy, bytes, size);
        corrupt_begin(k + 1);
        corrupt_damage(copy, &m, k, &r);
        corrupt_store(bad, copy, m);
        read_all(bad, &opened, &wrong);
        corrupt_end();
    }
    printf("%zu bytes: %d cases, %d opened, %d pictures wrong; largest request %zu bytes\n", size, CASES,
           opened, wrong, (size_t)atomic_load(&corrupt_largest));
    CHECK_INT(wrong, 0);
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    CHECK(opened < CASES);
    free(bytes);
    free(copy);
}

int main(int argc, char **argv) {
    char dir[256], command[512];
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    snprintf(dir, sizeof dir, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_corrupt_guides", "no scratch directory");
    }
    RUN(test_round_trip(dir));
    RUN(test_writer(dir));
    RUN(test_hostile(dir));
    RUN(test_damaged(dir, seed));
    CHECK_INT(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0); /* nothing was left open */
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_corrupt_guides");
}
