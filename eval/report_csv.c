/* The report as CSV (RFC 4180): a row per gap, clip, place and method. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "eval/private.h"

/* As people are shown it, in quotes where a field needs them. */
static void put_text(FILE *f, const char *s) {
    bool quoted = strpbrk(s, ",\"\r\n") != NULL;
    fputs(quoted ? "\"" : "", f);
    for (size_t n; *s; s += n) {
        n = strcspn(s, "\"");
        ib_text_put(f, s, n);
        if (s[n]) { /* a quote: twice */
            fputs("\"\"", f);
            n++;
        }
    }
    fputs(quoted ? "\"" : "", f);
}

/* place: k, or 0 for all together. score: [methods] */
static void rows_report_csv(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, const char *clip,
                            int place, size_t windows, size_t targets, const ib_eval_score *score) {
    for (size_t m = 0; m < r->methods; m++) {
        fprintf(f, "%d,", g->gap);
        put_text(f, clip);
        fputc(',', f);
        if (place) {
            fprintf(f, "%.9g", (double)place / g->gap);
        }
        fprintf(f, ",%zu,%zu,", windows, targets);
        put_text(f, r->method[m].name);
        for (int i = 0; i < IB_FIGURES; i++) {
            fputc(',', f);
            if (isfinite(score[m].figure[i])) {
                fprintf(f, "%.9g", score[m].figure[i]);
            }
        }
        fputc('\n', f);
    }
}

static void all_places(FILE *f, const ib_eval_report *r, const ib_eval_gap *g, const char *clip,
                       size_t windows, size_t targets, const ib_eval_score *score, const ib_eval_score *at) {
    rows_report_csv(f, r, g, clip, 0, windows, targets, score);
    for (int k = 1; k < g->gap; k++) {
        rows_report_csv(f, r, g, clip, k, windows, windows, at + (size_t)(k - 1) * r->methods);
    }
}

static void csv(FILE *f, const ib_eval_report *r) {
    fprintf(f, "gap,clip,t,windows,frames,method");
    for (int i = 0; i < IB_FIGURES; i++) {
        fprintf(f, ",%s", ib_eval_figures[i].key);
    }
    fputc('\n', f);
    for (size_t i = 0; i < r->gaps; i++) {
        const ib_eval_gap *g = &r->gap[i];
        size_t windows = 0, targets = 0;
        for (size_t c = 0; c < r->clips; c++) {
            const ib_eval_clip *clip = &g->clip[c];
            windows += clip->windows;
            targets += clip->targets;
            if (clip->windows) {
                all_places(f, r, g, clip->name, clip->windows, clip->targets, clip->score, clip->at);
            }
        }
        if (g->counted) {
            all_places(f, r, g, "(mean)", windows, targets, g->mean, g->at);
        }
    }
}

char *ib_eval_csv(const ib_eval_report *r) {
    return ib_eval_to_memory(r, csv);
}
