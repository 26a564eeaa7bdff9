#include "train/dataset.h"
#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"
#include "train/cache.h"

/* Opening a file takes as long as reading a few hundred small frames from it (0.7 ms and 3 us each, measured
 * at 768 values a frame), so whoever has to open one reads this much around the frame that was asked for. */
enum { AROUND_BYTES = 256 << 10 };

struct ib_dataset {
    ib_video *clip;
    size_t clips;
    ib_shape shape[IB_DATASET_MAX_SHAPES];
    size_t shapes;
    ib_cache *cache; /* made when the data set is settled */
    size_t cache_bytes;
    int open_files, now_open;
    uint64_t clock;
    uint16_t *around; /* [max(AROUND_BYTES, one frame)] */
};

int ib_dataset_create(ib_dataset **out, size_t cache_bytes, int open_files, ib_error *err) {
    ib_dataset *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the data set");
    }
    d->open_files = open_files < 1 ? 1 : open_files;
    d->cache_bytes = cache_bytes;
    *out = d;
    return IB_OK;
}

static void forget_guides(ib_video *c) {
    free((void *)(uintptr_t)c->guides.window);
    free((void *)(uintptr_t)c->guides.feature);
    c->guides = (ib_guide_table){0};
}

static void clip_clear(ib_video *c) {
    ib_latent_close(&c->file);
    free(c->path);
    free(c->pts);
    free(c->shot);
    forget_guides(c);
    *c = (ib_video){0};
}

void ib_dataset_free(ib_dataset **dataset) {
    ib_dataset *d = *dataset;
    if (!d) {
        return;
    }
    for (size_t i = 0; i < d->clips; i++) {
        clip_clear(&d->clip[i]);
    }
    free(d->clip);
    ib_cache_free(&d->cache);
    ib_free(d->around);
    free(d);
    *dataset = NULL;
}

/* What makes two files the same video. */
static const char *video_of(const ib_video *c) {
    return c->info.source_sha256[0] ? c->info.source_sha256 : c->info.source;
}

static int compare_clips(const void *left, const void *right) {
    const ib_video *a = left, *b = right;
    const long long x[] = {a->info.frame_width, a->info.frame_height, a->info.every,
                           (long long)a->info.frames};
    const long long y[] = {b->info.frame_width, b->info.frame_height, b->info.every,
                           (long long)b->info.frames};
    int rc = (int)a->valid - (int)b->valid;
    if (!rc) {
        rc = strcmp(video_of(a), video_of(b));
    }
    for (size_t i = 0; !rc && i < sizeof x / sizeof *x; i++) {
        rc = (x[i] > y[i]) - (x[i] < y[i]);
    }
    return rc ? rc : strcmp(a->info.source, b->info.source);
}

static int check_fits(ib_dataset *d, ib_video *c, ib_error *err) {
    const ib_shape *s = &c->info.shape;
    if (d->clips) {
        const ib_video *first = &d->clip[0];
        if (strcmp(first->info.space_id, c->info.space_id)) {
            return ib_fail(err, IB_E_MISMATCH, "%s: of the space '%s', but %s is of the space '%s'", c->path,
                           c->info.space_id, first->path, first->info.space_id);
        }
        if (first->info.shape.layout != s->layout || first->info.shape.width != s->width) {
            return ib_fail(err, IB_E_MISMATCH,
                           "%s: holds %s latents %zu wide, but %s holds %s latents %zu wide", c->path,
                           ib_layout_name(s->layout), s->width, first->path,
                           ib_layout_name(first->info.shape.layout), first->info.shape.width);
        }
    }
    for (size_t i = 0; i < d->shapes; i++) {
        if (d->shape[i].rows == s->rows && d->shape[i].cols == s->cols && d->shape[i].tokens == s->tokens) {
            c->shape = (int)i;
            return IB_OK;
        }
    }
    if (d->shapes == IB_DATASET_MAX_SHAPES) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: would be the %dth different size of latents (%d x %d tokens): expected at most %d; encode "
            "all videos with one --size",
            c->path, IB_DATASET_MAX_SHAPES + 1, s->rows, s->cols, IB_DATASET_MAX_SHAPES);
    }
    c->shape = (int)d->shapes;
    d->shape[d->shapes++] = *s;
    return IB_OK;
}

