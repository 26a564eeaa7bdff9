/* Samplers against the independent implementation, with a formula in the place of the network;
 * tests/fixtures/diffusion/README.md. */
#include "base/json_file.h"
#include "base/safetensors.h"
#include "check.h"
#include "diffusion/scheduler.h"

static const char *const FOLDER = "tests/fixtures/diffusion";
enum { N = 4 * 6 * 5 };

/* NULL if it is not there. The caller frees. */
static float *tensor(const ib_st *f, const char *of, const char *part, size_t *n) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", of, part);
    const ib_st_tensor *t = ib_st_find(f, name);
    float *v = t ? malloc(t->elements * sizeof *v) : NULL;
    if (v && ib_st_to_f32(t, v, NULL) < 0) {
        free(v);
        v = NULL;
    }
    *n = v ? t->elements : 0;
    return v;
}

/* Relative to the largest wanted, if that is more than 1. */
static double worst(const float *got, const float *want, size_t n) {
    double most = 0, size = 1;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs((double)want[i]));
    }
    return most / size;
}

/* What stands for the network in the fixture. */
static void toy(const float *x, double scale, double t, float *e) {
    for (size_t j = 0; j < N; j++) {
        double v = (double)x[j] * scale;
        e[j] = (float)(0.6 * v + 0.25 * tanh(2 * v * (1 - t / 1000)) + 1e-4 * t);
    }
}

/* config.json's form of one setting, as a file beside which nothing else lies */
static int read_config(ib_scheduler_config *c, json_t *setting, const char *dir) {
    char path[256];
    bool there, known;
    ib_error err = {0};
    snprintf(path, sizeof path, "%s/scheduler_config.json", dir);
    json_object_set(setting, "_class_name", json_object_get(setting, "cls"));
    CHECK(json_dump_file(setting, path, 0) == 0);
    int rc = ib_scheduler_config_read(c, dir, -1, &there, &known, &err);
    CHECK_OK(rc, &err);
    CHECK(there && known);
    remove(path);
    return rc;
}

static void test_setting(const ib_st *f, const char *name, json_t *setting, const char *dir) {
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_error err = {0};
    size_t steps = (size_t)json_integer_value(json_object_get(setting, "steps")), n;
    if (read_config(&c, setting, dir) < 0) {
        return;
    }
    CHECK_OK(ib_scheduler_open(&s, &c, steps, &err), &err);
    float *path = tensor(f, name, "path", &n), *times = NULL, *sigmas = NULL, *alphas = NULL;
    size_t count = 0, n_sigmas = 0, n_alphas = 0;
    times = tensor(f, name, "timesteps", &count);
    sigmas = tensor(f, name, "sigmas", &n_sigmas);
    alphas = tensor(f, name, "alphas_cumprod", &n_alphas);
    CHECK(s && path && times && alphas && n_alphas == IB_TRAIN_STEPS);
    if (!s || !path || !times || !alphas) {
        goto done;
    }
    CHECK_INT(ib_scheduler_evaluations(s), count);
    CHECK_INT(n, (count + 1) * N);
    CHECK_NEAR(worst(ib_scheduler_alphas(s), alphas, IB_TRAIN_STEPS), 0, 2e-7);
    for (size_t i = 0; i < count; i++) {
        CHECK_NEAR(ib_scheduler_time(s, i), times[i], 1e-3);
    }
    for (size_t i = 0; i < n_sigmas; i++) {
        CHECK_NEAR(ib_scheduler_sigma(s, i), sigmas[i], 1e-6 * fmax(1, (double)sigmas[i]));
    }
    float x[N], e[N], noise[N];
    CHECK_OK(ib_scheduler_begin(s, N, &err), &err);
    memcpy(x, path, sizeof x);
    double off = 0;
    int draw = 0;
    for (size_t i = 0; i < count; i++) {
        toy(x, ib_scheduler_input_scale(s, i), ib_scheduler_time(s, i), e);
        const float *given = NULL;
        if (ib_scheduler_wants_noise(s, i)) {
            char part[16];
            snprintf(part, sizeof part, "%d", draw++);
            float *v = tensor(f, "noise", part, &n);
            CHECK(v != NULL);
            if (v) {
                memcpy(noise, v, sizeof noise);
                given = noise;
            }
            free(v);
        }
        ib_scheduler_step(s, i, x, e, given);
        double d = worst(x, path + (i + 1) * N, N);
        off = d > off || isnan(d) ? d : off;
    }
    printf("  %s: %zu evaluations, off by %.2g at most\n", name, count, off);
    CHECK_NEAR(off, 0, 1e-6);
done:
    free(path);
    free(times);
    free(sigmas);
    free(alphas);
    ib_scheduler_close(&s);
}

static void test_settings(const ib_st *f, json_t *all, const char *dir) {
    const char *name;
    json_t *setting;
    CHECK_INT(json_object_size(all), 18);
    json_object_foreach(all, name, setting) {
        test_setting(f, name, setting, dir);
    }
}

