#include "render/seeds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "search/search.h"

enum { BATCH = IB_DIFFUSED_BATCH, QUARTERS = 3 };
typedef ib_diffused_place place;

/* A choice that is being made. */
typedef struct choosing {
    ib_diffused_clip *c;
    uint64_t *seed, first; /* the clip's; the first that is tried */
    size_t seeds, probes, values;
    place *probe;   /* [probes] what is looked at, as in the plan */
    ib_shape shape; /* of what the tower sees */
    ib_frame frame; /* a picture for it */
    uint8_t *rgb;   /* [rows,cols,3] */
    float *z;       /* [BATCH,T,D] what it sees */
    float *text;    /* [BATCH,T,D] of prompts */
    ib_search_judge *judge;
    float *room;                               /* [D] for a view */
    float x[IB_JUDGE_INPUTS], score, *scratch; /* of one candidate */
    double *sum;                               /* [seeds] agreement of all probes */
} choosing;

int ib_seeds_check(const ib_diffused_options *o, ib_error *err) {
    if (o->seeds < 1 || o->seeds > IB_SEEDS_MOST) {
        return ib_fail(err, IB_E_ARGUMENT, "%d seeds, 1 to %d were expected", o->seeds, IB_SEEDS_MOST);
    }
    if (o->seeds == 1) {
        return o->seeds_judge ? ib_fail(err, IB_E_ARGUMENT, "%s: a judge of seeds has only one to look at",
                                        o->seeds_judge)
                              : IB_OK;
    }
    if (o->inverted) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "inverted noise is that of the keyframes, so there are no seeds to choose from");
    }
    return o->way.space ? IB_OK
                        : ib_fail(err, IB_E_ARGUMENT,
                                  "%s: seeds are compared by what an image tower sees in their pictures; say "
                                  "which (--space clip:PATH)",
                                  o->renderer);
}

/* ---- what is looked at ---- */

/* Of the plan's places between the ends of a way, [from, to), the nearest to a quarter's t. */
static size_t nearest(const ib_diffused_clip *c, size_t from, size_t to, float t) {
    size_t best = from;
    for (size_t i = from; i < to; i++) {
        if (fabsf(c->plan[i].t - t) < fabsf(c->plan[best].t - t)) {
            best = i;
        }
    }
    return best;
}

/* True if there is something that the keyframe's picture can be compared with. */
static bool is_asked(const ib_diffused_clip *c, const place *p) {
    return ib_diffused_words(c, p) ? ib_space_reads_text(c->w->space) : c->rows.n > 0;
}

static void add(choosing *h, size_t i) {
    h->probe[h->probes++] = h->c->plan[i];
    h->c->work_all += h->seeds * ib_diffused_steps(h->c, &h->c->plan[i]);
}

/* Keyframes, and where none is a drawn prompt, up to three places of every way. */
static int choose_probes(choosing *h, ib_error *err) {
    const ib_diffused_clip *c = h->c;
    size_t i = 0, to;
    if (!(h->probe = ib_calloc(c->planned + 1, sizeof *h->probe))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames", c->planned);
    }
    for (; i < c->planned && ib_diffused_is_end(c, &c->plan[i]); i++) {
        if (!h->judge && is_asked(c, &c->plan[i])) {
            add(h, i);
        }
    }
    for (; i < c->planned && c->rows.n && !c->drawn; i = to) {
        size_t last = SIZE_MAX;
        for (to = i; to < c->planned && c->plan[to].way == c->plan[i].way;) {
            to++;
        }
        for (int q = 1; q <= QUARTERS; q++) {
            size_t at = nearest(c, i, to, (float)q / (QUARTERS + 1));
            if (at != last) {
                add(h, at);
            }
            last = at;
        }
    }
    if (h->probes) {
        return IB_OK;
    }
    return h->judge && c->drawn
               ? ib_fail(err, IB_E_ARGUMENT,
                         "%s: a judge looks between keyframes, and the prompts among these are drawn first; "
                         "without it seeds are chosen by their pictures",
                         c->o->seeds_judge)
               : ib_fail(err, IB_E_ARGUMENT,
                         "%s: seeds are compared in frames that are diffused and led by image embeddings, "
                         "and here are none",
                         c->w->output);
}

