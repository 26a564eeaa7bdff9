/* video_io against the ffmpeg program: the same frames, sample by sample, at the same times, on files that
 * ffmpeg makes here. */
#include <stdarg.h>
#include <unistd.h>
#include "base/file.h"
#include "tests/check.h"
#include "video_io/reader.h"

static char scratch[256];

/* Runs a shell command in the scratch directory; its status. */
__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...) {
    char body[2000], command[2400];
    va_list a;
    va_start(a, fmt);
    vsnprintf(body, sizeof body, fmt, a);
    va_end(a);
    snprintf(command, sizeof command, "cd '%s' && { %s ; } >/dev/null 2>&1 </dev/null", scratch, body);
    return system(command);
}

static const char *at(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

typedef struct verdict {
    int frames, missing; /* ours; ffmpeg's that we lack (negative: we have more) */
    int worst;           /* largest difference of a sample */
    double mean;         /* mean absolute difference */
    ib_video_info info;
    double last_pts;
    int damaged;
} verdict;

/* Reads `name` with the reader and with ffmpeg (arguments after the input) and compares. */
static verdict compare(const char *name, const char *arguments, const ib_reader_options *o) {
    verdict v = {0};
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    char command[1000];
    double sum = 0, samples = 0;
    CHECK_OK(ib_reader_open(&r, at(name), o, &err), &err);
    if (!r) {
        return v;
    }
    v.info = *ib_reader_info(r);
    snprintf(command, sizeof command,
             "ffmpeg -v quiet -i '%s' -vsync passthrough %s -pix_fmt yuv420p -f rawvideo - </dev/null",
             at(name), arguments);
    FILE *p = popen(command, "r");
    size_t row_bytes = (size_t)v.info.width;
    uint8_t *row = malloc(row_bytes);
    bool more = true;
    while (ib_reader_next(r, &f, &err) > 0) {
        for (int k = 0; more && k < 3; k++) {
            for (int y = 0; more && y < (k ? (f->height + 1) / 2 : f->height); y++) {
                size_t n = (size_t)(k ? (f->width + 1) / 2 : f->width);
                const uint8_t *ours = f->plane[k] + (size_t)y * f->stride[k];
                more = fread(row, 1, n, p) == n;
                for (size_t x = 0; more && x < n; x++) {
                    int d = abs(row[x] - ours[x]);
                    v.worst = d > v.worst ? d : v.worst;
                    sum += d;
                }
                samples += (double)n;
            }
        }
        v.missing -= !more;
        v.frames++;
        v.last_pts = f->pts_seconds;
    }
    size_t frame_bytes = row_bytes * (size_t)v.info.height +
                         2 * (size_t)((v.info.width + 1) / 2) * (size_t)((v.info.height + 1) / 2),
           rest = 0, got;
    while ((got = fread(row, 1, row_bytes, p)) > 0) {
        rest += got;
    }
    v.missing += (int)((rest + frame_bytes - 1) / frame_bytes);
    v.mean = samples > 0 ? sum / samples : 0;
    v.damaged = ib_reader_damaged(r, NULL);
    pclose(p);
    free(row);
    ib_reader_close(&r);
    return v;
}

#define SOURCE "-f lavfi -i testsrc2=s=%s:r=25:d=2"

static void test_codecs(void) {
    static const struct {
        const char *name, *size, *encode;
    } clips[] = {
        {"b.mp4", "160x120", "-c:v libx264 -pix_fmt yuv420p -bf 3 -g 20 -preset fast"},
        {"open.mkv", "160x120", "-c:v libx264 -pix_fmt yuv420p -bf 2 -x264-params open-gop=1:keyint=10"},
        {"inter.mp4", "160x120", "-c:v libx264 -pix_fmt yuv420p -flags +ildct+ilme"},
        {"asp.avi", "160x120", "-c:v mpeg4 -bf 2 -q:v 4"},
        {"mpeg2.ts", "160x120", "-c:v mpeg2video -bf 2 -q:v 4 -g 10"},
        {"vp8.webm", "160x120", "-c:v libvpx -b:v 1M -auto-alt-ref 1 -cpu-used 5 -deadline realtime"},
        {"vp9.webm", "158x122", "-c:v libvpx-vp9 -b:v 1M -cpu-used 8 -deadline realtime"},
        {"hevc.mkv", "160x120", "-c:v libx265 -preset ultrafast -x265-params bframes=3"},
        {"av1.mkv", "160x120", "-c:v libaom-av1 -cpu-used 8 -usage realtime"},
        {"ten.mkv", "160x120", "-c:v ffv1 -pix_fmt yuv420p10le"},
        {"hevc10.mkv", "160x120", "-c:v libx265 -pix_fmt yuv420p10le -preset ultrafast"},
        {"odd.mkv", "175x143", "-c:v ffv1 -pix_fmt yuv420p"},
        {"odd.webm", "175x143", "-c:v libvpx-vp9 -pix_fmt yuv420p -cpu-used 8 -deadline realtime"},
        {"tiny.mkv", "2x2", "-c:v ffv1 -pix_fmt yuv420p"},
        {"full.mp4", "160x120", "-c:v libx264 -pix_fmt yuvj420p"},
        {"flv.flv", "160x120", "-c:v flv1 -q:v 4"},
        {"raw.y4m", "82x60", "-pix_fmt yuv420p"},
    };
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        if (sh("ffmpeg -y " SOURCE " -t 1 -pix_fmt yuv420p %s %s", clips[i].size, clips[i].encode,
               clips[i].name)) {
            printf("SKIPPED %s: this ffmpeg cannot make it\n", clips[i].name);
            continue;
        }
        /* inter.mp4 is marked as interlaced; every frame of it as it is stored */
        verdict v = compare(clips[i].name, "", &(ib_reader_options){.keep_interlaced = true});
        if (v.frames != 25 || v.missing || v.worst) {
            printf("%s: %d frames, %d missing, worst %d, mean %.4f\n", clips[i].name, v.frames, v.missing,
                   v.worst, v.mean);
        }
        CHECK_INT(v.frames, 25);
        CHECK_INT(v.missing, 0);
        CHECK_INT(v.worst, 0);
        CHECK_NEAR(v.last_pts, 24 / 25.0, 0.0011);
    }
}

