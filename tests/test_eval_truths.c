/* Evaluations whose answer is known beforehand: planted paths, planted flashes, adapters that are slerp,
 * worse, or the same. */
#include "base/memory.h"
#include "eval/metrics.h"
#include "eval/methods.h"
#include "eval/store.h"
#include "tests/evals.h"
#include "video_io/jpeg.h"
#include "video_io/reader.h"

/* ---- paths ---- */

static void test_paths(void) {
    ib_eval_report r;
    ib_error err;
    write_path(in_scratch("line.h5"), "line", 8, 3, on_line);
    CHECK_OK(eval_one(in_scratch("line.h5"), NULL, &r, &err), &err);
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_ANGLE) < 0.05); /* what half precision leaves */
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_NORM_ERROR) < 5e-4);
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_COSINE) > 0.999999);
    CHECK_NEAR(figure_of(&r, 0, 0, "lerp", IB_FIGURE_RECALL), 1, 0);
    CHECK_NEAR(figure_of(&r, 0, 0, "hold-first", IB_FIGURE_RECALL), 0, 0);
    CHECK_NEAR(figure_of(&r, 0, 0, "lerp", IB_FIGURE_CURVATURE), 0, 1e-3);
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_TRUE_CURVATURE) < 1);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_CURVATURE) > 3);
    CHECK(isnan(figure_of(&r, 0, 0, "hold-first", IB_FIGURE_CURVATURE)));
    ib_eval_report_free(&r);

    write_path(in_scratch("circle.h5"), "circle", 8, 3, on_circle);
    CHECK_OK(eval_one(in_scratch("circle.h5"), NULL, &r, &err), &err);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_ANGLE) < 0.05);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_NORM_ERROR) < 5e-4);
    CHECK_NEAR(figure_of(&r, 0, 0, "slerp", IB_FIGURE_RECALL), 1, 0);
    CHECK_NEAR(figure_of(&r, 0, 0, "slerp", IB_FIGURE_CURVATURE),
               figure_of(&r, 0, 0, "slerp", IB_FIGURE_TRUE_CURVATURE), 0.5);
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_ANGLE) > 0.1);
    /* by place: the middle is where a chord is farthest from its circle; both ends alike */
    const ib_eval_gap *g = &r.gap[0];
    double at[7];
    for (int k = 0; k < 7; k++) {
        at[k] = g->at[(size_t)k * r.methods + 2].figure[IB_FIGURE_NORM_ERROR];
    }
    CHECK(at[0] < at[1] && at[1] < at[3] && at[6] < at[5] && at[5] < at[3]);
    CHECK_NEAR(at[1], at[5], 0.15 * at[1]); /* some tokens are held back on the way */
    ib_eval_report_free(&r);
}

/* A parabola goes through the spline, whose slopes are exact for it, also where keyframes are not evenly
 * spaced; a line in any case. */
static void test_cubic(void) {
    enum { D = 5 };
    float z[6][D], out[D];
    static const float time[4] = {-1, 0, 1, 2};
    for (int i = 0; i < 4; i++) {
        for (int d = 0; d < D; d++) {
            z[i][d] = (float)d + 0.3f * time[i] - 0.2f * (float)d * time[i] * time[i];
        }
    }
    ib_keys keys = {{z[0], z[1], z[2], z[3]}, -1, 2, ib_geometry_of(""), 1, D};
    for (float t = 0.1f; t < 1; t += 0.2f) {
        ib_baselines[4].run(&keys, t, out);
        for (int d = 0; d < D; d++) {
            CHECK_NEAR(out[d], (float)d + 0.3f * t - 0.2f * (float)d * t * t, 2e-6);
        }
    }
    for (int d = 0; d < D; d++) {
        z[0][d] = 1 - 3.0f * (float)d;
        z[1][d] = 1;
        z[2][d] = 1 + 2 * (float)d;
        z[3][d] = 1 + 2 * 1.75f * (float)d;
    }
    keys.before = -1.5f;
    keys.after = 1.75f;
    for (int ends = 0; ends < 4; ends++) {
        keys.z[0] = ends & 1 ? z[0] : NULL;
        keys.z[3] = ends & 2 ? z[3] : NULL;
        ib_baselines[4].run(&keys, 0.3f, out);
        for (int d = 0; d < D; d++) {
            CHECK_NEAR(out[d], 1 + 2 * 0.3f * (float)d, 2e-6);
        }
    }
    CHECK(!strcmp(ib_baselines[4].name, "cubic") && !strcmp(ib_baselines[1].name, "nearest"));
    ib_baselines[1].run(&keys, 0.49f, out);
    CHECK_NEAR(out[2], z[1][2], 0);
    ib_baselines[1].run(&keys, 0.51f, out);
    CHECK_NEAR(out[2], z[2][2], 0);
}

