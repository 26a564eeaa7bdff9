#include "eval/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/guides.h"
#include "eval/metrics.h"
#include "eval/pixels.h"
#include "motion/pair.h"

static int open_works(ib_scene *s, ib_error *err) {
    const ib_judge *j = s->judge;
    int rc = IB_OK;
    s->work = ib_calloc(j->adapters, sizeof(ib_adapter_work *));
    if (!s->work) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu adapters", j->adapters);
    }
    for (size_t i = 0; i < j->adapters && !rc; i++) {
        const ib_shape *grid = s->native ? ib_pair_shape(s->pair) : &s->shape;
        rc = ib_adapter_work_create(&s->work[i], j->adapter[i], grid, 1, false, err);
    }
    return rc;
}

static int open_pictures(ib_scene *s, int width, int height, ib_matrix matrix, ib_error *err) {
    int rc = ib_frame_alloc(&s->truth_frame, width, height, err);
    rc = rc ? rc : ib_frame_alloc(&s->frame, width, height, err);
    rc = rc ? rc : ib_ms_ssim_create(&s->ms, width, height, err);
    for (size_t i = 0; i <= s->rivals && !rc; i++) {
        rc = ib_frame_alloc(&s->path[i].frame, width, height, err);
    }
    s->truth_frame.matrix = s->frame.matrix = matrix;
    return rc;
}

static int check_shape(const ib_judge *j, const ib_shape *given, int width, int height, ib_error *err) {
    ib_shape own;
    int rc = j->space ? ib_space_shape(j->space, width, height, &own, err) : IB_OK;
    if (!rc && j->space && (own.tokens != given->tokens || own.width != given->width)) {
        rc =
            ib_fail(err, IB_E_FORMAT, "frames of %dx%d are %zu x %zu values in the space %s, not %zu x %zu",
                    width, height, own.tokens, own.width, ib_space_id(j->space), given->tokens, given->width);
    }
    return rc;
}

int ib_scene_open(ib_scene *s, const ib_judge *j, const ib_shape *shape, int width, int height,
                  ib_matrix matrix, const ib_pair *pair, ib_error *err) {
    bool native = pair != NULL;
    size_t all;
    *s = (ib_scene){.judge = j,
                    .native = native,
                    .pair = pair,
                    .shape = *shape,
                    .decodes = ib_judge_decodes(j),
                    .rivals = ib_judge_rivals(j)};
    int rc = check_shape(j, shape, width, height, err);
    if (rc) {
        return rc;
    }
    s->n = s->shape.tokens * s->shape.width;
    s->path = calloc(s->rivals + 1, sizeof *s->path);
    rc = !s->path || ib_size_mul(s->n, native ? 2 : 6 + 2 * (s->rivals + 1), &all)
             ? ib_fail(err, IB_E_MEMORY, "out of memory for frames of %dx%d", width, height)
             : ib_alloc_floats(&s->arena, all, "a window's latents", err);
    if (!rc) {
        s->truth = s->arena;
        s->out = s->truth + s->n;
        s->outer = native ? NULL : s->out + s->n;
        for (size_t i = 0; i <= s->rivals && !native; i++) {
            s->path[i].before = s->outer + (4 + 2 * i) * s->n;
            s->path[i].last = s->path[i].before + s->n;
        }
        s->keys.geometry = j->geometry;
        s->keys.tokens = s->shape.tokens;
        s->keys.width = s->shape.width;
        rc = open_works(s, err);
    }
    rc = rc || !j->seen ? rc : ib_alloc_floats(&s->guide, (IB_GUIDE_PICTURES + 1) * s->n, "a guide", err);
    s->seen = s->guide ? s->guide + IB_GUIDE_PICTURES * s->n : NULL;
    rc = rc || !s->decodes ? rc : open_pictures(s, width, height, matrix, err);
    if (rc) {
        ib_scene_close(s);
    }
    return rc;
}

void ib_scene_close(ib_scene *s) {
    for (size_t i = 0; s->work && i < s->judge->adapters; i++) {
        ib_adapter_work_free(&s->work[i]);
    }
    for (size_t i = 0; s->path && i <= s->rivals; i++) {
        ib_frame_free(&s->path[i].frame);
    }
    ib_free(s->work);
    free(s->path);
    ib_free(s->arena);
    ib_free(s->guide);
    ib_frame_free(&s->truth_frame);
    ib_frame_free(&s->frame);
    ib_ms_ssim_free(&s->ms);
    memset(s, 0, sizeof *s);
}