/* Other pixel formats: ffmpeg's own conversion, told the same scaler, colour matrix and chroma siting. */
static void test_formats(void) {
    static const struct {
        const char *format, *filter;
        double mean;
    } formats[] = {{"yuv422p", "scale=in_h_chr_pos=0", 0},
                   {"yuv444p", "scale", 0},
                   {"yuv411p", "scale", 0},
                   {"yuv444p16le", "scale", 0},
                   {"gray", "scale", 0},
                   {"gray10le", "scale", 0},
                   {"gbrp", "scale=out_color_matrix=bt709", 0},
                   {"bgr0", "scale=out_color_matrix=bt709", 0},
                   {"rgb48le", "scale=out_color_matrix=bt709", 0}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char arguments[300];
        if (sh("ffmpeg -y -f lavfi -i testsrc=s=160x120:r=25:d=0.2 -c:v ffv1 -pix_fmt %s f.mkv",
               formats[i].format)) {
            printf("SKIPPED %s: this ffmpeg cannot make it\n", formats[i].format);
            continue;
        }
        snprintf(
            arguments, sizeof arguments,
            "-vf %s%sflags=bicubic+accurate_rnd+bitexact+full_chroma_inp:out_h_chr_pos=0:out_v_chr_pos=128",
            formats[i].filter, strchr(formats[i].filter, '=') ? ":" : "=");
        verdict v = compare("f.mkv", arguments, NULL);
        printf("%s: mean %.3f, worst %d\n", formats[i].format, v.mean, v.worst);
        CHECK_INT(v.frames, 5);
        CHECK_INT(v.missing, 0);
        CHECK(v.mean <= formats[i].mean);
    }
}

