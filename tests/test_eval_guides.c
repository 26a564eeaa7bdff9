/* Guides in an evaluation: which windows are judged, the rows that show what a guide is worth, what is
 * explained of a space, and what is refused. */
#include <jansson.h>
#include "eval/guides.h"
#include "eval/score.h"
#include "tests/evals.h"

enum { WIDE = 32, FRAMES = 97 };
static const char model[] = "sha256:0123 pixel.safetensors", other[] = "prior:flow1 prior";

typedef enum way { SMOOTH, NOISE } way;
typedef enum guide { TRUTH, WRONG, HALFWAY, EITHER } guide;

typedef struct planted {
    const char *file, *model; /* model NULL: no guides */
    way path;
    guide guide;
    int gaps[2];  /* with guides; 0: none */
    size_t every; /* of the windows that have them */
} planted;

static void put_frame(const planted *p, size_t i, float *z) {
    ib_rng rng;
    ib_rng_seed2(&rng, 7, i);
    for (int k = 0; k < WIDE; k++) {
        float noise = ib_rng_normal(&rng);
        z[k] = p->path == NOISE ? 1 + noise : sinf(0.15f * (float)i + (float)k) + 1.5f;
    }
}

/* HALFWAY: as far on one side of slerp as the truth is on the other side of nothing: truth = slerp + 0.5
 * (guide - slerp). EITHER: every second guide is the truth, the others are wrong. */
static void put_guide(const planted *p, size_t first, int gap, int k, float *z) {
    float truth[WIDE], a[WIDE], b[WIDE], slerp[WIDE];
    ib_rng rng;
    put_frame(p, first + (size_t)k, truth);
    put_frame(p, first, a);
    put_frame(p, first + (size_t)gap, b);
    ib_slerp(a, b, (float)k / (float)gap, 1, WIDE, slerp);
    ib_rng_seed2(&rng, 8, first * 1000 + (size_t)(gap * 30 + k));
    for (int i = 0; i < WIDE; i++) {
        float wrong = slerp[i] + 3 * ib_rng_normal(&rng);
        bool right = p->guide == TRUTH || (p->guide == EITHER && k % 2);
        float h = right ? truth[i] : p->guide == HALFWAY ? 2 * truth[i] - slerp[i] : wrong;
        float apart = p->guide == TRUTH ? 0 : 0.5f * ib_rng_normal(&rng), t = (float)k / (float)gap;
        z[i] = h + t * apart; /* their mean by t is h */
        z[WIDE + i] = h - (1 - t) * apart;
    }
}

static size_t list_windows(const planted *p, ib_guide_window *w) {
    size_t n = 0, number;
    for (int g = 0; g < 2; g++) {
        number = 0;
        for (size_t first = 0; p->gaps[g] && first + (size_t)p->gaps[g] < FRAMES;
             first += (size_t)p->gaps[g]) {
            if (number++ % p->every == 0) {
                w[n++] = (ib_guide_window){first, p->gaps[g], 0};
            }
        }
    }
    return n;
}

static void plant(const planted *p) {
    ib_latent_info info = {
        .fps = 25, .every = 1, .space_id = "clip:0123", .frame_width = 64, .frame_height = 48};
    ib_latent_writer *w = NULL;
    ib_guide_window window[FRAMES];
    ib_error err;
    float z[IB_GUIDE_PICTURES * WIDE], feature[IB_GUIDE_FEATURES] = {0.25f};
    info.shape = (ib_shape){IB_LAYOUT_SINGLE, 1, 1, 1, WIDE};
    snprintf(info.source, sizeof info.source, "%s", p->file);
    moving_sha(p->file, info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, in_scratch(p->file), &info, &err), &err);
    for (size_t i = 0; i < FRAMES; i++) {
        put_frame(p, i, z);
        CHECK_OK(ib_latent_writer_append(w, z, (double)i / 25, false, &err), &err);
    }
    size_t n = p->model ? list_windows(p, window) : 0;
    if (n) {
        CHECK_OK(ib_latent_writer_guides(w, p->model, window, n, &err), &err);
    }
    for (size_t i = 0; i < n; i++) {
        for (int k = 1; k < window[i].gap; k++) {
            put_guide(p, window[i].first, window[i].gap, k, z);
            CHECK_OK(ib_latent_writer_append_guide(w, z, feature, &err), &err);
        }
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
}

/* At gaps of 4 and 8 frames. */
static request ask_of(const char *file, const char *second) {
    const char *in[] = {in_scratch(file), second ? in_scratch(second) : NULL};
    request q = ask(in, second ? 2 : 1, NULL);
    q.o.gaps = 2;
    q.o.gap[0] = 4;
    q.o.gap[1] = 8;
    return q;
}

