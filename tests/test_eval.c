/* The evaluation: planted truths, protocol, reports. */
#include <jansson.h>
#include <omp.h>
#include "eval/score.h"
#include "tests/evals.h"

/* ---- what figures are ---- */

static void test_planted(void) {
    ib_eval_report r;
    ib_error err;
    write_path(in_scratch("line.h5"), "line", 8, 3, on_line);
    CHECK_OK(eval_one(in_scratch("line.h5"), NULL, &r, &err), &err);
    CHECK_INT(r.gap[0].clip[0].windows, 3);
    CHECK_INT(r.gap[0].clip[0].targets, 21);
    CHECK_INT(r.gap[0].clip[0].width, 48);
    CHECK_NEAR(figure_of(&r, 0, 0, "lerp", IB_FIGURE_SKILL), 1, 1e-4);
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_PSNR) > 55);
    CHECK_NEAR(figure_of(&r, 0, 0, "slerp", IB_FIGURE_SKILL), 0, 0);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_PSNR) < 45);
    ib_eval_report_free(&r);

    write_path(in_scratch("circle.h5"), "circle", 8, 3, on_circle);
    CHECK_OK(eval_one(in_scratch("circle.h5"), NULL, &r, &err), &err);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_PSNR) > 55);
    CHECK(isnan(figure_of(&r, 0, 0, "lerp", IB_FIGURE_SKILL))); /* slerp's error is as good as none */
    CHECK(figure_of(&r, 0, 0, "lerp", IB_FIGURE_PSNR) < 45);
    ib_eval_report_free(&r);

    write_path(in_scratch("hold.h5"), "hold", 8, 3, on_hold);
    CHECK_OK(eval_one(in_scratch("hold.h5"), NULL, &r, &err), &err);
    CHECK_NEAR(figure_of(&r, 0, 0, "hold-first", IB_FIGURE_SKILL), 1, 0);
    CHECK_NEAR(figure_of(&r, 0, 0, "hold-first", IB_FIGURE_PSNR), 100, 0);
    CHECK_NEAR(r.gap[0].mean[0].figure[IB_FIGURE_PSNR], 100, 0);
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
    for (size_t m = 0; m < r.methods - 2; m++) { /* but for the oracles of noise */
        CHECK(isnan(r.gap[0].mean[m].figure[IB_FIGURE_SKILL]));
        CHECK_NEAR(r.gap[0].mean[m].figure[IB_FIGURE_PSNR], 100, 0);
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
    CHECK_NEAR(figure_of(&r, 0, 0, "a", IB_FIGURE_SKILL), ib_score_skill(&sums), 1e-6);
    CHECK(fabs(ib_score_skill(&sums)) > 1e-3);
    CHECK_NEAR(figure_of(&r, 0, 0, "lerp", IB_FIGURE_SKILL), 1 - sums.err_lerp / sums.err_slerp, 1e-9);
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
        CHECK_NEAR(g->mean[m].figure[IB_FIGURE_PSNR],
                   (g->clip[0].score[m].figure[IB_FIGURE_PSNR] + g->clip[1].score[m].figure[IB_FIGURE_PSNR]) /
                       2,
                   1e-12);
        CHECK_NEAR(
            g->mean[m].figure[IB_FIGURE_SKILL],
            (g->clip[0].score[m].figure[IB_FIGURE_SKILL] + g->clip[1].score[m].figure[IB_FIGURE_SKILL]) / 2,
            1e-12);
    }
    char *text = ib_eval_text(&r);
    CHECK(text && strstr(text, "no shot is longer than the gap"));
    free(text);
    CHECK_INT(r.failed.n, 0);
    ib_eval_report_free(&r);

    q = ask(in, 1, NULL);
    q.o.windows_per_clip = 2;
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
    CHECK_INT(r.methods, 5 + 3 + 3);
    for (size_t i = 0; i < r.methods; i++) {
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(r.method[i].name, r.method[k].name));
        }
    }
    CHECK(!strcmp(r.method[5].name, "a") && !strcmp(r.method[5].sha256, r.method[7].sha256));
    CHECK_NEAR(r.gap[0].mean[5].figure[IB_FIGURE_SKILL], r.gap[0].mean[7].figure[IB_FIGURE_SKILL], 0);
    CHECK(fabs(r.gap[0].mean[5].figure[IB_FIGURE_SKILL] - r.gap[0].mean[6].figure[IB_FIGURE_SKILL]) > 0);
    char *csv = ib_eval_csv(&r);
    size_t lines = 0;
    for (const char *p = csv; p && (p = strchr(p, '\n')); p++) {
        lines++;
    }
    CHECK_INT(lines, 1 + 2 * 8 * 11); /* a clip and the mean; all together and seven places */
    CHECK(csv && !strncmp(csv, "gap,clip,t,windows,frames,method,skill,cosine,", 46) &&
          strstr(csv, "\n8,m,,7,49,hold-first,") && strstr(csv, "\n8,m,0.125,7,7,hold-first,") &&
          strstr(csv, "\n8,(mean),0.875,7,7,crf 23,"));
    free(csv);
    ib_eval_report_free(&r);
}

int main(void) {
    if (!make_scratch("eval")) {
        return check_skip("test_eval", "no scratch directory can be made");
    }
    omp_set_num_threads(4); /* more than are asked for below: results must not depend on it */
    write_adapter(in_scratch("a.safetensors"), MOVING_SPACE, 7);
    RUN(test_planted());
    RUN(test_still_and_black());
    RUN(test_same_as_training());
    RUN(test_windows());
    RUN(test_determinism());
    RUN(test_csv_and_names());
    remove_scratch();
    return check_report("test_eval");
}
