#include "eval/searched.h"

#include <string.h>

#include "base/memory.h"

const char *const ib_searched_names[IB_SEARCHED] = {"mean of candidates", "search", "search, condensed",
                                                    "nearest candidate"};

int ib_searching_open(ib_searching *s, const ib_eval_options *o, const char *space_id, ib_error *err) {
    *s = (ib_searching){0};
    int rc = ib_search_begin(&o->search, space_id, "this evaluation", &s->o, &s->judge, err);
    s->o.stop = o->stop;
    if (rc || !o->search.candidates) {
        return rc;
    }
    if (o->native) {
        return ib_fail(err, IB_E_UNSUPPORTED, "a search is among latents, not at the videos' own size");
    }
    if (s->o.condense > 1 && !s->judge) {
        return ib_fail(err, IB_E_ARGUMENT, "to condense the best candidates takes a judge");
    }
    s->row[IB_SEARCHED_MEAN] = s->row[IB_SEARCHED_NEAREST] = true;
    s->row[IB_SEARCHED_BEST] = s->judge != NULL;
    s->row[IB_SEARCHED_CONDENSED] = s->judge && s->o.condense > 1;
    for (size_t i = 0; i < IB_SEARCHED; i++) {
        s->rows += s->row[i];
    }
    return IB_OK;
}

void ib_searching_free(ib_searching *s) {
    ib_search_judge_free(&s->judge);
}

int ib_searched_open(ib_searched *s, const ib_searching *how, const ib_adapter *adapter, const char *space_id,
                     const ib_shape *shape, size_t most, ib_error *err) {
    size_t values, all;
    *s = (ib_searched){.how = how, .adapter = adapter};
    bool fits = !ib_size_mul(most * (how->rows + 1), shape->tokens * shape->width, &values) &&
                !ib_size_add(values, (how->o.candidates + 1) * shape->width, &all);
    int rc = fits ? ib_alloc_floats(&s->truth, all, "a search", err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for a search over %zu frames", most);
    if (!rc) {
        s->z = s->truth + most * shape->tokens * shape->width;
        s->one = s->truth + values;
    }
    return rc ? rc : ib_sought_create(&s->s, adapter, space_id, shape, most, err);
}

void ib_searched_close(ib_searched *s) {
    ib_sought_free(&s->s);
    ib_free(s->truth);
    *s = (ib_searched){0};
}

static float *row_at(const ib_searched *s, size_t row, size_t place) {
    size_t i = 0;
    for (size_t k = 0; k < row; k++) {
        i += s->how->row[k];
    }
    return s->z + (i * s->s.most + place) * s->s.shape.tokens * s->s.shape.width;
}

const float *ib_searched_at(const ib_searched *s, size_t i, int k) {
    return s->z + (i * s->s.most + (size_t)k - 1) * s->s.shape.tokens * s->s.shape.width;
}

/* The plain mean and the nearest of a token's candidates. */
static void put_plain(ib_searched *s, size_t place, size_t token, double *weight) {
    const ib_search_options *o = &s->how->o;
    size_t d = s->s.shape.width, at = (place * s->s.shape.tokens + token) * d, nearest = 0;
    ib_strand here = {&s->s, token, place};
    float least = 0;
    ib_candidates_make(&here, o->candidates, o->seed, s->one);
    for (size_t c = 0; c < o->candidates; c++) {
        float error = ib_sought_apart(s->one + c * d, s->truth + at, d);
        nearest = c && error >= least ? nearest : c;
        least = nearest == c ? error : least;
        weight[c] = 1 / (double)o->candidates;
    }
    memcpy(row_at(s, IB_SEARCHED_NEAREST, place) + token * d, s->one + nearest * d, d * sizeof *s->one);
    ib_search_mean(s->one, weight, o->candidates, d, row_at(s, IB_SEARCHED_MEAN, place) + token * d);
}

int ib_searched_window(ib_searched *s, ib_latent_file *f, size_t first, int gap, size_t guide,
                       ib_error *err) {
    const ib_searching *how = s->how;
    double *weight = ib_calloc(how->o.candidates, sizeof *weight);
    int rc =
        weight ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for %zu candidates", how->o.candidates);
    rc = rc ? rc : ib_sought_read(&s->s, f, first, gap, guide, s->truth, err);
    rc = rc ? rc : ib_sought_answer(&s->s, s->adapter, err);
    for (size_t place = 0; place < s->s.places && !rc; place++) {
        for (size_t token = 0; token < s->s.shape.tokens; token++) {
            put_plain(s, place, token, weight);
        }
    }
    ib_search_options best = how->o;
    best.condense = 1;
    if (!rc && how->row[IB_SEARCHED_BEST]) {
        rc = ib_search_window(how->judge, &s->s, &best, row_at(s, IB_SEARCHED_BEST, 0), NULL, err);
    }
    if (!rc && how->row[IB_SEARCHED_CONDENSED]) {
        rc = ib_search_window(how->judge, &s->s, &how->o, row_at(s, IB_SEARCHED_CONDENSED, 0), NULL, err);
    }
    ib_free(weight);
    return rc;
}
