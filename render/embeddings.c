#include "render/embeddings.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/safetensors.h"
#include "render/guiding.h"
#include "render/keyframes.h"
#include "render/modality_gap.h"
#include "render/path.h"
#include "render/preview.h"
#include "render/rows.h"
#include "render/seeking.h"

enum { MAX_FRAMES = 1000000, MAX_KEYFRAMES = 100000, MOST_META = 15 };

/* Everything of one call. */
typedef struct embeddings {
    const ib_embeddings_options *o;
    ib_adapter *adapter;
    ib_keyframes keys;
    size_t rows, prompts;
    float *z, *t;   /* [rows,T,D], [rows] */
    float *gate;    /* [rows] how far they follow their guides; NULL: no guides */
    double *pts;    /* [rows] seconds */
    float *nothing; /* [T,D] of a picture that is zero everywhere after normalisation; NULL if the space has
                       no such thing */
    ib_path_options path;
    ib_guiding guiding;
    ib_seeking seeking;
} embeddings;

void ib_embeddings_defaults(ib_embeddings_options *o) {
    *o = (ib_embeddings_options){
        .frames = 25, .fps = 24, .preview_every = 1, .crf = -1, .trust = -1, .guide_scale = 1};
}

bool ib_embeddings_name(const char *output) {
    static const char ending[] = ".safetensors";
    size_t n = strlen(output), m = sizeof ending - 1;
    return n > m && !strcmp(output + n - m, ending);
}

static int check_embeddings(const ib_embeddings_options *o, ib_error *err) {
    if (o->n_keyframes < 2 || o->n_keyframes > MAX_KEYFRAMES) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu keyframes, 2 to %d were expected", o->n_keyframes,
                       MAX_KEYFRAMES);
    }
    if (o->frames < 2 || o->frames > MAX_FRAMES || !(o->fps > 0 && o->fps <= 1000) ||
        !(o->gap_seconds >= 0 && o->gap_seconds < 1e6)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "2 to %d frames from keyframe to keyframe, above 0 and at most 1000 a second and a "
                       "gap of 0 to 1000000 "
                       "seconds were expected, not %d, %g and %g",
                       MAX_FRAMES, o->frames, o->fps, o->gap_seconds);
    }
    if (!(o->trust == -1 || (o->trust >= 0 && o->trust <= 1))) {
        return ib_fail(err, IB_E_ARGUMENT, "a trust of %g, 0 to 1 was expected", o->trust);
    }
    if (!(o->guide_scale >= 0 && o->guide_scale <= IB_GUIDE_SCALE_MOST)) {
        return ib_fail(err, IB_E_ARGUMENT, "a guide scale of %g, 0 to %g was expected", o->guide_scale,
                       IB_GUIDE_SCALE_MOST);
    }
    if (o->space && ib_space_decodes(o->space)) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: embeddings are for spaces without pictures of their own, and the space %s has "
                       "them; name a clip, "
                       "such as clip.mp4, or another space (--space clip:PATH)",
                       o->output, ib_space_id(o->space));
    }
    if (ib_embeddings_name(o->output) && o->n_preview) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: a preview is a clip, such as clip.mp4; the embeddings need no footage",
                       o->output);
    }
    if (!ib_embeddings_name(o->output) && !o->n_preview) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: this space cannot turn embeddings into pictures by itself; write them for a "
                       "diffusion pipeline "
                       "(-o NAME.safetensors), or see the path in the nearest frames of real footage "
                       "(--preview-from VIDEO...)",
                       o->output);
    }
    return o->n_preview && !o->space
               ? ib_fail(err, IB_E_ARGUMENT,
                         "a preview compares footage with the path in a space; say which (--space clip:PATH)")
               : IB_OK;
}

static int open_adapter(embeddings *e, ib_error *err) {
    if (!e->o->adapter) {
        return IB_OK;
    }
    int rc = ib_adapter_open(&e->adapter, e->o->adapter, err);
    if (!rc && e->o->trust >= 0) {
        ib_adapter_trust(e->adapter, e->o->trust);
    }
    if (!rc) {
        ib_adapter_guide_scale(e->adapter, e->o->guide_scale);
    }
    return rc || !e->o->space
               ? rc
               : ib_adapter_check_space(e->adapter, ib_space_id(e->o->space), "the keyframes", err);
}

