/* The towers against what independent implementations computed: token numbers, pixels, hidden states and
 * embeddings of small random models. tests/fixtures/clip-tiny, of transformers, and clip-openclip, of
 * open_clip, are always here; models with the real vocabulary, in both file layouts, are tested too where
 * they lie beside the tree. */
#include <jansson.h>
#include "base/memory.h"
#include "clip/clip.h"
#include "latent/space.h"
#include "tests/check.h"

#define BESIDE "../shared/fixtures/"

static float *floats(const ib_st *f, const char *name, size_t *n) {
    const ib_st_tensor *t = ib_st_find(f, name);
    float *x;
    ib_error err = {0};
    if (!t || ib_alloc_floats(&x, t->elements, name, &err) || ib_st_to_f32(t, x, &err)) {
        printf("no tensor %s\n", name);
        exit(1);
    }
    *n = t->elements;
    return x;
}

/* |a - b| / |b| over the whole. */
static double relative(const float *a, const float *b, size_t n) {
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    return sqrt(d / s);
}

/* The largest difference, in units of the root mean square. */
static double worst(const float *a, const float *b, size_t n) {
    double most = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        most = d > most ? d : most;
        s += (double)b[i] * b[i];
    }
    return most / sqrt(s / (double)n);
}

static double cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

static void compare(const char *what, const float *got, const ib_st *expected, const char *name) {
    size_t n;
    float *want = floats(expected, name, &n);
    double r = relative(got, want, n), w = worst(got, want, n);
    printf("    %-28s relative difference %.2e, worst value %.2e of the rms\n", what, r, w);
    CHECK_NEAR(r, 0, 2e-5);
    CHECK_NEAR(w, 0, 1e-4);
    ib_free(want);
}

static void test_images(ib_clip *c, const ib_st *expected) {
    const ib_clip_tower *v = ib_clip_vision(c);
    size_t n, count = 2, hidden = count * v->tokens * v->width;
    float *pixels = floats(expected, "pixel_values", &n), *h, *z;
    ib_error err = {0};
    CHECK_INT(n, count * 3 * v->image * v->image);
    ib_alloc_floats(&h, hidden, "hidden", &err);
    ib_alloc_floats(&z, count * v->projection, "embeddings", &err);
    CHECK_OK(ib_clip_image_hidden(c, pixels, count, 1, h, &err), &err);
    compare("image, last but one block", h, expected, "vision_hidden_penultimate");
    CHECK_OK(ib_clip_image_hidden(c, pixels, count, 0, h, &err), &err);
    compare("image, last block", h, expected, "vision_hidden_last");
    CHECK_OK(ib_clip_images(c, pixels, count, z, &err), &err);
    compare("image embeddings", z, expected, "image_embeds");
    ib_free(pixels);
    ib_free(h);
    ib_free(z);
}

static void test_texts(ib_clip *c, const ib_st *expected, const char *folder) {
    const ib_clip_tower *t = ib_clip_text(c);
    const ib_st_tensor *ids = ib_st_find(expected, "input_ids");
    char path[300];
    size_t wrong = 0, n = (size_t)ids->shape[0], hidden = n * t->tokens * t->width;
    snprintf(path, sizeof path, "%s/prompts.json", folder);
    json_t *prompts = json_load_file(path, 0, NULL);
    int32_t want[77], *got = malloc(n * sizeof want);
    float *h, *z;
    ib_error err = {0};
    CHECK_INT(json_array_size(prompts), n);
    for (size_t i = 0; i < n; i++) {
        int32_t *g = got + i * 77;
        memcpy(want, (const char *)ids->data + i * sizeof want, sizeof want);
        CHECK_OK(ib_clip_tokenize(c, json_string_value(json_array_get(prompts, i)), g, &err), &err);
        int same = !memcmp(g, want, sizeof want);
        CHECK(same);
        for (int k = 0; k < 77 && !same; k++) {
            if (g[k] != want[k] && wrong++ < 20) {
                printf("    prompt %zu, token %d is %d, wanted %d\n", i, k, g[k], want[k]);
            }
        }
        memcpy(g, want, sizeof want);
    }
    ib_alloc_floats(&h, hidden, "hidden", &err);
    ib_alloc_floats(&z, n * t->projection, "embeddings", &err);
    CHECK_OK(ib_clip_text_hidden(c, got, n, 1, false, h, &err), &err);
    compare("text, last but one block", h, expected, "text_hidden_penultimate");
    CHECK_OK(ib_clip_text_hidden(c, got, n, 0, true, h, &err), &err);
    compare("text, last block", h, expected, "text_last_hidden_state");
    CHECK_OK(ib_clip_texts(c, got, n, z, &err), &err);
    compare("text embeddings", z, expected, "text_embeds");
    json_decref(prompts);
    free(got);
    ib_free(h);
    ib_free(z);
}

