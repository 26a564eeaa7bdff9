/* Videos at another rate: which frame stands where, and what comes through unchanged. Clips are lossless
 * (FFV1), so that frames can be compared sample by sample. */
#include <stdatomic.h>
#include <sys/stat.h>
#include "render/retime.h"
#include "render/timing.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { WIDTH = 96, HEIGHT = 64 };

/* ---- where frames stand ---- */

static void test_places(void) {
    const ib_timing t = {.frame_seconds = 0.1, .tick_seconds = 1e-5};
    const ib_interval next = {.begin = 1, .seen = 1, .end = 1.1}, cut = {1, 1, 1.1, true},
                      doubled = {.begin = 1, .seen = 1.1, .end = 1.2},
                      still = {.begin = 1, .seen = 1.9, .end = 2}, late_cut = {1, 1, 4, true};
    CHECK_NEAR(ib_interval_place(&t, &next, 1), 0, 0);
    CHECK_NEAR(ib_interval_place(&t, &next, 1.025), 0.25, 1e-9);
    CHECK_NEAR(ib_interval_place(&t, &next, 1.000004), 0, 0); /* within half a tick */
    CHECK_NEAR(ib_interval_place(&t, &next, 1.00001), 1e-4, 1e-9);
    CHECK_NEAR(ib_interval_holds(&t, &next, 1.0999), 1, 0);
    CHECK_NEAR(ib_interval_holds(&t, &next, 1.099996), 0, 0); /* the next frame's own */
    CHECK_NEAR(ib_interval_place(&t, &cut, 1.049), 0, 0);
    CHECK_NEAR(ib_interval_place(&t, &cut, 1.051), 1, 0);
    CHECK_NEAR(ib_interval_place(&t, &doubled, 1.1), 0.5, 1e-9); /* motion does not halt */
    CHECK_NEAR(ib_interval_place(&t, &still, 1.85), 0, 0);
    CHECK_NEAR(ib_interval_place(&t, &still, 1.95), 0.5, 1e-9);
    CHECK_NEAR(ib_interval_place(&t, &late_cut, 3.9), 0, 0);
    CHECK_NEAR(ib_interval_place(&t, &late_cut, 3.96), 1, 0);
    /* times in whole milliseconds */
    const ib_timing ms = {.frame_seconds = 1001.0 / 24000, .tick_seconds = 0.001};
    const ib_interval rounded = {.begin = 0.042, .seen = 0.042, .end = 0.083};
    CHECK_NEAR(ib_interval_place(&ms, &rounded, 1001.0 / 24000), 0, 0);
    CHECK_NEAR(ib_interval_holds(&ms, &rounded, 2 * 1001.0 / 24000), 0, 0);
}

static void test_rates(void) {
    CHECK_NEAR(ib_rate_meant(23.976), 24000.0 / 1001, 1e-12);
    CHECK_NEAR(ib_rate_meant(29.97), 30000.0 / 1001, 1e-12);
    CHECK_NEAR(ib_rate_meant(59.94), 60000.0 / 1001, 1e-12);
    CHECK_NEAR(ib_rate_meant(119.88), 120000.0 / 1001, 1e-12);
    CHECK_NEAR(ib_rate_meant(60), 60, 0);
    CHECK_NEAR(ib_rate_meant(24), 24, 0);
    CHECK_NEAR(ib_rate_meant(12.5), 12.5, 0);
    CHECK_NEAR(ib_rate_meant(0.001), 0.001, 0);
}

/* ---- whole videos ---- */

typedef struct film {
    ib_frame f[256];
    int n;
} film;

static void film_free(film *m) {
    for (int i = 0; i < m->n; i++) {
        ib_frame_free(&m->f[i]);
    }
    m->n = 0;
}

static void film_read(film *m, const char *path) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    m->n = 0;
    CHECK_OK(ib_reader_open(&r, path, NULL, &err), &err);
    while (r && m->n < 256 && ib_reader_next(r, &f, &err) > 0) {
        CHECK_OK(ib_frame_alloc(&m->f[m->n], f->width, f->height, &err), &err);
        ib_frame_copy(&m->f[m->n++], f);
    }
    ib_reader_close(&r);
}

/* Frames for which which[i] are drawn at that shift; -1 the frame of another shot. */
static void write_film(const char *path, const int *which, int n, double fps) {
    ib_error err = {0};
    ib_writer *w = NULL;
    ib_frame f;
    const ib_writer_options o = {
        .width = WIDTH, .height = HEIGHT, .fps = fps, .matrix = IB_MATRIX_BT709, .codec = "ffv1", .crf = -1};
    CHECK_OK(ib_frame_alloc(&f, WIDTH, HEIGHT, &err), &err);
    CHECK_OK(ib_writer_open(&w, path, &o, &err), &err);
    for (int i = 0; w && i < n; i++) {
        draw(&f, which[i]);
        for (int y = 0; which[i] < 0 && y < HEIGHT; y++) { /* bars across, much brighter */
            memset(f.plane[0] + (size_t)y * f.stride[0], y / 4 % 2 ? 230 : 20, WIDTH);
        }
        CHECK_OK(ib_writer_write(w, &f, &err), &err);
    }
    CHECK_OK(ib_writer_finish(&w, &err), &err);
    ib_frame_free(&f);
}

