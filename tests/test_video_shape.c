/* Pictures stand upright and their samples are square, whatever a file's are. Files are made by ffmpeg and
 * tests/oriented.py. */
#include <stdarg.h>
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

/* Runs a shell command; its status. */
__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...) {
    char body[2000], command[2400];
    va_list a;
    va_start(a, fmt);
    vsnprintf(body, sizeof body, fmt, a);
    va_end(a);
    snprintf(command, sizeof command, "{ %s ; } >/dev/null </dev/null", body);
    return system(command);
}

/* ---- orientation ---- */

/* What EXIF says of the stored picture's first row and first column: which side of the upright picture they
 * are. */
static const struct {
    char row, column;
} sides[9] = {{0, 0},     {'t', 'l'}, {'t', 'r'}, {'b', 'r'}, {'b', 'l'},
              {'l', 't'}, {'r', 't'}, {'r', 'b'}, {'l', 'b'}};

/* tests/oriented.py's quadrants of the stored picture: [bottom][right] */
static const uint8_t colours[2][2][3] = {{{200, 20, 20}, {20, 200, 20}}, {{20, 20, 200}, {220, 220, 220}}};

static void check_quadrants(const char *what, const ib_frame *f, int orientation) {
    static uint8_t rgb[48 * 48 * 3];
    ib_error err = {0};
    bool swapped = orientation >= 5;
    CHECK_INT(f->width, swapped ? 32 : 48);
    CHECK_INT(f->height, swapped ? 48 : 32);
    if (f->width * f->height != 48 * 32 || ib_frame_to_rgb(f, rgb, &err)) {
        return;
    }
    for (int bottom = 0; bottom < 2; bottom++) {
        for (int right = 0; right < 2; right++) {
            int x = 0, y = 0; /* halves of the upright picture */
            char place[2] = {sides[orientation].row, sides[orientation].column};
            int half[2] = {bottom, right};
            for (int k = 0; k < 2; k++) {
                x = place[k] == 'l' ? half[k] : place[k] == 'r' ? !half[k] : x;
                y = place[k] == 't' ? half[k] : place[k] == 'b' ? !half[k] : y;
            }
            int at = (f->height * (2 * y + 1) / 4) * f->width + f->width * (2 * x + 1) / 4;
            for (int c = 0; c < 3; c++) {
                if (abs(rgb[3 * at + c] - colours[bottom][right][c]) > 8) {
                    printf("%s, orientation %d: quadrant %d %d is %d %d %d, wanted %d %d %d within 8\n", what,
                           orientation, y, x, rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2],
                           colours[bottom][right][0], colours[bottom][right][1], colours[bottom][right][2]);
                    CHECK(false);
                    return;
                }
            }
        }
    }
    CHECK(true);
}

static void test_orientation(void) {
    static const struct {
        const char *kind, *ending;
    } kinds[] = {{"png", "png"},      {"png-late", "png"}, {"webp", "webp"}, {"webp-prefix", "webp"},
                 {"tiff-le", "tiff"}, {"tiff-be", "tiff"}, {"jpeg", "jpg"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int n = 1; n <= 9; n++) { /* 9: no orientation at all, which counts as upright */
            ib_error err = {0};
            ib_frame f = {0};
            ib_reader *r = NULL;
            const ib_frame *g;
            char name[64];
            snprintf(name, sizeof name, "%s-%d.%s", kinds[k].kind, n, kinds[k].ending);
            if (sh("python3 tests/oriented.py '%s' %s %d", in_scratch(name), kinds[k].kind, n)) {
                printf("SKIPPED %s: it cannot be made\n", name);
                continue;
            }
            CHECK_OK(ib_read_still(&f, in_scratch(name), NULL, &err), &err);
            if (f.plane[0]) {
                check_quadrants(kinds[k].kind, &f, n < 9 ? n : 1);
            }
            CHECK_OK(ib_reader_open(&r, in_scratch(name), NULL, &err), &err);
            if (r && ib_reader_next(r, &g, &err) == 1) {
                check_quadrants(name, g, n < 9 ? n : 1);
                for (int p = 0; p < 3; p++) {
                    CHECK_NEAR(difference(g, &f, p), 0, 0);
                }
                CHECK_INT(ib_reader_info(r)->plain, strcmp(kinds[k].kind, "jpeg") ? n == 1 || n == 9 : 1);
            }
            ib_reader_close(&r);
            ib_frame_free(&f);
        }
    }
}

/* ---- sample aspect ratio ---- */

/* Width over height of what is bright. */
static double blob(const ib_frame *f) {
    int left = f->width, right = -1, top = f->height, bottom = -1;
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            if (f->plane[0][(size_t)y * f->stride[0] + (size_t)x] > 125) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y > bottom ? y : bottom;
            }
        }
    }
    return (double)(right - left + 1) / (bottom - top + 1);
}

/* A circle of a third of the height, in the middle of `wide` x `high` square samples, stored as width x
 * height. */
static int circle(const char *name, int wide, int high, int width, int height, const char *aspect,
                  const char *more) {
    return sh(
        "ffmpeg -y -v error -f lavfi -i color=black:s=%dx%d:r=10:d=0.5 -vf "
        "\"format=gray,geq=lum='if(lt(hypot(X-%d/2+.5,Y-%d/2+.5),%d/3),235,16)':cb=128:cr=128,scale=%d:%d,"
        "setsar=%s,format=yuv420p\" %s '%s'",
        wide, high, wide, high, high, width, height, aspect, more, in_scratch(name));
}

