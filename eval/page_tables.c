/* Tables of the page: all figures of every gap, verdicts, worst windows. */
#include <math.h>

#include "eval/page.h"

/* The best of those that make in-betweens; SIZE_MAX where higher or lower says nothing. */
static size_t best_of(const ib_eval_report *r, const ib_eval_gap *g, int figure) {
    int better = ib_eval_figures[figure].better;
    size_t best = SIZE_MAX;
    for (size_t m = 0; m < r->methods && better; m++) {
        double x = g->mean[m].figure[figure];
        if (r->method[m].kind != IB_METHOD_ORACLE && !isnan(x) &&
            (best == SIZE_MAX || better * x > better * g->mean[best].figure[figure])) {
            best = m;
        }
    }
    return best;
}

static void put_summary(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    static const int left_out[] = {IB_FIGURE_TRUE_CURVATURE, IB_FIGURE_INNER};
    char class[32];
    fprintf(f, "<div class=\"scroll\"><table><thead><tr><th>method</th>");
    for (int i = 0; i < IB_FIGURES; i++) {
        const ib_eval_figure_info *info = &ib_eval_figures[i];
        if (i == left_out[0] || i == left_out[1] || (info->pixels && !r->decodes)) {
            continue;
        }
        fprintf(f, "<th title=\"%s\">%s%s%s</th>", info->help, info->title, *info->unit ? ", " : "",
                info->unit);
    }
    fprintf(f, "</tr></thead><tbody>\n");
    for (size_t m = 0; m < r->methods; m++) {
        fprintf(f, "<tr class=\"%s\"><th scope=\"row\">", ib_page_class(r, m, class));
        ib_page_text(f, r->method[m].name);
        fprintf(f, "</th>");
        for (int i = 0; i < IB_FIGURES; i++) {
            const ib_eval_figure_info *info = &ib_eval_figures[i];
            double x = g->mean[m].figure[i];
            if (i == left_out[0] || i == left_out[1] || (info->pixels && !r->decodes)) {
                continue;
            }
            fprintf(f, "<td%s>", best_of(r, g, i) == m ? " class=\"best\"" : "");
            ib_page_number(f, x, info->decimals, i == IB_FIGURE_SKILL || i == IB_FIGURE_GAIN);
            if (i == IB_FIGURE_SKILL && isfinite(g->low[m].figure[i]) && m != IB_EVAL_SLERP) {
                fprintf(f, " <small>");
                ib_page_number(f, g->low[m].figure[i], 2, false);
                fprintf(f, " … ");
                ib_page_number(f, g->high[m].figure[i], 2, false);
                fprintf(f, "</small>");
            }
            fprintf(f, "</td>");
        }
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</tbody></table></div>\n");
    if (isfinite(g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE])) {
        fprintf(f, "<p class=\"soft\">The real frames' path turns by ");
        ib_page_number(f, g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE], 1, false);
        fprintf(f, "° a frame.</p>\n");
    }
}

static void put_difference(FILE *f, const ib_eval_interval *i, ib_eval_verdict v, int decimals) {
    const char *word = ib_eval_verdict_word(v);
    fprintf(f, "<td>");
    ib_page_number(f, i->mean, decimals, true);
    if (isfinite(i->low)) {
        fprintf(f, " <small>");
        ib_page_number(f, i->low, decimals, false);
        fprintf(f, " … ");
        ib_page_number(f, i->high, decimals, false);
        fprintf(f, "</small>");
    }
    fprintf(f, "</td><td class=\"left %s\">%s</td>", word, word);
}

static void put_pairs(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    if (!g->pairs) {
        return;
    }
    fprintf(
        f,
        "<h3>Clip by clip against the others</h3>\n<div class=\"scroll\"><table><thead><tr><th>method</th>"
        "<th>against</th><th>skill</th><th></th>%s<th>clips</th></tr></thead><tbody>\n",
        r->decodes ? "<th>PSNR, dB</th><th></th>" : "");
    for (size_t i = 0; i < g->pairs; i++) {
        const ib_eval_pair *p = &g->pair[i];
        fprintf(f, "<tr class=\"plain\"><th scope=\"row\">");
        ib_page_text(f, r->method[p->method].name);
        fprintf(f, "</th><td>");
        ib_page_text(f, r->method[p->rival].name);
        fprintf(f, "</td>");
        put_difference(f, &p->skill, p->by_skill, 3);
        if (r->decodes) {
            put_difference(f, &p->psnr, p->by_psnr, 2);
        }
        fprintf(f, "<td>%zu</td></tr>\n", p->clips);
    }
    fprintf(f, "</tbody></table></div>\n");
}

