/* The towers, the tokenizer and the preprocessing against oracles, on small models of random weights in all
 * layouts. */
#include <sys/stat.h>
#include "base/memory.h"
#include "clip/clip.h"
#include "tests/check.h"
#include "tests/clip_oracle.h"
#include "tests/clips.h"

static ib_error err;

/* |got - want| / |want| */
static double relative(const float *got, const double *want, size_t n) {
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        s += want[i] * want[i];
    }
    return sqrt(d / s);
}

static void check_image(ib_clip *c, const model *m, bool quick) {
    enum { N = 3 };
    const model_tower *t = &m->vision;
    size_t in = 3 * t->image * t->image, hidden = t->tokens * t->width, d = t->projection;
    float *pixels = malloc(N * in * sizeof *pixels), *h = malloc(N * hidden * sizeof *h),
          *z = malloc(N * d * sizeof *z);
    double *want = malloc(hidden * sizeof *want), *embed = malloc(d * sizeof *embed), worst = 0;
    ib_rng r;
    ib_rng_seed(&r, 5);
    for (size_t i = 0; i < N * in; i++) {
        pixels[i] = ib_rng_normal(&r);
    }
    for (size_t skip = 0; skip < 2; skip++) {
        CHECK_OK(ib_clip_image_hidden(c, pixels, N, skip, h, &err), &err);
        for (size_t i = 0; i < N; i++) {
            oracle_image(t, quick, pixels + i * in, skip, want, NULL);
            worst = fmax(worst, relative(h + i * hidden, want, hidden));
        }
    }
    CHECK_OK(ib_clip_images(c, pixels, N, z, &err), &err);
    for (size_t i = 0; i < N; i++) {
        oracle_image(t, quick, pixels + i * in, 0, want, embed);
        worst = fmax(worst, relative(z + i * d, embed, d));
    }
    printf("    image tower: relative difference %.2e\n", worst);
    CHECK_NEAR(worst, 0, 5e-6);
    free(pixels);
    free(h);
    free(z);
    free(want);
    free(embed);
}

static void check_text(ib_clip *c, const model *m, bool quick) {
    enum { N = 4 };
    const model_tower *t = &m->text;
    size_t n = t->tokens, hidden = n * t->width, d = t->projection;
    int32_t ids[N * 16];
    float *h = malloc(N * hidden * sizeof *h), *z = malloc(N * d * sizeof *z);
    double *want = malloc(hidden * sizeof *want), *embed = malloc(d * sizeof *embed), worst = 0;
    ib_rng r;
    ib_rng_seed(&r, 6);
    for (size_t i = 0; i < N; i++) { /* ends at 1, 6, 11 and 15 */
        size_t end = i == 3 ? n - 1 : 1 + 5 * i;
        for (size_t k = 0; k < n; k++) {
            ids[i * n + k] = k == 0 ? 538 : k == end ? 539 : k > end ? 33 : (int32_t)ib_rng_below(&r, 538);
        }
    }
    for (size_t skip = 0; skip < 2; skip++) {
        CHECK_OK(ib_clip_text_hidden(c, ids, N, skip, false, h, &err), &err);
        for (size_t i = 0; i < N; i++) {
            oracle_text(t, quick, ids + i * n, skip, want, NULL);
            worst = fmax(worst, relative(h + i * hidden, want, hidden));
        }
    }
    CHECK_OK(ib_clip_text_hidden(c, ids, N, 0, true, h, &err), &err);
    oracle_text(t, quick, ids + 3 * n, 0, want, NULL);
    for (size_t k = 0; k < n; k++) {
        oracle_norm(want + k * t->width, t->post_w, t->post_b, t->width, want + k * t->width);
    }
    worst = fmax(worst, relative(h + 3 * hidden, want, hidden));
    CHECK_OK(ib_clip_texts(c, ids, N, z, &err), &err);
    for (size_t i = 0; i < N; i++) {
        oracle_text(t, quick, ids + i * n, 0, want, embed);
        worst = fmax(worst, relative(z + i * d, embed, d));
    }
    printf("    text tower: relative difference %.2e\n", worst);
    CHECK_NEAR(worst, 0, 5e-6);
    ids[5] = 540;
    CHECK_ERROR(ib_clip_texts(c, ids, 1, z, &err), &err, IB_E_ARGUMENT, "540");
    free(h);
    free(z);
    free(want);
    free(embed);
}

