#include "render/preview.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "guide/encode.h"
#include "nn/gemm.h"
#include "video_io/reader.h"
#include "video_io/strip.h"
#include "video_io/writer.h"

enum { LONGEST_SIDE = 640, FRAMES_AT_ONCE = 16 };

/* What is nearest to one row so far. */
typedef struct nearest {
    size_t video, frame; /* frame: number among those looked at */
    double cosine;
    ib_frame *picture; /* into preview.picture */
} nearest;

typedef struct preview {
    const ib_embeddings_options *o;
    const ib_shape *shape;
    const float *rows;
    size_t n, values;  /* rows; T D */
    double *length;    /* [n] of the rows */
    nearest *best;     /* [n] */
    float *z, *dots;   /* [FRAMES_AT_ONCE, values], [FRAMES_AT_ONCE, n] */
    ib_frame *picture; /* [pictures] of the frames that are shown */
    size_t pictures;
    char folder[256];
    size_t looked_at, interlaced; /* frames; videos */
    int width, height;
    size_t video; /* at hand, for progress */
    ib_writer *writer;
    const char **input; /* [inputs] what the clip may not replace */
    size_t inputs;
} preview;

static double length_of(const float *z, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)z[i] * z[i];
    }
    return sqrt(s);
}

static int every_of(const ib_embeddings_options *o) {
    return o->preview_every > 1 ? o->preview_every : 1;
}

static void tell_preview(const preview *p, const char *stage, double fraction) {
    if (p->o->progress) {
        p->o->progress(p->o->user, stage, fraction);
    }
}

static int begin_preview(preview *p, ib_error *err) {
    const char *parent = getenv("TMPDIR");
    size_t z, dots;
    parent = parent && *parent ? parent : "/tmp";
    p->values = p->shape->tokens * p->shape->width;
    p->length = calloc(p->n, sizeof *p->length);
    p->best = calloc(p->n, sizeof *p->best);
    p->picture = calloc(p->n, sizeof *p->picture);
    if (!p->length || !p->best || !p->picture || ib_size_mul(p->values, FRAMES_AT_ONCE, &z) ||
        ib_size_mul(p->n, FRAMES_AT_ONCE, &dots)) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a preview of %zu frames", p->n);
    }
    int rc = ib_alloc_floats(&p->z, z, "frames of footage", err);
    rc = rc ? rc : ib_alloc_floats(&p->dots, dots, "frames of footage", err);
    for (size_t i = 0; !rc && i < p->n; i++) {
        p->length[i] = length_of(p->rows + i * p->values, p->values);
        p->best[i].cosine = -2;
    }
    int n = snprintf(p->folder, sizeof p->folder, "%s/inbetween-preview.XXXXXX", parent);
    if (!rc && (n < 0 || (size_t)n >= sizeof p->folder || !mkdtemp(p->folder))) {
        rc = ib_fail(err, IB_E_IO, "cannot make a directory for temporary files in %s: %s", parent,
                     strerror(n < 0 || (size_t)n >= sizeof p->folder ? ENAMETOOLONG : errno));
        p->folder[0] = 0;
    }
    return rc;
}

static void on_encoded(void *user, size_t frames, int64_t estimate) {
    const preview *p = user;
    double part = estimate > 0 ? (double)frames / (double)estimate : 0;
    tell_preview(p, "looking at footage",
                 ((double)p->video + (part < 1 ? part : 1)) / (double)p->o->n_preview);
}

