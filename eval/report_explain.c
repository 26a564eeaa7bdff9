/* What explains the figures of a space of embeddings, in words and as JSON. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "eval/private.h"

/* ---- words ---- */

size_t ib_explained_row(const ib_eval_report *r, const char *name) {
    for (size_t m = 0; m < r->methods && r->explains; m++) {
        if ((r->method[m].kind == IB_METHOD_GUIDE || r->method[m].kind == IB_METHOD_ORACLE) &&
            !strcmp(r->method[m].name, name)) {
            return m;
        }
    }
    return SIZE_MAX;
}

double ib_explained_skill(const ib_eval_report *r, const ib_eval_gap *g, const char *name) {
    size_t m = ib_explained_row(r, name);
    return m == SIZE_MAX ? NAN : g->mean[m].figure[IB_FIGURE_SKILL];
}

static void say_guides(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    const ib_eval_explanation *x = &g->explanation;
    if (!x->guided) {
        fprintf(f,
                r->unguided ? "No guides, as asked: judged without them, %zu of %zu windows.\n"
                            : "No guides at this gap: judged without them, %zu of %zu windows.\n",
                x->windows, x->all_windows);
        return;
    }
    fprintf(f, "Guides in %zu of %zu clips: %zu of %zu windows", x->guided, g->counted, x->windows,
            x->all_windows);
    fprintf(f, x->guided < g->counted ? "; clips without guides are judged without.\n" : ".\n");
}

static void say_path(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    double floor = ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_NEIGHBOURS]);
    if (isfinite(g->explanation.step_over_variance)) {
        fprintf(f, "Step against variance: %.2f (0: a smooth path, 1: noise).",
                g->explanation.step_over_variance);
    }
    if (isfinite(floor)) {
        fprintf(f, " A smooth path would reach a skill of about %+.3f (true neighbours).", floor);
    }
    fputc('\n', f);
}

static void say_weights(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    const ib_eval_explanation *x = &g->explanation;
    double one = ib_explained_skill(r, g, ib_seen_names[IB_SEEN_WEIGHT]),
           best = ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_WEIGHTS]);
    if (!x->guided || !isfinite(x->one_weight)) {
        return;
    }
    fprintf(f, "The guide's one best weight is %.2f, fitted on these windows: skill ", x->one_weight);
    fprintf(f, isfinite(one) ? "%+.3f" : "-", one);
    fprintf(f, "; the best weight of each in-between, on average %.2f: skill ", x->best_weight);
    fprintf(f, isfinite(best) ? "%+.3f.\n" : "-.\n", best);
    for (size_t m = 0; m < r->methods; m++) {
        if (isfinite(x->gate[m].mean)) {
            fprintf(f, "The gate of ");
            ib_text_put(f, r->method[m].name, strlen(r->method[m].name));
            fprintf(f, " is %.2f on average; its correlation with the best weight is ", x->gate[m].mean);
            fprintf(f, isfinite(x->gate[m].correlation) ? "%+.2f.\n" : "-.\n", x->gate[m].correlation);
        }
    }
}

void ib_explain_text(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    if (r->explains && g->counted) {
        say_path(f, r, g);
        say_guides(f, r, g);
        say_weights(f, r, g);
    }
}

/* ---- JSON ---- */

static json_t *number_explained(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *ib_explain_json(const ib_eval_report *r, const ib_eval_gap *g) {
    const ib_eval_explanation *x = &g->explanation;
    json_t *all = json_object(), *gates = json_object();
    json_object_set_new(all, "windows", json_integer((json_int_t)x->windows));
    json_object_set_new(all, "all_windows", json_integer((json_int_t)x->all_windows));
    json_object_set_new(all, "guided_clips", json_integer((json_int_t)x->guided));
    json_object_set_new(all, "turn_deg",
                        number_explained(g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE]));
    json_object_set_new(all, "step_over_variance", number_explained(x->step_over_variance));
    json_object_set_new(
        all, "smooth_skill",
        number_explained(ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_NEIGHBOURS])));
    json_object_set_new(all, "one_weight", number_explained(x->one_weight));
    json_object_set_new(all, "best_weight", number_explained(x->best_weight));
    json_object_set_new(all, "best_weight_skill",
                        number_explained(ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_WEIGHTS])));
    for (size_t m = 0; m < r->methods; m++) {
        if (isfinite(x->gate[m].mean)) {
            json_object_set_new(gates, r->method[m].name,
                                json_pack("{s:o,s:o}", "mean", number_explained(x->gate[m].mean),
                                          "correlation", number_explained(x->gate[m].correlation)));
        }
    }
    json_object_set_new(all, "gates", gates);
    return all;
}
