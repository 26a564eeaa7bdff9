/* From video files to latent files: what is in them, what is left alone, what is refused. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "guide/encode.h"
#include "tests/check.h"
#include "video_io/writer.h"

static char dir[256];

static const char *in_dir(const char *name) {
    static _Thread_local char path[4][512];
    static _Thread_local int turn;
    char *p = path[turn++ & 3];
    snprintf(p, 512, "%s/%s", dir, name);
    return p;
}

/* A gradient that moves; from frame `cut` on (0: never) a quite different one. */
static void make_video(const char *path, int w, int h, int frames, int cut) {
    ib_error err = {0};
    ib_writer *out = NULL;
    ib_frame f = {0};
    ib_writer_options o = {
        .width = w, .height = h, .fps = 25, .matrix = IB_MATRIX_BT709, .crf = -1, .threads = 1};
    CHECK_OK(ib_writer_open(&out, path, &o, &err), &err);
    CHECK_OK(ib_frame_alloc(&f, w, h, &err), &err);
    for (int k = 0; out && k < frames; k++) {
        bool other = cut && k >= cut;
        for (int p = 0; p < 3; p++) {
            for (int y = 0; y < (p ? h / 2 : h); y++) {
                for (int x = 0; x < (p ? w / 2 : w); x++) {
                    f.plane[p][(size_t)y * f.stride[p] + (size_t)x] =
                        (uint8_t)(p       ? 128 + (other ? 60 : -20)
                                  : other ? 30 + (y * 3 + k) % 60
                                          : 120 + (x + 2 * k) % 100);
                }
            }
        }
        f.matrix = IB_MATRIX_BT709;
        CHECK_OK(ib_writer_write(out, &f, &err), &err);
    }
    CHECK_OK(ib_writer_finish(&out, &err), &err);
    ib_frame_free(&f);
}

static ib_space *space;

static ib_encode_options options(void) {
    ib_encode_options o;
    ib_encode_defaults(&o);
    o.width = 64;
    o.height = 48;
    o.threads = 1;
    return o;
}

/* The latents are those of the frames that the reader gives, to half precision, and decode to the same
 * samples. */
static void check_content(const char *video, const char *latents, const ib_encode_options *o) {
    ib_error err = {0};
    ib_reader *r = NULL;
    ib_latent_file *f = NULL;
    const ib_frame *frame;
    ib_frame back = {0};
    ib_reader_options ro = {.width = o->width,
                            .height = o->height,
                            .auto_orient = true,
                            .fit = o->fit,
                            .every = o->every,
                            .threads = 1};
    CHECK_OK(ib_reader_open(&r, video, &ro, &err), &err);
    CHECK_OK(ib_latent_open(&f, latents, &err), &err);
    if (!r || !f) {
        return;
    }
    const ib_latent_info *i = ib_latent_info_of(f);
    float *z = ib_calloc(i->shape.tokens * i->shape.width, sizeof *z);
    CHECK_OK(ib_frame_alloc(&back, i->frame_width, i->frame_height, &err), &err);
    size_t k = 0;
    while (ib_reader_next(r, &frame, &err) > 0 && k < i->frames) {
        int worst = 0;
        CHECK_INT(frame->width, i->frame_width);
        CHECK_INT(frame->height, i->frame_height);
        CHECK_NEAR(ib_latent_pts(f)[k], frame->pts_seconds, 1e-9);
        CHECK_OK(ib_latent_read(f, k, 1, z, &err), &err);
        CHECK_OK(ib_space_decode(space, z, &back, &err), &err);
        for (int p = 0; p < 3; p++) {
            for (int y = 0; y < (p ? back.height / 2 : back.height); y++) {
                for (int x = 0; x < (p ? back.width / 2 : back.width); x++) {
                    int d = abs(back.plane[p][(size_t)y * back.stride[p] + (size_t)x] -
                                frame->plane[p][(size_t)y * frame->stride[p] + (size_t)x]);
                    worst = d > worst ? d : worst;
                }
            }
        }
        CHECK_INT(worst, 0);
        k++;
    }
    CHECK_INT(k, i->frames);
    ib_free(z);
    ib_frame_free(&back);
    ib_latent_close(&f);
    ib_reader_close(&r);
}

