#include "guide/guide.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter.h"
#include "adapter/named.h"
#include "base/file.h"
#include "base/memory.h"
#include "motion/motion.h"
#include "motion/pair.h"
#include "nn/gemm.h"
#include "nn/simd.h"

enum {
    PIECE = 8,        /* targets of a window that one thread makes, one after the other */
    LEAST_GUIDES = 48 /* made together, at least; whatever the threads, as the tower's sums depend on it */
};

/* What the pictures that wait for the tower may take together, and the threads' work spaces. */
static const size_t inputs_bytes = (size_t)256 << 20, works_bytes = (size_t)2 << 30;

/* One thread's own. */
typedef struct hand {
    ib_adapter_work *work;
    ib_pair *pair;
    size_t window;                   /* of the request whose keyframes the pair holds; SIZE_MAX: none */
    ib_frame key[IB_GUIDE_PICTURES]; /* keyframes made smaller, where they are */
    ib_frame out[IB_GUIDE_PICTURES];
} hand;

struct ib_guide {
    const ib_space *space;
    ib_adapter *adapter;
    char model[160];
    ib_space_input input;
    size_t each;        /* T D */
    size_t batch;       /* guides */
    float *inputs;      /* [batch,IB_GUIDE_PICTURES,floats] */
    int width, height;  /* of the pictures that the hands are made for; 0: of none */
    hand *hand;         /* [threads] */
    int threads, hands; /* hands: that the memory is enough for */
};

/* ---- opening ---- */

static int name_model(ib_guide *g, const char *name, ib_error *err) {
    char *file = NULL, hex[65];
    int rc = ib_adapter_named_file(&file, name, err);
    if (!rc && file && !(rc = ib_sha256_file(file, hex, err))) {
        snprintf(g->model, sizeof g->model, "sha256:%s %.80s", hex, ib_basename(file));
    } else if (!rc) {
        snprintf(g->model, sizeof g->model, "prior:%s", IB_MOTION_ID);
    }
    free(file);
    return rc;
}

static int open_adapter(ib_guide *g, const char *name, ib_error *err) {
    char *file = NULL;
    if (!name) {
        bool there = !ib_adapter_named_file(&file, IB_ADAPTER_DEFAULT, NULL);
        name = there ? IB_ADAPTER_DEFAULT : IB_ADAPTER_PRIOR;
        free(file);
    }
    int rc = ib_adapter_open_named(&g->adapter, name, err);
    rc = rc ? rc : name_model(g, name, err);
    if (rc) {
        return rc;
    }
    const ib_adapter_config *c = ib_adapter_config_of(g->adapter);
    if (!ib_space_is_pictures(c->space_id) || !ib_adapter_renders(g->adapter)) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: cannot make guides: an adapter of the space %s has no pictures; guides need one "
                       "of the patch space",
                       name, c->space_id);
    }
    return IB_OK;
}

int ib_guide_create(ib_guide **out, const ib_space *space, const char *adapter, int threads, ib_error *err) {
    ib_shape shape;
    *out = NULL;
    if (adapter && !strcmp(adapter, IB_GUIDE_NONE)) {
        return ib_fail(err, IB_E_ARGUMENT, "'" IB_GUIDE_NONE "' makes no guides");
    }
    ib_space_input input = ib_space_input_of(space);
    if (!ib_space_resizes(space) || !input.floats) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "space %s has no use for guides, which are what an image tower sees of pictures",
                       ib_space_id(space));
    }
    int rc = ib_space_shape(space, 16, 16, &shape, err);
    if (rc) {
        return rc;
    }
    ib_guide *g = ib_calloc(1, sizeof *g);
    if (!g) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for guides");
    }
    g->space = space;
    g->input = input;
    g->each = shape.tokens * shape.width;
    g->threads = threads < 1 ? 1 : threads;
    /* whole batches of the tower */
    size_t most = inputs_bytes / (IB_GUIDE_PICTURES * input.floats * sizeof(float)),
           step = input.batch % IB_GUIDE_PICTURES ? input.batch : input.batch / IB_GUIDE_PICTURES;
    g->batch = (LEAST_GUIDES + step - 1) / step * step;
    g->batch = g->batch < most ? g->batch : most > step ? most / step * step : step;
    if (!(g->hand = ib_calloc((size_t)g->threads, sizeof *g->hand))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for guides by %d threads", g->threads);
    }
    rc = rc ? rc : open_adapter(g, adapter, err);
    rc = rc ? rc
            : ib_alloc_floats(&g->inputs, g->batch * IB_GUIDE_PICTURES * input.floats,
                              "the pictures of guides", err);
    if (rc) {
        ib_guide_free(&g);
        return rc;
    }
    *out = g;
    return IB_OK;
}