/* ---- agreement ---- */

/* The mean of the cosines of T pairs of tokens. */
static double agreement(const float *a, const float *b, const ib_shape *s) {
    double sum = 0;
    for (size_t k = 0; k < s->tokens; k++, a += s->width, b += s->width) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < s->width; i++) {
            ab += (double)a[i] * (double)b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * (double)b[i];
        }
        sum += aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    }
    return sum / (double)s->tokens;
}

/* What the tower sees in picture i of those just drawn. */
static int see(choosing *h, size_t i, ib_error *err) {
    ib_frame *f = &h->frame;
    size_t row = (size_t)f->width * 3, n = row * (size_t)f->height;
    ib_diffused_bytes(h->c->picture + i * n, n, h->rgb);
    int rc = ib_frame_from_rgb(f, h->rgb, err);
    for (int y = 0; !rc && y < f->height; y++) {
        memcpy(f->rgb + (size_t)y * f->rgb_stride, h->rgb + (size_t)y * row, row);
    }
    return rc ? rc : ib_space_encode(h->c->w->space, f, h->z + i * h->values, err);
}

/* What stands at a node's side: a keyframe, or what the tower saw there. */
static const float *standing(const choosing *h, const ib_sought *s, const place *p, size_t n, int side,
                             float *t) {
    bool last = side == (int)n;
    *t = side < 0 ? 0 : last ? 1 : p[side].t;
    return side < 0 ? s->z0 : last ? s->z1 : h->z + (size_t)side * h->values;
}

/* The judge's mean score of the n places of a way, over tokens; their sum. */
static double judged(choosing *h, const ib_sought *s, const place *p, size_t n) {
    ib_search_node node[QUARTERS];
    double sum = 0;
    ib_search_order(n, node);
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)node[i].place, width = h->shape.width;
        float left_t, right_t;
        const float *left = standing(h, s, p, n, node[i].left, &left_t),
                    *right = standing(h, s, p, n, node[i].right, &right_t);
        for (size_t k = 0; k < h->shape.tokens; k++) {
            ib_strand strand = {s, k, (size_t)p[at].step - 1};
            ib_judge_view view;
            ib_judge_look(&view, &strand, left + k * width, left_t, right + k * width, right_t, h->room);
            ib_judge_inputs(&view, h->z + at * h->values + k * width, 1, h->x);
            ib_judge_score(h->judge, h->x, 1, h->scratch, &h->score);
            sum += (double)h->score / (double)h->shape.tokens;
        }
    }
    return sum;
}

/* Draws n places that go together with every seed. s: for the judge; NULL: by the cosine. */
static int compare(choosing *h, const ib_sought *s, const place *p, size_t n, ib_error *err) {
    ib_diffused_clip *c = h->c;
    const float *asked[BATCH];
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        const char *words = ib_diffused_words(c, &p[i]);
        float *text = h->text + i * h->values;
        rc = words ? ib_space_encode_text(c->w->space, words, text, err) : IB_OK;
        asked[i] = words ? text : ib_diffused_row(c, &p[i]);
    }
    for (size_t k = 0; !rc && k < h->seeds; k++) {
        *h->seed = h->first + k;
        rc = ib_diffused_draw(c, p, n, err);
        for (size_t i = 0; !rc && i < n; i++) {
            rc = see(h, i, err);
            h->sum[k] += rc || s ? 0 : agreement(h->z + i * h->values, asked[i], &h->shape);
        }
        h->sum[k] += rc || !s ? 0 : judged(h, s, p, n);
        if (!rc && c->w->stop && atomic_load(c->w->stop)) {
            rc = IB_E_INTERRUPTED;
        }
    }
    return rc == IB_E_INTERRUPTED
               ? ib_fail(err, rc, "%s: stopped while seeds were compared; no frame was made", c->w->output)
               : rc;
}

