#include "video_io/reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "video_io/decode.h"

enum { SLOTS = 8, QUEUE_BYTES = 96 << 20 };

struct ib_reader {
    ib_video_info info;
    ib_reader_options opt;
    ib_decoder *decoder;
    ib_converter converter;
    AVFrame *frame; /* the producer's */
    ib_frame slot[SLOTS];
    int slots;

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    int first, filled; /* ring of frames ready */
    bool holding;      /* the consumer has slot[first] */
    bool ended;        /* the producer is done, with `status` */
    bool stop;
    int status;
    ib_error error;
    int64_t interlaced;
    double shown_seconds; /* how long the last frame decoded is */
    int damaged;
    char damage[256];
};

/* Scales the decoder's current frame into the ring once there is room. 0, or < 0 to stop. */
static int deliver(ib_reader *r, double seconds, int64_t index, ib_error *err) {
    pthread_mutex_lock(&r->lock);
    while (r->filled == r->slots && !r->stop) {
        pthread_cond_wait(&r->changed, &r->lock);
    }
    bool stop = r->stop;
    ib_frame *slot = &r->slot[(r->first + r->filled) % r->slots];
    pthread_mutex_unlock(&r->lock);
    if (stop) {
        return ib_fail(err, IB_E_INTERRUPTED, "%s: reading was stopped", r->decoder->path);
    }
    ib_turn turn = r->opt.keep_rotation ? (ib_turn){0} : ib_decoder_turn(r->decoder, r->frame);
    if (r->opt.keep_aspect) {
        r->frame->sample_aspect_ratio = (AVRational){1, 1};
    }
    slot->matrix = r->info.matrix;
    slot->pts_seconds = seconds;
    slot->index = index;
    int result = ib_converter_run(&r->converter, r->frame, turn, r->opt.fit, slot, err);
    av_frame_unref(r->frame);
    if (result < 0) {
        return ib_error_prefix(err, result, "%s", r->decoder->path);
    }
    pthread_mutex_lock(&r->lock);
    r->filled++;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return 0;
}

static void share_counts(ib_reader *r) {
    r->interlaced = r->decoder->interlaced;
    r->shown_seconds = r->decoder->shown_seconds;
    if (r->damaged == r->decoder->damaged) {
        return;
    }
    if (!r->damaged) {
        memcpy(r->damage, r->decoder->damage, sizeof r->damage);
    }
    r->damaged = r->decoder->damaged;
}

/* r->frame holds the first frame, decoded by open, when the thread begins. */
static void *produce(void *user) {
    ib_reader *r = user;
    ib_error err = {0};
    double seconds = 0;
    int64_t index = 0;
    int result = 1;
    while (result > 0) {
        if (index % r->opt.every == 0) {
            result = deliver(r, seconds, index, &err);
        }
        if (result < 0) {
            break;
        }
        av_frame_unref(r->frame);
        result = ib_decoder_next(r->decoder, r->frame, &seconds, &index, &err);
        pthread_mutex_lock(&r->lock);
        share_counts(r);
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    r->status = result;
    r->error = err;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static bool good_side(int n) {
    return n >= 16 && n <= 16384 && n % 2 == 0;
}

int ib_reader_check(const ib_reader_options *o, ib_error *err) {
    if ((o->width || o->height) && (!good_side(o->width) || !good_side(o->height))) {
        return ib_fail(err, IB_E_ARGUMENT, "frame size %d x %d: each side must be even and 16 to 16384",
                       o->width, o->height);
    }
    if (o->width && (o->keep_aspect || o->keep_rotation)) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "frame size %d x %d: samples keep their shape and places at the source's own size alone",
            o->width, o->height);
    }
    if (o->every < 0 || o->threads < 0) {
        return ib_fail(err, IB_E_ARGUMENT, "every %d frames, %d threads: neither may be below 0", o->every,
                       o->threads);
    }
    return 0;
}

void ib_reader_choose_size(const ib_reader_options *o, ib_video_info *info) {
    info->width = o->width ? o->width : info->source_width;
    info->height = o->width ? o->height : info->source_height;
    bool portrait = info->source_width < info->source_height, wants_portrait = o->width < o->height;
    if (o->width && o->auto_orient && portrait != wants_portrait &&
        info->source_width != info->source_height) {
        info->width = o->height;
        info->height = o->width;
    }
}

/* The size and shape of samples where they are not brought upright and square. */
static void keep_shape(ib_reader *r) {
    ib_video_info *i = &r->info;
    const ib_reader_options *o = &r->opt;
    bool across = (i->rotation_degrees == 90 || i->rotation_degrees == 270) && !o->keep_rotation;
    int w = o->keep_aspect ? i->stored_width : i->rotation_degrees % 180 ? i->source_height : i->source_width;
    i->width = across ? i->stored_height : w;
    i->height = across ? w : i->stored_height;
    if (o->keep_aspect) {
        i->sample_width = across ? i->aspect_height : i->aspect_width;
        i->sample_height = across ? i->aspect_width : i->aspect_height;
    }
}

