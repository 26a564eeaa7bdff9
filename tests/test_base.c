/* The base room: sizes, memory, errors, random numbers, half precision, files, safetensors. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "tests/check.h"

static char dir[256];

static const char *in_dir(const char *name) {
    static char path[4][512];
    static int turn;
    char *p = path[turn++ & 3];
    snprintf(p, 512, "%s/%s", dir, name);
    return p;
}

static void put(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
        printf("cannot write %s\n", path), exit(1);
    }
}

static void test_sizes(void) {
    size_t n = 7;
    ib_error err = {0};
    float *p = NULL;
    CHECK_INT(ib_size_mul(SIZE_MAX / 2, 3, &n), -1);
    CHECK_INT(n, 7);
    CHECK_INT(ib_size_add(SIZE_MAX, 1, &n), -1);
    CHECK_INT(ib_size_mul(6, 7, &n), 0);
    CHECK_INT(n, 42);
    CHECK(!ib_calloc(SIZE_MAX / 4, 8));
    void *q = ib_calloc(0, 4);
    CHECK(q != NULL);
    ib_free(q);
    CHECK_ERROR(ib_alloc_floats(&p, SIZE_MAX / 2, "the moon", &err), &err, IB_E_MEMORY, "the moon");
    CHECK_OK(ib_alloc_floats(&p, 1000, "x", &err), &err);
    CHECK_INT((uintptr_t)p % 64, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK(p[i] == 0);
    }
    ib_free(p);
    CHECK_INT(ib_fail(NULL, IB_E_IO, "nobody listens"), IB_E_IO);
    ib_fail(&err, IB_E_FORMAT, "bad %d", 5);
    CHECK_ERROR(ib_error_prefix(&err, IB_E_FORMAT, "file %s", "a"), &err, IB_E_FORMAT, "file a: bad 5");
    CHECK(ib_error_prefix(NULL, IB_E_IO, "nobody %s", "listens") == IB_E_IO); /* a failure all the same */
    ib_fail(&err, IB_E_FORMAT, "%s, again", err.text);
    CHECK(!strcmp(err.text, "file a: bad 5, again"));
}

static void test_rng(void) {
    /* splitmix64 from state 0 and xoshiro256** from state 1 2 3 4: first outputs of the authors' programs */
    ib_rng r = {{1, 2, 3, 4}};
    CHECK(ib_rng_u64(&r) == 11520u);
    CHECK(ib_rng_u64(&r) == 0);
    CHECK(ib_rng_u64(&r) == 1509978240u);
    ib_rng_seed(&r, 0);
    CHECK(r.s[0] == 0xe220a8397b1dcdafu);
    CHECK(r.s[1] == 0x6e789e6aa1b965f4u);
    ib_rng a, b, c;
    ib_rng_seed2(&a, 5, 1);
    ib_rng_seed2(&b, 5, 1);
    ib_rng_seed2(&c, 5, 2);
    CHECK(!memcmp(&a, &b, sizeof a) && memcmp(&a, &c, sizeof a));
    double sum = 0, squares = 0, u = 0;
    int counts[7] = {0}, n = 70000;
    for (int i = 0; i < n; i++) {
        double x = ib_rng_normal(&a);
        float f = ib_rng_float(&a);
        double d = ib_rng_double(&a);
        CHECK(isfinite(x) && f >= 0 && f < 1 && d >= 0 && d < 1);
        sum += x;
        squares += x * x;
        u += d;
        counts[ib_rng_below(&a, 7)]++;
    }
    CHECK_NEAR(sum / n, 0, 0.02);
    CHECK_NEAR(squares / n, 1, 0.03);
    CHECK_NEAR(u / n, 0.5, 0.005);
    for (int i = 0; i < 7; i++) {
        CHECK_NEAR(counts[i], n / 7, 500);
    }
    CHECK_INT(ib_rng_below(&a, 1), 0);
}

