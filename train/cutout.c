#include "train/cutout.h"
#include <math.h>

static double between(ib_rng *rng, double low, double high) {
    return low + (high - low) * ib_rng_double(rng);
}

/* Uniform in the logarithm. */
static double factor(ib_rng *rng, double low, double high) {
    return exp(between(rng, log(low), log(high)));
}

void ib_cutout_draw(const ib_shape *s, double reach, ib_rng *rng, ib_cutout *c) {
    double w = 8.0 * s->cols, h = 8.0 * s->rows, side = fmin(w, h);
    double angle = between(rng, 0, 2 * M_PI), far = reach * ib_rng_double(rng);
    c->a = factor(rng, 0.06 * side, 0.35 * side);
    c->b = c->a * factor(rng, 0.5, 2);
    c->power = factor(rng, 1, 6);
    c->vx = far * cos(angle);
    c->vy = far * sin(angle);
    c->x = between(rng, 0, w) - c->vx / 2;
    c->y = between(rng, 0, h) - c->vy / 2;
    angle = between(rng, 0, 2 * M_PI);
    far = between(rng, 0.2 * side, 0.7 * side);
    /* towards the middle, so that most of it is there */
    c->from_x = copysign(far * fabs(cos(angle)), w / 2 - c->x);
    c->from_y = copysign(far * fabs(sin(angle)), h / 2 - c->y);
}

/* How much of what lies (x, y) from the centre is the piece; the edge is about three samples wide. */
static float inside(const ib_cutout *c, double x, double y) {
    double r = pow(pow(fabs(x) / c->a, c->power) + pow(fabs(y) / c->b, c->power), 1 / c->power);
    double e = (1 - r) * fmin(c->a, c->b) / 3 + 0.5;
    return (float)(e < 0 ? 0 : e > 1 ? 1 : e);
}

void ib_cutout_lay(const ib_cutout *c, double t, const ib_shape *s, const float *texture, float *planes) {
    double cx = c->x + t * c->vx, cy = c->y + t * c->vy;
    for (int k = 0; k < 3; k++) {
        int step = k ? 2 : 1, w = 8 * s->cols / step, h = 8 * s->rows / step;
        int left = (int)fmax(floor((cx - c->a - 3) / step), 0);
        int right = (int)fmin(ceil((cx + c->a + 3) / step), w - 1);
        int top = (int)fmax(floor((cy - c->b - 3) / step), 0);
        int low = (int)fmin(ceil((cy + c->b + 3) / step), h - 1);
        for (int y = top; y <= low; y++) {
            for (int x = left; x <= right; x++) {
                size_t i = (size_t)y * (size_t)w + (size_t)x;
                /* left-sited chroma */
                float m = inside(c, step * x - cx, step * y + (k ? 0.5 : 0) - cy);
                planes[i] += m * (texture[i] - planes[i]);
            }
        }
        planes += (size_t)w * (size_t)h;
        texture += (size_t)w * (size_t)h;
    }
}
