/* The evaluation: planted truths, protocol, reports, bad inputs. */
#include <jansson.h>
#include <omp.h>
#include "adapter/adapter.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "eval/metrics.h"
#include "eval/score.h"
#include "latent/encode.h"
#include "latent/geometry.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/moving.h"

enum { ROWS = 4, COLS = 6, TOKENS = ROWS * COLS, VALUES = TOKENS * IB_PATCH_D };

/* ---- helpers ---- */

static ib_paths list(const char *const *v, size_t n) {
    ib_paths l = {0};
    ib_error err;
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(ib_paths_add(&l, v[i], &err), &err);
    }
    return l;
}

typedef struct request {
    ib_eval_options o;
    ib_paths inputs, adapters;
} request;

static request ask(const char *const *inputs, size_t n, const char *adapter) {
    request q = {.inputs = list(inputs, n), .adapters = list(&adapter, adapter != NULL)};
    ib_eval_defaults(&q.o);
    q.o.threads = 2;
    return q;
}

/* Releases the request. */
static int answer(request *q, ib_eval_report *r, ib_error *err) {
    *err = (ib_error){0};
    q->o.inputs = &q->inputs;
    q->o.adapters = &q->adapters;
    int code = ib_eval(&q->o, r, err);
    ib_paths_free(&q->inputs);
    ib_paths_free(&q->adapters);
    return code;
}

static int eval_one(const char *path, const char *adapter, ib_eval_report *r, ib_error *err) {
    request q = ask(&path, 1, adapter);
    return answer(&q, r, err);
}

static const ib_eval_score *score_of(const ib_eval_report *r, size_t gap, size_t clip, const char *method) {
    for (size_t m = 0; m < r->methods; m++) {
        if (!strcmp(r->method[m].name, method)) {
            return &r->gap[gap].clip[clip].score[m];
        }
    }
    static const ib_eval_score none = {NAN, NAN};
    return &none;
}

typedef void (*frame_maker)(const float *a, const float *b, int k, int gap, float *z);

