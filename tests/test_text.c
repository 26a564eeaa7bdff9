/* Text and JSON from strangers: what people are shown, names that are not UTF-8, numbers as Python writes
 * them, 8-bit floats. */
#include "base/text.h"

#include <jansson.h>
#include <unistd.h>
#include "base/json.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "clip/config.h"
#include "base/json_file.h"
#include "tests/check.h"

static char folder[] = "/tmp/ib_text_XXXXXX";

static const char *in_folder(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void store(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(text, 1, n, f) == n);
    if (f) {
        fclose(f);
    }
}

/* ---- the two forms ---- */

static void same_text(const char *what, const char *from, char *got, const char *want) {
    check_done++;
    if (!got || strcmp(got, want)) {
        check_failed++;
        printf("FAILED %s of '%s' is '%s', wanted '%s'\n", what, from, got ? got : "(nothing)", want);
    }
    free(got);
}

static void test_forms(void) {
    static const struct {
        const char *in, *shown, *utf8;
    } t[] = {
        {"", "", ""},
        {"plain name.mp4", "plain name.mp4", "plain name.mp4"},
        {"back\\slash \"quotes\"", "back\\slash \"quotes\"", "back\\slash \"quotes\""},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd", "a\nb\tc\rd"},
        {"\x1b[31mred\x07", "\\x1b[31mred\\x07", "\x1b[31mred\x07"},
        {"del\x7f", "del\\x7f", "del\x7f"},
        {"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x88",
         "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x88",
         "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x88"},
        {"caf\xe9.mp4", "caf\\xe9.mp4", "caf\\xe9.mp4"},
        {"\xc2\x9b[2J", "\\u{009b}[2J", "\xc2\x9b[2J"},
        {"\xc2\xa0no-break", "\xc2\xa0no-break", "\xc2\xa0no-break"},
        {"\xe2\x80\xae"
         "gpj.exe",
         "\\u{202e}gpj.exe",
         "\xe2\x80\xae"
         "gpj.exe"},
        {"\xe2\x81\xa6i\xe2\x81\xa9", "\\u{2066}i\\u{2069}", "\xe2\x81\xa6i\xe2\x81\xa9"},
        {"\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "\\u{061c}\\u{200e}\\u{200f}",
         "\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f"},
        {"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "\\u{2028}\\u{2029}\\u{feff}",
         "\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf"},
        {"cut \xe6\x97", "cut \\xe6\\x97", "cut \\xe6\\x97"},
        {"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80", "\\xed\\xa0\\x80 \\xc0\\x80 \\xf4\\x90\\x80\\x80",
         "\\xed\\xa0\\x80 \\xc0\\x80 \\xf4\\x90\\x80\\x80"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        same_text("the shown form", t[i].in, ib_text_shown(t[i].in, strlen(t[i].in)), t[i].shown);
        same_text("the UTF-8 form", t[i].in, ib_text_utf8(t[i].in), t[i].utf8);
        CHECK_INT(ib_text_is_plain(t[i].in), !strcmp(t[i].in, t[i].shown));
        json_t *j = ib_json_text(t[i].in);
        same_text("JSON", t[i].in, strdup(j ? json_string_value(j) : "NULL"), t[i].utf8);
        json_decref(j);
        char *put = NULL;
        size_t n;
        FILE *f = open_memstream(&put, &n);
        ib_text_put(f, t[i].in, strlen(t[i].in));
        fclose(f);
        same_text("what is put", t[i].in, put, t[i].shown);
    }
    same_text("the shown form", "a zero", ib_text_shown("a\0b", 3), "a\\x00b");
    json_t *none = ib_json_text(NULL);
    CHECK(json_is_null(none));
}

/* All characters, encoded here by another way, and all pairs and many longer runs of bytes, with jansson
 * as the judge. */
static void test_utf8(void) {
    int wrong = 0, unlike = 0;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        unsigned char b[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (size_t i = n; i-- > 0;) {
            b[i] = (unsigned char)((n == 1 ? 0 : 0x80) | (c >> 6 * (n - 1 - i) & (n == 1 ? 0x7f : 0x3f)));
        }
        b[0] = (unsigned char)(b[0] & (n == 1 ? 0x7f : 0x3f)) | lead[n];
        uint32_t got = 0;
        bool surrogate = c >= 0xd800 && c < 0xe000;
        wrong += ib_utf8_char((const char *)b, n, &got) != (surrogate ? 0 : n) || (!surrogate && got != c);
        wrong += n > 1 && ib_utf8_char((const char *)b, n - 1, &got) != 0;
    }
    CHECK_INT(wrong, 0);
    ib_rng rng;
    ib_rng_seed(&rng, 5);
    for (int k = 0; k < 65536 + 2000000; k++) {
        char b[4] = {(char)(k >> 8), (char)k};
        size_t n = 2, length = 0;
        uint32_t c;
        if (k >= 65536) {
            n = 3 + (size_t)k % 2;
            for (size_t i = 0; i < n; i++) {
                b[i] = (char)(0x80 | ib_rng_below(&rng, 128));
            }
        }
        for (size_t i = 0; i < n && (length = ib_utf8_char(b + i, n - i, &c)); i += length)
            ;
        json_t *j = json_stringn(b, n);
        unlike += (j != NULL) != (length != 0);
        json_decref(j);
    }
    CHECK_INT(unlike, 0);
    static const uint32_t hidden[][2] = {{0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},
                                         {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
                                         {0xfeff, 0xfeff}};
    int marked = 0, meant = 0;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        marked += !ib_char_is_plain(c);
    }
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        for (uint32_t c = hidden[i][0]; c <= hidden[i][1]; c++) {
            meant++;
            CHECK(!ib_char_is_plain(c));
        }
    }
    CHECK_INT(marked, meant);
}

