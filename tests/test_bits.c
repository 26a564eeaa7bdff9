/* What must be the same bits on every machine: latents of the patch space, what is between them, and averages
 * of models. The sums below were computed on x86-64; the same test runs on other processors
 * (tools/cross_aarch64.sh, tools/old_processor.sh). */
#include "base/safetensors.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "tests/check.h"
#include "weights/average.h"

enum { ROWS = 7, COLS = 9, N = 96 * ROWS * COLS };

/* FNV-1a. */
static uint64_t sum_of(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) {
        h = (h ^ p[i]) * 0x100000001b3u;
    }
    return h;
}

#define CHECK_SUM(data, bytes, want)                                                                         \
    do {                                                                                                     \
        uint64_t got_ = sum_of(data, bytes);                                                                 \
        printf("%s: %016llx\n", #data, (unsigned long long)got_);                                            \
        CHECK(got_ == (want));                                                                               \
    } while (0)

static void test_latents(void) {
    ib_rng r;
    ib_rng_seed2(&r, 3, 4);
    ib_error err;
    ib_frame frame;
    CHECK_OK(ib_frame_alloc(&frame, 8 * COLS - 3, 8 * ROWS - 5, &err), &err);
    for (int k = 0; k < 3; k++) {
        size_t h = k ? (size_t)(frame.height + 1) / 2 : (size_t)frame.height,
               w = k ? (size_t)(frame.width + 1) / 2 : (size_t)frame.width;
        for (size_t i = 0; i < h * w; i++) {
            frame.plane[k][i / w * frame.stride[k] + i % w] = (uint8_t)ib_rng_below(&r, 256);
        }
    }
    float *planes = ib_calloc(N, 4), *z = ib_calloc(N, 4);
    uint16_t *half = ib_calloc(N, 2);
    ib_patch_from_frame(&frame, ROWS, COLS, planes);
    ib_patch_forward(planes, ROWS, COLS, z);
    ib_f32_to_f16(z, half, N);
    CHECK_SUM(z, N * 4, 0x2fe9c4383214f4c5u);
    CHECK_SUM(half, N * 2, 0xb179a75086c72414u);
    ib_patch_inverse(z, ROWS, COLS, planes);
    CHECK_SUM(planes, N * 4, 0x0afa7f9f45e611b0u);
    ib_frame_free(&frame);
    ib_free(planes);
    ib_free(z);
    ib_free(half);
}

enum { HIGH = 20, WIDE = 31, TOKENS = HIGH * WIDE, MANY = TOKENS * IB_PATCH_D };

static uint64_t state = 20240229;

/* -1 <= x < 1, 23 bits */
static float next_number(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int)(state >> 40) - (1 << 23)) / (1 << 23);
}

static float *numbers(size_t n, float mean, float spread) {
    float *x = ib_calloc(n, sizeof *x);
    for (size_t i = 0; x && i < n; i++) {
        x[i] = mean + spread * next_number(); /* in two roundings, or in one: spread is a power of two */
    }
    return x;
}

static void test_patch(void) {
    ib_error err = {0};
    ib_frame f = {0};
    int width = WIDE * 8 - 3, height = HIGH * 8 - 5; /* blocks beyond the edge too */
    CHECK_OK(ib_frame_alloc(&f, width, height, &err), &err);
    ib_frame_fill_black(&f);
    for (int k = 0; k < 3; k++) {
        int w = k ? (width + 1) / 2 : width, h = k ? (height + 1) / 2 : height;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                f.plane[k][(size_t)y * f.stride[k] + (size_t)x] = (uint8_t)(128 + 112 * next_number());
            }
        }
    }
    float *planes = ib_calloc(MANY, 4), *z = ib_calloc(MANY, 4), *back = ib_calloc(MANY, 4);
    ib_patch_from_frame(&f, HIGH, WIDE, planes);
    ib_patch_forward(planes, HIGH, WIDE, z);
    ib_patch_inverse(z, HIGH, WIDE, back);
    CHECK_SUM(planes, MANY * sizeof *planes, 0x088b19b4bb8a7127u);
    CHECK_SUM(z, MANY * sizeof *z, 0x5091d7aa9a054ce1u);
    CHECK_SUM(back, MANY * sizeof *back, 0x5df1a53c11dd386eu);
    ib_frame_free(&f);
    ib_free(planes);
    ib_free(z);
    ib_free(back);
}

