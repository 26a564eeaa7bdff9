#include "render/diffused.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "render/diffused_check.h"
#include "render/diffused_clip.h"
#include "render/diffused_plan.h"
#include "render/diffused_text.h"
#include "render/keyframes.h"
#include "render/seeds.h"

enum { BATCH = IB_DIFFUSED_BATCH };
static const char part_ending[] = ".png";
typedef ib_diffused_place place;
typedef ib_diffused_clip clip;

void ib_diffused_defaults(ib_diffused_options *o) {
    *o = (ib_diffused_options){
        .ip_scale = 1, .guidance = -1, .strength = 0.5, .every = 4, .seeds = 1, .noise_level = -2};
    ib_embeddings_defaults(&o->way);
}

void ib_diffused_tell(const clip *c, const char *sentence) {
    if (c->w->message) {
        c->w->message(c->w->user, sentence);
    }
}

static bool is_picture(const clip *c, size_t key) {
    return ib_key_kind_of(c->w->keyframes[key % c->keys]) == IB_KEY_PICTURE;
}

static bool is_prompt(const clip *c, size_t key) {
    return ib_key_kind_of(c->w->keyframes[key % c->keys]) == IB_KEY_PROMPT;
}

/* A prompt that becomes a picture before anything else is made. */
static bool is_drawn(const clip *c, size_t key) {
    return !c->o->direct && is_prompt(c, key);
}

bool ib_diffused_is_end(const clip *c, const place *p) {
    return p->step == 0 || p->step == c->w->frames - 1;
}

static size_t key_of(const clip *c, const place *p) {
    return (p->way + (p->step > 0)) % c->keys;
}

const char *ib_diffused_words(const clip *c, const place *p) {
    bool own = ib_diffused_is_end(c, p) && is_drawn(c, key_of(c, p)) && c->about->reads_text;
    return own ? ib_key_prompt(c->w->keyframes[key_of(c, p)]) : NULL;
}

const float *ib_diffused_row(const clip *c, const place *p) {
    size_t row = p->way * (size_t)(c->w->frames - 1) + (size_t)p->step;
    return c->rows.n ? c->rows.z + row % c->rows.n * c->rows.shape.tokens * c->rows.shape.width : NULL;
}

static int make_embeddings(clip *c, const ib_embeddings_options *w, ib_error *err) {
    ib_rows_free(&c->rows);
    int rc = ib_rows_make(&c->rows, w, err);
    return rc ? rc : ib_diffusing_set_nothing(c->model, c->rows.nothing, c->rows.shape.tokens, err);
}

/* The embeddings that drawing needs, or all of them if nothing is drawn; what is drawn is embedded later. */
static int begin_embeddings(clip *c, ib_error *err) {
    bool needed = false;
    for (size_t k = 0; k < c->keys; k++) {
        c->drawn += is_drawn(c, k);
        needed |= !is_picture(c, k) && !(is_drawn(c, k) && c->about->reads_text);
    }
    if (!(ib_diffused_condition(c->o, c->about) & IB_LED_BY_IMAGE)) {
        return IB_OK;
    }
    int rc = ib_diffused_check_space(c->o, c->about, err);
    return rc || (c->drawn && !needed) ? rc : make_embeddings(c, c->w, err);
}

static int read_key(clip *c, size_t i, ib_error *err) {
    ib_reader_options how = {.width = c->width,
                             .height = c->height,
                             .rgb = true,
                             .threads = c->w->threads,
                             .matrix = c->matrix,
                             .keep_interlaced = c->w->keep_interlaced,
                             .stop = c->w->stop};
    ib_still *s = NULL;
    int rc = ib_still_open(&s, c->w->keyframes[i], &how, err);
    if (rc) {
        return rc;
    }
    ib_matrix own = ib_still_info(s)->matrix;
    if (!c->width && c->o->draft) {
        how.width = ib_still_info(s)->width;
        how.height = ib_still_info(s)->height;
        ib_plan_draft_size(&how.width, &how.height, c->about->factor);
    }
    if (!c->matrix && own == IB_MATRIX_UNSPECIFIED) {
        c->matrix = how.matrix = IB_MATRIX_BT601;
    }
    c->interlaced += ib_still_info(s)->interlaced;
    rc = ib_still_convert(s, &c->key[i], &how, err);
    ib_still_close(&s);
    if (!rc && !c->matrix) {
        c->matrix = c->key[i].matrix;
    }
    if (!rc && !c->width) {
        c->width = c->key[i].width;
        c->height = c->key[i].height;
    }
    return rc;
}