static int find_shots(ib_video *c, const uint8_t *cuts, ib_error *err) {
    size_t n = c->info.frames, k = 0;
    for (size_t i = 0; i < n; i++) {
        k += i == 0 || cuts[i];
    }
    if (!(c->shot = calloc(k + 1, sizeof *c->shot))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the shots of %s", c->path);
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || cuts[i]) {
            c->shot[c->shots++] = i;
        }
    }
    c->shot[c->shots] = n;
    return IB_OK;
}

static void *copy_of(const void *p, size_t bytes) {
    void *copy = malloc(bytes);
    return copy ? memcpy(copy, p, bytes) : NULL;
}

static int take_guides(ib_dataset *d, ib_video *c, const ib_guide_table *t, ib_error *err) {
    if (!t) {
        return IB_OK;
    }
    c->guides = *t;
    c->guides.window = copy_of(t->window, t->windows * sizeof *t->window);
    c->guides.feature = copy_of(t->feature, t->guides * IB_GUIDE_FEATURES * sizeof *t->feature);
    if (!c->guides.window || !c->guides.feature) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", c->path);
    }
    for (size_t i = 0; i < d->clips; i++) {
        const ib_video *other = &d->clip[i];
        if (other->guides.guides && !ib_guide_same_model(other->guides.model, t->model)) {
            return ib_fail(err, IB_E_MISMATCH,
                           "%s: its guides are of the pixel model %s, but those of %s of %s", c->path,
                           t->model, other->path, other->guides.model);
        }
    }
    return IB_OK;
}

static int add_file(ib_dataset *d, const char *path, bool valid, ib_error *err) {
    ib_video c = {.valid = valid};
    ib_latent_file *f = NULL;
    int rc = ib_latent_open(&f, path, err);
    if (rc) {
        return rc;
    }
    c.info = *ib_latent_info_of(f);
    c.path = strdup(path);
    c.pts = calloc(c.info.frames ? c.info.frames : 1, sizeof *c.pts);
    if (!c.path || !c.pts) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the times of %s", path);
        goto fail;
    }
    memcpy(c.pts, ib_latent_pts(f), c.info.frames * sizeof *c.pts);
    if ((rc = check_fits(d, &c, err)) || (rc = find_shots(&c, ib_latent_cuts(f), err)) ||
        (rc = take_guides(d, &c, ib_latent_guides(f), err))) {
        goto fail;
    }
    ib_latent_close(&f);
    for (size_t i = 0; i < d->clips; i++) {
        if (!compare_clips(&d->clip[i], &c)) {
            clip_clear(&c);
            return IB_OK;
        }
    }
    if (!(d->clips & (d->clips - 1))) { /* grown when the number reaches a power of two */
        ib_video *more = realloc(d->clip, (d->clips ? d->clips * 2 : 1) * sizeof *more);
        if (!more) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for the list of latent files");
            goto fail;
        }
        d->clip = more;
    }
    d->clip[d->clips++] = c;
    return IB_OK;
fail:
    ib_latent_close(&f);
    clip_clear(&c);
    return rc;
}

int ib_dataset_add(ib_dataset *d, const ib_paths *paths, bool valid, ib_error *err) {
    ib_paths all = {0};
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < paths->n; i++) {
        rc = ib_paths_expand(&all, paths->v[i], ib_is_latent_name, err);
    }
    for (size_t i = 0; !rc && i < all.n; i++) {
        rc = add_file(d, all.v[i], valid, err);
    }
    ib_paths_free(&all);
    return rc;
}

/* One video and its lot in the draw for validation. */
typedef struct video {
    const char *name;
    uint64_t lot;
} video;

static int compare_lots(const void *left, const void *right) {
    const video *a = left, *b = right;
    return a->lot != b->lot ? (a->lot > b->lot) - (a->lot < b->lot) : strcmp(a->name, b->name);
}

static uint64_t lot_of(const char *name, uint64_t seed) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    ib_rng rng;
    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    }
    ib_rng_seed2(&rng, seed, hash);
    return ib_rng_u64(&rng);
}

/* clip: sorted, all of one role. */
static int split(ib_dataset *d, double fraction, uint64_t seed, ib_error *err) {
    video *v = calloc(d->clips, sizeof *v);
    size_t n = 0;
    if (!v) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the list of videos");
    }
    for (size_t i = 0; i < d->clips; i++) {
        const char *name = video_of(&d->clip[i]);
        if (!n || strcmp(v[n - 1].name, name)) {
            v[n++] = (video){name, lot_of(name, seed)};
        }
    }
    qsort(v, n, sizeof *v, compare_lots);
    size_t take = (size_t)lround(fraction * (double)n);
    take = take < 1 && n >= 3 && fraction > 0 ? 1 : take;
    take = take >= n ? n - 1 : take;
    for (size_t i = 0; i < d->clips; i++) {
        for (size_t k = 0; k < take; k++) {
            d->clip[i].valid |= !strcmp(v[k].name, video_of(&d->clip[i]));
        }
    }
    free(v);
    return IB_OK;
}

