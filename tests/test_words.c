/* Small conversions that several rooms share: hex, times after @, layouts by name, the weights of cubic
 * convolution. */
#include <math.h>
#include "base/text.h"
#include "latent/layout.h"
#include "nn/keys.h"
#include "tests/check.h"

static void test_hex(void) {
    const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff, 0x30};
    char out[11];
    ib_text_hex(bytes, 5, out);
    CHECK(!strcmp(out, "000fa5ff30"));
    ib_text_hex(bytes, 0, out);
    CHECK(!*out);
}

static void test_seconds(void) {
    static const char *const bad[] = {"",      "s",   "x",   "-1",   "1.5 s", "1ss",
                                      "1e999", "nan", "inf", "1:30", "-0.1s"};
    ib_error err = {0};
    double t = -1;
    CHECK(ib_text_seconds("1.5s", &t) && t == 1.5);
    CHECK(ib_text_seconds("0", &t) && t == 0);
    CHECK(ib_text_seconds("2e1", &t) && t == 20);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (ib_text_seconds(bad[i], &t)) {
            printf("'%s' was taken for %g s\n", bad[i], t);
            CHECK(!"a time");
        }
    }
    CHECK_ERROR(ib_text_no_seconds("a.mp4@x", &err), &err, IB_E_ARGUMENT, "a.mp4@x: after @ a time");
}

static void test_layouts(void) {
    ib_layout l = IB_LAYOUT_SINGLE;
    for (int i = IB_LAYOUT_GRID; i <= IB_LAYOUT_SINGLE; i++) {
        CHECK(ib_layout_named(ib_layout_name((ib_layout)i), &l));
        CHECK_INT(l, i);
    }
    CHECK(!ib_layout_named("", &l) && !ib_layout_named("Grid", &l) && !ib_layout_named("?", &l));
    CHECK_INT(l, IB_LAYOUT_SINGLE);
}

/* Samples of any parabola give it back at every place between them. */
static void test_keys(void) {
    double worst = 0;
    for (int i = 0; i <= 1000; i++) {
        double x = i / 1000.0, got = 0, want = 3 - 2 * x + 0.7 * x * x;
        for (int k = -2; k <= 3; k++) {
            got += ib_keys(k - x) * (3 - 2 * k + 0.7 * k * k);
        }
        worst = fmax(worst, fabs(got - want));
    }
    printf("cubic convolution of a parabola: off by at most %.3g\n", worst);
    CHECK_NEAR(worst, 0, 1e-13);
    CHECK_NEAR(ib_keys(0), 1, 0);
    CHECK_NEAR(ib_keys(-1), 0, 0);
    CHECK_NEAR(ib_keys(0.5), 0.5625, 0);
    CHECK_NEAR(ib_keys(-1.5), -0.0625, 0);
    CHECK_NEAR(ib_keys(2.5), 0, 0);
}

int main(void) {
    RUN(test_hex());
    RUN(test_seconds());
    RUN(test_layouts());
    RUN(test_keys());
    return check_report("test_words");
}
