/* The report as a table for people. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "eval/private.h"

enum { NAME_WIDTH = 34, METHOD_WIDTH = 12, METHOD_ROOM = 24, WORST_SHOWN = 5 };

char *ib_eval_to_memory(const ib_eval_report *r, void (*write)(FILE *f, const ib_eval_report *r)) {
    char *all = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&all, &n);
    if (!f) {
        return NULL;
    }
    write(f, r);
    if (fclose(f)) {
        free(all);
        return NULL;
    }
    return all;
}

static void put_number(FILE *f, double x, int decimals, bool sign, int width) {
    if (!isfinite(x)) {
        fprintf(f, " %*s", width, "-");
    } else if (sign) {
        fprintf(f, " %+*.*f", width, decimals, x);
    } else {
        fprintf(f, " %*.*f", width, decimals, x);
    }
}

static void put_text(FILE *f, const char *text) {
    ib_text_put(f, text, strlen(text));
}

/* The end of a long name tells more than its beginning. */
static void put_name(FILE *f, const char *name, int width) {
    char *shown = ib_text_shown(name, strlen(name));
    const char *all = shown ? shown : "(out of memory)";
    size_t n = strlen(all), most = (size_t)width;
    if (n > most) {
        const char *end = all + n - (most - 3);
        while (((unsigned char)*end & 0xc0) == 0x80) { /* whole characters */
            end++;
        }
        fprintf(f, "...%-*s", width - 3, end);
    } else {
        fprintf(f, "%-*s", width, all);
    }
    free(shown);
}

/* Adapters and programs whose names are too long for a column are called by their number there. */
static void column_name(const ib_eval_report *r, size_t m, char name[METHOD_ROOM]) {
    char *shown = ib_text_shown(r->method[m].name, strlen(r->method[m].name));
    bool is_long = r->method[m].kind == IB_METHOD_ADAPTER || r->method[m].kind == IB_METHOD_PROGRAM;
    bool fits = shown && (!is_long || strlen(shown) <= METHOD_WIDTH);
    if (fits) {
        snprintf(name, METHOD_ROOM, "%s", shown);
    }
    free(shown);
    if (fits) {
        return;
    }
    size_t number = 0;
    for (size_t i = 0; i <= m; i++) {
        number += r->method[i].kind == r->method[m].kind;
    }
    snprintf(name, METHOD_ROOM, "%s %u", r->method[m].kind == IB_METHOD_PROGRAM ? "rival" : "adapter",
             (unsigned)number % 10000);
}

/* ---- methods ---- */

/* Columns of the summary; those of pixels are left out where there are none. */
static const struct {
    ib_eval_figure figure;
    int width;
    bool sign;
} columns[] = {{IB_FIGURE_SKILL, 7, true},      {IB_FIGURE_ANGLE, 6, false},    {IB_FIGURE_RECALL, 8, false},
               {IB_FIGURE_CURVATURE, 9, false}, {IB_FIGURE_PSNR, 6, false},     {IB_FIGURE_GAIN, 6, true},
               {IB_FIGURE_SSIM, 6, false},      {IB_FIGURE_MS_SSIM, 7, false},  {IB_FIGURE_FLICKER, 7, false},
               {IB_FIGURE_JUMP, 5, false},      {IB_FIGURE_SHARPNESS, 9, false}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void put_interval(FILE *f, const ib_eval_gap *g, size_t m, int figure, int decimals) {
    double low = g->low[m].figure[figure], high = g->high[m].figure[figure];
    if (isfinite(low) && isfinite(high)) {
        fprintf(f, " [%+.*f %+.*f]", decimals, low, decimals, high);
    } else {
        fprintf(f, " %*s", 2 * decimals + 9, "");
    }
}

/* Of the column of names: rows of guides are longer. */
static int width_of_names(const ib_eval_report *r) {
    size_t width = METHOD_WIDTH + 2;
    for (size_t m = 0; m < r->methods; m++) {
        char name[METHOD_ROOM];
        column_name(r, m, name);
        width = strlen(name) > width ? strlen(name) : width;
    }
    return (int)width;
}

/* Rows of guides at a gap without them. */
static bool is_empty(const ib_eval_report *r, const ib_eval_gap *g, size_t m) {
    return r->explains && isnan(g->mean[m].figure[IB_FIGURE_SKILL]) &&
           isnan(g->mean[m].figure[IB_FIGURE_ANGLE]);
}

static void methods(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    int width = width_of_names(r);
    fprintf(f, "%-*s", width, "method");
    for (size_t c = 0; c < COLUMNS; c++) {
        const ib_eval_figure_info *i = &ib_eval_figures[columns[c].figure];
        if (!i->pixels || r->decodes) {
            const char *title = columns[c].figure == IB_FIGURE_JUMP ? "jump" : i->title;
            fprintf(f, " %*s", columns[c].width, title);
        }
        if (!c) {
            fprintf(f, " %15s", "95 %      ");
        }
    }
    fputc('\n', f);
    for (size_t m = 0; m < r->methods; m++) {
        char name[METHOD_ROOM];
        if (is_empty(r, g, m)) {
            continue;
        }
        column_name(r, m, name);
        fprintf(f, "%-*s", width, name);
        for (size_t c = 0; c < COLUMNS; c++) {
            const ib_eval_figure_info *i = &ib_eval_figures[columns[c].figure];
            double x = g->mean[m].figure[columns[c].figure];
            if (!i->pixels || r->decodes) {
                put_number(f, x, i->decimals, columns[c].sign, columns[c].width);
            }
            if (!c) {
                put_interval(f, g, m, IB_FIGURE_SKILL, 3);
            }
        }
        fputc('\n', f);
    }
    if (isfinite(g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE])) {
        fprintf(f, "The real frames' path turns by %.1f degrees a frame.\n",
                g->mean[IB_EVAL_SLERP].figure[IB_FIGURE_TRUE_CURVATURE]);
    }
}

