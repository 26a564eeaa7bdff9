/* Rendering at any size: one predictor, judged against a truth that was planted. */
#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch.h"
#include "tests/check.h"

/* Frame at `time` of a texture with fine detail that pans over the picture. */
static void plant_pan(ib_frame *f, double time, double dx, double dy) {
    for (int p = 0; p < 3; p++) {
        int step = p ? 2 : 1, w = (f->width + step - 1) / step, h = (f->height + step - 1) / step;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                double u = step * x - dx * time, v = step * y - dy * time, sum = 0;
                for (int k = 0; k < 8; k++) {
                    double turn = 2.4 * k + p, frequency = 0.03 * (1 + 0.9 * k * k / 4.0);
                    sum += sin(frequency * (u * cos(turn) + v * sin(turn)) + k * k) / (1 + 0.4 * k);
                }
                f->plane[p][(size_t)y * f->stride[p] + (size_t)x] =
                    (uint8_t)lrint(p ? 128 + 20 * sum : 120 + 25 * sum);
            }
        }
    }
    f->matrix = IB_MATRIX_BT709;
}

static double luma_psnr(const ib_frame *a, const ib_frame *b) {
    double sum = 0;
    for (int y = 0; y < a->height; y++) {
        for (int x = 0; x < a->width; x++) {
            double d = (double)a->plane[0][(size_t)y * a->stride[0] + (size_t)x] -
                       (double)b->plane[0][(size_t)y * b->stride[0] + (size_t)x];
            sum += d * d;
        }
    }
    return 10 * log10(219.0 * 219 * a->width * a->height / (sum + 1e-9));
}

static long worst_step(const ib_frame *a, const ib_frame *b) {
    long worst = 0;
    for (int p = 0; p < 3; p++) {
        int step = p ? 2 : 1;
        for (int y = 0; y < (a->height + step - 1) / step; y++) {
            for (int x = 0; x < (a->width + step - 1) / step; x++) {
                long d = labs((long)a->plane[p][(size_t)y * a->stride[p] + (size_t)x] -
                              (long)b->plane[p][(size_t)y * b->stride[p] + (size_t)x]);
                worst = d > worst ? d : worst;
            }
        }
    }
    return worst;
}

/* An adapter whose heads say something, by `shake`. */
static ib_adapter *make_adapter(float shake) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err;
    CHECK_OK(ib_adapter_preset("toaster", "patch:dct8+4:v1", IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    ib_rng r;
    ib_rng_seed(&r, 5);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += shake * ib_rng_normal(&r);
    }
    ib_adapter_refresh(a);
    return a;
}

typedef struct view {
    ib_adapter *a;
    ib_pair *keys;
    ib_adapter_work *work;
    ib_frame key[2], truth, out, other;
} view;

static void open_view(view *v, int width, int height, float shake, double dx, double dy, float t) {
    ib_error err;
    *v = (view){.a = make_adapter(shake)};
    ib_frame *all[] = {&v->key[0], &v->key[1], &v->truth, &v->out, &v->other};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK_OK(ib_frame_alloc(all[i], width, height, &err), &err);
    }
    plant_pan(&v->key[0], 0, dx, dy);
    plant_pan(&v->key[1], 1, dx, dy);
    plant_pan(&v->truth, t, dx, dy);
    CHECK_OK(ib_pair_create(&v->keys, width, height, &err), &err);
    CHECK_OK(ib_adapter_work_create(&v->work, v->a, ib_pair_shape(v->keys), 1, false, &err), &err);
    CHECK_OK(ib_pair_set(v->keys, &v->key[0], &v->key[1], 2, &err), &err);
}

static void close_view(view *v) {
    ib_frame *all[] = {&v->key[0], &v->key[1], &v->truth, &v->out, &v->other};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_frame_free(all[i]);
    }
    ib_adapter_work_free(&v->work);
    ib_pair_free(&v->keys);
    ib_adapter_free(&v->a);
}

/* A pan at 640x360 is found, untrained, and its fine detail is in its place: far better than the cross-fade.
 */
