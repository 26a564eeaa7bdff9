/* The reader, on files that the writer makes here; tests/test_video_exact.c compares it with the ffmpeg
 * program. */
#include <unistd.h>
#include "base/file.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

static void make_clips(void) {
    static const struct {
        const char *name, *codec;
        int width, height;
        double fps;
    } clips[] = {{"a.mp4", NULL, 96, 64, 25},  {"d.mkv", NULL, 96, 64, 12.5},
                 {"e.webm", NULL, 96, 64, 25}, {"f.gif", NULL, 96, 64, 25},
                 {"g.apng", NULL, 96, 64, 25}, {"ffv1.mkv", "ffv1", 97, 63, 25}};
    ib_error err = {0};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        CHECK_OK(write_clip(in_scratch(clips[i].name), clips[i].width, clips[i].height, 12, clips[i].fps,
                            clips[i].codec, -1, &err),
                 &err);
    }
}

static void test_reader_options(void) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    const char *path = in_scratch("d.mkv");
    ib_reader_options o = {.width = 15, .height = 16};
    CHECK_ERROR(ib_reader_open(&r, path, &o, &err), &err, IB_E_ARGUMENT, "15 x 16");
    o = (ib_reader_options){.width = 32, .height = 0};
    CHECK_ERROR(ib_reader_open(&r, path, &o, &err), &err, IB_E_ARGUMENT, "32 x 0");
    o = (ib_reader_options){.every = -1};
    CHECK_ERROR(ib_reader_open(&r, path, &o, &err), &err, IB_E_ARGUMENT, "-1");
    o = (ib_reader_options){.every = 5, .width = 48, .height = 32};
    CHECK_OK(ib_reader_open(&r, path, &o, &err), &err);
    int n = 0;
    while (ib_reader_next(r, &f, &err) > 0) {
        CHECK_INT(f->index, 5 * n);
        CHECK_NEAR(f->pts_seconds, 5 * n / 12.5, 0.001);
        CHECK(f->width == 48 && f->height == 32);
        n++;
    }
    CHECK_INT(n, 3); /* of 12 */
    ib_reader_close(&r);
    /* left alone in the middle */
    CHECK_OK(ib_reader_open(&r, path, NULL, &err), &err);
    CHECK_INT(ib_reader_next(r, &f, &err), 1);
    ib_reader_close(&r);
    ib_reader_close(&r);
    CHECK_OK(ib_reader_open(&r, path, NULL, &err), &err);
    ib_reader_close(&r);
    /* orientation: the clip is 96 x 64 */
    static const struct {
        int w, h, got_w, got_h;
    } turn[] = {{32, 64, 64, 32}, {64, 32, 64, 32}, {32, 32, 32, 32}};
    for (int i = 0; i < 3; i++) {
        o = (ib_reader_options){.width = turn[i].w, .height = turn[i].h, .auto_orient = true};
        CHECK_OK(ib_reader_open(&r, path, &o, &err), &err);
        CHECK_INT(ib_reader_info(r)->width, turn[i].got_w);
        CHECK_INT(ib_reader_info(r)->height, turn[i].got_h);
        ib_reader_close(&r);
    }
}

/* Cropping takes the middle, squashing everything. Left third 40, middle 120, right third 200. */
static void test_fit(void) {
    ib_error err = {0};
    ib_writer_options o = {.width = 192,
                           .height = 64,
                           .fps = 25,
                           .matrix = IB_MATRIX_BT709,
                           .codec = "ffv1",
                           .crf = -1,
                           .threads = 1};
    ib_writer *w = NULL;
    ib_frame f;
    ib_frame_alloc(&f, 192, 64, &err);
    fill(&f, 120, 128, 128);
    for (int y = 0; y < 64; y++) {
        memset(f.plane[0] + (size_t)y * f.stride[0], 40, 64);
        memset(f.plane[0] + (size_t)y * f.stride[0] + 128, 200, 64);
    }
    CHECK_OK(ib_writer_open(&w, in_scratch("thirds.mkv"), &o, &err), &err);
    CHECK_OK(ib_writer_write(w, &f, &err), &err);
    CHECK_OK(ib_writer_finish(&w, &err), &err);
    ib_frame_free(&f);
    for (int squash = 0; squash < 2; squash++) {
        ib_reader_options ask = {.width = 32, .height = 32, .fit = squash ? IB_FIT_SQUASH : IB_FIT_CROP};
        CHECK_OK(ib_read_still(&f, in_scratch("thirds.mkv"), &ask, &err), &err);
        CHECK_NEAR(f.plane[0][10 * f.stride[0] + 1], squash ? 40 : 120, 1);
        CHECK_NEAR(f.plane[0][10 * f.stride[0] + 16], 120, 1);
        CHECK_NEAR(f.plane[0][10 * f.stride[0] + 30], squash ? 200 : 120, 1);
        ib_frame_free(&f);
    }
}

