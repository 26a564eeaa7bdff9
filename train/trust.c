#include "train/trust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "eval/metrics.h"
#include "eval/score.h"
#include "latent/geometry.h"
#include "nn/gemm.h"
#include "train/trial.h"

enum {
    CLIPS = 16,
    WINDOWS = 2,
    STEPS = 5,
    RUNGS = STEPS + 2, /* the trust that the model has without validation; then 0 to 1 */
    GAPS = 4
};
static const int gaps[GAPS] = {2, 4, 8, 16};
/* of skill: less may be rounding, which can have the same sign in all clips */
static const double least_gain = 1e-5;

/* One target and what each rung makes of it. */
typedef struct target {
    size_t clip, number, first;
    int gap, bin;
    double slerp, error[RUNGS]; /* squared errors */
} target;

static size_t find_targets(const ib_dataset *d, int gap_min, int gap_max, target *out) {
    size_t clip[CLIPS], firsts[WINDOWS], n = 0, clips = ib_dataset_validating(d, CLIPS, clip);
    for (size_t i = 0; i < clips; i++) {
        for (int g = 0; g < GAPS; g++) {
            bool wanted = gaps[g] >= gap_min && gaps[g] <= gap_max;
            size_t windows =
                wanted ? ib_video_windows(ib_dataset_video(d, clip[i]), gaps[g], WINDOWS, firsts) : 0;
            for (size_t q = 0; q < windows; q++) {
                out[n++] =
                    (target){.clip = clip[i], .number = i, .first = firsts[q], .gap = gaps[g], .bin = g};
            }
        }
    }
    return n;
}

/* z: [4,T,D] */
static int try_target(target *t, int rung, const ib_video *c, ib_latent_file *f, const ib_adapter *a,
                      ib_adapter_work *w, float *z, ib_error *err) {
    const ib_shape *s = &c->info.shape;
    size_t n = s->tokens * s->width, gap = (size_t)t->gap, middle = gap / 2;
    float *z1 = z + n, *truth = z1 + n, *made = truth + n,
          at = ib_score_place(c->pts + t->first, t->gap, (int)middle);
    int rc = ib_latent_read(f, t->first, 1, z, err);
    rc = rc ? rc : ib_latent_read(f, t->first + gap, 1, z1, err);
    rc = rc ? rc : ib_latent_read(f, t->first + middle, 1, truth, err);
    if (rc) {
        return rc;
    }
    ib_slerp_in(ib_geometry_of(c->info.space_id), z, z1, at, s->tokens, s->width, made);
    t->slerp = ib_squared_error(made, truth, n);
    ib_between in = {z, z1, at, ib_score_seconds(c->pts + t->first, t->gap, c->info.fps)};
    rc = ib_adapter_predict(a, w, &in, 1, made, err);
    t->error[rung] = ib_squared_error(made, truth, n);
    return rc;
}

/* A clip's targets at one rung. */
static int try_clip(target *t, size_t n, int rung, ib_dataset *d, const ib_adapter *a, int threads,
                    ib_error *err) {
    const ib_video *c = ib_dataset_video(d, t->clip);
    ib_latent_file *f;
    int rc = ib_dataset_file(d, t->clip, &f, err);
    if (rc) {
        return rc;
    }
#pragma omp parallel num_threads(threads < 1 ? 1 : threads)
    {
        ib_adapter_work *w = NULL;
        float *z = NULL;
        ib_error mine = {0};
        int mine_rc =
            ib_alloc_floats(&z, 4 * c->info.shape.tokens * c->info.shape.width, "validation", &mine);
        mine_rc = mine_rc ? mine_rc : ib_adapter_work_create(&w, a, &c->info.shape, 1, false, &mine);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i++) {
            mine_rc = mine_rc ? mine_rc : try_target(&t[i], rung, c, f, a, w, z, &mine);
        }
        if (mine_rc) {
#pragma omp critical(ib_trust_error)
            {
                rc = mine_rc;
                *err = mine;
            }
        }
        ib_adapter_work_free(&w);
        ib_free(z);
    }
    return rc;
}