/* Nearest half by search among all of them, ties to even: knows nothing of bit tricks. */
static uint16_t nearest_half(double x, const double *value /* [0x7c00], rising */) {
    double a = fabs(x);
    int lo = 0, hi = 0x7bff;
    if (a >= 65520) {
        return (uint16_t)(0x7c00 | (signbit(x) ? 0x8000 : 0));
    }
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (value[mid] <= a) {
            lo = mid;
        } else {
            hi = mid - 1;
        }
    }
    if (lo < 0x7bff) {
        double below = a - value[lo], above = value[lo + 1] - a;
        if (above < below || (above == below && (lo & 1))) {
            lo++;
        }
    }
    return (uint16_t)(lo | (signbit(x) ? 0x8000 : 0));
}

static void test_half(void) {
    enum { N = 200000 };
    float *f = malloc(N * sizeof *f), *g = malloc(65536 * sizeof *g), *g2 = malloc(65536 * sizeof *g2);
    uint16_t *h = malloc(N * sizeof *h), *h2 = malloc(N * sizeof *h2), *all = malloc(65536 * sizeof *all);
    double *value = malloc(0x7c00 * sizeof *value);
    for (int i = 0; i < 65536; i++) {
        all[i] = (uint16_t)i;
    }
    ib_f16_to_f32(all, g, 65536);
    ib_f16_to_f32_portable(all, g2, 65536);
    CHECK(!memcmp(g, g2, 65536 * sizeof *g));
    for (int i = 0; i < 0x7c00; i++) {
        int e = i >> 10, m = i & 1023;
        value[i] = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
        CHECK_NEAR(g[i], value[i], 0);
        CHECK_NEAR(g[i | 0x8000], -value[i], 0);
    }
    CHECK(isinf(g[0x7c00]) && isnan(g[0x7c01]) && isnan(g[0xfe00]));
    ib_rng r;
    ib_rng_seed(&r, 1);
    for (int i = 0; i < N; i++) {
        uint32_t u = (uint32_t)ib_rng_u64(&r);
        if (i % 4 == 1) { /* around half's range */
            u = (u & 0x807fffffu) | (uint32_t)(96 + ib_rng_below(&r, 50)) << 23;
        }
        if (i % 4 == 2) { /* ties and their neighbours */
            float x = (float)((value[ib_rng_below(&r, 0x7bff)] + value[1 + ib_rng_below(&r, 30000)]) / 2);
            size_t k = ib_rng_below(&r, 0x7bff);
            x = (float)((value[k] + value[k + 1]) / 2);
            memcpy(&u, &x, 4);
            u += (uint32_t)ib_rng_below(&r, 3) - 1;
        }
        memcpy(&f[i], &u, 4);
    }
    ib_f32_to_f16(f, h, N);
    ib_f32_to_f16_portable(f, h2, N);
    CHECK(!memcmp(h, h2, N * sizeof *h));
    for (int i = 0; i < N; i++) {
        if (isnan(f[i])) {
            CHECK((h[i] & 0x7c00) == 0x7c00 && (h[i] & 0x3ff));
        } else {
            CHECK_INT(h[i], nearest_half(f[i], value));
        }
    }
    for (size_t n = 0; n < 40; n++) { /* tails */
        memset(h, 0xaa, 2 * 41);
        ib_f32_to_f16(f, h, n);
        CHECK(!memcmp(h, h2, 2 * n) && h[n] == 0xaaaa);
    }
    free(f);
    free(g);
    free(g2);
    free(h);
    free(h2);
    free(all);
    free(value);
}

static bool accept_txt(const char *name) {
    return strlen(name) > 4 && !strcmp(name + strlen(name) - 4, ".txt");
}

