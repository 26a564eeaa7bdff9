/* Whole paths from noise to latents beside the independent implementation's. */
#include "diffusion/denoise.h"
#include "diffusion/private.h"
#include "tests/diffusion_fixture.h"

typedef struct model {
    ib_weights *w;
    ib_unet_config c;
    ib_unet *u;
    ib_st *f;
} model;

static bool open_model(model *m, const char *unet) {
    char path[1024], file[1200];
    ib_error err = {0};
    *m = (model){0};
    if (!fixture_folder(path, sizeof path, unet, 1)) {
        return false;
    }
    CHECK_OK(ib_weights_open(&m->w, path, "unet", &err), &err);
    CHECK_OK(ib_unet_config_read(&m->c, m->w, &err), &err);
    CHECK_OK(ib_unet_open(&m->u, m->w, &m->c, NULL, NULL, &err), &err);
    fixture_folder(path, sizeof path, "pipelines", 1);
    snprintf(file, sizeof file, "%s/expected.safetensors", path);
    CHECK_OK(ib_st_open(&m->f, file, &err), &err);
    return m->u && m->f;
}

static void close_model(model *m) {
    ib_unet_close(&m->u);
    ib_weights_close(&m->w);
    ib_st_close(&m->f);
}

static void test_text_to_image(const char *name, ib_sampler sampler, bool karras) {
    model m;
    ib_error err = {0};
    if (!open_model(&m, "sd15-unet")) {
        close_model(&m);
        return;
    }
    size_t n, k;
    float *asked = fixture_tensor(m.f, "prompt_embeds", 0, &k),
          *negative = fixture_tensor(m.f, "negative_prompt_embeds", 0, &k);
    float *start = fixture_tensor(m.f, "latents", 1, &n), *want = fixture_tensor(m.f, name, 1, &n);
    float *x = ib_calloc(2 * n, sizeof *x), *two = ib_calloc(2 * k, sizeof *two);
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_scheduler_defaults(&c, sampler);
    c.karras = karras;
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
                    .rows = 16,
                    .cols = 24,
                    .asked.context = two,
                    .negative.context = negative,
                    .tokens = 77,
                    .guided = true,
                    .guidance = 7.5,
                    .threads = 2};
    CHECK_OK(ib_denoise_run(&d, m.u, s, x, &err), &err);
    CHECK_FIXTURE(x, want, n, 1e-4);
    /* another text, another picture */
    CHECK(fixture_difference(x + n, want, n) > 0.01);
    /* alone and on one thread: the same bits */
    float *alone = ib_calloc(n, sizeof *alone);
    for (size_t i = 0; i < n; i++) {
        alone[i] = start[i] * scale;
    }
    d.frames = d.threads = 1;
    CHECK_OK(ib_denoise_run(&d, m.u, s, alone, &err), &err);
    CHECK(memcmp(alone, x, n * sizeof *x) == 0);
    atomic_int stop = 1;
    d.stop = &stop;
    CHECK_ERROR(ib_denoise_run(&d, m.u, s, alone, &err), &err, IB_E_INTERRUPTED, "interrupted");
    ib_scheduler_close(&s);
    float *const all[] = {asked, negative, start, want, x, two, alone};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    close_model(&m);
}

/* Only the image is asked for; half of the answered channels are dropped. */
static void test_kandinsky(void) {
    model m;
    ib_error err = {0};
    if (!open_model(&m, "kandinsky-unet")) {
        close_model(&m);
        return;
    }
    size_t n, k;
    float *asked = fixture_tensor(m.f, "kandinsky.image_embeds", 0, &k),
          *negative = fixture_tensor(m.f, "kandinsky.negative", 0, &k);
    float *x = fixture_tensor(m.f, "kandinsky.latents", 1, &n),
          *want = fixture_tensor(m.f, "kandinsky.ddim.latents_out", 1, &n);
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_scheduler_defaults(&c, IB_SAMPLER_DDIM);
    c.betas = IB_BETAS_LINEAR;
    c.alpha_to_one = false;
    CHECK_OK(ib_scheduler_open(&s, &c, 4, &err), &err);
    ib_denoise d = {.frames = 1,
                    .rows = 16,
                    .cols = 24,
                    .asked.added = asked,
                    .negative.added = negative,
                    .guided = true,
                    .guidance = 4,
                    .threads = 2};
    CHECK_OK(ib_denoise_run(&d, m.u, s, x, &err), &err);
    CHECK_FIXTURE(x, want, n, 1e-4);
    ib_scheduler_close(&s);
    ib_free(asked);
    ib_free(negative);
    ib_free(x);
    ib_free(want);
    close_model(&m);
}