static int read_keys(clip *c, ib_error *err) {
    int rc = IB_OK;
    c->width = c->w->width;
    c->height = c->w->height;
    if (!(c->key = ib_calloc(c->keys, sizeof *c->key))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", c->keys);
    }
    for (size_t i = 0; !rc && i < c->keys; i++) {
        bool first = !c->width;
        rc = is_picture(c, i) ? read_key(c, i, err) : IB_OK;
        rc =
            rc || !first || !c->width ? rc : ib_diffused_check_size(c->o, c->about, c->width, c->height, err);
    }
    if (!c->width) {
        c->width = c->height = (int)c->about->side;
        if (c->o->draft) {
            ib_plan_draft_size(&c->width, &c->height, c->about->factor);
        }
    }
    c->matrix = c->matrix ? c->matrix : IB_MATRIX_BT709;
    return rc ? rc : ib_diffused_check_size(c->o, c->about, c->width, c->height, err);
}

/* Pictures at both ends. */
static bool between_pictures(const clip *c, size_t way) {
    return (is_picture(c, way) || is_drawn(c, way)) && (is_picture(c, way + 1) || is_drawn(c, way + 1));
}

size_t ib_diffused_steps(const clip *c, const place *p) {
    double steps = c->about->steps;
    return (size_t)(p->noise ? steps : floor(steps * p->strength + 1e-9));
}

static void add(clip *c, place p) {
    c->plan[c->planned++] = p;
    c->work_all += ib_diffused_steps(c, &p);
}

/* Keyframes first, for the frames beside them need them; then way by way. */
static int make_plan(clip *c, ib_error *err) {
    const ib_embeddings_options *w = c->w;
    size_t most;
    if (ib_size_mul(c->ways, (size_t)w->frames, &most) ||
        !(c->plan = ib_calloc(most + c->keys, sizeof *c->plan)) ||
        !(c->made = ib_calloc(most + c->keys, sizeof *c->made))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the plan of %zu ways", c->ways);
    }
    for (size_t k = 0; k < c->keys; k++) {
        if (!is_picture(c, k)) {
            bool last = k == c->ways;
            add(c, (place){.way = k - last, .step = last ? w->frames - 1 : 0, .t = last, .noise = true});
        }
    }
    for (size_t p = 0; p < c->ways; p++) {
        for (int j = 1; j < w->frames - 1; j++) {
            float t = ib_plan_place(j, w->frames, w->ease);
            double s = ib_plan_strength(c->o->strength, t);
            bool both = between_pictures(c, p), inverted = both && c->o->inverted;
            place at = {p, j, t, !both || inverted || s >= 1 - 1e-6, inverted, s};
            if (ib_plan_diffuses(j, w->frames, c->o->every) && ib_diffused_steps(c, &at)) {
                add(c, at);
            }
        }
    }
    return IB_OK;
}

/* A keyframe that was made is there for the frames beside it. */
static int show_key(clip *c, size_t i, ib_error *err) {
    ib_frame *key = &c->key[key_of(c, &c->plan[i])];
    int rc = ib_frame_alloc_rgb(key, c->width, c->height, err);
    if (!rc) {
        key->matrix = c->matrix;
        ib_frame_copy(key, &c->made[i]);
    }
    return rc;
}

