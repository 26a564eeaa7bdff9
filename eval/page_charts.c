/* Charts of the page as inline SVG. Every point carries the figure that it stands for: data-v, as the JSON
 * has it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/page_draw.h"

static bool from_zero(int figure) {
    return figure == IB_FIGURE_SKILL || figure == IB_FIGURE_GAIN;
}

void ib_page_legend(FILE *f, const ib_eval_report *r, bool (*shown)(const ib_eval_report *r, size_t method)) {
    char name[32];
    fprintf(f, "<ul class=\"legend\">");
    for (size_t m = 0; m < r->methods; m++) {
        if (shown(r, m)) {
            fprintf(f, "<li class=\"%s\"><i></i>", ib_page_class(r, m, name));
            ib_page_text(f, r->method[m].name);
            fprintf(f, "</li>");
        }
    }
    fprintf(f, "</ul>\n");
}

static int compare_gaps(const void *a, const void *b) {
    const ib_eval_gap *p = *(ib_eval_gap *const *)a, *q = *(ib_eval_gap *const *)b;
    return p->gap - q->gap;
}

void ib_page_chart_gaps(FILE *f, const ib_eval_report *r, ib_eval_figure figure, double least,
                        bool (*shown)(const ib_eval_report *r, size_t method)) {
    const ib_eval_figure_info *info = &ib_eval_figures[figure];
    const ib_eval_gap *gap[IB_EVAL_MAX_GAPS];
    ib_point p[IB_EVAL_MAX_GAPS];
    double low = from_zero(figure) ? 0 : INFINITY, high = from_zero(figure) ? 0 : -INFINITY;
    size_t n = 0;
    char title[128];
    for (size_t g = 0; g < r->gaps; g++) {
        if (r->gap[g].counted) {
            gap[n++] = &r->gap[g];
        }
    }
    qsort(gap, n, sizeof *gap, compare_gaps);
    for (size_t g = 0; g < n; g++) {
        for (size_t m = 0; m < r->methods; m++) {
            if (shown(r, m)) {
                bool ranges = ib_draws_range(r, m, figure);
                ib_widen(gap[g]->mean[m].figure[figure], &low, &high);
                ib_widen(ranges ? gap[g]->low[m].figure[figure] : NAN, &low, &high);
                ib_widen(ranges ? gap[g]->high[m].figure[figure] : NAN, &low, &high);
            }
        }
    }
    low = low < least ? least : low;
    ib_axes a = {.x0 = log2(gap[0]->gap) - 0.35, .x1 = log2(gap[n - 1]->gap) + 0.35};
    ib_axes_fit(&a, low, high, 5);
    snprintf(title, sizeof title, "%s%s%s", info->title, *info->unit ? ", " : "", info->unit);
    ib_draw_begin(f, title, "frames from keyframe to keyframe");
    ib_draw_y(f, &a);
    for (size_t g = 0; g < n; g++) {
        char label[16];
        snprintf(label, sizeof label, "%d", gap[g]->gap);
        ib_draw_x(f, &a, log2(gap[g]->gap), label);
    }
    for (size_t m = 0; m < r->methods; m++) {
        for (size_t g = 0; g < n && shown(r, m); g++) {
            double off = r->method[m].kind == IB_METHOD_ADAPTER ? 0 : ((double)m - 3) * 0.02;
            p[g] = (ib_point){log2(gap[g]->gap) + off,
                              gap[g]->mean[m].figure[figure],
                              gap[g]->low[m].figure[figure],
                              gap[g]->high[m].figure[figure],
                              gap[g]->gap,
                              NAN};
        }
        if (shown(r, m)) {
            ib_draw_series(f, &a, r, m, figure, p, n);
        }
    }
    fprintf(f, "</svg></figure>\n");
}

void ib_page_chart_places(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, ib_eval_figure figure) {
    size_t n = (size_t)g->gap - 1;
    ib_point *p = calloc(n, sizeof *p);
    double low = from_zero(figure) ? 0 : INFINITY, high = from_zero(figure) ? 0 : -INFINITY;
    ib_axes a = {.x0 = 0, .x1 = 1};
    char title[128];
    for (size_t k = 0; k < n; k++) {
        for (size_t m = 0; m < r->methods; m++) {
            if (ib_page_charts_method(r, m)) {
                ib_widen(g->at[k * r->methods + m].figure[figure], &low, &high);
            }
        }
    }
    if (!p) {
        return;
    }
    ib_axes_fit(&a, low, high, 4);
    snprintf(title, sizeof title, "gap %d", g->gap);
    ib_draw_begin(f, title, "t, from keyframe to keyframe");
    ib_draw_y(f, &a);
    ib_draw_x(f, &a, 0, "0");
    ib_draw_x(f, &a, 0.25, "1/4");
    ib_draw_x(f, &a, 0.5, "1/2");
    ib_draw_x(f, &a, 0.75, "3/4");
    ib_draw_x(f, &a, 1, "1");
    for (size_t m = 0; m < r->methods; m++) {
        for (size_t k = 0; k < n; k++) {
            double t = (double)(k + 1) / g->gap;
            p[k] = (ib_point){t, g->at[k * r->methods + m].figure[figure], NAN, NAN, g->gap, t};
        }
        if (ib_page_charts_method(r, m)) {
            ib_draw_series(f, &a, r, m, figure, p, n);
        }
    }
    free(p);
    fprintf(f, "</svg></figure>\n");
}

/* ---- bars ---- */