/* Compares a video's frames with all rows. */
static int compare_preview(preview *p, ib_latent_file *f, ib_error *err) {
    size_t frames = ib_latent_info_of(f)->frames, k;
    int rc = IB_OK;
    for (size_t first = 0; !rc && first < frames; first += k) {
        k = frames - first < FRAMES_AT_ONCE ? frames - first : FRAMES_AT_ONCE;
        if ((rc = ib_latent_read(f, first, k, p->z, err))) {
            break;
        }
        ib_gemm_bt(p->z, p->rows, 0, p->dots, k, p->n, p->values);
        for (size_t i = 0; i < k; i++) {
            double length = length_of(p->z + i * p->values, p->values);
            for (size_t j = 0; j < p->n; j++) {
                double lengths = length * p->length[j],
                       cosine = lengths > 0 ? (double)p->dots[i * p->n + j] / lengths : 0;
                if (cosine > p->best[j].cosine) {
                    p->best[j] = (nearest){.video = p->video, .frame = first + i, .cosine = cosine};
                }
            }
        }
    }
    p->looked_at += frames;
    return rc;
}

static int look_at(preview *p, const char *video, ib_error *err) {
    ib_encode_options o;
    ib_encode_stats stats;
    ib_latent_file *f = NULL;
    char *path = ib_join(p->folder, "footage.h5");
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of a temporary file");
    }
    ib_encode_defaults(&o);
    o.every = every_of(p->o);
    o.threads = p->o->threads;
    o.keep_interlaced = p->o->keep_interlaced;
    o.force = true;
    o.guide = IB_GUIDE_NONE;
    o.stop = p->o->stop;
    o.progress = on_encoded;
    o.user = p;
    int rc = ib_encode_video(video, path, p->o->space, &o, &stats, err);
    p->interlaced += !rc && stats.interlaced;
    rc = rc ? rc : ib_latent_open(&f, path, err);
    rc = rc ? rc : compare_preview(p, f, err);
    ib_latent_close(&f);
    unlink(path);
    free(path);
    return rc;
}

/* The size asked for, or the first video's within LONGEST_SIDE; even either way. */
static int choose_size(preview *p, ib_error *err) {
    ib_reader *r = NULL;
    p->width = p->o->width;
    p->height = p->o->height;
    if (p->width) {
        return IB_OK;
    }
    int rc = ib_reader_open(&r, p->o->preview_from[0], NULL, err);
    if (rc) {
        return rc;
    }
    const ib_video_info *v = ib_reader_info(r);
    int longest = v->width > v->height ? v->width : v->height;
    double scale = longest > LONGEST_SIDE ? (double)LONGEST_SIDE / longest : 1;
    p->width = 2 * (int)fmax(8, round(v->width * scale / 2));
    p->height = 2 * (int)fmax(8, round(v->height * scale / 2));
    ib_reader_close(&r);
    return IB_OK;
}

/* Reads a video again and keeps the frames that some row is to show. */
static int fetch(preview *p, size_t video, ib_error *err) {
    ib_reader_options how = {.width = p->width,
                             .height = p->height,
                             .every = every_of(p->o),
                             .threads = p->o->threads,
                             .keep_interlaced = p->o->keep_interlaced,
                             .stop = p->o->stop,
                             .matrix = IB_MATRIX_BT709};
    ib_reader *reader = NULL;
    const ib_frame *frame;
    size_t last = 0;
    bool any = false;
    for (size_t j = 0; j < p->n; j++) {
        if (p->best[j].video == video) {
            any = true;
            last = p->best[j].frame > last ? p->best[j].frame : last;
        }
    }
    int rc = any ? ib_reader_open(&reader, p->o->preview_from[video], &how, err) : IB_OK;
    for (size_t i = 0; any && !rc && i <= last; i++) {
        ib_frame *kept = NULL;
        if ((rc = ib_reader_next(reader, &frame, err)) <= 0) {
            rc = rc ? rc
                    : ib_fail(err, IB_E_FORMAT, "%s: gave %zu frames at first and %zu when it was read again",
                              p->o->preview_from[video], last + 1, i);
            break;
        }
        rc = IB_OK;
        for (size_t j = 0; !rc && j < p->n; j++) {
            if (p->best[j].video != video || p->best[j].frame != i) {
                continue;
            }
            if (!kept) {
                kept = &p->picture[p->pictures];
                if ((rc = ib_frame_alloc(kept, p->width, p->height, err))) {
                    break;
                }
                ib_frame_copy(kept, frame);
                p->pictures++;
            }
            p->best[j].picture = kept;
        }
    }
    ib_reader_close(&reader);
    return rc;
}

