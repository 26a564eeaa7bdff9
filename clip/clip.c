#include "clip/clip.h"

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "clip/preprocess.h"
#include "clip/tokenizer.h"
#include "clip/transformer.h"
#include "nn/forward.h"

/* Rows of tokens that one pass holds: enough that widening and packing the weights does not count, and 8
 * pictures of 257 tokens. */
enum { PASS_ROWS = 2304, MAX_PASS = 64 };

struct ib_clip {
    ib_clip_sources sources;
    ib_clip_tower vision, text;
    ib_clip_preprocess preprocess;
    char *tokenizer_path;
    ib_tokenizer *tokenizer; /* NULL: not there, or not needed */
    int threads;
    pthread_mutex_t lock; /* over work */
    ib_clip_work work;
};

static int load_preprocess(ib_clip *c, ib_error *err) {
    static const char *const places[] = {"preprocessor_config.json",
                                         "feature_extractor/preprocessor_config.json",
                                         "image_processor/preprocessor_config.json", "open_clip_config.json"};
    ib_clip_preprocess_defaults(&c->preprocess);
    char *path = c->vision.present
                     ? ib_clip_beside(&c->sources, c->vision.source, places, sizeof places / sizeof *places)
                     : NULL;
    int rc = path ? ib_clip_preprocess_load(&c->preprocess, path, err) : IB_OK;
    free(path);
    return rc;
}

/* Where vocab.json or tokenizer.json is; what it stands for is a folder, or that file. */
static int load_tokenizer(ib_clip *c, const char *path, ib_error *err) {
    static const char *const places[] = {
        "vocab.json",     "tokenizer/vocab.json",     "../tokenizer/vocab.json",
        "tokenizer.json", "tokenizer/tokenizer.json", "../tokenizer/tokenizer.json"};
    if (!c->text.present) {
        return IB_OK;
    }
    if (path) {
        c->tokenizer_path = strdup(path);
    } else {
        char *file = ib_clip_beside(&c->sources, c->text.source, places, sizeof places / sizeof *places);
        if (!file) {
            return IB_OK;
        }
        const char *base = ib_basename(file);
        if (!strcmp(base, "vocab.json")) {
            file[base - file - (base > file)] = 0;
        }
        c->tokenizer_path = file;
    }
    if (!c->tokenizer_path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening a tokenizer");
    }
    int rc = ib_tokenizer_open(&c->tokenizer, c->tokenizer_path, err);
    if (!rc && ib_tokenizer_size(c->tokenizer) > c->text.vocab) {
        rc = ib_fail(
            err, IB_E_MISMATCH, "%s: the tokenizer has %zu tokens, but the text tower in %s knows %zu",
            c->tokenizer_path, ib_tokenizer_size(c->tokenizer), c->text.source->path.v[0], c->text.vocab);
    }
    return rc;
}

int ib_clip_open(ib_clip **out, const char *path, const ib_clip_options *o, ib_error *err) {
    ib_clip *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    pthread_mutex_init(&c->lock, NULL);
    c->threads = o && o->threads > 0 ? o->threads : omp_get_max_threads();
    int rc = ib_clip_sources_open(&c->sources, path, err);
    rc = rc ? rc
            : ib_clip_towers_open(&c->sources, o ? o->activation : NULL, o ? o->under : NULL, &c->vision,
                                  &c->text, err);
    rc = rc ? rc : load_preprocess(c, err);
    rc = rc ? rc : load_tokenizer(c, o ? o->tokenizer : NULL, err);
    if (rc) {
        ib_clip_close(&c);
        return rc;
    }
    *out = c;
    return IB_OK;
}

void ib_clip_close(ib_clip **pc) {
    ib_clip *c = *pc;
    *pc = NULL;
    if (!c) {
        return;
    }
    ib_clip_work_free(&c->work);
    ib_tokenizer_close(&c->tokenizer);
    free(c->tokenizer_path);
    ib_clip_tower_close(&c->text);
    ib_clip_tower_close(&c->vision);
    ib_clip_sources_close(&c->sources);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

const ib_clip_tower *ib_clip_vision(const ib_clip *c) {
    return c->vision.present ? &c->vision : NULL;
}

const ib_clip_tower *ib_clip_text(const ib_clip *c) {
    return c->text.present ? &c->text : NULL;
}

const ib_clip_preprocess *ib_clip_preprocess_of(const ib_clip *c) {
    return &c->preprocess;
}

const char *ib_clip_tokenizer_path(const ib_clip *c) {
    return c->tokenizer ? c->tokenizer_path : NULL;
}

static const char *first_file(const ib_clip *c) {
    return c->sources.v[0].path.v[0];
}

static int need_vision(const ib_clip *c, ib_error *err) {
    if (c->vision.present) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_UNSUPPORTED,
                   "%s: holds a text tower and no image tower: looked for a tensor whose name ends in "
                   "'vision_model.embeddings.class_embedding' or 'visual.class_embedding'",
                   first_file(c));
}

