#include "train/review.h"
#include <math.h>
#include <stdlib.h>
#include "base/memory.h"
#include "eval/metrics.h"
#include "eval/score.h"
#include "latent/geometry.h"
#include "video_io/strip.h"

enum { MAX_CLIPS = 32, WINDOWS_IN_ALL = 64, MAX_WINDOWS = 8, STRIP_CLIPS = 3, STRIP_TRIES = 5, ROWS = 3 };

static size_t count_clips(const ib_dataset *d, bool valid) {
    size_t n = 0;
    for (size_t i = 0; i < ib_dataset_files(d); i++) {
        n += ib_dataset_video(d, i)->valid == valid;
    }
    return n;
}

/* The k-th of n evenly spread clips of a role. */
static size_t spread_review(const ib_dataset *d, bool valid, size_t k, size_t n) {
    size_t wanted = k * count_clips(d, valid) / n, i = 0;
    for (;; i++) {
        if (ib_dataset_video(d, i)->valid == valid && wanted-- == 0) {
            return i;
        }
    }
}

int ib_review_skill(const ib_adapter *a, ib_dataset *d, int gap, int threads, double *skill, ib_error *err) {
    size_t n = count_clips(d, true), counted = 0;
    double sum = 0;
    n = n > MAX_CLIPS ? MAX_CLIPS : n;
    int windows = n ? (int)(WINDOWS_IN_ALL / n) : 0;
    windows = windows < 2 ? 2 : windows > MAX_WINDOWS ? MAX_WINDOWS : windows;
    for (size_t i = 0; i < n; i++) {
        ib_latent_file *f;
        ib_score_sums sums = {0};
        int rc = ib_dataset_file(d, spread_review(d, true, i, n), &f, err);
        if (rc || (rc = ib_score_latents(a, f, gap, windows, threads, &sums, err))) {
            return rc;
        }
        double one = ib_score_skill(&sums);
        if (!isnan(one)) {
            sum += one;
            counted++;
        }
    }
    *skill = counted ? sum / (double)counted : NAN;
    return IB_OK;
}

/* A strip under construction: ROWS rows of gap + 1 frames per clip. */
typedef struct strip {
    const ib_adapter *adapter;
    ib_space *space;
    ib_adapter_work *work;
    size_t cols, n, values; /* frames of a row, frames so far, T D */
    float *z;               /* [cols + 1, values]: the truth of a window, and one result */
    ib_frame frame[STRIP_CLIPS * ROWS * 64];
} strip;

static int show_review(strip *s, const ib_latent_info *info, const float *z, ib_error *err) {
    ib_frame *f = &s->frame[s->n];
    int rc = ib_frame_alloc(f, info->frame_width, info->frame_height, err);
    if (rc) {
        return rc;
    }
    s->n++;
    f->matrix = (ib_matrix)info->matrix;
    return ib_space_decode(s->space, z, f, err);
}

/* The place of any frame of the window, keyframes included. */
static float place_review(const double *pts, size_t gap, size_t k) {
    return k == 0 || k == gap ? (float)(k / gap) : ib_score_place(pts, (int)gap, (int)k);
}

/* Three rows of one window. */
static int show_window(strip *s, ib_latent_file *file, size_t first, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(file);
    const ib_geometry *geometry = ib_geometry_of(info->space_id);
    size_t gap = s->cols - 1, n = s->values;
    float *z0 = s->z, *z1 = s->z + gap * n, *out = s->z + s->cols * n;
    const double *pts = ib_latent_pts(file) + first;
    float seconds = ib_score_seconds(pts, (int)gap, info->fps);
    int rc = ib_latent_read(file, first, s->cols, s->z, err);
    for (size_t k = 0; !rc && k <= gap; k++) {
        rc = show_review(s, info, s->z + k * n, err);
    }
    for (size_t k = 0; !rc && k <= gap; k++) {
        ib_slerp_in(geometry, z0, z1, place_review(pts, gap, k), info->shape.tokens, info->shape.width, out);
        rc = show_review(s, info, out, err);
    }
    for (size_t k = 0; !rc && k <= gap; k++) {
        ib_between in = {z0, z1, place_review(pts, gap, k), seconds};
        rc = ib_adapter_predict(s->adapter, s->work, &in, 1, out, err);
        rc = rc ? rc : show_review(s, info, out, err);
    }
    return rc;
}

