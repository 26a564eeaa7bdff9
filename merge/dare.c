/* Drop and rescale (Yu et al. 2024, arXiv:2311.03099) before task arithmetic. Whether a difference is dropped
 * depends on the seed, the tensor's name, the place in it and the ingredient's value there: so neither on the
 * order of ingredients nor on what they are called, and two that are equal are dropped alike. */
#include <math.h>
#include <string.h>
#include "weights/average.h"
#include "base/memory.h"
#include "merge/private.h"

typedef struct draw {
    uint64_t tensor;            /* from the seed and the name */
    double kept[IB_MERGE_MOST]; /* coefficient of a difference that stays */
    double drop;
} draw;

static int plan_dare(ib_merge_job *j, ib_error *err) {
    draw *d = j->scratch = ib_calloc(1, sizeof *d);
    if (!d) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the draw");
    }
    d->drop = ib_merge_get(j->o, "drop");
    for (size_t i = 0; i < j->ingredients; i++) {
        d->kept[i] = ib_merge_get(j->o, "lambda") * j->weight[i] / (1 - d->drop);
    }
    return IB_OK;
}

/* The finaliser of splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t mix_dare(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void begin_dare(ib_merge_job *j, const ib_param *p) {
    draw *d = j->scratch;
    d->tensor = mix_dare((uint64_t)ib_merge_get(j->o, "seed") + 0x9e3779b97f4a7c15u);
    for (const char *c = p->name; *c; c++) {
        d->tensor = mix_dare(d->tensor ^ (uint64_t)(unsigned char)*c);
    }
}

static double chance_dare(uint64_t place, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (double)(mix_dare(place ^ mix_dare(bits + 0x9e3779b97f4a7c15u)) >> 11) * 0x1p-53;
}

static void combine_dare(const ib_merge_job *j, const float *const *x, size_t first, float *out, size_t n) {
    const draw *d = j->scratch;
    const float *base = x[j->ingredients];
    double c[IB_MERGE_MOST], term[IB_MERGE_SOURCES];
    for (size_t e = 0; e < n; e++) {
        uint64_t place = mix_dare(d->tensor + (uint64_t)(first + e) * 0x9e3779b97f4a7c15u);
        size_t m = 0;
        for (size_t i = 0; i < j->ingredients; i++) {
            if (d->kept[i] != 0 && chance_dare(place, x[i][e]) >= d->drop) {
                c[m] = d->kept[i];
                term[m++] = d->kept[i] * (double)x[i][e];
            }
        }
        double rest = 1 - ib_average_sum(c, m);
        if (rest != 0) {
            term[m++] = rest * (double)base[e];
        }
        out[e] = (float)ib_average_sum(term, m);
    }
}

const ib_merge_kernel ib_merge_dare = {.plan = plan_dare, .begin = begin_dare, .combine = combine_dare};
