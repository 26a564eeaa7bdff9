/* Frames and the writer; what is written is read back. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

#if defined(__SANITIZE_ADDRESS__)
/* x265 keeps a small table for good. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libx265";
}
#endif

static void test_frame(void) {
    ib_error err = {0};
    ib_frame f, g;
    CHECK_ERROR(ib_frame_alloc(&f, 0, 5, &err), &err, IB_E_ARGUMENT, "0 x 5");
    CHECK_ERROR(ib_frame_alloc(&f, 16385, 5, &err), &err, IB_E_ARGUMENT, "16385");
    ib_frame_free(&f); /* a zeroed one */
    CHECK_OK(ib_frame_alloc(&f, 33, 17, &err), &err);
    CHECK_OK(ib_frame_alloc(&g, 33, 17, &err), &err);
    CHECK_INT(f.stride[0] % 64, 0);
    draw(&f, 3);
    f.pts_seconds = 1.5;
    f.index = 7;
    f.matrix = IB_MATRIX_BT2020;
    ib_frame_copy(&g, &f);
    for (int p = 0; p < 3; p++) {
        CHECK_NEAR(difference(&f, &g, p), 0, 0);
    }
    CHECK(g.pts_seconds == 1.5 && g.index == 7 && g.matrix == IB_MATRIX_BT2020);
    ib_frame_fill_black(&g);
    CHECK_INT(g.plane[0][16 * g.stride[0] + 32], 16);
    CHECK_INT(g.plane[2][8 * g.stride[2] + 16], 128);
    ib_frame_free(&f);
    ib_frame_free(&g);
    CHECK(!f.plane[0]);
}

/* Constant pictures stay constant; a smooth one survives down and up; both sides odd and tiny. */
static void test_scale(void) {
    static const int sizes[][2] = {{192, 112}, {64, 48}, {31, 17}, {16, 16}, {500, 281}, {1, 1}};
    ib_error err = {0};
    ib_frame f, g;
    CHECK_OK(ib_frame_alloc(&f, 240, 136, &err), &err);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(&f, 77, 90, 201);
        CHECK_OK(ib_frame_alloc(&g, sizes[i][0], sizes[i][1], &err), &err);
        CHECK_OK(ib_frame_scale(&g, &f, &err), &err);
        for (int p = 0; p < 3; p++) {
            int w = p ? (g.width + 1) / 2 : g.width, h = p ? (g.height + 1) / 2 : g.height;
            CHECK_INT(g.plane[p][0], p == 0 ? 77 : p == 1 ? 90 : 201);
            CHECK_INT(g.plane[p][(size_t)(h - 1) * g.stride[p] + (size_t)w - 1], p == 0   ? 77
                                                                                 : p == 1 ? 90
                                                                                          : 201);
        }
        ib_frame_free(&g);
    }
    /* area scaling by two is the mean of four, and samples stay where they are */
    draw(&f, 0);
    CHECK_OK(ib_frame_alloc(&g, 120, 68, &err), &err);
    CHECK_OK(ib_frame_scale(&g, &f, &err), &err);
    double worst = 0;
    for (int y = 0; y < 68; y++) {
        for (int x = 0; x < 120; x++) {
            const uint8_t *a = f.plane[0] + (size_t)(2 * y) * f.stride[0] + 2 * x, *b = a + f.stride[0];
            double d =
                fabs((a[0] + a[1] + b[0] + b[1]) / 4.0 - g.plane[0][(size_t)y * g.stride[0] + (size_t)x]);
            worst = d > worst ? d : worst;
        }
    }
    CHECK_NEAR(worst, 0, 1.01);
    /* Chroma sits on the left luma column: sample x of the small picture lies at 2x + 0.25 of the large one's
     * chroma. (Were it centred, it would lie at 2x + 0.5.) The place is measured on a wave,
     * by least squares. */
    for (int y = 0; y < 68; y++) {
        for (int x = 0; x < 120; x++) {
            f.plane[1][(size_t)y * f.stride[1] + (size_t)x] = (uint8_t)lrint(128 + 100 * sin(0.1 * x));
        }
    }
    CHECK_OK(ib_frame_scale(&g, &f, &err), &err);
    double along = 0, across = 0;
    for (int x = 5; x < 55; x++) {
        double slope = 10 * cos(0.1 * (2 * x));
        along += slope * slope;
        across += slope * (g.plane[1][20 * g.stride[1] + (size_t)x] - (128 + 100 * sin(0.1 * (2 * x))));
    }
    CHECK_NEAR(across / along, 0.25, 0.06);
    ib_frame_free(&f);
    ib_frame_free(&g);
}

