/* Other programs as methods of the evaluation. This program is such a program itself, if it is given a word:
 * how it behaves. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <omp.h>
#include "base/clock.h"
#include "eval/program.h"
#include "tests/evals.h"

/* ---- the other program ---- */

static int act_fade(int frames_more) {
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        int w, h, n, used = 0, more = 0;
        char matrix[16];
        float t[64], seconds;
        if (sscanf(line, "inbetween 1 %d %d %d%n", &w, &h, &n, &used) != 3 || n > 64) {
            return 10;
        }
        for (int i = 0; i < n; i++, used += more) {
            if (sscanf(line + used, " %f%n", &t[i], &more) != 1) {
                return 11;
            }
        }
        if (sscanf(line + used, " matrix=%15s range=limited seconds=%f", matrix, &seconds) != 2 ||
            seconds <= 0) {
            return 12;
        }
        size_t bytes = (size_t)(w * h + 2 * ((w + 1) / 2) * ((h + 1) / 2));
        unsigned char *a = malloc(2 * bytes), *b = a ? a + bytes : NULL;
        if (!a || fread(a, 1, 2 * bytes, stdin) != 2 * bytes) {
            return 13;
        }
        for (int i = 0; i < n + frames_more; i++) {
            for (size_t k = 0; k < bytes; k++) {
                putchar((int)floorf((float)a[k] + (i < n ? t[i] : 0) * (float)(b[k] - a[k]) + 0.5f));
            }
        }
        free(a);
        if (fflush(stdout)) {
            return 14;
        }
    }
    return 0;
}

static void skip_question(void) {
    char line[4096];
    if (fgets(line, sizeof line, stdin) && fread(line, 1, 2000, stdin) < 2000) {
        exit(15);
    }
}

static int act(const char *how) {
    if (!strcmp(how, "fade")) {
        return act_fade(0);
    }
    if (!strcmp(how, "more")) {
        return act_fade(1);
    }
    if (!strcmp(how, "banner")) {
        puts("reading the weights ...");
        return act_fade(0);
    }
    if (!strcmp(how, "babble")) { /* and never reads */
        while (puts("na na na") != EOF) {
        }
        return 0;
    }
    if (!strcmp(how, "crash")) {
        skip_question();
        raise(SIGKILL);
    }
    if (!strcmp(how, "short")) {
        skip_question();
        return fwrite(how, 1, 5, stdout) == 5 ? 3 : 0;
    }
    if (!strcmp(how, "hang-up")) {
        skip_question();
        fclose(stdout);
        close(STDOUT_FILENO);
    }
    sleep(60); /* "sleep": after two minutes somebody would ask */
    return 0;
}

/* ---- questions ---- */

static char self[512];

static const char *command(const char *how) {
    static char text[640];
    snprintf(text, sizeof text, "exec '%s' %s", self, how);
    return text;
}

static void check_nobody_left(void) {
    errno = 0;
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

static void fill_noise(ib_frame *f, unsigned seed) {
    for (int i = 0; i < 3; i++) {
        int w = i ? (f->width + 1) / 2 : f->width, h = i ? (f->height + 1) / 2 : f->height;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                seed = seed * 1664525u + 1013904223u;
                f->plane[i][(size_t)y * f->stride[i] + (size_t)x] = (uint8_t)(16 + (seed >> 24) % 200);
            }
        }
    }
}

/* Every sample, of odd sides too. */
static void test_answers(void) {
    static const int sizes[][2] = {{5, 3}, {64, 48}, {1, 1}, {1031, 517}};
    ib_program *p = NULL;
    ib_error err = {0};
    CHECK_OK(ib_program_open(&p, "fade", command("fade"), 60, NULL, &err), &err);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ib_frame a, b, out[3];
        const float at[3] = {0.25f, 0.5f, 0.9f};
        double worst = 0;
        CHECK_OK(ib_frame_alloc(&a, sizes[i][0], sizes[i][1], &err), &err);
        CHECK_OK(ib_frame_alloc(&b, sizes[i][0], sizes[i][1], &err), &err);
        a.matrix = b.matrix = IB_MATRIX_BT709;
        fill_noise(&a, 1);
        fill_noise(&b, 2);
        CHECK_OK(ib_program_ask(p, &a, &b, at, 3, 0.25f, out, &err), &err);
        for (int k = 0; k < 3 && !err.code; k++) {
            CHECK_INT(out[k].matrix, IB_MATRIX_BT709);
            for (int c = 0; c < 3; c++) {
                int w = c ? (a.width + 1) / 2 : a.width, h = c ? (a.height + 1) / 2 : a.height;
                for (int j = 0; j < w * h; j++) {
                    size_t o = (size_t)(j / w) * a.stride[c] + (size_t)(j % w);
                    double want = a.plane[c][o] + at[k] * (b.plane[c][o] - a.plane[c][o]);
                    worst = fmax(worst, fabs(out[k].plane[c][o] - want));
                }
            }
            ib_frame_free(&out[k]);
        }
        CHECK_NEAR(worst, 0, 0.501);
        ib_frame_free(&a);
        ib_frame_free(&b);
    }
    CHECK_OK(ib_program_finish(p, &err), &err);
    CHECK(!ib_program_failed(p));
    ib_program_close(&p);
    CHECK(!p);
    check_nobody_left();
}

