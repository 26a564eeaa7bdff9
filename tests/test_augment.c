/* Augmentation keeps the truth: whatever it does, it does to all three frames, in place and within range. */
#include "base/rng.h"
#include "tests/moving.h"
#include "train/augment.h"

enum { ROWS = 6, COLS = 8, TOKENS = ROWS * COLS, VALUES = TOKENS * IB_PATCH_D };

static ib_shape shape_of(int rows, int cols) {
    return (ib_shape){IB_LAYOUT_GRID, rows, cols, (size_t)rows * (size_t)cols, IB_PATCH_D};
}

static ib_augmenter *augmenter(void) {
    ib_augmenter *a = NULL;
    ib_error err = {0};
    CHECK_OK(ib_augmenter_create(&a, VALUES, &err), &err);
    return a;
}

static void fill(float *z[3], double speed) {
    moving m = {ROWS, COLS, 3, speed, 3, NULL, false, "", NULL};
    float planes[VALUES];
    const size_t frame[3] = {0, 2, 1};
    for (int i = 0; i < 3; i++) {
        moving_planes(&m, frame[i], planes);
        ib_patch_forward(planes, ROWS, COLS, z[i]);
    }
}

static double worst(const float *a, const float *b, size_t n) {
    double d = 0;
    for (size_t i = 0; i < n; i++) {
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    }
    return d;
}

/* A plan that leaves all as it is. */
static ib_augment_plan nothing(void) {
    return (ib_augment_plan){.width = 8 * COLS, .height = 8 * ROWS, .luma_gain = 1, .chroma_gain = 1};
}

static void test_simple(ib_augmenter *a) {
    ib_shape s = shape_of(ROWS, COLS);
    ib_error err = {0};
    float data[3][VALUES], first[3][VALUES], planes[VALUES], turned[VALUES], t = 0.25f;
    float *z[3] = {data[0], data[1], data[2]}, *keep[3] = {first[0], first[1], first[2]};
    fill(z, 2);
    fill(keep, 2);
    ib_augment_plan p = nothing();
    CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
    CHECK(!memcmp(data, first, sizeof data) && t == 0.25f);

    p.reverse = true;
    CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
    CHECK(z[0] == data[1] && z[1] == data[0] && z[2] == data[2] && t == 0.75f);
    CHECK(!memcmp(data, first, sizeof data));
    p.reverse = false;

    p.mirror = p.flip = true;
    CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
    ib_patch_inverse(keep[2], ROWS, COLS, planes);
    ib_patch_inverse(z[2], ROWS, COLS, turned);
    double most = 0;
    for (int y = 0; y < 8 * ROWS; y++) {
        for (int x = 0; x < 8 * COLS; x++) {
            double d = (double)planes[y * 8 * COLS + x] -
                       (double)turned[(8 * ROWS - 1 - y) * 8 * COLS + 8 * COLS - 1 - x];
            most = fmax(most, fabs(d));
        }
    }
    CHECK_NEAR(most, 0, 1e-5);
    CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
    CHECK_NEAR(worst(data[2], first[2], VALUES), 0, 1e-5); /* twice is nothing */
}

/* A picture that is its own position: luma x / width + 2 y / width, chroma likewise at its own sites. */
static void ramps(float *planes, int rows, int cols) {
    float *p = planes;
    for (int k = 0; k < 3; k++) {
        int step = k ? 2 : 1;
        for (int y = 0; y < 8 * rows / step; y++) {
            for (int x = 0; x < 8 * cols / step; x++) {
                double lx = k ? 2 * x : x, ly = k ? 2 * y + 0.5 : y; /* left-sited chroma */
                *p++ = (float)((lx + 2 * ly) / 1000);
            }
        }
    }
}

/* Luma and chroma of the result must show the positions that the plan's rectangle says, away
 * from the edges. */
static void check_positions(const ib_augment_plan *p, const float *planes, int rows, int cols) {
    const float *at = planes;
    double most = 0, sx = p->width / (8 * cols), sy = p->height / (8 * rows);
    for (int k = 0; k < 3; k++) {
        int step = k ? 2 : 1, w = 8 * cols / step, h = 8 * rows / step;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++, at++) {
                double lx = k ? 2 * x : x, ly = k ? 2 * y + 0.5 : y;
                lx = p->mirror ? 8 * cols - 1 - lx : lx;
                ly = p->flip ? 8 * rows - 1 - ly : ly;
                double want = (p->x + (lx + 0.5) * sx - 0.5 + 2 * (p->y + (ly + 0.5) * sy - 0.5)) / 1000;
                if (x > 3 && y > 3 && x < w - 4 && y < h - 4) {
                    most = fmax(most, fabs(want - (double)*at));
                }
            }
        }
    }
    /* a stretched kernel keeps straight lines only nearly: 0.15 samples */
    CHECK_NEAR(most, 0, fmax(sx, sy) > 1 ? 1.5e-4 : 1e-5);
}

