/* The report as a web page that holds everything it shows. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "eval/page.h"
#include "nn/gemm.h"
#include "video_io/reader.h"
#include "video_io/versions.h"

/* ---- text ---- */

void ib_page_text(FILE *f, const char *s) {
    for (size_t n; *s; s += n) {
        n = strcspn(s, "&<>\"");
        ib_text_put(f, s, n);
        if (s[n]) {
            fputs(s[n] == '&' ? "&amp;" : s[n] == '<' ? "&lt;" : s[n] == '>' ? "&gt;" : "&quot;", f);
            n++;
        }
    }
}

void ib_page_number(FILE *f, double x, int decimals, bool sign) {
    char s[64];
    if (!isfinite(x)) {
        fputs("–", f);
        return;
    }
    snprintf(s, sizeof s, "%.*f", decimals, fabs(x));
    bool zero = strspn(s, "0.") == strlen(s);
    fprintf(f, "%s%s", x < 0 && !zero ? "−" : sign && !zero ? "+" : "", s);
}

const char *ib_page_class(const ib_eval_report *r, size_t method, char name[32]) {
    size_t number = 0;
    if (r->method[method].kind == IB_METHOD_BASELINE) {
        snprintf(name, 32, "k-%s", r->method[method].name);
    } else if (r->method[method].kind == IB_METHOD_ORACLE) {
        bool smooth = method == ib_explained_row(r, ib_explained_names[IB_EXPLAINED_NEIGHBOURS]),
             best = method == ib_explained_row(r, ib_explained_names[IB_EXPLAINED_WEIGHTS]);
        snprintf(name, 32, "k-%s oracle", smooth ? "smooth" : best ? "best" : "oracle");
    } else if (r->method[method].kind == IB_METHOD_GUIDE) {
        for (size_t i = 0; i < IB_SEENS; i++) {
            number = method == ib_explained_row(r, ib_seen_names[i]) ? i : number;
        }
        snprintf(name, 32, "k-g%zu", number + 1);
    } else {
        for (size_t i = 0; i < method; i++) {
            number += r->method[i].kind == r->method[method].kind;
        }
        if (r->method[method].kind == IB_METHOD_PROGRAM) {
            snprintf(name, 32, "k-p%zu program", number % 2 + 1);
        } else {
            snprintf(name, 32, "k-a%zu adapter", number % 4 + 1);
        }
    }
    return name;
}

bool ib_page_charts_method(const ib_eval_report *r, size_t method) {
    static const char *const left_out[] = {"hold-first", "nearest"};
    bool out = r->method[method].kind == IB_METHOD_ORACLE || r->method[method].kind == IB_METHOD_GUIDE ||
               r->method[method].kind == IB_METHOD_SEARCH;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        out = out || !strcmp(r->method[method].name, left_out[i]);
    }
    return !out;
}

/* ---- head ---- */

const char *ib_page_plural(size_t n) {
    return n == 1 ? "" : "s";
}

static const ib_eval_pair *pair_of(const ib_eval_report *r, const ib_eval_gap *g, size_t method,
                                   const char *rival) {
    for (size_t i = 0; i < g->pairs; i++) {
        if (g->pair[i].method == method && !strcmp(r->method[g->pair[i].rival].name, rival)) {
            return &g->pair[i];
        }
    }
    return NULL;
}

static void put_range(FILE *f, double low, double high, int decimals, double times) {
    if (isfinite(low)) {
        fprintf(f, "95 %%: ");
        ib_page_number(f, times * low, decimals, false);
        fprintf(f, " to ");
        ib_page_number(f, times * high, decimals, false);
    } else {
        fprintf(f, "one clip: no interval");
    }
}

static void put_card(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, size_t m,
                     ib_eval_figure figure) {
    const ib_eval_figure_info *i = &ib_eval_figures[figure];
    fprintf(f, "<div class=\"card\"><span class=\"what\">");
    ib_page_text(f, r->method[m].name);
    fprintf(f, ": %s at gap %d</span><b>", i->title, g->gap);
    ib_page_number(f, g->mean[m].figure[figure], i->decimals, i->better > 0 && figure != IB_FIGURE_PSNR);
    fprintf(f, "%s%s</b><span>", *i->unit ? " " : "", i->unit);
    put_range(f, g->low[m].figure[figure], g->high[m].figure[figure], i->decimals, 1);
    fprintf(f, "</span></div>\n");
}