/* Windows of `gap` frames end to end between random latents, filled by `make`. */
static void write_path(const char *path, const char *video, int gap, int windows, frame_maker make) {
    ib_latent_info info = {.fps = 25, .every = 1, .matrix = IB_MATRIX_BT601, .space_id = MOVING_SPACE};
    ib_latent_writer *w = NULL;
    ib_error err;
    ib_rng rng;
    float *key = ib_calloc((size_t)(windows + 1) * VALUES, sizeof *key), *z = ib_calloc(VALUES, sizeof *z);
    ib_rng_seed(&rng, 5);
    for (int i = 0; i < (windows + 1) * VALUES; i++) {
        key[i] = 0.3f * ib_rng_normal(&rng);
    }
    info.shape = (ib_shape){IB_LAYOUT_GRID, ROWS, COLS, TOKENS, IB_PATCH_D};
    info.frame_width = 8 * COLS;
    info.frame_height = 8 * ROWS;
    snprintf(info.source, sizeof info.source, "%s", video);
    moving_sha(video, info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, path, &info, &err), &err);
    for (int i = 0; i <= gap * windows; i++) {
        const float *a = key + (size_t)(i / gap) * VALUES;
        make(a, i % gap ? a + VALUES : a, i % gap, gap, z);
        CHECK_OK(ib_latent_writer_append(w, z, i / 25.0, false, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
    ib_free(key);
    ib_free(z);
}

static void on_line(const float *a, const float *b, int k, int gap, float *z) {
    ib_lerp(a, b, (float)k / (float)gap, VALUES, z);
}

static void on_circle(const float *a, const float *b, int k, int gap, float *z) {
    ib_slerp(a, b, (float)k / (float)gap, TOKENS, IB_PATCH_D, z);
}

static void on_hold(const float *a, const float *b, int k, int gap, float *z) {
    (void)b;
    (void)k;
    (void)gap;
    memcpy(z, a, VALUES * sizeof *z);
}

static void write_moving(const char *path, const char *video, size_t frames, double speed, const char *cuts) {
    moving m = {ROWS, COLS, frames, speed, 3, cuts, false, video, NULL};
    ib_error err;
    CHECK_OK(moving_write(path, &m, &err), &err);
}

static void write_adapter(const char *path, const char *space, uint64_t seed) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err;
    CHECK_OK(ib_adapter_preset("toaster", space, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, seed, &err), &err);
    float *p = ib_adapter_params(a);
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        p[i] += 0.01f * ib_rng_normal(&rng);
    }
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

/* ---- what figures are ---- */

static void test_psnr(void) {
    ib_frame a = {0}, b = {0};
    ib_error err;
    CHECK_OK(ib_frame_alloc(&a, 17, 16, &err), &err);
    CHECK_OK(ib_frame_alloc(&b, 17, 16, &err), &err);
    fill(&a, 100, 90, 80);
    fill(&b, 100, 10, 250);
    b.plane[0][20] = 7; /* beyond the width */
    CHECK_NEAR(ib_psnr_luma(&a, &b), 100, 0);
    b.plane[0][3 * b.stride[0] + 16] = 110;
    b.plane[0][5 * b.stride[0]] = 95;
    CHECK_NEAR(ib_psnr_luma(&a, &b), 10 * log10(255.0 * 255 * 17 * 16 / 125), 1e-12);
    CHECK_NEAR(ib_psnr_luma(&b, &a), ib_psnr_luma(&a, &b), 0);
    fill(&a, 0, 0, 0);
    fill(&b, 255, 0, 0);
    CHECK_NEAR(ib_psnr_luma(&a, &b), 0, 1e-12);
    float u[3] = {1, 2, 3}, v[3] = {1, 0, 4.5f};
    CHECK_NEAR(ib_squared_error(u, v, 3), 6.25, 0);
    ib_frame_free(&a);
    ib_frame_free(&b);
}

static void test_planted(void) {
    ib_eval_report r;
    ib_error err;
    write_path(in_scratch("line.h5"), "line", 8, 3, on_line);
    CHECK_OK(eval_one(in_scratch("line.h5"), NULL, &r, &err), &err);
    CHECK_INT(r.gap[0].clip[0].windows, 3);
    CHECK_INT(r.gap[0].clip[0].targets, 21);
    CHECK_INT(r.gap[0].clip[0].width, 48);
    CHECK_NEAR(score_of(&r, 0, 0, "lerp")->skill, 1, 1e-4);
    CHECK(score_of(&r, 0, 0, "lerp")->psnr_db > 55);
    CHECK_NEAR(score_of(&r, 0, 0, "slerp")->skill, 0, 0);
    CHECK(score_of(&r, 0, 0, "slerp")->psnr_db < 40);
    ib_eval_report_free(&r);

    write_path(in_scratch("circle.h5"), "circle", 8, 3, on_circle);
    CHECK_OK(eval_one(in_scratch("circle.h5"), NULL, &r, &err), &err);
    CHECK(score_of(&r, 0, 0, "slerp")->psnr_db > 55);
    CHECK(score_of(&r, 0, 0, "lerp")->skill < -1000);
    CHECK(score_of(&r, 0, 0, "lerp")->psnr_db < 40);
    ib_eval_report_free(&r);

    write_path(in_scratch("hold.h5"), "hold", 8, 3, on_hold);
    CHECK_OK(eval_one(in_scratch("hold.h5"), NULL, &r, &err), &err);
    CHECK_NEAR(score_of(&r, 0, 0, "hold-first")->skill, 1, 0);
    CHECK_NEAR(score_of(&r, 0, 0, "hold-first")->psnr_db, 100, 0);
    CHECK_NEAR(r.gap[0].mean[0].psnr_db, 100, 0);
    ib_eval_report_free(&r);
}

static void test_still_and_black(void) {
    ib_eval_report r;
    ib_error err;
    write_moving(in_scratch("still.h5"), "still", 20, 0, NULL);
    const char *in = in_scratch("still.h5");
    request q = ask(&in, 1, in_scratch("a.safetensors"));
    q.o.gap[0] = 7;
    CHECK_OK(answer(&q, &r, &err), &err);
    for (size_t m = 0; m < r.methods; m++) {
        CHECK_NEAR(r.gap[0].mean[m].skill, 0, 0);
        CHECK_NEAR(r.gap[0].mean[m].psnr_db, 100, 0);
    }
    ib_eval_report_free(&r);
}

/* What training validates with gives the same figures. */
static void test_same_as_training(void) {
    ib_eval_report r;
    ib_score_sums sums;
    ib_latent_file *f = NULL;
    ib_adapter *a = NULL;
    ib_error err;
    write_moving(in_scratch("m.h5"), "m", 60, 1.7, NULL);
    CHECK_OK(eval_one(in_scratch("m.h5"), in_scratch("a.safetensors"), &r, &err), &err);
    CHECK_OK(ib_latent_open(&f, in_scratch("m.h5"), &err), &err);
    CHECK_OK(ib_adapter_open(&a, in_scratch("a.safetensors"), &err), &err);
    CHECK_OK(ib_score_latents(a, f, 8, 0, 2, &sums, &err), &err);
    CHECK_INT(r.gap[0].clip[0].windows, sums.windows);
    CHECK_INT(r.gap[0].clip[0].targets, sums.targets);
    CHECK_NEAR(score_of(&r, 0, 0, "a")->skill, ib_score_skill(&sums), 1e-6);
    CHECK(fabs(ib_score_skill(&sums)) > 1e-3);
    CHECK_NEAR(score_of(&r, 0, 0, "lerp")->skill, 1 - sums.err_lerp / sums.err_slerp, 1e-9);
    ib_adapter_free(&a);
    ib_latent_close(&f);
    ib_eval_report_free(&r);
}

/* ---- the protocol ---- */

static void test_windows(void) {
    ib_eval_report r;
    ib_error err;
    const char *in[3] = {in_scratch("w-long.h5"), in_scratch("w-cut.h5"), in_scratch("w-short.h5")};
    write_moving(in[0], "long", 41, 1, NULL);
    write_moving(in[1], "cut", 20, 1, "00000000010000000000");
    write_moving(in[2], "short", 6, 1, NULL);
    request q = ask(in, 3, NULL);
    q.o.gaps = 3;
    q.o.gap[0] = 8;
    q.o.gap[1] = 2;
    q.o.gap[2] = 16;
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.clips, 3); /* in order of names: cut, long, short */
    CHECK(!strcmp(r.gap[0].clip[0].name, "cut"));
    CHECK_INT(r.gap[0].clip[0].windows, 2); /* 0..8 and 9..17 */
    CHECK_INT(r.gap[0].clip[1].windows, 5);
    CHECK_INT(r.gap[0].clip[2].windows, 0);
    CHECK_INT(r.gap[0].counted, 2);
    CHECK_INT(r.gap[1].counted, 3);
    CHECK_INT(r.gap[1].clip[2].windows, 2);
    CHECK_INT(r.gap[2].counted, 1);
    /* a clip counts once, whatever its length */
    for (size_t m = 0; m < r.methods; m++) {
        const ib_eval_gap *g = &r.gap[0];
        CHECK_NEAR(g->mean[m].psnr_db, (g->clip[0].score[m].psnr_db + g->clip[1].score[m].psnr_db) / 2,
                   1e-12);
        CHECK_NEAR(g->mean[m].skill, (g->clip[0].score[m].skill + g->clip[1].score[m].skill) / 2, 1e-12);
    }
    char *text = ib_eval_text(&r);
    CHECK(text && strstr(text, "no shot is longer than the gap"));
    free(text);
    CHECK_INT(r.failed.n, 0);
    ib_eval_report_free(&r);

    q = ask(in, 1, NULL);
    q.o.max_windows = 2;
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.gap[0].clip[0].windows, 2);
    ib_eval_report_free(&r);

    q = ask(in + 2, 1, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_EMPTY, "w-short.h5");
    CHECK_INT(r.clips, 0);
    ib_eval_report_free(&r);
}