/* Embeddings made noisy, and the path that begins with them; without noise they stay as they are. */
static void test_unclip(const char *level_name, int level) {
    model m;
    ib_error err = {0};
    char name[64];
    if (!open_model(&m, "unclip-unet")) {
        close_model(&m);
        return;
    }
    size_t n, k, d;
    float *e = fixture_tensor(m.f, "unclip.image_embeds", 0, &d),
          *noise = fixture_tensor(m.f, "unclip.noise", 0, &d),
          *mean = fixture_tensor(m.f, "unclip.mean", 0, &d),
          *deviation = fixture_tensor(m.f, "unclip.std", 0, &d);
    float *text = fixture_tensor(m.f, "prompt_embeds", 0, &k),
          *negative = fixture_tensor(m.f, "negative_prompt_embeds", 0, &k),
          *x = fixture_tensor(m.f, "latents", 1, &n);
    float *added = ib_calloc(2 * d, sizeof *added), *none = ib_calloc(2 * d, sizeof *none);
    snprintf(name, sizeof name, "unclip.noised_%s", level_name);
    float *noised = fixture_tensor(m.f, name, 0, &k);
    CHECK_INT(k, 2 * d);
    snprintf(name, sizeof name, "unclip.latents_%s", level_name);
    float *want = fixture_tensor(m.f, name, 1, &n);
    ib_unclip u = {0};
    CHECK_OK(ib_unclip_open(&u, "/nowhere", d, &err), &err);
    CHECK(!u.mean && !u.deviation);
    u.mean = mean;
    u.deviation = deviation;
    ib_unclip_condition(&u, d, -1, e, noise, added);
    CHECK(memcmp(added, e, d * sizeof *e) == 0);
    ib_unclip_condition(&u, d, level, e, noise, added);
    CHECK_FIXTURE(added, noised, 2 * d, 1e-6);
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_scheduler_defaults(&c, IB_SAMPLER_PNDM);
    c.prediction = IB_PREDICT_V;
    CHECK_OK(ib_scheduler_open(&s, &c, 4, &err), &err);
    ib_denoise job = {.frames = 1,
                      .rows = 16,
                      .cols = 24,
                      .asked = {text, NULL, added},
                      .negative = {negative, NULL, none},
                      .tokens = 77,
                      .guided = true,
                      .guidance = 10,
                      .threads = 2};
    CHECK_OK(ib_denoise_run(&job, m.u, s, x, &err), &err);
    CHECK_FIXTURE(x, want, n, 1e-4);
    ib_scheduler_close(&s);
    float *const all[] = {e, noise, mean, deviation, text, negative, x, added, none, noised, want};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    close_model(&m);
}

int main(void) {
    RUN(test_text_to_image("sd15.ddim.latents", IB_SAMPLER_DDIM, false));
    RUN(test_text_to_image("sd15.pndm.latents", IB_SAMPLER_PNDM, false));
    RUN(test_text_to_image("sd15.euler.latents", IB_SAMPLER_EULER, false));
    RUN(test_text_to_image("sd15.dpmpp.latents", IB_SAMPLER_DPMPP, true));
    RUN(test_kandinsky());
    RUN(test_unclip("0", 0));
    RUN(test_unclip("300", 300));
    if (!check_done) {
        return check_skip("diffusion_denoise", "INBETWEEN_SHARED is not set");
    }
    return check_report("diffusion_denoise");
}