/* Every naming, type and prefix; the hash of a tower does not depend on where and how its numbers lie. */
static void test_layouts(void) {
    static const struct {
        bool openclip;
        ib_dtype dtype;
        const char *prefix, *activation;
        int threads;
    } cases[] = {{false, IB_F32, "", "quick_gelu", 1},
                 {true, IB_F32, "", "gelu", 2},
                 {false, IB_F16, "clip_vision.", "gelu", 3},
                 {true, IB_F16, "cond_stage_model.model.", "quick_gelu", 2},
                 {true, IB_BF16, "conditioner.embedders.1.model.", NULL, 2},
                 {false, IB_BF16, "embedder.model.", NULL, 5}};
    char hash[6][65];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m = model_small(cases[i].openclip, cases[i].dtype, cases[i].prefix);
        ib_clip *c = NULL;
        model_make(&m, 1);
        CHECK_OK(model_write(&m, in_scratch("m.safetensors"), &err), &err);
        ib_clip_options o = {cases[i].activation, NULL, cases[i].threads};
        CHECK_OK(ib_clip_open(&c, in_scratch("m.safetensors"), &o, &err), &err);
        if (c) {
            const ib_clip_tower *v = ib_clip_vision(c), *t = ib_clip_text(c);
            printf("%s naming, %s, prefix '%s': %s (%s)\n", cases[i].openclip ? "OpenCLIP" : "Hugging Face",
                   ib_dtype_name(cases[i].dtype), v->prefix, ib_clip_act_name(v->act), v->act_why);
            CHECK(!strcmp(v->prefix, cases[i].prefix) && !strcmp(t->prefix, cases[i].prefix));
            CHECK_INT(v->layers, 3);
            CHECK_INT(t->layers, 2);
            CHECK_INT(v->heads, 1);
            CHECK_INT(t->heads, 2);
            CHECK_INT(v->image, 30);
            /* without a word from anyone the libraries' own defaults */
            if (!cases[i].activation) {
                CHECK(v->act == (cases[i].openclip ? IB_CLIP_GELU : IB_CLIP_QUICK_GELU) &&
                      strstr(v->act_why, "assumed"));
            }
            check_image(c, &m, v->act == IB_CLIP_QUICK_GELU);
            check_text(c, &m, t->act == IB_CLIP_QUICK_GELU);
            ib_clip_tower_sha256(v, hash[i]);
        }
        ib_clip_close(&c);
        model_free(&m);
    }
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < i; k++) {
            CHECK_INT(!strcmp(hash[i], hash[k]), cases[i].dtype == cases[k].dtype);
        }
    }
}

/* Float tensors that lie at odd addresses are not read in place. */
static void test_unaligned(void) {
    model m = model_small(false, IB_F32, "");
    ib_clip *c = NULL;
    size_t n;
    model_make(&m, 2);
    CHECK_OK(model_write(&m, in_scratch("m.safetensors"), &err), &err);
    FILE *f = fopen(in_scratch("m.safetensors"), "rb");
    fseek(f, 0, SEEK_END);
    n = (size_t)ftell(f);
    rewind(f);
    uint8_t *b = malloc(n + 1);
    CHECK_INT(fread(b, 1, n, f), n);
    fclose(f);
    size_t header = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16;
    memmove(b + 8 + header + 1, b + 8 + header, n - 8 - header);
    b[8 + header] = ' ';
    b[0]++;
    CHECK(b[0] != 0);
    f = fopen(in_scratch("odd.safetensors"), "wb");
    CHECK_INT(fwrite(b, 1, n + 1, f), n + 1);
    fclose(f);
    free(b);
    CHECK_OK(ib_clip_open(&c, in_scratch("odd.safetensors"), NULL, &err), &err);
    if (c) {
        CHECK((uintptr_t)ib_clip_vision(c)->block[0].fc1.part[0]->data % sizeof(float) != 0);
        check_image(c, &m, true);
    }
    ib_clip_close(&c);
    model_free(&m);
}