/* What the folder has of the plan, from its beginning on. */
static int take_up(clip *c, size_t i, ib_error *err) {
    char *part = ib_resume_part(&c->resume, (int64_t)i + 1, part_ending);
    ib_reader_options how = {.rgb = true, .threads = 1, .matrix = c->matrix};
    int rc = part ? ib_read_still(&c->made[i], part, &how, err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for a name");
    if (!rc && (c->made[i].width != c->width || c->made[i].height != c->height)) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: is %d x %d, %d x %d was expected", part, c->made[i].width,
                     c->made[i].height, c->width, c->height);
    }
    free(part);
    return rc || !ib_diffused_is_end(c, &c->plan[i]) ? rc : show_key(c, i, err);
}

void ib_diffused_bytes(const float *picture, size_t n, uint8_t *rgb) {
    for (size_t k = 0; k < n; k++) {
        float v = picture[k] * 255;
        rgb[k] = (uint8_t)(v > 0 ? v < 255 ? lrintf(v) : 255 : 0);
    }
}

/* From a picture in memory to a frame, and to its file in the folder. */
static int keep(clip *c, size_t i, const float *picture, ib_error *err) {
    size_t n = (size_t)c->width * (size_t)c->height * 3;
    uint8_t *rgb = ib_calloc(n, 1);
    char *part = ib_resume_part(&c->resume, (int64_t)i + 1, part_ending);
    int rc = rgb && part ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for a picture");
    if (!rc) {
        ib_diffused_bytes(picture, n, rgb);
    }
    rc = rc ? rc : ib_write_png(part, rgb, c->width, c->height, err);
    /* read back, so that a frame has the same bits whether it was made now or by an earlier call */
    c->kept += !rc;
    rc = rc ? rc : take_up(c, i, err);
    ib_free(rgb);
    free(part);
    return rc;
}

static void on_step(void *user, double share) {
    clip *c = user;
    double now = ib_clock_seconds(), done = (double)c->work_done + share * (double)c->work_batch;
    double left = done > 0 ? (now - c->began) / done * ((double)c->work_all - done) : -1;
    if (!c->said && done > 0) {
        char text[64], line[160];
        c->said = true;
        ib_diffused_time(text, sizeof text, left + now - c->began);
        snprintf(line, sizeof line, "by the first step, this will take about %s", text);
        ib_diffused_tell(c, line);
    }
    if (c->o->progress_diffused) {
        ib_diffused_progress p = {c->written, c->total, (size_t)done, c->work_all, left};
        c->o->progress_diffused(c->w->user, &p);
    }
}

/* What conditions the frame at a place. */
static void condition(const clip *c, const place *p, ib_diffusing_frame *f) {
    const char *words = ib_diffused_words(c, p);
    ib_led_by cond = ib_diffused_condition(c->o, c->about);
    f->embedding = ib_diffused_row(c, p);
    f->hidden = c->rows.shape.tokens;
    f->prompt = cond & IB_LED_BY_PROMPT ? c->o->prompt : NULL;
    if ((cond & IB_LED_BY_PROMPT) && !c->o->prompt && is_prompt(c, p->way) && is_prompt(c, p->way + 1)) {
        f->prompt = ib_key_prompt(c->w->keyframes[p->way]);
        f->prompt2 = ib_key_prompt(c->w->keyframes[(p->way + 1) % c->keys]);
        f->between = p->t;
    }
    if (words) {
        f->embedding = NULL;
        f->prompt = words;
        f->prompt2 = NULL;
    }
    f->strength = p->noise ? 1 : p->strength;
}

static int picture_of(const ib_frame *f, uint8_t *rgb, float *out, ib_error *err) {
    size_t values = (size_t)f->width * (size_t)f->height * 3;
    int rc = ib_frame_to_rgb(f, rgb, err);
    for (size_t k = 0; !rc && k < values; k++) {
        out[k] = (float)rgb[k] / 255;
    }
    return rc;
}