static void test_still_at(void) {
    ib_error err = {0};
    ib_frame f, want;
    char spec[600];
    CHECK_OK(write_clip(in_scratch("long.mp4"), 64, 48, 300, 25, "libx264", 0, &err), &err);
    static const struct {
        const char *at;
        int frame; /* at 25 a second */
    } times[] = {{"", 0},        {"@0", 0},       {"@0.039", 0},   {"@0.04", 1},    {"@1.5s", 37},
                 {"@1.52s", 38}, {"@6.01s", 150}, {"@11.96", 299}, {"@11.99s", 299}};
    CHECK_OK(write_clip(in_scratch("one.png"), 51, 33, 1, 25, NULL, -1, &err), &err);
    CHECK_OK(ib_frame_alloc(&want, 64, 48, &err), &err);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        snprintf(spec, sizeof spec, "%s%s", in_scratch("long.mp4"), times[i].at);
        CHECK_OK(ib_read_still(&f, spec, NULL, &err), &err);
        draw(&want, 2.0 * times[i].frame);
        CHECK_INT(f.index, times[i].frame);
        CHECK_NEAR(f.pts_seconds, times[i].frame / 25.0, 1e-6);
        CHECK_NEAR(difference(&f, &want, 0), 0, 0);
        ib_frame_free(&f);
    }
    static const char *const bad[][2] = {{"@99s", "no frame at 99"}, {"@x", "seconds"},
                                         {"@-1", "seconds"},         {"@", "seconds"},
                                         {"@1.5h", "seconds"},       {"@nan", "seconds"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(spec, sizeof spec, "%s%s", in_scratch("long.mp4"), bad[i][0]);
        CHECK_ERROR(ib_read_still(&f, spec, NULL, &err), &err, IB_E_ARGUMENT, bad[i][1]);
    }
    CHECK_ERROR(ib_read_still(&f, in_scratch("one.png@1s"), NULL, &err), &err, IB_E_ARGUMENT,
                "still picture");
    CHECK_ERROR(ib_read_still(&f, in_scratch("none.png@1s"), NULL, &err), &err, IB_E_IO, "none.png");
    /* a file whose own name ends like that wins */
    CHECK_INT(rename(in_scratch("one.png"), in_scratch("one@2s")), 0);
    CHECK_OK(ib_read_still(&f, in_scratch("one@2s"), NULL, &err), &err);
    CHECK_INT(f.width, 51);
    ib_frame_free(&f);
    ib_frame_free(&want);
}

static void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    if (f) {
        fclose(f);
    }
}

static uint8_t *read_bytes(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    uint8_t *p = NULL;
    *n = 0;
    if (f && !fseek(f, 0, SEEK_END) && (*n = (size_t)ftell(f)) > 0 && (p = malloc(*n))) {
        rewind(f);
        CHECK(fread(p, 1, *n, f) == *n);
    }
    if (f) {
        fclose(f);
    }
    return p;
}

static void test_not_videos(void) {
    ib_error err = {0};
    ib_reader *r = NULL;
    CHECK_ERROR(ib_reader_open(&r, in_scratch("missing.mp4"), NULL, &err), &err, IB_E_IO, "missing.mp4");
    CHECK_ERROR(ib_reader_open(&r, scratch, NULL, &err), &err, IB_E_IO, "directory");
    write_bytes(in_scratch("empty.mp4"), "", 0);
    CHECK_ERROR(ib_reader_open(&r, in_scratch("empty.mp4"), NULL, &err), &err, IB_E_FORMAT, "empty");
    static const char text[] =
        "Just some words, in lines.\nAnd another line of them, so that there is more to read.\n";
    static const char *const names[] = {"words.txt", "words.mp4", "words.nfo", "words.ans", "words"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_bytes(in_scratch(names[i]), text, sizeof text - 1);
        CHECK_ERROR(ib_reader_open(&r, in_scratch(names[i]), NULL, &err), &err, IB_E_FORMAT, names[i]);
    }
    /* nothing that names other files */
    static const char list[] = "ffconcat version 1.0\nfile 'a.mp4'\n",
                      m3u[] = "#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n";
    write_bytes(in_scratch("list.mp4"), list, sizeof list - 1);
    CHECK_ERROR(ib_reader_open(&r, in_scratch("list.mp4"), NULL, &err), &err, IB_E_FORMAT, "list.mp4");
    write_bytes(in_scratch("list.m3u8"), m3u, sizeof m3u - 1);
    CHECK(ib_reader_open(&r, in_scratch("list.m3u8"), NULL, &err) < 0);
    CHECK(ib_is_video_name("A.MP4") && ib_is_video_name("x.webm") && !ib_is_video_name("x.png") &&
          !ib_is_video_name(".mp4"));
    CHECK(ib_is_picture_name("x.y.PNG") && ib_is_picture_name("x.webp") && !ib_is_picture_name("png"));
}