static void check_numbers(const json_t *j) {
    const char *key;
    json_t *v;
    size_t i;
    CHECK(!json_is_real(j) || isfinite(json_real_value(j)));
    json_object_foreach((json_t *)j, key, v) {
        check_numbers(v);
    }
    json_array_foreach(j, i, v) {
        check_numbers(v);
    }
}

static char *json_for(const char *const *in, size_t n, int threads, bool minterpolate) {
    request q = ask(in, n, in_scratch("a.safetensors"));
    ib_eval_report r;
    ib_error err;
    q.o.threads = threads;
    q.o.minterpolate = minterpolate;
    q.o.gaps = 2;
    q.o.gap[1] = 4;
    CHECK_OK(answer(&q, &r, &err), &err);
    char *text = ib_eval_json(&r);
    ib_eval_report_free(&r);
    return text;
}

static void test_determinism(void) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s", in_scratch("d"));
    ib_error err;
    CHECK_OK(ib_mkdirs(folder, &err), &err);
    write_moving(in_scratch("d/x.h5"), "x", 40, 1.3, NULL);
    write_moving(in_scratch("d/y.h5"), "y", 30, 0.6, "000000000000000000100000000000");
    write_moving(in_scratch("d/z.h5"), "z", 17, 2.5, NULL);
    const char *one_way[3] = {in_scratch("d/x.h5"), in_scratch("d/y.h5"), in_scratch("d/z.h5")};
    const char *other[3] = {in_scratch("d/z.h5"), in_scratch("d/x.h5"), in_scratch("d/y.h5")};
    const char *twice[2] = {folder, in_scratch("d/./y.h5")};
    char *a = json_for(one_way, 3, 1, false), *b = json_for(other, 3, 2, false);
    char *c = json_for(one_way, 3, 3, false), *d = json_for(twice, 2, 2, false);
    CHECK(a && b && c && d && !strcmp(a, b) && !strcmp(a, c));
    json_t *j = a ? json_loads(a, 0, NULL) : NULL, *k = d ? json_loads(d, 0, NULL) : NULL;
    CHECK(j && k &&
          json_equal(json_object_get(json_array_get(json_object_get(j, "gaps"), 0), "mean"),
                     json_object_get(json_array_get(json_object_get(k, "gaps"), 0), "mean")));
    check_numbers(j);
    json_t *gap = json_array_get(json_object_get(j, "gaps"), 1);
    CHECK_INT(json_integer_value(json_object_get(gap, "gap")), 4);
    CHECK_INT(json_array_size(json_object_get(gap, "clips")), 3);
    CHECK_INT(json_array_size(json_object_get(json_object_get(j, "protocol"), "inputs")), 3);
    CHECK_INT(json_array_size(json_object_get(json_object_get(k, "protocol"), "inputs")), 3);
    json_t *mean = json_object_get(gap, "mean"), *own = json_object_get(mean, "a");
    CHECK(json_is_real(json_object_get(own, "skill")) && json_is_real(json_object_get(own, "gain_db")));
    CHECK_NEAR(json_real_value(json_object_get(json_object_get(mean, "slerp"), "skill")), 0, 0);
    json_decref(j);
    json_decref(k);
    free(a);
    free(b);
    free(c);
    free(d);
    a = json_for(one_way, 1, 1, true);
    b = json_for(one_way, 1, 2, true);
    CHECK(a && b && !strcmp(a, b) && strstr(a, "\"minterpolate\""));
    j = a ? json_loads(a, 0, NULL) : NULL;
    check_numbers(j);
    json_decref(j);
    free(a);
    free(b);
}

