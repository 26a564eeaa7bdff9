/* The page's part on spaces of embeddings: how jumpy their paths are, what guides are worth, and whether the
 * gate knows. */
#include <math.h>
#include <string.h>

#include "eval/page_draw.h"

enum { MOST_POINTS = 400, BINS = 10 };

/* Slerp, what guides alone show, adapters, and what explains them. */
static bool is_explained(const ib_eval_report *r, size_t m) {
    const ib_eval_method *k = &r->method[m];
    bool oracle = false;
    for (size_t i = 0; i < IB_EXPLAINED; i++) {
        oracle = oracle || m == ib_explained_row(r, ib_explained_names[i]);
    }
    return oracle || m == IB_EVAL_SLERP || k->kind == IB_METHOD_GUIDE || k->kind == IB_METHOD_ADAPTER;
}

/* ---- table ---- */

static void put_cell(FILE *f, double x, int decimals, bool sign) {
    fprintf(f, "<td>");
    ib_page_number(f, x, decimals, sign);
    fprintf(f, "</td>");
}

static void put_table(FILE *f, const ib_eval_report *r) {
    fprintf(f,
            "<div class=\"scroll\"><table><thead><tr><th>gap</th><th>windows</th><th>clips with guides</th>"
            "<th title=\"Angle by which the real path turns at a frame.\">turn a frame, °</th>"
            "<th title=\"Mean squared step over twice the variance within shots: 0 is smooth, 1 is "
            "noise.\">step against variance</th>"
            "<th title=\"Skill of the mean of the true frames before and after.\">a smooth path's skill</th>"
            "<th title=\"Of slerp + w (guide - slerp), fitted on these windows.\">one best weight</th>"
            "<th title=\"The best weight of each in-between, mean.\">best weights, mean</th>"
            "<th>their skill</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < r->gaps; i++) {
        const ib_eval_gap *g = &r->gap[i];
        const ib_eval_explanation *x = &g->explanation;
        if (!g->counted) {
            continue;
        }
        fprintf(f, "<tr class=\"plain\"><th scope=\"row\">%d</th><td>%zu of %zu</td><td>%zu of %zu</td>",
                g->gap, x->windows, x->all_windows, x->guided, g->counted);
        put_cell(f, g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE], 1, false);
        put_cell(f, x->step_over_variance, 2, false);
        put_cell(f, ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_NEIGHBOURS]), 3, true);
        put_cell(f, x->one_weight, 2, false);
        put_cell(f, x->best_weight, 2, false);
        put_cell(f, ib_explained_skill(r, g, ib_explained_names[IB_EXPLAINED_WEIGHTS]), 3, true);
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</tbody></table></div>\n");
}

/* ---- the gate ---- */

static double bin_of(double gate) {
    return fmin(floor(gate * BINS), BINS - 1);
}

/* Means of the best weights over gates that are alike: on the diagonal if the gate knows. */
static void draw_means(FILE *f, const ib_axes *a, const ib_eval_explanation *x) {
    double sum[BINS] = {0}, at[BINS] = {0};
    size_t n[BINS] = {0};
    bool first = true;
    for (size_t i = 0; i < x->points; i++) {
        double gate = (double)x->gates[i], weight = (double)x->weight[i];
        if (gate >= 0 && gate <= 1 && !isnan(weight)) {
            size_t bin = (size_t)bin_of(gate);
            sum[bin] += weight;
            at[bin] += gate;
            n[bin]++;
        }
    }
    fprintf(f, "<path d=\"");
    for (size_t b = 0; b < BINS; b++) {
        if (n[b]) {
            fprintf(f, "%s%.1f %.1f", first ? "M" : "L", ib_axes_x(a, at[b] / (double)n[b]),
                    ib_axes_y(a, sum[b] / (double)n[b]));
            first = false;
        }
    }
    fprintf(f, "\"/>");
}

