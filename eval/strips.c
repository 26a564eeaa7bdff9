/* Film strips of an evaluation: not chosen by eye but by rank. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "eval/private.h"
#include "eval/scene.h"
#include "eval/score.h"
#include "nn/gemm.h"
#include "video_io/strip.h"

/* Latents of median windows are kept until the end while all together take less; those of later clips are
 * read again. */
static const size_t most_kept_bytes = (size_t)256 << 20;

void ib_eval_shown_free(ib_shown *s) {
    free(s->psnr);
    ib_free(s->half);
    *s = (ib_shown){0};
}

void ib_eval_strip_free(ib_eval_strip *s) {
    for (size_t i = 0; s->frame && i < s->rows * s->columns; i++) {
        ib_frame_free(&s->frame[i]);
    }
    free(s->at);
    free(s->method);
    free(s->psnr);
    free(s->frame);
    *s = (ib_eval_strip){0};
}

/* ---- windows that compete ---- */

/* Frames of the window that are shown: all, or evenly spread with both ends. */
static size_t columns_strips(int gap, int *at) {
    size_t n = gap + 1 < IB_STRIP_COLUMNS ? (size_t)gap + 1 : IB_STRIP_COLUMNS;
    for (size_t i = 0; i < n; i++) {
        at[i] = (int)((i * (size_t)gap + (n - 1) / 2) / (n - 1));
    }
    return n;
}

static float outer_place(const double *pts, size_t first, size_t other, size_t span, float by_number) {
    double length = pts[first + span] - pts[first];
    float t = length > 0 ? (float)((pts[other] - pts[first]) / length) : by_number;
    return by_number < 0 ? (t < 0 ? t : by_number) : t > 1 ? t : by_number;
}

/* Everything but the latents. */
static void describe_strips(ib_shown *s, const ib_latent_file *f, int gap, size_t first) {
    const ib_latent_info *info = ib_latent_info_of(f);
    const double *pts = ib_latent_pts(f);
    size_t span = (size_t)gap;
    s->first = first;
    s->seconds = pts[first];
    s->gap = gap;
    s->width = info->frame_width;
    s->height = info->frame_height;
    s->matrix = info->matrix;
    s->shape = info->shape;
    s->n = info->shape.tokens * info->shape.width;
    s->gap_seconds = ib_score_seconds(pts + first, gap, info->fps);
    s->there[1] = s->there[2] = true;
    ib_judge_outer_keys(f, gap, first, &s->there[0], &s->there[3]);
    s->before = s->there[0] ? outer_place(pts, first, first - span, span, -1) : -1;
    s->after = s->there[3] ? outer_place(pts, first, first + 2 * span, span, 2) : 2;
    s->columns = columns_strips(gap, s->at);
    for (size_t i = 0; i < s->columns; i++) {
        s->place[i] = s->at[i] == 0 ? 0 : s->at[i] == gap ? 1 : ib_score_place(pts + first, gap, s->at[i]);
    }
}

static int load_strips(ib_shown *s, const ib_store *store, ib_error *err) {
    size_t all;
    float *z = NULL;
    s->half = ib_size_mul(4 + s->columns, s->n, &all) ? NULL : ib_calloc(all, sizeof *s->half);
    int rc = s->half ? ib_alloc_floats(&z, s->n, "a frame's latent", err)
                     : ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    for (size_t i = 0; i < 4 + s->columns && !rc; i++) {
        size_t frame =
            i < 4 ? s->first + i * (size_t)s->gap - (size_t)s->gap : s->first + (size_t)s->at[i - 4];
        if (i >= 4 || s->there[i]) {
            rc = ib_store_read(store, frame, z, err);
            ib_f32_to_f16(z, s->half + i * s->n, s->n);
        }
    }
    ib_free(z);
    return rc;
}

/* Window number i of the clip at hand into *to, instead of what was there. */
static int take_strips(const ib_evaluation *e, const ib_store *store, const ib_windows *w,
                       const double *value, size_t i, bool with_latents, ib_shown *to, ib_error *err) {
    const ib_eval_report *r = e->report;
    size_t rivals = ib_judge_rivals(&e->judge), targets = (size_t)w->gap - 1;
    ib_eval_shown_free(to);
    describe_strips(to, ib_store_file(store), w->gap, w->firsts[i]);
    to->clip = r->clips;
    to->value = value[i];
    to->psnr = calloc(rivals, sizeof *to->psnr);
    if (!to->psnr) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    }
    for (size_t m = 0; m < rivals; m++) {
        for (size_t k = 0; k < targets; k++) {
            to->psnr[m] += w->marks[(i * targets + k) * r->methods + m].v[IB_MARK_PSNR] / (double)targets;
        }
    }
    return with_latents ? load_strips(to, store, err) : IB_OK;
}

typedef struct ranked {
    double value;
    size_t number;
} ranked;

