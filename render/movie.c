#include "render/movie.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/memory.h"
#include "base/resume.h"
#include "render/between.h"
#include "render/keyframes.h"
#include "video_io/reader.h"
#include "video_io/strip.h"
#include "video_io/writer.h"

enum { MAX_FRAMES = 1000000, MAX_KEYFRAMES = 100000, MAX_THREADS = 64 };

/* Frames that are made at the same time. */
typedef struct slot {
    ib_frame whole;       /* what is written */
    ib_frame left, right; /* when comparing */
    ib_error err;
} slot;

typedef struct clip {
    const ib_movie_options *o;
    ib_frame *key;       /* [n_keyframes], one size and matrix */
    ib_adapter *adapter; /* NULL: slerp */
    char *file;          /* of the adapter; NULL: it has none */
    ib_betweener *between;
    ib_writer *writer;
    slot *slot; /* [slots] */
    int slots;
    int width, height; /* of the clip */
    int64_t done, total;
    int64_t taken_up;   /* frames that an earlier call has made */
    size_t interlaced;  /* keyframes */
    const char **input; /* [inputs] what the output may not replace */
    size_t inputs;
    ib_key resume; /* all that the frames depend on */
} clip;

void ib_movie_defaults(ib_movie_options *o) {
    *o = (ib_movie_options){.frames = 25, .fps = 24, .crf = -1, .trust = -1, .sharpness = 0.5};
}

static int check_movie(const ib_movie_options *o, ib_error *err) {
    if (o->n_keyframes < 2 || o->n_keyframes > MAX_KEYFRAMES) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu keyframes, 2 to %d were expected", o->n_keyframes,
                       MAX_KEYFRAMES);
    }
    if (o->frames < 2 || o->frames > MAX_FRAMES) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "%d frames from keyframe to keyframe, 2 (the keyframes themselves) to %d were expected",
            o->frames, MAX_FRAMES);
    }
    if (!(o->fps > 0 && o->fps <= 1000)) {
        return ib_fail(err, IB_E_ARGUMENT, "%g frames a second, above 0 and at most 1000 was expected",
                       o->fps);
    }
    if (!(o->gap_seconds >= 0 && o->gap_seconds < 1e6)) {
        return ib_fail(err, IB_E_ARGUMENT, "a gap of %g seconds, 0 to 1000000 was expected", o->gap_seconds);
    }
    if (!(o->trust == -1 || (o->trust >= 0 && o->trust <= 1))) {
        return ib_fail(err, IB_E_ARGUMENT, "a trust of %g, 0 to 1 was expected", o->trust);
    }
    if (!(o->sharpness >= 0 && o->sharpness <= 1)) {
        return ib_fail(err, IB_E_ARGUMENT, "a sharpness of %g, 0 to 1 was expected", o->sharpness);
    }
    if (o->compare && (!o->adapter || !strcmp(o->adapter, IB_ADAPTER_NONE))) {
        return ib_fail(err, IB_E_ARGUMENT, "comparing needs an adapter to compare slerp with");
    }
    return 0;
}

/* Decodes it once. The first keyframe's colour matrix is the clip's; an unspecified one counts as BT.601
 * beside others. */
static int read_keyframe(clip *c, size_t i, ib_error *err) {
    const ib_movie_options *o = c->o;
    ib_reader_options how = {.width = o->width,
                             .height = o->height,
                             .threads = o->threads,
                             .keep_interlaced = o->keep_interlaced,
                             .stop = o->stop};
    ib_still *s = NULL;
    int rc = ib_key_exists(o->keyframes[i], err);
    if (rc || (rc = ib_still_open(&s, o->keyframes[i], &how, err))) {
        return rc;
    }
    ib_matrix own = ib_still_info(s)->matrix, *all = &c->key->matrix;
    if (i && own != *all) {
        *all = *all == IB_MATRIX_UNSPECIFIED ? IB_MATRIX_BT601 : *all;
        how.matrix = *all;
    }
    c->interlaced += ib_still_info(s)->interlaced;
    rc = ib_still_convert(s, &c->key[i], &how, err);
    ib_still_close(&s);
    return rc;
}

static int read_keyframes(clip *c, ib_error *err) {
    const ib_movie_options *o = c->o;
    if (!(c->key = calloc(o->n_keyframes, sizeof *c->key))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", o->n_keyframes);
    }
    for (size_t i = 0; i < o->n_keyframes; i++) {
        ib_frame *k = &c->key[i];
        int rc = read_keyframe(c, i, err);
        if (rc) {
            return rc;
        }
        if (k->width != c->key->width || k->height != c->key->height) {
            return ib_fail(
                err, IB_E_MISMATCH,
                "%s: %d x %d and %s is %d x %d: keyframes must be of one size, or one must be asked for "
                "(--size)",
                o->keyframes[0], c->key->width, c->key->height, o->keyframes[i], k->width, k->height);
        }
    }
    return 0;
}

