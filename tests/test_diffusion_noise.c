/* Random numbers as torch makes them; tests/fixtures/diffusion/README.md says where these come from. */
#include "base/safetensors.h"
#include "check.h"
#include "diffusion/noise.h"

static const char *const FILE_NAME = "tests/fixtures/diffusion/noise.safetensors";

static double worst(const ib_st *f, const char *name, const float *got, size_t n) {
    const ib_st_tensor *t = ib_st_find(f, name);
    CHECK(t && t->elements == n);
    if (!t || t->elements != n) {
        return NAN;
    }
    float want[1024];
    double most = 0;
    CHECK_OK(ib_st_to_f32(t, want, NULL), &(ib_error){0});
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        most = d > most ? d : most;
    }
    return most;
}

static void test_like_torch(const ib_st *f) {
    static const unsigned long long seeds[] = {0, 1, 42, 1234567890123ull};
    static const size_t counts[] = {1, 15, 16, 17, 31, 40, 1024};
    static ib_noise g;
    float got[1024];
    char name[64];
    for (int s = 0; s < 4; s++) {
        for (int k = 0; k < 7; k++) {
            ib_noise_seed(&g, seeds[s]);
            ib_noise_normal(&g, got, counts[k]);
            snprintf(name, sizeof name, "%llu.%zu", seeds[s], counts[k]);
            CHECK_NEAR(worst(f, name, got, counts[k]), 0, 3e-7);
        }
        ib_noise_seed(&g, seeds[s]);
        ib_noise_normal(&g, got, 120);
        ib_noise_normal(&g, got + 120, 120);
        snprintf(name, sizeof name, "%llu.twice", seeds[s]);
        CHECK_NEAR(worst(f, name, got, 240), 0, 3e-7);
    }
}

/* torch draws channels first; latents here have them last. */
static void test_layout(void) {
    static ib_noise g;
    float plain[4 * 6], scratch[4 * 6], got[6 * 4];
    ib_noise_seed(&g, 7);
    ib_noise_normal(&g, plain, 24);
    ib_noise_seed(&g, 7);
    ib_noise_latents(&g, 2, 3, 4, scratch, got);
    for (int i = 0; i < 6; i++) {
        for (int c = 0; c < 4; c++) {
            CHECK_NEAR(got[i * 4 + c], plain[c * 6 + i], 0);
        }
    }
}

/* The second of a pair is kept between small draws and has nothing to do with large ones. */
static void test_odd_draws(void) {
    static ib_noise a, b;
    float x[3], y[3];
    ib_noise_seed(&a, 5);
    ib_noise_seed(&b, 5);
    ib_noise_normal(&a, x, 3);
    ib_noise_normal(&b, y, 1);
    ib_noise_normal(&b, y + 1, 2);
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(y[i], x[i], 0);
    }
}

int main(void) {
    ib_error err = {0};
    ib_st *f = NULL;
    if (ib_st_open(&f, FILE_NAME, &err) < 0) {
        printf("%s\n", err.text);
        return 1;
    }
    RUN(test_like_torch(f));
    RUN(test_layout());
    RUN(test_odd_draws());
    ib_st_close(&f);
    return check_report("diffusion_noise");
}
