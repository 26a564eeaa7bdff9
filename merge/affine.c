/* Methods that are one sum of all sources with fixed coefficients. */
#include <math.h>
#include <string.h>
#include "weights/average.h"
#include "merge/private.h"

static int plan_linear(ib_merge_job *j, ib_error *err) {
    double sum = ib_average_sum(j->weight, j->ingredients);
    memcpy(j->coefficient, j->weight, j->ingredients * sizeof *j->weight);
    if (!ib_average_normalise(j->coefficient, j->ingredients)) {
        return ib_fail(err, IB_E_ARGUMENT, "the weights sum to %g: a mean needs a sum that is not 0", sum);
    }
    if (j->o->weights && fabs(sum - 1) > 1e-9) {
        ib_merge_say(j, "the weights sum to %.10g and are divided by that", sum);
    }
    return IB_OK;
}
const ib_merge_kernel ib_merge_linear = {.plan = plan_linear};

static int plan_add_difference(ib_merge_job *j, ib_error *err) {
    double alpha = ib_merge_get(j->o, "alpha");
    (void)err;
    j->coefficient[0] = 1;
    j->coefficient[1] = alpha;
    j->coefficient[2] = -alpha;
    return IB_OK;
}
const ib_merge_kernel ib_merge_add_difference = {.plan = plan_add_difference};

/* base + sum c (x - base) = (1 - sum c) base + sum c x: the same sum, and to the bit what it should be where
 * it should be one of them. */
static int plan_task_arithmetic(ib_merge_job *j, ib_error *err) {
    double lambda = ib_merge_get(j->o, "lambda");
    (void)err;
    for (size_t i = 0; i < j->ingredients; i++) {
        j->coefficient[i] = lambda * j->weight[i];
    }
    j->coefficient[j->ingredients] = 1 - ib_average_sum(j->coefficient, j->ingredients);
    return IB_OK;
}
const ib_merge_kernel ib_merge_task_arithmetic = {.plan = plan_task_arithmetic};
