#include "search/candidates.h"

#include <string.h>

static const float *at_place(const ib_strand *at, const float *z, size_t place) {
    const ib_shape *s = &at->s->shape;
    return z + (place * s->tokens + at->token) * s->width;
}

static const float *picture(const ib_strand *at, size_t place, size_t which) {
    const ib_shape *s = &at->s->shape;
    return at->s->guide + ((place * IB_GUIDE_PICTURES + which) * s->tokens + at->token) * s->width;
}

/* z = slerp + weight ((1 - share) first + share last - slerp). nearer: of the places beside this one, each
 * picture from that on its own keyframe's side, where it has been carried less far. */
static void follow(const ib_strand *at, bool nearer, float share, float weight, float *z) {
    size_t k = at->place, before = nearer && k ? k - 1 : k,
           after = nearer && k + 1 < at->s->places ? k + 1 : k;
    const float *slerp = at_place(at, at->s->slerp, k), *first = picture(at, before, 0),
                *last = picture(at, after, 1);
    for (size_t i = 0; i < at->s->shape.width; i++) {
        z[i] = slerp[i] + weight * (first[i] + share * (last[i] - first[i]) - slerp[i]);
    }
}

/* z = slerp + weight r, r: what the adapter adds to slerp, mixed with what it adds at the places beside it */
static void calm_own(const ib_strand *at, float calm, float weight, float *z) {
    size_t k = at->place, before = k ? k - 1 : k, after = k + 1 < at->s->places ? k + 1 : k;
    const float *slerp[3], *own[3];
    size_t place[3] = {before, k, after};
    for (int q = 0; q < 3; q++) {
        slerp[q] = at_place(at, at->s->slerp, place[q]);
        own[q] = at_place(at, at->s->own, place[q]);
    }
    for (size_t i = 0; i < at->s->shape.width; i++) {
        float beside = 0.5f * (own[0][i] - slerp[0][i] + own[2][i] - slerp[2][i]);
        float here = own[1][i] - slerp[1][i];
        z[i] = slerp[1][i] + weight * (here + calm * (beside - here));
    }
}

static void own(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    (void)which;
    (void)rng;
    memcpy(z, at_place(at, at->s->own, at->place), at->s->shape.width * sizeof *z);
}

static void slerp(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    (void)which;
    (void)rng;
    memcpy(z, at_place(at, at->s->slerp, at->place), at->s->shape.width * sizeof *z);
}

static void own_calm(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float calm[] = {0.35f, 0.7f};
    (void)rng;
    calm_own(at, calm[which], 1, z);
}

static void own_ladder(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.75f, 1.25f, 0.5f, 1.5f};
    (void)rng;
    calm_own(at, 0, weight[which], z);
}

static void pictures(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {1, 0.75f, 0.5f, 0.25f};
    (void)rng;
    follow(at, false, at->s->t[at->place], weight[which], z);
}

static void pictures_calm(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {1, 0.75f, 0.5f, 0.25f};
    const float *slerp = at_place(at, at->s->slerp, at->place), *calm = at_place(at, at->s->calm, at->place);
    (void)rng;
    for (size_t i = 0; i < at->s->shape.width; i++) {
        z[i] = slerp[i] + weight[which] * (calm[i] - slerp[i]);
    }
}

static void pictures_nearer(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.8f, 0.55f, 0.3f};
    (void)rng;
    follow(at, true, at->s->t[at->place], weight[which], z);
}

static void first_picture(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.8f, 0.4f};
    (void)rng;
    follow(at, false, 0, weight[which], z);
}

static void last_picture(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.8f, 0.4f};
    (void)rng;
    follow(at, false, 1, weight[which], z);
}

static void first_nearer(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.8f, 0.4f};
    (void)rng;
    follow(at, true, 0, weight[which], z);
}

static void last_nearer(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    static const float weight[] = {0.8f, 0.4f};
    (void)rng;
    follow(at, true, 1, weight[which], z);
}

/* Any weights: with guides of the pictures, without them of the adapter's own answer. */
static void drawn(const ib_strand *at, size_t which, ib_rng *rng, float *z) {
    float share = ib_rng_float(rng), weight = ib_rng_float(rng), other = ib_rng_float(rng);
    (void)which;
    if (at->s->guided) {
        follow(at, other < 0.5f, share, 1.1f * weight, z);
    } else {
        calm_own(at, 0.7f * other, 2 * weight, z);
    }
}

const ib_candidate_maker ib_candidate_makers[] = {
    {"own", false, 1, own},
    {"own, calm", false, 2, own_calm},
    {"own, weights", false, 4, own_ladder},
    {"pictures", true, 4, pictures},
    {"pictures, calm", true, 4, pictures_calm},
    {"pictures, nearer", true, 3, pictures_nearer},
    {"first picture", true, 2, first_picture},
    {"last picture", true, 2, last_picture},
    {"first picture, nearer", true, 2, first_nearer},
    {"last picture, nearer", true, 2, last_nearer},
    {"slerp", false, 1, slerp},
    {"drawn", false, 0, drawn},
};

size_t ib_candidate_maker_count(void) {
    return sizeof ib_candidate_makers / sizeof *ib_candidate_makers;
}

/* How many of a maker's there are; the last one never ends. */
static size_t count_of(bool guided, size_t maker) {
    const ib_candidate_maker *m = &ib_candidate_makers[maker];
    return !m->count ? SIZE_MAX : guided || !m->guided ? m->count : 0;
}

size_t ib_candidates_fixed(bool guided) {
    size_t n = 0;
    for (size_t m = 0; m + 1 < ib_candidate_maker_count(); m++) {
        n += count_of(guided, m);
    }
    return n;
}

size_t ib_candidate_maker_of(bool guided, size_t i) {
    size_t m = 0;
    while (i >= count_of(guided, m)) {
        i -= count_of(guided, m++);
    }
    return m;
}

void ib_candidates_make(const ib_strand *at, size_t n, uint64_t seed, float *z) {
    size_t before = 0, m = 0;
    for (size_t i = 0; i < n; i++) {
        ib_rng rng;
        while (i - before >= count_of(at->s->guided, m)) {
            before += count_of(at->s->guided, m++);
        }
        ib_rng_seed2(&rng, seed, (uint64_t)at->token << 32 ^ (uint64_t)at->place << 16 ^ i);
        ib_candidate_makers[m].make(at, i - before, &rng, z + i * at->s->shape.width);
    }
}