static int compare_ranked(const void *a, const void *b) {
    const ranked *p = a, *q = b;
    return p->value != q->value ? (p->value > q->value) - (p->value < q->value)
                                : (p->number > q->number) - (p->number < q->number);
}

static double ranking(double value) {
    return isfinite(value) ? value : 0;
}

int ib_eval_offer(ib_evaluation *e, const ib_store *store, const ib_windows *w, const double *value,
                  ib_error *err) {
    const ib_eval_report *r = e->report;
    ib_shown *median = &e->shown[2 + r->clips], *best = &e->shown[0], *worst = &e->shown[1];
    ranked *order = calloc(w->n, sizeof *order);
    if (!order) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu windows", w->n);
    }
    for (size_t i = 0; i < w->n; i++) {
        order[i] = (ranked){ranking(value[i]), i};
    }
    qsort(order, w->n, sizeof *order, compare_ranked);
    ranked low = order[0], middle = order[w->n / 2], high = order[w->n - 1];
    free(order);
    bool keep = e->shown_bytes < most_kept_bytes;
    int rc = take_strips(e, store, w, value, middle.number, keep, median, err);
    e->shown_bytes += keep ? (4 + median->columns) * median->n * sizeof *median->half : 0;
    if (!rc && (!best->half || high.value > ranking(best->value))) {
        rc = take_strips(e, store, w, value, high.number, true, best, err);
    }
    if (!rc && (!worst->half || low.value < ranking(worst->value))) {
        rc = take_strips(e, store, w, value, low.number, true, worst, err);
    }
    return rc;
}

/* ---- pictures ---- */

static int load_again(ib_evaluation *e, ib_shown *s, ib_error *err) {
    ib_latent_file *f;
    ib_store *store = NULL;
    char *temporary;
    int rc = ib_eval_open_input(e, e->report->files.v[s->clip], &f, &temporary, NULL, 0, err);
    if (rc) {
        return rc;
    }
    rc = ib_store_open(&store, f, 0, err);
    rc = rc ? rc : load_strips(s, store, err);
    ib_store_close(&store);
    ib_eval_close_input(&f, &temporary);
    return rc;
}

static void widen_strips(const ib_shown *s, size_t i, float *z) {
    ib_f16_to_f32(s->half + i * s->n, z, s->n);
}

static void set_keys(ib_scene *scene, const ib_shown *s) {
    for (size_t i = 0; i < 4; i++) {
        float *z = scene->outer + i * scene->n;
        scene->keys.z[i] = s->there[i] ? z : NULL;
        if (s->there[i]) {
            widen_strips(s, i, z);
        }
    }
    scene->keys.before = s->before;
    scene->keys.after = s->after;
    scene->gap_seconds = s->gap_seconds;
}

/* A row's frames; those at keyframes are the keyframes. */
static int draw_row(ib_scene *scene, const ib_shown *s, size_t method, ib_frame *frame, ib_error *err) {
    const ib_space *space = scene->judge->space;
    int rc = IB_OK;
    for (size_t i = 0; i < s->columns && !rc; i++) {
        rc = ib_frame_alloc(&frame[i], s->width, s->height, err);
        frame[i].matrix = (ib_matrix)s->matrix;
        if (!rc && (method == SIZE_MAX || s->at[i] == 0 || s->at[i] == s->gap)) {
            widen_strips(s, 4 + i, scene->out);
            rc = ib_space_decode(space, scene->out, &frame[i], err);
        } else if (!rc) {
            rc = ib_scene_make(scene, method, s->place[i], (int)i, err);
            if (!rc) {
                ib_frame_copy(&frame[i], &scene->frame);
            }
        }
    }
    return rc;
}

/* Holding a keyframe needs no picture, and cubic looks like lerp. */
static bool has_row(size_t rival) {
    static const char *const left_out[] = {"hold-first", "nearest", "cubic"};
    bool shown = true;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        shown = shown && (rival >= IB_BASELINES || strcmp(ib_baselines[rival].name, left_out[i]));
    }
    return shown;
}