/* Through the reader and as a still, at its own size and at others: a circle is round. */
static void check_round(const char *name, int width, int height) {
    static const struct {
        int width, height;
        bool orient;
    } asked[] = {{0, 0, false}, {192, 112, true}, {720, 480, false}, {256, 256, false}};
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
        ib_error err = {0};
        ib_reader *r = NULL;
        const ib_frame *f;
        ib_frame g = {0};
        ib_reader_options o = {
            .width = asked[k].width, .height = asked[k].height, .auto_orient = asked[k].orient};
        CHECK_OK(ib_reader_open(&r, in_scratch(name), &o, &err), &err);
        if (!r) {
            continue;
        }
        const ib_video_info *i = ib_reader_info(r);
        CHECK_INT(i->source_width, width);
        CHECK_INT(i->source_height, height);
        if (!asked[k].width) {
            CHECK_INT(i->width, width);
            CHECK_INT(i->height, height);
        }
        int n = 0;
        while (ib_reader_next(r, &f, &err) > 0) {
            if (!n++) {
                printf("%s at %d x %d: the circle is %.3f as wide as high\n", name, f->width, f->height,
                       blob(f));
                CHECK_NEAR(blob(f), 1, 0.02);
            }
        }
        CHECK_INT(n, i->still ? 1 : 5);
        CHECK_OK(ib_read_still(&g, in_scratch(name), &o, &err), &err);
        if (g.plane[0]) {
            CHECK_NEAR(blob(&g), 1, 0.02);
        }
        ib_frame_free(&g);
        ib_reader_close(&r);
    }
}

static void test_aspect(void) {
    CHECK_INT(circle("dvd.mpg", 854, 480, 720, 480, "32/27", "-c:v mpeg2video -q:v 2"), 0);
    check_round("dvd.mpg", 853, 480); /* 720 x 32 / 27 = 853.3 */
    CHECK_INT(circle("dv.mkv", 640, 480, 720, 480, "8/9", "-c:v ffv1"), 0);
    check_round("dv.mkv", 640, 480);
    CHECK_INT(circle("pal.mp4", 1024, 576, 720, 576, "64/45", "-c:v libx264 -qp 8"), 0);
    check_round("pal.mp4", 1024, 576);
    /* on its side: what is stored as the width is the upright height */
    CHECK_INT(circle("flat.mp4", 854, 480, 720, 480, "32/27", "-c:v libx264 -qp 8"), 0);
    CHECK_INT(sh("ffmpeg -y -v error -i '%s' -c copy -metadata:s:v rotate=90 '%s'", in_scratch("flat.mp4"),
                 in_scratch("side.mp4")),
              0);
    check_round("side.mp4", 480, 853);
    /* pictures: FFmpeg's own PNG says a ratio of widths, a density is one over a width */
    CHECK_INT(circle("ratio.png", 854, 480, 720, 480, "32/27", "-frames:v 1"), 0);
    check_round("ratio.png", 853, 480);
}

static void test_density(void) {
    ib_error err = {0};
    ib_frame f;
    const char *const kinds[] = {"png-density", "jpeg-density"};
    for (int k = 0; k < 2; k++) {
        const char *path = in_scratch(k ? "density.jpg" : "density.png");
        CHECK_INT(sh("python3 tests/oriented.py '%s' %s 300 150", path, kinds[k]), 0);
        CHECK_OK(ib_read_still(&f, path, NULL, &err), &err);
        CHECK_INT(f.width, 24); /* twice as dense across as down */
        CHECK_INT(f.height, 32);
        ib_frame_free(&f);
        CHECK_INT(sh("python3 tests/oriented.py '%s' %s 2834 2835", path, kinds[k]), 0);
        CHECK_OK(ib_read_still(&f, path, NULL, &err), &err);
        CHECK_INT(f.width, 48);
        ib_frame_free(&f);
    }
}

/* Ratios that are none, or not to be believed, leave every sample as it is stored. */
static void test_square(void) {
    static const char *const aspects[] = {"1/1", "0/1", "1000/1", "1/1000", "1280/1281"};
    ib_error err = {0};
    CHECK_OK(write_clip(in_scratch("square.mkv"), 96, 64, 5, 25, "ffv1", -1, &err), &err);
    for (size_t k = 0; k < sizeof aspects / sizeof *aspects; k++) {
        ib_frame f, want;
        CHECK_INT(sh("ffmpeg -y -v error -i '%s' -vf setsar=%s -c:v ffv1 '%s'", in_scratch("square.mkv"),
                     aspects[k], in_scratch("said.mkv")),
                  0);
        CHECK_OK(ib_read_still(&f, in_scratch("said.mkv"), NULL, &err), &err);
        CHECK_OK(ib_read_still(&want, in_scratch("square.mkv"), NULL, &err), &err);
        for (int p = 0; p < 3; p++) {
            CHECK_NEAR(difference(&f, &want, p), 0, 0);
        }
        ib_frame_free(&f);
        ib_frame_free(&want);
    }
}

int main(void) {
    if (!make_scratch("shape")) {
        return check_skip("test_video_shape", "no scratch directory");
    }
    if (sh("ffmpeg -version && python3 --version")) {
        remove_scratch();
        return check_skip("test_video_shape", "ffmpeg or python3 is not here");
    }
    RUN(test_orientation());
    RUN(test_aspect());
    RUN(test_density());
    RUN(test_square());
    remove_scratch();
    return check_report("test_video_shape");
}
