/* Measures of pictures and latents: against FFmpeg's filters, plain twins, and cases whose
 * answer is known. */
#include "base/rng.h"
#include "eval/metrics.h"
#include "eval/ms_ssim.h"
#include "eval/pixels.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/recode.h"

static void noise(ib_frame *f, uint64_t seed, int most) {
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < (p ? (f->height + 1) / 2 : f->height); y++) {
            for (int x = 0; x < (p ? (f->width + 1) / 2 : f->width); x++) {
                uint8_t *v = f->plane[p] + (size_t)y * f->stride[p] + x;
                int n = *v + (int)ib_rng_below(&rng, (uint64_t)(2 * most + 1)) - most;
                *v = (uint8_t)(n < 0 ? 0 : n > 255 ? 255 : n);
            }
        }
    }
}

static void two(ib_frame *a, ib_frame *b, int width, int height) {
    ib_error err;
    CHECK_OK(ib_frame_alloc(a, width, height, &err), &err);
    CHECK_OK(ib_frame_alloc(b, width, height, &err), &err);
}

static void test_psnr(void) {
    ib_frame a = {0}, b = {0};
    two(&a, &b, 17, 16);
    fill(&a, 100, 90, 80);
    fill(&b, 100, 90, 80);
    b.plane[0][20] = 7; /* beyond the width */
    CHECK_NEAR(ib_psnr(&a, &b).luma, 100, 0);
    CHECK_NEAR(ib_psnr(&a, &b).all, 100, 0);
    b.plane[0][3 * b.stride[0] + 16] = 110;
    b.plane[0][5 * b.stride[0]] = 95;
    CHECK_NEAR(ib_psnr(&a, &b).luma, 10 * log10(255.0 * 255 * 17 * 16 / 125), 1e-12);
    CHECK_NEAR(ib_psnr(&b, &a).luma, ib_psnr(&a, &b).luma, 0);
    b.plane[2][8] = 82;
    CHECK_NEAR(ib_psnr(&a, &b).all, 10 * log10(255.0 * 255 * (17 * 16 + 2 * 9 * 8) / 129), 1e-12);
    fill(&a, 0, 0, 0);
    fill(&b, 255, 0, 0);
    CHECK_NEAR(ib_psnr(&a, &b).luma, 0, 1e-12);
    ib_frame_free(&a);
    ib_frame_free(&b);
}

/* ---- FFmpeg's filters on the same frames ---- */

static void put_frame(FILE *f, const ib_frame *a) {
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < (p ? (a->height + 1) / 2 : a->height); y++) {
            fwrite(a->plane[p] + (size_t)y * a->stride[p], 1, (size_t)(p ? (a->width + 1) / 2 : a->width), f);
        }
    }
}

/* The number after `key` in what a filter said of a frame; NaN if it is not there. */
static double said(const char *log, const char *key) {
    FILE *f = fopen(in_scratch(log), "r");
    char line[512] = "";
    char *at = f && fgets(line, sizeof line, f) ? strstr(line, key) : NULL;
    if (f) {
        fclose(f);
    }
    return at ? atof(at + strlen(key)) : NAN;
}

/* FFmpeg 5.1's own assembly leaves out windows where a row has 4 n + 1 of them; its plain C does not. */
static void compare_with_ffmpeg(int width, int height, double moved, int grain, const char *flags) {
    ib_frame a = {0}, b = {0};
    char command[2048];
    two(&a, &b, width, height);
    draw(&a, 0);
    draw(&b, moved);
    noise(&b, 3, grain);
    FILE *f = fopen(in_scratch("a.yuv"), "wb"), *g = fopen(in_scratch("b.yuv"), "wb");
    put_frame(f, &a);
    put_frame(g, &b);
    fclose(f);
    fclose(g);
    snprintf(command, sizeof command,
             "cd '%s' && for m in psnr ssim; do ffmpeg -nostdin %s -v error -y -f rawvideo -pix_fmt yuv420p "
             "-s %dx%d -i a.yuv "
             "-f rawvideo -pix_fmt yuv420p -s %dx%d -i b.yuv -lavfi $m=stats_file=$m.log -f null - || exit "
             "1; done",
             scratch, flags, width, height, width, height);
    CHECK_INT(system(command), 0);
    CHECK_NEAR(ib_psnr(&a, &b).luma, said("psnr.log", "psnr_y:"), 0.01);
    CHECK_NEAR(ib_psnr(&a, &b).all, said("psnr.log", "psnr_avg:"), 0.01);
    CHECK_NEAR(ib_ssim(&a, &b).luma, said("ssim.log", "Y:"), 0.0005);
    CHECK_NEAR(ib_ssim(&a, &b).all, said("ssim.log", "All:"), 0.0005);
    CHECK(ib_ssim(&a, &b).luma < 0.999);
    ib_frame_free(&a);
    ib_frame_free(&b);
}

