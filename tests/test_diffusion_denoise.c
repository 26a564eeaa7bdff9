/* Whole paths from noise to latents in the tiny world, and noisy image embeddings, beside the independent
 * implementation's (tools/tinyworld/compare.py). */
#include "diffusion/denoise.h"
#include "diffusion/private.h"
#include "tests/diffusion_fixture.h"

enum { SIDE = 8, TOKENS = 20 };

static void test_text_to_image(const char *name, ib_sampler sampler, bool karras) {
    ib_weights *w = NULL;
    ib_unet_config u_config;
    ib_unet *u = NULL;
    ib_st *f = NULL;
    ib_error err = {0};
    CHECK_OK(ib_weights_open(&w, "models/tinyworld", "unet", &err), &err);
    CHECK_OK(ib_unet_config_read(&u_config, w, &err), &err);
    CHECK_OK(ib_unet_open(&u, w, &u_config, NULL, NULL, &err), &err);
    CHECK_OK(ib_st_open(&f, "tests/fixtures/tinyworld/expected.safetensors", &err), &err);
    size_t n, k;
    float *asked = fixture_tensor(f, "asked", 0, &k), *negative = fixture_tensor(f, "negative", 0, &k);
    float *start = fixture_tensor(f, "noise", 1, &n), *want = fixture_tensor(f, name, 1, &n);
    float *x = ib_calloc(2 * n, sizeof *x), *two = ib_calloc(2 * k, sizeof *two);
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_scheduler_defaults(&c, sampler);
    c.karras = karras;
    c.prediction = IB_PREDICT_V;
    c.spacing = sampler == IB_SAMPLER_EULER ? IB_SPACING_LEADING : c.spacing;
    CHECK_OK(ib_scheduler_open(&s, &c, 5, &err), &err);
    float scale = (float)ib_scheduler_start_scale(s);
    for (size_t i = 0; i < n; i++) {
        x[i] = start[i] * scale;
    }
    memcpy(x + n, x, n * sizeof *x);
    memcpy(two, asked, k * sizeof *two);
    memcpy(two + k, negative, k * sizeof *two);
    ib_denoise d = {.frames = 2,
                    .rows = SIDE,
                    .cols = SIDE,
                    .asked.context = two,
                    .negative.context = negative,
                    .tokens = TOKENS,
                    .guided = true,
                    .guidance = 3,
                    .threads = 2};
    CHECK_OK(ib_denoise_run(&d, u, s, x, &err), &err);
    CHECK_FIXTURE(x, want, n, 1e-4);
    /* another text, another picture */
    CHECK(fixture_difference(x + n, want, n) > 0.01);
    /* alone and on one thread: the same bits */
    float *alone = ib_calloc(n, sizeof *alone);
    for (size_t i = 0; i < n; i++) {
        alone[i] = start[i] * scale;
    }
    d.frames = d.threads = 1;
    CHECK_OK(ib_denoise_run(&d, u, s, alone, &err), &err);
    CHECK(memcmp(alone, x, n * sizeof *x) == 0);
    atomic_int stop = 1;
    d.stop = &stop;
    CHECK_ERROR(ib_denoise_run(&d, u, s, alone, &err), &err, IB_E_INTERRUPTED, "interrupted");
    ib_scheduler_close(&s);
    float *const all[] = {asked, negative, start, want, x, two, alone};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_unet_close(&u);
    ib_weights_close(&w);
    ib_st_close(&f);
}

/* Embeddings made noisy; without a level they stay as they are. */
static void test_unclip(const char *name, int level) {
    ib_st *f = NULL;
    ib_error err = {0};
    CHECK_OK(ib_st_open(&f, "tests/fixtures/diffusion/unclip/noised.safetensors", &err), &err);
    size_t k, d;
    float *e = fixture_tensor(f, "image_embeds", 0, &d), *noise = fixture_tensor(f, "noise", 0, &d),
          *mean = fixture_tensor(f, "mean", 0, &d), *deviation = fixture_tensor(f, "std", 0, &d),
          *want = fixture_tensor(f, name, 0, &k);
    CHECK_INT(k, 2 * d);
    float *got = ib_calloc(2 * d, sizeof *got);
    ib_unclip u = {0};
    CHECK_OK(ib_unclip_open(&u, "/nowhere", d, &err), &err);
    CHECK(!u.mean && !u.deviation);
    u.mean = mean;
    u.deviation = deviation;
    ib_unclip_condition(&u, d, -1, e, noise, got);
    CHECK(memcmp(got, e, d * sizeof *e) == 0);
    ib_unclip_condition(&u, d, level, e, noise, got);
    CHECK_FIXTURE(got, want, 2 * d, 1e-6);
    float *const all[] = {e, noise, mean, deviation, want, got};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    ib_st_close(&f);
}

int main(void) {
    RUN(test_text_to_image("ddim", IB_SAMPLER_DDIM, false));
    RUN(test_text_to_image("pndm", IB_SAMPLER_PNDM, false));
    RUN(test_text_to_image("euler", IB_SAMPLER_EULER, false));
    RUN(test_text_to_image("dpmpp", IB_SAMPLER_DPMPP, true));
    RUN(test_unclip("noised_0", 0));
    RUN(test_unclip("noised_300", 300));
    return check_report("diffusion_denoise");
}