static void put_verdict(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, size_t m, const char *rival) {
    const ib_eval_pair *p = pair_of(r, g, m, rival);
    if (p) {
        ib_eval_verdict v = r->decodes ? p->by_psnr : p->by_skill;
        const ib_eval_interval *i = r->decodes ? &p->psnr : &p->skill;
        const char *word = ib_eval_verdict_word(v);
        fprintf(f, "<div class=\"card\"><span class=\"what\">");
        ib_page_text(f, r->method[m].name);
        fprintf(f, " against %s, clip by clip</span><b class=\"%s\">%s</b><span>", rival, word, word);
        ib_page_number(f, i->mean, r->decodes ? 2 : 3, true);
        fprintf(f, "%s; ", r->decodes ? " dB" : "");
        put_range(f, i->low, i->high, r->decodes ? 2 : 3, 1);
        fprintf(f, "</span></div>\n");
    }
}

static void put_cards(FILE *f, const ib_eval_report *r) {
    const ib_eval_gap *g = &r->gap[r->shown_gap];
    if (!g->counted) {
        return;
    }
    fprintf(f, "<div class=\"cards\">\n");
    for (size_t m = 0; m < r->methods; m++) {
        if (r->method[m].kind == IB_METHOD_ADAPTER || (m == r->judged && m == IB_EVAL_SLERP)) {
            put_card(f, r, g, m, m == IB_EVAL_SLERP ? IB_FIGURE_ANGLE : IB_FIGURE_SKILL);
            if (r->decodes) {
                put_card(f, r, g, m, m == IB_EVAL_SLERP ? IB_FIGURE_PSNR : IB_FIGURE_GAIN);
            }
            put_verdict(f, r, g, m, "slerp");
            put_verdict(f, r, g, m, "minterpolate");
            for (size_t k = 0; k < m; k++) {
                if (r->method[k].kind == IB_METHOD_PROGRAM) {
                    put_verdict(f, r, g, m, r->method[k].name);
                }
            }
        }
    }
    fprintf(f, "</div>\n");
}

static void put_top(FILE *f, const ib_eval_report *r) {
    size_t targets = 0;
    for (size_t g = 0; g < r->gaps; g++) {
        for (size_t c = 0; c < r->clips; c++) {
            targets += r->gap[g].clip[c].targets;
        }
    }
    fprintf(f,
            "<p class=\"kicker\">inbetween %s · eval</p>\n<h1>In-between frames beside the real ones</h1>\n"
            "<p class=\"lead\">%zu clip%s, %zu gap%s, %zu in-betweens. Each clip counts the same, "
            "however long.</p>\n",
            IB_VERSION, r->clips, ib_page_plural(r->clips), r->gaps, ib_page_plural(r->gaps), targets);
    put_cards(f, r);
}

/* ---- charts ---- */

