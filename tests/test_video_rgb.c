/* Frames with their RGB: of pictures the very samples, of videos what the planes say, turned as the planes
 * are. */
#include "base/memory.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { W = 77, H = 51 };

/* Saturated colours that change from sample to sample: what 4:2:0 cannot hold. */
static void test_picture(void) {
    uint8_t *rgb = malloc(W * H * 3);
    ib_reader_options o = {.rgb = true};
    ib_frame f = {0}, g = {0};
    ib_error err = {0};
    for (int i = 0; i < W * H; i++) {
        rgb[3 * i] = (uint8_t)(i % 2 ? 255 : 3 * i);
        rgb[3 * i + 1] = (uint8_t)(i % 3 ? 0 : 255);
        rgb[3 * i + 2] = (uint8_t)(7 * i);
    }
    CHECK_OK(ib_write_png(in_scratch("a.png"), rgb, W, H, &err), &err);
    CHECK_OK(ib_read_still(&f, in_scratch("a.png"), &o, &err), &err);
    CHECK(f.rgb != NULL);
    int wrong = 0;
    for (int y = 0; f.rgb && y < H; y++) {
        wrong += memcmp(f.rgb + (size_t)y * f.rgb_stride, rgb + (size_t)y * W * 3, (size_t)W * 3) != 0;
    }
    CHECK_INT(wrong, 0);

    /* copies carry it, or say that they have none */
    CHECK_OK(ib_frame_alloc_rgb(&g, W, H, &err), &err);
    ib_frame_copy(&g, &f);
    CHECK(g.rgb && !memcmp(g.rgb + g.rgb_stride, rgb + (size_t)W * 3, (size_t)W * 3));
    ib_frame_free(&f);
    CHECK_OK(ib_read_still(&f, in_scratch("a.png"), NULL, &err), &err);
    CHECK(f.plane[0] && !f.rgb);
    ib_frame_copy(&g, &f);
    CHECK(!g.rgb);
    ib_frame_free(&f);
    ib_frame_free(&g);
    free(rgb);
}

/* Mean absolute difference between a frame's RGB and what its planes become. */
static double against_planes(const ib_frame *f) {
    size_t n = (size_t)f->width * (size_t)f->height * 3, row = (size_t)f->width * 3;
    uint8_t *rgb = malloc(n);
    double sum = 0;
    ib_error err = {0};
    CHECK_OK(ib_frame_to_rgb(f, rgb, &err), &err);
    for (int y = 0; y < f->height; y++) {
        for (size_t x = 0; x < row; x++) {
            sum += abs(rgb[(size_t)y * row + x] - f->rgb[(size_t)y * f->rgb_stride + x]);
        }
    }
    free(rgb);
    return sum / (double)n;
}

static void test_clip(const char *name, const ib_reader_options *o, int width, int height, double tolerance) {
    ib_reader *r = NULL;
    const ib_frame *f;
    ib_error err = {0};
    int frames = 0;
    CHECK_OK(ib_reader_open(&r, in_scratch(name), o, &err), &err);
    while (r && ib_reader_next(r, &f, &err) > 0) {
        frames++;
        CHECK_INT(f->width, width);
        CHECK_INT(f->height, height);
        CHECK(f->rgb != NULL);
        if (f->rgb) {
            CHECK_NEAR(against_planes(f), 0, tolerance);
        }
    }
    CHECK_INT(frames, 4);
    ib_reader_close(&r);
}

int main(void) {
    ib_error err = {0};
    if (!make_scratch("video_rgb")) {
        return check_skip("test_video_rgb", "no scratch directory");
    }
    RUN(test_picture());
    CHECK_OK(write_clip(in_scratch("up.mp4"), 96, 64, 4, 25, NULL, 10, &err), &err);
    RUN(test_clip("up.mp4", &(ib_reader_options){.rgb = true}, 96, 64, 0));
    RUN(test_clip("up.mp4", &(ib_reader_options){.rgb = true, .width = 48, .height = 48}, 48, 48, 2));
    char command[2000];
    for (int angle = 90; angle < 360; angle += 90) {
        snprintf(command, sizeof command,
                 "cd '%s' && { ffmpeg -y -i up.mp4 -c copy -metadata:s:v rotate=%d turned.mp4 || ffmpeg -y "
                 "-display_rotation %d -i up.mp4 -c copy turned.mp4; } >/dev/null 2>&1 </dev/null",
                 scratch, angle, angle);
        if (system(command)) {
            printf("SKIPPED turning by %d: there is no ffmpeg program that can\n", angle);
            continue;
        }
        /* chroma is sited otherwise once it is turned */
        RUN(test_clip("turned.mp4", &(ib_reader_options){.rgb = true}, angle == 180 ? 96 : 64,
                      angle == 180 ? 64 : 96, 1.5));
    }
    remove_scratch();
    return check_report("test_video_rgb");
}