/* Black and white land on 16 and 235 whatever the source counts from, alpha lies over black. */
static void test_levels(void) {
    static const struct {
        const char *name, *make;
        int y, u, v; /* wanted of the first frame's middle */
    } files[] = {
        {"w.png", "-f lavfi -i color=white:s=32x32,format=rgb24", 235, 128, 128},
        {"k.png", "-f lavfi -i color=black:s=32x32,format=rgb24", 16, 128, 128},
        {"r.png", "-f lavfi -i color=red:s=32x32,format=rgb24", 63, 102, 240},
        {"g.png", "-f lavfi -i color=white:s=32x32,format=rgb24,format=gray", 235, 128, 128},
        {"g16.png", "-f lavfi -i color=white:s=32x32,format=rgb24,format=gray16be", 235, 128, 128},
        {"ga.png", "-f lavfi -i color=white@0.5:s=32x32,format=rgba,format=ya8", 126, 128, 128},
        {"mono.png", "-f lavfi -i color=white:s=32x32,format=monob", 235, 128, 128},
        {"pal.png", "-f lavfi -i color=red:s=32x32,format=pal8", 63, 102, 240},
        {"a.png", "-f lavfi -i color=red@0.5:s=32x32,format=rgba", 39, 115, 184},
        {"a0.png", "-f lavfi -i color=white@0:s=32x32,format=rgba", 16, 128, 128},
        {"a64.png", "-f lavfi -i color=red@0.5:s=32x32,format=rgba,format=rgba64be", 39, 115, 184},
        {"w.jpg", "-f lavfi -i color=white:s=32x32,format=yuvj420p -q:v 1", 235, 128, 128},
        {"w4.jpg", "-f lavfi -i color=white:s=32x32,format=yuvj444p -q:v 1", 235, 128, 128},
        {"gray.jpg", "-f lavfi -i color=white:s=32x32,format=rgb24,format=gray -q:v 1", 235, 128, 128},
        {"w.webp", "-f lavfi -i color=white:s=32x32,format=bgra -c:v libwebp -lossless 1", 235, 128, 128},
        {"a.webp", "-f lavfi -i color=red@0.5:s=32x32,format=bgra -c:v libwebp -lossless 1", 39, 115, 184},
        {"w.bmp", "-f lavfi -i color=white:s=32x32", 235, 128, 128},
        {"w.tif", "-f lavfi -i color=white:s=32x32,format=rgb24", 235, 128, 128},
        {"w.ppm", "-f lavfi -i color=white:s=32x32,format=rgb24", 235, 128, 128},
        {"full.mkv",
         "-f lavfi -i color=white:s=32x32,format=yuv420p,geq=lum=255:cb=128:cr=128 -c:v ffv1 -color_range pc",
         235, 128, 128},
        {"full422.mkv",
         "-f lavfi -i color=white:s=32x32,format=yuv422p,geq=lum=255:cb=128:cr=128 -c:v ffv1 -color_range pc",
         235, 128, 128},
        {"lim.mkv", "-f lavfi -i color=white:s=32x32,format=yuv420p -c:v ffv1", 235, 128, 128},
        {"yuva.mkv",
         "-f lavfi -i color=white:s=32x32,format=yuva420p,geq=lum=235:cb=128:cr=128:a=128 -c:v ffv1", 126,
         128, 128},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ib_error err = {0};
        ib_frame f;
        if (sh("ffmpeg -y %s -frames:v 1 %s", files[i].make, files[i].name)) {
            printf("SKIPPED %s: this ffmpeg cannot make it\n", files[i].name);
            continue;
        }
        int before = check_failed;
        CHECK_OK(ib_read_still(&f, at(files[i].name), NULL, &err), &err);
        if (f.plane[0]) {
            CHECK_NEAR(f.plane[0][16 * f.stride[0] + 16], files[i].y, 2);
            CHECK_NEAR(f.plane[1][8 * f.stride[1] + 8], files[i].u, 2);
            CHECK_NEAR(f.plane[2][8 * f.stride[2] + 8], files[i].v, 2);
        }
        if (check_failed > before) {
            printf("... of %s\n", files[i].name);
        }
        ib_frame_free(&f);
    }
}