static int draw_strips(const ib_evaluation *e, const ib_shown *s, ib_eval_strip *strip, ib_error *err) {
    const ib_judge *j = &e->judge;
    ib_scene scene;
    size_t rivals = ib_judge_rivals(j);
    int rc = ib_scene_open(&scene, j, &s->shape, s->width, s->height, (ib_matrix)s->matrix, NULL, err);
    if (rc) {
        return rc;
    }
    ib_frame *given = ib_calloc(ib_judge_givers(j) * IB_STRIP_COLUMNS, sizeof *given);
    rc = given ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    set_keys(&scene, s);
    if (!rc && ib_judge_givers(j)) {
        rc = ib_space_decode(j->space, scene.keys.z[1], &scene.truth_frame, err);
        rc = rc ? rc : ib_space_decode(j->space, scene.keys.z[2], &scene.frame, err);
        rc = rc ? rc
                : ib_judge_give(j, &scene.truth_frame, &scene.frame, s->place + 1, s->columns - 2,
                                scene.gap_seconds, IB_STRIP_COLUMNS, given, err);
        scene.given = given;
        scene.given_stride = IB_STRIP_COLUMNS;
    }
    strip->clip = s->clip;
    strip->first = s->first;
    strip->seconds = s->seconds;
    strip->gain = s->value;
    strip->columns = s->columns;
    strip->at = calloc(s->columns, sizeof *strip->at);
    strip->method = calloc(rivals + 1, sizeof *strip->method);
    strip->psnr = calloc(rivals + 1, sizeof *strip->psnr);
    strip->frame = calloc((rivals + 1) * s->columns, sizeof *strip->frame);
    if (!strip->at || !strip->method || !strip->psnr || !strip->frame) {
        rc = rc ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    }
    for (size_t i = 0; i < s->columns && !rc; i++) {
        strip->at[i] = s->at[i];
    }
    for (size_t m = 0; m <= rivals && !rc; m++) {
        size_t method = m ? m - 1 : SIZE_MAX, row = strip->rows;
        if (m && (!has_row(method) || !ib_scene_shows(&scene, method))) {
            continue;
        }
        strip->method[row] = method;
        strip->psnr[row] = m ? s->psnr[method] : NAN;
        strip->rows++;
        rc = draw_row(&scene, s, method, strip->frame + row * s->columns, err);
    }
    if (given) {
        ib_judge_take_back(j, IB_STRIP_COLUMNS, given);
    }
    ib_free(given);
    ib_scene_close(&scene);
    return rc;
}

/* The clip whose median window is the median. */
static size_t median_clip(const ib_evaluation *e, ib_error *err) {
    size_t n = 0, clips = e->report->clips, found = SIZE_MAX;
    ranked *order = calloc(clips + 1, sizeof *order);
    if (!order) {
        ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
        return SIZE_MAX;
    }
    for (size_t i = 0; i < clips; i++) {
        if (e->shown[2 + i].psnr) {
            order[n++] = (ranked){ranking(e->shown[2 + i].value), i};
        }
    }
    qsort(order, n, sizeof *order, compare_ranked);
    found = n ? 2 + order[n / 2].number : 0;
    free(order);
    return found;
}

int ib_eval_make_strips(ib_evaluation *e, ib_error *err) {
    static const char *const names[3] = {"best", "median", "worst"};
    ib_eval_report *r = e->report;
    size_t median = median_clip(e, err);
    if (median == SIZE_MAX) {
        return IB_E_MEMORY;
    }
    if (!e->shown[0].half) {
        return IB_OK; /* no window of that gap */
    }
    ib_shown *chosen[3] = {&e->shown[0], &e->shown[median], &e->shown[1]};
    int rc = chosen[1]->half ? IB_OK : load_again(e, chosen[1], err);
    int before = ib_gemm_pin(); /* the same pictures, whatever the number of threads */
    for (size_t i = 0; i < 3 && !rc; i++) {
        r->strip[i].which = names[i];
        rc = draw_strips(e, chosen[i], &r->strip[i], err);
    }
    ib_gemm_unpin(before);
    r->strips = rc ? 0 : 3;
    for (size_t i = 0; i < 3 && rc; i++) {
        ib_eval_strip_free(&r->strip[i]);
    }
    return rc;
}

/* ---- files ---- */

static int write_strip(const ib_eval_report *r, const ib_eval_strip *s, const char *path, ib_error *err) {
    const ib_frame **list = calloc(s->rows * s->columns, sizeof(ib_frame *));
    char(*text)[160] = calloc(s->rows, sizeof *text);
    const char **label = calloc(s->rows, sizeof(char *));
    int rc = list && text && label ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for a film strip");
    for (size_t i = 0; i < s->rows && !rc; i++) {
        label[i] = text[i];
        if (s->method[i] == SIZE_MAX) {
            snprintf(text[i], sizeof text[i], "%.80s from frame %zu: truth",
                     r->gap[r->shown_gap].clip[s->clip].name, s->first);
        } else {
            snprintf(text[i], sizeof text[i], "%.60s %.2f dB", r->method[s->method[i]].name, s->psnr[i]);
        }
    }
    for (size_t i = 0; i < s->rows * s->columns && !rc; i++) {
        list[i] = &s->frame[i];
    }
    rc = rc ? rc : ib_strip_write(path, list, (int)s->rows, (int)s->columns, label, err);
    free(list);
    free(text);
    free(label);
    return rc;
}

int ib_eval_write_strips(const ib_eval_report *r, const char *directory, ib_error *err) {
    int rc = r->strips ? ib_mkdirs(directory, err) : IB_OK;
    for (size_t i = 0; i < r->strips && !rc; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.png", r->strip[i].which);
        char *path = ib_join(directory, name);
        rc = path ? write_strip(r, &r->strip[i], path, err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
        free(path);
    }
    return rc;
}
