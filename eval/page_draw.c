/* Parts of the page's charts. */
#include "eval/page_draw.h"

#include <math.h>

/* ---- axes ---- */

double ib_axes_x(const ib_axes *a, double x) {
    return IB_CHART_LEFT + (x - a->x0) / (a->x1 - a->x0) * (IB_CHART_WIDTH - IB_CHART_LEFT - IB_CHART_RIGHT);
}

double ib_axes_y(const ib_axes *a, double y) {
    y = y < a->y0 ? a->y0 : y;
    return IB_CHART_HEIGHT - IB_CHART_BOTTOM -
           (y - a->y0) / (a->y1 - a->y0) * (IB_CHART_HEIGHT - IB_CHART_TOP - IB_CHART_BOTTOM);
}

/* 1, 2 or 5 times a power of ten, about `parts` of them in a range. */
static double nice_step(double range, int parts) {
    double raw = range / parts, power = pow(10, floor(log10(raw))), over = raw / power;
    return power * (over <= 1 ? 1 : over <= 2 ? 2 : over <= 5 ? 5 : 10);
}

void ib_axes_fit(ib_axes *a, double low, double high, int parts) {
    if (!(high > low)) {
        low -= 0.5;
        high = low + 1;
    }
    a->step = nice_step(high - low, parts);
    a->y0 = floor(low / a->step + 1e-9) * a->step;
    a->y1 = ceil(high / a->step - 1e-9) * a->step;
    a->decimals = a->step < 1 ? (int)ceil(-log10(a->step) - 1e-9) : 0;
}

void ib_draw_y(FILE *f, const ib_axes *a) {
    for (double y = a->y0; y < a->y1 + a->step / 2; y += a->step) {
        bool zero = fabs(y) < a->step / 100;
        fprintf(f, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", zero ? "zero" : "rule",
                IB_CHART_LEFT, IB_CHART_WIDTH - IB_CHART_RIGHT, ib_axes_y(a, y), ib_axes_y(a, y));
        fprintf(f, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", IB_CHART_LEFT - 7,
                ib_axes_y(a, y) + 3.5);
        ib_page_number(f, zero ? 0 : y, a->decimals, false);
        fprintf(f, "</text>");
    }
}

void ib_draw_x(FILE *f, const ib_axes *a, double x, const char *label) {
    fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", ib_axes_x(a, x),
            IB_CHART_HEIGHT - IB_CHART_BOTTOM + 15, label);
}

void ib_draw_begin(FILE *f, const char *title, const char *axis) {
    fprintf(f, "<figure class=\"chart\"><figcaption>%s</figcaption>\n", title);
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s, %s\">", IB_CHART_WIDTH,
            IB_CHART_HEIGHT, title, axis);
    fprintf(f, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>",
            (IB_CHART_LEFT + IB_CHART_WIDTH - IB_CHART_RIGHT) / 2, IB_CHART_HEIGHT - 4, axis);
}

/* ---- series ---- */

static void draw_point(FILE *f, const ib_axes *a, const ib_eval_report *r, size_t m, int figure,
                       const ib_point *p, double radius) {
    const ib_eval_figure_info *i = &ib_eval_figures[figure];
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" data-method=\"", ib_axes_x(a, p->x),
            ib_axes_y(a, p->y), radius);
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
bool ib_draws_range(const ib_eval_report *r, size_t m, int figure) {
    return r->method[m].kind == IB_METHOD_ADAPTER && figure != IB_FIGURE_PSNR;
}

/* Points that are not numbers are left out. */
void ib_draw_series(FILE *f, const ib_axes *a, const ib_eval_report *r, size_t m, int figure,
                    const ib_point *p, size_t n) {
    char name[32];
    bool first = true;
    fprintf(f, "<g class=\"series %s\">", ib_page_class(r, m, name));
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i].low) && !isnan(p[i].y) && ib_draws_range(r, m, figure)) {
            fprintf(f, "<line class=\"range\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                    ib_axes_x(a, p[i].x), ib_axes_x(a, p[i].x), ib_axes_y(a, p[i].low),
                    ib_axes_y(a, p[i].high));
        }
    }
    fprintf(f, "<path d=\"");
    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i].y)) {
            fprintf(f, "%s%.1f %.1f", first ? "M" : "L", ib_axes_x(a, p[i].x), ib_axes_y(a, p[i].y));
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

void ib_widen(double x, double *low, double *high) {
    if (!isnan(x)) {
        *low = x < *low ? x : *low;
        *high = x > *high ? x : *high;
    }
}