static void test_rotation(void) {
    static const char *const angle[] = {"90", "180", "270"};
    if (sh("ffmpeg -y " SOURCE " -frames:v 5 -c:v libx264 -pix_fmt yuv420p up.mp4", "160x120")) {
        printf("SKIPPED rotation: this ffmpeg has no libx264\n");
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (sh("ffmpeg -y -i up.mp4 -c copy -metadata:s:v rotate=%s turned.mp4", angle[i]) &&
            sh("ffmpeg -y -display_rotation -%s -i up.mp4 -c copy turned.mp4", angle[i])) {
            printf("SKIPPED rotation by %s: this ffmpeg cannot set it\n", angle[i]);
            continue;
        }
        verdict v = compare("turned.mp4", "", NULL);
        CHECK_INT(v.frames, 5);
        CHECK_INT(v.worst, 0);
        /* versions of ffmpeg differ in the direction that they write */
        CHECK(v.info.rotation_degrees == atoi(angle[i]) || v.info.rotation_degrees == 360 - atoi(angle[i]));
        CHECK_INT(v.info.width, i == 1 ? 160 : 120);
        /* scaled first and then turned is turned first and then scaled */
        ib_reader_options o = {.width = 64, .height = 64};
        v = compare("turned.mp4", "-vf crop=120:120,scale=64:64:flags=area+accurate_rnd+bitexact", &o);
        CHECK_INT(v.missing, 0);
        printf("turned by %s and scaled: mean difference %.3f\n", angle[i], v.mean);
        CHECK(v.mean < 1.0);
    }
}

/* Times, in files whose frames are not evenly spaced, that begin late, or whose beginning is cut off by an
 * edit list. */
static void test_times(void) {
    if (sh("ffmpeg -y " SOURCE
           " -vf \"select='not(mod(n,3))+eq(mod(n,7),1)'\" -vsync vfr -c:v libx264 -pix_fmt yuv420p -bf 2 "
           "vfr.mp4",
           "160x120")) {
        printf("SKIPPED times: this ffmpeg has no libx264\n");
        return;
    }
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    int n = 0;
    CHECK_OK(ib_reader_open(&r, at("vfr.mp4"), NULL, &err), &err);
    for (int source = 0; r && source < 50; source++) {
        if (source % 3 && source % 7 != 1) {
            continue;
        }
        CHECK_INT(ib_reader_next(r, &f, &err), 1);
        CHECK_NEAR(f ? f->pts_seconds : -1, source / 25.0, 1e-5);
        CHECK_INT(f ? f->index : -1, n);
        n++;
    }
    CHECK_INT(r ? ib_reader_next(r, &f, &err) : -1, 0);
    ib_reader_close(&r);
    verdict v = compare("vfr.mp4", "", NULL);
    CHECK_INT(v.missing, 0);
    CHECK_INT(v.worst, 0);
    /* an edit list hides what lies before the cut */
    sh("ffmpeg -y " SOURCE " -c:v libx264 -g 25 -bf 2 -pix_fmt yuv420p whole.mp4 && ffmpeg -y -ss 0.5 -i "
       "whole.mp4 -c copy edit.mp4",
       "160x120");
    v = compare("edit.mp4", "", NULL);
    printf("edit list: %d frames, %d missing\n", v.frames, v.missing);
    CHECK(v.frames > 30 && v.frames < 45);
    CHECK_INT(v.missing, 0);
    CHECK_INT(v.worst, 0);
    /* a stream that begins at 10 s begins at 0 for us */
    sh("ffmpeg -y -i whole.mp4 -c copy -output_ts_offset 10 late.mkv");
    CHECK_OK(ib_reader_open(&r, at("late.mkv"), NULL, &err), &err);
    CHECK_INT(r ? ib_reader_next(r, &f, &err) : -1, 1);
    CHECK_NEAR(f ? f->pts_seconds : -1, 0, 0);
    ib_reader_close(&r);
    /* no time stamps at all: a bare H.264 stream */
    sh("ffmpeg -y -i whole.mp4 -c copy -f h264 bare.264");
    v = compare("bare.264", "", NULL);
    CHECK_INT(v.frames, 50);
    CHECK_INT(v.worst, 0);
    CHECK_NEAR(v.last_pts, 49 / v.info.fps, 0.05);
}

