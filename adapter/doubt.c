/* What the estimate of motion that was made last says of itself: the features of a guide that do not follow
 * from its pictures. */
#include <math.h>

#include "adapter/private.h"

/* Mean length of a field of motion, or of the difference of two; b may be NULL. a, b: [2,cells] */
static float mean_length(const float *a, const float *b, size_t cells) {
    double sum = 0;
    for (size_t i = 0; i < cells; i++) {
        float x = a[i] - (b ? b[i] : 0), y = a[cells + i] - (b ? b[cells + i] : 0);
        sum += (double)sqrtf(x * x + y * y);
    }
    return (float)(sum / (double)cells);
}

/* Mean over the cells of what the keyframe that covers one less does not cover. */
static float unseen(const ib_motion *m, size_t cells) {
    double sum = 0;
    for (size_t i = 0; i < cells; i++) {
        const float *less = m->features + i * IB_PRIOR_FEATURES + 4; /* cover - 1 by either view */
        float worst = less[0] < less[1] ? less[0] : less[1];
        sum += worst < -1 ? 1 : worst < 0 ? (double)-worst : 0;
    }
    return (float)(sum / (double)cells);
}

void ib_adapter_doubts(const ib_adapter_work *w, int i, float *feature) {
    const ib_motion *m = &w->motion[i];
    size_t cells = m->canvas.rows * m->canvas.cols;
    float width = (float)m->canvas.width;
    const float *prior = m->v, *first = m->v + 2 * cells, *last = first + 2 * cells;
    feature[IB_GUIDE_MOTION] = mean_length(prior, NULL, cells) / width;
    feature[IB_GUIDE_VIEWS] = mean_length(first, last, cells) / width;
    feature[IB_GUIDE_UNSEEN] = unseen(m, cells);
}
