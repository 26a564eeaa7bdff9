#include "render/renderer.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include "adapter/named.h"
#include "render/between.h"

enum { MAX_THREADS = 64 };

struct ib_renderer {
    ib_adapter *adapter; /* NULL: slerp */
    ib_betweener *between;
    int width, height, threads;
};

int ib_renderer_open(ib_renderer **out, const char *adapter, int width, int height, int threads,
                     ib_error *err) {
    *out = NULL;
    if (width < 1 || height < 1 || width > 16384 || height > 16384) {
        return ib_fail(err, IB_E_ARGUMENT, "frames of %d x %d are outside 1..16384", width, height);
    }
    ib_renderer *r = calloc(1, sizeof *r);
    if (!r) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for rendering");
    }
    r->width = width;
    r->height = height;
    r->threads = threads > 0 ? threads : omp_get_max_threads();
    r->threads = r->threads > MAX_THREADS ? MAX_THREADS : r->threads;
    int rc = ib_adapter_open_named(&r->adapter, adapter, err);
    if (!rc) {
        rc = ib_betweener_create(&r->between, r->adapter, !r->adapter, width, height, r->threads, err);
    }
    if (rc) {
        ib_renderer_close(&r);
        return rc;
    }
    *out = r;
    return 0;
}

void ib_renderer_trust(ib_renderer *r, double trust) {
    if (r->adapter) {
        ib_adapter_trust(r->adapter, trust);
    }
}

void ib_renderer_sharpen(ib_renderer *r, double sharpness) {
    if (r->adapter) {
        ib_adapter_sharpen(r->adapter, sharpness);
    }
}

void ib_renderer_close(ib_renderer **pr) {
    ib_renderer *r = *pr;
    *pr = NULL;
    if (r) {
        ib_betweener_free(&r->between);
        ib_adapter_free(&r->adapter);
        free(r);
    }
}

static int check_size(const ib_renderer *r, const ib_frame *f, const char *what, ib_error *err) {
    if (f->width == r->width && f->height == r->height) {
        return 0;
    }
    return ib_fail(err, IB_E_MISMATCH, "%s frame is %d x %d, the renderer is for %d x %d", what, f->width,
                   f->height, r->width, r->height);
}

static int check_renderer(const ib_renderer *r, const ib_frame *first, const ib_frame *last, const float *t,
                          size_t n, float gap_seconds, const ib_frame *out, ib_error *err) {
    int rc = check_size(r, first, "the first", err);
    rc = rc ? rc : check_size(r, last, "the last", err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = check_size(r, &out[i], "an output", err);
        if (!rc && !(t[i] >= 0.0f && t[i] <= 1.0f)) {
            rc = ib_fail(err, IB_E_ARGUMENT, "a frame at %g, 0 to 1 was expected", (double)t[i]);
        }
    }
    if (!rc && first->matrix != last->matrix) {
        rc = ib_fail(err, IB_E_MISMATCH, "the first frame has colour matrix %d, the last %d", first->matrix,
                     last->matrix);
    }
    if (!rc && !(gap_seconds > 0.0f && isfinite(gap_seconds))) {
        rc =
            ib_fail(err, IB_E_ARGUMENT, "a gap of %g seconds, more than 0 was expected", (double)gap_seconds);
    }
    return rc;
}

static int make_renderer(ib_renderer *r, int thread, int threads, const ib_frame *first, const ib_frame *last,
                         float t, ib_frame *out, ib_error *err) {
    int rc = 0;
    if (t <= 0.0f || t >= 1.0f) {
        ib_frame_copy(out, t <= 0.0f ? first : last);
    } else if (r->adapter) {
        rc = ib_betweener_model(r->between, thread, t, threads, out, err);
    } else {
        rc = ib_betweener_slerp(r->between, thread, t, out, err);
    }
    out->rgb = NULL; /* of another picture */
    out->matrix = first->matrix;
    out->pts_seconds = first->pts_seconds + (double)t * (last->pts_seconds - first->pts_seconds);
    out->index = t < 1.0f ? first->index : last->index;
    return rc;
}

/* Frames [0, n), n <= threads, at once. */
static int make_batch(ib_renderer *r, const ib_frame *first, const ib_frame *last, const float *t, int n,
                      ib_frame *out, ib_error *err) {
    ib_error own[MAX_THREADS] = {{0}};
#pragma omp parallel for num_threads(n) schedule(static, 1)
    for (int i = 0; i < n; i++) {
        make_renderer(r, i, n == 1 ? r->threads : 1, first, last, t[i], &out[i], &own[i]);
    }
    for (int i = 0; i < n; i++) {
        if (own[i].code) {
            return ib_fail(err, own[i].code, "%s", own[i].text);
        }
    }
    return 0;
}

int ib_renderer_frames(ib_renderer *r, const ib_frame *first, const ib_frame *last, const float *t, size_t n,
                       float gap_seconds, ib_frame *out, ib_error *err) {
    int rc = check_renderer(r, first, last, t, n, gap_seconds, out, err);
    rc = rc || !n ? rc : ib_betweener_pair(r->between, first, last, gap_seconds, err);
    for (size_t i = 0; i < n && !rc; i += (size_t)r->threads) {
        int left = n - i < (size_t)r->threads ? (int)(n - i) : r->threads;
        rc = make_batch(r, first, last, t + i, left, out + i, err);
    }
    return rc;
}

int ib_renderer_frame(ib_renderer *r, const ib_frame *first, const ib_frame *last, float t, float gap_seconds,
                      ib_frame *out, ib_error *err) {
    return ib_renderer_frames(r, first, last, &t, 1, gap_seconds, out, err);
}