int ib_dataset_settle(ib_dataset *d, double fraction, uint64_t seed, ib_error *err) {
    size_t first_valid = 0;
    int rc = IB_OK;
    if (!d->clips) {
        return ib_fail(err, IB_E_EMPTY, "there are no latent files to train on");
    }
    qsort(d->clip, d->clips, sizeof *d->clip, compare_clips);
    while (first_valid < d->clips && !d->clip[first_valid].valid) {
        first_valid++;
    }
    for (size_t i = 0; i < first_valid; i++) {
        for (size_t k = first_valid; k < d->clips; k++) {
            if (!strcmp(video_of(&d->clip[i]), video_of(&d->clip[k]))) {
                return ib_fail(
                    err, IB_E_ARGUMENT,
                    "%s, a file for training, and %s, one for validation, come from the same video (%s): "
                    "validation needs other videos",
                    d->clip[i].path, d->clip[k].path, d->clip[i].info.source);
            }
        }
    }
    if (first_valid == d->clips && fraction > 0) {
        rc = split(d, fraction, seed, err);
        qsort(d->clip, d->clips, sizeof *d->clip, compare_clips);
    }
    return rc ? rc : ib_cache_create(&d->cache, d->cache_bytes, ib_dataset_values(d), err);
}

size_t ib_dataset_validating(const ib_dataset *d, size_t most, size_t *clips) {
    size_t valid = 0, n = 0, k = 0;
    for (size_t i = 0; i < d->clips; i++) {
        valid += d->clip[i].valid;
    }
    most = valid < most ? valid : most;
    for (size_t i = 0; i < d->clips; i++) {
        if (d->clip[i].valid && n < most && k++ == n * valid / most) {
            clips[n++] = i;
        }
    }
    return n;
}

/* A video's files lie side by side. */
typedef struct lot {
    size_t first, end;
    double weight; /* as the sampler draws it, nearly: without the gap */
} lot;

static int longest_first(const void *left, const void *right) {
    const lot *a = left, *b = right;
    return a->weight != b->weight ? (a->weight < b->weight) - (a->weight > b->weight)
                                  : (a->first > b->first) - (a->first < b->first);
}

int ib_dataset_deal(ib_dataset *d, int rank, int ranks, ib_error *err) {
    lot *v = calloc(d->clips + 1, sizeof *v);
    double *held = calloc((size_t)ranks, sizeof *held);
    size_t n = 0;
    int rc = v && held ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the list of videos");
    for (size_t i = 0; !rc && i < d->clips; i++) {
        if (d->clip[i].valid) {
            continue;
        }
        if (!n || strcmp(video_of(&d->clip[v[n - 1].first]), video_of(&d->clip[i]))) {
            v[n++].first = i;
        }
        v[n - 1].end = i + 1;
        v[n - 1].weight += ib_video_weight(&d->clip[i], 0);
    }
    if (!rc && n < (size_t)ranks) {
        rc = ib_fail(
            err, IB_E_ARGUMENT,
            "%zu training video%s cannot be dealt out to %d ranks: let all ranks train on all of them", n,
            n == 1 ? "" : "s", ranks);
    }
    if (!rc) {
        qsort(v, n, sizeof *v, longest_first);
    }
    for (size_t k = 0; !rc && k < n; k++) {
        int to = 0;
        for (int i = 1; i < ranks; i++) {
            to = held[i] < held[to] ? i : to;
        }
        held[to] += v[k].weight;
        for (size_t i = v[k].first; i < v[k].end; i++) {
            d->clip[i].elsewhere = to != rank;
        }
    }
    free(held);
    free(v);
    return rc;
}

size_t ib_dataset_values(const ib_dataset *d) {
    size_t most = 0;
    for (size_t i = 0; i < d->shapes; i++) {
        size_t n = d->shape[i].tokens * d->shape[i].width;
        most = n > most ? n : most;
    }
    return most;
}

size_t ib_dataset_files(const ib_dataset *d) {
    return d->clips;
}

const ib_video *ib_dataset_video(const ib_dataset *d, size_t i) {
    return &d->clip[i];
}