static void draw_bar(FILE *f, const ib_eval_report *r, const ib_eval_clip *c, int gap, size_t m, int figure,
                     double low, double high) {
    const ib_eval_figure_info *i = &ib_eval_figures[figure];
    char name[32];
    double v = c->score[m].figure[figure], from = v < 0 ? v : 0, to = v < 0 ? 0 : v;
    if (isnan(v)) {
        return;
    }
    fprintf(f, "<div class=\"bar %s\"><span style=\"left:%.2f%%;width:%.2f%%\" data-method=\"",
            ib_page_class(r, m, name), 100 * (from - low) / (high - low), 100 * (to - from) / (high - low));
    ib_page_text(f, r->method[m].name);
    fprintf(f, "\" data-figure=\"%s\" data-gap=\"%d\" data-clip=\"", i->key, gap);
    ib_page_text(f, c->name);
    fprintf(f, "\" data-v=\"%.9g\"></span><b style=\"left:%.2f%%\">", v, 100 * (to - low) / (high - low));
    ib_page_number(f, v, i->decimals, from_zero(figure));
    fprintf(f, "</b></div>");
}

static bool moves_pixels(const ib_eval_method *m) {
    return m->kind == IB_METHOD_ADAPTER || m->kind == IB_METHOD_PROGRAM || !strcmp(m->name, "minterpolate");
}

/* Adapters, other programs and minterpolate; without them all that charts show. */
static bool has_bar(const ib_eval_report *r, size_t m) {
    bool any = false;
    for (size_t i = 0; i < r->methods; i++) {
        any = any || moves_pixels(&r->method[i]);
    }
    return any ? moves_pixels(&r->method[m]) : ib_page_charts_method(r, m);
}

void ib_page_bars(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, ib_eval_figure figure) {
    double low = 0, high = 0;
    for (size_t c = 0; c < r->clips; c++) {
        for (size_t m = 0; m < r->methods && g->clip[c].windows; m++) {
            if (has_bar(r, m)) {
                ib_widen(g->clip[c].score[m].figure[figure], &low, &high);
            }
        }
    }
    if (!(high > low)) {
        high = low + 1;
    }
    ib_page_legend(f, r, has_bar);
    fprintf(f, "<div class=\"bars\">\n");
    for (size_t c = 0; c < r->clips; c++) {
        const ib_eval_clip *clip = &g->clip[c];
        if (!clip->windows) {
            continue;
        }
        fprintf(f, "<div class=\"clip\"><span class=\"name\">");
        ib_page_text(f, clip->name);
        fprintf(f, " <small>%zu window%s</small></span><div class=\"lanes\">", clip->windows,
                clip->windows == 1 ? "" : "s");
        for (size_t m = 0; m < r->methods; m++) {
            if (has_bar(r, m)) {
                draw_bar(f, r, clip, g->gap, m, figure, low, high);
            }
        }
        fprintf(f, "</div></div>\n");
    }
    fprintf(f, "</div>\n");
}
