/* Models as renderers: a folder of reduced parts, frames by seed, starts from pictures, refusals. */
#include <sys/stat.h>
#include <unistd.h>
#include "diffusion/diffusion.h"
#include "diffusion/vae.h"
#include "tests/diffusion_fixture.h"

static char root[] = "/tmp/ib_diffusion_XXXXXX";

/* root/name -> the tree's fixture */
static void part(const char *name, const char *fixture) {
    char here[1024], from[2048], to[256];
    CHECK(getcwd(here, sizeof here) != NULL);
    snprintf(from, sizeof from, "%s/tests/fixtures/diffusion/%s", here, fixture);
    snprintf(to, sizeof to, "%s/%s", root, name);
    unlink(to);
    CHECK_INT(symlink(from, to), 0);
}

static void scheduler(const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/scheduler", root);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/scheduler/scheduler_config.json", root);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

enum { W = 64, H = 48, EACH = W * H * 3 };

static void fill(float *v, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(seed >> 8) / (float)(1 << 24) * 2 - 1;
    }
}

static int different(const float *a, const float *b) {
    return memcmp(a, b, EACH * sizeof *a) != 0;
}

static void seen(void *context, size_t frames, double share) {
    double *last = context;
    CHECK(share >= *last && share <= 1 + 1e-9);
    CHECK(frames <= 16);
    *last = share;
}

static void test_frames(void) {
    ib_diffusion *d = NULL;
    ib_error err = {0};
    part("unet", "unet-sd15");
    part("vae", "vae");
    scheduler(
        "{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085, "
        "\"beta_end\": 0.012, \"clip_sample\": false, \"set_alpha_to_one\": false, \"steps_offset\": 1}");
    ib_diffusion_options o = {.threads = 2};
    CHECK_OK(ib_diffusion_open(&d, root, &o, &err), &err);
    if (!d) {
        return;
    }
    const ib_diffusion_about *a = ib_diffusion_about_of(d);
    CHECK_INT(a->family, IB_DIFFUSION_SD);
    CHECK(!strcmp(a->sampler, "ddim") && a->sampler_said && a->sampler_known);
    CHECK(!a->has_text && a->text_floats > 0 && a->encodes && !a->embedding_width);
    float *text = ib_calloc(5 * a->text_floats, sizeof *text),
          *none = ib_calloc(a->text_floats, sizeof *none);
    float *pictures = ib_calloc(5 * EACH, sizeof *pictures), *alone = ib_calloc(EACH, sizeof *alone);
    float *picture = ib_calloc(EACH, sizeof *picture);
    fill(text, 5 * a->text_floats, 1);
    memcpy(text + 3 * a->text_floats, text, a->text_floats * sizeof *text); /* frames 0 and 3 are equal */
    memcpy(text + 4 * a->text_floats, text, a->text_floats * sizeof *text);
    fill(picture, EACH, 9);
    for (size_t i = 0; i < EACH; i++) {
        picture[i] = picture[i] / 2 + .5f;
    }
    double share = 0;
    bool done[5];
    const float *start[5] = {NULL, NULL, NULL, NULL, picture};
    float strength[5] = {1, 1, 1, 1, 0.5f};
    ib_diffusion_job job = {.frames = 5,
                            .width = W,
                            .height = H,
                            .text = text,
                            .negative_text = none,
                            .start = start,
                            .strength = strength,
                            .steps = 3,
                            .guidance = 3,
                            .seed = 7,
                            .noise_level = -1,
                            .batch = 3,
                            .progress = seen,
                            .context = &share};
    CHECK_OK(ib_diffusion_render(d, &job, pictures, done, &err), &err);
    CHECK_NEAR(share, 1, 1e-9);
    for (int i = 0; i < 5; i++) {
        CHECK(done[i]);
    }
    CHECK(!different(pictures, pictures + 3 * EACH));
    CHECK(different(pictures, pictures + EACH));
    CHECK(different(pictures, pictures + 4 * EACH));
    /* a frame alone; another seed */
    job.frames = 1;
    job.text = text + a->text_floats;
    job.start = NULL;
    job.progress = NULL;
    CHECK_OK(ib_diffusion_render(d, &job, alone, NULL, &err), &err);
    CHECK(!different(alone, pictures + EACH));
    job.seed = 8;
    CHECK_OK(ib_diffusion_render(d, &job, alone, NULL, &err), &err);
    CHECK(different(alone, pictures + EACH));
    /* strength 0: the autoencoder's picture of the start, whatever the text and seed */
    start[0] = picture;
    strength[0] = 0;
    job.start = start;
    CHECK_OK(ib_diffusion_render(d, &job, alone, NULL, &err), &err);
    job.text = text;
    CHECK_OK(ib_diffusion_render(d, &job, pictures, NULL, &err), &err);
    CHECK(!different(alone, pictures));
    /* refusals */
    job.steps = 0;
    CHECK_ERROR(ib_diffusion_render(d, &job, alone, NULL, &err), &err, IB_E_ARGUMENT, "0 steps");
    job.steps = 3;
    job.width = 63;
    CHECK_ERROR(ib_diffusion_render(d, &job, alone, NULL, &err), &err, IB_E_ARGUMENT, "63x48");
    job.width = W;
    job.embedding = text;
    CHECK_ERROR(ib_diffusion_render(d, &job, alone, NULL, &err), &err, IB_E_UNSUPPORTED, "IP-Adapter");
    job.embedding = NULL;
    job.text = NULL;
    CHECK_ERROR(ib_diffusion_render(d, &job, alone, NULL, &err), &err, IB_E_UNSUPPORTED, "text encoder");
    job.text = text;
    strength[0] = 1;
    atomic_int stop = 1;
    job.stop = &stop;
    CHECK_ERROR(ib_diffusion_render(d, &job, alone, done, &err), &err, IB_E_INTERRUPTED, "interrupted");
    CHECK(!done[0]);
    ib_free(text);
    ib_free(none);
    ib_free(pictures);
    ib_free(alone);
    ib_free(picture);
    ib_diffusion_close(&d);
}