static void test_truth(void) {
    const float t = 0.4f;
    view v;
    ib_error err;
    open_view(&v, 640, 360, 0, 17, -9, t);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, t, 0.3f, 2, &v.out, &err), &err);
    for (int p = 0; p < 3; p++) {
        int step = p ? 2 : 1;
        for (int i = 0; i < 640 / step * (360 / step); i++) {
            size_t at = (size_t)(i / (640 / step)) * v.key[0].stride[p] + (size_t)(i % (640 / step));
            double a = v.key[0].plane[p][at], b = v.key[1].plane[p][at];
            v.other.plane[p][at] = (uint8_t)lrint(a + (double)t * (b - a));
        }
    }
    double ours = luma_psnr(&v.out, &v.truth), fade = luma_psnr(&v.other, &v.truth);
    printf("a pan at 640x360: %.2f dB, cross-fade %.2f dB\n", ours, fade);
    CHECK(ours > fade + 6);
    close_view(&v);
}

/* At a size that is predicted as it is, what is rendered is what is predicted. */
static void test_trained_size(void) {
    view v;
    ib_error err;
    enum { ROWS = 14, COLS = 24, N = 96 * ROWS * COLS };
    open_view(&v, 8 * COLS, 8 * ROWS, 0.02f, 5, -3, 0.3f);
    CHECK_INT(ib_pair_shape(v.keys)->rows, ROWS);
    CHECK_INT(ib_pair_shape(v.keys)->cols, COLS);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.3f, 0.3f, 1, &v.out, &err), &err);
    float *planes = ib_calloc(N, 4), *z = ib_calloc(3 * N, 4);
    for (int k = 0; k < 2; k++) {
        ib_patch_from_frame(&v.key[k], ROWS, COLS, planes);
        ib_patch_forward(planes, ROWS, COLS, z + k * N);
    }
    ib_between in = {z, z + N, 0.3f, 0.3f};
    CHECK_OK(ib_adapter_predict(v.a, v.work, &in, 1, z + 2 * N, &err), &err);
    ib_patch_inverse(z + 2 * N, ROWS, COLS, planes);
    ib_patch_to_frame(planes, ROWS, COLS, &v.other);
    CHECK_NEAR(worst_step(&v.out, &v.other), 0, 1); /* of 255: the last rounding */
    CHECK(luma_psnr(&v.out, &v.other) > 60);
    CHECK(worst_step(&v.out, &v.key[0]) > 8);
    ib_free(planes);
    ib_free(z);
    close_view(&v);
}

/* Keyframes come back at the ends; exchanging them turns time round; threads change nothing. */
static void test_invariants(int width, int height, double sharpness) {
    view v;
    ib_error err;
    open_view(&v, width, height, 0.02f, 4, 3, 0.3f);
    ib_adapter_sharpen(v.a, sharpness);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0, 0.3f, 1, &v.out, &err), &err);
    CHECK_INT(worst_step(&v.out, &v.key[0]), 0);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 1, 0.3f, 1, &v.out, &err), &err);
    CHECK_INT(worst_step(&v.out, &v.key[1]), 0);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.25f, 0.3f, 1, &v.out, &err), &err);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.25f, 0.3f, 3, &v.other, &err), &err);
    CHECK_INT(worst_step(&v.out, &v.other), 0);
    CHECK_OK(ib_pair_set(v.keys, &v.key[1], &v.key[0], 1, &err), &err);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.75f, 0.3f, 2, &v.other, &err), &err);
    CHECK_INT(worst_step(&v.out, &v.other), 0);
    close_view(&v);
}

/* The same where OpenBLAS would use threads of its own, whose sums differ, and where it would not: of the
 * network's answers the last bit, of pictures one sample in a million. */
static void test_inside_and_outside(void) {
    view v;
    ib_error err;
    open_view(&v, 576, 336, 0.02f, 4, 3, 0.3f);
    size_t n = IB_TOKEN_CELLS * IB_CELL_OUTPUTS * v.work->shape.tokens;
    float *outside = ib_calloc(n, sizeof *outside);
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.3f, 0.3f, 2, &v.out, &err), &err);
    memcpy(outside, v.work->motion_out, n * sizeof *outside);
#pragma omp parallel num_threads(2)
#pragma omp single
    CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.3f, 0.3f, 1, &v.other, &err), &err);
    CHECK_INT(memcmp(outside, v.work->motion_out, n * sizeof *outside), 0);
    CHECK_INT(worst_step(&v.out, &v.other), 0);
    ib_free(outside);
    close_view(&v);
}