static void count_calls(void *user, size_t frames, int64_t estimate) {
    size_t *calls = user;
    CHECK_INT(frames, ++*calls);
    CHECK(estimate >= 0);
}

static void test_content(void) {
    ib_error err = {0};
    ib_encode_stats s;
    ib_encode_options o = options();
    size_t calls = 0;
    make_video(in_dir("a.mp4"), 96, 64, 40, 25);
    make_video(in_dir("tall.mp4"), 64, 96, 9, 0);
    o.progress = count_calls;
    o.user = &calls;
    CHECK_OK(ib_encode_video(in_dir("a.mp4"), in_dir("a.h5"), space, &o, &s, &err), &err);
    o.progress = NULL;
    CHECK(!s.unchanged);
    CHECK_INT(s.frames, 40);
    CHECK_INT(calls, 40);
    CHECK_INT(s.cuts, 1);
    CHECK_INT(s.damaged, 0);
    check_content(in_dir("a.mp4"), in_dir("a.h5"), &o);
    ib_latent_file *f = NULL;
    CHECK_OK(ib_latent_open(&f, in_dir("a.h5"), &err), &err);
    if (f) {
        char hex[65];
        const ib_latent_info *i = ib_latent_info_of(f);
        CHECK_OK(ib_sha256_file(in_dir("a.mp4"), hex, &err), &err);
        CHECK(!strcmp(hex, i->source_sha256) && !strcmp(i->source, "a.mp4"));
        CHECK_INT(ib_latent_cuts(f)[25], 1);
        CHECK_NEAR(i->fps, 25, 1e-3);
        CHECK_INT(i->matrix, IB_MATRIX_BT709);
        ib_latent_close(&f);
    }
    CHECK_OK(ib_encode_video(in_dir("tall.mp4"), in_dir("tall.h5"), space, &o, &s, &err), &err);
    CHECK(s.width == 48 && s.height == 64); /* portrait swaps the sides */
    check_content(in_dir("tall.mp4"), in_dir("tall.h5"), &o);
    o.every = 3;
    o.fit = IB_FIT_SQUASH;
    CHECK_OK(ib_encode_video(in_dir("a.mp4"), in_dir("every.h5"), space, &o, &s, &err), &err);
    CHECK_INT(s.frames, 14);
    check_content(in_dir("a.mp4"), in_dir("every.h5"), &o);
}

static void expect_skip(const char *video, const char *latents, const ib_encode_options *o, bool skipped) {
    ib_error err = {0};
    ib_encode_stats s;
    CHECK_OK(ib_encode_video(video, latents, space, o, &s, &err), &err);
    CHECK_INT(s.unchanged, skipped);
    CHECK(s.frames > 0);
}