/* The noise of the keyframes at both ends of a way, as far as it is not there. */
static int make_ends(clip *c, size_t way, ib_error *err) {
    size_t rows = (size_t)c->height, cols = (size_t)c->width;
    uint8_t *rgb = ib_calloc(rows * cols, 3);
    int rc = rgb ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for a picture");
    ib_ends_turn(&c->ends, way);
    for (int k = 0; k < 2 && !rc; k++) {
        if (c->ends.there[k]) {
            continue;
        }
        place at = {.way = way, .step = k ? c->w->frames - 1 : 0, .t = (float)k};
        ib_diffusing_frame f = {.start = c->start};
        condition(c, &at, &f);
        c->work_batch = 2 * (size_t)c->about->steps;
        rc = picture_of(&c->key[(way + (size_t)k) % c->keys], rgb, c->start, err);
        rc = rc ? rc
                : ib_diffusing_invert(c->model, &f, rows, cols, c->ends.noise[k], c->ends.residual[k], err);
        c->ends.there[k] = !rc;
        c->work_done += c->work_batch;
    }
    ib_free(rgb);
    return rc;
}

/* What the n places, all of one way, have of the noise at its ends. */
static int mix_ends(clip *c, const place *p, size_t n, ib_diffusing_frame *f, ib_error *err) {
    int rc = p->inverted ? make_ends(c, p->way, err) : IB_OK;
    for (size_t i = 0; i < n && p->inverted && !rc; i++) {
        float *noise = c->mixed + 2 * i * c->ends.floats, *residual = noise + c->ends.floats;
        ib_ends_between(&c->ends, p[i].t, noise, residual);
        f[i].noise = noise;
        f[i].residual = residual;
    }
    return rc;
}

/* The pixel model's pictures where the n places start, all of one way. */
static int make_starts(clip *c, const place *p, size_t n, ib_diffusing_frame *f, ib_error *err) {
    size_t values = (size_t)c->width * (size_t)c->height * 3;
    const ib_frame *first = &c->key[p->way], *last = &c->key[(p->way + 1) % c->keys];
    double gap = c->w->gap_seconds > 0 ? c->w->gap_seconds : (c->w->frames - 1) / c->w->fps;
    ib_frame frame = {0};
    uint8_t *rgb = ib_calloc(values, 1);
    int rc = rgb ? ib_frame_alloc(&frame, c->width, c->height, err)
                 : ib_fail(err, IB_E_MEMORY, "out of memory for a picture");
    for (size_t i = 0; !rc && i < n; i++) {
        if (p[i].noise) {
            continue;
        }
        rc = ib_renderer_frame(c->pixels, first, last, p[i].t, (float)gap, &frame, err);
        rc = rc ? rc : picture_of(&frame, rgb, c->start + i * values, err);
        f[i].start = c->start + i * values;
    }
    ib_frame_free(&frame);
    ib_free(rgb);
    return rc;
}

int ib_diffused_draw(clip *c, const place *p, size_t n, ib_error *err) {
    ib_diffusing_frame f[BATCH] = {{0}};
    int rc = mix_ends(c, p, n, f, err);
    c->work_batch = 0;
    for (size_t k = 0; k < n; k++) {
        condition(c, &p[k], &f[k]);
        c->work_batch += ib_diffused_steps(c, &p[k]);
    }
    rc = rc ? rc : make_starts(c, p, n, f, err);
    rc = rc ? rc : ib_diffusing_frames(c->model, f, n, (size_t)c->height, (size_t)c->width, c->picture, err);
    c->work_done += c->work_batch;
    c->work_batch = 0;
    return rc;
}

/* Places [i, i + n) of the plan, of one way. */
static int diffuse(clip *c, size_t i, size_t n, ib_error *err) {
    size_t values = (size_t)c->width * (size_t)c->height * 3;
    int rc = ib_diffused_draw(c, c->plan + i, n, err);
    if (rc == IB_E_INTERRUPTED) {
        return ib_diffused_stopped(c, i, err);
    }
    for (size_t k = 0; !rc && k < n; k++) {
        rc = keep(c, i + k, c->picture + k * values, err);
    }
    return rc;
}

