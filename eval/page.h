/* Inside eval: the parts of the report's web page. All of it is plain HTML, CSS and SVG; nothing runs and
 * nothing is loaded. */
#ifndef IB_EVAL_PAGE_H
#define IB_EVAL_PAGE_H

#include <stdio.h>

#include "eval/private.h"

/* page_style.c */
extern const char ib_page_style[];

/* page.c. Text with & < > " taken care of. */
void ib_page_text(FILE *f, const char *s);
/* A number as people read it: with a real minus sign, a dash if it is none. */
void ib_page_number(FILE *f, double x, int decimals, bool sign);
/* The class that gives a method its colour. */
const char *ib_page_class(const ib_eval_report *r, size_t method, char name[32]);
/* Methods that charts and strips show: those that somebody would choose. */
bool ib_page_charts_method(const ib_eval_report *r, size_t method);

const char *ib_page_plural(size_t n); /* "s" or "" */

/* page_tables.c */
void ib_page_tables(FILE *f, const ib_eval_report *r);

/* page_charts.c */
/* The colours of the methods that are shown. */
void ib_page_legend(FILE *f, const ib_eval_report *r, bool (*shown)(const ib_eval_report *r, size_t method));
/* One figure over the gaps, a line per method that is shown, with its intervals. What is below `least` is
 * drawn at the lower edge. */
void ib_page_chart_gaps(FILE *f, const ib_eval_report *r, ib_eval_figure figure, double least,
                        bool (*shown)(const ib_eval_report *r, size_t method));
/* One figure over t at one gap. */
void ib_page_chart_places(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, ib_eval_figure figure);
/* A bar for every clip at one gap. */
void ib_page_bars(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, ib_eval_figure figure);

/* page_explain.c: what guides are worth and what a space's paths are like. Nothing of pictures. */
void ib_page_explain(FILE *f, const ib_eval_report *r);

/* page_strips.c: film strips with errors as heat. */
int ib_page_strips(FILE *f, const ib_eval_report *r, ib_error *err);

#endif
