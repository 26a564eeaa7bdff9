/* ib_scenes DIR: moving scenes as H.264 files, for the demonstration and the tests. Textured things pan,
 * turn, grow, bounce, swing and pass in front of each other before a camera that pans, zooms, rolls or
 * shakes, with easing and motion blur. The same seed gives the same scenes. --varied makes those that the
 * default adapter is trained on (tools/train_default.py). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "tools/scene.h"
#include "video_io/reader.h"
#include "video_io/writer.h"

typedef struct settings {
    const char *dir, *codec;
    long count, frames, seed, width, height, crf, black, cuts, varied;
} settings;

static int make_clip(const settings *o, long number_scenes, ib_error *err) {
    char name[32];
    size_t pixels = 3 * (size_t)o->width * (size_t)o->height;
    canvas k = {(int)o->width, (int)o->height, calloc(pixels, sizeof(float)), calloc(pixels, sizeof(float))};
    ib_frame frame = {0};
    ib_writer *w = NULL;
    scene *s = NULL;
    ib_rng r;
    ib_writer_options wo = {.width = k.width,
                            .height = k.height,
                            .fps = 24,
                            .matrix = IB_MATRIX_BT601,
                            .codec = o->codec,
                            .crf = (int)o->crf,
                            .threads = 1};
    snprintf(name, sizeof name, "scene-%02ld.mp4", number_scenes + 1);
    char *path = ib_join(o->dir, name);
    int result = k.now && k.sum && path
                     ? 0
                     : ib_fail(err, IB_E_MEMORY, "out of memory for %ldx%ld frames", o->width, o->height);
    if (result || (result = ib_frame_alloc(&frame, k.width, k.height, err)) ||
        (result = ib_writer_open(&w, path, &wo, err))) {
        goto done;
    }
    frame.matrix = IB_MATRIX_BT601;
    ib_frame_fill_black(&frame);
    ib_rng_seed2(&r, (uint64_t)o->seed, (uint64_t)number_scenes);
    long cut = o->cuts && number_scenes % 6 == 5 ? o->frames / 2 : 0; /* every sixth clip has two shots */
    for (long i = 0; i < o->frames && !result; i++) {
        if (!o->black && (!s || (cut && i == cut))) {
            scene_free(s);
            float aspect = (float)k.width / (float)k.height;
            if (!(s = o->varied ? scene_make_varied(&r, aspect) : scene_make(&r, aspect))) {
                result = ib_fail(err, IB_E_MEMORY, "out of memory for a scene");
                break;
            }
        }
        if (s) {
            scene_render(&k, s, (float)i, (float)o->frames, &frame);
        }
        result = ib_writer_write(w, &frame, err);
    }
    if (!result) {
        result = ib_writer_finish(&w, err);
    }
done:
    ib_writer_abort(&w);
    scene_free(s);
    ib_frame_free(&frame);
    free(path);
    free(k.now);
    free(k.sum);
    return result;
}

static int number_scenes(const char *s, long lo, long hi, long *out) {
    char *end;
    errno = 0;
    *out = strtol(s, &end, 10);
    return errno || end == s || *end || *out < lo || *out > hi ? -1 : 0;
}

static int parse_scenes(settings *o, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char x = 0, rest = 0;
        int bad = 0;
        long *flag = !strcmp(argv[i], "--black")    ? &o->black
                     : !strcmp(argv[i], "--cuts")   ? &o->cuts
                     : !strcmp(argv[i], "--varied") ? &o->varied
                                                    : NULL;
        if (flag) {
            *flag = 1;
            continue;
        }
        if (argv[i][0] != '-' && !o->dir) {
            o->dir = argv[i];
            continue;
        }
        if (!strcmp(argv[i], "--count")) {
            bad = number_scenes(value, 1, 10000, &o->count);
        } else if (!strcmp(argv[i], "--frames")) {
            bad = number_scenes(value, 1, 100000, &o->frames);
        } else if (!strcmp(argv[i], "--seed")) {
            bad = number_scenes(value, 0, LONG_MAX, &o->seed);
        } else if (!strcmp(argv[i], "--crf")) {
            bad = number_scenes(value, 0, 51, &o->crf);
        } else if (!strcmp(argv[i], "--codec")) {
            o->codec = value;
        } else if (!strcmp(argv[i], "--size")) {
            bad = sscanf(value, "%5ld%c%5ld%c", &o->width, &x, &o->height, &rest) != 3 || x != 'x' ||
                  o->width < 16 || o->height < 16 || o->width > 4096 || o->height > 4096 || o->width % 2 ||
                  o->height % 2;
        } else {
            bad = 1;
        }
        if (bad) {
            fprintf(stderr, "ib_scenes: cannot use '%s %s'\n", argv[i], value);
            return -1;
        }
        i++;
    }
    return o->dir ? 0 : -1;
}

int main(int argc, char **argv) {
    settings o = {.count = 12, .frames = 96, .seed = 1, .width = 384, .height = 224, .crf = -1};
    ib_error err = {0};
    int failed = 0;
    ib_ffmpeg_quiet();
    if (parse_scenes(&o, argc, argv)) {
        fputs(
            "Usage: ib_scenes DIR [--count N] [--frames N] [--size WxH] [--seed N] [--codec NAME] [--crf N] "
            "[--varied] [--cuts] [--black]\n",
            stderr);
        return 2;
    }
    if (ib_mkdirs(o.dir, &err)) {
        fprintf(stderr, "ib_scenes: %s\n", err.text);
        return 1;
    }
#pragma omp parallel for schedule(dynamic)
    for (long i = 0; i < o.count; i++) {
        ib_error e = {0};
        if (make_clip(&o, i, &e)) {
#pragma omp critical
            {
                fprintf(stderr, "ib_scenes: %s\n", e.text);
                failed = 1;
            }
        }
    }
    return failed;
}
