#include "render/renderer.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include "adapter/named.h"
#include "render/between.h"

enum { MAX_THREADS = 64 };

struct ib_renderer {
    ib_adapter *adapter;   /* NULL: slerp */
    ib_betweener *between; /* a pair by all threads */
    ib_betweener
        *other[MAX_THREADS]; /* of ib_renderer_pairs, for pair 1 on, by a thread each; made when needed */
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
        for (int i = 0; i < MAX_THREADS; i++) {
            ib_betweener_free(&r->other[i]);
        }
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

static int check_pair(const ib_renderer *r, const ib_renderer_pair *p, ib_error *err) {
    int rc = check_size(r, p->first, "the first", err);
    rc = rc ? rc : check_size(r, p->last, "the last", err);
    for (size_t i = 0; i < p->n && !rc; i++) {
        rc = check_size(r, &p->out[i], "an output", err);
        if (!rc && !(p->t[i] >= 0.0f && p->t[i] <= 1.0f)) {
            rc = ib_fail(err, IB_E_ARGUMENT, "a frame at %g, 0 to 1 was expected", (double)p->t[i]);
        }
    }
    if (!rc && p->first->matrix != p->last->matrix) {
        rc = ib_fail(err, IB_E_MISMATCH, "the first frame has colour matrix %d, the last %d",
                     p->first->matrix, p->last->matrix);
    }
    if (!rc && !(p->gap_seconds > 0.0f && isfinite(p->gap_seconds))) {
        rc = ib_fail(err, IB_E_ARGUMENT, "a gap of %g seconds, more than 0 was expected",
                     (double)p->gap_seconds);
    }
    return rc;
}

/* Frame i of the pair that b has, in its work space of `thread`, by `threads`. */
static int make_frame(const ib_renderer *r, ib_betweener *b, const ib_renderer_pair *p, size_t i, int thread,
                      int threads, ib_error *err) {
    const ib_frame *first = p->first, *last = p->last;
    ib_frame *out = &p->out[i];
    float t = p->t[i];
    int rc = 0;
    if (t <= 0.0f || t >= 1.0f) {
        ib_frame_copy(out, t <= 0.0f ? first : last);
    } else if (r->adapter) {
        rc = ib_betweener_model(b, thread, t, threads, out, err);
    } else {
        rc = ib_betweener_slerp(b, thread, t, out, err);
    }
    out->rgb = NULL; /* of another picture */
    out->matrix = first->matrix;
    out->pts_seconds = first->pts_seconds + (double)t * (last->pts_seconds - first->pts_seconds);
    out->index = t < 1.0f ? first->index : last->index;
    return rc;
}

/* The first error of n, if there is one. */
static int first_error(const ib_error *own, int n, ib_error *err) {
    for (int i = 0; i < n; i++) {
        if (own[i].code) {
            return ib_fail(err, own[i].code, "%s", own[i].text);
        }
    }
    return 0;
}

/* Frames [from, from + n), n <= threads, at once. */
static int make_batch(ib_renderer *r, const ib_renderer_pair *p, size_t from, int n, ib_error *err) {
    ib_error own[MAX_THREADS] = {{0}};
#pragma omp parallel for num_threads(n) schedule(static, 1)
    for (int i = 0; i < n; i++) {
        make_frame(r, r->between, p, from + (size_t)i, i, n == 1 ? r->threads : 1, &own[i]);
    }
    return first_error(own, n, err);
}

int ib_renderer_frames(ib_renderer *r, const ib_frame *first, const ib_frame *last, const float *t, size_t n,
                       float gap_seconds, ib_frame *out, ib_error *err) {
    const ib_renderer_pair p = {first, last, t, n, gap_seconds, out};
    int rc = check_pair(r, &p, err);
    rc = rc || !n ? rc : ib_betweener_pair(r->between, first, last, gap_seconds, err);
    for (size_t i = 0; i < n && !rc; i += (size_t)r->threads) {
        int left = n - i < (size_t)r->threads ? (int)(n - i) : r->threads;
        rc = make_batch(r, &p, i, left, err);
    }
    return rc;
}

int ib_renderer_frame(ib_renderer *r, const ib_frame *first, const ib_frame *last, float t, float gap_seconds,
                      ib_frame *out, ib_error *err) {
    return ib_renderer_frames(r, first, last, &t, 1, gap_seconds, out, err);
}

static int make_pair(const ib_renderer *r, ib_betweener *b, const ib_renderer_pair *p, int threads,
                     ib_error *err) {
    int rc = p->n ? ib_betweener_pair(b, p->first, p->last, p->gap_seconds, err) : 0;
    for (size_t i = 0; i < p->n && !rc; i++) {
        rc = make_frame(r, b, p, i, 0, threads, err);
    }
    return rc;
}

int ib_renderer_pairs(ib_renderer *r, const ib_renderer_pair *pair, int n, ib_error *err) {
    ib_error own[MAX_THREADS] = {{0}};
    if (n < 0 || n > r->threads) {
        return ib_fail(err, IB_E_ARGUMENT, "%d pairs at once for %d threads", n, r->threads);
    }
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = check_pair(r, &pair[i], err);
        if (!rc && i && !r->other[i]) {
            rc = ib_betweener_create(&r->other[i], r->adapter, !r->adapter, r->width, r->height, 1, err);
        }
    }
    if (rc || n < 2) {
        return rc || !n ? rc : make_pair(r, r->between, pair, r->threads, err);
    }
#pragma omp parallel for num_threads(n) schedule(static, 1)
    for (int i = 0; i < n; i++) {
        make_pair(r, i ? r->other[i] : r->between, &pair[i], 1, &own[i]);
    }
    return first_error(own, n, err);
}
