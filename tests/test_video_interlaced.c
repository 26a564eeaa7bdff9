/* Interlaced video: deinterlaced unless that is not wanted, frame by frame, with the same
 * numbers and times. */
#include <stdarg.h>
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { MOST = 400 };

/* Runs a shell command in the scratch directory; its status. */
__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...) {
    char body[2000], command[2400];
    va_list a;
    va_start(a, fmt);
    vsnprintf(body, sizeof body, fmt, a);
    va_end(a);
    snprintf(command, sizeof command, "cd '%s' && { %s ; } >/dev/null </dev/null", scratch, body);
    return system(command);
}

/* Combs: how far lines lie outside both of their neighbours, mean over the samples, 8-bit steps. */
static double combs(const ib_frame *f) {
    double sum = 0;
    for (int y = 1; y + 1 < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            const uint8_t *p = f->plane[0] + (size_t)y * f->stride[0] + (size_t)x;
            int up = p[0] - p[-(ptrdiff_t)f->stride[0]], down = p[0] - p[f->stride[0]];
            sum += up > 0 && down > 0   ? (up < down ? up : down)
                   : up < 0 && down < 0 ? -(up > down ? up : down)
                                        : 0;
        }
    }
    return sum / (f->width * (f->height - 2.0));
}

typedef struct clip {
    int frames;
    int64_t interlaced, index[MOST];
    double pts[MOST], combs;
    ib_frame frame[MOST];
    ib_video_info info;
} clip;

static void read_clip(clip *c, const char *name, bool keep, int threads) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    ib_reader_options o = {.keep_interlaced = keep, .threads = threads};
    int more = 0;
    memset(c, 0, sizeof *c);
    CHECK_OK(ib_reader_open(&r, in_scratch(name), &o, &err), &err);
    if (!r) {
        return;
    }
    c->info = *ib_reader_info(r);
    while (c->frames < MOST && (more = ib_reader_next(r, &f, &err)) > 0) {
        c->pts[c->frames] = f->pts_seconds;
        c->index[c->frames] = f->index;
        c->combs += combs(f);
        ib_frame_alloc(&c->frame[c->frames], f->width, f->height, &err);
        ib_frame_copy(&c->frame[c->frames++], f);
    }
    CHECK_OK(more, &err);
    c->combs /= c->frames > 0 ? c->frames : 1;
    c->interlaced = ib_reader_interlaced(r);
    ib_reader_close(&r);
}

static void drop(clip *c) {
    for (int i = 0; i < c->frames; i++) {
        ib_frame_free(&c->frame[i]);
    }
}

static bool same_frames(const clip *a, const clip *b) {
    bool same = a->frames == b->frames;
    for (int i = 0; same && i < a->frames; i++) {
        for (int p = 0; p < 3; p++) {
            same = same && difference(&a->frame[i], &b->frame[i], p) == 0;
        }
    }
    return same;
}

static clip kept, made, again;

/* The reader against ffmpeg's own filter, sample by sample. */
static void check_against_ffmpeg(const char *name, const clip *c) {
    char command[600];
    int wrong = 0;
    snprintf(command, sizeof command,
             "ffmpeg -v quiet -i '%s' -vf bwdif=mode=send_frame:deint=interlaced -vsync passthrough -pix_fmt "
             "yuv420p -f "
             "rawvideo - </dev/null",
             in_scratch(name));
    FILE *p = popen(command, "r");
    uint8_t *row = malloc((size_t)c->info.width);
    for (int i = 0; p && i < c->frames; i++) {
        for (int k = 0; k < 3; k++) {
            const ib_frame *f = &c->frame[i];
            size_t w = (size_t)(k ? (f->width + 1) / 2 : f->width);
            for (int y = 0; y < (k ? (f->height + 1) / 2 : f->height); y++) {
                wrong += fread(row, 1, w, p) != w || memcmp(row, f->plane[k] + (size_t)y * f->stride[k], w);
            }
        }
    }
    CHECK_INT(wrong, 0); /* rows */
    CHECK(p && fgetc(p) == EOF);
    if (p) {
        pclose(p);
    }
    free(row);
}

static void check_clip(const char *name, int frames, double before, double after) {
    read_clip(&kept, name, true, 2);
    read_clip(&made, name, false, 1);
    read_clip(&again, name, false, 4);
    printf("%s: combs %.3f, deinterlaced %.3f\n", name, kept.combs, made.combs);
    CHECK_INT(kept.frames, frames);
    CHECK_INT(made.frames, frames);
    CHECK_INT(made.interlaced, frames);
    CHECK(made.info.interlaced && kept.info.interlaced && !made.info.plain);
    CHECK(kept.combs > before);
    CHECK(made.combs < after);
    for (int i = 0; i < frames && i < made.frames && i < kept.frames; i++) {
        CHECK_INT(made.index[i], kept.index[i]);
        CHECK_NEAR(made.pts[i], kept.pts[i], 0);
    }
    CHECK(same_frames(&made, &again)); /* whatever the threads */
    check_against_ffmpeg(name, &made);
    drop(&kept);
    drop(&again);
}

