/* The evaluation of videos and of what is none: sizes, bad inputs, progress, film strips. */
#include <omp.h>
#include "guide/encode.h"
#include "eval/pixels.h"
#include "render/renderer.h"
#include "tests/evals.h"
#include "video_io/reader.h"

/* ---- videos ---- */

static void check_same_scores(const ib_eval_report *a, size_t ga, const ib_eval_report *b, size_t gb,
                              double tolerance) {
    CHECK_INT(a->gap[ga].clip[0].windows, b->gap[gb].clip[0].windows);
    for (size_t m = 0; m < a->methods; m++) {
        CHECK_NEAR(a->gap[ga].mean[m].figure[IB_FIGURE_PSNR], b->gap[gb].mean[m].figure[IB_FIGURE_PSNR],
                   tolerance);
        CHECK_NEAR(a->gap[ga].mean[m].figure[IB_FIGURE_SKILL], b->gap[gb].mean[m].figure[IB_FIGURE_SKILL],
                   tolerance);
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
    CHECK(isfinite(figure_of(&r, 0, 0, "a", IB_FIGURE_PSNR)));
    ib_eval_report_free(&one);
    ib_eval_report_free(&other);

    /* the same frames by the other way, through latents rounded to half */
    request q = ask(&video, 1, NULL);
    q.o.width = 128;
    q.o.height = 96;
    q.o.gap[0] = 9;
    CHECK_OK(answer(&q, &one, &err), &err);
    for (size_t m = 0; m <= IB_EVAL_SLERP; m++) {
        CHECK_NEAR(r.gap[0].mean[m].figure[IB_FIGURE_PSNR], one.gap[0].mean[m].figure[IB_FIGURE_PSNR], 0.02);
        CHECK_NEAR(r.gap[0].mean[m].figure[IB_FIGURE_SKILL], one.gap[0].mean[m].figure[IB_FIGURE_SKILL],
                   0.005);
    }
    ib_eval_report_free(&one);
    ib_eval_report_free(&r);
    CHECK_ERROR(eval_native(latents, 9, 0, 1, &r, &err), &err, IB_E_ARGUMENT, "v.h5");
}

/* What is judged at the video's own size is what the renderer makes, to the bit: the first window's PSNR,
 * from frames that the renderer made, is the report's. */
static void test_native_is_rendered(void) {
    enum { GAP = 9, WINDOWS = 3, FRAMES = WINDOWS * GAP + 1 };
    const char *video = in_scratch("v.mp4");
    ib_eval_report r;
    ib_error err;
    request q = ask(&video, 1, in_scratch("a.safetensors"));
    q.o.native = true;
    q.o.gap[0] = GAP;
    CHECK_OK(answer(&q, &r, &err), &err);
    ib_reader *reader = NULL;
    ib_reader_options o = {0};
    ib_frame frame[FRAMES] = {{0}}, out = {0};
    const ib_frame *f = NULL;
    CHECK_OK(ib_reader_open(&reader, video, &o, &err), &err);
    for (int i = 0; i < FRAMES && ib_reader_next(reader, &f, &err) == 1; i++) {
        CHECK_OK(ib_frame_alloc(&frame[i], f->width, f->height, &err), &err);
        ib_frame_copy(&frame[i], f);
        frame[i].pts_seconds = f->pts_seconds;
        frame[i].matrix = f->matrix;
    }
    ib_renderer *renderer = NULL;
    CHECK_OK(
        ib_renderer_open(&renderer, in_scratch("a.safetensors"), frame[0].width, frame[0].height, 3, &err),
        &err);
    CHECK_OK(ib_frame_alloc(&out, frame[0].width, frame[0].height, &err), &err);
    double sum = 0;
    CHECK_INT(r.gap[0].clip[0].windows, WINDOWS);
    for (int i = 0; i < WINDOWS * GAP; i++) {
        const ib_frame *first = &frame[i / GAP * GAP], *last = first + GAP;
        double span = last->pts_seconds - first->pts_seconds;
        if (i % GAP) {
            float t = (float)((frame[i].pts_seconds - first->pts_seconds) / span);
            CHECK_OK(ib_renderer_frame(renderer, first, last, t, (float)span, &out, &err), &err);
            sum += ib_psnr(&out, &frame[i]).luma;
        }
    }
    CHECK_NEAR(figure_of(&r, 0, 0, "a", IB_FIGURE_PSNR), sum / (WINDOWS * (GAP - 1)), 1e-9);
    for (int i = 0; i < FRAMES; i++) {
        ib_frame_free(&frame[i]);
    }
    ib_frame_free(&out);
    ib_renderer_close(&renderer);
    ib_reader_close(&reader);
    ib_eval_report_free(&r);
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
                "patch:dct8+4:v1, this evaluation is in hatch:dct8+4:v1");
    q = ask(in, 2, NULL);
    q.o.space = "patch";
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH,
                "hatch:dct8+4:v1, this evaluation is in patch:dct8+4:v1");
    q = ask(in + 1, 1, in_scratch("a.safetensors"));
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_MISMATCH, "a.safetensors");
    q = ask(in + 1, 1, NULL);
    q.o.minterpolate = true;
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_UNSUPPORTED, "no pictures");
}

