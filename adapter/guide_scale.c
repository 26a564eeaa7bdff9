/* How far an answer is led by its guide: the model was trained with and without one, so it has both answers,
 * and z = without + W (with - without), as classifier-free guidance has it (Ho and Salimans 2022,
 * arXiv:2207.12598). */
#include <string.h>

#include "adapter/private.h"
#include "base/memory.h"

void ib_adapter_guide_scale(ib_adapter *a, double scale) {
    a->guide_scale = scale > 0 ? scale < IB_GUIDE_SCALE_MOST ? scale : IB_GUIDE_SCALE_MOST : 0;
}

int ib_model_scale_guides(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *z,
                          ib_error *err) {
    size_t floats = w->shape.tokens * w->shape.width;
    float by = (float)a->guide_scale, *without = NULL;
    int rc = ib_alloc_floats(&without, floats + (size_t)n, "an answer without its guide", err);
    float *gate = rc ? NULL : without + floats;
    for (int i = 0; i < n && !rc; i++) {
        gate[i] = ib_adapter_gate(w, i);
    }
    for (int i = 0; i < n && !rc; i++) {
        ib_between alone = in[i];
        float *with = z + (size_t)i * floats;
        if (in[i].guide) {
            alone.guide = NULL;
            rc = ib_model_answer(a, w, &alone, 1, without, err);
            for (size_t k = 0; k < floats && !rc; k++) {
                with[k] = without[k] + by * (with[k] - without[k]);
            }
        }
    }
    for (int i = 0; i < n && !rc && w->gate_mean; i++) {
        w->gate_mean[i] = gate[i];
    }
    ib_free(without);
    return rc;
}