size_t ib_diffused_together(const clip *c, const place *p, size_t n) {
    size_t some = 1;
    while (some < BATCH && some < n && p[some].way == p->way &&
           ib_diffused_is_end(c, &p[some]) == ib_diffused_is_end(c, p) &&
           !ib_diffused_words(c, &p[some]) == !ib_diffused_words(c, p)) {
        some++;
    }
    return some;
}

/* Work on ways' ends, from place i on. */
static void count_ends(clip *c, size_t i) {
    size_t last = SIZE_MAX;
    for (; i < c->planned; i++) {
        size_t way = c->plan[i].way;
        if (c->plan[i].inverted && way != last) {
            c->work_all += (way == last + 1 && last != SIZE_MAX ? 2 : 4) * (size_t)c->about->steps;
            last = way;
        }
    }
}

/* The embeddings of the way, now that its drawn keyframes are pictures in the folder. */
static int see_drawn(clip *c, ib_error *err) {
    ib_embeddings_options w = *c->w;
    const char **specs = calloc(c->keys, sizeof *specs);
    char **own = calloc(c->keys, sizeof *own);
    int rc = specs && own ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", c->keys);
    for (size_t k = 0; !rc && k < c->keys; k++) {
        specs[k] = c->w->keyframes[k];
    }
    for (size_t i = 0; !rc && i < c->planned && ib_diffused_is_end(c, &c->plan[i]); i++) {
        size_t k = key_of(c, &c->plan[i]);
        if (is_drawn(c, k)) {
            specs[k] = own[k] = ib_resume_part(&c->resume, (int64_t)i + 1, part_ending);
            rc = own[k] ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for a name");
        }
    }
    w.keyframes = specs;
    w.modality_gap = NULL;
    rc = rc ? rc : make_embeddings(c, &w, err);
    for (size_t k = 0; own && k < c->keys; k++) {
        free(own[k]);
    }
    free(own);
    free(specs);
    return rc;
}

static int make_room(clip *c, ib_error *err) {
    size_t values = (size_t)c->width * (size_t)c->height * 3 * BATCH;
    int rc = ib_alloc_floats(&c->start, values, "pictures", err);
    rc = rc ? rc : ib_alloc_floats(&c->picture, values, "pictures", err);
    if (!rc && c->o->inverted) {
        size_t n = ib_diffusing_latent_floats(c->model, (size_t)c->height, (size_t)c->width);
        rc = ib_ends_alloc(&c->ends, n, err);
        rc = rc ? rc : ib_alloc_floats(&c->mixed, 2 * BATCH * n, "noise", err);
    }
    return rc;
}

/* Everything that the model makes. */
static int diffuse_all(clip *c, ib_error *err) {
    size_t there = c->resume.done < (int64_t)c->planned ? (size_t)c->resume.done : c->planned;
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < there; i++) {
        rc = take_up(c, i, err);
        c->work_all -= ib_diffused_steps(c, &c->plan[i]);
    }
    count_ends(c, there);
    c->taken_up = (int64_t)there;
    c->kept = there;
    for (size_t i = there, n; !rc && i < c->planned; i += n) {
        n = ib_diffused_together(c, c->plan + i, c->planned - i);
        if (c->drawn && !ib_diffused_is_end(c, &c->plan[i]) &&
            (ib_diffused_condition(c->o, c->about) & IB_LED_BY_IMAGE)) {
            rc = see_drawn(c, err);
            rc = rc == IB_E_INTERRUPTED ? ib_diffused_stopped(c, i, err) : rc;
            c->drawn = 0;
        }
        rc = rc                                      ? rc
             : c->w->stop && atomic_load(c->w->stop) ? ib_diffused_stopped(c, i, err)
                                                     : diffuse(c, i, n, err);
    }
    return rc;
}

static int begin_resume(clip *c, ib_error *err) {
    char *name = ib_diffused_folder_name(c->w->output);
    ib_diffused_key(&c->id, c->o, c->width, c->height);
    int rc = name && !c->id.failed ? ib_resume_begin(&c->resume, name, c->id.text, part_ending, err)
                                   : ib_fail(err, IB_E_MEMORY, "out of memory for a name");
    free(name);
    return rc;
}