/* Before the footage is looked at, which takes its time. */
static int open_clip(preview *p, ib_error *err) {
    const ib_embeddings_options *o = p->o;
    if (!(p->input = ib_embeddings_inputs(o, &p->inputs))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the list of keyframes");
    }
    ib_writer_options how = {.width = p->width,
                             .height = p->height,
                             .fps = o->fps,
                             .matrix = IB_MATRIX_BT709,
                             .codec = o->codec,
                             .crf = o->crf,
                             .threads = o->threads,
                             .frames = (int64_t)p->n,
                             .overwrite = o->overwrite,
                             .inputs = p->input,
                             .n_inputs = p->inputs};
    return ib_writer_open(&p->writer, o->output, &how, err);
}

static int write_clip(preview *p, const double *pts, ib_error *err) {
    const ib_embeddings_options *o = p->o;
    ib_frame shown = {0};
    int rc = ib_frame_alloc(&shown, p->width, p->height, err),
        scale = p->height / 240 > 1 ? p->height / 240 : 1;
    for (size_t j = 0; !rc && j < p->n; j++) {
        const nearest *b = &p->best[j];
        char text[128];
        ib_frame_copy(&shown, b->picture);
        snprintf(text, sizeof text, "%.2f s  cosine %.3f", pts[j], b->cosine);
        ib_draw_text(&shown, 4 * scale, 4 * scale, scale, text);
        snprintf(text, sizeof text, "%.60s @ %.2f s", ib_basename(o->preview_from[b->video]),
                 b->picture->pts_seconds);
        ib_draw_text(&shown, 4 * scale, p->height - 13 * scale, scale, text);
        rc = ib_writer_write(p->writer, &shown, err);
        tell_preview(p, "writing", (double)(j + 1) / (double)p->n);
        if (!rc && o->stop && atomic_load(o->stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
    }
    if (!rc) {
        rc = ib_writer_finish(&p->writer, err);
    }
    ib_frame_free(&shown);
    return rc;
}

static void sum_up(const preview *p, ib_embeddings_summary *s) {
    s->width = p->width;
    s->height = p->height;
    s->footage_frames = p->looked_at;
    s->shown = p->pictures;
    s->interlaced = p->interlaced;
    s->least_cosine = 1;
    for (size_t j = 0; j < p->n; j++) {
        s->least_cosine = fmin(s->least_cosine, p->best[j].cosine);
        s->mean_cosine += p->best[j].cosine / (double)p->n;
    }
}

int ib_preview_write(const ib_embeddings_options *o, const ib_shape *shape, const float *rows,
                     const double *pts, size_t n, ib_embeddings_summary *summary, ib_error *err) {
    preview p = {.o = o, .shape = shape, .rows = rows, .n = n};
    int rc = begin_preview(&p, err);
    rc = rc ? rc : choose_size(&p, err);
    rc = rc ? rc : open_clip(&p, err);
    for (; !rc && p.video < o->n_preview; p.video++) {
        rc = look_at(&p, o->preview_from[p.video], err);
    }
    for (size_t v = 0; !rc && v < o->n_preview; v++) {
        rc = fetch(&p, v, err);
    }
    rc = rc ? rc : write_clip(&p, pts, err);
    if (!rc) {
        sum_up(&p, summary);
    }
    for (size_t i = 0; i < p.pictures; i++) {
        ib_frame_free(&p.picture[i]);
    }
    if (p.folder[0]) {
        rmdir(p.folder);
    }
    ib_writer_abort(&p.writer);
    free(p.input);
    free(p.picture);
    free(p.best);
    free(p.length);
    ib_free(p.z);
    ib_free(p.dots);
    return rc;
}