static void test_cuts(void) {
    const char *s = "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x8e\x88z";
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (size_t most = 0; most < sizeof want / sizeof *want; most++) {
        CHECK_INT(ib_text_fit(s, most), want[most]);
    }
    CHECK_INT(ib_text_fit("\x80\x80\x80\x80\x80\x80", 4), 4); /* no character is parted */
    CHECK_INT(ib_text_bom("\xef\xbb\xbf", 3), 3);
    CHECK_INT(ib_text_bom("\xef\xbb\xbf", 2), 0);
    CHECK_INT(ib_text_bom("abc", 3), 0);
}

/* ---- JSON as Python writes it ---- */

static int parse(json_t **j, const char *text, size_t n, ib_error *err) {
    *err = (ib_error){0};
    return ib_json_parse(j, text, n, 32, 1000, "a.json", "", err);
}

static void test_python(void) {
    char digits[400], nine[400];
    snprintf(digits, sizeof digits, "[1%0308d]", 0); /* 1e308 */
    snprintf(nine, sizeof nine, "[%s9]", "2");
    memset(nine + 1, '9', 309); /* beyond double */
    strcpy(nine + 310, "]");
    const struct {
        const char *text, *want; /* NULL: refused */
    } t[] = {
        {"{\"model_max_length\": 1000000000000000019884624838656}", "{\"model_max_length\": 1e30}"},
        {"[NaN, Infinity, -Infinity,NaN]", "[null, null, null, null]"},
        {"{\"a\":NaN,\"b\":{\"c\":Infinity}}", "{\"a\": null, \"b\": {\"c\": null}}"},
        {"[9223372036854775807, -9223372036854775808]", "[9223372036854775807, -9223372036854775808]"},
        {"[9223372036854775808, -9223372036854775809]", "[9.2233720368547758e18, -9.2233720368547758e18]"},
        {"[99999999999999999999]", "[1e20]"},
        {"[1e308, 1E309, -1e400, 1.5e+9999, 1e-9999]", "[1e308, null, null, null, 0.0]"},
        {"[0, -0, 0.5, -1.25e-3, 1e5]", "[0, 0, 0.5, -0.00125, 100000.0]"},
        {digits, "[1e308]"},
        {nine, "[null]"},
        {"[\"NaN\", \"Infinity 99999999999999999999\", \"\\\"NaN\", \"\\\\\"]",
         "[\"NaN\", \"Infinity 99999999999999999999\", \"\\\"NaN\", \"\\\\\"]"},
        {"[true, false, null]", "[true, false, null]"},
        {"[-NaN]", NULL},
        {"[+Infinity]", NULL},
        {"[-Infinityx]", NULL},
        {"[NaNNaN]", NULL},
        {"[Infinity1]", NULL},
        {"[1NaN]", NULL},
        {"[NaN.0]", NULL},
        {"[NaN_]", NULL},
        {"[nan]", NULL},
        {"[infinity]", NULL},
        {"[Inf]", NULL},
        {"[-]", NULL},
        {"[- Infinity]", NULL},
        {"[--Infinity]", NULL},
        {"[NaN NaN]", NULL},
        {"[NaN\"a\"]", NULL},
        {"[01]", NULL},
        {"[0999999999999999999999]", NULL},
        {"[-01]", NULL},
        {"[99999999999999999999.]", NULL},
        {"[99999999999999999999e]", NULL},
        {"[99999999999999999999a]", NULL},
        {"[1e999+]", NULL},
        {"[.5]", NULL},
        {"[0x10]", NULL},
        {"{NaN: 1}", NULL},
        {"{\"a\": 1, \"a\": NaN}", NULL},
        {"[\"\x80\"]", NULL},
        {"[\"\\u0000\"]", NULL},
        {"NaN", NULL},
        {"99999999999999999999", NULL},
        {"", NULL},
        {"[NaN", NULL},
        {"[NaN,]", NULL},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        json_t *j;
        ib_error err;
        int rc = parse(&j, t[i].text, strlen(t[i].text), &err);
        char *got = j ? json_dumps(j, 0) : NULL;
        json_t *want = t[i].want ? json_loads(t[i].want, 0, NULL) : NULL;
        check_done++;
        if (!j != !t[i].want || (rc != IB_OK) != !j || (want && !json_equal(j, want)) ||
            (rc && (rc != IB_E_FORMAT || !strstr(err.text, "a.json is not valid JSON")))) {
            check_failed++;
            printf("FAILED '%.60s' is %d '%s' (%s), wanted '%s'\n", t[i].text, rc, got ? got : "", err.text,
                   t[i].want ? t[i].want : "refused");
        }
        free(got);
        json_decref(j);
        json_decref(want);
    }
    json_t *j;
    ib_error err;
    CHECK_ERROR(parse(&j, "[NaN]\0[1]", 9, &err), &err, IB_E_FORMAT, "not valid JSON");
    CHECK_ERROR(parse(&j, "[\"a\0b\"]", 7, &err), &err, IB_E_FORMAT, "not valid JSON");
    CHECK_ERROR(parse(&j, "[\n\nNaN,\nx]", 10, &err), &err, IB_E_FORMAT, "line 4");
    /* the bounds come first */
    CHECK_ERROR(ib_json_parse(&j, "[[[NaN]]]", 9, 2, 1000, "a.json", ": its header", &err), &err, IB_E_FORMAT,
                "a.json: its header nests deeper");
    CHECK_ERROR(ib_json_parse(&j, "[NaN,NaN,NaN]", 13, 3, 2, "a.json", "", &err), &err, IB_E_FORMAT,
                "more than 2");
    CHECK(!j);
}