static void tell_plan(const clip *c) {
    char line[700];
    size_t left =
        c->planned - (size_t)(c->resume.done < (int64_t)c->planned ? c->resume.done : (int64_t)c->planned);
    snprintf(line, sizeof line,
             "%s: %zu of %lld frames of %d x %d are diffused%s, with %d steps of %s, guidance %g, %s %llu",
             c->about->what, c->planned, (long long)c->total, c->width, c->height,
             left < c->planned ? " (some are there from a run that was stopped)" : "", c->about->steps,
             c->about->sampler, c->about->guidance,
             c->o->inverted ? "noise of the keyframes, else seed" : "seed", (unsigned long long)c->o->seed);
    ib_diffused_tell(c, line);
}

static void release(clip *c, bool finished) {
    ib_writer_abort(&c->writer);
    if (finished || !c->kept) {
        ib_resume_remove(&c->resume);
    } else {
        ib_resume_leave(&c->resume);
    }
    for (size_t i = 0; c->made && i < c->planned; i++) {
        ib_frame_free(&c->made[i]);
    }
    for (size_t i = 0; c->key && i < c->keys; i++) {
        ib_frame_free(&c->key[i]);
    }
    ib_free(c->made);
    ib_free(c->key);
    ib_free(c->plan);
    ib_free(c->start);
    ib_free(c->picture);
    ib_free(c->mixed);
    ib_ends_free(&c->ends);
    ib_rows_free(&c->rows);
    ib_renderer_close(&c->pixels);
    ib_diffusing_close(&c->model);
    ib_key_free(&c->id);
    free(c->text);
}

int ib_render_diffused(const ib_diffused_options *asked, ib_diffused_summary *summary, ib_error *err) {
    ib_diffused_options own = *asked, *o = &own; /* with the seed that is chosen */
    clip c = {.o = o, .w = &o->way, .keys = o->way.n_keyframes};
    double agreement = 0;
    c.ways = c.keys - 1 + o->way.loop;
    int rc = ib_diffused_check(o, err);
    rc = rc ? rc : ib_seeds_check(o, err);
    rc = rc ? rc : ib_diffusing_open(&c.model, o, on_step, &c, err);
    c.about = c.model ? ib_diffusing_about_of(c.model) : NULL;
    rc = rc ? rc : ib_diffused_check_condition(o, c.about, err);
    c.total = (int64_t)c.ways * (o->way.frames - 1) + !o->way.loop;
    rc = rc ? rc : read_keys(&c, err);
    rc = rc ? rc : ib_diffused_try_output(&c, err);
    rc = rc ? rc : begin_embeddings(&c, err);
    rc = rc ? rc : make_plan(&c, err);
    rc = rc ? rc : ib_renderer_open(&c.pixels, o->pixels, c.width, c.height, o->way.threads, err);
    rc = rc ? rc : make_room(&c, err);
    c.began = ib_clock_seconds();
    rc = rc ? rc : ib_seeds_choose(&c, &o->seed, &agreement, err);
    rc = rc ? rc : begin_resume(&c, err);
    rc = rc ? rc : ib_diffused_describe(&c.text, o, c.about, c.width, c.height, err);
    if (!rc) {
        tell_plan(&c);
        rc = diffuse_all(&c, err);
    }
    rc = rc ? rc : ib_diffused_write(&c, err);
    if (!rc && summary) {
        *summary = (ib_diffused_summary){.frames = c.total,
                                         .taken_up = c.taken_up,
                                         .diffused = (int64_t)c.planned - c.taken_up,
                                         .width = c.width,
                                         .height = c.height,
                                         .steps = c.about->steps,
                                         .seed = o->seed,
                                         .agreement = agreement,
                                         .sampler = c.about->sampler,
                                         .seconds = (double)c.total / o->way.fps};
    }
    release(&c, !rc);
    return rc;
}