static void test_positions(ib_augmenter *a) {
    ib_shape s = shape_of(ROWS, COLS), small = shape_of(3, 4);
    ib_error err = {0};
    float data[3][VALUES], planes[VALUES], t = 0.5f;
    for (int i = 0; i < 40; i++) {
        ib_augment_options o;
        ib_augment_plan p;
        ib_rng rng;
        const ib_shape *out = i % 2 ? &s : &small;
        float *z[3] = {data[0], data[1], data[2]};
        ib_rng_seed(&rng, (uint64_t)i);
        ib_augment_defaults(&o);
        o.pixels = true;
        o.resample = 1;
        o.colour = o.fade = 0;
        ib_augment_draw(&o, &s, out, &rng, &p);
        CHECK(p.x >= 0 && p.y >= 0 && p.x + p.width <= 8 * COLS + 1e-9 && p.y + p.height <= 8 * ROWS + 1e-9);
        ramps(planes, ROWS, COLS);
        for (int k = 0; k < 3; k++) {
            ib_patch_forward(planes, ROWS, COLS, z[k]);
        }
        CHECK_OK(ib_augment_apply(a, &p, &s, out, z, &t, &err), &err);
        CHECK(!memcmp(z[0], z[1], out->tokens * IB_PATCH_D * sizeof(float)) &&
              !memcmp(z[0], z[2], out->tokens * IB_PATCH_D * sizeof(float)));
        ib_patch_inverse(z[2], out->rows, out->cols, planes);
        check_positions(&p, planes, out->rows, out->cols);
    }
}

/* Samples are cut out unchanged when nothing is resampled. */
static void test_cuts(ib_augmenter *a) {
    ib_shape s = shape_of(ROWS, COLS), small = shape_of(4, 4);
    ib_error err = {0};
    float data[3][VALUES], planes[VALUES], part[VALUES], t = 0.5f;
    bool transposed = false, moved = false;
    ib_augment_options o;
    ib_augment_defaults(&o);
    o.pixels = true;
    o.resample = o.colour = o.fade = o.mirror = o.flip = 0;
    o.transpose = 0.5;
    for (uint64_t i = 0; i < 30; i++) {
        float *z[3] = {data[0], data[1], data[2]};
        ib_augment_plan p;
        ib_rng rng;
        double most = 0;
        fill(z, 1);
        ib_patch_inverse(data[2], ROWS, COLS, planes);
        ib_rng_seed2(&rng, 4, i);
        ib_augment_draw(&o, &s, &small, &rng, &p);
        CHECK_OK(ib_augment_apply(a, &p, &s, &small, z, &t, &err), &err);
        ib_patch_inverse(z[2], 4, 4, part);
        for (int y = 0; y < 32; y++) {
            for (int x = 0; x < 32; x++) {
                int fx = (p.transpose ? y : x) + (int)p.x, fy = (p.transpose ? x : y) + (int)p.y;
                most = fmax(most, fabs((double)part[y * 32 + x] - (double)planes[fy * 8 * COLS + fx]));
            }
        }
        transposed |= p.transpose;
        moved |= p.x > 0;
        CHECK_NEAR(most, 0, 1e-5);
        CHECK((int)p.x % 2 == 0 && (int)p.y % 2 == 0);
    }
    CHECK(transposed && moved);
}

static void range_of(const float *planes, size_t first, size_t n, double *low, double *high) {
    for (size_t i = first; i < first + n; i++) {
        *low = fmin(*low, (double)planes[i]);
        *high = fmax(*high, (double)planes[i]);
    }
}

static void test_colours(ib_augmenter *a) {
    ib_shape s = shape_of(ROWS, COLS);
    ib_error err = {0};
    float data[3][VALUES], planes[VALUES], t = 0.5f;
    ib_augment_options o;
    double low = 1, high = 0, clow = 0, chigh = 0;
    bool turned = false;
    ib_augment_defaults(&o);
    o.pixels = true;
    o.resample = o.fade = 0;
    o.colour = 1;
    for (uint64_t i = 0; i < 200; i++) {
        float *z[3] = {data[0], data[1], data[2]};
        ib_augment_plan p;
        ib_rng rng;
        fill(z, i % 2 ? 0 : 3);
        ib_rng_seed2(&rng, 5, i);
        ib_augment_draw(&o, &s, &s, &rng, &p);
        CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
        if (i % 2) { /* a still scene stays one */
            CHECK(!memcmp(z[0], z[2], sizeof data[0]));
        }
        for (int k = 0; k < 3; k++) {
            ib_patch_inverse(z[k], ROWS, COLS, planes);
            range_of(planes, 0, 64 * TOKENS, &low, &high);
            range_of(planes, 64 * TOKENS, 32 * TOKENS, &clow, &chigh);
        }
        turned |= p.chroma_turn != 0;
    }
    printf("luma %.3f..%.3f, chroma %.3f..%.3f\n", low, high, clow, chigh);
    CHECK(low > -1e-5 && high < 1 + 1e-5 && clow > -0.5001 && chigh < 0.5001 && turned);
    CHECK(low < 0.05 && high > 0.9); /* the room is used */
}