/* Once a program failed, it has failed; the caller lives on, and nothing is left of the program. */
static void check_bad(const char *cmd, int code, const char *text) {
    ib_program *p = NULL;
    ib_error err = {0};
    ib_frame a, out[2];
    const float at[2] = {0.3f, 0.6f};
    double began = ib_clock_seconds();
    CHECK_OK(ib_frame_alloc(&a, 640, 480, &err), &err);
    fill_noise(&a, 3);
    CHECK_OK(ib_program_open(&p, "bad", cmd, 0.5, NULL, &err), &err);
    int rc = ib_program_ask(p, &a, &a, at, 2, 1, out, &err);
    for (int k = 0; k < 2 && !rc; k++) {
        ib_frame_free(&out[k]);
    }
    rc = rc ? rc : ib_program_finish(p, &err);
    CHECK_ERROR(rc, &err, code, text);
    CHECK(!strncmp(err.text, "bad: ", 5));
    CHECK(ib_program_failed(p));
    CHECK_ERROR(ib_program_ask(p, &a, &a, at, 2, 1, out, &err), &err, code, text);
    ib_program_close(&p);
    ib_frame_free(&a);
    check_nobody_left();
    CHECK(ib_clock_seconds() - began < 30);
}

static void test_bad_programs(void) {
    check_bad("exec /nowhere/to/be/found 2>&-", IB_E_IO, "not found by the shell");
    check_bad("exit 0", IB_E_IO, "ended with status 0 after 0 of the 921600 bytes");
    check_bad("exec <&-; exec sleep 60", IB_E_IO, "closed its");
    check_bad(command("crash"), IB_E_IO, "killed by signal 9 after 0 of");
    check_bad(command("short"), IB_E_IO, "ended with status 3 after 5 of the 921600");
    check_bad(command("hang-up"), IB_E_IO, "closed its output after 0 of");
    check_bad(command("sleep"), IB_E_IO, "stuck");
    check_bad(command("more"), IB_E_FORMAT, "no part of an answer");
    check_bad(command("banner"), IB_E_FORMAT, "no part of an answer");
    check_bad(command("babble"), IB_E_FORMAT, "more than the 921600 bytes");
    /* with what it started */
    check_bad("sleep 60 & sleep 60 | cat", IB_E_IO, "stuck");
}

static atomic_int stop;

static void on_alarm(int signal_number) {
    (void)signal_number;
    atomic_store(&stop, 1);
}

static void test_stop(void) {
    ib_program *p = NULL;
    ib_error err = {0};
    ib_frame a, out;
    const float at = 0.5f;
    double began = ib_clock_seconds();
    CHECK_OK(ib_frame_alloc(&a, 64, 48, &err), &err);
    fill_noise(&a, 3);
    CHECK_OK(ib_program_open(&p, "slow", command("sleep"), 600, &stop, &err), &err);
    signal(SIGALRM, on_alarm);
    alarm(1);
    CHECK_ERROR(ib_program_ask(p, &a, &a, &at, 1, 1, &out, &err), &err, IB_E_INTERRUPTED, "interrupted");
    ib_program_close(&p);
    ib_frame_free(&a);
    check_nobody_left();
    CHECK(ib_clock_seconds() - began < 20);
}

/* ---- evaluations ---- */

