/* What a merged model is beside its weights. */
#include <math.h>
#include <string.h>
#include "adapter/strengths.h"
#include "merge/private.h"

/* Whether a source has a say: not with the weight 0. NaN: it differs from element to element. */
static bool counts(const ib_merge_job *j, size_t i) {
    double weight = j->result->part[i].weight;
    return isnan(weight) || weight != 0;
}

void ib_merge_lowest_strengths(const ib_merge_job *j, const size_t *which, size_t n, ib_strengths *out) {
    const ib_adapter_config *c[IB_MERGE_SOURCES];
    for (size_t i = 0; i < n; i++) {
        c[i] = &j->source[which[i]].config;
    }
    ib_strengths_lowest(out, c, n);
}

void ib_merge_settle_config(ib_merge_job *j) {
    size_t which[IB_MERGE_SOURCES], n = 0;
    j->config = j->source[0].config;
    for (size_t i = 0; i < j->sources; i++) {
        const char *guide = j->source[i].config.guide; /* one model, whose file has several names perhaps */
        if (counts(j, i)) {
            which[n++] = i;
        }
        if (strcmp(guide, j->config.guide) < 0) {
            memcpy(j->config.guide, guide, sizeof j->config.guide);
        }
    }
    if (j->refitted.bins) {
        j->config.strengths = j->refitted;
    } else {
        ib_merge_lowest_strengths(j, which, n, &j->config.strengths);
    }
}