static void test_csv_and_names(void) {
    const char *in = in_scratch("m.h5"),
               *adapters[3] = {in_scratch("a.safetensors"), in_scratch("d/a.safetensors"), NULL};
    adapters[2] = adapters[0];
    ib_eval_report r;
    ib_error err;
    write_adapter(adapters[1], MOVING_SPACE, 8);
    request q = {.inputs = list(&in, 1), .adapters = list(adapters, 3)};
    ib_eval_defaults(&q.o);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.methods, 6);
    for (size_t i = 0; i < r.methods; i++) {
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(r.method[i].name, r.method[k].name));
        }
    }
    CHECK(!strcmp(r.method[3].name, "a") && !strcmp(r.method[3].sha256, r.method[5].sha256));
    CHECK_NEAR(r.gap[0].mean[3].skill, r.gap[0].mean[5].skill, 0);
    CHECK(fabs(r.gap[0].mean[3].skill - r.gap[0].mean[4].skill) > 0);
    char *csv = ib_eval_csv(&r);
    size_t lines = 0;
    for (const char *p = csv; p && (p = strchr(p, '\n')); p++) {
        lines++;
    }
    CHECK_INT(lines, 1 + 6 + 6);
    CHECK(csv &&
          !strncmp(csv, "gap,clip,windows,frames,method,psnr_db,gain_db,skill\n8,m,7,49,hold-first,", 73));
    free(csv);
    ib_eval_report_free(&r);
}