static void put_charts(FILE *f, const ib_eval_report *r) {
    const ib_eval_figure gaps[] = {IB_FIGURE_SKILL, r->decodes ? IB_FIGURE_GAIN : IB_FIGURE_ANGLE,
                                   IB_FIGURE_PSNR};
    const ib_eval_figure places[] = {IB_FIGURE_SKILL, r->decodes ? IB_FIGURE_PSNR : IB_FIGURE_ANGLE};
    bool any = false;
    for (size_t g = 0; g < r->gaps; g++) {
        any = any || r->gap[g].counted;
    }
    if (!any) {
        return;
    }
    fprintf(
        f,
        "<h2>Over the gap</h2>\n<p class=\"soft\">Skill is the part of slerp's squared error in latents that "
        "a "
        "method removes: 0 is slerp, 1 is the real frame. Bands are 95 %% intervals over clips. Holding the "
        "first and taking the nearest keyframe lie far below and stand in the tables.</p>\n");
    ib_page_legend(f, r, ib_page_charts_method);
    fprintf(f, "<div class=\"charts\">\n");
    for (size_t i = 0; i < (r->decodes ? 3 : 2); i++) {
        ib_page_chart_gaps(f, r, gaps[i], -INFINITY, ib_page_charts_method);
    }
    fprintf(f, "</div>\n<h2>Over t</h2>\n<p class=\"soft\">Where in the gap an in-between lies: the middle "
               "is hardest. "
               "Means over clips of each place.</p>\n");
    for (size_t i = 0; i < 2; i++) {
        const ib_eval_figure_info *info = &ib_eval_figures[places[i]];
        fprintf(f, "<h3>%s%s%s</h3>\n", info->title, *info->unit ? ", " : "", info->unit);
        ib_page_legend(f, r, ib_page_charts_method);
        fprintf(f, "<div class=\"charts small\">\n");
        for (size_t g = 0; g < r->gaps; g++) {
            if (r->gap[g].counted && (r->gap[g].gap > 2 || r->gaps == 1)) { /* one place is no curve */
                ib_page_chart_places(f, r, &r->gap[g], places[i]);
            }
        }
        fprintf(f, "</div>\n");
    }
}

/* ---- clips ---- */

static void put_clips(FILE *f, const ib_eval_report *r) {
    const ib_eval_gap *g = &r->gap[r->shown_gap];
    ib_eval_figure figure = r->judged == IB_EVAL_SLERP ? (r->decodes ? IB_FIGURE_PSNR : IB_FIGURE_ANGLE)
                            : r->decodes               ? IB_FIGURE_GAIN
                                                       : IB_FIGURE_SKILL;
    const ib_eval_figure_info *i = &ib_eval_figures[figure];
    if (!g->counted) {
        return;
    }
    fprintf(f, "<h2>Clip by clip</h2>\n<p class=\"soft\">%s at gap %d: %s</p>\n", i->title, g->gap, i->help);
    ib_page_bars(f, r, g, figure);
}

/* ---- protocol ---- */

static void put_remarks(FILE *f, const char *what, const ib_eval_remarks *l) {
    for (size_t i = 0; i < l->n; i++) {
        fprintf(f, "<dt>%s</dt><dd>", what);
        ib_page_text(f, l->v[i].why);
        fprintf(f, "</dd>\n");
    }
}

static void put_protocol(FILE *f, const ib_eval_report *r) {
    fprintf(f, "<h2>Protocol</h2>\n<dl>\n<dt>windows</dt><dd>end to end within shots, none over a cut%s",
            r->windows_per_clip ? "" : "; all of them");
    if (r->windows_per_clip) {
        fprintf(f, "; at most %d of a clip and gap, evenly spread", r->windows_per_clip);
    }
    fprintf(f,
            "</dd>\n<dt>targets</dt><dd>every frame between the keyframes, at its time stamp's place</dd>\n");
    if (r->trust >= 0 && fabs(r->trust - IB_ADAPTER_TRUST) > 1e-6) {
        fprintf(f, "<dt>trust in adapters</dt><dd>%g</dd>\n", r->trust);
    }
    if (r->sharpness > 0) {
        fprintf(f, "<dt>sharpness of adapters</dt><dd>%g</dd>\n", r->sharpness);
    }
    if (*r->guide) {
        fprintf(f, "<dt>guides</dt><dd>pictures of <code>");
        ib_page_text(f, r->guide);
        fprintf(f, "</code></dd>\n");
    }
    fprintf(f, "<dt>frames</dt><dd>");
    if (r->width) {
        fprintf(f, "videos scaled to %d × %d, cropped to fill, portrait ones turned", r->width, r->height);
    } else {
        fprintf(f, "the videos' own size; adapters as they render");
    }
    fprintf(
        f,
        "; 8-bit yuv420p, limited range</dd>\n<dt>means</dt><dd>over a clip's targets, then over clips</dd>\n"
        "<dt>intervals</dt><dd>95 %% percentiles of %d bootstrap resamples of the clips, seed %d; a verdict "
        "needs "
        "%d clips and an interval without 0</dd>\n<dt>space</dt><dd><code>",
        IB_EVAL_RESAMPLES, IB_EVAL_SEED, IB_EVAL_SURE_OF);
    ib_page_text(f, r->space_id);
    fprintf(f, "</code></dd>\n<dt>programs</dt><dd>inbetween %s; FFmpeg ", IB_VERSION);
    ib_page_text(f, ib_ffmpeg_version());
    fprintf(f, "; ");
    ib_page_text(f, ib_gemm_library());
    fprintf(f, "</dd>\n");
    for (size_t m = 0; m < r->methods; m++) {
        if (r->method[m].file) {
            fprintf(f, "<dt>");
            ib_page_text(f, r->method[m].name);
            fprintf(f, "</dt><dd><code>");
            ib_page_text(f, r->method[m].file);
            fprintf(f, "</code><br><code>sha256 %s</code></dd>\n", r->method[m].sha256);
        }
    }
    put_remarks(f, "not evaluated", &r->failed);
    put_remarks(f, "damaged", &r->damaged);
    fprintf(f, "</dl>\n<details><summary>The clips and their hashes</summary><div "
               "class=\"scroll\"><table><thead><tr>"
               "<th>source</th><th>frames</th><th>fps</th><th>size</th><th>fit</th><th>SHA-256 of the "
               "video</th></tr>"
               "</thead><tbody>\n");
    for (size_t c = 0; c < r->clips; c++) {
        const ib_eval_clip *clip = &r->gap[0].clip[c];
        fprintf(f, "<tr class=\"plain\"><th scope=\"row\">");
        ib_page_text(f, clip->name);
        fprintf(f, "</th><td>%zu</td><td>%.5g</td><td>%d × %d</td><td>%s</td><td><code>", clip->frames,
                clip->fps, clip->width, clip->height, clip->fit == IB_FIT_CROP ? "crop" : "squash");
        ib_page_text(f, clip->source_sha256);
        fprintf(f, "</code></td></tr>\n");
    }
    fprintf(f, "</tbody></table></div></details>\n");
}

