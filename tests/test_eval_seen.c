/* Guides of videos in an evaluation: made as `encode` makes them, by the pixel model that is named;
 * cross-fades that are seen. The space is a small CLIP model of random weights. */
#include "guide/encode.h"
#include "tests/clip_model.h"
#include "tests/evals.h"

static char spec[600];
static const ib_space_options how = {.activation = "quick_gelu"};

static void make_inputs(void) {
    ib_error err;
    ib_space *space = NULL;
    model_write_small(scratch, spec);
    CHECK_OK(write_clip(in_scratch("v.mkv"), 64, 48, 22, 10, "ffv1", -1, &err), &err);
    ib_encode_options o;
    ib_encode_defaults(&o);
    o.guide = "prior";
    o.guide_gap[0] = 5;
    o.guide_gaps = 1;
    CHECK_OK(ib_space_open_with(&space, spec, &how, &err), &err);
    CHECK_OK(ib_encode_video(in_scratch("v.mkv"), in_scratch("v.h5"), space, &o, NULL, &err), &err);
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_shape shape;
    CHECK_OK(ib_space_shape(space, 64, 48, &shape, &err), &err);
    CHECK_OK(ib_adapter_preset("toaster", ib_space_id(space), shape.layout, (int)shape.width, &c, &err),
             &err);
    snprintf(c.guide, sizeof c.guide, "sha256:77 gone.safetensors");
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_save(a, in_scratch("foreign.safetensors"), NULL, 0, &err), &err);
    ib_adapter_free(&a);
    ib_space_close(&space);
}

static request ask_of(const char *file, const char *adapter, const char *guide) {
    request q = ask(&file, 1, adapter);
    q.o.gap[0] = 5;
    q.o.space = spec;
    q.o.space_options = &how;
    q.o.guide = guide;
    return q;
}

static double skill_of(const ib_eval_report *r, const char *method) {
    return figure_of(r, 0, 0, method, IB_FIGURE_SKILL);
}

static void test_video(void) {
    static const char *const rows[] = {"lerp", "in-between seen", "guide, one weight", "guide, best weights",
                                       "true neighbours"};
    ib_eval_report v, l;
    ib_error err;
    request q = ask_of(in_scratch("v.mkv"), NULL, "prior");
    CHECK_OK(answer(&q, &v, &err), &err);
    q = ask_of(in_scratch("v.h5"), NULL, NULL);
    CHECK_OK(answer(&q, &l, &err), &err);
    CHECK(!strncmp(v.guide, "prior:", 6) && !strcmp(v.guide, l.guide));
    CHECK_INT(v.gap[0].clip[0].windows, 4);
    CHECK_INT(v.gap[0].explanation.guided, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(isfinite(skill_of(&v, rows[i])));
        CHECK_NEAR(skill_of(&v, rows[i]), skill_of(&l, rows[i]), 0);
    }
    CHECK_NEAR(v.gap[0].explanation.one_weight, l.gap[0].explanation.one_weight, 0);
    /* a plain movement: the pixel model sees where things are, the cross-fade shows them twice */
    CHECK(isfinite(skill_of(&v, "cross-fade seen")) && isnan(skill_of(&l, "cross-fade seen")));
    CHECK(skill_of(&v, "in-between seen") > skill_of(&v, "cross-fade seen"));
    CHECK(skill_of(&v, "in-between seen") > 0);
    ib_eval_report_free(&v);
    ib_eval_report_free(&l);
}

static void test_choices(void) {
    ib_eval_report r;
    ib_error err;
    const char *video = in_scratch("v.mkv"), *foreign = in_scratch("foreign.safetensors");
    request q = ask_of(video, NULL, "none");
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(r.unguided && !r.gap[0].explanation.guided);
    CHECK(isnan(skill_of(&r, "in-between seen")) && isfinite(skill_of(&r, "true neighbours")));
    ib_eval_report_free(&r);
    q = ask_of(video, foreign, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "sha256:77 gone.safetensors");
    CHECK(strstr(err.text, "foreign was trained") && strstr(err.text, "--guide"));
    q = ask_of(video, foreign, "prior");
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "sha256:77 gone.safetensors");
    CHECK(strstr(err.text, "--guide prior is the pixel model prior:"));
    q = ask_of(in_scratch("v.h5"), foreign, NULL);
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "sha256:77 gone.safetensors");
    q = ask_of(video, NULL, in_scratch("nowhere.safetensors"));
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_IO, "nowhere.safetensors");
    q = ask_of(video, NULL, foreign); /* an adapter of embeddings makes no pictures */
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "foreign.safetensors");
}

int main(void) {
    if (!make_scratch("eval_seen")) {
        return check_skip("test_eval_seen", "no scratch directory can be made");
    }
    make_inputs();
    RUN(test_video());
    RUN(test_choices());
    remove_scratch();
    return check_report("test_eval_seen");
}