/* ---- tokens ---- */

static void expect_ids(const ib_clip *c, const char *prompt, int pad, int n, const int *want) {
    int32_t ids[16];
    CHECK_OK(ib_clip_tokenize(c, prompt, ids, &err), &err);
    CHECK_INT(ids[0], 538);
    for (int k = 0; k < 15; k++) {
        CHECK_INT(ids[k + 1], k < n && k < 14 ? want[k] : k == (n < 14 ? n : 14) ? 539 : pad);
    }
}

static void test_tokenizer(void) {
    for (int form = 0; form < 3; form++) {
        model m = model_small(form == 1, IB_F16, "");
        ib_clip *c = NULL;
        char folder[300], path[400];
        int pad = form == 2 ? 33 : 539, xs[20];
        snprintf(folder, sizeof folder, "%s/t%d", scratch, form);
        mkdir(folder, 0777);
        m.vision.width = 0;
        model_make(&m, 3);
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        CHECK_OK(model_write(&m, path, &err), &err);
        model_write_tokenizer(folder, form);
        if (form == 2) {
            snprintf(path, sizeof path, "%s/special_tokens_map.json", folder);
            FILE *f = fopen(path, "w");
            fputs("{\"pad_token\": {\"content\": \"!\"}}", f);
            fclose(f);
        }
        CHECK_OK(ib_clip_open(&c, folder, NULL, &err), &err);
        if (!c) {
            continue;
        }
        CHECK(!ib_clip_vision(c) && ib_clip_tokenizer_path(c));
        expect_ids(c, "", pad, 0, NULL);
        expect_ids(c, " \t\xc2\xa0\xe3\x80\x80\n", pad, 0, NULL); /* white space of all kinds */
        expect_ids(c, "The  CAT's\nhello", pad, 4, (int[]){515, 513, 520, 523});
        expect_ids(c, "xxxxx", pad, 2, (int[]){517, 256 + 'x'});
        expect_ids(c, "caf\xc3\xa9", pad, 3, (int[]){512, 'f', 526});
        expect_ids(c, "CAFE\xcc\x81", pad, 3, (int[]){512, 'f', 526}); /* upper case, accent apart */
        expect_ids(c, "of2nd", pad, 4, (int[]){521, 256 + '2', 'n', 256 + 'd'});
        expect_ids(c, "12", pad, 2, (int[]){256 + '1', 256 + '2'}); /* digits go alone */
        expect_ids(c, "?!red", pad, 3, (int[]){'?', 256 + '!', 519});
        expect_ids(c, "\xf0\x9f\x98\x80", pad, 4, (int[]){0xf0, 0x9f, 0x98, 256 + 0x80});
        expect_ids(c, "<|endoftext|>", pad, 13,
                   (int[]){'<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't', '|', 256 + '>'});
        for (int k = 0; k < 20; k++) {
            xs[k] = 256 + '9';
        }
        expect_ids(c, "99999999999999999999", pad, 20, xs);
        int32_t ids[16];
        CHECK_ERROR(ib_clip_tokenize(c, "a\xff\xfe", ids, &err), &err, IB_E_ARGUMENT, "UTF-8");
        char *longest = malloc(20001);
        memset(longest, 'y', 20000);
        longest[20000] = 0;
        CHECK_ERROR(ib_clip_tokenize(c, longest, ids, &err), &err, IB_E_ARGUMENT, "20000 bytes");
        longest[16000] = 0;
        CHECK_OK(ib_clip_tokenize(c, longest, ids, &err), &err);
        free(longest);
        ib_clip_close(&c);
        model_free(&m);
    }
}

/* ---- pictures ---- */

static void check_prepare(const ib_clip *c, int w, int h, bool squash, int tw, int th) {
    enum { SIDE = 30 };
    size_t stride = (size_t)w * 3 + 5;
    uint8_t *rgb = malloc(stride * (size_t)h), *packed = malloc((size_t)w * (size_t)h * 3);
    double *want = malloc(SIDE * SIDE * 3 * sizeof *want), mean[3] = {0.48145466, 0.4578275, 0.40821073},
           dev[3] = {0.26862954, 0.26130258, 0.27577711}, worst = 0;
    float *pixels = malloc(SIDE * SIDE * 3 * sizeof *pixels);
    ib_rng r;
    int other = 0;
    ib_rng_seed(&r, 9);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < 3 * w; x++) {
            rgb[(size_t)y * stride + (size_t)x] = packed[y * 3 * w + x] =
                (uint8_t)(ib_rng_below(&r, 4) ? 128 + 100 * sin(x * .2 + y * .1)
                                              : (double)ib_rng_below(&r, 256));
        }
    }
    CHECK_OK(ib_clip_prepare(c, squash ? IB_FIT_SQUASH : IB_FIT_CROP, rgb, stride, w, h, pixels, &err), &err);
    oracle_resample(packed, w, h, tw, th, (tw - SIDE) / 2, (th - SIDE) / 2, SIDE, want);
    for (int i = 0; i < SIDE * SIDE; i++) {
        for (int k = 0; k < 3; k++) {
            double v = ((double)pixels[k * SIDE * SIDE + i] * dev[k] + mean[k]) * 255,
                   d = fabs(v - want[3 * i + k]);
            other += d > 0.01;
            worst = fmax(worst, d);
        }
    }
    printf("%d x %d %s: %d of %d samples differ, at most by %.3f\n", w, h, squash ? "squashed" : "cropped",
           other, SIDE * SIDE * 3, worst);
    CHECK(worst < 1.01); /* where a sum lies on the edge between two values */
    CHECK(other <= 27);  /* 1 % */
    free(rgb);
    free(packed);
    free(want);
    free(pixels);
}