/* Keyframes and adapter: what the output may not replace, and, with the options, what the
 * frames depend on. */
static int name_inputs(clip *c, ib_error *err) {
    const ib_movie_options *o = c->o;
    ib_key *k = &c->resume;
    c->inputs = o->n_keyframes + 1;
    if (!(c->input = calloc(c->inputs, sizeof *c->input))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", o->n_keyframes);
    }
    memcpy(c->input, o->keyframes, o->n_keyframes * sizeof *c->input);
    int rc = ib_adapter_named_file(&c->file, o->adapter, err);
    if (rc) {
        return rc;
    }
    c->input[o->n_keyframes] = c->file;
    ib_key_add(k, "%s\n", !c->file && o->adapter ? o->adapter : "");
    ib_key_add(k, "render " IB_VERSION " %d frames %.17g fps %.17g s size %dx%d\n", o->frames, o->fps,
               o->gap_seconds, o->width, o->height);
    ib_key_add(k, "ease %d loop %d compare %d trust %.17g sharpness %.17g interlaced %d\n", o->ease, o->loop,
               o->compare, o->trust, o->sharpness, o->keep_interlaced);
    for (size_t i = 0; i < c->inputs; i++) {
        ib_key_add_input(k, c->input[i]);
    }
    return k->failed ? ib_fail(err, IB_E_MEMORY, "out of memory for the names of keyframes") : 0;
}

static int open_clip(clip *c, ib_error *err) {
    const ib_movie_options *o = c->o;
    int w = c->key->width, h = c->key->height, rc = 0;
    bool slerp = !c->adapter || o->compare;
    c->width = o->compare ? (w + 1) / 2 * 2 + w : w;
    c->height = h;
    size_t pairs = o->n_keyframes - 1 + o->loop;
    c->total = (int64_t)pairs * (o->frames - 1) + !o->loop;
    c->slots = o->threads > 0 ? o->threads : omp_get_max_threads();
    c->slots = c->slots > MAX_THREADS ? MAX_THREADS : c->slots;
    if (!(c->slot = calloc((size_t)c->slots, sizeof *c->slot))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for rendering");
    }
    if ((rc = ib_betweener_create(&c->between, c->adapter, slerp, w, h, c->slots, err))) {
        return rc;
    }
    for (int i = 0; i < c->slots && !rc; i++) {
        rc = ib_frame_alloc(&c->slot[i].whole, c->width, c->height, err);
        if (!rc && o->compare && !(rc = ib_frame_alloc(&c->slot[i].left, w, h, err))) {
            rc = ib_frame_alloc(&c->slot[i].right, w, h, err);
        }
    }
    ib_writer_options how = {.width = c->width,
                             .height = c->height,
                             .fps = o->fps,
                             .matrix = c->key->matrix,
                             .codec = o->codec,
                             .crf = o->crf,
                             .threads = o->threads,
                             .frames = c->total,
                             .overwrite = o->overwrite,
                             .inputs = c->input,
                             .n_inputs = c->inputs,
                             .resume_key = c->resume.text};
    rc = rc ? rc : ib_writer_open(&c->writer, o->output, &how, err);
    if (!rc) {
        c->taken_up = ib_writer_done(c->writer);
    }
    return rc;
}

/* left and right beside each other, with their names. */
static void put_together(slot *s) {
    ib_frame *w = &s->whole;
    const ib_frame *part[2] = {&s->left, &s->right};
    static const char *const name[2] = {"slerp", "adapter"};
    int scale = w->height / 240 > 1 ? w->height / 240 : 1;
    ib_frame_fill_black(w);
    for (int i = 0; i < 2; i++) {
        int x = i ? w->width - part[i]->width : 0;
        for (int p = 0; p < 3; p++) {
            int cols = p ? (part[i]->width + 1) / 2 : part[i]->width,
                rows = p ? (w->height + 1) / 2 : w->height;
            for (int y = 0; y < rows; y++) {
                memcpy(w->plane[p] + (size_t)y * w->stride[p] + (p ? x / 2 : x),
                       part[i]->plane[p] + (size_t)y * part[i]->stride[p], (size_t)cols);
            }
        }
        ib_draw_text(w, x + 4 * scale, 4 * scale, scale, name[i]);
    }
}

/* One frame of a pair: step 0 is the keyframe itself. */
static int make_movie(clip *c, slot *s, int thread, int threads, const ib_frame *key, int step) {
    const ib_movie_options *o = c->o;
    ib_frame *one = o->compare ? &s->right : &s->whole;
    float t = (float)step / (float)(o->frames - 1);
    int rc = 0;
    if (o->ease) {
        t = t * t * (3 - 2 * t);
    }
    if (step == 0 || t <= 0) {
        ib_frame_copy(one, key);
    } else if (c->adapter) {
        rc = ib_betweener_model(c->between, thread, t, threads, one, &s->err);
    } else {
        rc = ib_betweener_slerp(c->between, thread, t, one, &s->err);
    }
    if (rc || !o->compare) {
        return rc;
    }
    if (step == 0) {
        ib_frame_copy(&s->left, key);
    } else {
        rc = ib_betweener_slerp(c->between, thread, t, &s->left, &s->err);
    }
    put_together(s);
    return rc;
}

