/* IP-Adapters' tokens beside the independent implementation's. */
#include "diffusion/ip_adapter.h"
#include "tests/diffusion_fixture.h"

static void test_tokens(const char *name, int plus, int shared) {
    char folder[1024], file[1200];
    ib_ip_adapter *a = NULL;
    ib_st *expected = NULL;
    ib_error err = {0};
    if (!fixture_folder(folder, sizeof folder, name, shared)) {
        return;
    }
    snprintf(file, sizeof file, "%s/ip-adapter.safetensors", folder);
    CHECK_OK(ib_ip_adapter_open(&a, file, 32, &err), &err);
    CHECK_ERROR(ib_ip_adapter_open(&(ib_ip_adapter *){NULL}, file, 768, &err), &err, IB_E_MISMATCH, "768");
    snprintf(file, sizeof file, "%s/expected.safetensors", folder);
    CHECK_OK(ib_st_open(&expected, file, &err), &err);
    if (!a || !expected) {
        ib_ip_adapter_close(&a);
        ib_st_close(&expected);
        return;
    }
    const ib_ip_about *about = ib_ip_adapter_about(a);
    CHECK_INT(about->plus, plus);
    CHECK_INT(about->tokens, plus ? 16 : 4);
    CHECK_INT(about->width, plus ? 40 : 48);
    CHECK_INT(about->context, 32);
    size_t n, m, hidden = !plus ? 1 : shared ? 257 : 37;
    float *x = fixture_tensor(expected, "image_embeds", 0, &n),
          *want = fixture_tensor(expected, "tokens", 0, &m);
    float *got = ib_calloc(m, sizeof *got), *alone = ib_calloc(m, sizeof *alone);
    CHECK_INT(n, 2 * hidden * about->width);
    CHECK_INT(m, 2 * about->tokens * about->context);
    CHECK_OK(ib_ip_adapter_tokens(a, x, 2, hidden, 1, got, &err), &err);
    /* The larger set was computed before its weights were rounded to half precision. */
    CHECK_FIXTURE(got, want, m, shared ? 1e-3 : 2e-6);
    /* another picture has other tokens, and a picture alone, on two threads, the same bits */
    CHECK(fixture_difference(got, got + m / 2, m / 2) > 0.1);
    CHECK_OK(ib_ip_adapter_tokens(a, x + n / 2, 1, hidden, 2, alone, &err), &err);
    CHECK(memcmp(alone, got + m / 2, m / 2 * sizeof *got) == 0);
    ib_free(x);
    ib_free(want);
    ib_free(got);
    ib_free(alone);
    ib_st_close(&expected);
    ib_ip_adapter_close(&a);
}

static void test_other_files(void) {
    ib_ip_adapter *a = NULL;
    ib_error err = {0};
    CHECK_ERROR(ib_ip_adapter_open(&a, "tests/fixtures/diffusion/noise.safetensors", 0, &err), &err,
                IB_E_UNSUPPORTED, "no IP-Adapter");
    CHECK(a == NULL);
    CHECK(ib_ip_adapter_open(&a, "tests/fixtures/diffusion/nothing.safetensors", 0, &err) < 0);
}

int main(void) {
    RUN(test_tokens("ip-base", 0, 0));
    RUN(test_tokens("ip-plus", 1, 0));
    RUN(test_tokens("ip-base", 0, 1));
    RUN(test_tokens("ip-plus", 1, 1));
    RUN(test_other_files());
    return check_report("diffusion_ip");
}
