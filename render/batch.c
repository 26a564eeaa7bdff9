#include "render/batch.h"

#include <stdlib.h>

enum {
    MADE = 16,             /* in-betweens that are gathered, for each pair at once */
    MADE_BYTES = 64 << 20, /* of all of them together, at least one for each */
    MOST_WAITING = 256     /* frames of the clip */
};

struct ib_batch {
    ib_renderer *renderer;
    ib_behind *to;
    int pairs, each;        /* at once; in-betweens for each of them */
    ib_frame *key;          /* ring of pairs + 1 */
    int last, held;         /* the newest, and how many may still be needed */
    ib_renderer_pair *pair; /* [pairs], what is to be made */
    int filled;
    float *t;                              /* [pairs,each], of them */
    ib_frame *made;                        /* likewise, allocated when first needed */
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
    b->pair = calloc((size_t)pairs, sizeof *b->pair);
    b->t = calloc((size_t)(pairs * b->each), sizeof *b->t);
    b->made = calloc((size_t)(pairs * b->each), sizeof *b->made);
    int rc =
        b->key && b->pair && b->t && b->made ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for retiming");
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
    free(b->pair);
    free(b->t);
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
    int rc = b->filled ? ib_renderer_pairs(b->renderer, b->pair, b->filled, err) : 0;
    for (int i = 0; i < b->n_waiting && !rc; i++) {
        rc = ib_behind_write(b->to, b->waiting[i], err);
    }
    b->filled = b->n_waiting = 0;
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
    const ib_frame *first = ib_batch_frame(b, 1);
    ib_renderer_pair *p = b->filled ? &b->pair[b->filled - 1] : NULL;
    int rc = 0;
    if (!p || p->first != first || p->n == (size_t)b->each) {
        rc = b->filled == b->pairs ? ib_batch_flush(b, err) : 0;
        int at = b->filled * b->each;
        p = &b->pair[b->filled++];
        *p = (ib_renderer_pair){first, ib_batch_frame(b, 0), b->t + at, 0, gap_seconds, b->made + at};
    }
    ib_frame *made = &p->out[p->n];
    rc = rc || made->plane[0] ? rc : ib_frame_alloc(made, b->width, b->height, err);
    if (rc) {
        return rc;
    }
    b->t[made - b->made] = t;
    p->n++;
    return wait_for_turn(b, made, err);
}