static void put_worst(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    fprintf(f, "<h3>Worst windows of ");
    ib_page_text(f, r->method[r->judged].name);
    fprintf(f,
            "</h3>\n<div class=\"scroll\"><table><thead><tr><th>clip</th><th>frame</th><th>time, "
            "s</th><th>%s</th>%s"
            "</tr></thead><tbody>\n",
            r->judged == IB_EVAL_SLERP ? "value"
            : r->decodes               ? "gain, dB"
                                       : "skill",
            r->decodes ? "<th>PSNR, dB</th>" : "");
    for (size_t i = 0; i < g->worsts; i++) {
        const ib_eval_window *w = &g->worst[i];
        fprintf(f, "<tr class=\"plain\"><th scope=\"row\">");
        ib_page_text(f, g->clip[w->clip].name);
        fprintf(f, "</th><td>%zu</td><td>%.2f</td><td>", w->first, w->seconds);
        ib_page_number(f, w->gain, r->decodes ? 2 : 3, r->judged != IB_EVAL_SLERP);
        if (r->decodes) {
            fprintf(f, "</td><td>");
            ib_page_number(f, w->psnr, 2, false);
        }
        fprintf(f, "</td></tr>\n");
    }
    fprintf(f, "</tbody></table></div>\n");
}

static void put_flashes(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    bool any = false;
    for (size_t c = 0; c < r->clips; c++) {
        for (size_t m = 0; m < r->methods && g->clip[c].windows; m++) {
            if (g->clip[c].flash[m] && r->method[m].kind != IB_METHOD_ORACLE && ib_page_charts_method(r, m)) {
                fprintf(f, "%s", any ? "; " : "<p>Brightness or colour jumps at keyframes: ");
                ib_page_text(f, r->method[m].name);
                fprintf(f, " in ");
                ib_page_text(f, g->clip[c].name);
                fprintf(f, " by ");
                ib_page_number(f, g->clip[c].score[m].figure[IB_FIGURE_JUMP], 1, false);
                fprintf(f, " steps");
                any = true;
            }
        }
    }
    if (any) {
        fprintf(f, ".</p>\n");
    } else if (r->decodes) {
        fprintf(f, "<p class=\"soft\">No method makes brightness or colour jump at keyframes.</p>\n");
    }
}

void ib_page_tables(FILE *f, const ib_eval_report *r) {
    fprintf(f, "<h2>All figures</h2>\n<p class=\"soft\">Best of a column in bold. The last rows are no "
               "methods: what the "
               "space itself loses, and how far the true frame moves if it is shifted by a pixel or goes "
               "through a video "
               "encoder. An error below that is noise.</p>\n");
    for (size_t i = 0; i < r->gaps; i++) {
        const ib_eval_gap *g = &r->gap[i];
        size_t windows = 0, targets = 0;
        if (!g->counted) {
            fprintf(f, "<p>Gap %d: no clip has a shot longer than that.</p>\n", g->gap);
            continue;
        }
        for (size_t c = 0; c < r->clips; c++) {
            windows += g->clip[c].windows;
            targets += g->clip[c].targets;
        }
        fprintf(f, "<details%s><summary>Gap %d: %zu clip%s, %zu window%s, %zu in-between%s</summary>\n",
                i == r->shown_gap ? " open" : "", g->gap, g->counted, ib_page_plural(g->counted), windows,
                ib_page_plural(windows), targets, ib_page_plural(targets));
        put_summary(f, r, g);
        put_flashes(f, r, g);
        put_pairs(f, r, g);
        put_worst(f, r, g);
        fprintf(f, "</details>\n");
    }
}
