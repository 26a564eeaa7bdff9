/* The motion estimate as programs see it: its parts are those that an untrained model predicts from. */
#include "tests/check.h"
#include "tests/moving.h"

#include "adapter/adapter.h"
#include "adapter/estimate.h"
#include "latent/geometry.h"

enum { ROWS = 3, COLS = 4, TOKENS = ROWS * COLS, D = IB_PATCH_D, VALUES = TOKENS * D, CELLS = 4 * TOKENS };
enum { SPLINE = (8 * ROWS + 2) * (8 * COLS + 2) + 2 * (4 * ROWS + 2) * (4 * COLS + 2) };

typedef struct estimate {
    float slerp[VALUES], carried0[VALUES], carried1[VALUES], hypothesis[IB_ESTIMATE_HYPOTHESES * VALUES];
    float seen[TOKENS * IB_ESTIMATE_SEEN], gate[CELLS], prior[2 * CELLS], spline0[SPLINE], spline1[SPLINE];
} estimate;

static float z0[VALUES], z1[VALUES];
static estimate one, other;

static ib_estimate_parts parts_of(estimate *e) {
    return (ib_estimate_parts){e->slerp, e->carried0, e->carried1, e->hypothesis, e->seen,
                               e->gate,  e->prior,    e->spline0,  e->spline1};
}

static void make_keyframes(void) {
    moving m = {.rows = ROWS, .cols = COLS, .speed = 2, .seed = 3};
    float planes[VALUES];
    moving_planes(&m, 0, planes);
    ib_patch_forward(planes, ROWS, COLS, z0);
    moving_planes(&m, 1, planes);
    ib_patch_forward(planes, ROWS, COLS, z1);
}

static double furthest(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    }
    return most;
}

/* An untrained model is 0.12 slerp + 0.17 + 0.17 + 0.44 of the hypotheses and 0.1 of the blend, which is the
 * carried keyframes' mean at t = 1/2. */
static void test_parts(void) {
    ib_error err = {0};
    ib_estimate *e = NULL;
    ib_adapter *a = NULL;
    ib_adapter_work *w = NULL;
    ib_adapter_config c;
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, TOKENS, D};
    ib_between in = {.z0 = z0, .z1 = z1, .t = 0.5f, .gap_seconds = 1};
    bool turned = memcmp(z0, z1, sizeof z0) > 0; /* as the model does */
    static float want[VALUES], got[VALUES], slerp[VALUES];
    CHECK_INT(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, D, &c, &err), IB_OK);
    CHECK_INT(ib_adapter_create(&a, &c, 1, &err), IB_OK);
    CHECK_INT(ib_adapter_work_create(&w, a, &shape, 1, false, &err), IB_OK);
    CHECK_INT(ib_adapter_predict(a, w, &in, 1, want, &err), IB_OK);
    CHECK_INT(ib_estimate_create(&e, ROWS, COLS, &err), IB_OK);
    CHECK_INT(ib_estimate_spline_floats(ROWS, COLS), SPLINE);
    ib_estimate_parts out = parts_of(&one);
    CHECK_INT(ib_estimate_make(e, turned ? z1 : z0, turned ? z0 : z1, 0.5f, &out, &err), IB_OK);
    ib_slerp_in(ib_geometry_of(MOVING_SPACE), z0, z1, 0.5f, TOKENS, D, slerp);
    CHECK_NEAR(furthest(slerp, one.slerp, VALUES), 0, 1e-6);
    for (size_t i = 0; i < VALUES; i++) {
        const float *h = one.hypothesis + i;
        got[i] = 0.12f * one.slerp[i] + 0.17f * (h[0] + h[VALUES]) + 0.44f * h[2 * VALUES] +
                 0.05f * (one.carried0[i] + one.carried1[i]);
    }
    CHECK_NEAR(furthest(got, want, VALUES), 0, 1e-5);
    CHECK(furthest(got, slerp, VALUES) > 1e-2);
    CHECK(furthest(one.carried0, z0, VALUES) > 1e-2);
    ib_estimate_free(&e);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
}

static void test_turned_round(void) {
    ib_error err = {0};
    ib_estimate *e = NULL;
    CHECK_INT(ib_estimate_create(&e, ROWS, COLS, &err), IB_OK);
    ib_estimate_parts out = parts_of(&one), back = parts_of(&other);
    CHECK_INT(ib_estimate_make(e, z0, z1, 0.5f, &out, &err), IB_OK);
    CHECK_INT(ib_estimate_make(e, z1, z0, 0.5f, &back, &err), IB_OK);
    for (size_t i = 0; i < 2 * CELLS; i++) {
        other.prior[i] = -other.prior[i];
    }
    CHECK_NEAR(furthest(one.prior, other.prior, 2 * CELLS), 0, 1e-3);
    CHECK_NEAR(furthest(one.carried0, other.carried1, VALUES), 0, 1e-3);
    CHECK_NEAR(furthest(one.spline0, other.spline1, SPLINE), 0, 0);
    CHECK(furthest(one.prior, (float[2 * CELLS]){0}, 2 * CELLS) > 0.1);
    ib_estimate_free(&e);
    CHECK(e == NULL);
    ib_estimate_free(&e);
}

static void test_refused(void) {
    ib_error err = {0};
    ib_estimate *e = NULL;
    CHECK_INT(ib_estimate_create(&e, 0, COLS, &err), IB_E_ARGUMENT);
    CHECK_INT(ib_estimate_create(&e, ROWS, 8193, &err), IB_E_ARGUMENT);
    CHECK(e == NULL);
    CHECK_INT(ib_estimate_create(&e, ROWS, COLS, &err), IB_OK);
    ib_estimate_parts out = parts_of(&one);
    CHECK_INT(ib_estimate_make(e, z0, z1, 0, &out, &err), IB_E_ARGUMENT);
    CHECK_INT(ib_estimate_make(e, z0, z1, 0.75f, &out, &err), IB_E_ARGUMENT);
    CHECK_INT(ib_estimate_make(e, z0, z1, NAN, &out, &err), IB_E_ARGUMENT);
    ib_estimate_free(&e);
}

int main(void) {
    make_keyframes();
    RUN(test_parts());
    RUN(test_turned_round());
    RUN(test_refused());
    return check_report("estimate");
}