/* The search with its bounds and orders says what comparing with every frame says. */
static void test_store(void) {
    ib_latent_file *f = NULL;
    ib_store *all = NULL, *some = NULL;
    ib_error err;
    ib_rng rng;
    size_t hits = 0, tries = 0;
    static float z[40][VALUES], near[VALUES];
    write_moving(in_scratch("store.h5"), "store", 40, 0.4, NULL);
    CHECK_OK(ib_latent_open(&f, in_scratch("store.h5"), &err), &err);
    CHECK_OK(ib_store_open(&all, f, (size_t)1 << 30, &err), &err);
    CHECK_OK(ib_store_open(&some, f, 120000, &err), &err); /* not all frames fit */
    ib_rng_seed(&rng, 11);
    for (size_t i = 0; i < 40; i++) {
        CHECK_OK(ib_store_read(all, i, z[i], &err), &err);
        CHECK_OK(ib_store_read(some, i, near, &err), &err);
        CHECK(!memcmp(near, z[i], sizeof near));
    }
    for (size_t i = 0; i < 40; i++) {
        for (int noise = 0; noise < 6; noise++, tries++) {
            for (int k = 0; k < VALUES; k++) {
                near[k] = z[i][k] + 0.02f * (float)noise * ib_rng_normal(&rng);
            }
            double own = ib_squared_error(near, z[i], VALUES);
            bool nearest = true;
            for (size_t k = 0; k < 40; k++) {
                nearest = nearest && !(ib_squared_error(near, z[k], VALUES) < own * (1 - 2e-5));
            }
            CHECK_INT(ib_store_is_nearest(all, near, i, own), nearest);
            CHECK(!nearest || ib_store_is_nearest(some, near, i, own));
            hits += nearest;
        }
    }
    CHECK(hits > tries / 5 && hits < tries);
    ib_store_close(&all);
    ib_store_close(&some);
    ib_latent_close(&f);
}

/* ---- keyframes that flash ---- */

/* In-betweens darker than keyframes by `dark` 8-bit steps. */
static void write_flashing(const char *path, double dark) {
    ib_latent_info info = {.fps = 25, .every = 1, .matrix = IB_MATRIX_BT601, .space_id = MOVING_SPACE};
    moving m = {ROWS, COLS, 41, 0.8, 2, NULL, false, "flash", NULL};
    ib_latent_writer *w = NULL;
    ib_error err;
    static float planes[VALUES], z[VALUES];
    info.shape = (ib_shape){IB_LAYOUT_GRID, ROWS, COLS, TOKENS, IB_PATCH_D};
    info.frame_width = 8 * COLS;
    info.frame_height = 8 * ROWS;
    snprintf(info.source, sizeof info.source, "flash");
    moving_sha("flash", info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, path, &info, &err), &err);
    for (size_t i = 0; i < m.frames; i++) {
        moving_planes(&m, i, planes);
        for (int k = 0; k < 64 * TOKENS && i % 8; k++) {
            planes[k] -= (float)(dark / 219);
        }
        ib_patch_forward(planes, ROWS, COLS, z);
        CHECK_OK(ib_latent_writer_append(w, z, (double)i / 25, false, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
}

static void test_flash(void) {
    for (int i = 0; i < 2; i++) {
        double dark = i ? 9 : 0;
        ib_eval_report r;
        ib_error err;
        write_flashing(in_scratch("flash.h5"), dark);
        CHECK_OK(eval_one(in_scratch("flash.h5"), NULL, &r, &err), &err);
        for (size_t m = 0; m < 5; m++) {
            CHECK_INT(r.gap[0].clip[0].flash[m], i);
        }
        CHECK_NEAR(figure_of(&r, 0, 0, "lerp", IB_FIGURE_JUMP), dark, 0.5);
        CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_INNER) < 0.5);
        CHECK(figure_of(&r, 0, 0, "space floor", IB_FIGURE_PSNR) > 90); /* patch can be inverted */
        CHECK_NEAR(figure_of(&r, 0, 0, "space floor", IB_FIGURE_RECALL), 1, 0);
        CHECK(figure_of(&r, 0, 0, "shift 1 px", IB_FIGURE_PSNR) < 45);
        CHECK(figure_of(&r, 0, 0, "crf 23", IB_FIGURE_PSNR) > 25 &&
              figure_of(&r, 0, 0, "crf 23", IB_FIGURE_PSNR) < 60);
        char *json = ib_eval_json(&r);
        CHECK(json && !strstr(json, "\"keyframe_flash\": true") == !i);
        free(json);
        ib_eval_report_free(&r);
    }
}

