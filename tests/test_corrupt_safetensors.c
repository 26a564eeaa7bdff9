/* Damaged safetensors files: refused with a sentence, or every tensor lies inside the file and
 * can be read. */
#include "base/safetensors.h"
#include "tests/corrupt.h"

enum { CASES = 6000, LARGEST = 1 << 20 };

static void write_good(const char *path) {
    float w[200];
    uint16_t h[33];
    int64_t ids[4] = {1, 2, 3, 4};
    for (int i = 0; i < 200; i++) {
        w[i] = (float)i;
    }
    for (int i = 0; i < 33; i++) {
        h[i] = (uint16_t)(0x3c00 + i);
    }
    ib_st_tensor t[] = {
        {.name = "trunk.0.weight", .dtype = IB_F32, .rank = 4, .shape = {2, 3, 3, 11}, .data = w},
        {.name = "trunk.0.bias", .dtype = IB_F16, .rank = 1, .shape = {33}, .data = h},
        {.name = "scale", .dtype = IB_BF16, .rank = 0, .data = h},
        {.name = "ids", .dtype = IB_I64, .rank = 2, .shape = {2, 2}, .data = ids},
        {.name = "nothing", .dtype = IB_U8, .rank = 1, .shape = {0}, .data = ids},
        {.name = "small", .dtype = IB_F8_E4M3, .rank = 1, .shape = {33}, .data = h},
        {.name = "smaller", .dtype = IB_F8_E5M2, .rank = 1, .shape = {9}, .data = h},
    };
    ib_st_meta meta[] = {{"space_id", "patch:dct8+4:v1"}, {"note", "\"quoted\" \\ na\xc3\xafve\n"}};
    ib_error err = {0};
    CHECK_OK(ib_st_write(path, t, 7, meta, 2, &err), &err);
}

static void read_all(const char *path, size_t file_bytes, int *opened) {
    ib_st *f = NULL;
    ib_error err = {0};
    if (ib_st_open(&f, path, &err)) {
        CHECK(!f && err.code < 0 && strstr(err.text, path));
        return;
    }
    (*opened)++;
    size_t total = 0;
    for (size_t i = 0; i < ib_st_count(f); i++) {
        const ib_st_tensor *t = ib_st_at(f, i);
        total += t->bytes;
        CHECK(total <= file_bytes && t->elements * ib_dtype_bytes(t->dtype) == t->bytes);
        if (total > file_bytes) {
            break;
        }
        CHECK(ib_st_find(f, t->name) == t);
        float *x = malloc(t->elements * sizeof *x + 1);
        int rc = ib_st_to_f32(t, x, &err);
        CHECK(rc == IB_OK || rc == IB_E_UNSUPPORTED);
        free(x);
    }
    for (size_t i = 0; i < ib_st_metadata_count(f); i++) {
        const char *key, *value;
        ib_st_metadata_at(f, i, &key, &value);
        CHECK(key && value && ib_st_metadata(f, key) == value);
    }
    ib_st_close(&f);
}

/* A header of 20 MB that is all brackets and commas must be refused before it is built. */
static void test_bomb(const char *path) {
    enum { N = 20000000 };
    static const char *const fill[] = {"[", "[],", "{\"\":", "\"\\", "\"a\":1,"};
    uint8_t *b = malloc(N + 64);
    for (int k = 0; k < 5; k++) {
        ib_st *f = NULL;
        ib_error err = {0};
        size_t m = strlen(fill[k]);
        for (size_t i = 0; i < N; i++) {
            b[8 + i] = (uint8_t)fill[k][i % m];
        }
        memcpy(b, "\x00\x2d\x31\x01\x00\x00\x00\x00", 8); /* 20000000 */
        b[8] = '{';
        corrupt_store(path, b, N + 8);
        atomic_store(&corrupt_largest, 0);
        corrupt_begin(k + 1);
        CHECK_ERROR(ib_st_open(&f, path, &err), &err, IB_E_FORMAT, "header");
        corrupt_end();
        CHECK(!f);
        CHECK(atomic_load(&corrupt_largest) <= 40u * LARGEST);
        ib_st_close(&f);
    }
    free(b);
}

int main(int argc, char **argv) {
    char dir[256], path[512], bad[512], command[512];
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    snprintf(dir, sizeof dir, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_corrupt_safetensors", "no scratch directory");
    }
    snprintf(path, sizeof path, "%s/good.safetensors", dir);
    snprintf(bad, sizeof bad, "%s/bad.safetensors", dir);
    write_good(path);
    size_t size = 0, header;
    int opened = 0;
    uint8_t *bytes = corrupt_load(path, &size), *copy = malloc(size + 64);
    if (!bytes) {
        return 1;
    }
    header = 8 + (size_t)bytes[0] + 256 * (size_t)bytes[1];
    for (int k = 0; k < CASES; k++) {
        ib_rng r;
        size_t m = size;
        ib_rng_seed2(&r, seed, (uint64_t)k);
        memcpy(copy, bytes, size);
        corrupt_begin(k + 1);
        if (k % 3) { /* only in the header: all of it matters */
            size_t n = header;
            uint8_t *head = malloc(header + 64);
            memcpy(head, copy, header);
            corrupt_damage(head, &n, k / 3, &r);
            memcpy(copy, head, n < header ? n : header);
            m = n < header ? n : size;
            free(head);
        } else {
            corrupt_damage(copy, &m, k / 3, &r);
        }
        corrupt_store(bad, copy, m);
        read_all(bad, m, &opened);
        corrupt_end();
    }
    printf("%zu bytes: %d cases, %d opened; largest request %zu bytes\n", size, CASES, opened,
           (size_t)atomic_load(&corrupt_largest));
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    CHECK(opened > 0 && opened < CASES);
    RUN(test_bomb(bad));
    free(bytes);
    free(copy);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_corrupt_safetensors");
}