/* ---- videos ---- */

static void check_same_scores(const ib_eval_report *a, size_t ga, const ib_eval_report *b, size_t gb,
                              double tolerance) {
    CHECK_INT(a->gap[ga].clip[0].windows, b->gap[gb].clip[0].windows);
    for (size_t m = 0; m < a->methods; m++) {
        CHECK_NEAR(a->gap[ga].mean[m].psnr_db, b->gap[gb].mean[m].psnr_db, tolerance);
        CHECK_NEAR(a->gap[ga].mean[m].skill, b->gap[gb].mean[m].skill, tolerance);
    }
}

static void test_video_and_latents(void) {
    const char *video = in_scratch("v.mp4"), *latents = in_scratch("v.h5");
    ib_eval_report a, b;
    ib_error err;
    ib_space *space = NULL;
    ib_encode_options o;
    ib_encode_stats stats;
    CHECK_OK(write_clip(video, 128, 96, 30, 25, NULL, 20, &err), &err);
    CHECK_OK(ib_space_open(&space, "patch", &err), &err);
    ib_encode_defaults(&o);
    o.width = 64;
    o.height = 48;
    CHECK_OK(ib_encode_video(video, latents, space, &o, &stats, &err), &err);
    request q = ask(&video, 1, in_scratch("a.safetensors"));
    q.o.width = 64;
    q.o.height = 48;
    CHECK_OK(answer(&q, &a, &err), &err);
    CHECK_OK(eval_one(latents, in_scratch("a.safetensors"), &b, &err), &err);
    CHECK_INT(a.gap[0].clip[0].windows, 3);
    CHECK(!strcmp(a.gap[0].clip[0].source_sha256, b.gap[0].clip[0].source_sha256));
    check_same_scores(&a, 0, &b, 0, 0);
    ib_eval_report_free(&a);
    ib_eval_report_free(&b);
    ib_space_close(&space);
}

static int eval_native(const char *video, int gap0, int gap1, int threads, ib_eval_report *r, ib_error *err) {
    request q = ask(&video, 1, in_scratch("a.safetensors"));
    q.o.native = true;
    q.o.threads = threads;
    q.o.gap[0] = gap0;
    q.o.gap[1] = gap1;
    q.o.gaps = 1 + (gap1 > 0);
    return answer(&q, r, err);
}

