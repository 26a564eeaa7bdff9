/* Strengths of a merged model: the lowest of its parents' at every gap. */
#include "adapter/strengths.h"

#include <math.h>

typedef struct many {
    const ib_adapter_config *const *c; /* [n] */
    size_t n;
    float end; /* gap in seconds behind which nothing is left */
} many;

/* A bin's own value to the bit. */
static float strength_at(const ib_adapter_config *c, ib_strength which, float gap_seconds) {
    const ib_strengths *s = &c->strengths;
    if (!s->bins && c->motion) {
        return (float)c->trust; /* strengths would take its place */
    }
    for (int i = 0; i < s->bins; i++) {
        if (s->gap_seconds[i] == gap_seconds) {
            return s->value[which][i];
        }
    }
    return ib_strength_at(s, which, gap_seconds, c->motion);
}

static float lowest_at(const many *m, ib_strength which, float gap_seconds) {
    float least = 1;
    for (size_t i = 0; i < m->n; i++) {
        least = fminf(least, strength_at(m->c[i], which, gap_seconds));
    }
    return least;
}

/* Infinite unless they end at different gaps. */
static float end_of(const many *m) {
    float first = INFINITY, last = 0;
    for (size_t i = 0; i < m->n; i++) {
        const ib_strengths *s = &m->c[i]->strengths;
        first = s->bins ? fminf(first, s->gap_seconds[s->bins - 1]) : first;
        last = s->bins ? fmaxf(last, s->gap_seconds[s->bins - 1]) : last;
    }
    return first < last && !m->c[0]->motion ? 2 * first : INFINITY;
}

/* The first place behind `gap_seconds`; infinite if there is none. */
static float next_place(const many *m, float gap_seconds) {
    float next = m->end > gap_seconds ? m->end : INFINITY;
    for (size_t i = 0; i < m->n; i++) {
        for (int k = 0; k < m->c[i]->strengths.bins; k++) {
            float at = m->c[i]->strengths.gap_seconds[k];
            next = at > gap_seconds && at <= m->end ? fminf(next, at) : next;
        }
    }
    return next;
}

/* At the two and at every place between them. */
static float lowest_between(const many *m, ib_strength which, float from, float to) {
    float least = fminf(lowest_at(m, which, from), lowest_at(m, which, to));
    for (float at = next_place(m, from); at < to; at = next_place(m, at)) {
        least = fminf(least, lowest_at(m, which, at));
    }
    return least;
}

static void space_evenly(const many *m, float first, float last, ib_strengths *out) {
    out->bins = IB_STRENGTH_BINS;
    for (int i = 0; i < out->bins; i++) {
        out->gap_seconds[i] = first * powf(last / first, (float)i / (float)(out->bins - 1));
    }
    out->gap_seconds[out->bins - 1] = last;
    for (int i = 0; i < out->bins; i++) {
        float from = out->gap_seconds[i ? i - 1 : 0];
        float to = out->gap_seconds[i + 1 < out->bins ? i + 1 : i];
        for (int w = 0; w < IB_STRENGTHS; w++) {
            out->value[w][i] = lowest_between(m, (ib_strength)w, from, to);
        }
    }
}

void ib_strengths_lowest(ib_strengths *out, const ib_adapter_config *const *c, size_t n) {
    many m = {c, n, INFINITY};
    ib_strengths r = {0};
    float first, last = 0;
    size_t places = 0;
    m.end = end_of(&m);
    first = next_place(&m, 0);
    for (float at = first; isfinite(at); at = next_place(&m, at)) {
        if (places < IB_STRENGTH_BINS) {
            r.gap_seconds[places] = at;
            for (int w = 0; w < IB_STRENGTHS; w++) {
                r.value[w][places] = lowest_at(&m, (ib_strength)w, at);
            }
        }
        places++;
        last = at;
    }
    r.bins = (int)places;
    if (places > IB_STRENGTH_BINS) {
        space_evenly(&m, first, last, &r);
    }
    *out = r;
}
