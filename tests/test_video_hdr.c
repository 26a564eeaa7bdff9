/* HDR (PQ, HLG) and wide gamut become SDR BT.709. What is right is computed here from the formulas: PQ and
 * HLG of ITU-R BT.2100, white at 203 cd/m2 of BT.2408, the Mobius curve, BT.1886's display gamma. */
#include <math.h>
#include <stdarg.h>
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { PATCH = 32, PATCHES = 12 };

/* Runs a shell command in the scratch directory; its status. */
__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...) {
    char body[2000], command[2400];
    va_list a;
    va_start(a, fmt);
    vsnprintf(body, sizeof body, fmt, a);
    va_end(a);
    snprintf(command, sizeof command, "cd '%s' && { %s ; } >/dev/null </dev/null", scratch, body);
    return system(command);
}

typedef enum curve { PQ, HLG, SDR } curve;

/* Signal 0..1 to light: PQ cd/m2 of a display, HLG scene light 0..1, SDR display light 0..1. */
static double to_light(curve c, double e) {
    const double m1 = 2610.0 / 16384, m2 = 2523.0 / 4096 * 128, c1 = 3424.0 / 4096, c2 = 2413.0 / 4096 * 32,
                 c3 = 2392.0 / 4096 * 32, a = 0.17883277, b = 1 - 4 * a, d = 0.5 - a * log(4 * a);
    double p = pow(e, 1 / m2);
    return c == PQ    ? 10000 * pow(fmax(p - c1, 0) / (c2 - c3 * p), 1 / m1)
           : c == HLG ? (e <= 0.5 ? e * e / 3 : (exp((e - d) / a) + b) / 12)
                      : pow(e, 2.4);
}

static double to_signal(curve c, double light) {
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        *(to_light(c, mid) < light ? &low : &high) = mid;
    }
    return low;
}

static double mobius(double x, double peak) {
    const double j = 0.3;
    double a = -j * j * (peak - 1) / (j * j - 2 * j + peak), b = (j * j - 2 * j * peak + peak) / (peak - 1);
    return x <= j ? x : (b * b + 2 * b * j + j * j) / (b - a) * (x + a) / (x + b);
}

/* BT.2020 signal to 8-bit BT.709 RGB. */
static void expected(curve c, const double e[3], double peak, double rgb[3]) {
    static const double m[3][3] = {
        {1.660491, -0.587641, -0.072850}, {-0.124550, 1.132900, -0.008349}, {-0.018151, -0.100579, 1.118730}};
    double in[3], out[3], most = 0;
    for (int k = 0; k < 3; k++) {
        in[k] = to_light(c, e[k]);
    }
    double luminance = 0.2627 * in[0] + 0.6780 * in[1] + 0.0593 * in[2];
    for (int k = 0; k < 3; k++) {
        in[k] *= c == PQ ? 1 / 203.0 : c == HLG ? 1000 / 203.0 * pow(luminance, 0.2) : 1;
    }
    for (int k = 0; k < 3; k++) {
        out[k] = m[k][0] * in[0] + m[k][1] * in[1] + m[k][2] * in[2];
        most = fmax(most, out[k]);
    }
    for (int k = 0; k < 3; k++) {
        double x = c == SDR || most <= 0 ? out[k] : out[k] * mobius(most, peak / 203) / most;
        rgb[k] = 255 * pow(fmin(fmax(x, 0), 1), 1 / 2.4);
    }
}

/* Light of the patches: cd/m2 for PQ, display or scene light for the others. */
static void light_of(curve c, int patch, double light[3]) {
    static const double grey[3][6] = {
        {0.5, 10, 100, 203, 1000, 4000}, {0.005, 0.03, 0.1, 0.2, 0.5, 1}, {0.005, 0.05, 0.2, 0.4, 0.7, 1}};
    static const double colour[6][3] = {{1, .3, .2},  {.2, .9, .25}, {.3, .35, 1},
                                        {1, .1, .05}, {.8, .7, .2},  {.5, .8, .9}};
    static const double scale[3] = {150, 0.25, 0.6};
    for (int k = 0; k < 3; k++) {
        light[k] = patch < 6 ? grey[c][patch] : colour[patch - 6][k] * scale[c];
    }
}

/* What became of a patch's signal when its samples were rounded. */
static double signal_of[PATCHES][3];

