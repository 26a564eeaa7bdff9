#include "guide/guided.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "latent/windows.h"

/* ---- which ---- */

int ib_guided_plan_make(ib_guided_plan *p, const uint8_t *cuts, size_t frames, const int *gap, size_t gaps,
                        int most, ib_error *err) {
    size_t *firsts = ib_calloc(frames, sizeof *firsts), room = 0;
    int rc = IB_OK;
    *p = (ib_guided_plan){0};
    for (size_t i = 0; i < gaps; i++) {
        size_t all = frames / (size_t)gap[i];
        room += all < (size_t)most ? all : (size_t)most;
    }
    if (!firsts || !(p->window = ib_calloc(room, sizeof *p->window))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %zu frames", frames);
    }
    for (size_t i = 0; i < gaps && !rc; i++) {
        size_t n = ib_score_windows_in(cuts, frames, gap[i], most, firsts);
        for (size_t k = 0; k < n; k++) {
            p->window[p->windows++] = (ib_guide_window){firsts[k], gap[i], p->guides};
            p->guides += (size_t)gap[i] - 1;
        }
    }
    ib_free(firsts);
    return rc;
}

void ib_guided_plan_free(ib_guided_plan *p) {
    ib_free(p->window);
    *p = (ib_guided_plan){0};
}

bool ib_guided_plan_is(const ib_guided_plan *p, const char *model, const ib_guide_table *t) {
    if (!t || !p->windows) {
        return !t && !p->windows;
    }
    bool same = ib_guide_same_model(model, t->model) && p->windows == t->windows;
    for (size_t i = 0; same && i < p->windows; i++) {
        same = p->window[i].first == t->window[i].first && p->window[i].gap == t->window[i].gap;
    }
    return same;
}

/* ---- making them ---- */

/* A keyframe that windows need: pictures of guides (ib_guide_fit). */
typedef struct key {
    ib_frame frame;
    size_t users;
} key;

/* The windows of one gap, one after the other. */
typedef struct lane {
    size_t at, end; /* the next window, or the one that is open */
    key *first;     /* of the one that is open; NULL: none */
} lane;

/* A window both of whose keyframes are there. */
typedef struct ready {
    const ib_guide_window *w;
    key *first, *last;
    int next; /* frame of the window whose guide is the next */
} ready;

typedef struct pass {
    const ib_guided_plan *plan;
    ib_guide *guide;
    ib_latent_writer *writer;
    size_t each; /* T D */
    double fps;
    const atomic_int *stop;
    lane *lane;
    size_t lanes;
    key **key; /* [keys], each by itself, as windows point to them */
    size_t keys;
    ready *ready;                  /* [n_ready], the longest waiting first */
    size_t n_ready, room, waiting; /* waiting: guides of those */
    /* of a batch */
    ib_guide_request *request;
    float *t, *z, *feature;
    size_t done; /* windows */
    ib_guided_progress *progress;
    void *user;
} pass;

static int hold(pass *p, const ib_frame *frame, key **out, ib_error *err) {
    key *k = NULL;
    for (size_t i = 0; i < p->keys && !k; i++) {
        k = p->key[i]->users ? NULL : p->key[i];
    }
    if (!k) {
        key **more = realloc(p->key, (p->keys + 1) * sizeof(key *));
        p->key = more ? more : p->key;
        if (!more || !(k = ib_calloc(1, sizeof *k))) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a keyframe");
        }
        p->key[p->keys++] = k;
    }
    *out = k;
    return ib_guide_fit(p->guide, frame, &k->frame, err);
}

/* The next guides of the windows that are ready, at most a batch. */
static int make_batch(pass *p, ib_error *err) {
    const double *pts = ib_latent_writer_pts(p->writer);
    size_t most = ib_guide_batch(p->guide), n = 0, used = 0, at = 0, windows = 0;
    for (size_t i = 0; i < p->n_ready && n < most; i++) {
        const ready *r = &p->ready[i];
        size_t left = (size_t)(r->w->gap - r->next), m = left < most - n ? left : most - n;
        for (size_t k = 0; k < m; k++) {
            p->t[n + k] = ib_score_place(pts + r->w->first, r->w->gap, r->next + (int)k);
        }
        p->request[used++] =
            (ib_guide_request){&r->first->frame, &r->last->frame,
                               ib_score_seconds(pts + r->w->first, r->w->gap, p->fps), p->t + n, m};
        n += m;
    }
    int rc = ib_guide_make(p->guide, p->request, used, p->z, p->feature, p->stop, err);
    for (size_t i = 0; i < used && !rc; i++) {
        ready *r = &p->ready[i];
        for (size_t k = 0; k < p->request[i].n && !rc; k++, at++) {
            rc = ib_latent_writer_put_guide(p->writer, r->w->at + (size_t)r->next++ - 1,
                                            p->z + at * IB_GUIDE_PICTURES * p->each,
                                            p->feature + at * IB_GUIDE_FEATURES, err);
        }
        if (r->next == r->w->gap) {
            r->first->users--;
            r->last->users--;
            windows++;
        }
    }
    if (rc) {
        return rc;
    }
    p->n_ready -= windows;
    p->done += windows;
    p->waiting -= n;
    memmove(p->ready, p->ready + windows, p->n_ready * sizeof *p->ready);
    if (p->progress) {
        p->progress(p->user, n);
    }
    return IB_OK;
}