/* What is strict JSON is read as jansson reads it, whatever bytes follow each other. */
static void test_strict(void) {
    static const char *const part[] = {
        "[", "]", "{", "}",  "\"",    "\\",   ",", ":",    "1",     "-",      ".5",    "e3",  "null",
        "a", " ", "0", "\n", "12345", "\x1b", "é", "true", "1e300", "\"k\":", "\"v\"", "[1,", "{\"q\":2}"};
    enum { PARTS = sizeof part / sizeof *part };
    ib_rng rng;
    int valid = 0, unlike = 0;
    ib_rng_seed(&rng, 7);
    for (int k = 0; k < 300000; k++) {
        char text[200] = "[";
        size_t words = 1 + ib_rng_below(&rng, 7);
        for (size_t i = 0; i < words; i++) {
            strcat(text, part[ib_rng_below(&rng, PARTS)]);
        }
        strcat(text, "]");
        json_error_t je;
        json_t *ours, *theirs = json_loads(text, JSON_REJECT_DUPLICATES, &je);
        ib_error err;
        parse(&ours, text, strlen(text), &err);
        valid += theirs != NULL;
        /* they differ over numbers that are too large, and over nothing else */
        unlike += theirs ? !ours || !json_equal(ours, theirs)
                         : ours && json_error_code(&je) != json_error_numeric_overflow;
        json_decref(ours);
        json_decref(theirs);
    }
    printf("%d of 300000 random texts are JSON\n", valid);
    CHECK(valid > 1000);
    CHECK_INT(unlike, 0);
}