/* One frame of patches of 32 x 32: 4:2:0 limited BT.2020 of `bits`, or planar RGB (G, B, R) of 10. */
static void write_raw(curve c, int bits, bool rgb, int width, int height) {
    FILE *f = fopen(in_scratch("raw"), "wb");
    uint8_t *b = calloc((size_t)width * (size_t)height, 8);
    size_t n = 0;
    for (int p = 0; p < 3; p++) {
        int step = p && !rgb ? 2 : 1;
        for (int y = 0; y < (height + step - 1) / step; y++) {
            for (int x = 0; x < (width + step - 1) / step; x++) {
                int patch = x * step / PATCH < PATCHES ? x * step / PATCH : PATCHES - 1;
                double light[3], e[3];
                light_of(c, patch, light);
                for (int k = 0; k < 3; k++) {
                    e[k] = to_signal(c, light[k]);
                }
                double luma = 0.2627 * e[0] + 0.6780 * e[1] + 0.0593 * e[2], v;
                if (rgb) {
                    v = 1023 * e[(p + 1) % 3];
                } else {
                    v = (1 << (bits - 8)) * (p == 0   ? 16 + 219 * luma
                                             : p == 1 ? 128 + 224 * (e[2] - luma) / 1.8814
                                                      : 128 + 224 * (e[0] - luma) / 1.4746);
                }
                long s = lrint(v);
                b[n++] = (uint8_t)s;
                if (bits > 8) {
                    b[n++] = (uint8_t)(s >> 8);
                }
            }
        }
    }
    if (!f || fwrite(b, 1, n, f) != n || fclose(f)) {
        exit(1);
    }
    free(b);
    for (int patch = 0; patch < PATCHES; patch++) {
        double light[3], *e = signal_of[patch];
        light_of(c, patch, light);
        for (int k = 0; k < 3; k++) {
            e[k] = to_signal(c, light[k]);
        }
        if (rgb) {
            continue;
        }
        double s = 1 << (bits - 8), luma = 0.2627 * e[0] + 0.6780 * e[1] + 0.0593 * e[2];
        double y = lrint(s * (16 + 219 * luma)) / s, u = lrint(s * (128 + 224 * (e[2] - luma) / 1.8814)) / s,
               v = lrint(s * (128 + 224 * (e[0] - luma) / 1.4746)) / s;
        y = (y - 16) / 219;
        e[0] = y + 1.4746 * (v - 128) / 224;
        e[2] = y + 1.8814 * (u - 128) / 224;
        e[1] = (y - 0.2627 * e[0] - 0.0593 * e[2]) / 0.6780;
        for (int k = 0; k < 3; k++) {
            e[k] = fmin(fmax(e[k], 0), 1);
        }
    }
}

#define COLOURS " -color_primaries bt2020 -color_trc %s -colorspace %s -color_range %s "
static const char *const trc_names[] = {"smpte2084", "arib-std-b67", "bt2020-10"};
static const char *const names[] = {"PQ, BT.2020", "HLG, BT.2020", "SDR, BT.2020"};

static int make(const char *out, curve c, const char *format, int width, int height, const char *then) {
    bool rgb = format[0] == 'g';
    int bits = strstr(format, "10") ? 10 : 8;
    write_raw(c, bits, rgb, width, height);
    return sh("ffmpeg -y -v error -f rawvideo -pix_fmt %s -s %dx%d -r 25" COLOURS "-i raw %s" COLOURS "%s",
              format, width, height, trc_names[c], rgb ? "rgb" : "bt2020nc", rgb ? "pc" : "tv", then,
              trc_names[c], rgb ? "rgb" : "bt2020nc", rgb ? "pc" : "tv", out);
}

/* Every patch's middle against the formulas: 8-bit steps of RGB, and of the YUV that it is stored in. */
static void check_file(const char *name, curve c, double peak, double tolerance, double alpha) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    ib_reader_options o = {.rgb = true};
    double worst = 0, worst_luma = 0;
    CHECK_OK(ib_reader_open(&r, in_scratch(name), &o, &err), &err);
    if (!r) {
        return;
    }
    const ib_video_info *i = ib_reader_info(r);
    CHECK(!strcmp(i->wide, names[c]));
    CHECK(!i->plain);
    CHECK_INT(i->matrix, IB_MATRIX_BT709);
    CHECK_INT(ib_reader_next(r, &f, &err), 1);
    for (int patch = 0; f && patch < PATCHES && (patch + 1) * PATCH <= f->width; patch++) {
        double want[3];
        size_t x = (size_t)(patch * PATCH + PATCH / 2), y = (size_t)f->height / 2;
        expected(c, signal_of[patch], peak, want);
        for (int k = 0; k < 3; k++) {
            want[k] *= alpha;
            double off = fabs(f->rgb[y * f->rgb_stride + 3 * x + (size_t)k] - want[k]);
            if (off > tolerance) {
                printf("%s: patch %d, %c is %d, wanted %.1f within %.1f\n", name, patch, "RGB"[k],
                       f -> rgb[y * f->rgb_stride + 3 * x + (size_t)k], want[k], tolerance);
            }
            worst = fmax(worst, off);
        }
        double luma = 16 + 219 / 255.0 * (0.2126 * want[0] + 0.7152 * want[1] + 0.0722 * want[2]);
        worst_luma = fmax(worst_luma, fabs(f->plane[0][y * f->stride[0] + x] - luma));
    }
    printf("%s: RGB within %.2f, luma within %.2f of the formulas (tolerance %.1f)\n", name, worst,
           worst_luma, tolerance);
    CHECK(worst <= tolerance);
    CHECK(worst_luma <= tolerance);
    ib_reader_close(&r);
}