static int start(ib_reader *r, ib_error *err) {
    size_t bytes = (size_t)r->info.width * (size_t)r->info.height * (r->opt.rgb ? 9 : 3) / 2;
    size_t fit = QUEUE_BYTES / bytes;
    r->slots = r->info.still || fit < 2 ? 2 : fit > SLOTS ? SLOTS : (int)fit;
    for (int i = 0; i < r->slots; i++) {
        int rc = r->opt.rgb ? ib_frame_alloc_rgb(&r->slot[i], r->info.width, r->info.height, err)
                            : ib_frame_alloc(&r->slot[i], r->info.width, r->info.height, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (pthread_create(&r->thread, NULL, produce, r)) {
        return ib_fail(err, IB_E_MEMORY, "%s: no thread could be started for decoding", r->decoder->path);
    }
    r->started = true;
    return 0;
}

int ib_reader_open(ib_reader **out, const char *path, const ib_reader_options *opt, ib_error *err) {
    ib_error own = {0};
    if (!err) {
        err = &own;
    }
    *out = NULL;
    ib_reader *r = calloc(1, sizeof *r);
    if (!r) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a reader", path);
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->opt = opt ? *opt : (ib_reader_options){0};
    if (r->opt.matrix == 0) {
        r->opt.matrix = IB_MATRIX_UNSPECIFIED;
    }
    int result = ib_reader_check(&r->opt, err);
    if (r->opt.every < 1) {
        r->opt.every = 1;
    }
    if (!result) {
        result = ib_decoder_open(&r->decoder, path, &r->opt, err);
    }
    if (result < 0) {
        goto fail;
    }
    double seconds;
    int64_t index;
    if (!(r->frame = av_frame_alloc())) {
        result = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a frame", path);
        goto fail;
    }
    result = ib_decoder_next(r->decoder, r->frame, &seconds, &index, err);
    if (result == 0) {
        result = ib_decoder_no_frame(r->decoder, err);
    }
    if (result < 0) {
        goto fail;
    }
    ib_decoder_describe(r->decoder, r->frame, &r->info);
    r->opt.keep_rotation = r->opt.keep_rotation && ib_decoder_has_turn(r->decoder);
    ib_reader_choose_size(&r->opt, &r->info);
    if (r->opt.keep_aspect || r->opt.keep_rotation) {
        keep_shape(r);
    }
    r->info.matrix = r->opt.matrix != IB_MATRIX_UNSPECIFIED ? r->opt.matrix : ib_av_frame_matrix(r->frame);
    r->converter.peak = r->decoder->peak;
    share_counts(r);
    if ((result = start(r, err)) < 0) {
        goto fail;
    }
    *out = r;
    return 0;
fail:
    ib_reader_close(&r);
    return result;
}

const ib_video_info *ib_reader_info(const ib_reader *r) {
    return &r->info;
}

int ib_reader_next(ib_reader *r, const ib_frame **frame, ib_error *err) {
    *frame = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->holding) {
        r->holding = false;
        r->first = (r->first + 1) % r->slots;
        r->filled--;
        pthread_cond_signal(&r->changed);
    }
    while (!r->filled && !r->ended) {
        pthread_cond_wait(&r->changed, &r->lock);
    }
    int result = r->status;
    if (r->filled) {
        r->holding = true;
        *frame = &r->slot[r->first];
        result = 1;
    } else if (result < 0 && err) {
        *err = r->error;
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

int ib_reader_damaged(const ib_reader *reader, const char **what) {
    ib_reader *r = (ib_reader *)reader; /* only for its lock */
    pthread_mutex_lock(&r->lock);
    int n = r->damaged;
    if (what) {
        *what = r->damage; /* written once, before the count rises */
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

double ib_reader_last_seconds(const ib_reader *reader) {
    ib_reader *r = (ib_reader *)reader; /* only for its lock */
    pthread_mutex_lock(&r->lock);
    double s = r->shown_seconds;
    pthread_mutex_unlock(&r->lock);
    return s > 0 ? s : 1 / r->info.fps;
}

int64_t ib_reader_interlaced(const ib_reader *reader) {
    ib_reader *r = (ib_reader *)reader; /* only for its lock */
    pthread_mutex_lock(&r->lock);
    int64_t n = r->interlaced;
    pthread_mutex_unlock(&r->lock);
    return n;
}

void ib_reader_close(ib_reader **reader) {
    ib_reader *r = *reader;
    *reader = NULL;
    if (!r) {
        return;
    }
    if (r->started) {
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        atomic_store(&r->decoder->stop, true);
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    for (int i = 0; i < r->slots; i++) {
        ib_frame_free(&r->slot[i]);
    }
    av_frame_free(&r->frame);
    ib_converter_free(&r->converter);
    ib_decoder_close(&r->decoder);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
