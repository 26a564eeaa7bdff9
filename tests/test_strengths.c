/* Strengths of merged models: the lowest of all, and ids of pixel models. */
#include "adapter/pixel_model.h"
#include "adapter/adapter_file.h"
#include "adapter/strengths.h"
#include "base/rng.h"
#include "tests/check.h"

enum { MOST = 5 };

static void check_equal(const ib_strengths *got, const ib_strengths *want) {
    CHECK_INT(got->bins, want->bins);
    for (int i = 0; i < want->bins; i++) {
        CHECK_NEAR(got->gap_seconds[i], want->gap_seconds[i], 0);
        for (int w = 0; w < IB_STRENGTHS; w++) {
            CHECK_NEAR(got->value[w][i], want->value[w][i], 0);
        }
    }
}

/* Of models of pictures or not, with these strengths and a trust of 1. */
static void lowest(ib_strengths *out, const ib_strengths *const *s, size_t n, bool pictures) {
    static ib_adapter_config c[MOST];
    const ib_adapter_config *in[MOST];
    for (size_t i = 0; i < n; i++) {
        c[i] = (ib_adapter_config){.motion = pictures, .trust = 1, .strengths = *s[i]};
        in[i] = &c[i];
    }
    ib_strengths_lowest(out, in, n);
}

static void test_known(bool pictures) {
    const ib_strengths a = {.bins = 2,
                            .gap_seconds = {0.1f, 0.4f},
                            .value = {{1, 0.5f}, {0.2f, 0.2f}, {0.3f, 0.1f}}},
                       b = {.bins = 2,
                            .gap_seconds = {0.2f, 0.4f},
                            .value = {{0.5f, 0.75f}, {0, 1}, {0.25f, 0}}},
                       none = {0};
    const ib_strengths *both[] = {&a, &b, &none}, *nobody[] = {&none, &none};
    ib_strengths got;
    lowest(&got, nobody, 2, pictures);
    CHECK_INT(got.bins, 0);
    lowest(&got, both, 3, pictures);
    /* half-way in the logarithm of the gap a's are 0.75, 0.2 and 0.2 */
    const ib_strengths want = {.bins = 3,
                               .gap_seconds = {0.1f, 0.2f, 0.4f},
                               .value = {{0.5f, 0.5f, 0.5f}, {0, 0, 0.2f}, {0.25f, 0.2f, 0}}};
    CHECK_INT(got.bins, want.bins);
    for (int i = 0; i < want.bins; i++) {
        CHECK_NEAR(got.gap_seconds[i], want.gap_seconds[i], 0);
        for (int w = 0; w < IB_STRENGTHS; w++) {
            CHECK_NEAR(got.value[w][i], want.value[w][i], 1e-6);
        }
    }
    const ib_strengths *alone[] = {&a, &a, &none};
    lowest(&got, alone, 3, pictures);
    check_equal(&got, &a);
}

/* An end at another gap: the sum of both may not go on where one has stopped. */
static void test_ends(void) {
    const ib_strengths near = {.bins = 1, .gap_seconds = {0.2f}, .value = {{1}, {1}, {1}}},
                       far = {.bins = 2, .gap_seconds = {0.2f, 1.6f}, .value = {{1, 1}, {1, 1}, {1, 1}}};
    const ib_strengths *both[] = {&near, &far};
    ib_strengths got;
    lowest(&got, both, 2, false);
    CHECK_NEAR(ib_strength_at(&got, IB_STRENGTH_GUIDE, 0.2f, false), 1, 0);
    CHECK_NEAR(ib_strength_at(&got, IB_STRENGTH_GUIDE, 0.4f, false), 0, 0);
    CHECK_NEAR(ib_strength_at(&got, IB_STRENGTH_GUIDE, 1.6f, false), 0, 0);
    lowest(&got, both, 2, true);
    CHECK_NEAR(ib_strength_at(&got, IB_STRENGTH_ALONE, 1.6f, true), 1, 0);
}

/* What a model of pictures has been followed by before it had strengths. */
static void test_trust(void) {
    const ib_adapter_config a = {.motion = true, .trust = 0.5},
                            b = {.motion = true,
                                 .trust = 0.25,
                                 .strengths = {2, {0.1f, 0.2f}, {[IB_STRENGTH_ALONE] = {0.25f, 1}}}};
    const ib_adapter_config *both[] = {&a, &b}, *alone[] = {&b}, *none[] = {&a};
    ib_strengths got;
    ib_strengths_lowest(&got, both, 2);
    CHECK_INT(got.bins, 2);
    CHECK_NEAR(got.value[IB_STRENGTH_ALONE][0], 0.25, 0);
    CHECK_NEAR(got.value[IB_STRENGTH_ALONE][1], 0.5, 0);
    ib_strengths_lowest(&got, alone, 1);
    CHECK_NEAR(got.value[IB_STRENGTH_ALONE][1], 1, 0);
    ib_strengths_lowest(&got, none, 1);
    CHECK_INT(got.bins, 0);
}