static int need_text(const ib_clip *c, ib_error *err) {
    if (c->text.present) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_UNSUPPORTED,
                   "%s: holds an image tower and no text tower: looked for a tensor whose name ends in "
                   "'text_model.embeddings.token_embedding.weight' or 'token_embedding.weight'",
                   first_file(c));
}

static int need_projection(const ib_clip_tower *t, ib_error *err) {
    static const char *const name[IB_CLIP_NAMINGS][2] = {
        [IB_CLIP_HF] = {"visual_projection.weight", "text_projection.weight"},
        [IB_CLIP_OPENCLIP] = {"visual.proj", "text_projection"},
        [IB_CLIP_HF_BARE] = {"visual_projection.weight", "text_projection.weight"}};
    if (t->projection) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_UNSUPPORTED,
                   "%s: the %s tower has no projection into the joint space: looked for tensor '%s%s'",
                   t->source->path.v[0], t->side == IB_CLIP_VISION ? "image" : "text", t->prefix,
                   name[t->naming][t->side]);
}

size_t ib_clip_batch(const ib_clip *c) {
    size_t n = c->vision.present ? PASS_ROWS / c->vision.tokens : 1;
    return n < 1 ? 1 : n > MAX_PASS ? MAX_PASS : n;
}

int ib_clip_prepare(const ib_clip *c, ib_fit fit, const uint8_t *rgb, size_t stride, int width, int height,
                    float *pixels, ib_error *err) {
    int rc = need_vision(c, err);
    return rc ? rc
              : ib_clip_preprocess_run(&c->preprocess, fit, (int)c->vision.image, rgb, stride, width, height,
                                       pixels, err);
}

/* ---- the image tower ---- */

/* One picture's patches as rows: [G*G, 3 patch patch]. */
static void patches_clip(const ib_clip_tower *t, const float *pixels, float *rows) {
    size_t p = t->patch, side = t->image, grid = side / p;
    for (size_t gy = 0; gy < grid; gy++) {
        for (size_t gx = 0; gx < grid; gx++) {
            for (size_t c = 0; c < 3; c++) {
                for (size_t y = 0; y < p; y++, rows += p) {
                    memcpy(rows, pixels + (c * side + gy * p + y) * side + gx * p, p * sizeof *rows);
                }
            }
        }
    }
}

/* work.x becomes the tokens of n pictures after `layers` blocks. */
static int see(ib_clip *c, const float *pixels, size_t n, size_t layers, ib_error *err) {
    const ib_clip_tower *t = &c->vision;
    ib_clip_work *w = &c->work;
    size_t cells = t->tokens - 1, taps = 3 * t->patch * t->patch, width = t->width;
    int rc = ib_clip_work_reserve(w, t, n, t->tokens, taps, c->threads, err);
    if (rc) {
        return rc;
    }
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
        patches_clip(t, pixels + (size_t)i * 3 * t->image * t->image, w->wide + (size_t)i * cells * taps);
    }
    ib_clip_linear(w, w->wide, t->conv, n * cells, width, taps, w->norm);
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (ptrdiff_t r = 0; r < (ptrdiff_t)(n * t->tokens); r++) {
        size_t i = (size_t)r / t->tokens, k = (size_t)r % t->tokens;
        const float *from = k ? w->norm + (i * cells + k - 1) * width : t->class_row;
        float *x = w->x + (size_t)r * width;
        for (size_t j = 0; j < width; j++) {
            x[j] = from[j] + t->positions[k * width + j];
        }
        ib_layer_norm(x, t->pre_w, t->pre_b, t->eps, 1, width, 1, x);
    }
    ib_clip_blocks(t, w, n, t->tokens, layers);
    return IB_OK;
}

/* The normalised rows at[i] of work.x through the projection. at: [n]; z: [n,D] */
static void project(ib_clip *c, const ib_clip_tower *t, const size_t *at, size_t n, float *z) {
    ib_clip_work *w = &c->work;
    for (size_t i = 0; i < n; i++) {
        ib_layer_norm(w->x + at[i] * t->width, t->post_w, t->post_b, t->eps, 1, t->width, 1,
                      w->norm + i * t->width);
    }
    ib_clip_linear(w, w->norm, t->project, n, t->projection, t->width, z);
}