static void test_files(void) {
    ib_error err = {0};
    ib_pending p = {0};
    char hex[65];
    ib_pending_abort(&p);
    CHECK_ERROR(ib_pending_begin(&p, in_dir("none/x"), &err), &err, IB_E_IO, "none/x");
    CHECK_ERROR(ib_pending_begin(&p, dir, &err), &err, IB_E_IO, "a directory");
    CHECK_ERROR(ib_pending_begin(&p, "/dev/null", &err), &err, IB_E_IO, "special file");
    CHECK_ERROR(ib_pending_begin(&p, "", &err), &err, IB_E_ARGUMENT, "name");
    CHECK_OK(ib_pending_begin(&p, in_dir("a.txt"), &err), &err);
    put(p.temp, "abc", 3);
    CHECK(!ib_is_file(in_dir("a.txt")));
    CHECK_OK(ib_pending_publish(&p, &err), &err);
    CHECK(ib_is_file(in_dir("a.txt")) && !p.temp && !p.final);
    CHECK_OK(ib_sha256_file(in_dir("a.txt"), hex, &err), &err);
    CHECK(!strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")); /* FIPS 180-2 */
    CHECK_ERROR(ib_sha256_file(in_dir("missing"), hex, &err), &err, IB_E_IO, "missing");
    CHECK_OK(ib_pending_begin(&p, in_dir("b.txt"), &err), &err);
    char *temp = strdup(p.temp);
    ib_pending_abort(&p);
    CHECK(access(temp, F_OK) != 0);
    free(temp);
    CHECK_OK(ib_pending_begin(&p, in_dir("b.txt"), &err), &err);
    unlink(p.temp);
    CHECK_ERROR(ib_pending_publish(&p, &err), &err, IB_E_IO, "b.txt");
    CHECK(!p.temp && !ib_is_file(in_dir("b.txt")));
    char longest[512];
    snprintf(longest, sizeof longest, "%s/%0250d", dir, 7);
    CHECK_OK(ib_pending_begin(&p, longest, &err), &err);
    CHECK_OK(ib_pending_publish(&p, &err), &err);
    unlink(longest);

    /* leftovers: an old one of this file goes, a young one and those of other files stay */
    static const char *const left[] = {".b.txt.123.tmp", ".b.txt.124.tmp", ".c.txt.123.tmp", ".b.txt.x.tmp"};
    for (int i = 0; i < 4; i++) {
        struct timespec old[2] = {{time(NULL) - 7200, 0}, {time(NULL) - 7200, 0}};
        put(in_dir(left[i]), "", 0);
        if (i != 1) {
            utimensat(AT_FDCWD, in_dir(left[i]), old, 0);
        }
    }
    CHECK_OK(ib_pending_begin(&p, in_dir("b.txt"), &err), &err);
    ib_pending_abort(&p);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(ib_is_file(in_dir(left[i])), i != 0);
    }

    CHECK_OK(ib_mkdirs(in_dir("d/e//f"), &err), &err);
    CHECK_OK(ib_mkdirs(in_dir("d/e/f/"), &err), &err);
    CHECK(ib_is_dir(in_dir("d/e/f")));
    CHECK_ERROR(ib_mkdirs(in_dir("a.txt"), &err), &err, IB_E_IO, "a.txt");
    CHECK_ERROR(ib_mkdirs(in_dir("a.txt/x"), &err), &err, IB_E_IO, "a.txt");
    CHECK(!strcmp(ib_basename("/x/y"), "y") && !strcmp(ib_basename("y"), "y"));
    char *j = ib_join("a/", "b");
    CHECK(j && !strcmp(j, "a/b"));
    free(j);

    ib_paths l = {0};
    put(in_dir("d/2.txt"), "", 0);
    put(in_dir("d/10.txt"), "", 0);
    put(in_dir("d/z.dat"), "", 0);
    put(in_dir("d/.hidden.txt"), "", 0);
    CHECK_OK(ib_paths_expand(&l, in_dir("d"), accept_txt, &err), &err);
    CHECK_INT(l.n, 2);
    CHECK(l.n == 2 && strstr(l.v[0], "/10.txt") && strstr(l.v[1], "/2.txt"));
    CHECK_OK(ib_paths_expand(&l, in_dir("d"), NULL, &err), &err);
    CHECK_INT(l.n, 5);
    CHECK_OK(ib_paths_expand(&l, in_dir("d/z.dat"), accept_txt, &err), &err);
    CHECK_INT(l.n, 6);
    CHECK_ERROR(ib_paths_expand(&l, in_dir("d/e/f"), NULL, &err), &err, IB_E_EMPTY, "empty");
    CHECK_ERROR(ib_paths_expand(&l, in_dir("d/e"), accept_txt, &err), &err, IB_E_EMPTY, "d/e");
    CHECK_ERROR(ib_paths_expand(&l, in_dir("nowhere"), NULL, &err), &err, IB_E_IO, "nowhere");
    for (int i = 0; i < 100; i++) {
        CHECK_OK(ib_paths_add(&l, "x", &err), &err);
    }
    ib_paths_free(&l);
    CHECK(!l.v && !l.n);
}

