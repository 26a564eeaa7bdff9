#include "search/sought.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "latent/windows.h"
#include "nn/simd.h"

enum { PICTURES = IB_GUIDE_PICTURES };
static const int plain_gaps[] = {4, 8, 16};

int ib_sought_create(ib_sought *s, const ib_adapter *a, const char *space_id, const ib_shape *shape,
                     size_t most, ib_error *err) {
    size_t n = shape->tokens * shape->width, all, values;
    *s = (ib_sought){.shape = *shape, .geometry = ib_geometry_of(space_id), .most = most};
    bool fits = !ib_size_mul(most, n, &values) && !ib_size_mul(values, 3 + PICTURES, &all) &&
                !ib_size_add(all, 2 * n + most * (2 + IB_GUIDE_FEATURES + IB_SOUGHT_WHOLE), &all);
    int rc = fits ? ib_alloc_floats(&s->arena, all, "a window to search", err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for a window of %zu frames to search", most);
    if (!rc) {
        s->z0 = s->arena;
        s->z1 = s->z0 + n;
        s->slerp = s->z1 + n;
        s->own = s->slerp + values;
        s->guide = s->own + values;
        s->calm = s->guide + PICTURES * values;
        s->t = s->calm + values;
        s->gate = s->t + most;
        s->feature = s->gate + most;
        s->whole = s->feature + most * IB_GUIDE_FEATURES;
    }
    return rc || !a ? rc : ib_adapter_work_create(&s->work, a, shape, 1, false, err);
}

void ib_sought_free(ib_sought *s) {
    ib_adapter_work_free(&s->work);
    ib_free(s->arena);
    *s = (ib_sought){0};
}

int ib_sought_windows(const ib_latent_file *f, ib_guide_window **out, size_t *n, ib_error *err) {
    const ib_guide_table *t = ib_latent_guides(f);
    size_t frames = ib_latent_info_of(f)->frames, gaps = sizeof plain_gaps / sizeof *plain_gaps,
           room = t ? t->windows : gaps * frames;
    ib_guide_window *w = ib_calloc(room + 1, sizeof *w);
    size_t *firsts = ib_calloc(frames + 1, sizeof *firsts);
    int rc = w && firsts
                 ? IB_OK
                 : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(f));
    *n = 0;
    for (size_t i = 0; t && i < t->windows && !rc; i++) {
        w[(*n)++] = t->window[i];
    }
    for (size_t g = 0; !t && g < gaps && !rc; g++) {
        size_t more = ib_score_windows(f, plain_gaps[g], 0, firsts);
        for (size_t i = 0; i < more; i++) {
            w[(*n)++] = (ib_guide_window){firsts[i], plain_gaps[g], SIZE_MAX};
        }
    }
    ib_free(firsts);
    if (rc) {
        ib_free(w);
        w = NULL;
    }
    *out = w;
    return rc;
}

int ib_sought_read(ib_sought *s, ib_latent_file *f, size_t first, int gap, size_t guide, float *truth,
                   ib_error *err) {
    const double *pts = ib_latent_pts(f) + first;
    size_t n = (size_t)gap - 1;
    s->places = n;
    s->gap_seconds = ib_score_seconds(pts, gap, ib_latent_info_of(f)->fps);
    s->guided = guide != SIZE_MAX;
    for (size_t k = 0; k < n; k++) {
        s->t[k] = ib_score_place(pts, gap, (int)k + 1);
    }
    int rc = ib_latent_read(f, first, 1, s->z0, err);
    rc = rc ? rc : ib_latent_read(f, first + (size_t)gap, 1, s->z1, err);
    rc = rc || !truth ? rc : ib_latent_read(f, first + 1, n, truth, err);
    if (!rc && s->guided) {
        memcpy(s->feature, ib_latent_guides(f)->feature + guide * IB_GUIDE_FEATURES,
               n * IB_GUIDE_FEATURES * sizeof *s->feature);
        rc = ib_latent_read_guides(f, guide, n, s->guide, err);
    }
    return rc;
}

float ib_sought_ratio(float square, float unit) {
    const float floor_ratio = 1e-3f;
    return 0.5f * logf((square + floor_ratio * unit + 1e-12f) / (unit + 1e-12f));
}

IB_MULTIARCH
static float apart(const float *restrict a, const float *restrict b, size_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        float d = a[i] - b[i];
        sum += d * d;
    }
    return sum;
}

float ib_sought_apart(const float *a, const float *b, size_t n) {
    return apart(a, b, n);
}

static void calm_down(const ib_sought *s) {
    size_t n = s->shape.tokens * s->shape.width;
    for (size_t k = 0; k < s->places; k++) {
        size_t from = k ? k - 1 : 0, to = k + 1 < s->places ? k + 1 : k;
        float part = 1.0f / (float)(to - from + 1), last = s->t[k] * part, first = part - last;
        float *out = s->calm + k * n;
        memset(out, 0, n * sizeof *out);
        for (size_t q = from; q <= to; q++) {
            const float *h = s->guide + q * PICTURES * n;
            for (size_t i = 0; i < n; i++) {
                out[i] += first * h[i] + last * h[n + i];
            }
        }
    }
}

/* How far slerp, the answer, the keyframes, the pictures and their mean are apart, two by two. */
static void compare_whole(ib_sought *s, size_t k) {
    enum { THINGS = 6 };
    size_t n = s->shape.tokens * s->shape.width;
    const float *h = s->guide + k * PICTURES * n;
    const float *thing[THINGS] = {s->slerp + k * n, s->own + k * n, s->z0, s->z1, h, h + n};
    float unit = ib_sought_apart(s->z0, s->z1, n), *out = s->whole + k * IB_SOUGHT_WHOLE, mean[THINGS];
    size_t w = 0;
    memset(mean, 0, sizeof mean);
    for (size_t i = 0; i < n; i++) {
        float m = h[i] + s->t[k] * (h[n + i] - h[i]);
        for (int a = 0; a < THINGS; a++) {
            float d = thing[a][i] - m;
            mean[a] += d * d;
        }
    }
    for (int a = 0; a < THINGS; a++) {
        for (int b = 0; b < a; b++) {
            out[w++] = ib_sought_ratio(ib_sought_apart(thing[a], thing[b], n), unit);
        }
        out[w++] = ib_sought_ratio(mean[a], unit);
    }
}

int ib_sought_answer(ib_sought *s, const ib_adapter *a, ib_error *err) {
    size_t n = s->shape.tokens * s->shape.width;
    int rc = IB_OK;
    for (size_t k = 0; k < s->places && !rc; k++) {
        float *slerp = s->slerp + k * n, *own = s->own + k * n, *guide = s->guide + k * PICTURES * n;
        ib_slerp_in(s->geometry, s->z0, s->z1, s->t[k], s->shape.tokens, s->shape.width, slerp);
        ib_between in = {s->z0,
                         s->z1,
                         s->t[k],
                         s->gap_seconds,
                         s->guided ? guide : NULL,
                         s->feature + k * IB_GUIDE_FEATURES};
        memcpy(own, slerp, n * sizeof *own);
        rc = a ? ib_adapter_predict(a, s->work, &in, 1, own, err) : IB_OK;
        s->gate[k] = a && s->guided && !rc ? ib_adapter_gate(s->work, 0) : 0;
        if (!s->guided) {
            memcpy(guide, slerp, n * sizeof *guide);
            memcpy(guide + n, slerp, n * sizeof *guide);
        }
    }
    calm_down(s);
    for (size_t k = 0; k < s->places && !rc; k++) {
        compare_whole(s, k);
    }
    return rc;
}