static void test_dump(void) {
    json_t *j =
        json_pack("{s:s, s:[s,i]}", "k\xe2\x80\xae", "a\x1b[2J\xc2\x9b\x7f\n", "list", "caf\xc3\xa9", 3);
    char *text = ib_json_dump(j, JSON_INDENT(2) | JSON_SORT_KEYS);
    same_text("the dump", "an object", text ? strdup(text) : NULL,
              "{\n  \"k\\u202E\": \"a\\u001B[2J\\u009B\\u007F\\n\",\n  \"list\": [\n    \"caf\xc3\xa9\",\n   "
              " 3\n  ]\n}");
    json_t *again = text ? json_loads(text, 0, NULL) : NULL;
    CHECK(again && json_equal(j, again));
    json_decref(again);
    json_decref(j);
    free(text);
    CHECK(!ib_json_dump(NULL, 0));
}

/* ---- files ---- */

static void test_numbers_of_headers(void) {
    static const char *const header[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1e400],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,Infinity]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}"};
    for (size_t i = 0; i < sizeof header / sizeof *header; i++) {
        char file[300] = {0};
        size_t n = strlen(header[i]);
        ib_st *f;
        ib_error err = {0};
        file[0] = (char)n;
        memcpy(file + 8, header[i], n);
        store(in_folder("n.safetensors"), file, 8 + n + 4);
        CHECK_ERROR(ib_st_open(&f, in_folder("n.safetensors"), &err), &err, IB_E_FORMAT,
                    i < 3 ? "invalid shape" : "outside");
    }
}