int ib_scene_make(ib_scene *s, size_t rival, float t, int k, ib_error *err) {
    const ib_judge *j = s->judge;
    if (rival < IB_BASELINES) {
        ib_baselines[rival].run(&s->keys, t, s->out);
    } else if (rival < IB_BASELINES + ib_judge_givers(j)) {
        ib_frame_copy(&s->frame, &s->given[(rival - IB_BASELINES) * s->given_stride + (size_t)k - 1]);
        return ib_space_encode(j->space, &s->frame, s->out, err);
    } else if (rival == ib_judge_seen(j, IB_SEEN_GUIDE)) {
        memcpy(s->out, s->seen, s->n * sizeof *s->out);
    } else if (rival >= ib_judge_adapter(j, j->adapters)) {
        size_t row = rival - ib_judge_adapter(j, j->adapters);
        memcpy(s->out, ib_searched_at(s->searched, row, k), s->n * sizeof *s->out);
    } else {
        size_t i = rival - ib_judge_adapter(j, 0);
        if (s->native) {
            int rc =
                ib_adapter_render(j->adapter[i], s->work[i], s->pair, t, s->gap_seconds, 1, &s->frame, err);
            return rc ? rc : ib_space_encode(j->space, &s->frame, s->out, err);
        }
        ib_between in = {s->keys.z[1], s->keys.z[2], t, s->gap_seconds, s->sees ? s->guide : NULL,
                         s->feature};
        int rc = ib_adapter_predict(j->adapter[i], s->work[i], &in, 1, s->out, err);
        if (rc) {
            return rc;
        }
    }
    return s->decodes ? ib_space_decode(j->space, s->out, &s->frame, err) : IB_OK;
}

/* ---- sequences ---- */

static void put_latent(ib_path *p, const float *z, size_t n) {
    if (p->last) {
        float *swap = p->before;
        p->before = p->last;
        p->last = swap;
        memcpy(p->last, z, n * sizeof *z);
    }
}

static void put_picture(const ib_scene *s, ib_path *p, const ib_frame *f) {
    if (s->decodes) {
        ib_frame_copy(&p->frame, f);
        ib_plane_means(f, p->mean);
    }
}

int ib_scene_begin(ib_scene *s, float t, int k, ib_error *err) {
    int rc = IB_OK;
    for (size_t m = 0; m <= s->rivals && !rc; m++) {
        bool key = t <= 0 || m == s->rivals;
        rc = key ? IB_OK : ib_scene_make(s, m, t, k, err);
        put_latent(&s->path[m], key ? s->truth : s->out, s->n);
        put_picture(s, &s->path[m], key ? &s->truth_frame : &s->frame);
        s->path[m].has_before = false;
    }
    return rc;
}

static double turn_scene(const ib_scene *s, const ib_path *p, const float *z) {
    return p->last && p->has_before ? ib_turning_degrees(p->before, p->last, z, s->n) : NAN;
}

void ib_scene_mark(ib_scene *s, const float *z, const ib_frame *picture, const ib_store *store, size_t frame,
                   ib_marks *m) {
    ib_closeness c;
    ib_closeness_of(z, s->truth, s->shape.tokens, s->shape.width, &c);
    m->v[IB_MARK_ERROR] = c.error / (double)s->n;
    m->v[IB_MARK_COSINE] = c.cosine;
    m->v[IB_MARK_ANGLE] = c.angle_degrees;
    m->v[IB_MARK_NORM] = c.norm_error;
    m->v[IB_MARK_RECALL] = store ? ib_store_is_nearest(store, z, frame, c.error) : NAN;
    if (picture) {
        ib_by_plane psnr = ib_psnr(picture, &s->truth_frame), ssim = ib_ssim(picture, &s->truth_frame);
        m->v[IB_MARK_PSNR] = psnr.luma;
        m->v[IB_MARK_PSNR_ALL] = psnr.all;
        m->v[IB_MARK_SSIM] = ssim.luma;
        m->v[IB_MARK_SSIM_ALL] = ssim.all;
        m->v[IB_MARK_MS_SSIM] = ib_ms_ssim_of(s->ms, picture);
        m->v[IB_MARK_GRADIENT] = ib_gradient_energy(picture);
    }
}

