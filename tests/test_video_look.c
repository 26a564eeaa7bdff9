/* Cuts, film strips, and FFmpeg's interpolation as a baseline. */
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/cuts.h"
#include "video_io/minterpolate.h"
#include "video_io/reader.h"
#include "video_io/strip.h"

/* Scenes that pan slowly and fast, then another scene; also a black one. */
static void test_cuts(void) {
    ib_error err = {0};
    ib_cuts *c = NULL;
    ib_frame f;
    CHECK_OK(ib_cuts_create(&c, &err), &err);
    CHECK_OK(ib_frame_alloc(&f, 192, 112, &err), &err);
    for (int i = 0; i < 80; i++) {
        double shift = i < 20 ? 2 * i : i < 40 ? 1000 + 12 * i : 5000 + i;
        draw(&f, shift);
        if (i >= 20 && i < 60) { /* another texture */
            for (int y = 0; y < f.height; y++) {
                for (int x = 0; x < f.width; x++) {
                    f.plane[0][(size_t)y * f.stride[0] + (size_t)x] =
                        (uint8_t)lrint(120 + 50 * sin((x + shift) * .05) * sin(y * (i < 40 ? .09 : .31)) +
                                       30 * cos((x - y + shift) * .03));
                }
            }
        }
        if (i >= 70) {
            ib_frame_fill_black(&f);
        }
        int got = ib_cuts_push(c, &f, &err), want = i == 0 || i == 20 || i == 40 || i == 60 || i == 70;
        if (got != want) {
            printf("frame %d:\n", i);
        }
        CHECK_INT(got, want);
    }
    ib_cuts_free(&c);
    ib_cuts_free(&c);
    /* tiny frames */
    ib_frame_free(&f);
    CHECK_OK(ib_frame_alloc(&f, 1, 1, &err), &err);
    CHECK_OK(ib_cuts_create(&c, &err), &err);
    f.plane[0][0] = 100;
    CHECK_INT(ib_cuts_push(c, &f, &err), 1);
    CHECK_INT(ib_cuts_push(c, &f, &err), 0);
    ib_cuts_free(&c);
    ib_frame_free(&f);
}

static void test_strip(void) {
    ib_error err = {0};
    ib_frame f, g;
    ib_frame_alloc(&f, 64, 48, &err);
    ib_frame_alloc(&g, 64, 46, &err);
    fill(&f, 200, 128, 128);
    ib_frame_fill_black(&g);
    const ib_frame *cells[6] = {&f, NULL, &f, &f, &f, NULL};
    const char *labels[2] = {"truth", "model +1.2 dB"};
    CHECK_OK(ib_strip_write(in_scratch("strip.png"), cells, 2, 3, labels, &err), &err);
    ib_frame sheet;
    CHECK_OK(ib_read_still(&sheet, in_scratch("strip.png"), NULL, &err), &err);
    CHECK_INT(sheet.width, 4 + 3 * 68);
    CHECK_INT(sheet.height, 4 + 2 * (48 + 4 + 20));
    CHECK_NEAR(sheet.plane[0][(4 + 20 + 24) * sheet.stride[0] + 4 + 32], 200, 2);
    CHECK_NEAR(sheet.plane[0][(4 + 20 + 24) * sheet.stride[0] + 4 + 68 + 32], 24, 2);
    int bright = 0;
    for (int y = 4; y < 22; y++) {
        for (int x = 4; x < 64; x++) {
            bright += sheet.plane[0][(size_t)y * sheet.stride[0] + (size_t)x] > 200;
        }
    }
    CHECK(bright > 50 && bright < 700);
    ib_frame_free(&sheet);
    cells[1] = &g;
    CHECK_ERROR(ib_strip_write(in_scratch("s.png"), cells, 2, 3, NULL, &err), &err, IB_E_MISMATCH, "64 x 46");
    cells[0] = NULL;
    CHECK_ERROR(ib_strip_write(in_scratch("s.png"), cells, 1, 1, NULL, &err), &err, IB_E_ARGUMENT,
                "without any frame");
    const ib_frame *many[100];
    for (int i = 0; i < 100; i++) {
        many[i] = &f;
    }
    CHECK_OK(ib_strip_write(in_scratch("wide.png"), many, 1, 100, NULL, &err), &err);
    CHECK_OK(ib_read_still(&sheet, in_scratch("wide.png"), NULL, &err), &err);
    CHECK(sheet.width <= 4096);
    ib_frame_free(&sheet);
    ib_frame_free(&f);
    ib_frame_free(&g);
}

