/* Latent files of spaces without pictures: each value of each token swings at its own pace. */
#ifndef IB_TESTS_WALKS_H
#define IB_TESTS_WALKS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "latent/latent_file.h"

#define WALK_SPACE "walk"

/* z: [T,D] of frame i of walk number k. */
static inline void walk_frame(const ib_shape *s, int k, size_t i, float *z) {
    for (size_t j = 0; j < s->tokens * s->width; j++) {
        z[j] = sinf(0.05f * (float)(i * (j % 7 + 1)) + (float)(j * (size_t)(k + 1)));
    }
}

/* Walk number k of `frames` frames at 25 a second; 0 or an error. */
static inline int walk_write(const char *path, const ib_shape *s, int k, size_t frames, ib_error *err) {
    ib_latent_info info = {
        .space_id = WALK_SPACE, .fps = 25, .every = 1, .frame_width = 64, .frame_height = 64};
    ib_latent_writer *out = NULL;
    float *z = calloc(s->tokens * s->width, sizeof *z);
    info.shape = *s;
    snprintf(info.source, sizeof info.source, "walk%d", k);
    snprintf(info.source_sha256, sizeof info.source_sha256, "%064d", k);
    int rc = z ? ib_latent_writer_create(&out, path, &info, err)
               : ib_fail(err, IB_E_MEMORY, "out of memory for a walk");
    for (size_t i = 0; !rc && i < frames; i++) {
        walk_frame(s, k, i, z);
        rc = ib_latent_writer_append(out, z, (double)i / 25, false, err);
    }
    rc = rc ? rc : ib_latent_writer_finish(&out, err);
    ib_latent_writer_abort(&out);
    free(z);
    return rc;
}

#endif
