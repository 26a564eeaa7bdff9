/* Trim, elect sign, merge (Yadav et al. 2023, arXiv:2306.01708), tensor by tensor: the paper trims whole
 * models, which would leave the tensors with small weights alone. */
#include <math.h>
#include <string.h>
#include "weights/average.h"
#include "base/memory.h"
#include "merge/private.h"

/* The threshold of trimming is found exactly, by counting: first the upper 16 bits of the magnitudes, then
 * the lower 15 within the one group of them in which it lies. Bits of floats >= 0 are in the order of the
 * floats. */
enum { UPPER = 1 << 16, LOWER_BITS = 15, LOWER = 1 << LOWER_BITS };

typedef struct trim {
    double lambda, density;
    size_t n;                          /* elements of the tensor */
    uint64_t (*count)[UPPER];          /* [ingredients] */
    uint32_t group[IB_MERGE_MOST];     /* in which the threshold lies */
    uint64_t left[IB_MERGE_MOST];      /* to be kept of it */
    uint32_t threshold[IB_MERGE_MOST]; /* bits of the smallest magnitude that is kept */
    uint64_t counts[];
} trim;

static int plan_ties(ib_merge_job *j, ib_error *err) {
    size_t k = j->ingredients, bytes = sizeof(trim) + k * sizeof(uint64_t[UPPER]);
    trim *t = j->scratch = ib_calloc(1, bytes);
    if (!t) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for trimming %zu ingredients (%zu bytes)", k, bytes);
    }
    t->count = (uint64_t(*)[UPPER])t->counts;
    t->lambda = ib_merge_get(j->o, "lambda");
    t->density = ib_merge_get(j->o, "density");
    for (size_t i = 0; i < k; i++) {
        if (j->weight[i] < 0) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "the weight of %s is %g: ties elects signs by weights of 0 or more",
                           j->source[i].path, j->weight[i]);
        }
    }
    return IB_OK;
}

static int looks(const ib_merge_job *j) {
    return ib_merge_get(j->o, "density") < 1 ? 2 : 0;
}

static void begin_ties(ib_merge_job *j, const ib_param *p) {
    trim *t = j->scratch;
    t->n = p->count;
    memset(t->threshold, 0, sizeof t->threshold);
    memset(t->counts, 0, j->ingredients * sizeof(uint64_t[UPPER]));
}

static inline uint32_t magnitude_ties(float x, float base) {
    float d = (float)((double)x - (double)base);
    uint32_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits & 0x7fffffffu;
}

static void look_ties(ib_merge_job *j, int pass, const float *const *x, size_t n) {
    trim *t = j->scratch;
    const float *base = x[j->ingredients];
    for (size_t i = 0; i < j->ingredients; i++) {
        uint64_t *count = t->count[i];
        for (size_t e = 0; e < n; e++) {
            uint32_t m = magnitude_ties(x[i][e], base[e]);
            if (!pass) {
                count[m >> LOWER_BITS]++;
            } else if (m >> LOWER_BITS == t->group[i]) {
                count[m & (LOWER - 1)]++;
            }
        }
    }
}

/* The largest of the first n places such that it and all above it hold at least *left; *left: what is still
 * wanted of that place. */
static uint32_t place_of(const uint64_t *count, uint32_t n, uint64_t *left) {
    uint32_t at = n - 1;
    while (at && count[at] < *left) {
        *left -= count[at--];
    }
    return at;
}

static void settle_ties(ib_merge_job *j, int pass) {
    trim *t = j->scratch;
    for (size_t i = 0; i < j->ingredients; i++) {
        if (!pass) {
            t->left[i] = (uint64_t)ceil(t->density * (double)t->n);
            t->group[i] = place_of(t->count[i], UPPER, &t->left[i]);
            memset(t->count[i], 0, sizeof t->count[i]);
        } else {
            t->threshold[i] = t->group[i] << LOWER_BITS | place_of(t->count[i], LOWER, &t->left[i]);
        }
    }
}

static void combine_ties(const ib_merge_job *j, const float *const *x, size_t first, float *out, size_t n) {
    const trim *t = j->scratch;
    const float *base = x[j->ingredients];
    double vote[IB_MERGE_MOST], w[IB_MERGE_MOST], term[IB_MERGE_SOURCES];
    (void)first;
    for (size_t e = 0; e < n; e++) {
        size_t k = 0, m = 0;
        for (size_t i = 0; i < j->ingredients; i++) {
            if (magnitude_ties(x[i][e], base[e]) >= t->threshold[i]) {
                vote[k++] = j->weight[i] * ((double)x[i][e] - (double)base[e]);
            }
        }
        double elected = ib_average_sum(vote, k);
        for (size_t i = 0; elected != 0 && i < j->ingredients; i++) {
            double difference = (double)x[i][e] - (double)base[e];
            if (j->weight[i] > 0 && difference * elected > 0 &&
                magnitude_ties(x[i][e], base[e]) >= t->threshold[i]) {
                w[m] = j->weight[i];
                term[m++] = (double)x[i][e];
            }
        }
        if (!m) {
            out[e] = base[e];
            continue;
        }
        ib_average_normalise(w, m);
        for (size_t i = 0; i < m; i++) {
            term[i] *= t->lambda * w[i];
        }
        if (t->lambda != 1) {
            term[m++] = (1 - t->lambda) * (double)base[e];
        }
        out[e] = (float)ib_average_sum(term, m);
    }
}

const ib_merge_kernel ib_merge_ties = {.plan = plan_ties,
                                       .looks = looks,
                                       .begin = begin_ties,
                                       .look = look_ties,
                                       .settle = settle_ties,
                                       .combine = combine_ties};
