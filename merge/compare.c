/* How far ingredients are apart, and whether they pull the same way. */
#include <math.h>
#include "weights/average.h"
#include "base/memory.h"
#include "merge/private.h"

enum { BLOCK = 1 << 14 };

static size_t pair_at(size_t a, size_t b, size_t k) {
    return a * (2 * k - a - 1) / 2 + (b - a - 1);
}

/* sums: [pairs], at least one */
static int add_block(const ib_merge_job *j, const ib_param *p, size_t first, size_t n, float *values,
                     ib_comparison *sums, ib_error *err) {
    size_t k = j->ingredients;
    const float *base = j->sources > k ? values + k * BLOCK : NULL;
    for (size_t s = 0; s < j->sources; s++) {
        int rc = ib_source_read(&j->source[s], p, first, n, values + s * BLOCK, err);
        if (rc) {
            return rc;
        }
        ib_source_release(&j->source[s], p, first, n);
    }
    for (size_t a = 0; a < k; a++) {
        for (size_t b = a + 1; b < k; b++) {
            ib_compare_add(&sums[pair_at(a, b, k)], values + a * BLOCK, values + b * BLOCK, base, n);
        }
        if (k == 1) {
            ib_compare_add(&sums[0], values, values, base, n);
        }
    }
    return IB_OK;
}

static int add_tensors(ib_merge_job *j, float *values, ib_comparison *sums, ib_error *err) {
    size_t params = ib_adapter_param_count(j->outline), done = 0;
    for (size_t i = 0; i < ib_adapter_tensor_count(j->outline); i++) {
        const ib_param *p = ib_adapter_tensor(j->outline, i);
        for (size_t at = 0, n; at < p->count; at += n) {
            n = p->count - at < BLOCK ? p->count - at : BLOCK;
            int rc = ib_merge_stopped(j, err);
            rc = rc ? rc : add_block(j, p, at, n, values, sums, err);
            if (rc) {
                return rc;
            }
            done += n;
        }
        ib_merge_report(j, (double)done / (double)params, 0);
    }
    return IB_OK;
}

int ib_merge_compare(ib_merge_job *j, ib_error *err) {
    ib_merge_result *result = j->result;
    size_t k = j->ingredients, pairs = k * (k - 1) / 2;
    float *values = NULL;
    ib_comparison *sums = ib_calloc(pairs + 1, sizeof *sums);
    result->pair = ib_calloc(pairs, sizeof *result->pair);
    int rc = sums && result->pair ? ib_alloc_floats(&values, j->sources * BLOCK, "blocks of tensors", err)
                                  : ib_fail(err, IB_E_MEMORY, "out of memory for %zu pairs", pairs);
    rc = rc ? rc : add_tensors(j, values, sums, err);
    for (size_t a = 0; !rc && a < k; a++) {
        for (size_t b = a + 1; b < k; b++) {
            const ib_comparison *c = &sums[pair_at(a, b, k)];
            result->pair[result->pairs++] =
                (ib_merge_pair){a, b, sqrt(c->dd), ib_compare_cosine(c), ib_compare_signs(c)};
            result->part[a].norm = sqrt(c->aa);
            result->part[b].norm = sqrt(c->bb);
        }
    }
    if (!rc && k == 1) {
        result->part[0].norm = sqrt(sums[0].aa);
    }
    ib_free(values);
    ib_free(sums);
    return rc;
}