static void free_hands(ib_guide *g) {
    for (int i = 0; g->hand && i < g->threads; i++) {
        hand *h = &g->hand[i];
        ib_adapter_work_free(&h->work);
        ib_pair_free(&h->pair);
        for (int k = 0; k < IB_GUIDE_PICTURES; k++) {
            ib_frame_free(&h->key[k]);
            ib_frame_free(&h->out[k]);
        }
    }
    g->width = g->height = 0;
}

void ib_guide_free(ib_guide **out) {
    ib_guide *g = *out;
    if (g) {
        free_hands(g);
        ib_free(g->hand);
        ib_free(g->inputs);
        ib_adapter_free(&g->adapter);
        ib_free(g);
        *out = NULL;
    }
}

const char *ib_guide_model(const ib_guide *g) {
    return g->model;
}

size_t ib_guide_batch(const ib_guide *g) {
    return g->batch;
}

/* ---- pictures ---- */

/* The size of the pictures of which guides are made. */
static void fitted_size(const ib_guide *g, int width, int height, int *w, int *h) {
    int shorter = width < height ? width : height, most = 2 * g->input.side;
    *w = width;
    *h = height;
    if (shorter > most) {
        *w = (int)lround((double)width * most / shorter);
        *h = (int)lround((double)height * most / shorter);
    }
}

int ib_guide_fit(const ib_guide *g, const ib_frame *in, ib_frame *out, ib_error *err) {
    int w, h, rc = IB_OK;
    fitted_size(g, in->width, in->height, &w, &h);
    if (out->width != w || out->height != h) {
        ib_frame_free(out);
        rc = ib_frame_alloc(out, w, h, err);
    }
    return rc ? rc : ib_frame_scale(out, in, err);
}

static int make_hand(const ib_guide *g, hand *h, int width, int height, ib_error *err) {
    int rc = ib_pair_create(&h->pair, width, height, err);
    rc = rc ? rc : ib_adapter_work_create(&h->work, g->adapter, ib_pair_shape(h->pair), 1, false, err);
    for (int k = 0; k < IB_GUIDE_PICTURES && !rc; k++) {
        rc = ib_frame_alloc(&h->out[k], width, height, err);
    }
    return rc;
}

/* The hands for frames of this size. */
static int make_hands(ib_guide *g, int width, int height, ib_error *err) {
    int w, h, rc = IB_OK;
    fitted_size(g, width, height, &w, &h);
    if (g->width == w && g->height == h) {
        return IB_OK;
    }
    free_hands(g);
    /* a work space holds about this much for each luma px, at most 576 x 336 of them */
    size_t px = (size_t)w * (size_t)h, each = 1200 * (px < 576 * 336 ? px : 576 * 336) + 50 * px,
           hands = works_bytes / each;
    g->hands = hands < 1 ? 1 : hands < (size_t)g->threads ? (int)hands : g->threads;
    for (int i = 0; i < g->hands && !rc; i++) {
        rc = make_hand(g, &g->hand[i], w, h, err);
    }
    g->width = rc ? 0 : w;
    g->height = rc ? 0 : h;
    return rc;
}

