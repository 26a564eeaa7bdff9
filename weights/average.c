#include "weights/average.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "nn/simd.h"

enum { CHUNK = 256 }; /* elements at a time: what is kept of them stays in the first cache */

/* 1.5 times the power of two at or below 4 k m: adding and subtracting it rounds to the grid. 0 for 0; not
 * finite stays so. */
static IB_INLINE double grid(double m, double four_k) {
    union {
        double d;
        uint64_t u;
    } v = {m * four_k};
    v.u &= 0x7ff0000000000000u;
    return 1.5 * v.d;
}

IB_MULTIARCH
static void weighted_chunk(const float *const *x, const double *weight, size_t k, size_t at, float *out,
                           size_t n) {
    double most[CHUNK], sum[CHUNK], plain[CHUNK], four_k = 4 * (double)k;
    for (size_t j = 0; j < n; j++) {
        most[j] = fabs(weight[0] * (double)x[0][at + j]);
        plain[j] = weight[0] * (double)x[0][at + j];
    }
    for (size_t i = 1; i < k; i++) {
        const float *p = x[i] + at;
        double w = weight[i];
        for (size_t j = 0; j < n; j++) {
            double t = w * (double)p[j], a = fabs(t);
            most[j] = a > most[j] ? a : most[j];
            plain[j] += t; /* exact where all are 0, and tells what is not finite */
        }
    }
    for (size_t j = 0; j < n; j++) {
        most[j] = grid(most[j], four_k);
        sum[j] = 0;
    }
    for (size_t i = 0; i < k; i++) {
        const float *p = x[i] + at;
        double w = weight[i];
        for (size_t j = 0; j < n; j++) {
            sum[j] += (w * (double)p[j] + most[j]) - most[j];
        }
    }
    for (size_t j = 0; j < n; j++) {
        bool use_plain = most[j] == 0 || !isfinite(plain[j]);
        out[at + j] = (float)(use_plain ? plain[j] : sum[j]);
    }
}

void ib_average_weighted(const float *const *x, const double *weight, size_t k, float *out, size_t n) {
    const float *some[IB_AVERAGE_MOST];
    double w[IB_AVERAGE_MOST];
    size_t m = 0;
    for (size_t i = 0; i < k && i < IB_AVERAGE_MOST; i++) {
        if (weight[i] != 0) {
            some[m] = x[i];
            w[m++] = weight[i];
        }
    }
    if (!m) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    for (size_t at = 0; at < n; at += CHUNK) {
        weighted_chunk(some, w, m, at, out, n - at < CHUNK ? n - at : CHUNK);
    }
}

double ib_average_sum(const double *term, size_t k) {
    double most = 0, plain = k ? term[0] : 0, sum = 0;
    for (size_t i = 0; i < k; i++) {
        most = fmax(most, fabs(term[i]));
        plain = i ? plain + term[i] : plain;
    }
    double g = grid(most, 4 * (double)k);
    for (size_t i = 0; i < k; i++) {
        sum += (term[i] + g) - g;
    }
    return g == 0 || !isfinite(plain) ? plain : sum;
}

bool ib_average_normalise(double *weight, size_t k) {
    double sum = ib_average_sum(weight, k);
    if (sum == 0 || !isfinite(sum)) {
        return false;
    }
    for (size_t i = 0; i < k; i++) {
        weight[i] /= sum;
    }
    return true;
}

typedef struct entry {
    float value;
    double weight;
} entry;

/* NaN behind everything. */
static bool before(entry a, entry b) {
    if (a.value != b.value) {
        return isnan(b.value) ? !isnan(a.value) : a.value < b.value;
    }
    return a.weight < b.weight;
}

/* Shell sort: k is small as a rule, and no memory is asked for. */
static void sort(entry *e, size_t k) {
    size_t gap = 1;
    while (gap < k / 3) {
        gap = 3 * gap + 1;
    }
    for (; gap; gap /= 3) {
        for (size_t i = gap; i < k; i++) {
            entry moving = e[i];
            size_t j = i;
            for (; j >= gap && before(moving, e[j - gap]); j -= gap) {
                e[j] = e[j - gap];
            }
            e[j] = moving;
        }
    }
}

void ib_average_trimmed(const float *const *x, const double *weight, size_t k, size_t cut, float *out,
                        size_t n) {
    entry e[IB_AVERAGE_MOST];
    double term[IB_AVERAGE_MOST], w[IB_AVERAGE_MOST];
    size_t rest = k - 2 * cut;
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < k; i++) {
            e[i] = (entry){x[i][j] + 0.0f, weight ? weight[i] : 1}; /* one kind of zero */
        }
        sort(e, k);
        for (size_t i = 0; i < rest; i++) {
            w[i] = e[cut + i].weight;
        }
        double total = ib_average_sum(w, rest);
        for (size_t i = 0; i < rest; i++) {
            term[i] = w[i] / total * (double)e[cut + i].value;
        }
        out[j] = (float)ib_average_sum(term, rest);
    }
}

void ib_average_clipped(const float *const *x, const double *weight, size_t k, const float *centre,
                        double radius, float *out, size_t n, double *s) {
    const float *all[IB_AVERAGE_MOST];
    double w[IB_AVERAGE_MOST], kept[IB_AVERAGE_MOST];
    size_t m = 0;
    for (size_t i = 0; i < k; i++) {
        double d = ib_params_distance(x[i], centre, n);
        double scale = !isfinite(d) ? 0 : d > radius ? radius / d : 1;
        if (s) {
            s[i] = scale;
        }
        if (scale * weight[i] != 0) {
            all[m] = x[i];
            kept[m] = w[m] = scale * weight[i];
            m++;
        }
    }
    double given = m ? ib_average_sum(kept, m) : 0;
    all[m] = centre;
    w[m++] = 1 - given;
    ib_average_weighted(all, w, m, out, n);
}

/* By the exponent's bits, because that vectorises. */
IB_MULTIARCH
bool ib_params_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

double ib_params_norm(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

double ib_params_distance(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sqrt(sum);
}

void ib_compare_add(ib_comparison *c, const float *a, const float *b, const float *base, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double zero = base ? (double)base[i] : 0, x = (double)a[i] - zero, y = (double)b[i] - zero;
        double d = (double)a[i] - (double)b[i];
        bool both = x != 0 && y != 0;
        c->aa += x * x;
        c->bb += y * y;
        c->ab += x * y;
        c->dd += d * d;
        c->both += both;
        c->same += both && (x > 0) == (y > 0);
    }
    c->elements += n;
}

double ib_compare_cosine(const ib_comparison *c) {
    double norms = sqrt(c->aa) * sqrt(c->bb);
    return norms > 0 ? fmax(-1, fmin(1, c->ab / norms)) : NAN;
}

double ib_compare_signs(const ib_comparison *c) {
    return c->both ? (double)c->same / (double)c->both : NAN;
}