static ib_retime_options options_of(const char *in, const char *out, double fps, double slow) {
    ib_retime_options o;
    ib_retime_defaults(&o);
    o.input = in;
    o.output = out;
    o.fps = fps;
    o.slow = slow;
    o.codec = "ffv1";
    o.threads = 2;
    return o;
}

/* Both films, read again. */
static ib_retime_summary retime_film(const ib_retime_options *o, film *source, film *clip) {
    ib_error err = {0};
    ib_retime_summary s = {0};
    CHECK_OK(ib_retime(o, &s, &err), &err);
    film_read(source, o->input);
    film_read(clip, o->output);
    return s;
}

static double apart(const film *a, int i, const film *b, int j) {
    return difference(&a->f[i], &b->f[j], 0) + difference(&a->f[i], &b->f[j], 1) +
           difference(&a->f[i], &b->f[j], 2);
}

/* Twice the rate: every second frame is the source's, sample for sample, the others are not. */
static void test_twice(const char *container, const char *codec, int crf) {
    static film a, b;
    int which[20];
    for (int i = 0; i < 20; i++) {
        which[i] = 3 * i;
    }
    char name[32];
    snprintf(name, sizeof name, "twice.%s", container);
    const char *in = in_scratch("in.mkv"), *out = in_scratch(name);
    write_film(in, which, 20, 24000.0 / 1001);
    ib_retime_options o = options_of(in, out, 48000.0 / 1001, 1);
    o.codec = codec;
    o.crf = crf;
    ib_retime_summary s = retime_film(&o, &a, &b);
    CHECK_NEAR(a.n, 20, 0);
    CHECK_NEAR(b.n, 40, 0);
    for (int i = 0; i < 20 && 2 * i < b.n; i++) {
        CHECK_NEAR(apart(&a, i, &b, 2 * i), 0, 0);
        CHECK_NEAR(b.f[2 * i].pts_seconds, 2 * i * 1001 / 48000.0, strcmp(container, "mkv") ? 1e-9 : 6e-4);
        if (i < 19) {
            CHECK(apart(&a, i, &b, 2 * i + 1) > 0.1 && apart(&a, i + 1, &b, 2 * i + 1) > 0.1);
        }
    }
    CHECK_NEAR((double)s.passed, 20, 0);
    CHECK_NEAR((double)s.made, 19, 0);
    CHECK_NEAR((double)s.held, 1, 0); /* the last one is shown for its whole time */
    CHECK_NEAR((double)s.frames, 40, 0);
    film_free(&a);
    film_free(&b);
}

static void test_slow(void) {
    static film a, b;
    const int which[] = {0, 3, 6, 9, 12};
    const char *in = in_scratch("slow-in.mkv"), *out = in_scratch("slow.mkv");
    write_film(in, which, 5, 10);
    ib_retime_options o = options_of(in, out, 0, 3);
    ib_retime_summary s = retime_film(&o, &a, &b);
    CHECK_NEAR(b.n, 15, 0);
    CHECK_NEAR(s.fps, 10, 1e-9);
    for (int i = 0; i < 5 && 3 * i < b.n; i++) {
        CHECK_NEAR(apart(&a, i, &b, 3 * i), 0, 0);
        CHECK_NEAR(b.f[3 * i].pts_seconds, 0.3 * i, 1e-6);
    }
    film_free(&a);
    film_free(&b);
}

static void test_fewer(void) { /* half the rate takes every second frame and makes none */
    static film a, b;
    int which[20];
    for (int i = 0; i < 20; i++) {
        which[i] = 3 * i;
    }
    const char *in = in_scratch("few-in.mkv"), *out = in_scratch("few.mkv");
    write_film(in, which, 20, 50);
    ib_retime_options o = options_of(in, out, 25, 1);
    ib_retime_summary s = retime_film(&o, &a, &b);
    CHECK_NEAR(b.n, 10, 0);
    CHECK_NEAR((double)s.made, 0, 0);
    for (int i = 0; i < b.n; i++) {
        CHECK_NEAR(apart(&a, 2 * i, &b, i), 0, 0);
    }
    film_free(&a);
    film_free(&b);
}