/* One token a frame on a noisy circle, in a space that is not here: no pictures, all that is latent. */
static void test_single(void) {
    enum { WIDE = 32, FRAMES = 50 };
    const char *in = in_scratch("single.h5"), *adapter = in_scratch("single.safetensors");
    ib_latent_info info = {
        .fps = 25, .every = 1, .space_id = "clip:0123", .frame_width = 64, .frame_height = 48};
    ib_latent_writer *w = NULL;
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_eval_report r;
    ib_error err;
    info.shape = (ib_shape){IB_LAYOUT_SINGLE, 1, 1, 1, WIDE};
    snprintf(info.source, sizeof info.source, "single");
    moving_sha("single", info.source_sha256);
    CHECK_OK(ib_latent_writer_create(&w, in, &info, &err), &err);
    for (int i = 0; i < FRAMES; i++) {
        float z[WIDE];
        for (int k = 0; k < WIDE; k++) {
            z[k] = (float)(sin(0.06 * i + k) + 0.02 * sin(1.7 * i * (k + 1)));
        }
        CHECK_OK(ib_latent_writer_append(w, z, i / 25.0, false, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
    CHECK_OK(ib_adapter_preset("toaster", "clip:0123", IB_LAYOUT_SINGLE, WIDE, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_save(a, adapter, NULL, 0, &err), &err);
    ib_adapter_free(&a);
    request q = ask(&in, 1, adapter);
    q.o.strips = true;
    CHECK_OK(answer(&q, &r, &err), &err);
    CHECK(!r.decodes && !strcmp(r.space_id, "clip:0123"));
    CHECK_INT(r.methods, 5 + 1 + 1); /* baselines, the adapter, true neighbours */
    CHECK_INT(r.strips, 0);
    CHECK_INT(r.gap[0].clip[0].windows, 6);
    CHECK_NEAR(figure_of(&r, 0, 0, "single", IB_FIGURE_SKILL), 0, 0); /* untrained, it is slerp */
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_RECALL) > 0.9);
    CHECK(figure_of(&r, 0, 0, "slerp", IB_FIGURE_ANGLE) < 2);
    CHECK(figure_of(&r, 0, 0, "hold-first", IB_FIGURE_ANGLE) > 5);
    CHECK(isnan(figure_of(&r, 0, 0, "slerp", IB_FIGURE_PSNR)));
    char *text = ib_eval_text(&r), *json = ib_eval_json(&r), *page = ib_eval_page(&r);
    CHECK(text && strstr(text, "recall@1") && !strstr(text, "PSNR") && !strstr(text, "nan"));
    CHECK(json && strstr(json, "\"recall_at_1\"") && !strstr(json, "psnr_db\": n") && !strstr(json, "ssim"));
    CHECK(page && strstr(page, "<svg") && !strstr(page, "PSNR of luma"));
    free(text);
    free(json);
    free(page);
    ib_eval_report_free(&r);
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
    q = ask(&in, 1, NULL);
    q.o.trust = 1.5;
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, "trust");
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
        int rc = answer(&q, &r, &err);
        CHECK(!w.falls && w.calls > (i ? 0 : 3));
        if (i) {
            CHECK_ERROR(rc, &err, IB_E_INTERRUPTED, ""); /* in the words of whoever saw it first */
        } else {
            CHECK_OK(rc, &err);
            CHECK_NEAR(w.last, 1, 0);
            CHECK_INT(w.windows, r.gap[0].clip[0].windows + r.gap[0].clip[1].windows);
        }
        ib_eval_report_free(&r);
        CHECK_INT(files_in(folder), 0);
    }
    unsetenv("TMPDIR");
}

