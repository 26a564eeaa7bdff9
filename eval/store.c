#include "eval/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "nn/simd.h"

enum { MOST_GROUPS = 32, PIECE = 1024 };

struct ib_store {
    ib_latent_file *f;
    size_t frames, step, held; /* every step-th of `frames` */
    size_t tokens, width, n;   /* T, D, T D */
    uint16_t *half;            /* [held, n] */
    size_t groups;             /* tokens are summed up in so many groups of neighbours */
    float *coarse;             /* [held, groups, D] */
};

/* Sums over groups of tokens, each over the root of its size: an orthogonal projection, so two latents are at
 * least as far apart as their projections. */
IB_MULTIARCH static void project(const ib_store *s, const float *z, float *out) {
    for (size_t g = 0; g < s->groups; g++) {
        size_t begin = g * s->tokens / s->groups, end = (g + 1) * s->tokens / s->groups;
        float *to = out + g * s->width, scale = 1 / sqrtf((float)(end - begin));
        memset(to, 0, s->width * sizeof *to);
        for (size_t t = begin; t < end; t++) {
            for (size_t i = 0; i < s->width; i++) {
                to[i] += z[t * s->width + i];
            }
        }
        for (size_t i = 0; i < s->width; i++) {
            to[i] *= scale;
        }
    }
}

static int load_store(ib_store *s, ib_error *err) {
    float *z = NULL;
    int rc = ib_alloc_floats(&z, s->n, "a frame's latent", err);
    for (size_t i = 0; i < s->held && !rc; i++) {
        rc = ib_latent_read(s->f, i * s->step, 1, z, err);
        if (!rc) {
            ib_f32_to_f16(z, s->half + i * s->n, s->n);
            project(s, z, s->coarse + i * s->groups * s->width);
        }
    }
    ib_free(z);
    return rc;
}

int ib_store_open(ib_store **out, ib_latent_file *f, size_t most_bytes, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(f);
    ib_store *s = calloc(1, sizeof *s);
    size_t coarse, halves, bytes;
    *out = s;
    if (!s) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the latents of %s", ib_latent_path(f));
    }
    s->f = f;
    s->frames = info->frames;
    s->tokens = info->shape.tokens;
    s->width = info->shape.width;
    s->n = s->tokens * s->width;
    s->groups = s->tokens < MOST_GROUPS ? s->tokens : MOST_GROUPS;
    bytes = s->n * sizeof *s->half + s->groups * s->width * sizeof *s->coarse;
    s->step = 1;
    while (s->step < s->frames && (s->frames + s->step - 1) / s->step > most_bytes / bytes) {
        s->step++;
    }
    s->held = (s->frames + s->step - 1) / s->step;
    int rc = IB_OK;
    if (ib_size_mul(s->held, s->n, &halves) || ib_size_mul(s->held, s->groups * s->width, &coarse) ||
        !(s->half = ib_calloc(halves, sizeof *s->half)) ||
        !(s->coarse = ib_calloc(coarse, sizeof *s->coarse))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the latents of %s", ib_latent_path(f));
    }
    rc = rc ? rc : load_store(s, err);
    if (rc) {
        ib_store_close(out);
    }
    return rc;
}

void ib_store_close(ib_store **s) {
    if (*s) {
        ib_free((*s)->half);
        ib_free((*s)->coarse);
        free(*s);
        *s = NULL;
    }
}

ib_latent_file *ib_store_file(const ib_store *s) {
    return s->f;
}

int ib_store_read(const ib_store *s, size_t frame, float *z, ib_error *err) {
    if (frame % s->step || frame / s->step >= s->held) {
        return ib_latent_read(s->f, frame, 1, z, err);
    }
    ib_f16_to_f32(s->half + frame / s->step * s->n, z, s->n);
    return IB_OK;
}

/* ---- search ---- */

IB_MULTIARCH static double distance(const float *a, const float *b, size_t n) {
    float lane[16] = {0};
    double sum = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (size_t l = 0; l < 16; l++) {
            float d = a[i + l] - b[i + l];
            lane[l] += d * d;
        }
    }
    for (size_t l = 0; l < 16; l++) {
        sum += (double)lane[l];
    }
    for (; i < n; i++) {
        sum += (double)((a[i] - b[i]) * (a[i] - b[i]));
    }
    return sum;
}

/* Whether frame number i of those held is nearer than `limit`. Float sums are off by about 1e-6 of
 * themselves, hence the margins: for the bound to the safe side, for the verdict against calling a twin of
 * the true frame nearer. */
static bool is_nearer(const ib_store *s, const float *z, const float *coarse, size_t i, double limit) {
    float piece[PIECE];
    size_t m = s->groups * s->width;
    if (distance(coarse, s->coarse + i * m, m) * 0.9999 > limit) {
        return false;
    }
    double sum = 0;
    for (size_t at = 0; at < s->n; at += PIECE) {
        size_t n = s->n - at < PIECE ? s->n - at : PIECE;
        ib_f16_to_f32(s->half + i * s->n + at, piece, n);
        sum += distance(z + at, piece, n);
        if (sum >= limit) {
            return false;
        }
    }
    return sum < limit * (1 - 1e-5);
}

bool ib_store_is_nearest(const ib_store *s, const float *z, size_t frame, double own) {
    float some[4096], *coarse = some;
    size_t m = s->groups * s->width, here = frame / s->step;
    bool nearest = true;
    if (m > sizeof some / sizeof *some && !(coarse = malloc(m * sizeof *coarse))) {
        coarse = NULL;
    }
    if (coarse) {
        project(s, z, coarse);
    }
    /* neighbours in time are the likely ones: a miss is found out soon */
    for (size_t off = 0; off < s->held && nearest; off++) {
        for (int side = 0; side < 2 && nearest; side++) {
            bool there = side ? here + off < s->held : off <= here && off > 0;
            size_t i = side ? here + off : here - off;
            if (there && i * s->step != frame) {
                nearest =
                    !(coarse ? is_nearer(s, z, coarse, i, own) : is_nearer(s, z, s->coarse + i * m, i, own));
            }
        }
    }
    if (coarse != some) {
        free(coarse);
    }
    return nearest;
}