/* Sines and arc tangents are the C library's and may differ in a double's last bit: that shows in a float
 * once in hundreds of millions. */
static void test_geometry(void) {
    static const float t[] = {0.125f, 1 / 3.0f, 0.5f, 0.9f};
    const ib_geometry *g = ib_geometry_of("patch:dct8+4:v1");
    CHECK(g && strcmp(ib_geometry_id(g), "slerp"));
    float *a = numbers(MANY, 0.5f, 0.5f), *b = numbers(MANY, 0.5f, 0.25f), *planes = ib_calloc(MANY, 4),
          *out = ib_calloc(MANY * 3 * (sizeof t / sizeof *t), 4), *o = out;
    for (int i = 0; i < 2; i++) { /* as pictures are: only then has slerp:range1 something to decide */
        memcpy(planes, i ? b : a, MANY * sizeof *planes);
        ib_patch_forward(planes, HIGH, WIDE, i ? b : a);
    }
    for (size_t i = 0; i < MANY / 2; i++) { /* alike in half of the picture */
        b[i] = 0.5f * (a[i] + b[i]);
    }
    for (size_t k = 0; k < sizeof t / sizeof *t; k++, o += 3 * MANY) {
        ib_slerp(a, b, t[k], TOKENS, IB_PATCH_D, o);
        ib_slerp_in(g, a, b, t[k], TOKENS, IB_PATCH_D, o + MANY);
        ib_lerp(a, b, t[k], MANY, o + 2 * MANY);
    }
    CHECK(memcmp(out, out + MANY, MANY * sizeof *out) &&
          memcmp(out + MANY, out + 2 * MANY, MANY * sizeof *out));
    CHECK_SUM(out, (size_t)(o - out) * sizeof *out, 0xec4216339a09f0adu);
    float angle[TOKENS];
    for (size_t i = 0; i < TOKENS; i++) {
        angle[i] = (float)ib_angle(a + i * IB_PATCH_D, b + i * IB_PATCH_D, IB_PATCH_D);
    }
    CHECK_SUM(angle, sizeof angle, 0x620d20e657a4715du);
    ib_free(a);
    ib_free(b);
    ib_free(planes);
    ib_free(out);
}

static void test_average(void) {
    enum { K = 5 };
    static const double weight[K] = {0.3, 0.1, 0.25, 0.2, 0.15};
    float *x[K], *out = ib_calloc(3 * (size_t)MANY, 4);
    for (int i = 0; i < K; i++) {
        x[i] = numbers(MANY, 0, (float)(1 << i));
    }
    const float *const *models = (const float *const *)x;
    ib_average_weighted(models, weight, K, out, MANY);
    ib_average_trimmed(models, weight, K, 1, out + MANY, MANY);
    ib_average_clipped(models, weight, K, x[0], 300, out + 2 * MANY, MANY, NULL);
    CHECK_SUM(out, MANY * sizeof *out, 0x2d50260a1797e35du);
    CHECK_SUM(out + MANY, MANY * sizeof *out, 0x58352ca1d795f458u);
    CHECK_SUM(out + 2 * MANY, MANY * sizeof *out, 0xd28c868e1e613027u);
    for (int i = 0; i < K; i++) {
        ib_free(x[i]);
    }
    ib_free(out);
}

/* In this order: they share the numbers. */
static void test_whole_numbers(void) {
    test_patch();
    test_geometry();
    test_average();
}

int main(void) {
    RUN(test_latents());
    RUN(test_whole_numbers());
    return check_report("test_bits");
}