static double gradient_energy(const ib_frame *f) {
    double sum = 0;
    for (int y = 0; y + 1 < f->height; y++) {
        const uint8_t *row = f->plane[0] + (size_t)y * f->stride[0];
        for (int x = 0; x + 1 < f->width; x++) {
            double dx = row[x + 1] - row[x], dy = row[(size_t)x + f->stride[0]] - row[x];
            sum += dx * dx + dy * dy;
        }
    }
    return sum;
}

/* Grain of its own in each keyframe: the mean of two has half its energy, a sharp picture has one keyframe's.
 */
static void test_sharpness(int width, int height) {
    view v;
    ib_error err;
    ib_rng r;
    double energy[3];
    const double sharpness[] = {0, 0.5, 1};
    open_view(&v, width, height, 0, 3, -2, 0.4f);
    ib_rng_seed(&r, 9);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < width * height; i++) {
            uint8_t *p = v.key[k].plane[0] + (size_t)(i / width) * v.key[k].stride[0] + (size_t)(i % width);
            *p = (uint8_t)(*p + ib_rng_below(&r, 13) - 6);
        }
    }
    CHECK_OK(ib_pair_set(v.keys, &v.key[0], &v.key[1], 1, &err), &err);
    double whole = gradient_energy(&v.key[0]);
    for (int k = 0; k < 3; k++) {
        ib_adapter_sharpen(v.a, sharpness[k]);
        CHECK_OK(ib_adapter_render(v.a, v.work, v.keys, 0.4f, 0.3f, 1, &v.out, &err), &err);
        energy[k] = gradient_energy(&v.out) / whole;
    }
    printf("gradient energy at a sharpness of 0, 0.5 and 1: %.3f %.3f %.3f of a keyframe's\n", energy[0],
           energy[1], energy[2]);
    CHECK(energy[1] > energy[0] + 0.05 && energy[2] > energy[1] + 0.05 && energy[2] < 1.05);
    close_view(&v);
}

static void test_bad_requests(void) {
    view v, w;
    ib_error err;
    open_view(&v, 64, 48, 0, 1, 1, 0.5f);
    open_view(&w, 80, 48, 0, 1, 1, 0.5f);
    CHECK_ERROR(ib_pair_set(v.keys, &v.key[0], &w.key[1], 1, &err), &err, IB_E_MISMATCH, "80x48");
    CHECK_ERROR(ib_adapter_render(v.a, v.work, v.keys, 0.5f, 1, 1, &w.out, &err), &err, IB_E_MISMATCH,
                "80x48");
    CHECK_ERROR(ib_adapter_render(v.a, v.work, w.keys, 0.5f, 1, 1, &w.out, &err), &err, IB_E_ARGUMENT,
                "tokens");
    ib_pair *fresh = NULL;
    CHECK_OK(ib_pair_create(&fresh, 64, 48, &err), &err);
    CHECK_ERROR(ib_adapter_render(v.a, v.work, fresh, 0.5f, 1, 1, &v.out, &err), &err, IB_E_MISMATCH,
                "keyframes");
    ib_pair_free(&fresh);
    ib_adapter_config c;
    ib_adapter *single = NULL;
    CHECK_OK(ib_adapter_preset("toaster", "vectors:test", IB_LAYOUT_SINGLE, 8, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&single, &c, 1, &err), &err);
    CHECK(!ib_adapter_renders(single) && ib_adapter_renders(v.a));
    CHECK_ERROR(ib_adapter_render(single, v.work, v.keys, 0.5f, 1, 1, &v.out, &err), &err, IB_E_UNSUPPORTED,
                "motion head");
    ib_adapter_free(&single);
    close_view(&v);
    close_view(&w);
}

int main(void) {
    RUN(test_truth());
    RUN(test_inside_and_outside());
    RUN(test_trained_size());
    RUN(test_sharpness(192, 112));
    RUN(test_sharpness(900, 500));
    for (int k = 0; k < 2; k++) {
        RUN(test_invariants(323, 181, k));
        RUN(test_invariants(64, 48, k));
        RUN(test_invariants(1, 1, k));
        RUN(test_invariants(2, 37, k));
        RUN(test_invariants(700, 3, k));
    }
    RUN(test_bad_requests());
    return check_report("test_render_size");
}