/* One of several streams, whole; a cover picture is no video; sizes that change on the way. */
static void test_streams(void) {
    ib_error err = {0};
    ib_reader *r = NULL;
    if (sh("ffmpeg -y -f lavfi -i testsrc2=s=64x48:d=1 -f lavfi -i testsrc2=s=160x120:d=1 -map 0 -map 1 -c:v "
           "libx264 -pix_fmt "
           "yuv420p two.mkv")) {
        printf("SKIPPED streams: this ffmpeg has no libx264\n");
        return;
    }
    CHECK_OK(ib_reader_open(&r, at("two.mkv"), NULL, &err), &err);
    printf("two streams: read the one of width %d\n", r ? ib_reader_info(r)->width : 0);
    ib_reader_close(&r);
    sh("ffmpeg -y -f lavfi -i sine=d=1 tone.wav");
    CHECK_ERROR(ib_reader_open(&r, at("tone.wav"), NULL, &err), &err, IB_E_FORMAT, "no video");
    if (!sh("ffmpeg -y -f lavfi -i testsrc2=s=64x48:d=1 -frames:v 1 cover.png && ffmpeg -y -i tone.wav -i "
            "cover.png -map 0 -map 1 -c:v "
            "copy -disposition:v attached_pic cover.flac")) {
        CHECK_ERROR(ib_reader_open(&r, at("cover.flac"), NULL, &err), &err, IB_E_FORMAT, "no video");
    } else {
        printf("SKIPPED cover art: this ffmpeg cannot make it\n");
    }
    sh("for s in 160x120 96x96; do ffmpeg -y -f lavfi -i testsrc2=s=$s:d=1 -c:v libx264 -pix_fmt yuv420p -f "
       "h264 $s.264; done; cat "
       "160x120.264 96x96.264 > both.264");
    CHECK_OK(ib_reader_open(&r, at("both.264"), NULL, &err), &err);
    const ib_frame *f;
    int n = 0;
    while (r && ib_reader_next(r, &f, &err) > 0) {
        CHECK(f->width == 160 && f->height == 120);
        n++;
    }
    CHECK_INT(n, 50);
    ib_reader_close(&r);
}

/* Scaling against ffmpeg's scale filter, crop against its crop. */
static void test_scaling(void) {
    static const struct {
        int w, h;
        ib_fit fit;
        const char *filter;
    } cases[] = {
        {192, 112, IB_FIT_CROP, "crop=320:187:0:26:exact=1,scale=192:112:flags=area+accurate_rnd+bitexact"},
        {192, 112, IB_FIT_SQUASH, "scale=192:112:flags=area+accurate_rnd+bitexact"},
        {64, 96, IB_FIT_CROP, "crop=160:240:80:0,scale=64:96:flags=area+accurate_rnd+bitexact"},
        {640, 480, IB_FIT_CROP, "scale=640:480:flags=bicubic+accurate_rnd+bitexact"},
    };
    if (sh("ffmpeg -y " SOURCE " -frames:v 10 -c:v ffv1 -pix_fmt yuv420p s.mkv", "320x240")) {
        return;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[300];
        ib_reader_options o = {.width = cases[i].w, .height = cases[i].h, .fit = cases[i].fit};
        snprintf(arguments, sizeof arguments, "-vf %s:in_h_chr_pos=0:out_h_chr_pos=0", cases[i].filter);
        verdict v = compare("s.mkv", arguments, &o);
        printf("scaled to %d x %d: mean difference %.4f, worst %d\n", cases[i].w, cases[i].h, v.mean,
               v.worst);
        CHECK_INT(v.frames, 10);
        CHECK_INT(v.missing, 0);
        CHECK_INT(v.worst, 0);
    }
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/ib_exact_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) {
        return check_skip("test_video_exact", "no scratch directory can be made");
    }
    if (sh("ffmpeg -version")) {
        rmdir(scratch);
        return check_skip("test_video_exact", "the ffmpeg program is not here to compare with");
    }
    RUN(test_codecs());
    RUN(test_formats());
    RUN(test_levels());
    RUN(test_rotation());
    RUN(test_times());
    RUN(test_streams());
    RUN(test_scaling());
    sh("rm -rf '%s'", scratch);
    return check_report("test_video_exact");
}