static void draw_gates(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    const ib_eval_explanation *x = &g->explanation;
    ib_axes a = {.x0 = 0, .x1 = 1};
    char title[128], name[32];
    ib_axes_fit(&a, 0, 1, 5);
    snprintf(title, sizeof title, "gap %d: correlation %+.2f", g->gap, x->gate[r->judged].correlation);
    if (isnan(x->gate[r->judged].correlation)) {
        snprintf(title, sizeof title, "gap %d", g->gap);
    }
    ib_draw_begin(f, title, "gate; upwards the best weight");
    ib_draw_y(f, &a);
    ib_draw_x(f, &a, 0, "0");
    ib_draw_x(f, &a, 0.5, "1/2");
    ib_draw_x(f, &a, 1, "1");
    fprintf(f, "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", ib_axes_x(&a, 0),
            ib_axes_x(&a, 1), ib_axes_y(&a, 0), ib_axes_y(&a, 1));
    fprintf(f, "<g class=\"series gates %s\">", ib_page_class(r, r->judged, name));
    size_t shown = x->points < MOST_POINTS ? x->points : MOST_POINTS;
    for (size_t k = 0; k < shown; k++) {
        size_t i = ib_spread(x->points, shown, k);
        if (!isnan(x->gates[i]) && !isnan(x->weight[i])) {
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\"/>",
                    ib_axes_x(&a, fmin(fmax((double)x->gates[i], 0), 1)),
                    ib_axes_y(&a, (double)x->weight[i]));
        }
    }
    draw_means(f, &a, x);
    fprintf(f, "</g></svg></figure>\n");
}

static void put_gates(FILE *f, const ib_eval_report *r) {
    bool any = false;
    for (size_t g = 0; g < r->gaps; g++) {
        const ib_eval_explanation *x = &r->gap[g].explanation;
        any = any || (r->gap[g].counted && isfinite(x->gate[r->judged].mean));
    }
    if (!any) {
        return;
    }
    fprintf(f, "<h3>Does the gate know?</h3>\n<p class=\"soft\">How far ");
    ib_page_text(f, r->method[r->judged].name);
    fprintf(
        f,
        " followed its guide at an in-between, against the weight that would have been best there; at most "
        "%d of them. The line is the mean of the best weights where the gate is alike: on the diagonal, "
        "the gate knows.</p>\n<div class=\"charts few\">\n",
        MOST_POINTS);
    for (size_t g = 0; g < r->gaps; g++) {
        if (r->gap[g].counted && isfinite(r->gap[g].explanation.gate[r->judged].mean)) {
            draw_gates(f, r, &r->gap[g]);
        }
    }
    fprintf(f, "</div>\n");
}

/* ---- the whole ---- */

void ib_page_explain(FILE *f, const ib_eval_report *r) {
    bool any = false;
    for (size_t g = 0; g < r->gaps; g++) {
        any = any || r->gap[g].counted;
    }
    if (!r->explains || !any) {
        return;
    }
    fprintf(
        f,
        "<h2>Why</h2>\n<p class=\"soft\">Embeddings of neighbouring frames may jump, and what jumps cannot "
        "be told from two keyframes. \"True neighbours\" is what a smooth path could reach at best. ");
    fprintf(f, *r->guide
                   ? "A guide is what the space makes of the keyframes' pictures, carried to the "
                     "in-between's place: alone, with one weight fitted on these "
                     "windows, and with the best weight at every in-between, which nobody knows. Skill below "
                     "−1 is drawn at −1.</p>\n"
                   : "There are no guides here.</p>\n");
    ib_page_legend(f, r, is_explained);
    fprintf(f, "<div class=\"charts\">\n");
    ib_page_chart_gaps(f, r, IB_FIGURE_SKILL, -1, is_explained);
    ib_page_chart_gaps(f, r, IB_FIGURE_RECALL, 0, is_explained);
    fprintf(f, "</div>\n");
    put_gates(f, r);
    fprintf(f, "<h3>Gap by gap</h3>\n");
    put_table(f, r);
}