/* From the last picture of a sequence to `now`, beside the true step, from the truth's last picture to
 * truth_frame. */
static ib_step step_of(const ib_scene *s, const ib_path *p, const ib_frame *now, const double true_mean[3]) {
    const ib_path *truth = &s->path[s->rivals];
    double mean[3], square = 0;
    if (!s->decodes) {
        return (ib_step){NAN, NAN};
    }
    ib_plane_means(now, mean);
    for (int i = 0; i < 3; i++) {
        double false_change = (mean[i] - p->mean[i]) - (true_mean[i] - truth->mean[i]);
        square += false_change * false_change;
    }
    return (ib_step){ib_change_error(&p->frame, now, &truth->frame, &s->truth_frame), sqrt(square)};
}

/* Of what it has just made; NaN for all but adapters that were given a guide. */
static double gate_of(const ib_scene *s, size_t rival) {
    size_t first = ib_judge_adapter(s->judge, 0), end = ib_judge_adapter(s->judge, s->judge->adapters);
    bool has = s->sees && rival >= first && rival < end &&
               *ib_adapter_config_of(s->judge->adapter[rival - first])->guide;
    return has ? (double)ib_adapter_gate(s->work[rival - first], 0) : NAN;
}

int ib_scene_step(ib_scene *s, float t, int k, const ib_store *store, size_t frame, ib_marks *marks,
                  ib_marks *last, ib_step *step, ib_error *err) {
    ib_path *truth = &s->path[s->rivals];
    double slerp = NAN, gradient = NAN, mean[3] = {0}, true_turn = turn_scene(s, truth, s->truth);
    int rc = IB_OK;
    if (s->decodes) {
        ib_ms_ssim_truth(s->ms, &s->truth_frame);
        ib_plane_means(&s->truth_frame, mean);
        gradient = ib_gradient_energy(&s->truth_frame);
    }
    for (size_t m = 0; m < s->rivals && !rc; m++) {
        ib_path *p = &s->path[m];
        const float *z = marks ? s->out : s->truth;
        const ib_frame *picture = marks ? &s->frame : &s->truth_frame;
        if (!ib_scene_shows(s, m) && (marks || !p->has_before)) {
            step[m] = (ib_step){NAN, NAN};
            continue;
        }
        if (marks && (rc = ib_scene_make(s, m, t, k, err))) {
            return rc;
        }
        if (marks) {
            ib_scene_mark(s, z, s->decodes ? picture : NULL, store, frame, &marks[m]);
            marks[m].v[IB_MARK_TRUE_GRADIENT] = gradient;
            marks[m].v[IB_MARK_GATE] = gate_of(s, m);
            slerp = m == IB_EVAL_SLERP ? marks[m].v[IB_MARK_ERROR] : slerp;
        }
        if (last) {
            last[m].v[IB_MARK_TURN] = turn_scene(s, p, z);
            last[m].v[IB_MARK_TRUE_TURN] = true_turn;
        }
        step[m] = step_of(s, p, picture, mean);
        put_latent(p, z, s->n);
        put_picture(s, p, picture);
        p->has_before = true;
    }
    for (size_t m = 0; m < s->rivals && marks; m++) {
        marks[m].v[IB_MARK_SLERP] = ib_scene_shows(s, m) ? slerp : NAN;
    }
    put_latent(truth, s->truth, s->n);
    put_picture(s, truth, &s->truth_frame);
    truth->has_before = true;
    return rc;
}

void ib_scene_combine(const ib_step *step, int gap, size_t rivals, size_t methods, ib_marks *marks) {
    for (int k = 1; k < gap; k++) {
        for (size_t m = 0; m < rivals; m++) {
            const ib_step *in = &step[(size_t)k * rivals + m], *out = in + rivals;
            double *v = marks[(size_t)(k - 1) * methods + m].v;
            v[IB_MARK_FLICKER] = (in->change + out->change) / 2;
            v[IB_MARK_INNER] = k > 1 ? in->shade : NAN;
            v[IB_MARK_JUMP] = gap == 2       ? (in->shade + out->shade) / 2
                              : k == 1       ? in->shade
                              : k == gap - 1 ? out->shade
                                             : NAN;
        }
    }
}