static ib_strengths draw(ib_rng *r, int bins) {
    ib_strengths s = {.bins = bins};
    float at = 0.02f + 0.1f * (float)ib_rng_double(r);
    for (int i = 0; i < bins; i++) {
        s.gap_seconds[i] = at;
        at *= 1.1f + (float)ib_rng_double(r);
        for (int w = 0; w < IB_STRENGTHS; w++) {
            s.value[w][i] = (float)ib_rng_double(r);
        }
    }
    return s;
}

/* Never above any, whatever the bins and however many. */
static void test_lowest(bool pictures) {
    ib_rng r;
    ib_rng_seed(&r, 11);
    double most = -1;
    int bins = 0;
    for (int turn = 0; turn < 300; turn++) {
        ib_strengths s[MOST], low, turned;
        const ib_strengths *in[MOST], *back[MOST];
        size_t n = 1 + (size_t)ib_rng_below(&r, MOST);
        for (size_t i = 0; i < n; i++) {
            s[i] = draw(&r, (int)ib_rng_below(&r, IB_STRENGTH_BINS + 1));
            in[i] = back[n - 1 - i] = &s[i];
        }
        lowest(&low, in, n, pictures);
        lowest(&turned, back, n, pictures);
        CHECK_INT(memcmp(&low, &turned, sizeof low), 0);
        CHECK(low.bins <= IB_STRENGTH_BINS);
        bins = low.bins > bins ? low.bins : bins;
        for (int i = 1; i < low.bins; i++) {
            CHECK(low.gap_seconds[i] > low.gap_seconds[i - 1]);
        }
        for (float gap = 0.01f; low.bins && gap < 50; gap *= 1.013f) {
            for (int w = 0; w < IB_STRENGTHS; w++) {
                float mine = ib_strength_at(&low, (ib_strength)w, gap, pictures);
                for (size_t i = 0; i < n; i++) {
                    most = fmax(most, mine - ib_strength_at(&s[i], (ib_strength)w, gap, pictures));
                }
            }
        }
    }
    CHECK_INT(bins, IB_STRENGTH_BINS);
    CHECK(most <= 1e-5);
    printf("above a parent by at most %g (tolerance 1e-5)\n", most);
}

/* Whatever is written is read again, to the bit. */
static void test_text(void) {
    ib_rng r;
    ib_rng_seed(&r, 5);
    for (int turn = 0; turn < 200; turn++) {
        ib_strengths s = draw(&r, 1 + turn % IB_STRENGTH_BINS), back;
        char text[IB_STRENGTHS_TEXT];
        s.value[0][0] = 1;
        s.value[1][0] = 1e-9f * (float)turn;
        ib_strengths_write(&s, text);
        CHECK(strlen(text) < sizeof text - 1);
        CHECK(ib_strengths_read(text, &back));
        check_equal(&back, &s);
    }
}

static void test_ids(void) {
    const char
        *a = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff friday.safetensors",
        *b = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        *c = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe friday.safetensors";
    CHECK(ib_guide_same_model(a, b) && ib_guide_same_model(b, a) && ib_guide_same_model("", ""));
    CHECK(!ib_guide_same_model(a, c) && !ib_guide_same_model("", a) &&
          !ib_guide_same_model("prior:1", "prior:12"));
    CHECK_INT(strcmp(ib_pixel_model_name(a).text, "friday.safetensors (sha256 001122334455...)"), 0);
    CHECK_INT(strcmp(ib_pixel_model_name(b).text, "(sha256 001122334455...)"), 0);
    CHECK_INT(strcmp(ib_pixel_model_name("prior:motion:3 prior").text, "prior (motion:3)"), 0);
    CHECK_INT(strcmp(ib_pixel_model_name("").text, "no pixel model"), 0);
    CHECK(ib_pixel_model_sha256(a) == a + 7 && !ib_pixel_model_sha256("sha256:00 x") &&
          !ib_pixel_model_sha256("prior:1"));
}

int main(void) {
    RUN(test_known(true));
    RUN(test_known(false));
    RUN(test_ends());
    RUN(test_trust());
    RUN(test_lowest(true));
    RUN(test_lowest(false));
    RUN(test_text());
    RUN(test_ids());
    return check_report("test_strengths");
}
