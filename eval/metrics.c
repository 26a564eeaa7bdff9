#include "eval/metrics.h"

#include <math.h>

#include "nn/simd.h"

/* Sums in double over LANES partial sums, whose order does not depend on the processor. */
enum { LANES = 8 };

static inline __attribute__((always_inline)) double total(const double *lane) {
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

IB_MULTIARCH double ib_squared_error(const float *a, const float *b, size_t n) {
    double lane[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double d = (double)a[i + l] - (double)b[i + l];
            lane[l] += d * d;
        }
    }
    for (; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        rest += d * d;
    }
    return total(lane) + rest;
}

typedef struct token_sums {
    double error, uu, vv, uv;
} token_sums;

IB_MULTIARCH static void sum_token(const float *u, const float *v, size_t n, token_sums *s) {
    double e[LANES] = {0}, uu[LANES] = {0}, vv[LANES] = {0}, uv[LANES] = {0};
    size_t i = 0;
    *s = (token_sums){0};
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double p = u[i + l], q = v[i + l], d = p - q;
            e[l] += d * d;
            uu[l] += p * p;
            vv[l] += q * q;
            uv[l] += p * q;
        }
    }
    for (; i < n; i++) {
        double p = u[i], q = v[i], d = p - q;
        s->error += d * d;
        s->uu += p * p;
        s->vv += q * q;
        s->uv += p * q;
    }
    s->error += total(e);
    s->uu += total(uu);
    s->vv += total(vv);
    s->uv += total(uv);
}

static double degrees(double radians) {
    return radians * 57.29577951308232;
}

/* From products in double: exact to about 1e-8 radians also where the angle is small. */
static double angle_of(double uu, double vv, double uv) {
    return atan2(sqrt(fmax(0, uu * vv - uv * uv)), uv);
}

void ib_closeness_of(const float *z, const float *truth, size_t tokens, size_t width, ib_closeness *out) {
    double cosine = 0, angle = 0, norm = 0, weight = 0;
    *out = (ib_closeness){0};
    for (size_t t = 0; t < tokens; t++) {
        token_sums s;
        sum_token(z + t * width, truth + t * width, width, &s);
        double u = sqrt(s.uu), v = sqrt(s.vv);
        out->error += s.error;
        weight += v;
        norm += fabs(u - v);
        if (v > 0) {
            cosine += u > 0 ? s.uv / u : 0; /* times v, as are the others */
            angle += v * (u > 0 ? angle_of(s.uu, s.vv, s.uv) : 1.5707963267948966);
        }
    }
    out->cosine = weight > 0 ? cosine / weight : NAN;
    out->angle_degrees = weight > 0 ? degrees(angle / weight) : NAN;
    out->norm_error = weight > 0 ? norm / weight : NAN;
}

IB_MULTIARCH static void sum_turn(const float *a, const float *b, const float *c, size_t n, token_sums *s) {
    double uu[LANES] = {0}, vv[LANES] = {0}, uv[LANES] = {0};
    size_t i = 0;
    *s = (token_sums){0};
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double u = (double)b[i + l] - (double)a[i + l], v = (double)c[i + l] - (double)b[i + l];
            uu[l] += u * u;
            vv[l] += v * v;
            uv[l] += u * v;
        }
    }
    for (; i < n; i++) {
        double u = (double)b[i] - (double)a[i], v = (double)c[i] - (double)b[i];
        s->uu += u * u;
        s->vv += v * v;
        s->uv += u * v;
    }
    s->uu += total(uu);
    s->vv += total(vv);
    s->uv += total(uv);
}

double ib_turning_degrees(const float *a, const float *b, const float *c, size_t n) {
    token_sums s;
    sum_turn(a, b, c, n, &s);
    return s.uu > 0 && s.vv > 0 ? degrees(angle_of(s.uu, s.vv, s.uv)) : NAN;
}