/* A still scene whose light changes: the first keyframe keeps its own, the target's lies between by its
 * place. */
static void test_fades(ib_augmenter *a) {
    ib_shape s = shape_of(ROWS, COLS);
    ib_error err = {0};
    float data[3][VALUES], planes[3][VALUES];
    ib_augment_options o;
    double least = 1, most = 0;
    ib_augment_defaults(&o);
    o.pixels = true;
    o.resample = o.colour = o.mirror = o.flip = o.transpose = 0;
    o.fade = 1;
    for (uint64_t i = 0; i < 100; i++) {
        float *z[3] = {data[0], data[1], data[2]}, t = 0.25f;
        double off = 0, low = 1, high = 0, changed = 0;
        ib_augment_plan p;
        ib_rng rng;
        fill(z, 0);
        ib_patch_inverse(z[0], ROWS, COLS, planes[2]);
        ib_rng_seed2(&rng, 7, i);
        ib_augment_draw(&o, &s, &s, &rng, &p);
        CHECK_OK(ib_augment_apply(a, &p, &s, &s, z, &t, &err), &err);
        ib_patch_inverse(z[0], ROWS, COLS, planes[0]);
        for (size_t k = 0; k < VALUES; k++) {
            changed = fmax(changed, fabs((double)planes[0][k] - (double)planes[2][k]));
        }
        ib_patch_inverse(z[1], ROWS, COLS, planes[1]);
        ib_patch_inverse(z[2], ROWS, COLS, planes[2]);
        for (size_t k = 0; k < VALUES; k++) {
            double between = (double)planes[0][k] + (double)(t * (planes[1][k] - planes[0][k]));
            off = fmax(off, fabs(between - (double)planes[2][k]));
        }
        range_of(planes[1], 0, 64 * TOKENS, &low, &high);
        CHECK_NEAR(changed, 0, 1e-5);
        CHECK_NEAR(off, 0, 1e-5);
        CHECK_NEAR(t, p.reverse ? 0.75 : 0.25, 1e-6);
        CHECK(low > -1e-5 && high < 1 + 1e-5);
        CHECK(p.fade <= o.fade_most);
        least = fmin(least, p.fade);
        most = fmax(most, p.fade);
    }
    CHECK(least < 0.05 && most > 0.5);
}

static void test_options(void) {
    ib_error err = {0};
    ib_shape s = shape_of(14, 24), portrait = shape_of(24, 14), out;
    ib_augment_options o;
    ib_augment_defaults(&o);
    CHECK_OK(ib_augment_shape(&o, &s, &out, &err), &err);
    CHECK(out.rows == 14 && out.cols == 24);
    o.crop_width = 128;
    o.crop_height = 96;
    CHECK_ERROR(ib_augment_shape(&o, &s, &out, &err), &err, IB_E_UNSUPPORTED, "patch space");
    o.pixels = true;
    CHECK_OK(ib_augment_shape(&o, &s, &out, &err), &err);
    CHECK(out.rows == 12 && out.cols == 16 && out.tokens == 192);
    CHECK_OK(ib_augment_shape(&o, &portrait, &out, &err), &err);
    CHECK(out.rows == 16 && out.cols == 12);
    o.crop_width = 200;
    CHECK_ERROR(ib_augment_shape(&o, &s, &out, &err), &err, IB_E_ARGUMENT,
                "does not fit into frames of 192x112");
    o.crop_width = 100;
    CHECK_ERROR(ib_augment_shape(&o, &s, &out, &err), &err, IB_E_ARGUMENT, "multiples of 8");

    /* other spaces: time only */
    o = (ib_augment_options){0};
    ib_augment_defaults(&o);
    int reversed = 0;
    for (uint64_t i = 0; i < 100; i++) {
        ib_augment_plan p;
        ib_rng rng;
        ib_rng_seed2(&rng, 6, i);
        ib_augment_draw(&o, &s, &s, &rng, &p);
        CHECK(!p.mirror && !p.flip && !p.transpose && !p.resample && !p.colour && p.fade == 0);
        reversed += p.reverse;
    }
    CHECK(reversed > 25 && reversed < 75);
}

int main(void) {
    ib_augmenter *a = augmenter();
    RUN(test_simple(a));
    RUN(test_positions(a));
    RUN(test_cuts(a));
    RUN(test_colours(a));
    RUN(test_fades(a));
    RUN(test_options());
    ib_augmenter_free(&a);
    return check_report("test_augment");
}