static void test_clip_config(void) {
    static const struct {
        const char *text;
        const char *error; /* NULL: taken */
    } t[] = {
        {"{\"vision_config\": {\"hidden_size\": 64, \"initializer_factor\": Infinity, \"dropout\": NaN}}",
         NULL},
        {"{\"vision_config\": {\"hidden_size\": 64}, \"model_max_length\": 1000000000000000019884624838656}",
         NULL},
        {"\xef\xbb\xbf{\"vision_config\": {\"hidden_size\": 64}}", NULL},
        {"{\"vision_config\": {\"hidden_size\": NaN}}", "'hidden_size' is not a whole number"},
        {"{\"vision_config\": {\"hidden_size\": 64, \"num_hidden_layers\": Infinity}}",
         "'num_hidden_layers'"},
        {"{\"vision_config\": {\"hidden_size\": 99999999999999999999}}",
         "'hidden_size' is not a whole number"},
        {"{\"vision_config\": {\"hidden_size\": 64, \"layer_norm_eps\": NaN}}", "'layer_norm_eps'"},
        {"\xef\xbb\xbf\xef\xbb\xbf{\"vision_config\": {\"hidden_size\": 64}}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        ib_clip_config c = {0};
        ib_error err = {0};
        store(in_folder("config.json"), t[i].text, strlen(t[i].text));
        int rc = ib_clip_config_load(&c, in_folder("config.json"), &err);
        if (t[i].error) {
            CHECK_ERROR(rc, &err, IB_E_FORMAT, t[i].error);
        } else {
            CHECK_OK(rc, &err);
            CHECK_INT(c.vision.width, 64);
        }
    }
    char *text;
    size_t n;
    ib_error err = {0};
    store(in_folder("bom.txt"), "\xef\xbb\xbfhe llo\n", 10);
    CHECK_OK(ib_text_load(&text, &n, in_folder("bom.txt"), 100, &err), &err);
    CHECK_INT(n, 7);
    same_text("a file", "bom.txt", text, "he llo\n");
}

static void test_metadata(void) {
    float one = 1;
    ib_st_tensor t = {.name = "x", .dtype = IB_F32, .rank = 1, .shape = {1}, .data = &one};
    ib_st_meta meta[] = {{"modelspec.merged_from", "ad\xe9.safetensors, b"}, {"ok", "caf\xc3\xa9"}};
    ib_st_meta bad = {"k\xe9", "v"};
    ib_st *f = NULL;
    ib_error err = {0};
    CHECK_OK(ib_st_write(in_folder("m.safetensors"), &t, 1, meta, 2, &err), &err);
    CHECK_OK(ib_st_open(&f, in_folder("m.safetensors"), &err), &err);
    if (f) {
        same_text("metadata", "ad\\xe9", strdup(ib_st_metadata(f, "modelspec.merged_from")),
                  "ad\\xe9.safetensors, b");
        same_text("metadata", "caf\xc3\xa9", strdup(ib_st_metadata(f, "ok")), "caf\xc3\xa9");
    }
    ib_st_close(&f);
    CHECK_ERROR(ib_st_write(in_folder("m.safetensors"), &t, 1, &bad, 1, &err), &err, IB_E_ARGUMENT,
                "not UTF-8");
}

/* ---- 8-bit floats ---- */

/* By the definition of the OCP specification, in double: sign, exponent of `bits` bits with its bias, the
 * rest is the fraction. */
static double f8_by_definition(int byte, int bits, int bias, bool ieee) {
    int fraction_bits = 7 - bits, top = (1 << bits) - 1;
    int e = byte >> fraction_bits & top, m = byte & ((1 << fraction_bits) - 1), whole = 1 << fraction_bits;
    double sign = byte & 0x80 ? -1 : 1;
    if (ieee && e == top) {
        return m ? (double)NAN : sign * (double)INFINITY;
    }
    if (!ieee && e == top && m == whole - 1) {
        return (double)NAN;
    }
    return e ? sign * pow(2, e - bias) * (1 + (double)m / whole) : sign * pow(2, 1 - bias) * m / whole;
}

static void test_f8(void) {
    uint8_t all[256];
    float got[256];
    ib_error err = {0};
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    for (int kind = 0; kind < 2; kind++) {
        ib_st_tensor t = {.name = "x",
                          .dtype = kind ? IB_F8_E5M2 : IB_F8_E4M3,
                          .rank = 1,
                          .shape = {256},
                          .elements = 256,
                          .data = all,
                          .bytes = 256};
        int wrong = 0;
        CHECK_OK(ib_st_to_f32(&t, got, &err), &err);
        for (int i = 0; i < 256; i++) {
            double want = f8_by_definition(i, kind ? 5 : 4, kind ? 15 : 7, kind == 1);
            bool same =
                isnan(want) ? isnan(got[i]) : (double)got[i] == want && !signbit(got[i]) == !signbit(want);
            wrong += !same;
            if (!same) {
                printf("%s 0x%02x is %.9g, wanted %.9g\n", ib_dtype_name(t.dtype), i, (double)got[i], want);
            }
        }
        CHECK_INT(wrong, 0);
        CHECK_OK(ib_st_to_f32_part(&t, 0x38, 2, got, &err), &err);
        CHECK_NEAR(got[0], kind ? 0.5 : 1, 0);
    }
}

int main(void) {
    if (!mkdtemp(folder)) {
        return 1;
    }
    RUN(test_forms());
    RUN(test_utf8());
    RUN(test_cuts());
    RUN(test_python());
    RUN(test_strict());
    RUN(test_dump());
    RUN(test_numbers_of_headers());
    RUN(test_clip_config());
    RUN(test_metadata());
    RUN(test_f8());
    static const char *const made[] = {"n.safetensors", "m.safetensors", "config.json", "bom.txt"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        unlink(in_folder(made[i]));
    }
    rmdir(folder);
    return check_report("test_text");
}
