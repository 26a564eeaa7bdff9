#include "eval/remarks.h"

#include <stdlib.h>
#include <string.h>

int ib_remarks_add(ib_eval_remarks *l, const char *file, const char *why, ib_error *err) {
    ib_eval_remark *more = realloc(l->v, (l->n + 1) * sizeof *more);
    if (more) {
        l->v = more;
        more[l->n] = (ib_eval_remark){strdup(file), strdup(why)};
        if (more[l->n].file && more[l->n].why) {
            l->n++;
            return IB_OK;
        }
        free(more[l->n].file);
        free(more[l->n].why);
    }
    return ib_fail(err, IB_E_MEMORY, "out of memory for what is to be said about %s", file);
}

static int compare_remarks(const void *a, const void *b) {
    const ib_eval_remark *p = a, *q = b;
    int rc = strcmp(p->file, q->file);
    return rc ? rc : strcmp(p->why, q->why);
}

void ib_remarks_sort(ib_eval_remarks *l) {
    if (l->n) {
        qsort(l->v, l->n, sizeof *l->v, compare_remarks);
    }
}

void ib_remarks_free(ib_eval_remarks *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].file);
        free(l->v[i].why);
    }
    free(l->v);
    *l = (ib_eval_remarks){0};
}
