#include "pool/rule.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "weights/average.h"
#include "base/memory.h"

static const double most_share = 4, far = 3, clip = 2, most_way = 4, turn = -0.25, pair_far = 3;
static const double half_norm = 0.5, quarter_norm = 0.25;

static int compare_doubles(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The lower one of two. x: [k], sorted by this. */
static double median(double *x, size_t k) {
    qsort(x, k, sizeof *x, compare_doubles);
    return x[(k - 1) / 2];
}

/* How much further than usual a voice may be. */
static double way(const ib_voice *v, double median_fresh) {
    double ratio = median_fresh > 0 ? (double)v->fresh / median_fresh : 1;
    return fmin(most_way, sqrt(fmax(1, ratio)));
}

static double cosine(const float *w, const float *centre, const float *anchor, size_t n) {
    ib_comparison c = {0};
    ib_compare_add(&c, w, centre, anchor, n);
    return ib_compare_cosine(&c);
}

static double larger_rule(double a, double b) {
    return a > b ? a : b;
}

/* Two: the first is believed. */
static void judge_pair(ib_voice *v, const float *anchor, size_t n) {
    double own = anchor ? ib_params_distance(v[0].weights, anchor, n) : 0;
    double norm = ib_params_norm(anchor ? anchor : v[0].weights, n);
    double g = way(&v[1], (double)v[0].fresh);
    v[0].verdict = v[1].verdict = IB_VOICE_TAKEN;
    v[0].usual = v[1].usual = larger_rule(own, quarter_norm * norm / (pair_far * g)) * g;
    v[0].distance = 0;
    v[1].distance = ib_params_distance(v[1].weights, v[0].weights, n);
    v[0].cosine = v[1].cosine = NAN;
    if (!(v[1].distance <= pair_far * v[1].usual)) {
        v[1].verdict = IB_VOICE_FAR;
    }
}

static void judge_rule(ib_voice *v, size_t k, const float *anchor, const float *centre, double *scratch,
                       size_t n) {
    for (size_t i = 0; i < k; i++) {
        scratch[i] = (double)v[i].fresh;
    }
    double fresh = median(scratch, k), norm = ib_params_norm(centre, n);
    for (size_t i = 0; i < k; i++) {
        scratch[i] = v[i].distance = ib_params_distance(v[i].weights, centre, n);
    }
    double usual = median(scratch, k);
    for (size_t i = 0; i < k; i++) {
        double g = way(&v[i], fresh);
        double limit = fmin(far * g * usual, larger_rule(far * usual, half_norm * norm));
        v[i].usual = g * usual;
        v[i].cosine = anchor ? cosine(v[i].weights, centre, anchor, n) : NAN;
        v[i].verdict = !(v[i].distance <= limit)           ? IB_VOICE_FAR
                       : v[i].cosine < turn                ? IB_VOICE_AWAY
                       : v[i].distance > clip * v[i].usual ? IB_VOICE_SHORTENED
                                                           : IB_VOICE_TAKEN;
    }
}

/* Shares by fresh samples, capped; [k] */
static bool deal_shares(ib_voice *v, size_t k, double *scratch) {
    size_t taken = 0;
    for (size_t i = 0; i < k; i++) {
        v[i].share = 0;
        if (v[i].verdict <= IB_VOICE_SHORTENED && v[i].fresh > 0) {
            scratch[taken++] = (double)v[i].fresh;
        }
    }
    if (!taken) {
        return false;
    }
    double most = most_share * median(scratch, taken);
    for (size_t i = 0; i < k; i++) {
        scratch[i] = v[i].verdict <= IB_VOICE_SHORTENED ? fmin((double)v[i].fresh, most) : 0;
    }
    if (!ib_average_normalise(scratch, k)) {
        return false;
    }
    for (size_t i = 0; i < k; i++) {
        v[i].share = scratch[i];
    }
    return true;
}

int ib_pool_average(ib_voice *v, size_t k, const float *anchor, float *out, size_t n, ib_error *err) {
    const float **x = ib_calloc(k + 1, sizeof *x);
    double *w = ib_calloc(k + 1, sizeof *w), *kept = ib_calloc(k + 1, sizeof *kept);
    float *centre = ib_calloc(n, sizeof *centre);
    int rc = IB_OK;
    if (!x || !w || !kept || !centre) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for an average of %zu models", k);
        goto done;
    }
    for (size_t i = 0; i < k; i++) {
        x[i] = v[i].weights;
    }
    ib_average_trimmed(x, NULL, k, (k - 1) / 2, centre, n);
    if (k > 2) {
        judge_rule(v, k, anchor, centre, w, n);
    } else if (k == 2) {
        judge_pair(v, anchor, n);
    } else {
        v[0].verdict = IB_VOICE_TAKEN;
        v[0].distance = v[0].usual = 0;
        v[0].cosine = NAN;
    }
    if (!deal_shares(v, k, w)) {
        rc = ib_fail(err, IB_E_EMPTY, "none of %zu models is near the others", k);
        goto done;
    }
    for (size_t i = 0; i < k; i++) {
        double s = v[i].verdict == IB_VOICE_SHORTENED ? clip * v[i].usual / v[i].distance : 1;
        kept[i] = w[i] = s * v[i].share;
    }
    x[k] = centre; /* takes what was cut off */
    w[k] = larger_rule(0, 1 - ib_average_sum(kept, k));
    bool cut = false;
    for (size_t i = 0; i < k; i++) {
        cut |= v[i].verdict == IB_VOICE_SHORTENED;
    }
    ib_average_weighted(x, w, cut ? k + 1 : k, out, n);
done:
    ib_free(centre);
    ib_free(kept);
    ib_free(w);
    ib_free(x);
    return rc;
}

void ib_voice_explain(const ib_voice *v, char *text, size_t size) {
    double times = v->usual > 0 ? v->distance / v->usual : INFINITY;
    if (v->verdict == IB_VOICE_AWAY) {
        snprintf(text, size, "its weights went the other way than the others' (cosine %.2f)", v->cosine);
    } else {
        snprintf(text, size, "its weights are %.3g times as far from the others' as is usual%s", times,
                 v->verdict == IB_VOICE_SHORTENED ? ": shortened" : "");
    }
}