size_t ib_dataset_shapes(const ib_dataset *d) {
    return d->shapes;
}

const ib_shape *ib_dataset_shape(const ib_dataset *d, size_t i) {
    return &d->shape[i];
}

size_t ib_dataset_videos(const ib_dataset *d, bool valid) {
    size_t n = 0;
    const char *last = NULL;
    for (size_t i = 0; i < d->clips; i++) {
        if (d->clip[i].valid == valid) {
            n += !last || strcmp(last, video_of(&d->clip[i])) != 0;
            last = video_of(&d->clip[i]);
        }
    }
    return n;
}

void ib_dataset_identity(const ib_dataset *d, char hex[65]) {
    struct sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char line[512];
    sha256_init(&ctx);
    for (size_t i = 0; i < d->clips; i++) {
        const ib_video *c = &d->clip[i];
        int n = snprintf(line, sizeof line, "%d %.128s %d %d %d %zu\n", c->valid, video_of(c),
                         c->info.frame_width, c->info.frame_height, c->info.every, c->info.frames);
        sha256_update(&ctx, (size_t)n, (const uint8_t *)line);
        if (c->guides.guides) {
            n = snprintf(line, sizeof line, "guides %zu %zu %s\n", c->guides.windows, c->guides.guides,
                         c->guides.model);
            sha256_update(&ctx, (size_t)n, (const uint8_t *)line);
        }
    }
    sha256_digest(&ctx, sizeof digest, digest);
    ib_text_hex(digest, sizeof digest, hex);
}

static void close_oldest(ib_dataset *d) {
    ib_video *oldest = NULL;
    for (size_t i = 0; i < d->clips; i++) {
        if (d->clip[i].file && (!oldest || d->clip[i].used < oldest->used)) {
            oldest = &d->clip[i];
        }
    }
    if (oldest) {
        ib_latent_close(&oldest->file);
        d->now_open--;
    }
}

int ib_dataset_file(ib_dataset *d, size_t clip, ib_latent_file **file, ib_error *err) {
    ib_video *c = &d->clip[clip];
    if (!c->file) {
        while (d->now_open >= d->open_files) {
            close_oldest(d);
        }
        int rc = ib_latent_open(&c->file, c->path, err);
        if (rc) {
            return rc;
        }
        const ib_latent_info *now = ib_latent_info_of(c->file);
        if (now->frames != c->info.frames || strcmp(now->space_id, c->info.space_id) ||
            now->shape.tokens != c->info.shape.tokens || now->shape.width != c->info.shape.width) {
            ib_latent_close(&c->file);
            return ib_fail(err, IB_E_MISMATCH, "%s: was replaced by another file while training on it",
                           c->path);
        }
        d->now_open++;
    }
    c->used = ++d->clock;
    *file = c->file;
    return IB_OK;
}

/* Infinity and NaN have all bits of the exponent set. */
static bool all_finite(const uint16_t *h, size_t n) {
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        bad |= (h[i] & 0x7c00u) == 0x7c00u;
    }
    return !bad;
}

/* Into the cache: up to AROUND_BYTES of the clip's frames around one that is not there, all from one side of
 * it where the clip ends. */
static int read_around(ib_dataset *d, size_t clip, size_t frame, ib_latent_file *f, ib_error *err) {
    const ib_video *c = &d->clip[clip];
    size_t n = c->info.shape.tokens * c->info.shape.width, k = AROUND_BYTES / (n * sizeof *d->around);
    k = k > ib_cache_places(d->cache) / 4 ? ib_cache_places(d->cache) / 4 : k;
    k = k > c->info.frames ? c->info.frames : k;
    if (k < 2 || (!d->around && !(d->around = ib_calloc(AROUND_BYTES, 1)))) {
        return IB_OK; /* one by one, then */
    }
    size_t first = frame > k / 2 ? frame - k / 2 : 0;
    first = first + k > c->info.frames ? c->info.frames - k : first;
    int rc = ib_latent_read_half(f, first, k, d->around, err);
    for (size_t i = 0; !rc && i < k; i++) {
        uint64_t key = (uint64_t)clip << 40 | (first + i);
        uint16_t *copy = NULL;
        if (all_finite(d->around + i * n, n) && !ib_cache_get(d->cache, key)) {
            copy = ib_cache_put(d->cache, key);
        }
        if (copy) {
            memcpy(copy, d->around + i * n, n * sizeof *copy);
        }
    }
    return rc;
}