static void test_refused(void) {
    ib_scheduler *s = NULL;
    ib_scheduler_config c;
    ib_error err = {0};
    ib_scheduler_defaults(&c, IB_SAMPLER_DDIM);
    CHECK_ERROR(ib_scheduler_open(&s, &c, 0, &err), &err, IB_E_ARGUMENT, "0 steps");
    CHECK_ERROR(ib_scheduler_open(&s, &c, 1001, &err), &err, IB_E_ARGUMENT, "1001 steps");
    c.zero_snr = true;
    CHECK_ERROR(ib_scheduler_open(&s, &c, 10, &err), &err, IB_E_ARGUMENT, "v_prediction");
    ib_scheduler_defaults(&c, IB_SAMPLER_LCM);
    CHECK_ERROR(ib_scheduler_open(&s, &c, 51, &err), &err, IB_E_ARGUMENT, "50");
    CHECK(s == NULL);
    CHECK_INT(ib_sampler_by_name("dpm++"), IB_SAMPLER_DPMPP);
    CHECK_INT(ib_sampler_by_name("ddim-inverse"), -1);
}

/* Every number of steps, every spacing: times within training's, falling; a path that stays finite. */
static void test_ranges(void) {
    for (int k = 0; k < IB_SAMPLERS; k++) {
        for (size_t steps = 1; steps <= IB_TRAIN_STEPS; steps = steps < 60 ? steps + 1 : steps * 2 - 17) {
            for (int spacing = 0; spacing < 3; spacing++) {
                for (int karras = 0; karras < 2; karras++) {
                    ib_scheduler_config c;
                    ib_scheduler *s = NULL;
                    ib_error err = {0};
                    ib_scheduler_defaults(&c, (ib_sampler)k);
                    c.spacing = (ib_spacing)spacing;
                    c.karras = karras && steps < 8;
                    if (k == IB_SAMPLER_LCM && steps > c.original_steps) {
                        continue;
                    }
                    CHECK_OK(ib_scheduler_open(&s, &c, steps, &err), &err);
                    if (!s) {
                        continue;
                    }
                    CHECK_OK(ib_scheduler_begin(s, 2, &err), &err);
                    float x[2] = {1, -1}, e[2] = {.5f, -.25f}, noise[2] = {.1f, .2f};
                    bool good = true;
                    for (size_t i = 0; i < ib_scheduler_evaluations(s); i++) {
                        double t = ib_scheduler_time(s, i);
                        good = good && t >= 0 && t <= IB_TRAIN_STEPS - 1;
                        ib_scheduler_step(s, i, x, e, ib_scheduler_wants_noise(s, i) ? noise : NULL);
                        good = good && isfinite(x[0]) && isfinite(x[1]);
                    }
                    if (!good) {
                        printf("%s, %zu steps, spacing %d, karras %d\n", ib_sampler_name((ib_sampler)k),
                               steps, spacing, karras);
                    }
                    CHECK(good);
                    ib_scheduler_close(&s);
                }
            }
        }
    }
}

static void test_strength(void) {
    ib_scheduler *s = NULL;
    ib_scheduler_config c;
    ib_error err = {0};
    ib_scheduler_defaults(&c, IB_SAMPLER_PNDM);
    CHECK_OK(ib_scheduler_open(&s, &c, 5, &err), &err);
    CHECK_INT(ib_scheduler_first(s, 1), 0);
    CHECK_INT(ib_scheduler_first(s, 0.6), 2);
    CHECK_INT(ib_scheduler_first(s, 0.19), 6);
    CHECK_INT(ib_scheduler_first(s, 0), 6);
    ib_scheduler_close(&s);
}

/* The level that unCLIP calls 0 is not quite none. */
static void test_cosine(void) {
    ib_error err = {0};
    ib_scheduler *s = NULL;
    ib_scheduler_config c;
    ib_scheduler_defaults(&c, IB_SAMPLER_DDPM);
    c.betas = IB_BETAS_COSINE;
    CHECK_OK(ib_scheduler_open(&s, &c, 1, &err), &err);
    CHECK_NEAR(sqrt(1 - (double)ib_scheduler_alphas(s)[0]), 0.0064, 1e-4);
    CHECK_NEAR(ib_scheduler_alphas(s)[999], 0, 1e-6);
    ib_scheduler_close(&s);
}

int main(void) {
    ib_error err = {0};
    ib_st *f = NULL;
    json_t *all = NULL;
    char path[256], dir[] = "/tmp/ib_schedulers_XXXXXX";
    snprintf(path, sizeof path, "%s/schedulers.safetensors", FOLDER);
    int rc = ib_st_open(&f, path, &err);
    snprintf(path, sizeof path, "%s/schedulers.json", FOLDER);
    rc = rc < 0 ? rc : ib_json_load(&all, path, IB_JSON_SMALL_BYTES, &err);
    if (rc < 0 || !mkdtemp(dir)) {
        printf("%s\n", err.text);
        return 1;
    }
    RUN(test_settings(f, all, dir));
    RUN(test_refused());
    RUN(test_ranges());
    RUN(test_strength());
    RUN(test_cosine());
    json_decref(all);
    ib_st_close(&f);
    remove(dir);
    return check_report("diffusion_schedulers");
}
