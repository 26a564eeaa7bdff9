#include "render/decoded.h"

#include <stdlib.h>
#include <string.h>
#include "adapter/adapter.h"
#include "base/memory.h"
#include "render/keyframes.h"
#include "render/path.h"
#include "render/preview.h"
#include "video_io/writer.h"

enum { MAX_KEYFRAMES = 1000, MAX_FRAMES = 10000 };

typedef struct decoded {
    const ib_embeddings_options *o;
    ib_adapter *adapter;
    ib_writer *writer;
    ib_path_options path;
    ib_shape shape;
    int width, height;
    ib_matrix matrix;
    ib_frame key[2], out; /* key: of the way that is being made */
    float *z, *rows, *t;  /* [2,T,D]; [frames,T,D]; [frames] */
    size_t interlaced, ways;
    int64_t written, total;
    const char **inputs; /* the writer looks at them to its end */
} decoded;

static int check(const ib_embeddings_options *o, ib_error *err) {
    if (o->n_keyframes < 2 || o->n_keyframes > MAX_KEYFRAMES || o->frames < 2 || o->frames > MAX_FRAMES ||
        !(o->fps > 0 && o->fps <= 1000)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "2 to %d keyframes, 2 to %d frames from one to the next and above 0 to 1000 frames a "
                       "second were expected, not %zu, %d and %g",
                       MAX_KEYFRAMES, MAX_FRAMES, o->n_keyframes, o->frames, o->fps);
    }
    for (size_t i = 0; i < o->n_keyframes; i++) {
        int rc = ib_key_exists(o->keyframes[i], err);
        if (rc || ib_key_kind_of(o->keyframes[i]) != IB_KEY_PICTURE) {
            return rc ? rc
                      : ib_fail(err, IB_E_UNSUPPORTED,
                                "'%.200s': the keyframes of a clip in the space %s are pictures",
                                o->keyframes[i], ib_space_id(o->space));
        }
    }
    return IB_OK;
}

static int open_adapter(decoded *d, ib_error *err) {
    const ib_embeddings_options *o = d->o;
    if (!o->adapter) {
        return IB_OK;
    }
    int rc = ib_adapter_open(&d->adapter, o->adapter, err);
    if (!rc && o->trust >= 0) {
        ib_adapter_trust(d->adapter, o->trust);
    }
    return rc ? rc : ib_adapter_check_space(d->adapter, ib_space_id(o->space), "the keyframes", err);
}

static int read_key(decoded *d, size_t i, ib_frame *to, ib_error *err) {
    const ib_embeddings_options *o = d->o;
    ib_reader_options how = {.width = d->width,
                             .height = d->height,
                             .rgb = true,
                             .threads = o->threads,
                             .matrix = d->matrix,
                             .keep_interlaced = o->keep_interlaced,
                             .stop = o->stop};
    ib_still *s = NULL;
    int rc = ib_still_open(&s, o->keyframes[i % o->n_keyframes], &how, err);
    if (!rc) {
        d->interlaced += ib_still_info(s)->interlaced;
        rc = ib_still_convert(s, to, &how, err);
    }
    ib_still_close(&s);
    return rc;
}

/* Sizes, memory and the output, by the first keyframe. */
static int begin(decoded *d, ib_error *err) {
    const ib_embeddings_options *o = d->o;
    size_t values, n;
    int rc = read_key(d, 0, &d->key[1], err);
    if (rc) {
        return rc;
    }
    d->width = d->key[1].width;
    d->height = d->key[1].height;
    d->matrix = d->key[1].matrix;
    rc = ib_space_shape(o->space, d->width, d->height, &d->shape, err);
    if (!rc && (ib_size_mul(d->shape.tokens, d->shape.width, &values) ||
                ib_size_mul(values, (size_t)o->frames, &n))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %d frames of %d x %d", o->frames, d->width,
                     d->height);
    }
    rc = rc ? rc : ib_alloc_floats(&d->rows, n, "the latents between keyframes", err);
    rc = rc ? rc : ib_alloc_floats(&d->z, 2 * values, "the keyframes", err);
    rc = rc ? rc : ib_alloc_floats(&d->t, (size_t)o->frames, "the places between keyframes", err);
    rc = rc ? rc : ib_frame_alloc_rgb(&d->out, d->width, d->height, err);
    if (rc) {
        return rc;
    }
    d->out.matrix = d->matrix;
    if (!(d->inputs = ib_embeddings_inputs(o, &n))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the list of keyframes");
    }
    ib_writer_options how = {.width = d->width,
                             .height = d->height,
                             .fps = o->fps,
                             .matrix = d->matrix,
                             .codec = o->codec,
                             .crf = o->crf,
                             .threads = o->threads,
                             .frames = d->total,
                             .overwrite = o->overwrite,
                             .rgb = true,
                             .inputs = d->inputs,
                             .n_inputs = n};
    rc = ib_writer_open(&d->writer, o->output, &how, err);
    return rc ? rc : ib_space_encode(o->space, &d->key[1], d->z + values, err);
}