/* How many of the next n frames are there already. */
static int skip(clip *c, int n) {
    int64_t there = c->taken_up - c->done;
    int k = there <= 0 ? 0 : there < n ? (int)there : n;
    c->done += k;
    return k;
}

static int stopped_movie(const clip *c, ib_error *err) {
    const char *kept = ib_writer_kept(c->writer);
    char where[512] = "the clip was dropped";
    if (kept) {
        snprintf(where, sizeof where, "they are kept in %.400s, and the same command goes on from there",
                 kept);
    }
    return ib_fail(err, IB_E_INTERRUPTED, "%s: stopped after %lld of %lld frames; %s", c->o->output,
                   (long long)c->done, (long long)c->total, where);
}

/* Frames [first, first + n) of a pair, made at once, written in order. */
static int make_batch(clip *c, const ib_frame *key, int first, int n, ib_error *err) {
    int bad = 0;
#pragma omp parallel for num_threads(n) schedule(static, 1) reduction(+ : bad)
    for (int i = 0; i < n; i++) {
        bad += make_movie(c, &c->slot[i], i, n == 1 ? c->slots : 1, key, first + i) != 0;
    }
    for (int i = 0; i < n; i++) {
        if (bad && c->slot[i].err.code) {
            *err = c->slot[i].err;
            return err->code;
        }
        int rc = bad ? 0 : ib_writer_write(c->writer, &c->slot[i].whole, err);
        if (rc) {
            return rc;
        }
        c->done++;
    }
    if (c->o->progress) {
        c->o->progress(c->o->user, c->done, c->total);
    }
    return 0;
}

static int make_pair(clip *c, size_t pair, ib_error *err) {
    const ib_movie_options *o = c->o;
    const ib_frame *first = &c->key[pair], *last = &c->key[(pair + 1) % o->n_keyframes];
    double gap = o->gap_seconds > 0 ? o->gap_seconds : (o->frames - 1) / o->fps;
    int rc = ib_betweener_pair(c->between, first, last, (float)gap, err);
    for (int step = skip(c, o->frames - 1); !rc && step < o->frames - 1; step += c->slots) {
        if (o->stop && atomic_load(o->stop)) {
            return stopped_movie(c, err);
        }
        int left = o->frames - 1 - step;
        rc = make_batch(c, first, step, left < c->slots ? left : c->slots, err);
    }
    return rc;
}

static void release(clip *c) {
    ib_writer_abort(&c->writer);
    ib_betweener_free(&c->between);
    for (int i = 0; c->slot && i < c->slots; i++) {
        ib_frame_free(&c->slot[i].whole);
        ib_frame_free(&c->slot[i].left);
        ib_frame_free(&c->slot[i].right);
    }
    free(c->slot);
    for (size_t i = 0; c->key && i < c->o->n_keyframes; i++) {
        ib_frame_free(&c->key[i]);
    }
    free(c->key);
    free(c->input);
    free(c->file);
    ib_key_free(&c->resume);
    ib_adapter_free(&c->adapter);
}

int ib_render_movie(const ib_movie_options *o, ib_movie_summary *summary, ib_error *err) {
    ib_error own = {0};
    err = err ? err : &own;
    *err = (ib_error){0};
    clip c = {.o = o};
    int rc = check_movie(o, err);
    rc = rc ? rc : name_inputs(&c, err);
    rc = rc ? rc : ib_adapter_open_named(&c.adapter, o->adapter, err);
    if (c.adapter && o->trust >= 0) {
        ib_adapter_trust(c.adapter, o->trust);
    }
    if (c.adapter) {
        ib_adapter_sharpen(c.adapter, o->sharpness);
    }
    if (!rc) {
        rc = read_keyframes(&c, err);
    }
    if (!rc) {
        rc = open_clip(&c, err);
    }
    size_t pairs = o->n_keyframes - 1 + o->loop;
    for (size_t p = 0; !rc && p < pairs; p++) {
        rc = make_pair(&c, p, err);
    }
    if (!rc && !o->loop && !skip(&c, 1)) {
        rc = make_batch(&c, &c.key[o->n_keyframes - 1], 0, 1, err);
    }
    if (!rc) {
        rc = ib_writer_finish(&c.writer, err);
    }
    if (!rc && summary) {
        *summary = (ib_movie_summary){.frames = c.done,
                                      .taken_up = c.taken_up,
                                      .width = c.width,
                                      .height = c.height,
                                      .seconds = (double)c.done / o->fps,
                                      .interlaced = c.interlaced};
    }
    release(&c);
    return rc;
}