static void test_native(void) {
    const char *video = in_scratch("v.mp4"), *latents = in_scratch("v.h5");
    ib_eval_report r, one, other;
    ib_error err;
    CHECK_OK(eval_native(video, 9, 4, 2, &r, &err), &err);
    CHECK_OK(eval_native(video, 9, 0, 1, &one, &err), &err);
    CHECK_OK(eval_native(video, 4, 0, 3, &other, &err), &err);
    CHECK_INT(r.gap[0].clip[0].width, 128);
    CHECK_INT(r.gap[0].clip[0].height, 96);
    CHECK_INT(r.gap[0].clip[0].windows, 3);
    CHECK_INT(r.gap[1].clip[0].windows, 7);
    check_same_scores(&r, 0, &one, 0, 0);
    check_same_scores(&r, 1, &other, 0, 0);
    CHECK(isfinite(score_of(&r, 0, 0, "a")->psnr_db));
    ib_eval_report_free(&one);
    ib_eval_report_free(&other);

    /* the same frames by the other way, through latents rounded to half */
    request q = ask(&video, 1, NULL);
    q.o.width = 128;
    q.o.height = 96;
    q.o.gap[0] = 9;
    CHECK_OK(answer(&q, &one, &err), &err);
    for (size_t m = 0; m <= IB_EVAL_SLERP; m++) {
        CHECK_NEAR(r.gap[0].mean[m].psnr_db, one.gap[0].mean[m].psnr_db, 0.02);
        CHECK_NEAR(r.gap[0].mean[m].skill, one.gap[0].mean[m].skill, 0.005);
    }
    ib_eval_report_free(&one);
    ib_eval_report_free(&r);
    CHECK_ERROR(eval_native(latents, 9, 0, 1, &r, &err), &err, IB_E_ARGUMENT, "v.h5");
}

/* ---- what goes wrong ---- */

static void test_bad_inputs(void) {
    const char *in[3] = {in_scratch("m.h5"), in_scratch("torn.h5"), in_scratch("nowhere.mp4")};
    ib_eval_report r;
    ib_error err;
    FILE *from = fopen(in[0], "rb"), *to = fopen(in[1], "wb");
    for (int i = 0; from && to && i < 9000; i++) {
        fputc(fgetc(from), to);
    }
    fclose(from);
    fclose(to);
    request q = ask(in, 3, NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.clips, 1);
    CHECK_INT(r.failed.n, 2);
    CHECK(r.failed.n == 2 && strstr(r.failed.v[0].why, "nowhere.mp4") &&
          strstr(r.failed.v[1].why, "torn.h5"));
    char *text = ib_eval_text(&r), *json = ib_eval_json(&r);
    CHECK(text && strstr(text, "not evaluated: ") && strstr(text, "torn.h5"));
    CHECK(json && strstr(json, "\"failed\"") && strstr(json, "torn.h5"));
    free(text);
    free(json);
    ib_eval_report_free(&r);

    q = ask(in + 1, 2, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, err.code, "none of 2 inputs could be evaluated");
    q = ask(in + 1, 1, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_FORMAT, "torn.h5");
    q = ask(in, 0, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, "videos or latent files");
}

static void test_other_spaces(void) {
    moving m = {ROWS, COLS, 20, 1, 3, NULL, false, "hatch", "hatch:dct8+4:v1"};
    const char *in[2] = {in_scratch("m.h5"), in_scratch("hatch.h5")};
    ib_eval_report r;
    ib_error err;
    CHECK_OK(moving_write(in[1], &m, &err), &err);
    request q = ask(in, 2, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH,
                "hatch:dct8+4:v1, this evaluation is in patch:dct8+4:v1");
    q = ask(in + 1, 1, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "hatch.h5");
}

static void test_options(void) {
    const char *in = in_scratch("m.h5");
    ib_eval_report r;
    ib_error err;
    static const int gaps[4][2] = {{1, 2}, {8, 8}, {1001, 2}, {-3, 4}};
    for (int i = 0; i < 4; i++) {
        request q = ask(&in, 1, NULL);
        q.o.gaps = 2;
        memcpy(q.o.gap, gaps[i], sizeof gaps[i]);
        CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, "gap");
    }
    request q = ask(&in, 1, NULL);
    q.o.gaps = IB_EVAL_MAX_GAPS + 1;
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, "gaps");
    q = ask(&in, 1, NULL);
    q.o.width = 65;
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, "65x112");
    q = ask(&in, 1, in_scratch("m.h5"));
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_FORMAT, "m.h5");
}

