/* What must be the same bits on every machine: latents of the patch space. The sums below were computed on
 * x86-64; the same test runs on other processors (tools/cross_aarch64.sh, tools/old_processor.sh). */
#include "base/safetensors.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/geometry.h"
#include "latent/patch.h"
#include "tests/check.h"

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

/* Slerp itself takes sines of the C library, which differ in their last bit; nothing else may. */
static void test_slerp(void) {
    ib_rng r;
    ib_rng_seed2(&r, 5, 6);
    float *z[3];
    for (int k = 0; k < 3; k++) {
        z[k] = ib_calloc(N, 4);
        for (size_t i = 0; i < N; i++) {
            z[k][i] = ib_rng_float(&r) - 0.4f;
        }
    }
    ib_slerp_in(ib_geometry_of("patch:dct8+4:v1"), z[0], z[1], 0.3f, ROWS * COLS, 96, z[2]);
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < N; i++) {
        sum += (double)z[2][i];
        weighted += (double)z[2][i] * (double)(i % 97);
    }
    printf("slerp: %.9g %.9g\n", sum, weighted);
    CHECK_NEAR(sum, 626.46496, 1e-3);
    CHECK_NEAR(weighted, 30855.0756, 1e-1);
    for (int k = 0; k < 3; k++) {
        ib_free(z[k]);
    }
}

int main(void) {
    RUN(test_latents());
    RUN(test_slerp());
    return check_report("test_bits");
}