/* Truncated, zeroed and flipped: the good frames come, or one sentence; never anything else. */
static void test_damage(void) {
    static const char *const names[] = {"a.mp4", "d.mkv", "e.webm", "f.gif", "g.apng", "one@2s", "ffv1.mkv"};
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t bytes;
        uint8_t *good = read_bytes(in_scratch(names[i]), &bytes);
        uint8_t *bad = malloc(bytes);
        CHECK(good && bad);
        for (int k = 0; good && bad && k < 24; k++) {
            size_t n = bytes;
            memcpy(bad, good, bytes);
            seed = seed * 1664525 + 1013904223;
            size_t at = (size_t)((double)seed / 4294967296.0 * (double)bytes);
            if (k % 3 == 0) {
                n = at;
            } else if (k % 3 == 1) {
                memset(bad + at, 0, bytes - at < 200 ? bytes - at : 200);
            } else {
                for (size_t b = at; b < bytes; b += 97) {
                    bad[b] ^= (uint8_t)(1 << b % 8);
                }
            }
            write_bytes(in_scratch("bad"), bad, n);
            ib_error err = {0};
            ib_reader *r = NULL;
            const ib_frame *f;
            int result = ib_reader_open(&r, in_scratch("bad"), NULL, &err), frames = 0;
            while (!result && (result = ib_reader_next(r, &f, &err)) > 0) {
                result = 0;
                frames++;
            }
            CHECK(result >= 0 || (err.code == result && err.text[0] && !strchr(err.text, '\n')));
            CHECK(frames <= 14);
            ib_reader_close(&r);
        }
        free(good);
        free(bad);
    }
    /* cut in half with its index in front: the first frames are there, and the loss is told */
    size_t bytes;
    uint8_t *good = read_bytes(in_scratch("long.mp4"), &bytes);
    write_bytes(in_scratch("half.mp4"), good, bytes / 2);
    free(good);
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    int n = 0, result;
    const char *what;
    CHECK_OK(ib_reader_open(&r, in_scratch("half.mp4"), NULL, &err), &err);
    while ((result = ib_reader_next(r, &f, &err)) > 0) {
        n++;
    }
    CHECK_INT(result, 0);
    CHECK(n > 60 && n < 240);
    CHECK(ib_reader_damaged(r, &what) > 60 && strstr(what, "half.mp4"));
    printf("half of a clip: %d frames, %d damaged, \"%s\"\n", n, ib_reader_damaged(r, &what), what);
    ib_reader_close(&r);
}

/* Headers that promise pictures of 60000 x 60000 or of 3 x 4000000000 in a few bytes. */
static void test_hostile_sizes(void) {
    static const uint8_t sizes[][8] = {{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60},
                                       {0, 0, 0, 3, 0xee, 0x6b, 0x28, 0},
                                       {0, 0, 0x40, 1, 0, 0, 0, 1},
                                       {0, 0, 0, 0, 0, 0, 0, 0},
                                       {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1}};
    ib_error err = {0};
    size_t bytes;
    CHECK_OK(write_clip(in_scratch("p.png"), 40, 30, 1, 25, NULL, -1, &err), &err);
    uint8_t *png = read_bytes(in_scratch("p.png"), &bytes);
    for (size_t i = 0; png && i < sizeof sizes / sizeof *sizes; i++) {
        ib_frame f;
        memcpy(png + 16, sizes[i], 8);
        write_bytes(in_scratch("huge.png"), png, bytes);
        err = (ib_error){0};
        CHECK(ib_read_still(&f, in_scratch("huge.png"), NULL, &err) < 0 && strstr(err.text, "huge.png"));
        CHECK(!f.plane[0]);
    }
    free(png);
}

/* 10 bits, AV1, turned, late, damaged: tests/fixtures/make_videos.sh. Each decodes. */
static void test_odd_files(const char *dir) {
    ib_paths list = {0};
    ib_error err = {0};
    CHECK_OK(ib_paths_expand(&list, dir, ib_is_video_name, &err), &err);
    CHECK(list.n >= 5);
    for (size_t i = 0; i < list.n; i++) {
        ib_reader_options o = {.width = 192, .height = 112, .auto_orient = true};
        ib_reader *r = NULL;
        const ib_frame *f;
        double last = -1;
        int n = 0, result;
        CHECK_OK(ib_reader_open(&r, list.v[i], &o, &err), &err);
        while (r && (result = ib_reader_next(r, &f, &err)) > 0) {
            CHECK(f->pts_seconds > last);
            last = f->pts_seconds;
            n++;
        }
        printf("%s: %d frames\n", list.v[i], n);
        CHECK(n >= 3);
        ib_reader_close(&r);
    }
    ib_paths_free(&list);
}

int main(void) {
    if (!make_scratch("video_read")) {
        return check_skip("test_video_read", "no scratch directory can be made");
    }
    make_clips();
    RUN(test_reader_options());
    RUN(test_fit());
    RUN(test_still_at());
    RUN(test_not_videos());
    RUN(test_damage());
    RUN(test_hostile_sizes());
    RUN(test_odd_files("tests/fixtures/odd"));
    if (ib_is_dir("../shared/videos/odd")) {
        RUN(test_odd_files("../shared/videos/odd"));
    }
    remove_scratch();
    return check_report("test_video_read");
}
