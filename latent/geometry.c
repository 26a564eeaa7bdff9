#include "latent/geometry.h"

#include <math.h>
#include <string.h>
#include "base/multiarch.h"
#include "latent/space_kind.h"

/* Sums run in double over fixed lanes: vectorised, and the same order on every machine. */
enum { LANES = 8 };

static IB_INLINE double total_geometry(const double s[LANES]) {
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

static IB_INLINE double norm_of_token(const float *u, size_t n) {
    double s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            s[j] += (double)u[i + j] * (double)u[i + j];
        }
    }
    for (int j = 0; i < n; i++, j++) {
        s[j] += (double)u[i] * (double)u[i];
    }
    return sqrt(total_geometry(s));
}

/* Kahan's form: w = 2 atan2(|a - b|, |a + b|) of unit vectors. */
static IB_INLINE double unit_angle(const float *u, double nu, const float *v, double nv, size_t n) {
    double less[LANES] = {0}, more[LANES] = {0}, pu = 1 / nu, pv = 1 / nv;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            double a = u[i + j] * pu, b = v[i + j] * pv;
            less[j] += (a - b) * (a - b);
            more[j] += (a + b) * (a + b);
        }
    }
    for (int j = 0; i < n; i++, j++) {
        double a = u[i] * pu, b = v[i] * pv;
        less[j] += (a - b) * (a - b);
        more[j] += (a + b) * (a + b);
    }
    return 2 * atan2(sqrt(total_geometry(less)), sqrt(total_geometry(more)));
}

static IB_INLINE void mix_token(const float *u, double a, const float *v, double b, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(a * u[i] + b * v[i]);
    }
}

/* Half a turn from u/|u| through the axis k on which u is smallest, made orthogonal to u. */
static void turn_geometry(const float *u, double nu, double w, float t, double scale, size_t n, float *out) {
    size_t k = 0;
    for (size_t i = 1; i < n; i++) {
        if (fabsf(u[i]) < fabsf(u[k])) {
            k = i;
        }
    }
    double c = u[k] / nu, rest = 1 - c * c; /* axis - c u/|u| has length sqrt(rest) */
    double along = cos(t * w), across = sin(t * w) / sqrt(rest);
    for (size_t i = 0; i < n; i++) {
        double e = (i == k) - c * (u[i] / nu);
        out[i] = (float)(scale * (along * (u[i] / nu) + across * e));
    }
}

static IB_INLINE void slerp_token(const float *u, const float *v, float t, size_t n, float *out) {
    const double tiny = 1e-20, near = 1e-4, pi = 3.14159265358979323846;
    double nu = norm_of_token(u, n), nv = norm_of_token(v, n), s = 1 - (double)t;
    if (nu < tiny || nv < tiny) {
        mix_token(u, s, v, t, n, out);
        return;
    }
    double w = unit_angle(u, nu, v, nv, n), scale = s * nu + t * nv;
    if (w < near || n == 1) {
        mix_token(u, s, v, t, n, out);
        return;
    }
    if (pi - w < near) {
        turn_geometry(u, nu, pi, t, scale, n, out);
        return;
    }
    double r = scale / sin(w);
    mix_token(u, r * sin(s * w) / nu, v, r * sin(t * w) / nv, n, out);
}

IB_MULTIARCH_EXACT void ib_slerp(const float *z0, const float *z1, float t, size_t tokens, size_t width,
                                 float *out) {
    if (t <= 0 || t >= 1) {
        const float *z = t <= 0 ? z0 : z1;
        if (out != z) {
            memmove(out, z, tokens * width * sizeof *out);
        }
        return;
    }
    for (size_t i = 0; i < tokens; i++) {
        slerp_token(z0 + i * width, z1 + i * width, t, width, out + i * width);
    }
}

const ib_geometry ib_geometry_plain = {"slerp", ib_slerp};

const char *ib_geometry_id(const ib_geometry *g) {
    return g->id;
}

void ib_slerp_in(const ib_geometry *g, const float *z0, const float *z1, float t, size_t tokens, size_t width,
                 float *out) {
    g->slerp(z0, z1, t, tokens, width, out);
}

IB_MULTIARCH_EXACT void ib_lerp(const float *z0, const float *z1, float t, size_t n, float *out) {
    if (t <= 0 || t >= 1) {
        const float *z = t <= 0 ? z0 : z1;
        if (out != z) {
            memmove(out, z, n * sizeof *out);
        }
        return;
    }
    float s = 1 - t;
    for (size_t i = 0; i < n; i++) {
        out[i] = s * z0[i] + t * z1[i];
    }
}

IB_MULTIARCH_EXACT double ib_angle(const float *u, const float *v, size_t width) {
    double nu = norm_of_token(u, width), nv = norm_of_token(v, width);
    if (nu < 1e-20 || nv < 1e-20) {
        return 0;
    }
    return unit_angle(u, nu, v, nv, width);
}