static double skill_of(const ib_eval_report *r, size_t gap, const char *method) {
    return figure_of(r, gap, 0, method, IB_FIGURE_SKILL);
}

static size_t row_of(const ib_eval_report *r, const char *method) {
    for (size_t m = 0; m < r->methods; m++) {
        if (!strcmp(r->method[m].name, method)) {
            return m;
        }
    }
    return SIZE_MAX;
}

/* ---- what a guide is worth ---- */

static void test_truth(void) {
    ib_eval_report r;
    ib_error err;
    request q = ask_of("truth.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(r.explains && !strcmp(r.guide, model));
    CHECK_INT(r.methods, 5 + 2 + 2);
    CHECK_NEAR(skill_of(&r, 0, "in-between seen"), 1, 1e-6);
    CHECK_NEAR(skill_of(&r, 0, "guide, one weight"), 1, 1e-5);
    CHECK_NEAR(skill_of(&r, 0, "guide, best weights"), 1, 1e-5);
    CHECK_NEAR(r.gap[0].explanation.one_weight, 1, 1e-3);
    CHECK_NEAR(r.gap[0].explanation.best_weight, 1, 1e-3);
    CHECK_NEAR(figure_of(&r, 0, 0, "in-between seen", IB_FIGURE_RECALL), 1, 0);
    CHECK_NEAR(figure_of(&r, 0, 0, "in-between seen", IB_FIGURE_CURVATURE),
               figure_of(&r, 0, 0, "in-between seen", IB_FIGURE_TRUE_CURVATURE), 0.01);
    CHECK(skill_of(&r, 0, "slerp") == 0);
    /* every second window; the gap of 8 has none: all of them, without */
    CHECK_INT(r.gap[0].clip[0].windows, 12);
    CHECK_INT(r.gap[0].clip[0].all_windows, 24);
    CHECK(r.gap[0].clip[0].guided && !r.gap[1].clip[0].guided);
    CHECK_INT(r.gap[1].clip[0].windows, 12);
    CHECK_INT(r.gap[1].clip[0].all_windows, 12);
    CHECK_INT(r.gap[0].explanation.guided, 1);
    CHECK_INT(r.gap[0].explanation.points, 12 * 3);
    CHECK_INT(r.gap[1].explanation.guided, 0);
    CHECK(isnan(skill_of(&r, 1, "in-between seen")) && isnan(skill_of(&r, 1, "guide, one weight")));
    CHECK(isnan(r.gap[1].explanation.one_weight) && isfinite(skill_of(&r, 1, "lerp")));
    /* slerp on the windows judged, worked out here */
    double error = 0, lerp = 0;
    for (size_t first = 0; first + 4 < FRAMES; first += 8) {
        for (size_t k = 1; k < 4; k++) {
            planted p = {.path = NOISE};
            float a[WIDE], b[WIDE], truth[WIDE], z[WIDE];
            put_frame(&p, first, a);
            put_frame(&p, first + 4, b);
            put_frame(&p, first + k, truth);
            ib_slerp(a, b, (float)k / 4, 1, WIDE, z);
            for (int i = 0; i < WIDE; i++) {
                error += pow((double)(z[i] - truth[i]), 2);
            }
            ib_lerp(a, b, (float)k / 4, WIDE, z);
            for (int i = 0; i < WIDE; i++) {
                lerp += pow((double)(z[i] - truth[i]), 2);
            }
        }
    }
    CHECK_NEAR(skill_of(&r, 0, "lerp"), 1 - lerp / error, 2e-3); /* files hold halves */
    ib_eval_report_free(&r);
}

static void test_worth(void) {
    ib_eval_report r;
    ib_error err;
    request q = ask_of("wrong.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(skill_of(&r, 0, "in-between seen") < -1);
    CHECK_NEAR(r.gap[0].explanation.one_weight, 0, 0.1);
    CHECK_NEAR(skill_of(&r, 0, "guide, one weight"), 0, 0.05);
    CHECK(skill_of(&r, 0, "guide, one weight") >= 0);
    CHECK(skill_of(&r, 0, "guide, best weights") >= skill_of(&r, 0, "guide, one weight") - 1e-6);
    ib_eval_report_free(&r);

    q = ask_of("halfway.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_NEAR(r.gap[0].explanation.one_weight, 0.5, 1e-3);
    CHECK_NEAR(skill_of(&r, 0, "guide, one weight"), 1, 1e-4);
    CHECK_NEAR(skill_of(&r, 0, "in-between seen"), 0, 1e-2); /* as far off on the other side */
    CHECK_NEAR(r.gap[0].mean[row_of(&r, "guide, one weight")].figure[IB_FIGURE_SKILL], 1, 1e-4);
    CHECK_NEAR(r.gap[0].at[row_of(&r, "guide, one weight")].figure[IB_FIGURE_SKILL], 1, 1e-4);
    ib_eval_report_free(&r);

    q = ask_of("either.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    size_t one = row_of(&r, "guide, one weight"), best = row_of(&r, "guide, best weights");
    CHECK(r.gap[0].explanation.one_weight > 0 && r.gap[0].explanation.one_weight < 1);
    CHECK(skill_of(&r, 0, "guide, best weights") > skill_of(&r, 0, "guide, one weight") + 0.2);
    CHECK_NEAR(r.gap[0].at[best].figure[IB_FIGURE_SKILL], 1, 1e-4); /* k = 1 is the truth */
    CHECK(r.gap[0].at[one].figure[IB_FIGURE_SKILL] < 1);
    ib_eval_report_free(&r);
}

/* ---- a space's paths ---- */

static void test_paths(void) {
    ib_eval_report r;
    ib_error err;
    request q = ask_of("smooth.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(!*r.guide);
    CHECK_INT(r.methods, 5 + 1); /* no rows of guides */
    CHECK(r.gap[0].explanation.step_over_variance < 0.03);
    CHECK(r.gap[0].mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE] < 15);
    CHECK(skill_of(&r, 1, "true neighbours") > 0.95);
    ib_eval_report_free(&r);
    q = ask_of("truth.h5", NULL);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_NEAR(r.gap[0].explanation.step_over_variance, 1, 0.1);
    CHECK(r.gap[0].mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE] > 90);
    CHECK(fabs(skill_of(&r, 1, "true neighbours")) < 0.3);
    ib_eval_report_free(&r);
}

/* ---- choices and errors ---- */

static void test_choices(void) {
    ib_eval_report r;
    ib_error err;
    request q = ask_of("truth.h5", NULL);
    q.o.guide = "none";
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(r.unguided && !*r.guide);
    CHECK_INT(r.methods, 5 + 1);
    CHECK_INT(r.gap[0].clip[0].windows, 24);
    ib_eval_report_free(&r);

    q = ask_of("truth.h5", NULL);
    q.o.windows_per_clip = 3;
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.gap[0].clip[0].windows, 3);
    CHECK_INT(r.gap[0].clip[0].all_windows, 24);
    CHECK_INT(r.gap[1].clip[0].windows, 3);
    CHECK_NEAR(skill_of(&r, 0, "in-between seen"), 1, 1e-6);
    ib_eval_report_free(&r);

    /* one clip with guides and one without: each as it can */
    q = ask_of("truth.h5", "smooth.h5");
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_INT(r.gap[0].explanation.guided, 1);
    CHECK_INT(r.gap[0].counted, 2);
    CHECK_INT(r.gap[0].clip[0].windows + r.gap[0].clip[1].windows, 24 + 12);
    CHECK_NEAR(r.gap[0].mean[row_of(&r, "in-between seen")].figure[IB_FIGURE_SKILL], 1, 1e-6);
    ib_eval_report_free(&r);

    q = ask_of("truth.h5", "foreign.h5");
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, other);
    CHECK(strstr(err.text, model) && strstr(err.text, "truth.h5"));
}

/* An adapter with guides: untrained, or with a gate that is open. */
static void write_guided(const char *path, const char *of, float open) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err;
    CHECK_OK(ib_adapter_preset("toaster", "clip:0123", IB_LAYOUT_SINGLE, WIDE, &c, &err), &err);
    snprintf(c.guide, sizeof c.guide, "%s", of);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    ib_rng rng;
    ib_rng_seed(&rng, 3);
    for (size_t i = 0; i < ib_adapter_tensor_count(a); i++) {
        const ib_param *q = ib_adapter_tensor(a, i);
        bool gate = !strncmp(q->name, "gate.", 5), bias = !strcmp(q->name, "gate.bias");
        for (size_t k = 0; k < q->count && gate; k++) {
            ib_adapter_params(a)[q->offset + k] += open * (ib_rng_normal(&rng) + (bias ? 2 : 0));
        }
    }
    ib_adapter_refresh(a);
    ib_adapter_trust(a, 1);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

static void test_models(void) {
    const char *own = in_scratch("own.safetensors"), *foreign = in_scratch("foreign.safetensors");
    ib_eval_report r;
    ib_score_sums sums;
    ib_latent_file *f = NULL;
    ib_adapter *a = NULL;
    ib_error err;
    write_guided(own, "sha256:0123 another-name.safetensors", 0); /* the model is what counts */
    write_guided(foreign, other, 0);
    request q = ask_of("truth.h5", NULL);
    q.adapters = list(&own, 1);
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK_NEAR(skill_of(&r, 0, "own"), 0, 1e-6); /* untrained, it is slerp */
    CHECK_NEAR(skill_of(&r, 1, "own"), 0, 1e-6);
    CHECK_NEAR(r.gap[0].explanation.gate[row_of(&r, "own")].mean, 0, 0);
    CHECK(isnan(r.gap[1].explanation.gate[row_of(&r, "own")].mean));
    CHECK(isnan(r.gap[0].explanation.gate[IB_EVAL_SLERP].mean));
    ib_eval_report_free(&r);

    q = ask_of("truth.h5", NULL);
    q.adapters = list(&foreign, 1);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, other);
    CHECK(strstr(err.text, model) && strstr(err.text, "foreign"));
    q = ask_of("truth.h5", NULL);
    q.adapters = list(&foreign, 1);
    q.o.guide = "none";
    CHECK_OK(answer(&q, &r, &err), &err);
    ib_eval_report_free(&r);

    /* what training validates with judges the same windows */
    CHECK_OK(ib_latent_open(&f, in_scratch("truth.h5"), &err), &err);
    CHECK_OK(ib_score_latents(NULL, f, 4, 0, 2, &sums, &err), &err);
    CHECK_INT(sums.windows, 12);
    CHECK_OK(ib_score_latents(NULL, f, 8, 0, 2, &sums, &err), &err);
    CHECK_INT(sums.windows, 12);
    CHECK_OK(ib_adapter_open(&a, own, &err), &err);
    CHECK_OK(ib_score_latents(a, f, 4, 5, 2, &sums, &err), &err);
    CHECK_INT(sums.windows, 5);
    CHECK_NEAR(ib_score_skill(&sums), 0, 1e-6);
    ib_adapter_free(&a);
    CHECK_OK(ib_adapter_open(&a, foreign, &err), &err);
    CHECK_ERROR(ib_score_latents(a, f, 4, 0, 2, &sums, &err), &err, IB_E_MISMATCH, other);
    CHECK_OK(ib_score_latents(a, f, 8, 0, 2, &sums, &err), &err); /* no guides there */
    ib_adapter_free(&a);
    ib_latent_close(&f);
}

