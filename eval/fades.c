/* The row "cross-fade seen": the keyframes' pictures faded into each other and embedded. What a guide is
 * worth beside it is what the pixel model knows. */
#include <string.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "eval/guides.h"
#include "eval/score.h"
#include "video_io/reader.h"

enum { PIECE = 16 }; /* pictures that are embedded together */

typedef struct fades {
    const ib_judge *judge;
    const ib_store *store;
    ib_windows *windows;
    size_t gaps, methods;
    ib_frame *key; /* [gaps] the first keyframe of the window at hand */
    size_t *at;    /* [gaps] windows done */
    ib_frame fade[PIECE];
    float *z; /* [PIECE, T,D] */
    ib_scene scene;
} fades;

static void fade_plane(const uint8_t *a, const uint8_t *b, uint8_t *out, size_t n, int part) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)((a[i] * (256 - part) + b[i] * part + 128) >> 8);
    }
}

/* At t, in steps of 1/256. */
static void fade_frames(const ib_frame *a, const ib_frame *b, float t, ib_frame *out) {
    int part = (int)(256 * t + 0.5f);
    for (int p = 0; p < 3; p++) {
        int w = p ? (a->width + 1) / 2 : a->width, h = p ? (a->height + 1) / 2 : a->height;
        for (int y = 0; y < h; y++) {
            size_t row = (size_t)y;
            fade_plane(a->plane[p] + row * a->stride[p], b->plane[p] + row * b->stride[p],
                       out->plane[p] + row * out->stride[p], (size_t)w, part);
        }
    }
    for (int y = 0; y < a->height && a->rgb && b->rgb && out->rgb; y++) {
        size_t row = (size_t)y;
        fade_plane(a->rgb + row * a->rgb_stride, b->rgb + row * b->rgb_stride,
                   out->rgb + row * out->rgb_stride, 3 * (size_t)a->width, part);
    }
    out->matrix = a->matrix;
}

/* As a latent file would give it back. */
static void round_to_halves(float *z, size_t n) {
    uint16_t half[1024];
    for (size_t i = 0; i < n; i += 1024) {
        size_t m = n - i < 1024 ? n - i : 1024;
        ib_f32_to_f16(z + i, half, m);
        ib_f16_to_f32(half, z + i, m);
    }
}

/* Targets begin to begin + n - 1 of the window. marks: [gap - 1, methods] */
static int judge_piece(fades *f, const ib_frame *a, const ib_frame *b, int gap, size_t first, int begin,
                       size_t n, ib_marks *marks, ib_error *err) {
    const double *pts = ib_latent_pts(ib_store_file(f->store)) + first;
    const ib_frame *frame[PIECE];
    size_t row = ib_judge_seen(f->judge, IB_SEEN_FADE);
    for (size_t i = 0; i < n; i++) {
        fade_frames(a, b, ib_score_place(pts, gap, begin + (int)i), &f->fade[i]);
        frame[i] = &f->fade[i];
    }
    int rc = ib_space_encode_frames(f->judge->space, frame, n, f->z, err);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t k = (size_t)begin + i;
        ib_marks *here = marks + (k - 1) * f->methods;
        float *z = f->z + i * f->scene.n;
        round_to_halves(z, f->scene.n);
        rc = ib_store_read(f->store, first + k, f->scene.truth, err);
        if (!rc) {
            ib_scene_mark(&f->scene, z, NULL, f->store, first + k, &here[row]);
            here[row].v[IB_MARK_SLERP] = here[IB_EVAL_SLERP].v[IB_MARK_ERROR];
        }
    }
    return rc;
}

static int judge_fade(fades *f, size_t g, const ib_frame *last, ib_error *err) {
    ib_windows *w = &f->windows[g];
    size_t first = w->firsts[f->at[g]];
    ib_marks *marks = w->marks + f->at[g] * ((size_t)w->gap - 1) * f->methods;
    int rc = IB_OK;
    for (int k = 1; k < w->gap && !rc; k += PIECE) {
        size_t n = (size_t)(w->gap - k < PIECE ? w->gap - k : PIECE);
        rc = judge_piece(f, &f->key[g], last, w->gap, first, k, n, marks, err);
        rc = !rc && ib_judge_stopped(f->judge, ib_latent_path(ib_store_file(f->store)), err)
                 ? IB_E_INTERRUPTED
                 : rc;
    }
    f->at[g]++;
    return rc;
}