/* ---- adapters ---- */

/* Without the motion head an untrained model is slerp. */
static void write_slerp_adapter(const char *path, float noise) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err;
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    c.motion = false;
    CHECK_OK(ib_adapter_create(&a, &c, 3, &err), &err);
    ib_rng rng;
    ib_rng_seed(&rng, 5);
    for (size_t i = 0; i < ib_adapter_param_count(a) && noise > 0; i++) {
        ib_adapter_params(a)[i] += noise * ib_rng_normal(&rng);
    }
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

static const ib_eval_pair *pair_of(const ib_eval_report *r, const char *method, const char *rival) {
    for (size_t i = 0; i < r->gap[0].pairs; i++) {
        const ib_eval_pair *p = &r->gap[0].pair[i];
        if (!strcmp(r->method[p->method].name, method) && !strcmp(r->method[p->rival].name, rival)) {
            return p;
        }
    }
    static const ib_eval_pair none = {0};
    CHECK(!"there is such a pair");
    return &none;
}

static void test_verdicts(void) {
    const char *clips[6], *adapters[4] = {in_scratch("good.safetensors"), in_scratch("noisy.safetensors"),
                                          in_scratch("same.safetensors"), in_scratch("slerp.safetensors")};
    ib_eval_report r;
    ib_error err;
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        moving m = {ROWS, COLS, 34, 0.7 + 0.3 * i, i, NULL, false, name, NULL};
        snprintf(name, sizeof name, "v%d.h5", i);
        clips[i] = in_scratch(name);
        CHECK_OK(moving_write(clips[i], &m, &err), &err);
    }
    for (int i = 0; i < 4; i++) {
        write_slerp_adapter(adapters[i], i == 1 ? 0.01f : 0);
    }
    for (size_t n = 2; n <= 6; n += 4) {
        request q = {.inputs = list(clips, n), .adapters = list(adapters, 4)};
        ib_eval_defaults(&q.o);
        CHECK_OK(answer(&q, &r, &err), &err);
        const ib_eval_pair *same = pair_of(&r, "same", "good"), *worse = pair_of(&r, "noisy", "good"),
                           *better = pair_of(&r, "same", "noisy");
        for (size_t c = 0; c < n; c++) {
            CHECK_NEAR(figure_of(&r, 0, c, "slerp", IB_FIGURE_SKILL), 0, 0);
            CHECK_NEAR(figure_of(&r, 0, c, "good", IB_FIGURE_SKILL), 0, 0); /* it is slerp */
            CHECK_NEAR(figure_of(&r, 0, c, "good", IB_FIGURE_GAIN), 0, 0);
        }
        CHECK_INT(same->clips, n);
        CHECK_INT(same->by_skill, IB_VERDICT_UNDECIDED);
        CHECK_INT(same->by_psnr, IB_VERDICT_UNDECIDED);
        CHECK_NEAR(same->skill.low, 0, 0);
        CHECK_NEAR(same->skill.high, 0, 0);
        CHECK(worse->skill.high < 0 && worse->skill.low <= worse->skill.mean &&
              worse->skill.mean <= worse->skill.high);
        CHECK_NEAR(worse->skill.low, -better->skill.high, 1e-12);
        /* two clips are too few to be sure of anything */
        CHECK_INT(worse->by_skill, n > 2 ? IB_VERDICT_WORSE : IB_VERDICT_UNDECIDED);
        CHECK_INT(better->by_skill, n > 2 ? IB_VERDICT_BETTER : IB_VERDICT_UNDECIDED);
        CHECK(r.gap[0].low[6].figure[IB_FIGURE_SKILL] < r.gap[0].mean[6].figure[IB_FIGURE_SKILL]);
        CHECK(r.gap[0].high[6].figure[IB_FIGURE_SKILL] > r.gap[0].mean[6].figure[IB_FIGURE_SKILL]);
        ib_eval_report_free(&r);
    }
    CHECK_OK(eval_one(clips[0], adapters[0], &r, &err), &err);
    CHECK(isnan(r.gap[0].low[0].figure[IB_FIGURE_SKILL]));
    ib_eval_report_free(&r);
}

