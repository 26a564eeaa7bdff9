/* Damaged latent files: refused with a sentence or read as they were written; never a crash, a hang or a
 * large allocation. */
#include <hdf5.h>
#include "base/memory.h"
#include "latent/latent_file.h"
#include "tests/corrupt.h"

enum { CASES = 2500, LARGEST = 4 << 20 };

static void write_good(const char *path, int frames, int rows, int cols, int width) {
    ib_latent_info info = {.space_id = "patch:dct8+4:v1",
                           .fps = 25,
                           .every = 1,
                           .matrix = 1,
                           .frame_width = 16,
                           .frame_height = 16,
                           .source = "clip.mp4"};
    info.shape = (ib_shape){IB_LAYOUT_GRID, rows, cols, (size_t)(rows * cols), (size_t)width};
    ib_latent_writer *w = NULL;
    ib_error err = {0};
    float z[512];
    CHECK_OK(ib_latent_writer_create(&w, path, &info, &err), &err);
    for (int f = 0; w && f < frames; f++) {
        for (int i = 0; i < rows * cols * width; i++) {
            z[i] = (float)((f * 37 + i) % 500 + 1) / 64;
        }
        CHECK_OK(ib_latent_writer_append(w, z, f, f % 9 == 0, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
}

/* Frames that read well but differ. A chunk that is zero together with its checksum passes Fletcher's sum:
 * those count apart. */
static void read_all(const char *path, const float *good, size_t frames, size_t n, int *opened, int *wrong,
                     int *moved) {
    ib_latent_file *f = NULL;
    ib_error err = {0};
    float z[512];
    if (ib_latent_open(&f, path, &err)) {
        CHECK(!f && err.code < 0 && strstr(err.text, path));
        return;
    }
    (*opened)++;
    const ib_latent_info *i = ib_latent_info_of(f);
    size_t own = i->shape.tokens * i->shape.width;
    CHECK(own <= 512 && i->frames <= frames + 64);
    for (size_t k = 0; own == n && k < i->frames; k++) {
        if (ib_latent_read(f, k, 1, z, &err)) {
            CHECK(strstr(err.text, path));
            continue;
        }
        if (k < frames && !memcmp(z, good + k * n, n * sizeof *z)) {
            continue;
        }
        bool whole = true;
        for (size_t j = 0; j < n; j++) {
            whole = whole && z[j] == 0;
        }
        for (size_t j = 0; !whole && j < frames; j++) {
            whole = !memcmp(z, good + j * n, n * sizeof *z);
        }
        if (whole) {
            (*moved)++;
        } else {
            (*wrong)++;
        }
    }
    ib_latent_close(&f);
}

static void run(const char *dir, uint64_t seed, int frames, int rows, int cols, int width) {
    char path[512], bad[512];
    size_t size = 0, n = (size_t)(rows * cols * width);
    int opened = 0, wrong = 0, moved = 0;
    ib_error err = {0};
    ib_latent_file *f = NULL;
    snprintf(path, sizeof path, "%s/good.h5", dir);
    snprintf(bad, sizeof bad, "%s/bad.h5", dir);
    write_good(path, frames, rows, cols, width);
    float *good = ib_calloc((size_t)frames * n, sizeof *good);
    CHECK_OK(ib_latent_open(&f, path, &err), &err);
    if (!f) {
        return;
    }
    CHECK_OK(ib_latent_read(f, 0, (size_t)frames, good, &err), &err);
    ib_latent_close(&f);
    uint8_t *bytes = corrupt_load(path, &size), *copy = malloc(size + 64);
    atomic_store(&corrupt_largest, 0);
    for (int k = 0; k < CASES; k++) {
        ib_rng r;
        size_t m = size;
        ib_rng_seed2(&r, seed, (uint64_t)k);
        memcpy(copy, bytes, size);
        corrupt_begin(k + 1);
        corrupt_damage(copy, &m, k, &r);
        corrupt_store(bad, copy, m);
        read_all(bad, good, (size_t)frames, n, &opened, &wrong, &moved);
        corrupt_end();
    }
    printf("%d frames of %zu values, %zu bytes: %d cases, %d opened, %d frames wrong, %d moved; largest "
           "request %zu bytes\n",
           frames, n, size, CASES, opened, wrong, moved, (size_t)atomic_load(&corrupt_largest));
    CHECK_INT(wrong, 0);
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    CHECK(opened < CASES);
    free(bytes);
    free(copy);
    ib_free(good);
}

/* ---- files that HDF5 finds valid and that are not ours ---- */

static void replace_int(hid_t f, const char *name, int64_t v) {
    hid_t s = H5Screate(H5S_SCALAR);
    H5Adelete(f, name);
    hid_t a = H5Acreate2(f, name, H5T_STD_I64LE, s, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(a >= 0 && H5Awrite(a, H5T_NATIVE_INT64, &v) >= 0);
    H5Aclose(a);
    H5Sclose(s);
}

static void replace_real(hid_t f, const char *name, double v) {
    hid_t s = H5Screate(H5S_SCALAR);
    H5Adelete(f, name);
    hid_t a = H5Acreate2(f, name, H5T_IEEE_F64LE, s, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(a >= 0 && H5Awrite(a, H5T_NATIVE_DOUBLE, &v) >= 0);
    H5Aclose(a);
    H5Sclose(s);
}

static void replace_text(hid_t f, const char *name, const char *v, bool variable) {
    hid_t s = H5Screate(H5S_SCALAR), t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, variable ? H5T_VARIABLE : strlen(v));
    H5Adelete(f, name);
    hid_t a = H5Acreate2(f, name, t, s, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(a >= 0 && H5Awrite(a, t, variable ? (const void *)&v : v) >= 0);
    H5Aclose(a);
    H5Tclose(t);
    H5Sclose(s);
}

/* In place of a data set: zeros of this type and size in such chunks (chunk 0: contiguous). */
static void replace_set(hid_t f, const char *name, hid_t type, int rank, const hsize_t *size,
                        const hsize_t *chunk, bool deflate) {
    hid_t s = H5Screate_simple(rank, size, NULL), p = H5Pcreate(H5P_DATASET_CREATE);
    if (chunk[0]) {
        H5Pset_chunk(p, rank, chunk);
    }
    if (deflate) {
        H5Pset_deflate(p, 1);
    }
    H5Ldelete(f, name, H5P_DEFAULT);
    hid_t d = H5Dcreate2(f, name, type, s, H5P_DEFAULT, p, H5P_DEFAULT);
    CHECK(d >= 0);
    H5Dclose(d);
    H5Pclose(p);
    H5Sclose(s);
}

static void extend(hid_t f, hsize_t frames) {
    hid_t d = H5Dopen2(f, "latents", H5P_DEFAULT);
    hsize_t size[3] = {frames, 4, 96};
    CHECK(H5Dset_extent(d, size) >= 0);
    H5Dclose(d);
}

static const struct {
    int code;
    const char *says;
} hostile[] = {
    {IB_E_FORMAT, "'space_id' is missing"},
    {IB_E_FORMAT, "'tokens' is not a whole number"},
    {IB_E_FORMAT, "'tokens' is 1099511627776"},
    {IB_E_FORMAT, "'tokens' is -4"},
    {IB_E_FORMAT, "2 rows x 3 cols"},
    {IB_E_FORMAT, "'layout' is 'sphere'"},
    {IB_E_FORMAT, "'fps' cannot be read or is not finite"},
    {IB_E_FORMAT, "'fps' is -1"},
    {IB_E_FORMAT, "'space_id' is not a fixed-length string"},
    {IB_E_FORMAT, "'source_sha256' is longer than 64"},
    {IB_E_FORMAT, "'format' is 'other'"},
    {IB_E_UNSUPPORTED, "version 2"},
    {IB_E_FORMAT, "do not fit"},
    {IB_E_FORMAT, "do not fit"},
    {IB_E_FORMAT, "'latents' is missing"},
    {IB_E_FORMAT, "'latents' is missing"},
    {IB_E_FORMAT, "'latents' is missing"},
    {IB_E_FORMAT, "expected type"},
    {IB_E_FORMAT, "laid out"},
    {IB_E_FORMAT, "laid out"},
    {IB_E_FORMAT, "laid out"},
    {IB_E_FORMAT, "'pts' has 2 entries"},
    {IB_E_FORMAT, "time"},
    {IB_E_FORMAT, "cut mark"},
    {IB_E_FORMAT, "cut mark"},
    {IB_E_FORMAT, "latents are 3 x 4 x 96"},
};

static void make_hostile(hid_t f, size_t k, const char *elsewhere) {
    const hsize_t three[3] = {3, 4, 96}, one[3] = {1, 4, 96}, all[3] = {0}, many[3] = {3, 4, 96};
    const double backwards[3] = {0, 2, 1};
    const uint8_t marks[2][3] = {{1, 7, 0}, {0, 0, 1}};
    hid_t half = -1, d = H5Dopen2(f, "latents", H5P_DEFAULT);
    half = H5Dget_type(d);
    H5Dclose(d);
    switch (k) {
    case 0:
        H5Adelete(f, "space_id");
        break;
    case 1:
        replace_text(f, "tokens", "four", false);
        break;
    case 2:
        replace_int(f, "tokens", (int64_t)1 << 40);
        break;
    case 3:
        replace_int(f, "tokens", -4);
        break;
    case 4:
        replace_int(f, "cols", 3);
        break;
    case 5:
        replace_text(f, "layout", "sphere", false);
        break;
    case 6:
        replace_real(f, "fps", NAN);
        break;
    case 7:
        replace_real(f, "fps", -1);
        break;
    case 8:
        replace_text(f, "space_id", "patch:dct8+4:v1", true);
        break;
    case 9:
        replace_text(f, "source_sha256", "01234567890123456789012345678901234567890123456789012345678901234",
                     false);
        break;
    case 10:
        replace_text(f, "format", "other", false);
        break;
    case 11:
        replace_int(f, "version", 2);
        break;
    case 12:
        extend(f, (hsize_t)1 << 45);
        break;
    case 13:
        extend(f, 4);
        break;
    case 14:
        H5Ldelete(f, "latents", H5P_DEFAULT);
        break;
    case 15:
        H5Ldelete(f, "latents", H5P_DEFAULT);
        H5Lcreate_external(elsewhere, "latents", f, "latents", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 16:
        H5Ldelete(f, "latents", H5P_DEFAULT);
        H5Lcreate_soft("/latents", f, "latents", H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 17:
        replace_set(f, "latents", H5T_IEEE_F32LE, 3, three, one, false);
        break;
    case 18:
        replace_set(f, "latents", half, 3, three, all, false);
        break;
    case 19:
        replace_set(f, "latents", half, 3, three, many, false);
        break;
    case 20:
        replace_set(f, "latents", half, 3, three, one, true);
        break;
    case 21:
        replace_set(f, "pts", H5T_IEEE_F64LE, 1, (const hsize_t[]){2}, (const hsize_t[]){2}, false);
        break;
    case 22:
        d = H5Dopen2(f, "pts", H5P_DEFAULT);
        H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, backwards);
        H5Dclose(d);
        break;
    case 23:
    case 24:
        d = H5Dopen2(f, "cut", H5P_DEFAULT);
        H5Dwrite(d, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, marks[k - 23]);
        H5Dclose(d);
        break;
    default:
        replace_int(f, "width", 97);
    }
    H5Tclose(half);
}

static void test_hostile(const char *dir) {
    char good[512], bad[512];
    size_t size = 0;
    ib_error err = {0};
    ib_latent_file *f = NULL;
    snprintf(good, sizeof good, "%s/good.h5", dir);
    snprintf(bad, sizeof bad, "%s/bad.h5", dir);
    write_good(good, 3, 2, 2, 96);
    uint8_t *bytes = corrupt_load(good, &size);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    for (size_t k = 0; k < sizeof hostile / sizeof *hostile; k++) {
        corrupt_store(bad, bytes, size);
        hid_t access = H5Pcreate(H5P_FILE_ACCESS);
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
        hid_t h = H5Fopen(bad, H5F_ACC_RDWR, access);
        CHECK(h >= 0);
        make_hostile(h, k, good);
        CHECK(H5Fclose(h) >= 0);
        H5Pclose(access);
        atomic_store(&corrupt_largest, 0);
        CHECK_ERROR(ib_latent_open(&f, bad, &err), &err, hostile[k].code, hostile[k].says);
        CHECK(!f && atomic_load(&corrupt_largest) <= LARGEST);
        ib_latent_close(&f);
    }
    CHECK_OK(ib_latent_open(&f, good, &err), &err); /* the file that all were made of is fine */
    ib_latent_close(&f);
    /* NaN among the latents, under a valid checksum */
    corrupt_store(bad, bytes, size);
    hid_t h = H5Fopen(bad, H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(h, "latents", H5P_DEFAULT);
    float z[3 * 384];
    for (int i = 0; i < 3 * 384; i++) {
        z[i] = i == 2 * 384 + 5 ? NAN : 1;
    }
    CHECK(H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, z) >= 0);
    H5Dclose(d);
    H5Fclose(h);
    CHECK_OK(ib_latent_open(&f, bad, &err), &err);
    if (f) {
        CHECK_OK(ib_latent_read(f, 0, 2, z, &err), &err);
        CHECK_ERROR(ib_latent_read(f, 1, 2, z, &err), &err, IB_E_NONFINITE, "frame 2");
    }
    ib_latent_close(&f);
    free(bytes);
}

int main(int argc, char **argv) {
    char dir[256], command[512];
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    snprintf(dir, sizeof dir, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_corrupt_latent", "no scratch directory");
    }
    RUN(test_hostile(dir));
    run(dir, seed, 3, 2, 2, 96);                              /* most of the file is latents */
    run(dir, seed, 150, 1, 1, 2);                             /* most of it is HDF5's own index */
    run(dir, seed, 1, 1, 1, 1);                               /* hardly anything but headers */
    CHECK_INT(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0); /* nothing was left open */
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_corrupt_latent");
}
