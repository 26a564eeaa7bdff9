#include "render/batch.h"

#include <stdlib.h>

enum {
    MOST_PAIRS = 64,
    MADE = 16,             /* in-betweens that are gathered, for each pair at once */
    MADE_BYTES = 64 << 20, /* of all of them together, at least one for each */
    MOST_WAITING = 256     /* frames of the clip */
};

typedef struct task {
    int first; /* which of the video's frames, and the next one */
    float t[MADE];
    int n;
    float gap_seconds;
} task;

struct ib_batch {
    ib_renderer *renderer;
    ib_behind *to;
    int pairs, each; /* at once; in-betweens for each of them */
    ib_frame *key;   /* ring of pairs + 1 */
    int last, held;  /* the newest, and how many may still be needed */
    task task[MOST_PAIRS];
    int tasks;
    ib_frame *made;                        /* [pairs,each], allocated when first needed */
    const ib_frame *waiting[MOST_WAITING]; /* the clip's next, in their order */
    int n_waiting;
    int width, height;
};

static int ring(const ib_batch *b, int k) {
    return (k + b->pairs + 1) % (b->pairs + 1);
}

int ib_batch_create(ib_batch **out, ib_renderer *r, ib_behind *to, int width, int height, int pairs,
                    ib_error *err) {
    ib_batch *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for retiming");
    }
    size_t fit = MADE_BYTES / ((size_t)width * (size_t)height * 3 / 2 + 1) / (size_t)pairs;
    *b = (ib_batch){.renderer = r, .to = to, .pairs = pairs, .last = -1, .width = width, .height = height};
    b->each = fit < 1 ? 1 : fit > MADE ? MADE : (int)fit;
    b->key = calloc((size_t)pairs + 1, sizeof *b->key);
    b->made = calloc((size_t)(pairs * b->each), sizeof *b->made);
    int rc = b->key && b->made ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for retiming");
    for (int i = 0; i <= pairs && !rc; i++) {
        rc = ib_frame_alloc(&b->key[i], width, height, err);
    }
    if (rc) {
        ib_batch_free(&b);
    }
    *out = b;
    return rc;
}

void ib_batch_free(ib_batch **pb) {
    ib_batch *b = *pb;
    *pb = NULL;
    if (!b) {
        return;
    }
    for (int i = 0; b->key && i <= b->pairs; i++) {
        ib_frame_free(&b->key[i]);
    }
    for (int i = 0; b->made && i < b->pairs * b->each; i++) {
        ib_frame_free(&b->made[i]);
    }
    free(b->key);
    free(b->made);
    free(b);
}

int64_t ib_batch_waiting(const ib_batch *b) {
    return b->n_waiting;
}

const ib_frame *ib_batch_frame(const ib_batch *b, int back) {
    return &b->key[ring(b, b->last - back)];
}

int ib_batch_flush(ib_batch *b, ib_error *err) {
    ib_renderer_pair pair[MOST_PAIRS];
    for (int i = 0; i < b->tasks; i++) {
        const task *w = &b->task[i];
        pair[i] = (ib_renderer_pair){.first = &b->key[w->first],
                                     .last = &b->key[ring(b, w->first + 1)],
                                     .t = w->t,
                                     .n = (size_t)w->n,
                                     .gap_seconds = w->gap_seconds,
                                     .out = &b->made[i * b->each]};
    }
    int rc = b->tasks ? ib_renderer_pairs(b->renderer, pair, b->tasks, err) : 0;
    for (int i = 0; i < b->n_waiting && !rc; i++) {
        rc = ib_behind_write(b->to, b->waiting[i], err);
    }
    b->tasks = b->n_waiting = 0;
    b->held = b->held < 2 ? b->held : 2; /* those of the pair at hand */
    return rc;
}

int ib_batch_advance(ib_batch *b, const ib_frame *next, ib_error *err) {
    if (b->held > b->pairs) {
        int rc = ib_batch_flush(b, err);
        if (rc) {
            return rc;
        }
        b->held = 1; /* the newest */
    }
    b->last = ring(b, b->last + 1);
    b->held++;
    ib_frame_copy(&b->key[b->last], next);
    return 0;
}

static int wait_for_turn(ib_batch *b, const ib_frame *f, ib_error *err) {
    b->waiting[b->n_waiting++] = f;
    return b->n_waiting == MOST_WAITING ? ib_batch_flush(b, err) : 0;
}

int ib_batch_pass(ib_batch *b, int back, ib_error *err) {
    return wait_for_turn(b, ib_batch_frame(b, back), err);
}

int ib_batch_make(ib_batch *b, float t, float gap_seconds, ib_error *err) {
    int first = ring(b, b->last - 1), rc = 0;
    task *w = b->tasks ? &b->task[b->tasks - 1] : NULL;
    if (!w || w->first != first || w->n == b->each) {
        rc = b->tasks == b->pairs ? ib_batch_flush(b, err) : 0;
        w = &b->task[b->tasks++];
        *w = (task){.first = first, .gap_seconds = gap_seconds};
    }
    ib_frame *made = &b->made[(b->tasks - 1) * b->each + w->n];
    rc = rc || made->plane[0] ? rc : ib_frame_alloc(made, b->width, b->height, err);
    if (rc) {
        return rc;
    }
    w->t[w->n++] = t;
    return wait_for_turn(b, made, err);
}