static void test_safetensors(void) {
    ib_error err = {0};
    float w[6] = {1, -2, 3.5f, 0, 1e-30f, 6}, got[6];
    uint16_t h[3] = {0x3c00, 0x0001, 0xc000}, bf[2] = {0x3f80, 0xc040};
    int64_t ids[2] = {1, -1};
    ib_st_tensor t[5] = {
        {.name = "w", .dtype = IB_F32, .rank = 2, .shape = {2, 3}, .data = w},
        {.name = "a \"quoted\" na\xc3\xafve", .dtype = IB_F16, .rank = 1, .shape = {3}, .data = h},
        {.name = "none", .dtype = IB_F32, .rank = 2, .shape = {0, 4}, .data = w},
        {.name = "bf", .dtype = IB_BF16, .rank = 1, .shape = {2}, .data = bf},
        {.name = "ids", .dtype = IB_I64, .rank = 1, .shape = {2}, .data = ids},
    };
    ib_st_meta meta[2] = {{"zeta", "1"}, {"alpha", "line\nbreak"}};
    char first[65], second[65];
    CHECK_OK(ib_st_write(in_dir("t.safetensors"), t, 5, meta, 2, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("t.safetensors"), first, &err), &err);
    CHECK_OK(ib_st_write(in_dir("t.safetensors"), t, 5, meta, 2, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("t.safetensors"), second, &err), &err);
    CHECK(!strcmp(first, second));
    ib_st *f = NULL;
    CHECK_OK(ib_st_open(&f, in_dir("t.safetensors"), &err), &err);
    if (!f) {
        return;
    }
    CHECK_INT(ib_st_count(f), 5);
    const ib_st_tensor *x = ib_st_find(f, "w");
    CHECK(x && x->rank == 2 && x->shape[0] == 2 && x->shape[1] == 3 && x->elements == 6 && x->bytes == 24);
    CHECK_OK(ib_st_to_f32(x, got, &err), &err);
    CHECK(!memcmp(got, w, sizeof w));
    x = ib_st_find(f, t[1].name);
    CHECK(x != NULL);
    CHECK_OK(ib_st_to_f32(x, got, &err), &err);
    CHECK(got[0] == 1 && got[1] == 0x1p-24f && got[2] == -2);
    CHECK_OK(ib_st_to_f32(ib_st_find(f, "bf"), got, &err), &err);
    CHECK(got[0] == 1 && got[1] == -3);
    CHECK_ERROR(ib_st_to_f32(ib_st_find(f, "ids"), got, &err), &err, IB_E_UNSUPPORTED, "I64");
    CHECK(ib_st_find(f, "none") && ib_st_find(f, "none")->elements == 0);
    CHECK(!ib_st_find(f, "nobody") && !ib_st_at(f, 5));
    CHECK(!strcmp(ib_st_metadata(f, "alpha"), "line\nbreak") && !ib_st_metadata(f, "beta"));
    const char *key, *value;
    CHECK_INT(ib_st_metadata_count(f), 2);
    ib_st_metadata_at(f, 0, &key, &value);
    CHECK(!strcmp(key, "zeta") && !strcmp(value, "1"));
    ib_st_close(&f);
    ib_st_close(&f);
    CHECK(!f);

    t[2].name = "w";
    CHECK_ERROR(ib_st_write(in_dir("u.safetensors"), t, 5, meta, 2, &err), &err, IB_E_ARGUMENT, "twice");
    t[2].name = "bad \xff";
    CHECK_ERROR(ib_st_write(in_dir("u.safetensors"), t, 5, meta, 2, &err), &err, IB_E_ARGUMENT, "UTF-8");
    t[2].name = "big";
    t[2].shape[0] = t[2].shape[1] = INT64_MAX;
    CHECK_ERROR(ib_st_write(in_dir("u.safetensors"), t, 5, meta, 2, &err), &err, IB_E_ARGUMENT, "big");
    CHECK(!ib_is_file(in_dir("u.safetensors")));
    if (access("/dev/full", W_OK) == 0) {
        CHECK_ERROR(ib_st_write("/dev/full", t, 1, NULL, 0, &err), &err, IB_E_IO, "/dev/full");
    }
}

