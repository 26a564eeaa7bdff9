#include "eval/score.h"

#include <math.h>
#include <string.h>

#include "adapter/pixel_model.h"
#include "base/memory.h"
#include "eval/guides.h"
#include "eval/metrics.h"
#include "latent/geometry.h"
#include "nn/gemm.h"

/* One thread's memory: a window's frames, what the model and the baselines make of them. */
typedef struct worker {
    ib_adapter_work *work;
    float *frames, *z;
    float *guide; /* [IB_GUIDE_PICTURES,T,D] */
} worker;

/* guide: number of the window's first one; SIZE_MAX: it has none. */
static int score_window(const ib_adapter *a, ib_latent_file *f, size_t first, size_t guide, int gap,
                        worker *w, ib_score_sums *sums, ib_error *err) {
    const ib_geometry *geometry = ib_geometry_of(ib_latent_info_of(f)->space_id);
    const ib_shape *s = &ib_latent_info_of(f)->shape;
    const double *pts = ib_latent_pts(f) + first;
    size_t n = s->tokens * s->width;
    const float *z0 = w->frames, *z1 = z0 + (size_t)gap * n;
    float span = ib_score_seconds(pts, gap, ib_latent_info_of(f)->fps);
    int rc;
    rc = ib_latent_read(f, first, (size_t)gap + 1, w->frames, err);
    for (int k = 1; k < gap && !rc; k++) {
        const float *truth = z0 + (size_t)k * n;
        float t = ib_score_place(pts, gap, k);
        ib_slerp_in(geometry, z0, z1, t, s->tokens, s->width, w->z);
        double slerp = ib_squared_error(w->z, truth, n);
        sums->err_slerp += slerp;
        ib_lerp(z0, z1, t, n, w->z);
        sums->err_lerp += ib_squared_error(w->z, truth, n);
        if (a) {
            ib_between in = {z0, z1, t, span, NULL, NULL};
            if (guide != SIZE_MAX) {
                size_t number = guide + (size_t)k - 1;
                rc = ib_latent_read_guides(f, number, 1, w->guide, err);
                in.guide = w->guide;
                in.feature = ib_latent_guides(f)->feature + number * IB_GUIDE_FEATURES;
            }
            rc = rc ? rc : ib_adapter_predict(a, w->work, &in, 1, w->z, err);
            sums->err_model += ib_squared_error(w->z, truth, n);
        } else {
            sums->err_model += slerp;
        }
        sums->targets++;
        sums->values += n;
    }
    sums->windows = 1;
    return rc;
}

/* The windows to judge: with guides, or all of them. firsts, guides: room for N entries. */
static size_t choose_windows(const ib_adapter *a, const ib_latent_file *f, int gap, int max_windows,
                             size_t *firsts, size_t *guides) {
    const ib_guide_window *w;
    size_t most = max_windows > 0 ? (size_t)max_windows : 0, n = ib_guided_windows(f, gap, &w);
    bool uses = a && *ib_adapter_config_of(a)->guide;
    if (!n) {
        n = ib_score_windows(f, gap, max_windows, firsts);
        for (size_t k = 0; k < n; k++) {
            guides[k] = SIZE_MAX;
        }
        return n;
    }
    size_t chosen = most && most < n ? most : n;
    for (size_t k = 0; k < chosen; k++) {
        firsts[k] = w[ib_spread(n, most, k)].first;
        guides[k] = uses ? w[ib_spread(n, most, k)].at : SIZE_MAX;
    }
    return chosen;
}

static int worker_create(worker *w, const ib_adapter *a, const ib_shape *s, int gap, ib_error *err) {
    size_t n = s->tokens * s->width, all;
    if (ib_size_mul(n, (size_t)gap + 1, &all)) {
        return ib_fail(err, IB_E_MEMORY, "a window of %d frames does not fit in memory", gap + 1);
    }
    int rc = ib_alloc_floats(&w->frames, all, "a window's latents", err);
    rc = rc ? rc : ib_alloc_floats(&w->z, n, "an in-between", err);
    rc = rc ? rc : ib_alloc_floats(&w->guide, IB_GUIDE_PICTURES * n, "a guide", err);
    return rc || !a ? rc : ib_adapter_work_create(&w->work, a, s, 1, false, err);
}

int ib_score_latents(const ib_adapter *a, ib_latent_file *f, int gap, int max_windows, int threads,
                     ib_score_sums *out, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(f);
    int rc = 0;
    memset(out, 0, sizeof *out);
    if (gap < 2) {
        return ib_fail(err, IB_E_ARGUMENT, "a window to score spans at least 2 frames, not %d", gap);
    }
    if (a && (rc = ib_adapter_check_space(a, info->space_id, ib_latent_path(f), err))) {
        return rc;
    }
    const ib_guide_window *guided;
    if (a && ib_guided_windows(f, gap, &guided) && (rc = ib_adapter_check_guides(a, NULL, f, err))) {
        return rc;
    }
    size_t *firsts = ib_calloc(info->frames, 2 * sizeof *firsts), *guides = firsts + info->frames;
    ib_score_sums *part = ib_calloc(info->frames, sizeof *part);
    if (!firsts || !part) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(f));
        goto done;
    }
    long windows = (long)choose_windows(a, f, gap, max_windows, firsts, guides);
    int before = ib_gemm_pin();
#pragma omp parallel num_threads(threads < 1 ? 1 : threads)
    {
        worker w = {0};
        ib_error mine = {0};
        int mine_rc = worker_create(&w, a, &info->shape, gap, &mine), stop;
#pragma omp for schedule(dynamic, 1)
        for (long i = 0; i < windows; i++) {
#pragma omp atomic read
            stop = rc;
            if (!mine_rc && !stop) {
                mine_rc = score_window(a, f, firsts[i], guides[i], gap, &w, &part[i], &mine);
            }
        }
        if (mine_rc) {
#pragma omp critical(ib_score_error)
            {
                if (err) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = mine_rc;
            }
        }
        ib_adapter_work_free(&w.work);
        ib_free(w.frames);
        ib_free(w.z);
        ib_free(w.guide);
    }
    ib_gemm_unpin(before);
    /* in the windows' order, so that the sum does not depend on threads */
    for (long i = 0; i < windows && !rc; i++) {
        out->err_model += part[i].err_model;
        out->err_slerp += part[i].err_slerp;
        out->err_lerp += part[i].err_lerp;
        out->targets += part[i].targets;
        out->windows += part[i].windows;
        out->values += part[i].values;
    }
done:
    ib_free(firsts);
    ib_free(part);
    return rc;
}

double ib_skill(double err_model, double err_slerp, double values) {
    return values > 0 && err_slerp >= IB_ERROR_FLOOR * values ? 1 - err_model / err_slerp : NAN;
}

double ib_score_skill(const ib_score_sums *s) {
    return ib_skill(s->err_model, s->err_slerp, (double)s->values);
}