int ib_dataset_frame(ib_dataset *d, size_t clip, size_t frame, uint16_t *h, ib_error *err) {
    const ib_video *c = &d->clip[clip];
    size_t n = c->info.shape.tokens * c->info.shape.width;
    uint64_t key = (uint64_t)clip << 40 | frame;
    const uint16_t *held = ib_cache_get(d->cache, key);
    if (held) {
        memcpy(h, held, n * sizeof *h);
        return IB_OK;
    }
    ib_latent_file *f;
    bool opened = c->file != NULL;
    int rc = ib_dataset_file(d, clip, &f, err);
    rc = rc || opened ? rc : read_around(d, clip, frame, f, err);
    held = rc || opened ? NULL : ib_cache_get(d->cache, key);
    if (held) {
        memcpy(h, held, n * sizeof *h);
        return IB_OK;
    }
    if (!rc) {
        rc = ib_latent_read_half(f, frame, 1, h, err);
    }
    if (!rc && !all_finite(h, n)) {
        rc = ib_fail(err, IB_E_NONFINITE, "%s: frame %zu holds a value that is not finite", c->path, frame);
    }
    uint16_t *copy = rc ? NULL : ib_cache_put(d->cache, key);
    if (copy) {
        memcpy(copy, h, n * sizeof *h);
    }
    return rc;
}

int ib_dataset_guide(ib_dataset *d, size_t clip, size_t guide, uint16_t *h, ib_error *err) {
    const ib_video *c = &d->clip[clip];
    size_t n = c->info.shape.tokens * c->info.shape.width, held = 0;
    uint64_t key =
        (uint64_t)clip << 40 | (c->info.frames + IB_GUIDE_PICTURES * guide); /* behind the frames */
    for (; held < IB_GUIDE_PICTURES; held++) {
        const uint16_t *picture = ib_cache_get(d->cache, key + held);
        if (!picture) {
            break;
        }
        memcpy(h + held * n, picture, n * sizeof *h);
    }
    if (held == IB_GUIDE_PICTURES) {
        return IB_OK;
    }
    ib_latent_file *f;
    int rc = ib_dataset_file(d, clip, &f, err);
    rc = rc ? rc : ib_latent_read_guides_half(f, guide, 1, h, err);
    if (!rc && !all_finite(h, IB_GUIDE_PICTURES * n)) {
        rc = ib_fail(err, IB_E_NONFINITE, "%s: guide %zu holds a value that is not finite", c->path, guide);
    }
    for (size_t p = 0; !rc && p < IB_GUIDE_PICTURES; p++) {
        uint16_t *copy = ib_cache_get(d->cache, key + p) ? NULL : ib_cache_put(d->cache, key + p);
        if (copy) {
            memcpy(copy, h + p * n, n * sizeof *copy);
        }
    }
    return rc;
}

void ib_dataset_forget_guides(ib_dataset *d) {
    for (size_t i = 0; i < d->clips; i++) {
        forget_guides(&d->clip[i]);
    }
}

const char *ib_dataset_guide_model(const ib_dataset *d) {
    for (size_t i = 0; i < d->clips; i++) {
        if (d->clip[i].guides.guides && !d->clip[i].valid) {
            return d->clip[i].guides.model;
        }
    }
    return "";
}

int ib_dataset_guide_gap(const ib_dataset *d) {
    int gap = 0;
    for (size_t i = 0; i < d->clips; i++) {
        const ib_guide_table *t = &d->clip[i].guides;
        int last = t->windows && !d->clip[i].valid ? t->window[t->windows - 1].gap : 0;
        gap = last > gap ? last : gap;
    }
    return gap;
}

int ib_dataset_scan(ib_dataset *d, size_t max_frames, ib_error *err) {
    size_t frames = 0, largest = ib_dataset_values(d);
    int rc = IB_OK;
    for (size_t i = 0; i < d->clips; i++) {
        frames += d->clip[i].info.frames;
    }
    size_t every = max_frames && frames > max_frames ? (frames + max_frames - 1) / max_frames : 1, at = 0;
    uint16_t *h = ib_calloc(largest, sizeof *h);
    if (!h) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame of %zu values", largest);
    }
    for (size_t i = 0; !rc && i < d->clips; i++) {
        for (; !rc && at < d->clip[i].info.frames; at += every) {
            rc = ib_dataset_frame(d, i, at, h, err);
        }
        at -= d->clip[i].info.frames;
    }
    ib_free(h);
    return rc;
}
