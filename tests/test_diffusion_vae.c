/* The autoencoders against the independent implementation, and against themselves on several threads. */
#include "base/file.h"
#include "diffusion/vae.h"
#include "tests/diffusion_fixture.h"

static ib_st *open_expected(const char *folder) {
    char path[512];
    ib_error err = {0};
    ib_st *f = NULL;
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    CHECK_INT(ib_st_open(&f, path, &err), 0);
    return f;
}

static void scale(float *v, size_t n, double by, double plus) {
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)(v[i] * by + plus);
    }
}

static void test_fixture(const char *name, ib_vae_kind kind, const char *latent, int shared) {
    char folder[300];
    ib_error err = {0};
    ib_vae *v = NULL;
    if (!fixture_folder(folder, sizeof folder, name, shared)) {
        return;
    }
    int rc = ib_vae_open(&v, folder, 0, &err);
    CHECK_OK(rc, &err);
    ib_st *f = open_expected(folder);
    if (rc || !f) {
        return;
    }
    const ib_vae_about *a = ib_vae_about_of(v);
    CHECK_INT(a->kind, kind);
    CHECK_INT(a->channels, 4);
    const ib_st_tensor *picture_tensor = ib_st_find(f, "image");
    if (!picture_tensor || !ib_st_find(f, latent) || !ib_st_find(f, "z") || !ib_st_find(f, "decoded")) {
        CHECK(!"the fixture is whole");
        return;
    }
    size_t rows = (size_t)picture_tensor->shape[2], cols = (size_t)picture_tensor->shape[3], n, m;
    float *picture = fixture_tensor(f, "image", 1, &n), *mean = fixture_tensor(f, latent, 1, &m);
    CHECK_INT(a->factor * a->factor * m, n / 3 * 4);
    scale(picture, n, 0.5, 0.5);
    scale(mean, m, a->scaling, -a->shift * a->scaling);
    float *encoded = ib_calloc(m, sizeof *encoded), *deviation = ib_calloc(m, sizeof *deviation);
    CHECK_OK(ib_vae_encode(v, picture, rows, cols, encoded, deviation, 2, &err), &err);
    CHECK_FIXTURE(encoded, mean, m, shared ? 1e-5 : 5e-5);
    if (kind == IB_VAE_KL) {
        float *wanted = fixture_tensor(f, "logvar", 1, &m);
        for (size_t i = 0; i < m; i++) {
            wanted[i] = (float)(exp(0.5 * wanted[i]) * a->scaling);
        }
        CHECK_FIXTURE(deviation, wanted, m, shared ? 1e-5 : 5e-5);
        ib_free(wanted);
    }
    float *z = fixture_tensor(f, "z", 1, &m), *wanted = fixture_tensor(f, "decoded", 1, &n);
    float *decoded = ib_calloc(n, sizeof *decoded), *again = ib_calloc(n + m, sizeof *again);
    scale(z, m, a->scaling, -a->shift * a->scaling);
    scale(wanted, n, 0.5, 0.5);
    CHECK_OK(ib_vae_decode(v, z, rows / a->factor, cols / a->factor, decoded, 2, &err), &err);
    CHECK_FIXTURE(decoded, wanted, n, shared ? 1e-5 : 5e-5);
    CHECK_OK(ib_vae_decode(v, z, rows / a->factor, cols / a->factor, again, 1, &err), &err);
    CHECK(!memcmp(decoded, again, n * sizeof *again));
    memcpy(again, encoded, m * sizeof *again);
    CHECK_OK(ib_vae_encode(v, picture, rows, cols, encoded, NULL, 1, &err), &err);
    CHECK(!memcmp(encoded, again, m * sizeof *again));
    ib_free(again);
    ib_free(decoded);
    ib_free(wanted);
    ib_free(z);
    ib_free(deviation);
    ib_free(encoded);
    ib_free(mean);
    ib_free(picture);
    ib_st_close(&f);
    ib_vae_close(&v);
}

int main(void) {
    RUN(test_fixture("taesd", IB_VAE_TINY, "latents", 0));
    RUN(test_fixture("vae", IB_VAE_KL, "mean", 0));
    RUN(test_fixture("movq", IB_VAE_MOVQ, "latents", 0));
    RUN(test_fixture("taesd", IB_VAE_TINY, "latents", 1));
    RUN(test_fixture("vae", IB_VAE_KL, "mean", 1));
    RUN(test_fixture("movq", IB_VAE_MOVQ, "latents", 1));
    return check_report("test_diffusion_vae");
}