/* Headers that must be refused, each with its own sentence. */
static void test_hostile_headers(void) {
    static const struct {
        const char *header;
        size_t data;
        int code;
        const char *says;
    } bad[] = {
        {"[]", 0, IB_E_FORMAT, "does not begin"},
        {"{", 0, IB_E_FORMAT, "does not fit|begin|JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", 4, IB_E_FORMAT, "JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":"
         "[1],"
         "\"data_offsets\":[4,8]}}",
         8, IB_E_FORMAT, "duplicate"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, IB_E_UNSUPPORTED, "F33"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, IB_E_FORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, IB_E_FORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 4,
         IB_E_FORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, IB_E_FORMAT,
         "elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, IB_E_FORMAT,
         "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, IB_E_FORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, IB_E_FORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, IB_E_FORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, IB_E_FORMAT, "elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, IB_E_FORMAT, "begins"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, IB_E_FORMAT, "no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":"
         "[2],"
         "\"data_offsets\":[4,12]}}",
         12, IB_E_FORMAT, "begins"},
        {"{\"a\":3}", 0, IB_E_FORMAT, "needs dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", 4, IB_E_FORMAT, "deeper"},
        {"{\"__metadata__\":{\"k\":1}}", 0, IB_E_FORMAT, "not a string"},
        {"{\"__metadata__\":[]}", 0, IB_E_FORMAT, "not an object"},
    };
    ib_error err = {0};
    ib_st *f = NULL;
    char buf[1024];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n = strlen(bad[i].header);
        memset(buf, 0, sizeof buf);
        buf[0] = (char)n;
        buf[1] = (char)(n >> 8);
        memcpy(buf + 8, bad[i].header, n);
        put(in_dir("h.safetensors"), buf, 8 + n + bad[i].data);
        int rc = ib_st_open(&f, in_dir("h.safetensors"), &err);
        if (!strchr(bad[i].says, '|')) {
            CHECK_ERROR(rc, &err, bad[i].code, bad[i].says);
        }
        CHECK(rc < 0 && !f && strstr(err.text, "h.safetensors"));
        ib_st_close(&f);
    }
    put(in_dir("h.safetensors"), "", 0);
    CHECK_ERROR(ib_st_open(&f, in_dir("h.safetensors"), &err), &err, IB_E_FORMAT, "too short");
    put(in_dir("h.safetensors"), "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    CHECK_ERROR(ib_st_open(&f, in_dir("h.safetensors"), &err), &err, IB_E_FORMAT, "does not fit");
    CHECK_ERROR(ib_st_open(&f, in_dir("missing"), &err), &err, IB_E_IO, "missing");
    CHECK_ERROR(ib_st_open(&f, dir, &err), &err, IB_E_IO, "regular");
    put(in_dir("h.safetensors"), "\x02\0\0\0\0\0\0\0{}", 10);
    CHECK_OK(ib_st_open(&f, in_dir("h.safetensors"), &err), &err);
    CHECK_INT(f ? ib_st_count(f) : 99, 0);
    ib_st_close(&f);
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/ib_base_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_base", "no scratch directory");
    }
    RUN(test_sizes());
    RUN(test_rng());
    RUN(test_half());
    RUN(test_files());
    RUN(test_safetensors());
    RUN(test_hostile_headers());
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_base");
}