static bool is_png(const char *folder, const char *name) {
    char path[600], begins[8] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    bool png = f && fread(begins, 1, 8, f) == 8 && !memcmp(begins, "\211PNG", 4);
    if (f) {
        fclose(f);
    }
    return png;
}

static void test_strips(void) {
    const char *in = in_scratch("m.h5"), *adapters[2] = {in_scratch("a.safetensors"), NULL};
    ib_eval_report r;
    ib_error err;
    for (int i = 0; i < 2; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/s%d", scratch, i);
        request q = ask(&in, 1, adapters[i]);
        q.o.strips = true;
        q.o.minterpolate = i == 1;
        q.o.gap[0] = 16;
        q.o.gaps = 2;
        q.o.gap[1] = 9;
        CHECK_OK(answer(&q, &r, &err), &err);
        CHECK_INT(r.strips, 3);
        CHECK_INT(r.gap[r.shown_gap].gap, 9);
        for (size_t k = 0; k < r.strips; k++) {
            const ib_eval_strip *s = &r.strip[k];
            CHECK_INT(s->rows, 1 + 2 + 1);
            CHECK_INT(s->columns, 9);
            CHECK(s->at[0] == 0 && s->at[8] == 9 && s->at[4] > s->at[3]);
            CHECK_NEAR(s->gain, s->psnr[s->rows - 1] - s->psnr[2], 1e-9);
        }
        CHECK(r.strip[0].gain >= r.strip[1].gain && r.strip[1].gain >= r.strip[2].gain);
        CHECK_NEAR(r.strip[2].gain, r.gap[r.shown_gap].worst[0].gain, 0);
        CHECK_OK(ib_eval_write_strips(&r, folder, &err), &err);
        CHECK_INT(files_in(folder), 3);
        CHECK(is_png(folder, "best.png") && is_png(folder, "median.png") && is_png(folder, "worst.png"));
        CHECK_ERROR(ib_eval_write_strips(&r, in, &err), &err, IB_E_IO, "m.h5");
        ib_eval_report_free(&r);
    }
}

int main(void) {
    if (!make_scratch("eval_inputs")) {
        return check_skip("test_eval_inputs", "no scratch directory can be made");
    }
    omp_set_num_threads(4); /* more than are asked for below: results must not depend on it */
    write_adapter(in_scratch("a.safetensors"), MOVING_SPACE, 7);
    write_moving(in_scratch("m.h5"), "m", 60, 1.7, NULL);
    RUN(test_video_and_latents());
    RUN(test_native());
    RUN(test_native_is_rendered());
    RUN(test_bad_inputs());
    RUN(test_other_spaces());
    RUN(test_single());
    RUN(test_options());
    RUN(test_progress_and_stop());
    RUN(test_strips());
    remove_scratch();
    return check_report("test_eval_inputs");
}