/* Prompts moved to the pictures' side. */
static int close_gap(embeddings *e, ib_error *err) {
    ib_modality_gap g;
    if (!e->o->modality_gap) {
        return IB_OK;
    }
    int rc = ib_modality_gap_open(&g, e->o->modality_gap, err);
    if (rc) {
        return rc;
    }
    if (strcmp(g.space_id, e->keys.space_id) || e->keys.shape.tokens != 1 || g.width != e->keys.shape.width) {
        rc = ib_fail(err, IB_E_MISMATCH,
                     "%s: was measured in the space '%s' (%zu values), the keyframes are of '%s' (%zu x %zu)",
                     e->o->modality_gap, g.space_id, g.width, e->keys.space_id, e->keys.shape.tokens,
                     e->keys.shape.width);
    }
    for (size_t i = 0; !rc && i < e->keys.n; i++) {
        if (ib_key_kind_of(e->o->keyframes[i]) == IB_KEY_PROMPT) {
            ib_modality_gap_apply(&g, e->keys.z + i * g.width);
        }
    }
    ib_modality_gap_free(&g);
    return rc;
}

static int read_keys(embeddings *e, ib_error *err) {
    const ib_embeddings_options *o = e->o;
    ib_key_reading how = {o->threads, o->keep_interlaced, o->stop, e->guiding.guide != NULL};
    int rc = ib_keyframes_read(&e->keys, o->space, o->keyframes, o->n_keyframes, &how, err);
    if (!rc && e->adapter) {
        rc = ib_adapter_check_space(e->adapter, e->keys.space_id, "the keyframes", err);
    }
    for (size_t i = 0; i < o->n_keyframes; i++) {
        e->prompts += ib_key_kind_of(o->keyframes[i]) == IB_KEY_PROMPT;
    }
    return rc ? rc : close_gap(e, err);
}

static void set_path(embeddings *e) {
    const ib_embeddings_options *o = e->o;
    double gap = o->gap_seconds > 0 ? o->gap_seconds : (o->frames - 1) / o->fps;
    e->path = (ib_path_options){.frames = o->frames,
                                .ease = o->ease,
                                .loop = o->loop,
                                .gap_seconds = (float)gap,
                                .stop = o->stop,
                                .geometry = ib_geometry_of(e->keys.space_id),
                                .space_id = e->keys.space_id};
}

static int make_rows(embeddings *e, ib_error *err) {
    const ib_embeddings_options *o = e->o;
    const ib_shape *s = &e->keys.shape;
    size_t values = s->tokens * s->width, all;
    set_path(e);
    int rc = ib_seeking_open(&e->seeking, &o->search, e->keys.space_id, o->threads, o->stop, err);
    if (rc) {
        return rc;
    }
    e->path.seeking = e->seeking.judge ? &e->seeking : NULL;
    e->rows = ib_path_rows(&e->path, e->keys.n);
    if (ib_size_mul(e->rows, values, &all)) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu rows", e->rows);
    }
    rc = ib_alloc_floats(&e->z, all, "the path's embeddings", err);
    rc = rc ? rc : ib_alloc_floats(&e->t, e->rows, "the path's places", err);
    e->pts = rc ? NULL : ib_calloc(e->rows, sizeof *e->pts);
    if (!rc && !e->pts) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the times of %zu rows", e->rows);
    }
    if (!rc && e->guiding.guide) {
        rc = ib_alloc_floats(&e->gate, e->rows, "the path's guides", err);
    }
    if (!rc) {
        rc = ib_guiding_begin(&e->guiding, &e->keys, e->path.gap_seconds, e->gate, &e->path.guides, err);
    }
    for (size_t i = 0; !rc && i < e->rows; i++) {
        e->pts[i] = (double)i / o->fps;
    }
    return rc ? rc : ib_path_make(e->adapter, &e->path, s, e->keys.z, e->keys.n, e->z, e->t, err);
}

/* What pipelines take for "no picture" under classifier-free guidance: the embedding of pixel values that are
 * all zero. */
static int encode_nothing(embeddings *e, ib_error *err) {
    ib_space_input in = e->o->space ? ib_space_input_of(e->o->space) : (ib_space_input){0};
    float *zeros = NULL;
    if (!in.floats) {
        return IB_OK;
    }
    int rc = ib_alloc_floats(&zeros, in.floats, "a picture", err);
    rc = rc ? rc
            : ib_alloc_floats(&e->nothing, e->keys.shape.tokens * e->keys.shape.width, "an embedding", err);
    rc = rc ? rc : ib_space_encode_inputs(e->o->space, zeros, 1, e->nothing, err);
    ib_free(zeros);
    return rc;
}

