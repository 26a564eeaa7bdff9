/* Inside eval: parts of the page's charts, inline SVG. */
#ifndef IB_EVAL_PAGE_DRAW_H
#define IB_EVAL_PAGE_DRAW_H

#include "eval/page.h"

enum {
    IB_CHART_WIDTH = 320,
    IB_CHART_HEIGHT = 210,
    IB_CHART_LEFT = 42,
    IB_CHART_RIGHT = 10,
    IB_CHART_TOP = 10,
    IB_CHART_BOTTOM = 36
};

typedef struct ib_axes {
    double x0, x1, y0, y1; /* of the values at the edges; what lies below y0 is drawn there */
    double step;           /* from tick to tick of y */
    int decimals;
} ib_axes;

double ib_axes_x(const ib_axes *a, double x);
double ib_axes_y(const ib_axes *a, double y);
/* About `parts` ticks of y. */
void ib_axes_fit(ib_axes *a, double low, double high, int parts);
/* Takes a value in, unless it is NaN. */
void ib_widen(double x, double *low, double *high);

void ib_draw_begin(FILE *f, const char *title, const char *axis);
void ib_draw_y(FILE *f, const ib_axes *a);
void ib_draw_x(FILE *f, const ib_axes *a, double x, const char *label);

typedef struct ib_point {
    double x, y, low, high;
    int gap;
    double t; /* NaN: over the gaps */
} ib_point;

/* Intervals of adapters over the gaps; those of everybody would hide each other. */
bool ib_draws_range(const ib_eval_report *r, size_t m, int figure);
/* Points that are not numbers are left out. */
void ib_draw_series(FILE *f, const ib_axes *a, const ib_eval_report *r, size_t m, int figure,
                    const ib_point *p, size_t n);

#endif