static void put_difference(FILE *f, const ib_eval_interval *i, ib_eval_verdict v, int decimals,
                           const char *of) {
    fprintf(f, "%s by %s, ", ib_eval_verdict_word(v), of);
    if (!isfinite(i->mean)) {
        fputc('-', f);
        return;
    }
    fprintf(f, "%+.*f", decimals, i->mean);
    if (isfinite(i->low)) {
        fprintf(f, " [%+.*f %+.*f]", decimals, i->low, decimals, i->high);
    }
}

static void pairs_report_text(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    for (size_t i = 0; i < g->pairs; i++) {
        const ib_eval_pair *p = &g->pair[i];
        char name[METHOD_ROOM], rival[METHOD_ROOM];
        column_name(r, p->method, name);
        column_name(r, p->rival, rival);
        fprintf(f, "%s against %s: ", name, rival);
        put_difference(f, &p->skill, p->by_skill, 3, "skill");
        if (isfinite(p->psnr.mean)) {
            fprintf(f, "; ");
            put_difference(f, &p->psnr, p->by_psnr, 2, "dB");
        }
        fputc('\n', f);
    }
}

/* ---- clips ---- */

/* Methods that have a column: what people ask for, not all. */
static bool has_column(const ib_eval_report *r, size_t m) {
    return r->method[m].kind == IB_METHOD_ADAPTER || r->method[m].kind == IB_METHOD_PROGRAM ||
           !strcmp(r->method[m].name, "lerp") || !strcmp(r->method[m].name, "minterpolate");
}

static void clip_row(FILE *f, const ib_eval_report *r, const char *name, size_t windows, size_t targets,
                     const ib_eval_score *s) {
    put_name(f, name, NAME_WIDTH);
    fprintf(f, " %7zu %7zu", windows, targets);
    if (r->decodes) {
        put_number(f, s[IB_EVAL_SLERP].figure[IB_FIGURE_PSNR], 2, false, 8);
    }
    for (size_t m = 0; m < r->methods; m++) {
        if (has_column(r, m)) {
            put_number(f, s[m].figure[r->decodes ? IB_FIGURE_GAIN : IB_FIGURE_SKILL], r->decodes ? 2 : 3,
                       true, METHOD_WIDTH);
        }
        if (r->method[m].kind == IB_METHOD_ADAPTER && r->decodes) {
            put_number(f, s[m].figure[IB_FIGURE_SKILL], 3, true, 7);
        }
    }
    fputc('\n', f);
}

static void clips(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    size_t windows = 0, targets = 0;
    fprintf(f, "%-*s %7s %7s", NAME_WIDTH, "clip", "windows", "frames");
    if (r->decodes) {
        fprintf(f, " %8s", "slerp dB");
    }
    for (size_t m = 0; m < r->methods; m++) {
        char name[METHOD_ROOM];
        column_name(r, m, name);
        if (has_column(r, m)) {
            fprintf(f, " %*s", METHOD_WIDTH, name);
        }
        if (r->method[m].kind == IB_METHOD_ADAPTER && r->decodes) {
            fprintf(f, " %7s", "skill");
        }
    }
    fputc('\n', f);
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &g->clip[i];
        windows += c->windows;
        targets += c->targets;
        if (c->windows) {
            clip_row(f, r, c->name, c->windows, c->targets, c->score);
        } else {
            put_name(f, c->name, NAME_WIDTH);
            fprintf(f, " %7d  no shot is longer than the gap\n", 0);
        }
    }
    if (g->counted) {
        char name[64];
        snprintf(name, sizeof name, g->counted == 1 ? "mean over %zu clip" : "mean over %zu clips",
                 g->counted);
        clip_row(f, r, name, windows, targets, g->mean);
    }
}

