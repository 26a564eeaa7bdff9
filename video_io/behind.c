#include "video_io/behind.h"

#include <pthread.h>
#include <stdlib.h>

enum { MOST_SLOTS = 128, QUEUE_BYTES = 48 << 20 };

struct ib_behind {
    ib_writer *writer;
    ib_frame slot[MOST_SLOTS];
    int slots;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    int first, filled; /* ring of frames that wait; slot[first] is being written */
    bool stop;
    int status;
    ib_error error;
};

static void *consume(void *user) {
    ib_behind *b = user;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->filled && !b->stop) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
        if (b->stop) {
            break;
        }
        const ib_frame *f = &b->slot[b->first];
        int rc = b->status;
        ib_error err = {0};
        pthread_mutex_unlock(&b->lock);
        if (!rc) {
            rc = ib_writer_write(b->writer, f, &err);
        }
        pthread_mutex_lock(&b->lock);
        if (rc && !b->status) {
            b->status = rc;
            b->error = err;
        }
        b->first = (b->first + 1) % b->slots;
        b->filled--;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int ib_behind_open(ib_behind **out, ib_writer *w, int width, int height, int frames, ib_error *err) {
    *out = NULL;
    ib_behind *b = calloc(1, sizeof *b);
    if (!b) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a writer");
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->writer = w;
    size_t fit = QUEUE_BYTES / ((size_t)width * (size_t)height * 3 / 2 + 1);
    b->slots = fit < 2 ? 2 : fit > (size_t)frames ? frames : (int)fit;
    b->slots = b->slots > MOST_SLOTS ? MOST_SLOTS : b->slots;
    int rc = 0;
    for (int i = 0; i < b->slots && !rc; i++) {
        rc = ib_frame_alloc(&b->slot[i], width, height, err);
    }
    if (!rc && pthread_create(&b->thread, NULL, consume, b)) {
        rc = ib_fail(err, IB_E_MEMORY, "no thread could be started for encoding");
    }
    b->started = !rc;
    if (rc) {
        ib_behind_close(&b);
    }
    *out = b;
    return rc;
}

/* Under the lock. */
static int failed(const ib_behind *b, ib_error *err) {
    if (b->status && err) {
        *err = b->error;
    }
    return b->status;
}

int ib_behind_write(ib_behind *b, const ib_frame *frame, ib_error *err) {
    pthread_mutex_lock(&b->lock);
    while (b->filled == b->slots && !b->status) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    int rc = failed(b, err);
    ib_frame *slot = &b->slot[(b->first + b->filled) % b->slots];
    pthread_mutex_unlock(&b->lock);
    if (rc) {
        return rc;
    }
    ib_frame_copy(slot, frame);
    pthread_mutex_lock(&b->lock);
    b->filled++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return 0;
}

int ib_behind_flush(ib_behind *b, ib_error *err) {
    pthread_mutex_lock(&b->lock);
    while (b->filled && !b->status) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    int rc = failed(b, err);
    pthread_mutex_unlock(&b->lock);
    return rc;
}

void ib_behind_close(ib_behind **pb) {
    ib_behind *b = *pb;
    *pb = NULL;
    if (!b) {
        return;
    }
    if (b->started) {
        pthread_mutex_lock(&b->lock);
        b->stop = true;
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
        pthread_join(b->thread, NULL);
    }
    for (int i = 0; i < b->slots; i++) {
        ib_frame_free(&b->slot[i]);
    }
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