/* A pan of one sample a step: the in-between k of interval i is the picture at i * gap + k, in every
 * interval. */
static void test_minterpolate(void) {
    enum { KEYS = 4, GAP = 4 };
    ib_error err = {0};
    ib_frame key[KEYS], out[(KEYS - 1) * (GAP - 1)], want, other;
    const ib_frame *keys[KEYS];
    for (int i = 0; i < KEYS; i++) {
        CHECK_OK(ib_frame_alloc(&key[i], 128, 96, &err), &err);
        draw(&key[i], i * GAP);
        keys[i] = &key[i];
    }
    ib_frame_alloc(&want, 128, 96, &err);
    ib_frame_alloc(&other, 128, 96, &err);
    for (size_t n = 2; n <= KEYS; n += 2) {
        CHECK_OK(ib_minterpolate(keys, n, GAP, out, &err), &err);
        for (size_t i = 0; i < (n - 1) * (GAP - 1); i++) {
            double place = (double)(i / (GAP - 1) * GAP + i % (GAP - 1) + 1);
            draw(&want, place);
            double own = difference(&out[i], &want, 0);
            for (int side = -1; side <= 1; side += 2) {
                draw(&other, place + side);
                CHECK(own < 0.2 * difference(&out[i], &other, 0));
            }
            ib_frame_free(&out[i]);
        }
    }
    /* at any place: the frame that was drawn there is the nearest */
    static const float even[3] = {0.25f, 0.5f, 0.75f}, uneven[3] = {0.1f, 0.5f, 0.85f};
    for (int kind = 0; kind < 2; kind++) {
        const float *at = kind ? uneven : even;
        CHECK_OK(ib_minterpolate_at(keys[0], keys[1], at, 3, out, &err), &err);
        for (int i = 0; i < 3; i++) {
            draw(&want, GAP * (double)at[i]);
            double own = difference(&out[i], &want, 0);
            for (int side = -1; side <= 1; side += 2) {
                draw(&other, GAP * (double)at[i] + side);
                CHECK(own < 0.5 * difference(&out[i], &other, 0));
            }
            ib_frame_free(&out[i]);
        }
    }
    CHECK_ERROR(ib_minterpolate_at(keys[0], keys[1], (const float[2]){0.5f, 1}, 2, out, &err), &err,
                IB_E_ARGUMENT, "at 1,");
    CHECK_ERROR(ib_minterpolate(keys, 1, GAP, out, &err), &err, IB_E_ARGUMENT, "1 keyframes");
    ib_frame tiny[2];
    for (int i = 0; i < 2; i++) {
        ib_frame_alloc(&tiny[i], 16, 16, &err);
        ib_frame_fill_black(&tiny[i]);
        keys[i] = &tiny[i];
    }
    CHECK_ERROR(ib_minterpolate(keys, 2, GAP, out, &err), &err, IB_E_UNSUPPORTED, "16 x 16");
    keys[1] = &key[1];
    CHECK_ERROR(ib_minterpolate(keys, 2, GAP, out, &err), &err, IB_E_MISMATCH, "128 x 96");
    for (int i = 0; i < KEYS; i++) {
        ib_frame_free(&key[i]);
    }
    ib_frame_free(&tiny[0]);
    ib_frame_free(&tiny[1]);
    ib_frame_free(&want);
    ib_frame_free(&other);
}

int main(void) {
    if (!make_scratch("video_look")) {
        return check_skip("test_video_look", "no scratch directory can be made");
    }
    RUN(test_cuts());
    RUN(test_strip());
    RUN(test_minterpolate());
    remove_scratch();
    return check_report("test_video_look");
}