/* Against the definition in ITU-R BT.601 and BT.709, in double. */
static void test_rgb(void) {
    static const struct {
        ib_matrix m;
        double kr, kb;
    } matrix[] = {{IB_MATRIX_UNSPECIFIED, 0.299, 0.114},
                  {IB_MATRIX_BT601, 0.299, 0.114},
                  {IB_MATRIX_BT709, 0.2126, 0.0722},
                  {IB_MATRIX_BT2020, 0.2627, 0.0593}};
    static const uint8_t colour[][3] = {{0, 0, 0},   {255, 255, 255}, {255, 0, 0},   {0, 255, 0},
                                        {0, 0, 255}, {120, 60, 200},  {17, 130, 99}, {200, 200, 10}};
    enum { W = 24, H = 10 };
    uint8_t rgb[W * H * 3];
    ib_error err = {0};
    ib_frame f;
    CHECK_OK(ib_frame_alloc(&f, W, H, &err), &err);
    for (size_t m = 0; m < sizeof matrix / sizeof *matrix; m++) {
        for (size_t c = 0; c < sizeof colour / sizeof *colour; c++) {
            for (int i = 0; i < W * H; i++) {
                memcpy(rgb + 3 * i, colour[c], 3);
            }
            f.matrix = matrix[m].m;
            CHECK_OK(ib_frame_from_rgb(&f, rgb, &err), &err);
            double r = colour[c][0] / 255.0, g = colour[c][1] / 255.0, b = colour[c][2] / 255.0;
            double y = matrix[m].kr * r + (1 - matrix[m].kr - matrix[m].kb) * g + matrix[m].kb * b;
            CHECK_NEAR(f.plane[0][5 * f.stride[0] + 7], 16 + 219 * y, 1.0);
            CHECK_NEAR(f.plane[1][2 * f.stride[1] + 3], 128 + 112 * (b - y) / (1 - matrix[m].kb), 1.0);
            CHECK_NEAR(f.plane[2][2 * f.stride[2] + 3], 128 + 112 * (r - y) / (1 - matrix[m].kr), 1.0);
            CHECK_OK(ib_frame_to_rgb(&f, rgb, &err), &err);
            for (int k = 0; k < 3; k++) {
                CHECK_NEAR(rgb[3 * (W * 3 + 5) + k], colour[c][k], 2.5);
            }
        }
    }
    ib_frame_free(&f);
}