static void test_cut(void) {
    static film a, b;
    const int which[] = {0, 1, 2, 3, 4, 5, -1, -1, -2};
    const char *in = in_scratch("cut-in.mkv"), *out = in_scratch("cut.mkv");
    write_film(in, which, 9, 10);
    ib_retime_options o = options_of(in, out, 40, 1);
    ib_retime_summary s = retime_film(&o, &a, &b);
    CHECK_NEAR((double)s.cuts, 1, 0);
    CHECK_NEAR(b.n, 36, 0);
    CHECK_NEAR(apart(&a, 5, &b, 20), 0, 0);
    CHECK_NEAR(apart(&a, 5, &b, 21), 0, 0); /* nearer to the frame before */
    CHECK_NEAR(apart(&a, 6, &b, 22), 0, 0);
    CHECK_NEAR(apart(&a, 6, &b, 23), 0, 0);
    CHECK_NEAR(apart(&a, 6, &b, 24), 0, 0);
    film_free(&a);
    film_free(&b);
}

/* Doubled frames count once; a picture that stands for long stands. */
static void test_repeats(void) {
    ib_retime_summary s = {0};
    static film a, b;
    const int doubled[] = {0, 0, 4, 4, 8, 8, 12, 12}, still[] = {0, 0, 0, 0, 0, 0, 0, 0, 3, 6};
    const char *in = in_scratch("rep-in.mkv"), *out = in_scratch("rep.mkv");
    write_film(in, doubled, 8, 20);
    ib_retime_options o = options_of(in, out, 20, 1);
    s = retime_film(&o, &a, &b);
    CHECK_NEAR((double)s.repeats, 4, 0);
    CHECK_NEAR(b.n, 8, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(apart(&a, 2 * i, &b, 2 * i), 0, 0);
        CHECK(apart(&a, 2 * i, &b, 2 * i + 1) > 0.1);
    }
    film_free(&a);
    film_free(&b);
    write_film(in, still, 10, 20);
    o = options_of(in, out, 40, 1);
    s = retime_film(&o, &a, &b);
    CHECK_NEAR(b.n, 20, 0);
    for (int i = 0; i <= 14; i++) {
        CHECK_NEAR(apart(&a, 0, &b, i), 0, 0);
    }
    CHECK(apart(&a, 0, &b, 15) > 0.1);
    CHECK_NEAR(apart(&a, 8, &b, 16), 0, 0);
    film_free(&a);
    film_free(&b);
}

/* More in-betweens of a pair than are made together, a cut, repetitions: the clip is the same, however many
 * pairs are worked on at once. */
static void test_threads(double fps, double slow) {
    static film a, b, first;
    const int which[] = {0, 2, 2, 5, 9, -1, -1, 3, 4};
    const char *in = in_scratch("threads-in.mkv"), *out = in_scratch("threads.mkv");
    write_film(in, which, 9, 20);
    for (int threads = 1; threads <= 5; threads++) {
        ib_retime_options o = options_of(in, out, fps, slow);
        o.adapter = "prior";
        o.threads = threads;
        film *clip = threads > 1 ? &b : &first;
        ib_retime_summary s = retime_film(&o, &a, clip);
        CHECK(s.made > 4 && s.passed > 2);
        CHECK_INT(clip->n, first.n);
        CHECK_INT(clip->n, (int)ceil(9 * slow * (fps > 0 ? fps / 20 : 1)));
        for (int i = 0; i < clip->n && i < first.n; i++) {
            CHECK_NEAR(apart(&first, i, clip, i), 0, 0);
        }
        film_free(&a);
        film_free(&b);
    }
    film_free(&first);
}

/* What of a damaged video is shown does not depend on threads. */
static void test_damaged(void) {
    ib_error err = {0};
    static film a, b, first;
    static int which[60];
    for (int i = 0; i < 60; i++) {
        which[i] = 2 * i;
    }
    const char *in = in_scratch("whole-in.mkv"), *bad = in_scratch("damaged.mp4");
    write_film(in, which, 60, 20);
    ib_retime_options o = options_of(in, bad, 20, 1);
    o.codec = "libx264";
    CHECK_OK(ib_retime(&o, NULL, &err), &err);
    FILE *f = fopen(bad, "r+b");
    CHECK(f);
    if (!f) {
        return;
    }
    fseek(f, 0, SEEK_END);
    long bytes = ftell(f);
    for (long at = bytes / 3; at < bytes * 2 / 3; at += 997) {
        fseek(f, at, SEEK_SET);
        fputc(0x5a, f);
    }
    fclose(f);
    int damaged = 0;
    for (int threads = 1; threads <= 4; threads++) {
        film *clip = threads > 1 ? &b : &first;
        o = options_of(bad, in_scratch("mended.mkv"), 40, 1);
        o.threads = threads;
        ib_retime_summary s = retime_film(&o, &a, clip);
        damaged = threads > 1 ? damaged : s.damaged;
        CHECK(s.damaged > 0);
        CHECK_INT(s.damaged, damaged);
        CHECK_INT(clip->n, first.n);
        for (int i = 0; i < clip->n && i < first.n; i++) {
            CHECK_NEAR(apart(&first, i, clip, i), 0, 0);
        }
        film_free(&a);
        film_free(&b);
    }
    film_free(&first);
}