/* A gate beside the best weights. */
static void test_gate(void) {
    const char *learned = in_scratch("learned.safetensors");
    ib_eval_report r;
    ib_error err;
    write_guided(learned, model, 0.05f);
    request q = ask_of("either.h5", NULL);
    q.adapters = list(&learned, 1);
    q.o.gap[1] = 5; /* without guides */
    CHECK_OK(answer(&q, &r, &err), &err);
    size_t m = row_of(&r, "learned");
    const ib_eval_explanation *x = &r.gap[0].explanation;
    double gate = 0, weight = 0, gg = 0, ww = 0, gw = 0, n = (double)x->points;
    CHECK_INT(x->points, 12 * 3);
    for (size_t i = 0; i < x->points; i++) {
        CHECK(x->gates[i] >= 0 && x->gates[i] <= 1 && x->weight[i] >= 0 && x->weight[i] <= 1);
        gate += (double)x->gates[i] / n;
        weight += (double)x->weight[i] / n;
    }
    for (size_t i = 0; i < x->points; i++) {
        double g = (double)x->gates[i] - gate, w = (double)x->weight[i] - weight;
        gg += g * g;
        ww += w * w;
        gw += g * w;
    }
    CHECK(gate > 0.001);
    CHECK_NEAR(x->gate[m].mean, gate, 1e-6);
    CHECK_NEAR(x->best_weight, weight, 1e-6);
    CHECK_NEAR(x->gate[m].correlation, gw / sqrt(gg * ww), 1e-6);
    char *text = ib_eval_text(&r), *page = ib_eval_page(&r), *json = ib_eval_json(&r);
    CHECK(text && strstr(text, "The gate of learned is "));
    CHECK(page && strstr(page, "Does the gate know?") && strstr(page, "series gates"));
    CHECK(json && strstr(json, "\"gates\": {\n          \"learned\""));
    free(text);
    free(page);
    free(json);
    ib_eval_report_free(&r);
}