/* A clip in every format comes back: number of frames, size, times, pictures. */
static void test_round_trips(void) {
    static const struct {
        const char *name, *codec;
        int crf, width, height, read_width, read_height;
        double fps, mse; /* of luma */
    } clips[] = {
        {"a.mp4", NULL, -1, 96, 64, 96, 64, 25, 4},
        {"b.MOV", NULL, -1, 96, 64, 96, 64, 24, 4},
        {"c.m4v", NULL, 30, 96, 64, 96, 64, 30000 / 1001.0, 60},
        {"d.mkv", NULL, -1, 96, 64, 96, 64, 12.5, 4},
        {"e.webm", NULL, -1, 96, 64, 96, 64, 25, 8},
        {"f.gif", NULL, -1, 96, 64, 96, 64, 25, 40},
        {"g.apng", NULL, -1, 96, 64, 96, 64, 25, 2},
        {"odd.mp4", NULL, -1, 97, 63, 98, 64, 25, -1},
        {"odd.webm", NULL, -1, 97, 63, 97, 63, 25, 8},
        {"odd.gif", NULL, -1, 97, 63, 97, 63, 10, 40},
        {"odd.apng", NULL, -1, 97, 63, 97, 63, 25, 2},
        {"lossless.mp4", "libx264", 0, 96, 64, 96, 64, 25, 0},
        {"ffv1.mkv", "ffv1", -1, 97, 63, 97, 63, 25, 0},
        {"mpeg4.mp4", "mpeg4", -1, 96, 64, 96, 64, 25, 8},
        {"mjpeg.mov", "mjpeg", -1, 96, 64, 96, 64, 25, 8},
        {"hevc.mp4", "libx265", -1, 96, 64, 96, 64, 25, 8},
    };
    enum { FRAMES = 12 };
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        ib_error err = {0};
        const char *path = in_scratch(clips[i].name);
        int rc = write_clip(path, clips[i].width, clips[i].height, FRAMES, clips[i].fps, clips[i].codec,
                            clips[i].crf, &err);
        if (rc && strstr(err.text, "no video encoder")) {
            printf("SKIPPED %s: %s\n", clips[i].name, err.text);
            continue;
        }
        CHECK_OK(rc, &err);
        ib_reader *reader = NULL;
        CHECK_OK(ib_reader_open(&reader, path, NULL, &err), &err);
        if (!reader) {
            continue;
        }
        const ib_video_info *info = ib_reader_info(reader);
        CHECK_INT(info->width, clips[i].read_width);
        CHECK_INT(info->height, clips[i].read_height);
        CHECK_NEAR(info->fps, clips[i].fps, clips[i].fps * 0.03);
        CHECK(!info->still);
        ib_frame want;
        ib_frame_alloc(&want, clips[i].width, clips[i].height, &err);
        const ib_frame *f;
        int n = 0;
        double worst = 0, late = 0;
        while ((rc = ib_reader_next(reader, &f, &err)) > 0) {
            draw(&want, 2.0 * n);
            double d = difference(f, &want, 0);
            worst = d > worst ? d : worst;
            d = fabs(f->pts_seconds - n / clips[i].fps);
            late = d > late ? d : late;
            CHECK_INT(f->index, n);
            n++;
        }
        CHECK_OK(rc, &err);
        CHECK_INT(n, FRAMES);
        bool coarse =
            strstr(clips[i].name, ".gif") || strstr(clips[i].name, ".mkv") || strstr(clips[i].name, ".webm");
        CHECK_NEAR(late, 0, strstr(clips[i].name, ".gif") ? 0.0051 : coarse ? 0.00051 : 2e-6);
        if (clips[i].mse >= 0) {
            printf("%s: luma mse %.2f\n", clips[i].name, worst);
            CHECK(worst <= clips[i].mse);
        }
        CHECK_INT(ib_reader_damaged(reader, NULL), 0);
        ib_frame_free(&want);
        ib_reader_close(&reader);
    }
    CHECK_INT(files_in(scratch), (int)(sizeof clips / sizeof *clips)); /* no temporary file is left */
}

/* BT.2020's RGB as BT.709's, both of a display's gamma of 2.4: what reading wide gamut makes of it. */
static void to_bt709(uint8_t *rgb) {
    static const double m[3][3] = {
        {1.660491, -0.587641, -0.072850}, {-0.124550, 1.132900, -0.008349}, {-0.018151, -0.100579, 1.118730}};
    double in[3];
    for (int k = 0; k < 3; k++) {
        in[k] = pow(rgb[k] / 255.0, 2.4);
    }
    for (int k = 0; k < 3; k++) {
        double x = m[k][0] * in[0] + m[k][1] * in[1] + m[k][2] * in[2];
        rgb[k] = (uint8_t)lrint(255 * pow(fmin(fmax(x, 0), 1), 1 / 2.4));
    }
}