/* ---- stopping and going on ---- */

typedef struct stopper {
    atomic_int stop;
    int64_t at, took;
} stopper;

static void on_progress(void *user, int64_t done, int64_t total) {
    stopper *s = user;
    (void)total;
    s->took++;
    if (s->at >= 0 && done >= s->at) {
        atomic_store(&s->stop, 1);
    }
}

static bool same_bytes(const char *a, const char *b) {
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    bool same = f && g;
    int c = 0;
    while (same && c != EOF) {
        c = getc(f);
        same = c == getc(g);
    }
    if (f) {
        fclose(f);
    }
    if (g) {
        fclose(g);
    }
    return same;
}

/* A segment has 240 frames: 600 make three. */
static void test_resume(const char *codec, const char *container) {
    ib_error err = {0};
    ib_retime_summary s = {0};
    static int which[300];
    char one[64], two[64], hidden[64];
    for (int i = 0; i < 300; i++) {
        which[i] = i;
    }
    snprintf(one, sizeof one, "whole.%s", container);
    snprintf(two, sizeof two, "again.%s", container);
    snprintf(hidden, sizeof hidden, ".again.%s.resume", container);
    const char *in = in_scratch("long-in.mkv"), *whole = in_scratch(one), *again = in_scratch(two);
    write_film(in, which, 300, 25);
    ib_retime_options o = options_of(in, whole, 50, 1);
    o.codec = codec;
    CHECK_OK(ib_retime(&o, &s, &err), &err);
    stopper st = {.at = 550};
    o.output = again;
    o.stop = &st.stop;
    o.progress = on_progress;
    o.user = &st;
    CHECK_NEAR(ib_retime(&o, &s, &err), IB_E_INTERRUPTED, 0);
    CHECK(strstr(err.text, ".resume"));
    struct stat there;
    CHECK(stat(again, &there) && !stat(in_scratch(hidden), &there));
    st.at = 300; /* and again, before the next segment is whole */
    atomic_store(&st.stop, 0);
    CHECK_NEAR(ib_retime(&o, &s, &err), IB_E_INTERRUPTED, 0);
    st.at = -1;
    atomic_store(&st.stop, 0);
    CHECK_OK(ib_retime(&o, &s, &err), &err);
    CHECK_NEAR((double)s.taken_up, 480, 0);
    CHECK_NEAR((double)s.frames, 600, 0);
    CHECK(same_bytes(whole, again));
    CHECK(stat(in_scratch(hidden), &there));
}

static void test_refused(void) {
    ib_error err = {0};
    const int which[] = {0, 1, 2};
    const char *in = in_scratch("small.mkv");
    write_film(in, which, 3, 10);
    ib_retime_options o = options_of(in, in, 20, 1);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_ARGUMENT, 0);
    o = options_of(in, in_scratch("no.mkv"), -1, 1);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_ARGUMENT, 0);
    o = options_of(in, in_scratch("no.mkv"), 1e9, 1);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_ARGUMENT, 0);
    o = options_of(in, in_scratch("no.mkv"), 20, 0.5);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_ARGUMENT, 0);
    o = options_of(in_scratch("missing.mkv"), in_scratch("no.mkv"), 20, 1);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_IO, 0);
    o = options_of(in, in_scratch("no.xyz"), 20, 1);
    CHECK_NEAR(ib_retime(&o, NULL, &err), IB_E_ARGUMENT, 0);
    struct stat there;
    CHECK(stat(in_scratch("no.mkv"), &there) && stat(in_scratch(".no.mkv.resume"), &there));
}

int main(void) {
    if (!make_scratch("retime")) {
        return check_skip("test_retime", "there can be no scratch directory");
    }
    RUN(test_places());
    RUN(test_rates());
    RUN(test_twice("mkv", "ffv1", -1));
    RUN(test_twice("mp4", "libx264", 0)); /* lossless, with B frames */
    RUN(test_slow());
    RUN(test_fewer());
    RUN(test_cut());
    RUN(test_repeats());
    RUN(test_threads(40, 1));
    RUN(test_threads(50, 1));
    RUN(test_threads(0, 24));
    RUN(test_damaged());
    RUN(test_resume(NULL, "mp4"));
    RUN(test_resume("ffv1", "mkv"));
    RUN(test_refused());
    remove_scratch();
    return check_report("test_retime");
}