IB_MULTIARCH
static void compare_row(const uint8_t *restrict a, const uint8_t *restrict b, size_t n, uint32_t *sum,
                        uint64_t *square) {
    uint32_t s = 0, q = 0; /* of at most 16384 px */
    for (size_t x = 0; x < n; x++) {
        int d = (int)a[x] - (int)b[x];
        s += (uint32_t)(d < 0 ? -d : d);
        q += (uint32_t)(d * d);
    }
    *sum += s;
    *square += q;
}

/* Mean and root mean square of the difference of luma, 1 from black to white. */
static void compare_luma(const ib_frame *a, const ib_frame *b, float *mean, float *rms) {
    uint64_t sum = 0, square = 0;
    for (int y = 0; y < a->height; y++) {
        uint32_t row = 0;
        compare_row(a->plane[0] + (size_t)y * a->stride[0], b->plane[0] + (size_t)y * b->stride[0],
                    (size_t)a->width, &row, &square);
        sum += row;
    }
    double n = (double)a->width * a->height, white = 219;
    *mean = (float)((double)sum / n / white);
    if (rms) {
        *rms = (float)(sqrt((double)square / n) / white);
    }
}

/* ---- guides ---- */

/* Some targets of a window, one after the other. */
typedef struct piece {
    size_t window, first, n; /* targets of the request */
    size_t at;               /* the first guide's number in the batch */
} piece;

typedef struct batch {
    const ib_guide_request *w;
    float *feature; /* [guides, IB_GUIDE_FEATURES] of the batch */
    const atomic_int *stop;
} batch;

/* The keyframes of a window, made ready. */
static int take_window(const ib_guide *g, hand *h, const batch *b, size_t window, ib_error *err) {
    const ib_frame *f[IB_GUIDE_PICTURES] = {b->w[window].first, b->w[window].last};
    if (h->window == window) {
        return IB_OK;
    }
    h->window = SIZE_MAX;
    for (int k = 0; k < IB_GUIDE_PICTURES; k++) {
        if (f[k]->width != g->width || f[k]->height != g->height) {
            int rc = ib_guide_fit(g, f[k], &h->key[k], err);
            if (rc) {
                return rc;
            }
            f[k] = &h->key[k];
        }
    }
    int rc = ib_pair_set(h->pair, f[0], f[1], 1, err);
    rc = rc ? rc : ib_adapter_estimate_once(h->work, h->pair, err);
    h->window = rc ? SIZE_MAX : window;
    return rc;
}

/* The pictures of one guide into the tower's input, and its features. */
static int make_one(const ib_guide *g, hand *h, const batch *b, size_t window, size_t target, size_t at,
                    ib_error *err) {
    const ib_guide_request *w = &b->w[window];
    const ib_frame *first =
                       w->first->width == g->width && w->first->height == g->height ? w->first : &h->key[0],
                   *last = w->last->width == g->width && w->last->height == g->height ? w->last : &h->key[1];
    float *f = b->feature + at * IB_GUIDE_FEATURES;
    int rc = ib_adapter_render_sides(g->adapter, h->work, h->pair, w->t[target], w->gap_seconds, 1,
                                     &h->out[0], &h->out[1], err);
    if (rc) {
        return rc;
    }
    compare_luma(first, &h->out[0], &f[IB_GUIDE_FROM_FIRST], NULL);
    compare_luma(last, &h->out[1], &f[IB_GUIDE_FROM_LAST], NULL);
    compare_luma(first, last, &f[IB_GUIDE_APART], NULL);
    compare_luma(&h->out[0], &h->out[1], &f[IB_GUIDE_DOUBT], &f[IB_GUIDE_DOUBT_PEAK]);
    ib_adapter_doubts(g->adapter, h->work, f);
    for (size_t k = 0; k < IB_GUIDE_PICTURES && !rc; k++) {
        rc = ib_space_prepare(g->space, &h->out[k],
                              g->inputs + (at * IB_GUIDE_PICTURES + k) * g->input.floats, err);
    }
    return rc;
}