/* Row, kind and word of every keyframe, as JSON text; NULL without memory. */
static char *describe_keys(const embeddings *e) {
    json_t *all = json_array();
    for (size_t i = 0; all && i < e->keys.n; i++) {
        ib_key_kind kind = ib_key_kind_of(e->o->keyframes[i]);
        const char *word = e->o->keyframes[i];
        json_t *key = json_object();
        json_object_set_new(key, "row", json_integer((json_int_t)(i * (size_t)(e->o->frames - 1))));
        json_object_set_new(key, "kind", json_string(ib_key_kind_name(kind)));
        json_object_set_new(key, kind == IB_KEY_PROMPT ? "prompt" : "file",
                            ib_json_text(kind == IB_KEY_PROMPT ? ib_key_prompt(word) : ib_basename(word)));
        if (kind == IB_KEY_PROMPT && e->o->modality_gap) {
            json_object_set_new(key, "modality_gap", json_true());
        }
        json_array_append_new(all, key);
    }
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

static int sha_of(const char *path, char hex[65], ib_error *err) {
    hex[0] = 0;
    return path ? ib_sha256_file(path, hex, err) : IB_OK;
}

static int write_file(embeddings *e, ib_error *err) {
    const ib_embeddings_options *o = e->o;
    const ib_shape *s = &e->keys.shape;
    bool single = s->layout == IB_LAYOUT_SINGLE;
    int64_t rows = (int64_t)e->rows, tokens = (int64_t)s->tokens, width = (int64_t)s->width;
    char fps[32], frames[16], adapter[65], gap[65], judge[65], search[64], *keys = NULL;
    ib_st_meta meta[MOST_META];
    size_t n = 0, m = 0;
    ib_st_tensor t[5] = {{.name = single ? "image_embeds" : "hidden_states", .dtype = IB_F32, .data = e->z}};
    t[n].rank = single ? 2 : 3;
    t[n].shape[0] = rows;
    t[n].shape[1] = single ? width : tokens;
    t[n++].shape[2] = width;
    if (e->nothing) {
        t[n] = t[0];
        t[n].name = single ? "negative_image_embeds" : "negative_hidden_states";
        t[n].shape[0] = 1;
        t[n++].data = e->nothing;
    }
    t[n++] = (ib_st_tensor){.name = "t", .dtype = IB_F32, .rank = 1, .shape = {rows}, .data = e->t};
    t[n++] = (ib_st_tensor){.name = "pts", .dtype = IB_F64, .rank = 1, .shape = {rows}, .data = e->pts};
    if (e->gate) {
        t[n++] =
            (ib_st_tensor){.name = "guide", .dtype = IB_F32, .rank = 1, .shape = {rows}, .data = e->gate};
    }
    snprintf(fps, sizeof fps, "%g", o->fps);
    snprintf(frames, sizeof frames, "%d", o->frames);
    int rc = sha_of(o->adapter, adapter, err);
    rc = rc ? rc : sha_of(o->modality_gap, gap, err);
    rc = rc ? rc : sha_of(o->search.judge, judge, err);
    if (!rc && !(keys = describe_keys(e))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the description of the keyframes");
    }
    if (!rc) {
        meta[m++] = (ib_st_meta){"inbetween.embeddings", "1"};
        meta[m++] = (ib_st_meta){"inbetween.space", e->keys.space_id};
        meta[m++] = (ib_st_meta){"inbetween.layout", ib_layout_name(s->layout)};
        meta[m++] = (ib_st_meta){"inbetween.keyframes", keys};
        meta[m++] = (ib_st_meta){"inbetween.frames", frames};
        meta[m++] = (ib_st_meta){"inbetween.fps", fps};
        meta[m++] = (ib_st_meta){"inbetween.loop", o->loop ? "yes" : "no"};
        meta[m++] = (ib_st_meta){"inbetween.ease", o->ease ? "yes" : "no"};
        meta[m++] = (ib_st_meta){"inbetween.method", o->adapter ? "adapter" : "slerp"};
        if (o->adapter) {
            meta[m++] = (ib_st_meta){"inbetween.adapter_sha256", adapter};
        }
        if (e->gate) {
            meta[m++] = (ib_st_meta){"inbetween.guide", ib_guide_model(e->guiding.guide)};
        }
        if (e->seeking.judge) {
            const ib_search_options *how = &e->seeking.o;
            snprintf(search, sizeof search, "candidates %zu beam %zu condense %zu", how->candidates,
                     how->beam, how->condense);
            meta[m++] = (ib_st_meta){"inbetween.search", search};
            meta[m++] = (ib_st_meta){"inbetween.judge_sha256", judge};
        }
        if (o->modality_gap) {
            meta[m++] = (ib_st_meta){"inbetween.modality_gap_sha256", gap};
        }
        rc = ib_st_write(o->output, t, n, meta, m, err);
    }
    free(keys);
    return rc;
}

const char **ib_embeddings_inputs(const ib_embeddings_options *o, size_t *n) {
    const char **list = calloc(o->n_keyframes + o->n_preview + 4, sizeof *list);
    *n = 0;
    for (size_t i = 0; list && i < o->n_keyframes; i++) {
        list[(*n)++] = o->keyframes[i];
    }
    for (size_t i = 0; list && i < o->n_preview; i++) {
        list[(*n)++] = o->preview_from[i];
    }
    if (list) {
        list[(*n)++] = o->adapter;
        list[(*n)++] = o->modality_gap;
        list[(*n)++] = o->guide;
        list[(*n)++] = o->search.judge;
    }
    return list;
}

static int check_output(const ib_embeddings_options *o, ib_error *err) {
    size_t n;
    const char **inputs = ib_embeddings_inputs(o, &n);
    int rc = inputs ? ib_output_check(o->output, inputs, n, NULL, err)
                    : ib_fail(err, IB_E_MEMORY, "out of memory for the list of keyframes");
    free(inputs);
    return rc || !ib_embeddings_name(o->output) ? rc : ib_st_check_replace(o->output, err);
}

static void release(embeddings *e) {
    ib_free(e->z);
    ib_free(e->t);
    ib_free(e->gate);
    ib_free(e->pts);
    ib_free(e->nothing);
    ib_guiding_free(&e->guiding);
    ib_seeking_free(&e->seeking);
    ib_keyframes_free(&e->keys);
    ib_adapter_free(&e->adapter);
}

void ib_rows_free(ib_rows *r) {
    ib_free(r->z);
    ib_free(r->t);
    ib_free(r->nothing);
    *r = (ib_rows){0};
}

int ib_rows_make(ib_rows *r, const ib_embeddings_options *o, ib_error *err) {
    embeddings e = {.o = o};
    *r = (ib_rows){0};
    int rc = open_adapter(&e, err);
    rc = rc ? rc : ib_guiding_open(&e.guiding, o, e.adapter, err);
    rc = rc ? rc : read_keys(&e, err);
    rc = rc ? rc : make_rows(&e, err);
    rc = rc ? rc : encode_nothing(&e, err);
    if (!rc) {
        *r = (ib_rows){e.rows, e.keys.shape, "", e.z, e.t, e.nothing};
        memcpy(r->space_id, e.keys.space_id, sizeof r->space_id);
        e.z = e.t = e.nothing = NULL;
    }
    release(&e);
    return rc;
}

static int visit_ways(embeddings *e, ib_rows_visit *visit, void *user, ib_error *err) {
    size_t ways = e->keys.n - 1 + e->o->loop, n = (size_t)e->o->frames - 2;
    size_t values = e->keys.shape.tokens * e->keys.shape.width;
    int rc = ib_alloc_floats(&e->t, n, "the path's places", err);
    for (size_t way = 0; !rc && way < ways; way++) {
        const float *z0 = e->keys.z + way * values, *z1 = e->keys.z + (way + 1) % e->keys.n * values;
        ib_sought s;
        ib_path_places(&e->path, e->t);
        rc = ib_seeking_look(&s, e->adapter, &e->path, &e->keys.shape, way, z0, z1, e->t, n, err);
        rc = rc ? rc : visit(user, way, &s, err);
        ib_sought_free(&s);
    }
    return rc;
}

int ib_rows_look(const ib_embeddings_options *o, ib_rows_visit *visit, void *user, ib_error *err) {
    embeddings e = {.o = o};
    int rc = open_adapter(&e, err);
    rc = rc ? rc : ib_guiding_open(&e.guiding, o, e.adapter, err);
    rc = rc ? rc : read_keys(&e, err);
    if (!rc) {
        set_path(&e);
        rc = ib_guiding_begin(&e.guiding, &e.keys, e.path.gap_seconds, NULL, &e.path.guides, err);
    }
    rc = rc ? rc : visit_ways(&e, visit, user, err);
    release(&e);
    return rc;
}

int ib_render_embeddings(const ib_embeddings_options *o, ib_embeddings_summary *summary, ib_error *err) {
    embeddings e = {.o = o};
    ib_embeddings_summary s = {0};
    int rc = check_embeddings(o, err);
    rc = rc ? rc : check_output(o, err);
    rc = rc ? rc : open_adapter(&e, err);
    rc = rc ? rc : ib_guiding_open(&e.guiding, o, e.adapter, err);
    rc = rc ? rc : read_keys(&e, err);
    rc = rc ? rc : make_rows(&e, err);
    if (!rc && o->n_preview) {
        rc = ib_preview_write(o, &e.keys.shape, e.z, e.pts, e.rows, &s, err);
    } else if (!rc) {
        rc = encode_nothing(&e, err);
        rc = rc ? rc : write_file(&e, err);
    }
    s.rows = e.rows;
    s.shape = e.keys.shape;
    s.prompts = e.prompts;
    if (e.gate) {
        s.guided = e.guiding.usable;
        snprintf(s.guide, sizeof s.guide, "%s", ib_guide_model(e.guiding.guide));
    }
    s.ended = e.seeking.ended;
    s.interlaced += e.keys.interlaced;
    if (!rc && summary) {
        *summary = s;
    }
    release(&e);
    return rc;
}
