/* Pictures, clips and a scratch directory for the tests of video_io and what stands on it. */
#ifndef IB_TESTS_CLIPS_H
#define IB_TESTS_CLIPS_H

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "video_io/writer.h"

static char scratch[256];

/* A directory of its own under $TMPDIR or /tmp; false if there can be none. */
static inline bool make_scratch(const char *name) {
    const char *tmp = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/ib_%s_XXXXXX", tmp ? tmp : "/tmp", name);
    return mkdtemp(scratch) != NULL;
}

static inline void remove_scratch(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command)) {
        printf("%s was not removed\n", scratch);
    }
}

/* A path in it; good for the next 31 calls. */
static inline const char *in_scratch(const char *name) {
    static char path[32][512];
    static int turn;
    turn = (turn + 1) % 32;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch, name);
    return path[turn];
}

/* Entries of a directory. */
static inline int files_in(const char *dir) {
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    }
    if (d) {
        closedir(d);
    }
    return n;
}

/* Smooth texture moving right to left by `shift` samples, with some colour. */
static inline void draw(ib_frame *f, double shift) {
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            double u = x + shift;
            f->plane[0][(size_t)y * f->stride[0] + (size_t)x] =
                (uint8_t)lrint(126 + 45 * sin(u * .21 + 1) * cos(y * .17) + 30 * sin(u * .09 + y * .13));
        }
    }
    for (int p = 1; p < 3; p++) {
        for (int y = 0; y < (f->height + 1) / 2; y++) {
            for (int x = 0; x < (f->width + 1) / 2; x++) {
                f->plane[p][(size_t)y * f->stride[p] + (size_t)x] =
                    (uint8_t)lrint(128 + 30 * sin((2 * x + shift) * .05 + p) * cos(y * .06));
            }
        }
    }
}

/* One colour. */
static inline void fill(ib_frame *f, int y, int u, int v) {
    for (int p = 0; p < 3; p++) {
        memset(f->plane[p],
               p == 0   ? y
               : p == 1 ? u
                        : v,
               f->stride[p] * (size_t)(p ? (f->height + 1) / 2 : f->height));
    }
}

/* Mean squared difference of a plane; -1 if sizes differ. */
static inline double difference(const ib_frame *a, const ib_frame *b, int p) {
    int w = p ? (a->width + 1) / 2 : a->width, h = p ? (a->height + 1) / 2 : a->height;
    double sum = 0;
    if (a->width != b->width || a->height != b->height) {
        return -1;
    }
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            double d = a->plane[p][(size_t)y * a->stride[p] + (size_t)x] -
                       b->plane[p][(size_t)y * b->stride[p] + (size_t)x];
            sum += d * d;
        }
    }
    return sum / ((double)w * h);
}

/* A clip whose frame i is draw(2 i). */
static inline int write_clip(const char *path, int width, int height, int frames, double fps,
                             const char *codec, int crf, ib_error *err) {
    ib_writer_options o = {.width = width,
                           .height = height,
                           .fps = fps,
                           .matrix = IB_MATRIX_BT709,
                           .codec = codec,
                           .crf = crf,
                           .threads = 2};
    ib_writer *w;
    ib_frame f;
    int rc = ib_writer_open(&w, path, &o, err);
    if (rc) {
        return rc;
    }
    ib_frame_alloc(&f, width, height, err);
    for (int i = 0; !rc && i < frames; i++) {
        draw(&f, 2.0 * i);
        rc = ib_writer_write(w, &f, err);
    }
    ib_frame_free(&f);
    if (rc) {
        ib_writer_abort(&w);
        return rc;
    }
    return ib_writer_finish(&w, err);
}

#endif