static void notes(FILE *f, const ib_eval_report *r, const ib_eval_gap *g) {
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &g->clip[i];
        for (size_t m = 0; m < r->methods && c->windows; m++) {
            if (c->flash[m] &&
                (r->method[m].kind == IB_METHOD_ADAPTER || r->method[m].kind == IB_METHOD_PROGRAM)) {
                fprintf(f, "keyframe flash: ");
                put_text(f, r->method[m].name);
                fprintf(f, " in ");
                put_text(f, c->name);
                fprintf(f, ": brightness or colour jumps by %.1f steps at keyframes\n",
                        c->score[m].figure[IB_FIGURE_JUMP]);
            }
        }
    }
    for (size_t i = 0; i < g->worsts && i < WORST_SHOWN; i++) {
        const ib_eval_window *w = &g->worst[i];
        fprintf(f, "%s ", i ? "             " : "worst windows");
        put_name(f, g->clip[w->clip].name, NAME_WIDTH);
        fprintf(f, " at %8.2f s: %+.*f%s\n", w->seconds, r->decodes ? 2 : 3, w->gain,
                r->decodes ? " dB" : "");
    }
}

/* ---- the whole ---- */

static void protocol(FILE *f, const ib_eval_report *r) {
    const ib_eval_clip *c = r->gap[0].clip;
    bool one_size = true;
    for (size_t i = 1; i < r->clips; i++) {
        one_size = one_size && c[i].width == c[0].width && c[i].height == c[0].height;
    }
    fprintf(f, "Skill over slerp in latents");
    fprintf(f, r->decodes ? "; PSNR and SSIM of luma; gain over slerp in dB.\n" : ".\n");
    fprintf(
        f,
        "Means over a clip's frames first, then over clips, with 95 %% intervals by bootstrap over clips.\n");
    fprintf(f, "Space ");
    put_text(f, r->space_id);
    fprintf(f, ", ");
    if (one_size && r->clips) {
        fprintf(f, "frames of %dx%d", c[0].width, c[0].height);
    } else {
        fprintf(f, "frames of different sizes");
    }
    fprintf(f, "%s; windows end to end within shots", r->width ? "" : " (the videos' own)");
    if (r->windows_per_clip) {
        fprintf(f, ", at most %d of a clip, evenly spread", r->windows_per_clip);
    }
    if (r->trust >= 0 && fabs(r->trust - IB_ADAPTER_TRUST) > 1e-6) {
        fprintf(f, "; trust in adapters %g", r->trust);
    }
    if (r->sharpness > 0) {
        fprintf(f, "; sharpness of adapters %g", r->sharpness);
    }
    if (*r->guide) {
        fprintf(f, "; guides of ");
        put_text(f, r->guide);
    }
    fprintf(f, ".\n");
    for (size_t m = 0; m < r->methods; m++) {
        if (r->method[m].file) {
            char name[METHOD_ROOM];
            column_name(r, m, name);
            fprintf(f, "%s: ", name);
            put_text(f, r->method[m].file);
            fprintf(f, ", SHA-256 %.16s...\n", r->method[m].sha256);
        }
    }
}

static void text(FILE *f, const ib_eval_report *r) {
    protocol(f, r);
    for (size_t g = 0; g < r->gaps; g++) {
        const ib_eval_gap *gap = &r->gap[g];
        fprintf(f, "\ngap %d: keyframes %d frames apart\n", gap->gap, gap->gap);
        if (gap->counted) {
            methods(f, r, gap);
            ib_explain_text(f, r, gap);
            fputc('\n', f);
        }
        clips(f, r, gap);
        if (gap->counted) {
            fputc('\n', f);
            pairs_report_text(f, r, gap);
            notes(f, r, gap);
        }
    }
    for (size_t i = 0; i < r->failed.n; i++) {
        fprintf(f, "%snot evaluated: ", i ? "" : "\n");
        put_text(f, r->failed.v[i].why);
        fputc('\n', f);
    }
    for (size_t i = 0; i < r->damaged.n; i++) {
        fprintf(f, "%sdamaged: ", i || r->failed.n ? "" : "\n");
        put_text(f, r->damaged.v[i].why);
        fputc('\n', f);
    }
}

char *ib_eval_text(const ib_eval_report *r) {
    return ib_eval_to_memory(r, text);
}
