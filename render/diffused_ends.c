#include "render/diffused_ends.h"

#include "base/memory.h"
#include "latent/geometry.h"

int ib_ends_alloc(ib_ends *e, size_t floats, ib_error *err) {
    int rc = IB_OK;
    e->floats = floats;
    for (int k = 0; k < 2 && !rc; k++) {
        rc = ib_alloc_floats(&e->noise[k], floats, "noise", err);
        rc = rc ? rc : ib_alloc_floats(&e->residual[k], floats, "noise", err);
    }
    return rc;
}

void ib_ends_free(ib_ends *e) {
    for (int k = 0; k < 2; k++) {
        ib_free(e->noise[k]);
        ib_free(e->residual[k]);
    }
    *e = (ib_ends){0};
}

void ib_ends_turn(ib_ends *e, size_t way) {
    if (e->way == way) {
        return;
    }
    float *noise = e->noise[0], *residual = e->residual[0];
    e->there[0] = e->there[1] && way == e->way + 1;
    e->there[1] = false;
    e->noise[0] = e->noise[1];
    e->residual[0] = e->residual[1];
    e->noise[1] = noise;
    e->residual[1] = residual;
    e->way = way;
}

static float fade(float away) {
    float v = 1 - 4 * away;
    return v > 0 ? v * v : 0;
}

void ib_ends_between(const ib_ends *e, float t, float *noise, float *residual) {
    float a = fade(t), b = fade(1 - t);
    ib_slerp(e->noise[0], e->noise[1], t, 1, e->floats, noise);
    for (size_t i = 0; i < e->floats; i++) {
        residual[i] = a * e->residual[0][i] + b * e->residual[1][i];
    }
}