static void test_colour_tags(void) {
    static const ib_matrix matrix[] = {IB_MATRIX_BT709, IB_MATRIX_BT601, IB_MATRIX_BT2020,
                                       IB_MATRIX_UNSPECIFIED};
    for (size_t i = 0; i < 4; i++) {
        ib_error err = {0};
        ib_writer_options o = {
            .width = 64, .height = 48, .fps = 25, .matrix = matrix[i], .crf = 10, .threads = 1};
        ib_writer *w = NULL;
        ib_frame f, still;
        ib_frame_alloc(&f, 64, 48, &err);
        fill(&f, 90, 100, 150);
        CHECK_OK(ib_writer_open(&w, in_scratch("tags.mp4"), &o, &err), &err);
        CHECK_OK(ib_writer_write(w, &f, &err), &err);
        CHECK_OK(ib_writer_finish(&w, &err), &err);
        CHECK_OK(ib_read_still(&still, in_scratch("tags.mp4"), NULL, &err), &err);
        bool wide = matrix[i] == IB_MATRIX_BT2020; /* is not kept */
        CHECK_INT(still.matrix, wide ? IB_MATRIX_BT709 : matrix[i]);
        if (!wide) {
            CHECK_NEAR(still.plane[0][100], 90, 1);
        }
        ib_frame_free(&still);
        /* converted on request: same colour, other numbers */
        ib_reader_options ask = {.matrix = IB_MATRIX_BT601};
        CHECK_OK(ib_read_still(&still, in_scratch("tags.mp4"), &ask, &err), &err);
        CHECK_INT(still.matrix, IB_MATRIX_BT601);
        uint8_t a[64 * 48 * 3], b[64 * 48 * 3];
        f.matrix = matrix[i];
        CHECK_OK(ib_frame_to_rgb(&f, a, &err), &err);
        CHECK_OK(ib_frame_to_rgb(&still, b, &err), &err);
        if (wide) {
            to_bt709(a + 3 * 700);
        }
        for (int k = 0; k < 3; k++) {
            CHECK_NEAR(b[3 * 700 + k], a[3 * 700 + k], 4);
        }
        ib_frame_free(&still);
        ib_frame_free(&f);
    }
}

static void test_pictures(void) {
    ib_error err = {0};
    ib_frame f, g;
    CHECK_OK(write_clip(in_scratch("seq/"), 50, 34, 3, 25, NULL, -1, &err), &err);
    CHECK_INT(files_in(in_scratch("seq")), 3);
    CHECK_OK(write_clip(in_scratch("seq/x%02d.png"), 50, 34, 2, 25, NULL, -1, &err), &err);
    CHECK(ib_is_file(in_scratch("seq/x01.png")) && ib_is_file(in_scratch("seq/x02.png")));
    CHECK_OK(write_clip(in_scratch("one.png"), 51, 33, 1, 25, NULL, -1, &err), &err);
    CHECK_OK(ib_read_still(&f, in_scratch("one.png"), NULL, &err), &err);
    CHECK_INT(f.width, 51);
    CHECK_INT(f.height, 33);
    CHECK_INT(f.matrix, IB_MATRIX_BT709);
    CHECK_OK(ib_frame_alloc(&g, 51, 33, &err), &err);
    draw(&g, 0);
    CHECK_NEAR(difference(&f, &g, 0), 0, 1.5);
    CHECK_NEAR(difference(&f, &g, 1), 0, 1.5);
    ib_frame_free(&f);
    ib_frame_free(&g);
    ib_reader *r = NULL;
    CHECK_OK(ib_reader_open(&r, in_scratch("one.png"), NULL, &err), &err);
    CHECK(ib_reader_info(r)->still);
    const ib_frame *p;
    CHECK_INT(ib_reader_next(r, &p, &err), 1);
    CHECK_INT(ib_reader_next(r, &p, &err), 0);
    CHECK_INT(ib_reader_next(r, &p, &err), 0);
    ib_reader_close(&r);
    CHECK_ERROR(write_clip(in_scratch("two.png"), 50, 34, 2, 25, NULL, -1, &err), &err, IB_E_ARGUMENT,
                "one picture");
    CHECK(!ib_is_file(in_scratch("two.png")));
    CHECK_ERROR(write_clip(in_scratch("%s.png"), 50, 34, 2, 25, NULL, -1, &err), &err, IB_E_ARGUMENT, "%0Nd");
    CHECK_ERROR(write_clip(in_scratch("%d%d.png"), 50, 34, 2, 25, NULL, -1, &err), &err, IB_E_ARGUMENT,
                "%0Nd");
    CHECK_ERROR(write_clip(in_scratch("%999d.png"), 50, 34, 2, 25, NULL, -1, &err), &err, IB_E_ARGUMENT,
                "%0Nd");
    CHECK_ERROR(write_clip(in_scratch("new/"), 50, 34, 2, 25, "png", -1, &err), &err, IB_E_ARGUMENT,
                "--codec");
    CHECK(!ib_is_dir(in_scratch("new")));
    uint8_t rgb[3] = {1, 2, 3};
    CHECK_ERROR(ib_write_png(in_scratch("none/p.png"), rgb, 1, 1, &err), &err, IB_E_IO, "none/p.png");
    CHECK_ERROR(ib_write_png(in_scratch("p.png"), rgb, 0, 1, &err), &err, IB_E_ARGUMENT, "0 x 1");
}