/* ---- MS-SSIM, plainly ---- */

typedef struct image {
    int w, h;
    double *v;
} image;

static double window_sum(const image *a, const image *b, int x, int y) {
    double sum = 0, weights = 0;
    for (int j = -5; j <= 5; j++) {
        for (int i = -5; i <= 5; i++) {
            double g = exp(-(i * i + j * j) / 4.5);
            size_t at = (size_t)(y + j) * (size_t)a->w + (size_t)(x + i);
            sum += g * a->v[at] * (b ? b->v[at] : 1);
            weights += g;
        }
    }
    return sum / weights;
}

static double plain_ms_ssim(const ib_frame *f, const ib_frame *g, int scales) {
    static const double exponent[5] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    image a = {f->width, f->height, calloc((size_t)f->width * (size_t)f->height, sizeof(double))};
    image b = {f->width, f->height, calloc((size_t)f->width * (size_t)f->height, sizeof(double))};
    double result = 1, all = 0;
    for (int y = 0; y < a.h; y++) {
        for (int x = 0; x < a.w; x++) {
            a.v[y * a.w + x] = f->plane[0][(size_t)y * f->stride[0] + (size_t)x];
            b.v[y * a.w + x] = g->plane[0][(size_t)y * g->stride[0] + (size_t)x];
        }
    }
    for (int s = 0; s < scales; s++) {
        all += exponent[s];
    }
    for (int s = 0; s < scales; s++) {
        double whole = 0, contrast = 0, n = 0;
        for (int y = 5; y < a.h - 5; y++) {
            for (int x = 5; x < a.w - 5; x++, n++) {
                double u = window_sum(&a, NULL, x, y), v = window_sum(&b, NULL, x, y);
                double uu = window_sum(&a, &a, x, y) - u * u, vv = window_sum(&b, &b, x, y) - v * v;
                double cs = (2 * (window_sum(&a, &b, x, y) - u * v) + 58.5225) / (uu + vv + 58.5225);
                contrast += cs;
                whole += cs * (2 * u * v + 6.5025) / (u * u + v * v + 6.5025);
            }
        }
        result *= pow(fmax(0, (s + 1 < scales ? contrast : whole) / n), exponent[s] / all);
        for (int y = 0; y < a.h / 2; y++) {
            for (int x = 0; x < a.w / 2; x++) {
                int at = 2 * y * a.w + 2 * x, to = y * (a.w / 2) + x;
                a.v[to] = (a.v[at] + a.v[at + 1] + a.v[at + a.w] + a.v[at + a.w + 1]) / 4;
                b.v[to] = (b.v[at] + b.v[at + 1] + b.v[at + a.w] + b.v[at + a.w + 1]) / 4;
            }
        }
        a.w = b.w = a.w / 2;
        a.h = b.h = a.h / 2;
    }
    free(a.v);
    free(b.v);
    return result;
}

static void test_ms_ssim(void) {
    static const int size[3][3] = {{192, 112, 4}, {45, 61, 3}, {11, 11, 1}};
    for (int i = 0; i < 3; i++) {
        ib_frame a = {0}, b = {0};
        ib_ms_ssim *m = NULL;
        ib_error err;
        two(&a, &b, size[i][0], size[i][1]);
        draw(&a, 0);
        draw(&b, 1.5);
        noise(&b, 9, 12);
        CHECK_OK(ib_ms_ssim_create(&m, a.width, a.height, &err), &err);
        CHECK_INT(ib_ms_ssim_scales(a.width, a.height), size[i][2]);
        ib_ms_ssim_truth(m, &a);
        CHECK_NEAR(ib_ms_ssim_of(m, &b), plain_ms_ssim(&a, &b, size[i][2]), 2e-5);
        CHECK(ib_ms_ssim_of(m, &b) < 0.99);
        CHECK_NEAR(ib_ms_ssim_of(m, &a), 1, 1e-5);
        ib_ms_ssim_free(&m);
        ib_frame_free(&a);
        ib_frame_free(&b);
    }
    CHECK_INT(ib_ms_ssim_scales(176, 176), 5);
    CHECK_INT(ib_ms_ssim_scales(10, 400), 0);
}

/* ---- sequences ---- */

static void test_steps(void) {
    ib_frame a = {0}, b = {0};
    double mean[3];
    two(&a, &b, 30, 20);
    fill(&a, 50, 100, 150);
    fill(&b, 57, 100, 150);
    ib_plane_means(&b, mean);
    CHECK_NEAR(mean[0], 57, 0);
    CHECK_NEAR(mean[2], 150, 0);
    CHECK_NEAR(ib_change_error(&a, &b, &a, &a), 7, 0);
    CHECK_NEAR(ib_change_error(&a, &b, &a, &b), 0, 0);
    CHECK_NEAR(ib_change_error(&b, &a, &a, &b), 14, 0);
    CHECK_NEAR(ib_gradient_energy(&a), 0, 0);
    for (int y = 0; y < 20; y++) {
        for (int x = 0; x < 30; x++) {
            a.plane[0][(size_t)y * a.stride[0] + (size_t)x] = (uint8_t)(2 * x + 3 * y);
        }
    }
    CHECK_NEAR(ib_gradient_energy(&a), (4.0 * 29 * 20 + 9.0 * 30 * 19) / 600, 1e-12);
    ib_frame_free(&a);
    ib_frame_free(&b);
}