static int make_piece(const ib_guide *g, hand *h, const batch *b, const piece *p, ib_error *err) {
    int rc = take_window(g, h, b, p->window, err);
    for (size_t i = 0; i < p->n && !rc; i++) {
        if (b->stop && atomic_load(b->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
        rc = make_one(g, h, b, p->window, p->first + i, p->at + i, err);
    }
    return rc;
}

static int make_pieces(ib_guide *g, const batch *b, const piece *p, size_t n, ib_error *err) {
    int rc = IB_OK, before = ib_gemm_pin();
#pragma omp parallel for schedule(dynamic, 1) num_threads(g->hands)
    for (size_t i = 0; i < n; i++) {
        ib_error mine = {0};
        int failed;
#pragma omp atomic read
        failed = rc;
        if (!failed && (failed = make_piece(g, &g->hand[omp_get_thread_num()], b, &p[i], &mine))) {
#pragma omp critical(ib_guide_error)
            {
                if (err && !rc) {
                    *err = mine;
                }
#pragma omp atomic write
                rc = failed;
            }
        }
    }
    ib_gemm_unpin(before);
    return rc;
}

/* Cuts the next guides, at most a batch, into pieces. *window, *target: where they begin and, afterwards, the
 * next ones. Returns the number of guides. */
static size_t cut_pieces(const ib_guide *g, const ib_guide_request *w, size_t windows, size_t *window,
                         size_t *target, piece *p, size_t *pieces) {
    size_t at = 0;
    *pieces = 0;
    while (at < g->batch && *window < windows) {
        size_t n = w[*window].n - *target;
        n = n < PIECE ? n : PIECE;
        n = n < g->batch - at ? n : g->batch - at;
        if (n) {
            p[(*pieces)++] = (piece){*window, *target, n, at};
        }
        at += n;
        *target += n;
        if (*target == w[*window].n) {
            ++*window;
            *target = 0;
        }
    }
    return at;
}

static int check_requests(const ib_guide_request *w, size_t windows, ib_error *err) {
    for (size_t i = 0; i < windows; i++) {
        const ib_frame *f = w[i].first, *l = w[i].last;
        if (f->width != w[0].first->width || f->height != w[0].first->height || l->width != f->width ||
            l->height != f->height) {
            return ib_fail(err, IB_E_MISMATCH, "keyframes of %dx%d and %dx%d among others of %dx%d", f->width,
                           f->height, l->width, l->height, w[0].first->width, w[0].first->height);
        }
        if (!(w[i].gap_seconds > 0 && isfinite(w[i].gap_seconds))) {
            return ib_fail(err, IB_E_ARGUMENT, "a guide needs a gap above 0 seconds, not %g",
                           (double)w[i].gap_seconds);
        }
    }
    return IB_OK;
}

int ib_guide_make(ib_guide *g, const ib_guide_request *w, size_t windows, float *z, float *feature,
                  const atomic_int *stop, ib_error *err) {
    size_t window = 0, target = 0, pieces, n;
    int rc = check_requests(w, windows, err);
    if (rc || !windows || (rc = make_hands(g, w->first->width, w->first->height, err))) {
        return rc;
    }
    piece *p = ib_calloc(g->batch, sizeof *p);
    if (!p) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu guides", g->batch);
    }
    for (int i = 0; i < g->hands; i++) {
        g->hand[i].window = SIZE_MAX;
    }
    while (!rc && (n = cut_pieces(g, w, windows, &window, &target, p, &pieces))) {
        rc = make_pieces(g, &(batch){w, feature, stop}, p, pieces, err);
        rc = rc ? rc : ib_space_encode_inputs(g->space, g->inputs, n * IB_GUIDE_PICTURES, z, err);
        z += n * IB_GUIDE_PICTURES * g->each;
        feature += n * IB_GUIDE_FEATURES;
    }
    ib_free(p);
    return rc;
}
