/* Charts of the page as inline SVG. Every point carries the figure that it stands for: data-v, as the JSON
 * has it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/page.h"

/* ---- axes ---- */

enum { WIDTH = 320, HEIGHT = 210, LEFT = 42, RIGHT = 10, TOP = 10, BOTTOM = 36 };

typedef struct axes {
    double x0, x1, y0, y1; /* of the values at the edges */
    double step;           /* from tick to tick of y */
    int decimals;
} axes;

static double place_x(const axes *a, double x) {
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const axes *a, double y) {
    return HEIGHT - BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, about `parts` of them in a range. */
static double nice_step(double range, int parts) {
    double raw = range / parts, power = pow(10, floor(log10(raw))), over = raw / power;
    return power * (over <= 1 ? 1 : over <= 2 ? 2 : over <= 5 ? 5 : 10);
}

static void fit_y(axes *a, double low, double high, int parts) {
    if (!(high > low)) {
        low -= 0.5;
        high = low + 1;
    }
    a->step = nice_step(high - low, parts);
    a->y0 = floor(low / a->step + 1e-9) * a->step;
    a->y1 = ceil(high / a->step - 1e-9) * a->step;
    a->decimals = a->step < 1 ? (int)ceil(-log10(a->step) - 1e-9) : 0;
}

static void draw_y(FILE *f, const axes *a) {
    for (double y = a->y0; y < a->y1 + a->step / 2; y += a->step) {
        bool zero = fabs(y) < a->step / 100;
        fprintf(f, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", zero ? "zero" : "rule",
                LEFT, WIDTH - RIGHT, place_y(a, y), place_y(a, y));
        fprintf(f, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 7,
                place_y(a, y) + 3.5);
        ib_page_number(f, zero ? 0 : y, a->decimals, false);
        fprintf(f, "</text>");
    }
}

static void draw_x(FILE *f, const axes *a, double x, const char *label) {
    fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", place_x(a, x),
            HEIGHT - BOTTOM + 15, label);
}

static void begin_chart(FILE *f, const char *title, const char *axis) {
    fprintf(f, "<figure class=\"chart\"><figcaption>%s</figcaption>\n", title);
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s, %s\">", WIDTH, HEIGHT, title, axis);
    fprintf(f, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, axis);
}

/* ---- series ---- */

typedef struct point {
    double x, y, low, high;
    int gap;
    double t; /* NaN: over the gaps */
} point;

static void draw_point(FILE *f, const axes *a, const ib_eval_report *r, size_t m, int figure, const point *p,
                       double radius) {
    const ib_eval_figure_info *i = &ib_eval_figures[figure];
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" data-method=\"", place_x(a, p->x),
            place_y(a, p->y), radius);
    ib_page_text(f, r->method[m].name);
    fprintf(f, "\" data-figure=\"%s\" data-gap=\"%d\"", i->key, p->gap);
    if (!isnan(p->t)) {
        fprintf(f, " data-t=\"%.9g\"", p->t);
    }
    fprintf(f, " data-v=\"%.9g\"><title>", p->y);
    ib_page_text(f, r->method[m].name);
    if (isnan(p->t)) {
        fprintf(f, ", gap %d: ", p->gap);
    } else {
        fprintf(f, ", t = %.3g: ", p->t);
    }
    ib_page_number(f, p->y, i->decimals, i->better > 0 && figure != IB_FIGURE_PSNR);
    fprintf(f, " %s", i->unit);
    if (!isnan(p->low)) {
        fprintf(f, " (");
        ib_page_number(f, p->low, i->decimals, false);
        fprintf(f, " to ");
        ib_page_number(f, p->high, i->decimals, false);
        fprintf(f, ")");
    }
    fprintf(f, "</title></circle>");
}

/* Intervals of adapters over the gaps; those of everybody would hide each other. */
static bool has_ranges(const ib_eval_report *r, size_t m, int figure) {
    return r->method[m].kind == IB_METHOD_ADAPTER && figure != IB_FIGURE_PSNR;
}

