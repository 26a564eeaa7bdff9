/* Small latent files of moving textures, for tests of training. */
#ifndef IB_TESTS_MOVING_H
#define IB_TESTS_MOVING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <ftw.h>
#include "base/file.h"
#include "base/memory.h"
#include "latent/latent_file.h"
#include "latent/patch.h"
#include "tests/check.h"

#define MOVING_SPACE "patch:dct8+4:v1"

typedef struct moving {
    int rows, cols; /* tokens */
    size_t frames;
    double speed;      /* luma samples per frame */
    int seed;          /* of the texture */
    const char *cuts;  /* "0010..." , one digit per frame; NULL: none */
    bool variable;     /* frame times that vary */
    const char *video; /* source name; its SHA-256 is made up from it */
    const char *space; /* NULL: MOVING_SPACE */
} moving;

/* A smooth texture with its own colours, at any place. */
static inline double moving_value(int seed, int plane, double x, double y) {
    double v = 0;
    for (int k = 1; k <= 4; k++) {
        double a = 0.7 * seed + 1.3 * plane + 2.1 * k, f = 0.11 * k + 0.02 * (seed % 5);
        v += sin(f * (x * cos(a) + y * sin(a)) + a * a) / k;
    }
    return plane ? 0.08 * v : 0.5 + 0.15 * v;
}

static inline void moving_planes(const moving *m, size_t frame, float *planes) {
    double at = m->speed * (double)frame;
    float *p = planes;
    for (int k = 0; k < 3; k++) {
        int step = k ? 2 : 1, w = 8 * m->cols / step, h = 8 * m->rows / step;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                *p++ = (float)moving_value(m->seed, k, x * step - at, y * step + 0.3 * at);
            }
        }
    }
}

static inline void moving_sha(const char *video, char hex[65]) {
    unsigned long long h = 1469598103934665603ull;
    for (const char *s = video; *s; s++) {
        h = (h ^ (unsigned char)*s) * 1099511628211ull;
    }
    for (int i = 0; i < 4; i++) {
        snprintf(hex + 16 * i, 17, "%016llx", h += 0x9e3779b97f4a7c15ull);
    }
}

static inline double moving_pts(const moving *m, size_t frame) {
    return (double)frame / 25 + (m->variable ? 0.013 * sin((double)frame) : 0);
}

static inline int moving_write(const char *path, const moving *m, ib_error *err) {
    ib_latent_info info = {.fps = 25, .every = 1, .matrix = IB_MATRIX_BT601};
    ib_latent_writer *w = NULL;
    size_t n = ib_patch_pixels(m->rows, m->cols);
    float *planes = ib_calloc(n, sizeof *planes), *z = ib_calloc(n, sizeof *z);
    snprintf(info.space_id, sizeof info.space_id, "%s", m->space ? m->space : MOVING_SPACE);
    info.shape = (ib_shape){IB_LAYOUT_GRID, m->rows, m->cols, (size_t)m->rows * (size_t)m->cols, IB_PATCH_D};
    info.frame_width = 8 * m->cols;
    info.frame_height = 8 * m->rows;
    snprintf(info.source, sizeof info.source, "%s", m->video);
    moving_sha(m->video, info.source_sha256);
    int rc = ib_latent_writer_create(&w, path, &info, err);
    for (size_t i = 0; !rc && i < m->frames; i++) {
        moving_planes(m, i, planes);
        ib_patch_forward(planes, m->rows, m->cols, z);
        rc = ib_latent_writer_append(w, z, moving_pts(m, i), m->cuts && m->cuts[i] == '1', err);
    }
    if (rc) {
        ib_latent_writer_abort(&w);
    } else {
        rc = ib_latent_writer_finish(&w, err);
    }
    ib_free(planes);
    ib_free(z);
    return rc;
}

/* A directory for scratch files, and what removes it. */
static inline char *scratch_begin(const char *name) {
    const char *base = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/inbetween-%s-XXXXXX", base && *base ? base : "/tmp", name) < 0 ||
        !mkdtemp(path)) {
        printf("cannot make a scratch directory\n");
        exit(1);
    }
    return path;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static inline void scratch_end(char *path) {
    nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

#endif