/* Worst windows come worst first, of all clips. */
static void test_worst(void) {
    const char *clips[2] = {in_scratch("v0.h5"), in_scratch("v4.h5")};
    ib_eval_report r;
    ib_error err;
    request q = ask(clips, 2, in_scratch("noisy.safetensors"));
    q.o.gap[0] = 4;
    CHECK_OK(answer(&q, &r, &err), &err);
    const ib_eval_gap *g = &r.gap[0];
    CHECK_INT(g->worsts, IB_EVAL_WORST);
    for (size_t i = 1; i < g->worsts; i++) {
        CHECK(g->worst[i].gain >= g->worst[i - 1].gain);
    }
    for (size_t i = 0; i < g->worsts; i++) {
        CHECK_INT(g->worst[i].first % 4, 0);
        CHECK_NEAR(g->worst[i].seconds, (double)g->worst[i].first / 25, 1e-9);
    }
    ib_eval_report_free(&r);
}

/* ---- the page ---- */

static void test_page(void) {
    const char *clips[3] = {in_scratch("v1.h5"), in_scratch("v2.h5"), in_scratch("<b>&\"x\".h5")};
    ib_eval_report r;
    ib_error err;
    moving m = {ROWS, COLS, 20, 1, 3, NULL, false, "</script><script>alert(1)</script>", NULL};
    CHECK_OK(moving_write(clips[2], &m, &err), &err);
    request q = ask(clips, 3, in_scratch("noisy.safetensors"));
    q.o.strips = true;
    q.o.gaps = 2;
    q.o.gap[1] = 3;
    CHECK_OK(answer(&q, &r, &err), &err);
    char *page = ib_eval_page(&r), *again = ib_eval_page(&r);
    CHECK(page && again && !strcmp(page, again));
    CHECK(page && strstr(page, "<svg") && strstr(page, "data:image/jpeg;base64,") &&
          strstr(page, "id=\"report\""));
    CHECK(page && !strstr(page, "<script>") && !strstr(page, "alert(1)</script>") && !strstr(page, "nan"));
    CHECK(page && strstr(page, "&lt;/script&gt;&lt;script&gt;alert(1)"));
    CHECK(page && !strstr(page, "http://") && !strstr(page, "https://"));
    free(page);
    free(again);
    ib_eval_report_free(&r);
    /* nothing but one clip, one gap, no adapter */
    CHECK_OK(eval_one(clips[0], NULL, &r, &err), &err);
    page = ib_eval_page(&r);
    CHECK(page && strstr(page, "1 clip,") && !strstr(page, "data:image"));
    free(page);
    ib_eval_report_free(&r);
}

static void test_jpeg(void) {
    ib_frame f = {0}, back = {0};
    ib_error err;
    uint8_t *bytes;
    size_t n;
    CHECK_OK(ib_frame_alloc(&f, 90, 61, &err), &err);
    f.matrix = IB_MATRIX_BT601;
    draw(&f, 3);
    CHECK_OK(ib_jpeg_encode(&f, 2, &bytes, &n, &err), &err);
    FILE *file = fopen(in_scratch("p.jpg"), "wb");
    fwrite(bytes, 1, n, file);
    fclose(file);
    free(bytes);
    CHECK_OK(ib_read_still(&back, in_scratch("p.jpg"), NULL, &err), &err);
    for (int p = 0; p < 3; p++) {
        double d = difference(&f, &back, p);
        CHECK(d >= 0 && d < 12);
    }
    CHECK_ERROR(ib_jpeg_encode(&f, 0, &bytes, &n, &err), &err, IB_E_ARGUMENT, "coarseness of 0");
    ib_frame_free(&f);
    ib_frame_free(&back);
}

int main(void) {
    if (!make_scratch("eval_truths")) {
        return check_skip("test_eval_truths", "no scratch directory can be made");
    }
    RUN(test_paths());
    RUN(test_cubic());
    RUN(test_store());
    RUN(test_flash());
    RUN(test_verdicts());
    RUN(test_worst());
    RUN(test_page());
    RUN(test_jpeg());
    remove_scratch();
    return check_report("test_eval_truths");
}