/* The report itself, for programs. "<" cannot stand in a script element. */
static int put_json(FILE *f, const ib_eval_report *r) {
    json_t *tree = ib_eval_json_tree(r);
    char *text = ib_json_dump(tree, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(tree);
    fprintf(f, "<script type=\"application/json\" id=\"report\">");
    for (const char *s = text; s && *s; s++) {
        if (*s == '<') {
            fputs("\\u003c", f);
        } else {
            fputc(*s, f);
        }
    }
    fprintf(f, "</script>\n");
    free(text);
    return text ? 0 : -1;
}

char *ib_eval_page(const ib_eval_report *r) {
    char *all = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&all, &n);
    if (!f) {
        return NULL;
    }
    fprintf(f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light "
            "dark\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'; "
            "img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n<title>inbetween eval: %zu "
            "clip%s</title>\n<style>%s"
            "</style>\n</head>\n<body>\n<main>\n",
            r->clips, ib_page_plural(r->clips), ib_page_style);
    put_top(f, r);
    put_charts(f, r);
    ib_page_explain(f, r);
    put_clips(f, r);
    int bad = 0;
    if (r->strips) {
        fprintf(f, "<h2>Film strips</h2>\n<p class=\"soft\">Windows picked by rank, not by eye: ranked by "
                   "the gain of <b>");
        ib_page_text(f, r->method[r->judged].name);
        fprintf(
            f,
            "</b> over slerp at gap %d; the best and the worst of all, and the median window of the median "
            "clip. "
            "Figures are PSNR of luma over the window. Errors are those of luma, from none "
            "<span class=\"heatbar\"></span> to the number of 8-bit steps that stands above the strip.</p>\n",
            r->gap[r->shown_gap].gap);
        bad = ib_page_strips(f, r, NULL);
    }
    ib_page_tables(f, r);
    put_protocol(f, r);
    fprintf(f,
            "<footer>Made by <code>inbetween eval</code>. The page holds all figures as JSON in its element "
            "<code>#report</code>, and loads nothing.</footer>\n</main>\n");
    bad = bad || put_json(f, r);
    fprintf(f, "</body>\n</html>\n");
    if (fclose(f) || bad) {
        free(all);
        return NULL;
    }
    return all;
}