static int close_window(pass *p, lane *l, key *last, ib_error *err) {
    if (p->n_ready == p->room) {
        size_t room = p->room ? 2 * p->room : 16;
        ready *more = realloc(p->ready, room * sizeof *more);
        if (!more) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for %zu windows", room);
        }
        p->ready = more;
        p->room = room;
    }
    const ib_guide_window *w = &p->plan->window[l->at++];
    p->ready[p->n_ready++] = (ready){w, l->first, last, 1};
    p->waiting += (size_t)w->gap - 1;
    last->users++;
    l->first = NULL;
    return IB_OK;
}

/* The windows that frame i ends and begins. */
static int take_frame(pass *p, const ib_frame *frame, size_t i, ib_error *err) {
    key *k = NULL;
    int rc = IB_OK;
    for (size_t g = 0; g < p->lanes && !rc; g++) {
        lane *l = &p->lane[g];
        const ib_guide_window *w = p->plan->window;
        bool ends = l->first && w[l->at].first + (size_t)w[l->at].gap == i;
        size_t next = l->at + ends;
        bool begins = (ends || !l->first) && next < l->end && w[next].first == i;
        rc = (ends || begins) && !k ? hold(p, frame, &k, err) : IB_OK;
        if (ends && !rc) {
            rc = close_window(p, l, k, err);
        }
        if (begins && !rc) {
            l->first = k;
            k->users++;
        }
    }
    while (!rc && p->waiting >= ib_guide_batch(p->guide)) {
        rc = make_batch(p, err);
    }
    return rc;
}

static int begin_pass(pass *p, ib_error *err) {
    const ib_guided_plan *plan = p->plan;
    size_t batch = ib_guide_batch(p->guide), n = 0, all;
    if (ib_size_mul(batch * IB_GUIDE_PICTURES, p->each, &all)) {
        return ib_fail(err, IB_E_MEMORY, "%zu guides at once are too many", batch);
    }
    for (size_t i = 0; i < plan->windows; i++) {
        n += !i || plan->window[i].gap != plan->window[i - 1].gap;
    }
    p->lane = ib_calloc(n, sizeof *p->lane);
    p->request = ib_calloc(batch, sizeof *p->request);
    if (!p->lane || !p->request) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a batch of guides");
    }
    for (size_t i = 0; i < plan->windows; i++) {
        if (!i || plan->window[i].gap != plan->window[i - 1].gap) {
            p->lane[p->lanes++].at = i;
        }
        p->lane[p->lanes - 1].end = i + 1;
    }
    int rc = ib_alloc_floats(&p->z, all, "the latents of guides", err);
    rc = rc ? rc : ib_alloc_floats(&p->t, batch, "the places of guides", err);
    return rc ? rc : ib_alloc_floats(&p->feature, batch * IB_GUIDE_FEATURES, "the features of guides", err);
}

static int read_frames(pass *p, const char *path, const ib_reader_options *how, ib_error *err) {
    ib_reader *reader = NULL;
    const ib_frame *frame;
    const ib_guide_window *last = NULL;
    size_t end = 0;
    for (size_t i = 0; i < p->plan->windows; i++) {
        last = &p->plan->window[i];
        size_t e = last->first + (size_t)last->gap;
        end = e > end ? e : end;
    }
    int rc = ib_reader_open(&reader, path, how, err);
    for (size_t i = 0; i <= end && !rc; i++) {
        int more = ib_reader_next(reader, &frame, err);
        if (!more) {
            rc = ib_fail(err, IB_E_FORMAT,
                         "%s: cannot be read again for its guides: it ended after %zu frames", path, i);
        } else if (how->stop && atomic_load(how->stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        } else {
            rc = more < 0 ? more : take_frame(p, frame, i, err);
        }
    }
    ib_reader_close(&reader);
    return rc;
}

int ib_guided_write(const ib_guided_plan *plan, ib_guide *g, size_t each, const char *path,
                    const ib_reader_options *how, double fps, ib_latent_writer *w,
                    ib_guided_progress *progress, void *user, ib_error *err) {
    pass p = {.plan = plan,
              .guide = g,
              .writer = w,
              .each = each,
              .fps = fps,
              .stop = how->stop,
              .progress = progress,
              .user = user};
    int rc = begin_pass(&p, err);
    rc = rc ? rc : ib_latent_writer_guides(w, ib_guide_model(g), plan->window, plan->windows, err);
    rc = rc ? rc : read_frames(&p, path, how, err);
    while (!rc && p.waiting) {
        rc = make_batch(&p, err);
    }
    for (size_t i = 0; i < p.keys; i++) {
        ib_frame_free(&p.key[i]->frame);
        ib_free(p.key[i]);
    }
    free(p.key);
    free(p.ready);
    ib_free(p.lane);
    ib_free(p.request);
    ib_free(p.feature);
    ib_free(p.t);
    ib_free(p.z);
    return rc;
}
