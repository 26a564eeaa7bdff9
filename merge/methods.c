/* The tables: what methods there are and what steers them. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "merge/private.h"

#define ROW(name, kind, least, most, initial, help) {name, IB_MERGE_##kind, least, most, initial, help},
const ib_merge_option ib_merge_option_table[] = {
    IB_MERGE_OPTION_LIST(ROW){NULL, IB_MERGE_REAL, 0, 0, 0, NULL}};
#undef ROW

const ib_merge_method ib_merge_methods[] = {
    {.name = "linear",
     .formula = "sum w[i] X[i] / sum w[i]",
     .source = "Wortsman et al. 2022, arXiv:2203.05482 (uniform soup)",
     .least = 1,
     .most = IB_MERGE_MOST,
     .weights = true,
     .kernel = &ib_merge_linear},
    {.name = "slerp",
     .formula = "from A to B on the great circle, tensor by tensor, norms linearly",
     .source = "Shoemake 1985",
     .least = 2,
     .most = 2,
     .options = {"t"},
     .kernel = &ib_merge_slerp},
    {.name = "add-difference",
     .formula = "A + alpha (B - C)",
     .source = "Ilharco et al. 2023, arXiv:2212.04089 (task analogies)",
     .least = 3,
     .most = 3,
     .options = {"alpha"},
     .kernel = &ib_merge_add_difference},
    {.name = "task-arithmetic",
     .formula = "base + lambda sum w[i] (X[i] - base)",
     .source = "Ilharco et al. 2023, arXiv:2212.04089",
     .least = 1,
     .most = IB_MERGE_MOST,
     .base = true,
     .weights = true,
     .options = {"lambda"},
     .kernel = &ib_merge_task_arithmetic},
    {.name = "ties",
     .formula =
         "differences to the base: the largest are kept, a sign is elected, those of that sign are averaged",
     .source = "Yadav et al. 2023, arXiv:2306.01708",
     .least = 1,
     .most = IB_MERGE_MOST,
     .base = true,
     .weights = true,
     .options = {"lambda", "density"},
     .kernel = &ib_merge_ties},
    {.name = "dare",
     .formula = "task-arithmetic, differences dropped at random and the rest scaled by 1 / (1 - drop)",
     .source = "Yu et al. 2024, arXiv:2311.03099",
     .least = 1,
     .most = IB_MERGE_MOST,
     .base = true,
     .weights = true,
     .options = {"lambda", "drop", "seed"},
     .kernel = &ib_merge_dare},
    {.name = "soup",
     .formula = "the best, then each next one that does not make the average's skill on --valid fall",
     .source = "Wortsman et al. 2022, arXiv:2203.05482 (greedy soup)",
     .least = 1,
     .most = IB_MERGE_MOST,
     .valid = true,
     .options = {"gap", "max-windows"},
     .kernel = &ib_merge_soup},
    {.name = "ema",
     .formula = "states of one run, each counting decay times what the next one does",
     .source = "Polyak and Juditsky 1992; Kaddour 2022, arXiv:2209.14981",
     .least = 1,
     .most = IB_MERGE_MOST,
     .options = {"decay", "raw"},
     .kernel = &ib_merge_ema},
    {0}};

enum { OPTIONS = sizeof ib_merge_option_table / sizeof *ib_merge_option_table - 1 };
_Static_assert(OPTIONS <= sizeof((ib_merge_options *)0)->value / sizeof(double), "values for all options");

const ib_merge_option *ib_merge_option_find(const char *name) {
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!strcmp(name, ib_merge_option_table[i].name)) {
            return &ib_merge_option_table[i];
        }
    }
    return NULL;
}

const ib_merge_method *ib_merge_method_find(const char *name, ib_error *err) {
    char list[256] = "";
    size_t n = 0;
    for (const ib_merge_method *m = ib_merge_methods; m->name; m++) {
        if (!strcmp(name, m->name)) {
            return m;
        }
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
                              !n          ? ""
                              : m[1].name ? ", "
                                          : " or ",
                              m->name);
    }
    ib_fail(err, IB_E_ARGUMENT, "there is no method '%.64s': expected %s", name, list);
    return NULL;
}

void ib_merge_defaults(ib_merge_options *o) {
    *o = (ib_merge_options){.method = "linear", .threads = 1};
    for (size_t i = 0; i < OPTIONS; i++) {
        o->value[i] = ib_merge_option_table[i].initial;
    }
}

int ib_merge_set(ib_merge_options *o, const char *name, double value, ib_error *err) {
    const ib_merge_option *p = ib_merge_option_find(name);
    if (!p) {
        return ib_fail(err, IB_E_ARGUMENT, "no method has an option '%.64s'", name);
    }
    if (!(value >= p->least && value <= p->most) || (p->kind != IB_MERGE_REAL && value != floor(value))) {
        return ib_fail(err, IB_E_ARGUMENT, "%s must be %s from %g to %g, not %g", name,
                       p->kind == IB_MERGE_REAL ? "a number" : "a whole number", p->least, p->most, value);
    }
    o->value[p - ib_merge_option_table] = value;
    return IB_OK;
}

double ib_merge_get(const ib_merge_options *o, const char *name) {
    const ib_merge_option *p = ib_merge_option_find(name);
    return p ? o->value[p - ib_merge_option_table] : NAN;
}