/* From the picture file to the embedding, as `encode` does it. */
static void test_picture(const char *spec, const ib_st *expected, const char *folder, const char *tokenizer) {
    size_t n, m;
    float *want = floats(expected, "image_embeds", &n), *pixels = floats(expected, "pixel_values", &m), *z,
          *x;
    char path[300];
    ib_frame f;
    ib_error err = {0};
    snprintf(path, sizeof path, "%s/frame.png", folder);
    ib_alloc_floats(&z, n, "embeddings", &err);
    ib_alloc_floats(&x, m, "pixels", &err);
    for (int fit = 0; fit < 2; fit++) {
        ib_space *s = NULL;
        ib_space_options o = {.fit = fit ? IB_FIT_SQUASH : IB_FIT_CROP, .tokenizer = tokenizer};
        CHECK_OK(ib_space_open_with(&s, spec, &o, &err), &err);
        if (!s) {
            continue;
        }
        printf("    %s\n    %s; prompts: %d\n", ib_space_id(s), ib_space_remark(s), ib_space_reads_text(s));
        for (int planes = 0; planes < 2; planes++) {
            CHECK_OK(ib_read_still(&f, path, &(ib_reader_options){.rgb = !planes}, &err), &err);
            CHECK_OK(ib_space_prepare(s, &f, x, &err), &err);
            CHECK_OK(ib_space_encode(s, &f, z, &err), &err);
            double off = 0, c = cosine(z, want + (size_t)fit * n / 2, n / 2);
            int other = 0;
            for (size_t i = 0; i < m / 2; i++) {
                double d = fabs((double)x[i] - pixels[(size_t)fit * m / 2 + i]);
                off = d > off ? d : off;
                other += d > 1e-5;
            }
            printf("    frame.png %s from %s: cosine 1 - %.2e; %d of %zu pixels differ, at most by %.4f\n",
                   fit ? "squashed" : "cropped", planes ? "4:2:0" : "RGB", 1 - c, other, m / 2, off);
            if (!planes) {
                CHECK(c > 0.9999);
                CHECK_NEAR(off, 0, 0.016); /* one step of 8 bits */
            }
            ib_frame_free(&f);
        }
        ib_space_close(&s);
    }
    ib_free(want);
    ib_free(pixels);
    ib_free(z);
    ib_free(x);
}

static void test_fixture(const char *folder, const char *weights, const char *tokenizer) {
    char path[300], spec[320];
    ib_st *expected = NULL;
    ib_clip *c = NULL;
    ib_error err = {0};
    ib_clip_options o = {.tokenizer = tokenizer};
    printf("%s\n", folder);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    CHECK_OK(ib_st_open(&expected, path, &err), &err);
    snprintf(path, sizeof path, "%s%s", folder, weights);
    CHECK_OK(ib_clip_open(&c, path, &o, &err), &err);
    if (c && expected && ib_clip_vision(c) && ib_clip_text(c)) {
        test_images(c, expected);
        test_texts(c, expected, folder);
        snprintf(spec, sizeof spec, "clip:%s", path);
        test_picture(spec, expected, folder, tokenizer);
    } else {
        CHECK(!"both towers");
    }
    ib_clip_close(&c);
    ib_st_close(&expected);
}

int main(void) {
    RUN(test_fixture("tests/fixtures/clip-tiny", "", NULL));
    RUN(test_fixture("tests/fixtures/clip-openclip", "", NULL));
    RUN(test_fixture("tests/fixtures/clip-openclip", "/open_clip_model.safetensors", NULL));
    if (ib_is_dir(BESIDE)) {
        RUN(test_fixture(BESIDE "clip-tiny-hf", "", BESIDE "clip-tiny-hf"));
        RUN(test_fixture(BESIDE "clip-tiny-openclip", "/open_clip_model.safetensors", BESIDE "clip-tiny-hf"));
        RUN(test_fixture(BESIDE "clip-tiny-openclip", "", BESIDE "clip-tiny-hf"));
    }
    return check_report("test_clip_reference");
}