int ib_clip_images(ib_clip *c, const float *pixels, size_t n, float *z, ib_error *err) {
    const ib_clip_tower *t = &c->vision;
    size_t step = ib_clip_batch(c), at[MAX_PASS];
    int rc = need_vision(c, err);
    if (rc || (rc = need_projection(t, err))) {
        return rc;
    }
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n && !rc; i += step) {
        size_t m = n - i < step ? n - i : step;
        if ((rc = see(c, pixels + i * 3 * t->image * t->image, m, t->layers, err))) {
            break;
        }
        for (size_t k = 0; k < m; k++) {
            at[k] = k * t->tokens;
        }
        project(c, t, at, m, z + i * t->projection);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int ib_clip_image_hidden(ib_clip *c, const float *pixels, size_t n, size_t skip, float *h, ib_error *err) {
    const ib_clip_tower *t = &c->vision;
    size_t step = ib_clip_batch(c), each = t->tokens * t->width;
    int rc = need_vision(c, err);
    if (rc) {
        return rc;
    }
    if (skip > t->layers) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu blocks cannot be left out of %zu", skip, t->layers);
    }
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n && !rc; i += step) {
        size_t m = n - i < step ? n - i : step;
        if (!(rc = see(c, pixels + i * 3 * t->image * t->image, m, t->layers - skip, err))) {
            memcpy(h + i * each, c->work.x, m * each * sizeof *h);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- the text tower ---- */

int ib_clip_tokenize(const ib_clip *c, const char *prompt, int32_t *ids, ib_error *err) {
    int rc = need_text(c, err);
    if (rc) {
        return rc;
    }
    if (!c->tokenizer) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "a prompt needs a tokenizer: looked for vocab.json with merges.txt, and for "
                       "tokenizer.json, in %s and in a "
                       "folder tokenizer beside; --tokenizer names another place",
                       c->text.source->folder);
    }
    return ib_tokenizer_encode(c->tokenizer, prompt, c->text.tokens, ids, err);
}

/* work.x becomes the first `tokens` tokens of n prompts after `layers` blocks; what follows them has no part
 * in them. */
static int read(ib_clip *c, const int32_t *ids, size_t n, size_t tokens, size_t layers, ib_error *err) {
    const ib_clip_tower *t = &c->text;
    ib_clip_work *w = &c->work;
    size_t width = t->width;
    int rc = ib_clip_work_reserve(w, t, n, tokens, 0, c->threads, err);
    if (rc) {
        return rc;
    }
    for (size_t r = 0; r < n * tokens; r++) {
        size_t i = r / tokens, k = r % tokens;
        int32_t id = ids[i * t->tokens + k];
        if (id < 0 || (size_t)id >= t->vocab) {
            return ib_fail(err, IB_E_ARGUMENT, "token %d is outside 0..%zu", id, t->vocab - 1);
        }
        ib_clip_row_get(t->table, (size_t)id, w->x + r * width);
        for (size_t j = 0; j < width; j++) {
            w->x[r * width + j] += t->positions[k * width + j];
        }
    }
    ib_clip_blocks(t, w, n, tokens, layers);
    return IB_OK;
}

static size_t end_of(const int32_t *ids, size_t tokens) {
    size_t end = 0;
    for (size_t k = 1; k < tokens; k++) {
        end = ids[k] > ids[end] ? k : end;
    }
    return end;
}

static size_t text_step(const ib_clip_tower *t) {
    size_t n = PASS_ROWS / t->tokens;
    return n < 1 ? 1 : n > MAX_PASS ? MAX_PASS : n;
}

int ib_clip_texts(ib_clip *c, const int32_t *ids, size_t n, float *z, ib_error *err) {
    const ib_clip_tower *t = &c->text;
    size_t step, at[MAX_PASS];
    int rc = need_text(c, err);
    if (rc || (rc = need_projection(t, err))) {
        return rc;
    }
    step = text_step(t);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n && !rc; i += step) {
        size_t m = n - i < step ? n - i : step, longest = 0;
        for (size_t k = 0; k < m; k++) {
            at[k] = end_of(ids + (i + k) * t->tokens, t->tokens);
            longest = at[k] > longest ? at[k] : longest;
        }
        if ((rc = read(c, ids + i * t->tokens, m, longest + 1, t->layers, err))) {
            break;
        }
        for (size_t k = 0; k < m; k++) {
            at[k] += k * (longest + 1);
        }
        project(c, t, at, m, z + i * t->projection);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int ib_clip_text_hidden(ib_clip *c, const int32_t *ids, size_t n, size_t skip, bool final_norm, float *h,
                        ib_error *err) {
    const ib_clip_tower *t = &c->text;
    size_t step, each = t->tokens * t->width;
    int rc = need_text(c, err);
    if (rc) {
        return rc;
    }
    if (skip > t->layers) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu blocks cannot be left out of %zu", skip, t->layers);
    }
    step = text_step(t);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n && !rc; i += step) {
        size_t m = n - i < step ? n - i : step;
        if ((rc = read(c, ids + i * t->tokens, m, t->tokens, t->layers - skip, err))) {
            break;
        }
        memcpy(h + i * each, c->work.x, m * each * sizeof *h);
        if (final_norm) {
            ib_layer_norm(h + i * each, t->post_w, t->post_b, t->eps, m * t->tokens, t->width, c->threads,
                          h + i * each);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}