/* A still of an interlaced video is the reader's frame of that time, with what its neighbours gave it. */
static void check_stills(const char *name) {
    static const double times[] = {0, 0.2, 0.999, 5.4, 7.12, 7.96};
    for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
        ib_error err = {0};
        ib_frame f = {0};
        char spec[600];
        int at = (int)(times[k] * 25 + 1e-6);
        if (at >= made.frames) {
            continue;
        }
        snprintf(spec, sizeof spec, "%s@%g", in_scratch(name), times[k]);
        CHECK_OK(ib_read_still(&f, spec, NULL, &err), &err);
        if (f.plane[0]) {
            CHECK_NEAR(difference(&f, &made.frame[at], 0), 0, 0);
        }
        ib_frame_free(&f);
    }
}

#define FIELDS "-f lavfi -i testsrc2=s=%s:r=50:d=%g -vf tinterlace=interleave_%s,setfield=%s"

static void test_clips(void) {
    CHECK_INT(sh("ffmpeg -y -v error " FIELDS
                 " -c:v mpeg2video -q:v 3 -g 12 -flags +ilme+ildct -top 1 top.mpg",
                 "360x288", 8.0, "top", "tff"),
              0);
    check_clip("top.mpg", 200, 1, 0.4);
    check_stills("top.mpg");
    drop(&made);
    CHECK_INT(sh("ffmpeg -y -v error " FIELDS " -c:v libx264 -qp 12 -x264-params bff=1 bottom.mp4", "352x288",
                 1.0, "bottom", "bff"),
              0);
    check_clip("bottom.mp4", 25, 0.6, 0.3);
    drop(&made);
    CHECK_INT(sh("ffmpeg -y -v error " FIELDS ",scale=352:288:interl=1,format=yuv422p10le -c:v ffv1 ten.mkv",
                 "352x288", 0.4, "top", "tff"),
              0);
    read_clip(&made, "ten.mkv", false, 1);
    CHECK_INT(made.frames, 10);
    drop(&made);
}

static void test_short(void) {
    for (int frames = 1; frames <= 2; frames++) {
        CHECK_INT(sh("ffmpeg -y -v error " FIELDS
                     " -frames:v %d -c:v mpeg2video -q:v 3 -flags +ilme+ildct -top 1 s.mpg",
                     "360x288", 1.0, "top", "tff", frames),
                  0);
        read_clip(&made, "s.mpg", false, 1);
        read_clip(&kept, "s.mpg", true, 1);
        CHECK_INT(made.frames, frames);
        CHECK_INT(kept.frames, frames);
        CHECK_INT(made.interlaced, frames);
        printf("%d frames: combs %.3f, deinterlaced %.3f\n", frames, kept.combs, made.combs);
        CHECK(made.combs < kept.combs * 0.7);
        drop(&made);
        drop(&kept);
    }
    CHECK_INT(
        sh("ffmpeg -y -v error -f lavfi -i testsrc2=s=2x2:r=25:d=0.2 -vf setfield=tff -c:v ffv1 tiny.mkv"),
        0);
    read_clip(&made, "tiny.mkv", false, 1); /* smaller than the filter takes: as it is */
    CHECK_INT(made.frames, 5);
    drop(&made);
}

/* Sizes that change, and progressive stretches between interlaced ones: no frame is lost,
 * none comes twice. */
static void test_changes(void) {
    CHECK_INT(sh("h264='-c:v libx264 -bf 0 -qp 20 -f h264'; for s in 320x192 480x288; do ffmpeg -y -v error "
                 "-f lavfi -i "
                 "testsrc2=s=$s:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff $h264 -x264-params tff=1 "
                 "$s.264; "
                 "done; ffmpeg -y -v error -f lavfi -i testsrc2=s=320x192:r=25:d=1 $h264 p.264; "
                 "cat 320x192.264 p.264 480x288.264 320x192.264 p.264 >all.264"),
              0);
    read_clip(&kept, "all.264", true, 1);
    read_clip(&made, "all.264", false, 1);
    CHECK_INT(kept.frames, 125);
    CHECK_INT(made.frames, 125);
    CHECK_INT(made.interlaced, 75);
    bool same = true;
    for (int i = 0; i < made.frames && i < kept.frames; i++) {
        CHECK_NEAR(made.pts[i], kept.pts[i], 0);
        CHECK_INT(made.index[i], i);
        if ((i >= 25 && i < 50) || i >= 100) { /* the progressive ones */
            same = same && difference(&made.frame[i], &kept.frame[i], 0) == 0;
        }
    }
    CHECK(same);
    drop(&made);
    drop(&kept);
}

int main(void) {
    if (!make_scratch("interlaced")) {
        return check_skip("test_video_interlaced", "no scratch directory");
    }
    if (sh("ffmpeg -version")) {
        remove_scratch();
        return check_skip("test_video_interlaced", "ffmpeg is not here");
    }
    RUN(test_clips());
    RUN(test_short());
    RUN(test_changes());
    remove_scratch();
    return check_report("test_video_interlaced");
}