static int alloc_like(ib_frame *f, const ib_frame *like, ib_error *err) {
    return like->rgb ? ib_frame_alloc_rgb(f, like->width, like->height, err)
                     : ib_frame_alloc(f, like->width, like->height, err);
}

static int begin_fades(fades *f, const ib_frame *in, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(ib_store_file(f->store));
    int rc = ib_scene_open(&f->scene, f->judge, &info->shape, in->width, in->height, in->matrix, NULL, err);
    rc = rc ? rc : ib_alloc_floats(&f->z, PIECE * f->scene.n, "embedded cross-fades", err);
    for (size_t i = 0; i < PIECE && !rc; i++) {
        rc = alloc_like(&f->fade[i], in, err);
    }
    for (size_t g = 0; g < f->gaps && !rc; g++) {
        rc = alloc_like(&f->key[g], in, err);
    }
    return rc;
}

/* Windows follow each other, so a gap needs but one keyframe at a time. */
static int judge_frame(fades *f, const ib_frame *in, size_t number, ib_error *err) {
    int rc = IB_OK;
    for (size_t g = 0; g < f->gaps && !rc; g++) {
        const ib_windows *w = &f->windows[g];
        bool guided = w->guides != NULL;
        if (guided && f->at[g] < w->n && number == w->firsts[f->at[g]] + (size_t)w->gap) {
            rc = judge_fade(f, g, in, err);
        }
        if (guided && f->at[g] < w->n && number == w->firsts[f->at[g]]) {
            ib_frame_copy(&f->key[g], in);
        }
    }
    return rc;
}

int ib_judge_fades(const ib_judge *j, const char *video, int width, int height, const ib_store *store,
                   ib_windows *w, size_t gaps, ib_error *err) {
    ib_judge alone = *j;
    bool resizes = ib_space_resizes(j->space);
    fades f = {.judge = &alone, .store = store, .windows = w, .gaps = gaps, .methods = ib_judge_methods(j)};
    ib_reader_options o = {.width = resizes ? 0 : width,
                           .height = resizes ? 0 : height,
                           .auto_orient = !resizes,
                           .rgb = resizes,
                           .threads = j->threads,
                           .keep_interlaced = j->keep_interlaced,
                           .stop = j->stop};
    const ib_frame *in;
    ib_reader *reader = NULL;
    size_t due = 0;
    int more = 0;
    for (size_t g = 0; g < gaps; g++) {
        due = w[g].guides && w[g].n && w[g].firsts[w[g].n - 1] + (size_t)w[g].gap > due
                  ? w[g].firsts[w[g].n - 1] + (size_t)w[g].gap
                  : due;
    }
    alone.adapters = 0;
    f.key = ib_calloc(gaps, sizeof *f.key);
    f.at = ib_calloc(gaps, sizeof *f.at);
    int rc = f.key && f.at ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for cross-fades of %s", video);
    rc = rc || !due ? rc : ib_reader_open(&reader, video, &o, err);
    for (size_t i = 0; !rc && due && i <= due && (more = ib_reader_next(reader, &in, err)) == 1; i++) {
        rc = i ? IB_OK : begin_fades(&f, in, err);
        rc = rc ? rc : judge_frame(&f, in, i, err);
    }
    ib_reader_close(&reader);
    ib_scene_close(&f.scene);
    for (size_t i = 0; i < PIECE; i++) {
        ib_frame_free(&f.fade[i]);
    }
    for (size_t g = 0; f.key && g < gaps; g++) {
        ib_frame_free(&f.key[g]);
    }
    ib_free(f.key);
    ib_free(f.at);
    ib_free(f.z);
    return more < 0 ? more : rc;
}