/* ---- reports ---- */

static const json_t *at_path(const json_t *v, const char *a, const char *b) {
    v = json_object_get(v, a);
    return b ? json_object_get(v, b) : v;
}

static void test_reports(void) {
    ib_eval_report r;
    ib_error err;
    request q = ask_of("halfway.h5", "either.h5");
    CHECK_OK(answer(&q, &r, &err), &err);
    char *text = ib_eval_text(&r), *json = ib_eval_json(&r), *csv = ib_eval_csv(&r), *page = ib_eval_page(&r);
    CHECK(text && strstr(text, "\nin-between seen ") && strstr(text, "\nguide, best weights "));
    CHECK(text && strstr(text, "Guides in 2 of 2 clips: 24 of 48 windows."));
    CHECK(text && strstr(text, "No guides at this gap: judged without them, 24 of 24 windows."));
    CHECK(text && strstr(text, "Step against variance: ") && strstr(text, "true neighbours"));
    CHECK(text && strstr(text, "The guide's one best weight is 0.") && !strstr(text, "nan"));
    CHECK(text && strstr(text, "guides of sha256:0123 pixel.safetensors"));
    CHECK(csv && strstr(csv, ",\"guide, one weight\",") && !strstr(csv, "nan"));
    CHECK(page && strstr(page, "guide, one weight") && !strstr(page, "nan"));

    json_t *root = json ? json_loads(json, 0, NULL) : NULL, *gaps = json_object_get(root, "gaps");
    const json_t *x = at_path(json_array_get(gaps, 0), "explanation", NULL),
                 *none = at_path(json_array_get(gaps, 1), "explanation", NULL);
    CHECK(root != NULL);
    CHECK(!strcmp(json_string_value(at_path(root, "protocol", "guide")), model));
    CHECK_INT(json_integer_value(at_path(x, "windows", NULL)), 24);
    CHECK_INT(json_integer_value(at_path(x, "all_windows", NULL)), 48);
    CHECK_INT(json_integer_value(at_path(x, "guided_clips", NULL)), 2);
    CHECK_INT(json_integer_value(at_path(none, "guided_clips", NULL)), 0);
    CHECK_NEAR(json_real_value(at_path(x, "one_weight", NULL)), r.gap[0].explanation.one_weight, 1e-8);
    CHECK_NEAR(json_real_value(at_path(x, "step_over_variance", NULL)), 1, 0.1);
    CHECK(json_is_null(at_path(none, "one_weight", NULL)));
    CHECK(json_is_real(at_path(x, "smooth_skill", NULL)) && json_is_real(at_path(x, "turn_deg", NULL)));
    CHECK_NEAR(json_real_value(at_path(x, "best_weight_skill", NULL)),
               r.gap[0].mean[row_of(&r, "guide, best weights")].figure[IB_FIGURE_SKILL], 1e-8);
    json_decref(root);
    free(text);
    free(json);
    free(csv);
    free(page);
    ib_eval_report_free(&r);
}

