/* What noise does to the true frame itself: below that, an error means nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <omp.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "eval/explain.h"
#include "eval/pixels.h"
#include "eval/scene.h"
#include "nn/gemm.h"
#include "video_io/reader.h"
#include "video_io/recode.h"

enum {
    CHUNK = 128,       /* frames that are encoded as one sequence, by one thread */
    IN_VIDEO = 64,     /* of a video whose space has no decoder, from its beginning */
    IN_VIDEO_EVERY = 4 /* of which so many are passed over, as such spaces take long */
};

const char *const ib_oracle_names[IB_ORACLES] = {"space floor", "shift 1 px", "crf 23"};

/* One luma sample to the right, half a chroma sample; the left edge is repeated. */
static void shift(const ib_frame *in, ib_frame *out) {
    for (int p = 0; p < 3; p++) {
        int w = p ? (in->width + 1) / 2 : in->width, h = p ? (in->height + 1) / 2 : in->height;
        for (int y = 0; y < h; y++) {
            const uint8_t *from = in->plane[p] + (size_t)y * in->stride[p];
            uint8_t *to = out->plane[p] + (size_t)y * out->stride[p];
            to[0] = from[0];
            for (int x = 1; x < w; x++) {
                to[x] = p ? (uint8_t)((from[x - 1] + from[x] + 1) / 2) : from[x - 1];
            }
        }
    }
}

/* As a latent file would give it back. */
static int encode_oracles(const ib_scene *s, const ib_frame *f, ib_error *err) {
    enum { PIECE = 2048 };
    uint16_t half[PIECE];
    int rc = ib_space_encode(s->judge->space, f, s->out, err);
    for (size_t i = 0; i < s->n && !rc; i += PIECE) {
        size_t m = s->n - i < PIECE ? s->n - i : PIECE;
        ib_f32_to_f16(s->out + i, half, m);
        ib_f16_to_f32(half, s->out + i, m);
    }
    return rc;
}

/* The true frame is in the scene's truth and truth_frame. */
static int mark_frame(ib_scene *s, const ib_frame *recoded, const ib_store *store, size_t number,
                      ib_marks *marks, ib_error *err) {
    const ib_judge *j = s->judge;
    double gradient = s->decodes ? ib_gradient_energy(&s->truth_frame) : NAN;
    int rc = IB_OK;
    if (s->decodes) {
        ib_ms_ssim_truth(s->ms, &s->truth_frame);
    }
    for (size_t i = 0; i < j->oracles && !rc; i++) {
        const ib_frame *picture = recoded;
        switch (IB_ORACLES - j->oracles + i) {
        case IB_ORACLE_FLOOR:
            rc = encode_oracles(s, &s->truth_frame, err);
            rc = rc ? rc : ib_space_decode(j->space, s->out, &s->frame, err);
            picture = &s->frame;
            break;
        case IB_ORACLE_SHIFT:
            shift(&s->truth_frame, &s->frame);
            picture = &s->frame;
            rc = encode_oracles(s, picture, err);
            break;
        default:
            rc = encode_oracles(s, picture, err);
        }
        if (!rc) {
            ib_scene_mark(s, s->out, s->decodes ? picture : NULL, store, number, &marks[i]);
            marks[i].v[IB_MARK_TRUE_GRADIENT] = gradient;
        }
    }
    return rc;
}

/* ---- a sequence of frames ---- */

/* n frames that follow each other, from number `first` on; of each `every` of them the second is measured
 * (all, if that is 1): it is a target at any even gap. */
static int mark_frames(ib_scene *s, const ib_frame *frame, size_t n, size_t first, size_t every, double fps,
                       const ib_store *store, ib_marks *marks, ib_error *err) {
    ib_frame *recoded = calloc(n, sizeof *recoded);
    int rc = recoded ? ib_recode(frame, n, fps, IB_EVAL_CRF, recoded, err)
                     : ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames", n);
    for (size_t i = 0; i < n && !rc; i++) {
        if (every > 1 && (first + i) % every != 1) {
            continue;
        }
        rc = ib_store_read(store, first + i, s->truth, err);
        ib_frame_copy(&s->truth_frame, &frame[i]);
        rc = rc ? rc
                : mark_frame(s, &recoded[i], store, first + i, marks + (first + i) * s->judge->oracles, err);
        rc = !rc && ib_judge_stopped(s->judge, ib_latent_path(ib_store_file(store)), err) ? IB_E_INTERRUPTED
                                                                                          : rc;
    }
    for (size_t i = 0; recoded && i < n; i++) {
        ib_frame_free(&recoded[i]);
    }
    free(recoded);
    return rc;
}

/* ---- a video in a space that cannot be decoded: its own frames, some of them ---- */

/* Without RGB: a space that wants it makes it of what is shifted and recoded, too. */
static int read_frames(const ib_judge *j, const char *video, int width, int height, ib_frame *frame,
                       size_t *n, double *fps, ib_error *err) {
    ib_reader_options o = {.width = width,
                           .height = height,
                           .auto_orient = true,
                           .threads = j->threads,
                           .keep_interlaced = j->keep_interlaced};
    const ib_frame *in;
    ib_reader *reader;
    int more = 0, rc = ib_reader_open(&reader, video, &o, err);
    *n = 0;
    if (rc) {
        return rc;
    }
    *fps = ib_reader_info(reader)->fps;
    while (*n < IN_VIDEO && (more = ib_reader_next(reader, &in, err)) == 1 && !rc) {
        rc = ib_frame_alloc(&frame[*n], in->width, in->height, err);
        if (!rc) {
            ib_frame_copy(&frame[(*n)++], in);
        }
    }
    ib_reader_close(&reader);
    return more < 0 ? more : rc;
}

