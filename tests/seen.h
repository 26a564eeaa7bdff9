/* Latent files of jittery paths with guides, for the tests of what learns from guides: every frame is noise
 * of unit size around a slow path, as a pooled embedding is, and a guide's pictures are the truth with noise
 * of their own. */
#ifndef IB_TESTS_SEEN_H
#define IB_TESTS_SEEN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/memory.h"
#include "base/rng.h"
#include "latent/guides.h"

#define SEEN_SPACE "seen:test:v1"

typedef struct seen {
    int number; /* of the video, and of its noise */
    size_t frames;
    float blur; /* standard deviation of a guide's noise, in parts of the truth's own; below 0: no guides */
    float blur_a_frame; /* more of it for every frame to the nearer keyframe */
    const char *model;
    ib_shape shape;
} seen;

static inline void seen_frame(const seen *s, size_t frame, float *z) {
    ib_rng r;
    ib_rng_seed2(&r, 1000 + (uint64_t)s->number, frame);
    for (size_t i = 0; i < s->shape.tokens * s->shape.width; i++) {
        z[i] = 0.5f * sinf(0.02f * (float)frame + (float)(i * (size_t)(s->number + 1))) + ib_rng_normal(&r);
    }
}

/* Windows of gaps 4, 8 and 16, end to end. */
static inline size_t seen_windows(const seen *s, ib_guide_window *w) {
    size_t n = 0;
    for (int gap = 4; gap <= 16; gap *= 2) {
        for (size_t first = 0; first + (size_t)gap < s->frames; first += (size_t)gap) {
            w[n++] = (ib_guide_window){.first = first, .gap = gap};
        }
    }
    return n;
}

static inline int seen_write(const char *path, const seen *s, ib_error *err) {
    ib_latent_info info = {.space_id = SEEN_SPACE,
                           .fps = 24,
                           .every = 1,
                           .frame_width = 64,
                           .frame_height = 64,
                           .shape = s->shape};
    ib_latent_writer *out = NULL;
    ib_guide_window w[128];
    size_t n = s->shape.tokens * s->shape.width, windows = seen_windows(s, w);
    float *z = calloc(3 * n, sizeof *z), *h = z + n;
    ib_rng r;
    ib_rng_seed2(&r, 77, (uint64_t)s->number);
    snprintf(info.source, sizeof info.source, "seen%d", s->number);
    snprintf(info.source_sha256, sizeof info.source_sha256, "%064d", s->number);
    int rc = ib_latent_writer_create(&out, path, &info, err);
    for (size_t i = 0; !rc && i < s->frames; i++) {
        seen_frame(s, i, z);
        rc = ib_latent_writer_append(out, z, (double)i / 24, false, err);
    }
    if (!rc && s->blur >= 0) {
        rc = ib_latent_writer_guides(out, s->model, w, windows, err);
    }
    for (size_t i = 0; !rc && s->blur >= 0 && i < windows; i++) {
        for (int k = 1; !rc && k < w[i].gap; k++) {
            int far = k < w[i].gap - k ? k : w[i].gap - k;
            float blur = s->blur + s->blur_a_frame * (float)far;
            float feature[IB_GUIDE_FEATURES] = {0.01f * (float)k,
                                                0.01f * (float)(w[i].gap - k),
                                                0.02f,
                                                0.01f * blur,
                                                0.02f * blur,
                                                0.01f,
                                                0.01f,
                                                0};
            seen_frame(s, w[i].first + (size_t)k, z);
            for (size_t q = 0; q < 2 * n; q++) {
                h[q] = z[q % n] + blur * ib_rng_normal(&r);
            }
            rc = ib_latent_writer_append_guide(out, h, feature, err);
        }
    }
    rc = rc ? rc : ib_latent_writer_finish(&out, err);
    ib_latent_writer_abort(&out);
    free(z);
    return rc;
}

#endif