/* The same bits, whatever the number of threads. */
static void test_threads(void) {
    char *json[2];
    for (int i = 0; i < 2; i++) {
        ib_eval_report r;
        ib_error err;
        request q = ask_of("halfway.h5", "either.h5");
        q.o.threads = 1 + i;
        CHECK_OK(answer(&q, &r, &err), &err);
        json[i] = ib_eval_json(&r);
        ib_eval_report_free(&r);
    }
    CHECK(json[0] && json[1] && !strcmp(json[0], json[1]));
    free(json[0]);
    free(json[1]);
}

int main(void) {
    if (!make_scratch("eval_guides")) {
        return check_skip("test_eval_guides", "no scratch directory can be made");
    }
    const planted all[] = {
        {"truth.h5", model, NOISE, TRUTH, {4, 0}, 2},     {"wrong.h5", model, NOISE, WRONG, {4, 0}, 1},
        {"halfway.h5", model, NOISE, HALFWAY, {4, 0}, 2}, {"either.h5", model, NOISE, EITHER, {4, 0}, 2},
        {"foreign.h5", other, NOISE, TRUTH, {4, 0}, 2},   {"smooth.h5", NULL, SMOOTH, TRUTH, {0, 0}, 1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        plant(&all[i]);
    }
    RUN(test_truth());
    RUN(test_worth());
    RUN(test_paths());
    RUN(test_choices());
    RUN(test_models());
    RUN(test_gate());
    RUN(test_reports());
    RUN(test_threads());
    remove_scratch();
    return check_report("test_eval_guides");
}