typedef struct watch {
    double last;
    size_t calls, windows;
    atomic_int stop, stop_at; /* after so many windows; 0: never */
    bool falls;
} watch;

static void on_progress(void *user, const ib_eval_progress *p) {
    watch *w = user;
    w->falls = w->falls || p->fraction < w->last || p->number < 1 || p->number > p->files;
    w->last = p->fraction;
    w->windows = p->windows;
    w->calls++;
    if (w->stop_at && p->fraction > 0) {
        atomic_store(&w->stop, 1);
    }
}

static void test_progress_and_stop(void) {
    const char *in[2] = {in_scratch("v.mp4"), in_scratch("m.h5")};
    char folder[512];
    snprintf(folder, sizeof folder, "%s", in_scratch("tmp"));
    ib_eval_report r;
    ib_error err;
    CHECK_OK(ib_mkdirs(folder, &err), &err);
    setenv("TMPDIR", folder, 1);
    for (int i = 0; i < 3; i++) {
        watch w = {.stop_at = i};
        request q = ask(in, 2, NULL);
        q.o.progress = on_progress;
        q.o.user = &w;
        q.o.stop = &w.stop;
        q.o.native = i == 2;
        if (i == 2) {
            q.inputs.n = 1;
            free(q.inputs.v[1]);
        }
        int code = answer(&q, &r, &err);
        CHECK(!w.falls && w.calls > (i ? 0 : 3));
        if (i) {
            CHECK_ERROR(code, &err, IB_E_INTERRUPTED, "interrupted");
        } else {
            CHECK_OK(code, &err);
            CHECK_NEAR(w.last, 1, 0);
            CHECK_INT(w.windows, r.gap[0].clip[0].windows + r.gap[0].clip[1].windows);
        }
        ib_eval_report_free(&r);
        CHECK_INT(files_in(folder), 0);
    }
    unsetenv("TMPDIR");
}

static void test_strips(void) {
    const char *in = in_scratch("d"), *adapters[2] = {in_scratch("a.safetensors"), NULL};
    static const char *const names[3] = {"best.png", "median.png", "worst.png"};
    ib_eval_report r;
    ib_error err;
    for (int i = 0; i < 2; i++) {
        char folder[512], path[600];
        snprintf(folder, sizeof folder, "%s", in_scratch(i ? "s1" : "s0"));
        request q = ask(&in, 1, adapters[i]);
        q.o.strips = folder;
        CHECK_OK(answer(&q, &r, &err), &err);
        ib_eval_report_free(&r);
        CHECK_INT(files_in(folder), 3);
        for (int k = 0; k < 3; k++) {
            char begins[8] = "";
            snprintf(path, sizeof path, "%s/%s", folder, names[k]);
            FILE *f = fopen(path, "rb");
            CHECK(f && fread(begins, 1, 8, f) == 8 && !memcmp(begins, "\211PNG", 4));
            if (f) {
                fclose(f);
            }
        }
    }
    request q = ask(&in, 1, NULL);
    q.o.strips = in_scratch("m.h5");
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_IO, "m.h5");
}

int main(void) {
    if (!make_scratch("eval")) {
        return check_skip("test_eval", "no scratch directory can be made");
    }
    omp_set_num_threads(4); /* more than are asked for below: results must not depend on it */
    write_adapter(in_scratch("a.safetensors"), MOVING_SPACE, 7);
    test_psnr();
    test_planted();
    test_still_and_black();
    test_same_as_training();
    test_windows();
    test_determinism();
    test_csv_and_names();
    test_video_and_latents();
    test_native();
    test_bad_inputs();
    test_other_spaces();
    test_options();
    test_progress_and_stop();
    test_strips();
    remove_scratch();
    return check_report("test_eval");
}