static void test_latents(void) {
    enum { T = 3, D = 13 };
    float u[T * D], v[T * D] = {0}, w[T * D];
    ib_closeness c;
    ib_rng rng;
    ib_rng_seed(&rng, 4);
    for (int i = 0; i < T * D; i++) {
        u[i] = ib_rng_normal(&rng);
        w[i] = 2 * u[i];
    }
    float p[3] = {1, 2, 3}, q[3] = {1, 0, 4.5f};
    CHECK_NEAR(ib_squared_error(p, q, 3), 6.25, 0);
    ib_closeness_of(u, u, T, D, &c);
    CHECK_NEAR(c.error, 0, 0);
    CHECK_NEAR(c.cosine, 1, 1e-12);
    CHECK_NEAR(c.angle_degrees, 0, 1e-5);
    ib_closeness_of(w, u, T, D, &c);
    CHECK_NEAR(c.angle_degrees, 0, 1e-5);
    CHECK_NEAR(c.norm_error, 1, 1e-6);
    CHECK_NEAR(c.error, ib_squared_error(u, v, T * D), 1e-4);
    ib_closeness_of(u, v, T, D, &c); /* a truth of zeros has no direction */
    CHECK(isnan(c.cosine) && isnan(c.angle_degrees) && isnan(c.norm_error));
    ib_closeness_of(v, u, T, D, &c);
    CHECK_NEAR(c.angle_degrees, 90, 1e-9);
    CHECK_NEAR(c.norm_error, 1, 1e-9);
    /* a small turn, known exactly: one token counts, the other true one is zero */
    float one[4] = {1, 0, 0.3f, 0.4f}, turned[4] = {cosf(0.01f), sinf(0.01f), 0, 0};
    ib_closeness_of(one, turned, 2, 2, &c);
    CHECK_NEAR(c.angle_degrees, 0.01 * 57.29577951308232, 1e-5);

    float x[2] = {0, 0}, y[2] = {1, 0}, z[2] = {1, 2};
    CHECK_NEAR(ib_turning_degrees(x, y, z, 2), 90, 1e-9);
    CHECK_NEAR(ib_turning_degrees(x, y, x, 2), 180, 1e-9);
    CHECK(isnan(ib_turning_degrees(x, x, y, 2)));
}

static void test_recode(void) {
    enum { N = 7 };
    ib_frame in[N] = {0}, out[N];
    ib_error err;
    for (int i = 0; i < N; i++) {
        CHECK_OK(ib_frame_alloc(&in[i], 61, 47, &err), &err);
        draw(&in[i], 2.0 * i);
    }
    CHECK_OK(ib_recode(in, N, 25, 23, out, &err), &err);
    for (int i = 0; i < N; i++) {
        double own = ib_psnr(&in[i], &out[i]).luma;
        CHECK(own > 32 && own < 60);
        CHECK(own > ib_psnr(&in[i ? i - 1 : 1], &out[i]).luma + 5);
        ib_frame_free(&out[i]);
    }
    CHECK_OK(ib_recode(in, 1, 29.97, 0, out, &err), &err);
    CHECK(ib_psnr(&in[0], &out[0]).luma > 60);
    ib_frame_free(&out[0]);
    CHECK_ERROR(ib_recode(in, 0, 25, 23, out, &err), &err, IB_E_ARGUMENT, "0 frames");
    for (int i = 0; i < N; i++) {
        ib_frame_free(&in[i]);
    }
}

int main(void) {
    if (!make_scratch("eval_pixels")) {
        return check_skip("test_eval_pixels", "no scratch directory can be made");
    }
    RUN(test_psnr());
    RUN(test_ms_ssim());
    RUN(test_steps());
    RUN(test_latents());
    RUN(test_recode());
    bool ffmpeg = !system("command -v ffmpeg >/dev/null");
    if (ffmpeg) {
        compare_with_ffmpeg(192, 112, 1.5, 6, "");
        compare_with_ffmpeg(90, 66, 0, 40, "-cpuflags 0");
        compare_with_ffmpeg(112, 192, 0.5, 9, "-cpuflags 0");
        compare_with_ffmpeg(46, 38, 4, 1, "");
    }
    remove_scratch();
    int status = check_report("test_eval_pixels");
    return status || ffmpeg
               ? status
               : check_skip("test_eval_pixels", "ffmpeg is not installed: its filters were not compared");
}