static void test_writer_errors(void) {
    ib_error err = {0};
    ib_writer *w = NULL;
    ib_writer_options o = {
        .width = 96, .height = 64, .fps = 25, .matrix = IB_MATRIX_BT709, .crf = -1, .threads = 1};
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.doc"), &o, &err), &err, IB_E_ARGUMENT, ".mp4");
    CHECK_ERROR(ib_writer_open(&w, in_scratch("mp4"), &o, &err), &err, IB_E_ARGUMENT, ".mp4");
    CHECK_ERROR(ib_writer_open(&w, in_scratch("no/x.mp4"), &o, &err), &err, IB_E_IO, "no/x.mp4");
    o.codec = "nosuchcodec";
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "nosuchcodec");
    o.codec = "ffv1";
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "cannot go into");
    o.codec = "mpeg4";
    o.crf = 20;
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "--crf");
    o.codec = NULL;
    o.crf = 4000;
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "4000");
    o.crf = -1;
    o.fps = 0;
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "frames a second");
    o.fps = NAN;
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "frames a second");
    o.fps = 25;
    o.width = 0;
    CHECK_ERROR(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err, IB_E_ARGUMENT, "0 x 64");
    o.width = 96;
    CHECK(!w);
    CHECK_OK(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err);
    ib_frame f;
    ib_frame_alloc(&f, 64, 96, &err);
    ib_frame_fill_black(&f);
    CHECK_ERROR(ib_writer_write(w, &f, &err), &err, IB_E_MISMATCH, "64 x 96");
    ib_writer_abort(&w);
    ib_writer_abort(&w);
    ib_frame_free(&f);
    CHECK_OK(ib_writer_open(&w, in_scratch("x.mp4"), &o, &err), &err);
    CHECK_ERROR(ib_writer_finish(&w, &err), &err, IB_E_EMPTY, "x.mp4");
    CHECK(!w && !ib_is_file(in_scratch("x.mp4")));
    if (geteuid() != 0) {
        mkdir(in_scratch("locked"), 0500);
        CHECK_ERROR(ib_writer_open(&w, in_scratch("locked/x.mp4"), &o, &err), &err, IB_E_IO, "locked/x.mp4");
        rmdir(in_scratch("locked"));
    } else {
        printf("SKIPPED unwritable directory: root may write everywhere\n");
    }
}

/* A disk that fills up, as a limit on the size of files, in a child. Its status: 0 as wanted. */
static int fill_up(const char *name, rlim_t limit) {
    ib_error err = {0};
    struct rlimit l = {limit, limit};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &l);
    int rc = write_clip(in_scratch(name), 320, 240, 20, 25, NULL, 0, &err);
    fflush(stdout);
    if (rc == IB_E_IO && strstr(err.text, name)) {
        return 0;
    }
    dprintf(STDERR_FILENO, "%s on a full disk: %d \"%s\"\n", name, rc, err.text);
    return 1;
}

static void test_full_disk(void) {
    static const char *const names[] = {"full/a.mp4", "full/a.mkv", "full/a.webm"};
    mkdir(in_scratch("full"), 0777);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (rlim_t limit = 16; limit < 40000; limit = limit * 40 + 1) {
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                _exit(fill_up(names[i], limit));
            }
            int status = -1;
            waitpid(child, &status, 0);
            CHECK_INT(status, 0);
            CHECK_INT(files_in(in_scratch("full")), 0);
        }
    }
    rmdir(in_scratch("full"));
}

int main(void) {
    if (!make_scratch("video_io")) {
        return check_skip("test_video_io", "no scratch directory can be made");
    }
    RUN(test_frame());
    RUN(test_scale());
    RUN(test_rgb());
    RUN(test_round_trips());
    RUN(test_colour_tags());
    RUN(test_pictures());
    RUN(test_writer_errors());
    RUN(test_full_disk());
    remove_scratch();
    return check_report("test_video_io");
}