static void check_like_lerp(const ib_eval_report *r, double tolerance_db, double tolerance) {
    static const struct {
        int figure;
        double times; /* the tolerance; ties are rounded in another way, which moves means */
    } like[] = {{IB_FIGURE_SKILL, 3},     {IB_FIGURE_SSIM, 1},   {IB_FIGURE_MS_SSIM, 1},
                {IB_FIGURE_SHARPNESS, 2}, {IB_FIGURE_JUMP, 150}, {IB_FIGURE_FLICKER, 40}};
    for (size_t g = 0; g < r->gaps; g++) {
        CHECK_NEAR(figure_of(r, g, 0, "fade", IB_FIGURE_PSNR), figure_of(r, g, 0, "lerp", IB_FIGURE_PSNR),
                   tolerance_db);
        for (size_t i = 0; i < sizeof like / sizeof *like; i++) {
            CHECK_NEAR(figure_of(r, g, 0, "fade", like[i].figure), figure_of(r, g, 0, "lerp", like[i].figure),
                       like[i].times * tolerance);
        }
    }
}

static request ask_rival(const char *const *video, const char *adapter, ib_eval_rival *rival) {
    request q = ask(video, 1, adapter);
    q.o.gap[0] = 9;
    q.o.gap[1] = 4;
    q.o.gaps = 2;
    q.o.rival = rival;
    q.o.rivals = 1;
    return q;
}

/* A cross-fade by another program has lerp's figures to within rounding, at the video's own size and small;
 * it stands between the baselines and the adapters. */
static void test_evaluations(void) {
    const char *video = in_scratch("v.mp4");
    ib_eval_rival fade = {"fade", command("fade")};
    ib_eval_report r;
    ib_error err;
    CHECK_OK(write_clip(video, 128, 96, 30, 25, NULL, 20, &err), &err);
    for (int native = 0; native < 2; native++) {
        request q = ask_rival(&video, in_scratch("a.safetensors"), &fade);
        q.o.native = native;
        q.o.strips = true;
        q.o.width = 64;
        q.o.height = 48;
        CHECK_OK(answer(&q, &r, &err), &err);
        CHECK(r.method[5].kind == IB_METHOD_PROGRAM && !strcmp(r.method[5].name, "fade"));
        CHECK(!strcmp(r.method[5].command, command("fade")));
        CHECK(r.method[6].kind == IB_METHOD_ADAPTER && r.judged == 6);
        check_like_lerp(&r, native ? 0.02 : 0.05, native ? 0.002 : 0.005);
        CHECK_INT(r.strips, native ? 0 : 3);
        for (size_t i = 0; i < r.strips; i++) {
            CHECK_INT(r.strip[i].rows, 1 + 2 + 1 + 1);
            CHECK_NEAR(r.strip[i].psnr[3], r.strip[i].psnr[1], 0.05);
        }
        char *page = ib_eval_page(&r), *json = ib_eval_json(&r), *text = ib_eval_text(&r);
        CHECK(page && strstr(page, "k-p1 program"));
        CHECK(json && strstr(json, "\"kind\": \"program\""));
        CHECK(text && strstr(text, "a against fade: "));
        free(page);
        free(json);
        free(text);
        ib_eval_report_free(&r);
        check_nobody_left();
    }
}

/* A program that fails ends the evaluation; it is no input's fault. */
static void test_refusals(void) {
    const char *in[2] = {in_scratch("v.mp4"), in_scratch("m.h5")};
    static const char *const names[] = {"slerp", "crf 23", "a", ""};
    ib_eval_report r;
    ib_error err;
    ib_eval_rival rival = {"short", command("short")};
    request q = ask_rival(in, NULL, &rival);
    q.o.native = true;
    CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_IO, "short: the program ended with status 3");
    CHECK_INT(r.methods, 0);
    check_nobody_left();
    rival = (ib_eval_rival){"more", command("more")};
    for (int small = 0; small < 2; small++) {
        q = ask_rival(&in[small], NULL, &rival);
        q.o.native = !small;
        CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_FORMAT, "more: the program wrote");
        check_nobody_left();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ib_eval_rival two[2] = {{names[i], command("fade")}, {"a", command("fade")}};
        q = ask_rival(in, NULL, two);
        q.o.rivals = 2;
        CHECK_ERROR(answer(&q, &r, &err), &err, IB_E_ARGUMENT, names[i][0] ? "another method's" : "empty");
        check_nobody_left();
    }
}

int main(int argc, char **argv) {
    if (argc > 1) {
        return act(argv[1]);
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0 || !make_scratch("eval_rival")) {
        return check_skip("test_eval_rival", "no scratch directory can be made, or there is no /proc");
    }
    write_adapter(in_scratch("a.safetensors"), MOVING_SPACE, 7);
    write_moving(in_scratch("m.h5"), "m", 60, 1.7, NULL);
    RUN(test_answers());
    RUN(test_bad_programs());
    RUN(test_stop());
    RUN(test_evaluations());
    RUN(test_refusals());
    remove_scratch();
    return check_report("test_eval_rival");
}