/* Points that are not numbers are left out. */
static void draw_series(FILE *f, const axes *a, const ib_eval_report *r, size_t m, int figure, const point *p,
                        size_t n) {
    char name[32];
    bool first = true;
    fprintf(f, "<g class=\"series %s\">", ib_page_class(r, m, name));
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i].low) && !isnan(p[i].y) && has_ranges(r, m, figure)) {
            fprintf(f, "<line class=\"range\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                    place_x(a, p[i].x), place_x(a, p[i].x), place_y(a, p[i].low), place_y(a, p[i].high));
        }
    }
    fprintf(f, "<path d=\"");
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i].y)) {
            fprintf(f, "%s%.1f %.1f", first ? "M" : "L", place_x(a, p[i].x), place_y(a, p[i].y));
            first = false;
        }
    }
    fprintf(f, "\"/>");
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i].y)) {
            draw_point(f, a, r, m, figure, &p[i], n > 16 ? 1.8 : 2.8);
        }
    }
    fprintf(f, "</g>\n");
}

static void widen_page_charts(double x, double *low, double *high) {
    if (!isnan(x)) {
        *low = x < *low ? x : *low;
        *high = x > *high ? x : *high;
    }
}

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

void ib_page_chart_gaps(FILE *f, const ib_eval_report *r, ib_eval_figure figure) {
    const ib_eval_figure_info *info = &ib_eval_figures[figure];
    const ib_eval_gap *gap[IB_EVAL_MAX_GAPS];
    point p[IB_EVAL_MAX_GAPS];
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
            if (ib_page_charts_method(r, m)) {
                bool ranges = has_ranges(r, m, figure);
                widen_page_charts(gap[g]->mean[m].figure[figure], &low, &high);
                widen_page_charts(ranges ? gap[g]->low[m].figure[figure] : NAN, &low, &high);
                widen_page_charts(ranges ? gap[g]->high[m].figure[figure] : NAN, &low, &high);
            }
        }
    }
    axes a = {.x0 = log2(gap[0]->gap) - 0.35, .x1 = log2(gap[n - 1]->gap) + 0.35};
    fit_y(&a, low, high, 5);
    snprintf(title, sizeof title, "%s%s%s", info->title, *info->unit ? ", " : "", info->unit);
    begin_chart(f, title, "frames from keyframe to keyframe");
    draw_y(f, &a);
    for (size_t g = 0; g < n; g++) {
        char label[16];
        snprintf(label, sizeof label, "%d", gap[g]->gap);
        draw_x(f, &a, log2(gap[g]->gap), label);
    }
    for (size_t m = 0; m < r->methods; m++) {
        for (size_t g = 0; g < n && ib_page_charts_method(r, m); g++) {
            double off = r->method[m].kind == IB_METHOD_ADAPTER ? 0 : ((double)m - 3) * 0.02;
            p[g] = (point){log2(gap[g]->gap) + off,
                           gap[g]->mean[m].figure[figure],
                           gap[g]->low[m].figure[figure],
                           gap[g]->high[m].figure[figure],
                           gap[g]->gap,
                           NAN};
        }
        if (ib_page_charts_method(r, m)) {
            draw_series(f, &a, r, m, figure, p, n);
        }
    }
    fprintf(f, "</svg></figure>\n");
}

void ib_page_chart_places(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, ib_eval_figure figure) {
    size_t n = (size_t)g->gap - 1;
    point *p = calloc(n, sizeof *p);
    double low = from_zero(figure) ? 0 : INFINITY, high = from_zero(figure) ? 0 : -INFINITY;
    axes a = {.x0 = 0, .x1 = 1};
    char title[128];
    for (size_t k = 0; k < n; k++) {
        for (size_t m = 0; m < r->methods; m++) {
            if (ib_page_charts_method(r, m)) {
                widen_page_charts(g->at[k * r->methods + m].figure[figure], &low, &high);
            }
        }
    }
    if (!p) {
        return;
    }
    fit_y(&a, low, high, 4);
    snprintf(title, sizeof title, "gap %d", g->gap);
    begin_chart(f, title, "t, from keyframe to keyframe");
    draw_y(f, &a);
    draw_x(f, &a, 0, "0");
    draw_x(f, &a, 0.25, "1/4");
    draw_x(f, &a, 0.5, "1/2");
    draw_x(f, &a, 0.75, "3/4");
    draw_x(f, &a, 1, "1");
    for (size_t m = 0; m < r->methods; m++) {
        for (size_t k = 0; k < n; k++) {
            double t = (double)(k + 1) / g->gap;
            p[k] = (point){t, g->at[k * r->methods + m].figure[figure], NAN, NAN, g->gap, t};
        }
        if (ib_page_charts_method(r, m)) {
            draw_series(f, &a, r, m, figure, p, n);
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
                widen_page_charts(g->clip[c].score[m].figure[figure], &low, &high);
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