static void test_values(void) {
    const int w = PATCH * PATCHES;
    CHECK_INT(make("pq.mkv", PQ, "yuv420p10le", w, 64, "-c:v ffv1"), 0);
    check_file("pq.mkv", PQ, 1000, 2, 1);
    CHECK_INT(make("hlg.mkv", HLG, "yuv420p10le", w, 64, "-c:v ffv1"), 0);
    check_file("hlg.mkv", HLG, 1000, 2, 1);
    CHECK_INT(make("wide.mkv", SDR, "yuv420p", w, 64, "-c:v ffv1"), 0);
    check_file("wide.mkv", SDR, 1000, 2, 1);
    /* other layouts: odd sides, RGB, 4:4:4, alpha (half of it, over black), H.264 */
    CHECK_INT(make("odd.mkv", PQ, "yuv420p10le", w - 1, 63, "-c:v ffv1"), 0);
    check_file("odd.mkv", PQ, 1000, 2, 1);
    CHECK_INT(make("rgb.mkv", PQ, "gbrp10le", w, 64, "-c:v ffv1"), 0);
    check_file("rgb.mkv", PQ, 1000, 2, 1);
    CHECK_INT(make("rgb-hlg.mkv", HLG, "gbrp10le", w, 64, "-c:v ffv1"), 0);
    check_file("rgb-hlg.mkv", HLG, 1000, 2, 1);
    CHECK_INT(make("444.mkv", PQ, "yuv420p10le", w, 64, "-pix_fmt yuv444p10le -c:v ffv1"), 0);
    check_file("444.mkv", PQ, 1000, 2, 1);
    CHECK_INT(make("alpha.mkv", PQ, "yuv420p10le", w, 64,
                   "-vf \"format=yuva444p10le,geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a=512\" -c:v ffv1"),
              0);
    check_file("alpha.mkv", PQ, 1000, 2, 512 / 1023.0);
    CHECK_INT(make("h264.mp4", HLG, "yuv420p10le", w, 64, "-c:v libx264 -qp 1"), 0);
    check_file("h264.mp4", HLG, 1000, 3, 1);
}

/* The stream says how bright it gets; what it cannot mean is not believed. */
static void test_peak(void) {
    static const struct {
        const char *light;
        double peak;
    } cases[] = {
        {"max-cll=4000,400", 4000},
        {"max-cll=20,10", 1000},
        {"master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(20000000,50)", 2000}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char then[400];
        snprintf(then, sizeof then,
                 "-c:v libx265 -preset ultrafast -x265-params 'qp=4:log-level=none:hdr10=1:%s'",
                 cases[k].light);
        if (make("peak.mkv", PQ, "yuv420p10le", PATCH * PATCHES, 64, then)) {
            printf("SKIPPED %s: this ffmpeg cannot make it\n", cases[k].light);
            continue;
        }
        check_file("peak.mkv", PQ, cases[k].peak, 4, 1);
    }
}

/* A matrix alone, and tags that change on the way. */
static void test_tags(void) {
    ib_error err = {0};
    ib_frame f;
    CHECK_INT(sh("ffmpeg -y -v error -f lavfi -i color=red:s=64x48:r=25:d=0.2 -vf "
                 "scale=out_color_matrix=bt2020 -colorspace "
                 "bt2020nc -pix_fmt yuv420p -c:v libx264 -qp 4 m.mp4"),
              0);
    ib_reader_options o = {.rgb = true};
    CHECK_OK(ib_read_still(&f, in_scratch("m.mp4"), &o, &err), &err);
    CHECK_INT(f.matrix, IB_MATRIX_BT709);
    CHECK_NEAR(f.rgb[0], 255, 2); /* BT.2020's red is outside */
    CHECK_NEAR(f.rgb[1], 0, 2);
    ib_frame_free(&f);
    CHECK_INT(make("a.264", PQ, "yuv420p10le", 384, 64, "-c:v libx264 -qp 4 -bf 0 -f h264"), 0);
    CHECK_INT(sh("ffmpeg -y -v error -f lavfi -i testsrc2=s=192x96:r=25:d=0.2 -pix_fmt yuv420p10le -bf 0 "
                 "-c:v libx264 -f "
                 "h264 b.264; cat a.264 b.264 a.264 >change.264"),
              0);
    ib_reader *r = NULL;
    const ib_frame *g;
    int n = 0, more;
    CHECK_OK(ib_reader_open(&r, in_scratch("change.264"), NULL, &err), &err);
    while ((more = ib_reader_next(r, &g, &err)) > 0) {
        n += g->width == 384 && g->height == 64;
    }
    CHECK_OK(more, &err);
    CHECK_INT(n, 7);
    ib_reader_close(&r);
}

int main(void) {
    if (!make_scratch("hdr")) {
        return check_skip("test_video_hdr", "no scratch directory");
    }
    if (sh("ffmpeg -v error -filters | grep -q zscale")) {
        remove_scratch();
        return check_skip("test_video_hdr", "no ffmpeg with zscale is here");
    }
    RUN(test_values());
    RUN(test_peak());
    RUN(test_tags());
    remove_scratch();
    return check_report("test_video_hdr");
}