static int compare_all(choosing *h, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0, n; !rc && i < h->probes; i += n) {
        n = ib_diffused_together(h->c, h->probe + i, h->probes - i);
        rc = compare(h, NULL, h->probe + i, n, err);
    }
    return rc;
}

/* The places of one way. */
static int judge_way(void *user, size_t way, const ib_sought *s, ib_error *err) {
    choosing *h = user;
    size_t from = 0, n = 0;
    while (from < h->probes && h->probe[from].way != way) {
        from++;
    }
    while (from + n < h->probes && h->probe[from + n].way == way) {
        n++;
    }
    return n ? compare(h, s, h->probe + from, n, err) : IB_OK;
}

static int judge_all(choosing *h, ib_error *err) {
    ib_embeddings_options w = *h->c->w;
    w.search = (ib_search_asked){0};
    w.message = NULL;
    return ib_rows_look(&w, judge_way, h, err);
}

/* ---- the choice ---- */

static int open_judge(choosing *h, ib_error *err) {
    const char *path = h->c->o->seeds_judge;
    int rc = path ? ib_search_judge_open(&h->judge, path, err) : IB_OK;
    return rc || !path
               ? rc
               : ib_search_judge_check(h->judge, path, ib_space_id(h->c->w->space), "the keyframes", err);
}

static int make_room(choosing *h, ib_error *err) {
    const ib_diffused_clip *c = h->c;
    int rc = ib_space_shape(c->w->space, c->width, c->height, &h->shape, err);
    h->values = h->shape.tokens * h->shape.width;
    rc = rc ? rc : ib_frame_alloc_rgb(&h->frame, c->width, c->height, err);
    h->frame.matrix = c->matrix;
    rc = rc ? rc : ib_alloc_floats(&h->z, BATCH * h->values, "embeddings", err);
    rc = rc ? rc : ib_alloc_floats(&h->text, BATCH * h->values, "embeddings", err);
    rc = rc ? rc : ib_alloc_floats(&h->room, h->shape.width, "a judge", err);
    rc = rc ? rc : ib_alloc_floats(&h->scratch, ib_judge_scratch(1), "a judge", err);
    h->rgb = rc ? NULL : ib_calloc((size_t)c->width * (size_t)c->height, 3);
    h->sum = rc ? NULL : ib_calloc(h->seeds, sizeof *h->sum);
    return rc || (h->rgb && h->sum) ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for pictures");
}

static void release(choosing *h) {
    ib_search_judge_free(&h->judge);
    ib_frame_free(&h->frame);
    ib_free(h->probe);
    ib_free(h->rgb);
    ib_free(h->z);
    ib_free(h->text);
    ib_free(h->room);
    ib_free(h->scratch);
    ib_free(h->sum);
}

static void take_best(choosing *h, double *agreement) {
    double n = (double)h->probes, mean = 0;
    size_t best = 0;
    char line[200];
    for (size_t k = 0; k < h->seeds; k++) {
        mean += h->sum[k] / (double)h->seeds;
        best = h->sum[k] > h->sum[best] ? k : best;
    }
    *h->seed = h->first + best;
    *agreement = h->sum[best] / n;
    snprintf(line, sizeof line,
             "of %zu seeds from %llu on, %llu agrees best: %s %.4f, the mean of all is %.4f", h->seeds,
             (unsigned long long)h->first, (unsigned long long)*h->seed,
             h->judge ? "the judge's score" : "cosine", *agreement, mean / n);
    ib_diffused_tell(h->c, line);
}

int ib_seeds_choose(ib_diffused_clip *c, uint64_t *seed, double *agreement, ib_error *err) {
    choosing h = {.c = c, .seed = seed, .first = *seed, .seeds = (size_t)c->o->seeds};
    if (h.seeds == 1) {
        return IB_OK;
    }
    int rc = open_judge(&h, err);
    rc = rc ? rc : choose_probes(&h, err);
    rc = rc ? rc : make_room(&h, err);
    rc = rc ? rc : h.judge ? judge_all(&h, err) : compare_all(&h, err);
    if (!rc) {
        take_best(&h, agreement);
    }
    release(&h);
    return rc;
}