static void test_prepare(void) {
    model m = model_small(true, IB_F16, "");
    ib_clip *c = NULL;
    m.text.width = 0;
    model_make(&m, 4);
    CHECK_OK(model_write(&m, in_scratch("v.safetensors"), &err), &err);
    CHECK_OK(ib_clip_open(&c, in_scratch("v.safetensors"), NULL, &err), &err);
    if (c) {
        check_prepare(c, 97, 61, false, 47, 30);
        check_prepare(c, 61, 97, false, 30, 47);
        check_prepare(c, 97, 61, true, 30, 30);
        check_prepare(c, 30, 30, false, 30, 30);
        check_prepare(c, 30, 64, true, 30, 30);
        check_prepare(c, 13, 9, false, 43, 30); /* enlarged */
        check_prepare(c, 1, 1, true, 30, 30);
        float x[1];
        uint8_t rgb[3] = {0};
        CHECK_ERROR(ib_clip_prepare(c, IB_FIT_CROP, rgb, 3, 0, 1, x, &err), &err, IB_E_ARGUMENT, "0 x 1");
        CHECK_ERROR(ib_clip_prepare(c, IB_FIT_CROP, rgb, 3, 16384, 1, x, &err), &err, IB_E_ARGUMENT,
                    "squash");
        CHECK_ERROR(ib_clip_tokenize(c, "", NULL, &err), &err, IB_E_UNSUPPORTED, "no text tower");
    }
    ib_clip_close(&c);
    model_free(&m);
}

int main(void) {
    if (!make_scratch("clip")) {
        return check_skip("test_clip", "no scratch directory");
    }
    RUN(test_layouts());
    RUN(test_unaligned());
    RUN(test_tokenizer());
    RUN(test_prepare());
    remove_scratch();
    return check_report("test_clip");
}
