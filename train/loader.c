#include "train/loader.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

struct ib_loader {
    ib_dataset *dataset;
    const ib_sampler *sampler;
    pthread_mutex_t *reading; /* the lock on the data set, which validation reads too */
    pthread_t thread;
    ib_sample *ring; /* [depth] */
    uint16_t *halves;
    size_t depth;
    uint64_t made, taken; /* samples since the start; sample k lies in ring[k % depth] */
    ib_sample_order order;
    int code; /* of the thread's failure */
    ib_error failure;
    bool stop;
    pthread_mutex_t lock; /* on made, taken, code, stop */
    pthread_cond_t more, room;
};

static int make_loader(ib_loader *l, uint64_t k, ib_error *err) {
    ib_sample *s = &l->ring[k % l->depth];
    s->index = l->order.first + k / l->order.block * l->order.stride + k % l->order.block;
    pthread_mutex_lock(l->reading);
    int rc = ib_sampler_draw(l->sampler, l->dataset, s->index, &s->window, s->h, err);
    pthread_mutex_unlock(l->reading);
    s->shape = &ib_dataset_video(l->dataset, s->window.clip)->info.shape;
    return rc;
}

static void *work_loader(void *user) {
    ib_loader *l = user;
    pthread_mutex_lock(&l->lock);
    while (!l->stop && !l->code) {
        if (l->made - l->taken >= l->depth) {
            pthread_cond_wait(&l->room, &l->lock);
            continue;
        }
        uint64_t k = l->made;
        ib_error err = {0};
        pthread_mutex_unlock(&l->lock);
        int rc = make_loader(l, k, &err);
        pthread_mutex_lock(&l->lock);
        l->code = rc;
        l->failure = err;
        l->made += rc ? 0 : 1;
        pthread_cond_signal(&l->more);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are the main thread's business. */
static int start_thread(ib_loader *l) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&l->thread, NULL, work_loader, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static void destroy(ib_loader *l) {
    pthread_cond_destroy(&l->more);
    pthread_cond_destroy(&l->room);
    pthread_mutex_destroy(&l->lock);
    free(l->ring);
    ib_free(l->halves);
    free(l);
}

int ib_loader_start(ib_loader **out, ib_dataset *d, const ib_sampler *s, pthread_mutex_t *lock,
                    const ib_sample_order *order, size_t depth, ib_error *err) {
    size_t largest = ib_dataset_values(d), each = ib_sampler_frames(s), all;
    ib_loader *l = calloc(1, sizeof *l);
    *out = NULL;
    if (!l) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the loader");
    }
    *l = (ib_loader){.dataset = d, .sampler = s, .reading = lock, .depth = depth, .order = *order};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    pthread_cond_init(&l->room, NULL);
    l->ring = calloc(depth, sizeof *l->ring);
    l->halves = ib_size_mul(largest, each * depth, &all) ? NULL : ib_calloc(all, sizeof *l->halves);
    if (!l->ring || !l->halves) {
        destroy(l);
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu samples of %zu x %zu values", depth, each,
                       largest);
    }
    for (size_t i = 0; i < depth; i++) {
        l->ring[i].h = l->halves + each * largest * i;
    }
    int rc = start_thread(l);
    if (rc) {
        destroy(l);
        return ib_fail(err, IB_E_MEMORY, "cannot start the thread that reads latents: %s", strerror(rc));
    }
    *out = l;
    return IB_OK;
}

int ib_loader_take(ib_loader *l, size_t n, const ib_sample **samples, ib_error *err) {
    pthread_mutex_lock(&l->lock);
    while (l->made - l->taken < n && !l->code) {
        pthread_cond_wait(&l->more, &l->lock);
    }
    int rc = l->made - l->taken < n ? l->code : IB_OK;
    if (rc && err) {
        *err = l->failure;
    }
    for (size_t i = 0; !rc && i < n; i++) {
        samples[i] = &l->ring[(l->taken + i) % l->depth];
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void ib_loader_release(ib_loader *l, size_t n) {
    pthread_mutex_lock(&l->lock);
    l->taken += n;
    pthread_cond_signal(&l->room);
    pthread_mutex_unlock(&l->lock);
}

void ib_loader_stop(ib_loader **loader) {
    ib_loader *l = *loader;
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->room);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    destroy(l);
    *loader = NULL;
}