int ib_judge_oracles_of_video(const ib_judge *j, const char *video, int width, int height,
                              const ib_store *store, ib_marks *marks, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(ib_store_file(store));
    ib_judge alone = *j;
    ib_scene s = {0};
    ib_frame *frame = calloc(IN_VIDEO, sizeof *frame);
    size_t n = 0;
    double fps = 1;
    bool own_size = ib_space_resizes(j->space);
    alone.adapters = 0;
    int rc = frame ? read_frames(j, video, own_size ? 0 : width, own_size ? 0 : height, frame, &n, &fps, err)
                   : ib_fail(err, IB_E_MEMORY, "out of memory for %d frames", IN_VIDEO);
    n = n < info->frames ? n : info->frames;
    if (!rc && n) {
        const ib_frame *f = &frame[0];
        rc = ib_scene_open(&s, &alone, &info->shape, f->width, f->height, f->matrix, NULL, err);
        rc = rc ? rc : ib_frame_alloc(&s.truth_frame, f->width, f->height, err);
        rc = rc ? rc : ib_frame_alloc(&s.frame, f->width, f->height, err);
        s.truth_frame.matrix = s.frame.matrix = f->matrix;
        rc = rc ? rc : mark_frames(&s, frame, n, 0, IN_VIDEO_EVERY, fps, store, marks, err);
    }
    ib_scene_close(&s);
    for (size_t i = 0; frame && i < IN_VIDEO; i++) {
        ib_frame_free(&frame[i]);
    }
    free(frame);
    return rc;
}

/* ---- a clip that can be decoded ---- */

static int mark_chunk(ib_scene *s, const ib_store *store, size_t first, size_t n, ib_frame *frame,
                      ib_marks *marks, ib_error *err) {
    ib_latent_file *f = ib_store_file(store);
    const ib_latent_info *info = ib_latent_info_of(f);
    int rc = IB_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        if (!frame[i].plane[0]) {
            rc = ib_frame_alloc(&frame[i], info->frame_width, info->frame_height, err);
            frame[i].matrix = (ib_matrix)info->matrix;
        }
        rc = rc ? rc : ib_store_read(store, first + i, s->truth, err);
        rc = rc ? rc : ib_space_decode(s->judge->space, s->truth, &frame[i], err);
    }
    rc = rc ? rc : mark_frames(s, frame, n, first, 1, info->fps, store, marks, err);
    return rc;
}

int ib_judge_oracles(const ib_judge *j, const ib_store *store, ib_marks *marks, ib_error *err) {
    const ib_latent_info *info = ib_latent_info_of(ib_store_file(store));
    size_t chunks = (info->frames + CHUNK - 1) / CHUNK;
    ib_judge alone = *j;
    int rc = IB_OK, before = ib_gemm_pin();
    alone.adapters = 0;
#pragma omp parallel num_threads(j->threads)
    {
        ib_scene s = {0};
        ib_error mine = {0};
        ib_frame *frame = calloc(CHUNK, sizeof *frame);
        int mine_rc = frame ? ib_scene_open(&s, &alone, &info->shape, info->frame_width, info->frame_height,
                                            (ib_matrix)info->matrix, NULL, &mine)
                            : ib_fail(&mine, IB_E_MEMORY, "out of memory for %d frames", CHUNK),
            others;
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < chunks; c++) {
            size_t first = c * CHUNK, left = info->frames - first;
#pragma omp atomic read
            others = rc;
            if (!mine_rc && !others) {
                mine_rc = mark_chunk(&s, store, first, left < CHUNK ? left : CHUNK, frame, marks, &mine);
            }
        }
        if (mine_rc) {
#pragma omp critical(ib_oracle_error)
            {
                if (err && !rc) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = mine_rc;
            }
        }
        for (size_t i = 0; frame && i < CHUNK; i++) {
            ib_frame_free(&frame[i]);
        }
        free(frame);
        ib_scene_close(&s);
    }
    ib_gemm_unpin(before);
    return rc;
}

void ib_judge_place_oracles(const ib_judge *j, const ib_marks *marks, ib_windows *w, size_t gaps) {
    size_t methods = ib_judge_methods(j), rivals = ib_judge_rivals(j) + ib_judge_explained(j);
    for (size_t g = 0; g < gaps; g++) {
        for (size_t i = 0; i < w[g].n; i++) {
            for (size_t k = 1; k < (size_t)w[g].gap; k++) {
                ib_marks *here = w[g].marks + (i * ((size_t)w[g].gap - 1) + k - 1) * methods;
                for (size_t o = 0; o < j->oracles; o++) {
                    here[rivals + o] = marks[(w[g].firsts[i] + k) * j->oracles + o];
                    here[rivals + o].v[IB_MARK_SLERP] =
                        isnan(here[rivals + o].v[IB_MARK_ERROR]) ? NAN : here[IB_EVAL_SLERP].v[IB_MARK_ERROR];
                }
            }
        }
    }
}