static void test_skipping(void) {
    ib_encode_options o = options();
    const char *video = in_dir("a.mp4"), *latents = in_dir("a.h5");
    expect_skip(video, latents, &o, true);
    struct timespec old[2] = {{1000000000, 5}, {1000000000, 5}};
    utimensat(AT_FDCWD, video, old, 0);
    expect_skip(video, latents, &o, true); /* another time, the same bytes */
    o.every = 2;
    expect_skip(video, latents, &o, false);
    expect_skip(video, latents, &o, true);
    o.fit = IB_FIT_SQUASH;
    expect_skip(video, latents, &o, false);
    o.width = 80;
    expect_skip(video, latents, &o, false);
    expect_skip(video, latents, &o, true);
    o.force = true;
    expect_skip(video, latents, &o, false);
    o.force = false;
    make_video(video, 96, 64, 12, 0);
    expect_skip(video, latents, &o, false); /* another content */
    truncate(latents, 5000);
    expect_skip(video, latents, &o, false); /* a damaged result */
    expect_skip(video, latents, &o, true);
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_encode_stats s;
    ib_encode_options o = options();
    atomic_int stop = 1;
    FILE *t = fopen(in_dir("text.mp4"), "w");
    if (t) {
        fputs("no video", t);
        fclose(t);
    }
    CHECK(ib_encode_video(in_dir("text.mp4"), in_dir("x.h5"), space, &o, &s, &err) < 0 &&
          strstr(err.text, "text.mp4"));
    CHECK_ERROR(ib_encode_video(in_dir("none.mp4"), in_dir("x.h5"), space, &o, &s, &err), &err, IB_E_IO,
                "none.mp4");
    CHECK_ERROR(ib_encode_video(in_dir("a.mp4"), in_dir("no/x.h5"), space, &o, &s, &err), &err, IB_E_IO,
                "x.h5");
    o.every = 0;
    CHECK_ERROR(ib_encode_video(in_dir("a.mp4"), in_dir("x.h5"), space, &o, &s, &err), &err, IB_E_ARGUMENT,
                "a.mp4");
    o.every = 1;
    o.stop = &stop;
    CHECK_ERROR(ib_encode_video(in_dir("a.mp4"), in_dir("x.h5"), space, &o, &s, &err), &err, IB_E_INTERRUPTED,
                "");
    CHECK(access(in_dir("x.h5"), F_OK) != 0);
    char command[512];
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s' | grep tmp)\"", dir);
    CHECK_INT(system(command), 0);
}

/* Several at once, and several threads reading one file. */
static void *encode_one(void *name) {
    ib_error err = {0};
    ib_encode_stats s;
    ib_encode_options o = options();
    char out[64];
    snprintf(out, sizeof out, "%s.h5", (const char *)name);
    int rc = ib_encode_video(in_dir("b.mp4"), in_dir(out), space, &o, &s, &err);
    return rc || s.frames != 30 ? "failed" : NULL;
}

static void *read_some(void *file) {
    ib_latent_file *f = file;
    float *z = ib_calloc(48 * 96, sizeof *z), *again = ib_calloc(48 * 96, sizeof *z);
    const char *result = NULL;
    ib_rng r;
    ib_rng_seed(&r, 1);
    for (int k = 0; k < 300 && !result; k++) {
        size_t frame = ib_rng_below(&r, 30);
        if (ib_latent_read(f, frame, 1, z, NULL) || ib_latent_read(f, frame, 1, again, NULL) ||
            memcmp(z, again, 48 * 96 * sizeof *z)) {
            result = "failed";
        }
    }
    ib_free(z);
    ib_free(again);
    return (void *)result;
}

static void test_threads(void) {
    pthread_t t[4];
    char *names[] = {"p", "q", "r", "s"}, first[65], other[65];
    void *result;
    ib_error err = {0};
    ib_latent_file *f = NULL;
    make_video(in_dir("b.mp4"), 96, 64, 30, 11);
    for (int i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, encode_one, names[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &result);
        CHECK(!result);
    }
    CHECK_OK(ib_sha256_file(in_dir("p.h5"), first, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("s.h5"), other, &err), &err);
    CHECK(!strcmp(first, other)); /* same input, same bytes */
    CHECK_OK(ib_latent_open(&f, in_dir("q.h5"), &err), &err);
    for (int i = 0; f && i < 4; i++) {
        pthread_create(&t[i], NULL, read_some, f);
    }
    for (int i = 0; f && i < 4; i++) {
        pthread_join(t[i], &result);
        CHECK(!result);
    }
    ib_latent_close(&f);
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    ib_error err = {0};
    snprintf(dir, sizeof dir, "%s/ib_encode_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_encode", "no scratch directory");
    }
    CHECK_OK(ib_space_open(&space, "patch", &err), &err);
    RUN(test_content());
    RUN(test_skipping());
    RUN(test_refusals());
    RUN(test_threads());
    ib_space_close(&space);
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_encode");
}