/* The one of a few windows in which slerp is furthest from the frame in the middle; SIZE_MAX if there is
 * none. */
static int worst_window(strip *s, ib_latent_file *file, size_t *first, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(file);
    const ib_geometry *geometry = ib_geometry_of(info->space_id);
    size_t gap = s->cols - 1, n = s->values, *firsts = calloc(info->frames, sizeof *firsts);
    double worst = -1;
    int rc = IB_OK;
    *first = SIZE_MAX;
    if (!firsts) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(file));
    }
    size_t windows = ib_score_windows(file, (int)gap, STRIP_TRIES, firsts);
    for (size_t i = 0; !rc && i < windows; i++) {
        float *z0 = s->z, *truth = z0 + n, *z1 = truth + n, *out = s->z + s->cols * n;
        rc = ib_latent_read(file, firsts[i], 1, z0, err);
        rc = rc ? rc : ib_latent_read(file, firsts[i] + gap / 2, 1, truth, err);
        rc = rc ? rc : ib_latent_read(file, firsts[i] + gap, 1, z1, err);
        if (!rc) {
            ib_slerp_in(geometry, z0, z1, place_review(ib_latent_pts(file) + firsts[i], gap, gap / 2),
                        info->shape.tokens, info->shape.width, out);
            double error = ib_squared_error(out, truth, n);
            *first = error > worst ? firsts[i] : *first;
            worst = fmax(worst, error);
        }
    }
    free(firsts);
    return rc;
}

static bool same_size(const ib_latent_info *a, const ib_latent_info *b) {
    return a->frame_width == b->frame_width && a->frame_height == b->frame_height;
}

static int write_strip(const strip *s, const char *path, ib_error *err) {
    const ib_frame *frames[STRIP_CLIPS * ROWS * 64];
    const char *const labels[STRIP_CLIPS * ROWS] = {"truth", "slerp", "model", "truth", "slerp",
                                                    "model", "truth", "slerp", "model"};
    for (size_t i = 0; i < s->n; i++) {
        frames[i] = &s->frame[i];
    }
    return ib_strip_write(path, frames, (int)(s->n / s->cols), (int)s->cols, labels, err);
}

int ib_review_strip(const ib_adapter *a, ib_dataset *d, int gap, const char *path, ib_error *err) {
    bool valid = count_clips(d, true) > 0;
    size_t n = count_clips(d, valid), shown = 0;
    const ib_latent_info *info = NULL;
    ib_error ignored;
    int rc = IB_OK;
    strip *s = calloc(1, sizeof *s);
    if (!s) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    }
    s->adapter = a;
    s->cols = gap > 63 ? 64 : (size_t)gap + 1;
    if (ib_space_open(&s->space, ib_adapter_config_of(a)->space_id, &ignored) ||
        !ib_space_decodes(s->space)) {
        goto done; /* no pictures in this space */
    }
    n = n > MAX_CLIPS ? MAX_CLIPS : n;
    for (size_t i = 0; !rc && i < n && shown < STRIP_CLIPS; i++) {
        size_t clip = spread_review(d, valid, i, n), first, all;
        const ib_latent_info *here = &ib_dataset_video(d, clip)->info;
        ib_latent_file *file;
        if (info && !same_size(info, here)) {
            continue;
        }
        if (!info) {
            s->values = here->shape.tokens * here->shape.width;
            rc = ib_size_mul(s->values, s->cols + 1, &all)
                     ? ib_fail(err, IB_E_MEMORY, "out of memory for a film strip")
                     : ib_alloc_floats(&s->z, all, "a film strip", err);
            rc = rc ? rc : ib_adapter_work_create(&s->work, a, &here->shape, 1, false, err);
            info = here;
        }
        rc = rc ? rc : ib_dataset_file(d, clip, &file, err);
        rc = rc ? rc : worst_window(s, file, &first, err);
        if (!rc && first != SIZE_MAX) {
            rc = show_window(s, file, first, err);
            shown++;
        }
    }
    if (!rc && shown) {
        rc = write_strip(s, path, err);
    }
done:
    for (size_t i = 0; i < s->n; i++) {
        ib_frame_free(&s->frame[i]);
    }
    ib_free(s->z);
    ib_adapter_work_free(&s->work);
    ib_space_close(&s->space);
    free(s);
    return rc;
}