/* Two starts to noise and back, with guidance: with what the way back misses they are the autoencoder's own
 * pictures of them, and without it they are not. */
static void test_inverted(void) {
    ib_diffusion *d = NULL;
    ib_error err = {0};
    ib_diffusion_options o = {.threads = 2};
    CHECK_OK(ib_diffusion_open(&d, root, &o, &err), &err);
    if (!d) {
        return;
    }
    size_t each = ib_diffusion_latent_floats(d, W, H), text_each = ib_diffusion_about_of(d)->text_floats;
    float *text = ib_calloc(3 * text_each, sizeof *text), *picture = ib_calloc(2 * EACH, sizeof *picture),
          *noise = ib_calloc(2 * each, sizeof *noise), *residual = ib_calloc(2 * each, sizeof *residual),
          *want = ib_calloc(2 * EACH, sizeof *want), *got = ib_calloc(2 * EACH, sizeof *got);
    const float *start[2] = {picture, picture + EACH}, *from[2] = {noise, noise + each},
                *more[2] = {residual, residual + each};
    float zero[2] = {0, 0};
    double share = 0, worst = 0, missed = 0;
    fill(text, 3 * text_each, 3);
    fill(picture, 2 * EACH, 4);
    for (size_t i = 0; i < 2 * EACH; i++) {
        picture[i] = picture[i] / 4 + .5f;
    }
    ib_diffusion_job job = {.frames = 2,
                            .width = W,
                            .height = H,
                            .text = text,
                            .negative_text = text + 2 * text_each,
                            .start = start,
                            .strength = zero,
                            .steps = 3,
                            .guidance = 3,
                            .noise_level = -1,
                            .progress = seen,
                            .context = &share};
    CHECK_OK(ib_diffusion_render(d, &job, want, NULL, &err), &err);
    share = 0;
    CHECK_OK(ib_diffusion_invert(d, &job, noise, residual, &err), &err);
    CHECK_NEAR(share, 1, 1e-9);
    job.start = NULL;
    job.noise = from;
    job.progress = NULL;
    CHECK_OK(ib_diffusion_render(d, &job, got, NULL, &err), &err);
    for (size_t i = 0; i < 2 * EACH; i++) {
        missed = fmax(missed, fabs((double)got[i] - (double)want[i]));
    }
    job.residual = more;
    CHECK_OK(ib_diffusion_render(d, &job, got, NULL, &err), &err);
    for (size_t i = 0; i < 2 * EACH; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    CHECK_NEAR(worst, 0, 1e-4);
    CHECK(missed > 0.01);
    ib_diffusion_close(&d);
    o.sampler = "euler";
    CHECK_OK(ib_diffusion_open(&d, root, &o, &err), &err);
    job.start = start;
    CHECK_ERROR(ib_diffusion_invert(d, &job, noise, residual, &err), &err, IB_E_ARGUMENT, "euler");
    ib_diffusion_close(&d);
    float *const all[] = {text, picture, noise, residual, want, got};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

static void test_refused(void) {
    ib_diffusion *d = NULL;
    ib_error err = {0};
    ib_diffusion_options o = {.threads = 1, .sampler = "heun"};
    CHECK_ERROR(ib_diffusion_open(&d, root, &o, &err), &err, IB_E_ARGUMENT, "heun");
    o.sampler = NULL;
    o.ip_adapter = "tests/fixtures/diffusion/noise.safetensors";
    CHECK_ERROR(ib_diffusion_open(&d, root, &o, &err), &err, IB_E_UNSUPPORTED, "IP-Adapter");
    o.ip_adapter = NULL;
    CHECK(ib_diffusion_open(&d, "/nowhere", &o, &err) < 0);
    CHECK(d == NULL);
}

int main(void) {
    char command[256];
    if (!mkdtemp(root)) {
        return 1;
    }
    RUN(test_frames());
    RUN(test_inverted());
    RUN(test_refused());
    snprintf(command, sizeof command, "rm -r %s", root);
    CHECK_INT(system(command), 0);
    return check_report("diffusion_face");
}