static int write_frame(decoded *d, const ib_frame *f, ib_error *err) {
    const ib_embeddings_options *o = d->o;
    int rc = ib_writer_write(d->writer, f, err);
    d->written++;
    if (o->progress) {
        o->progress(o->user, "decoding", (double)d->written / (double)d->total);
    }
    return rc || !o->stop || !atomic_load(o->stop) ? rc : ib_fail(err, IB_E_INTERRUPTED, "interrupted");
}

/* The first keyframe of a way and what lies between it and the next. */
static int make_way(decoded *d, size_t way, ib_error *err) {
    const ib_embeddings_options *o = d->o;
    size_t values = d->shape.tokens * d->shape.width;
    ib_frame_free(&d->key[0]);
    d->key[0] = d->key[1];
    d->key[1] = (ib_frame){0};
    memcpy(d->z, d->z + values, values * sizeof *d->z);
    int rc = read_key(d, way + 1, &d->key[1], err);
    rc = rc ? rc : ib_space_encode(o->space, &d->key[1], d->z + values, err);
    rc = rc ? rc : ib_path_make(d->adapter, &d->path, &d->shape, d->z, 2, d->rows, d->t, err);
    rc = rc ? rc : write_frame(d, &d->key[0], err);
    for (int i = 1; !rc && i < o->frames - 1; i++) {
        rc = ib_space_decode(o->space, d->rows + (size_t)i * values, &d->out, err);
        rc = rc ? rc : write_frame(d, &d->out, err);
    }
    return rc;
}

int ib_render_decoded(const ib_embeddings_options *o, ib_embeddings_summary *summary, ib_error *err) {
    double gap = o->gap_seconds > 0 ? o->gap_seconds : (o->frames - 1) / o->fps;
    decoded d = {.o = o,
                 .width = o->width,
                 .height = o->height,
                 .ways = o->n_keyframes - 1 + o->loop,
                 .path = {.frames = o->frames,
                          .ease = o->ease,
                          .gap_seconds = (float)gap,
                          .stop = o->stop,
                          .geometry = ib_geometry_of(ib_space_id(o->space))}};
    d.total = (int64_t)d.ways * (o->frames - 1) + !o->loop;
    int rc = check(o, err);
    rc = rc ? rc : open_adapter(&d, err);
    rc = rc ? rc : begin(&d, err);
    for (size_t way = 0; !rc && way < d.ways; way++) {
        rc = make_way(&d, way, err);
    }
    if (!rc && !o->loop) {
        rc = write_frame(&d, &d.key[1], err);
    }
    rc = rc ? rc : ib_writer_finish(&d.writer, err);
    if (!rc && summary) {
        *summary = (ib_embeddings_summary){.rows = (size_t)d.total,
                                           .shape = d.shape,
                                           .width = d.width,
                                           .height = d.height,
                                           .interlaced = d.interlaced};
    }
    ib_writer_abort(&d.writer);
    free(d.inputs);
    ib_adapter_free(&d.adapter);
    ib_frame_free(&d.key[0]);
    ib_frame_free(&d.key[1]);
    ib_frame_free(&d.out);
    ib_free(d.z);
    ib_free(d.rows);
    ib_free(d.t);
    return rc;
}
