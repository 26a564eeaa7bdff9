/* How far the parts of a model are followed at a gap. */
#include <math.h>

#include "adapter/private.h"

float ib_strength_at(const ib_strengths *s, ib_strength which, float gap_seconds, bool pictures) {
    int n = s->bins;
    const float *value = s->value[which], *middle = s->gap_seconds;
    if (!n) {
        return 1;
    }
    if (gap_seconds <= middle[0]) {
        return value[0];
    }
    if (gap_seconds >= middle[n - 1]) {
        float beyond = log2f(gap_seconds / middle[n - 1]);
        return pictures ? value[n - 1] : value[n - 1] * fmaxf(0, 1 - beyond);
    }
    int k = 1;
    while (gap_seconds > middle[k]) {
        k++;
    }
    float part = logf(gap_seconds / middle[k - 1]) / logf(middle[k] / middle[k - 1]);
    return value[k - 1] + part * (value[k] - value[k - 1]);
}

void ib_adapter_set_strengths(ib_adapter *a, const ib_strengths *s) {
    a->config.strengths = s ? *s : (ib_strengths){0};
}

const ib_strengths *ib_adapter_strengths(const ib_adapter *a) {
    return &a->config.strengths;
}

float ib_adapter_gate(const ib_adapter_work *w, int i) {
    return w->gate_mean ? w->gate_mean[i] : 0;
}