/* Clips' skills at a gap: skill [CLIPS, RUNGS]. Their number. */
static size_t skills_of(const target *t, size_t n, int bin, double skill[CLIPS][RUNGS]) {
    size_t clips = 0, last = SIZE_MAX;
    double slerp[CLIPS];
    for (size_t i = 0; i < n; i++) {
        if (t[i].bin != bin || !(t[i].slerp > 0)) {
            continue;
        }
        if (!clips || t[i].number != last) {
            memset(skill[clips], 0, sizeof skill[clips]);
            slerp[clips++] = 0;
        }
        last = t[i].number;
        slerp[clips - 1] += t[i].slerp;
        for (int r = 0; r < RUNGS; r++) {
            skill[clips - 1][r] += t[i].error[r];
        }
    }
    for (size_t i = 0; i < clips; i++) {
        for (int r = 0; r < RUNGS; r++) {
            skill[i][r] = 1 - skill[i][r] / slerp[i];
        }
    }
    return clips;
}

static double rung_of(int rung, double usual) {
    return rung ? (double)(rung - 1) / STEPS : usual;
}

/* Strength at a gap, 0..1: from the usual one as far to the best as it is certain to be better. */
static double fit(double skill[CLIPS][RUNGS], size_t clips, double usual) {
    double mean[RUNGS] = {0}, sum = 0, squares = 0, n = (double)clips;
    int best = 0;
    for (int r = 0; r < RUNGS; r++) {
        for (size_t i = 0; i < clips; i++) {
            mean[r] += skill[i][r] / n;
        }
        best = mean[r] > mean[best] ? r : best;
    }
    if (mean[best] - mean[0] < least_gain) {
        return usual;
    }
    for (size_t i = 0; i < clips; i++) {
        double g = skill[i][best] - skill[i][0];
        sum += g;
        squares += g * g;
    }
    return usual + ib_certainty(sum, squares, clips) * (rung_of(best, usual) - usual);
}

static double seconds_of(const ib_dataset *d, const target *t) {
    const ib_video *c = ib_dataset_video(d, t->clip);
    return (double)ib_score_seconds(c->pts + t->first, t->gap, c->info.fps);
}

/* The bins that have clips enough, their middles rising. */
static void conclude(const ib_dataset *d, const target *t, size_t n, double usual, ib_strengths *out) {
    double skill[CLIPS][RUNGS];
    for (int g = 0; g < GAPS; g++) {
        size_t clips = skills_of(t, n, g, skill);
        double sum = 0, windows = 0;
        for (size_t i = 0; i < n; i++) {
            sum += t[i].bin == g ? log(seconds_of(d, &t[i])) : 0;
            windows += t[i].bin == g;
        }
        float middle = windows > 0 ? (float)exp(sum / windows) : 0;
        if (clips < 2 || (out->bins && middle <= out->gap_seconds[out->bins - 1])) {
            continue;
        }
        float strength = (float)fit(skill, clips, usual);
        out->gap_seconds[out->bins] = middle;
        for (int k = 0; k < IB_STRENGTHS; k++) {
            out->value[k][out->bins] = k == IB_STRENGTH_ALONE ? strength : 0;
        }
        out->bins++;
    }
}

int ib_trust_fit(ib_adapter *a, ib_dataset *d, int gap_min, int gap_max, int threads, ib_strengths *out,
                 ib_error *err) {
    ib_error own;
    target *t = ib_calloc(CLIPS * GAPS * WINDOWS, sizeof *t);
    int rc = IB_OK, before = ib_gemm_pin();
    err = err ? err : &own;
    *out = (ib_strengths){0};
    if (!t) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for validation");
    }
    size_t n = t ? find_targets(d, gap_min, gap_max, t) : 0;
    ib_adapter_set_strengths(a, NULL);
    double usual = ib_adapter_trust_of(a);
    for (int rung = 0; rung < RUNGS && !rc; rung++) {
        ib_adapter_trust(a, rung_of(rung, usual));
        for (size_t i = 0, end; i < n && !rc; i = end) {
            for (end = i + 1; end < n && t[end].clip == t[i].clip; end++) {
            }
            rc = try_clip(t + i, end - i, rung, d, a, threads, err);
        }
    }
    if (!rc) {
        conclude(d, t, n, usual, out);
    }
    ib_gemm_unpin(before);
    ib_free(t);
    return rc;
}
