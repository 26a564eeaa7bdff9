/* Spherical interpolation of two models, tensor by tensor: as latent/geometry.h does it for tokens, in
 * blocks. */
#include <math.h>
#include "weights/average.h"
#include "base/memory.h"
#include "merge/private.h"

static const double parallel = 1e-4, zero_norm = 1e-20; /* radians; as in latent/geometry.h */

typedef struct sums {
    double aa, bb, dd, ss; /* squares of a, b, a - b, a + b */
} sums;

static int plan_slerp(ib_merge_job *j, ib_error *err) {
    j->coefficient[0] = j->coefficient[1] = NAN; /* every tensor has its own */
    j->scratch = ib_calloc(1, sizeof(sums));
    return j->scratch ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for slerp");
}

static int one_look(const ib_merge_job *j) {
    (void)j;
    return 1;
}

static void begin_slerp(ib_merge_job *j, const ib_param *p) {
    (void)p;
    *(sums *)j->scratch = (sums){0};
}

static void look_slerp(ib_merge_job *j, int pass, const float *const *x, size_t n) {
    sums *s = j->scratch;
    (void)pass;
    for (size_t i = 0; i < n; i++) {
        double a = (double)x[0][i], b = (double)x[1][i], d = a - b, m = a + b;
        s->aa += a * a;
        s->bb += b * b;
        s->dd += d * d;
        s->ss += m * m;
    }
}

/* |u - v|^2 |a| |b| = |a - b|^2 - (|a| - |b|)^2 for the directions u, v of a, b, and likewise for the sum. */
static void settle_slerp(ib_merge_job *j, int pass) {
    const sums *s = j->scratch;
    double t = ib_merge_get(j->o, "t"), na = sqrt(s->aa), nb = sqrt(s->bb), gap = (na - nb) * (na - nb);
    double angle = 2 * atan2(sqrt(fmax(0, s->dd - gap)), sqrt(fmax(0, s->ss - gap)));
    double a = 1 - t, b = t;
    (void)pass;
    if (na > zero_norm && nb > zero_norm && angle > parallel && angle < M_PI - parallel) {
        double norm = (1 - t) * na + t * nb;
        a = norm * (sin((1 - t) * angle) / sin(angle)) / na;
        b = norm * (sin(t * angle) / sin(angle)) / nb;
    }
    j->coefficient[0] = a;
    j->coefficient[1] = b;
}

const ib_merge_kernel ib_merge_slerp = {
    .plan = plan_slerp, .looks = one_look, .begin = begin_slerp, .look = look_slerp, .settle = settle_slerp};
