/* The page's film strips: a row of frames is one picture, its errors another one below it. */
#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/page.h"
#include "video_io/jpeg.h"
#include "video_io/strip.h"

enum { GAP = 4, COARSENESS = 4 };

/* From no error to the hottest, evenly: dark to light, as told apart also without colour. */
static const double heat[5][3] = {
    {18, 14, 30}, {92, 24, 104}, {196, 54, 78}, {246, 140, 50}, {252, 250, 210}};

static void heat_of(int difference, int hottest, uint8_t rgb[3]) {
    double at = fmin(1, abs(difference) / (double)hottest) * 4;
    int i = at >= 4 ? 3 : (int)at;
    for (int k = 0; k < 3; k++) {
        rgb[k] = (uint8_t)lrint(heat[i][k] + (at - i) * (heat[i + 1][k] - heat[i][k]));
    }
}

/* Where luma differs. out: allocated, same size. */
static int draw_heat(const ib_frame *a, const ib_frame *truth, int hottest, ib_frame *out, ib_error *err) {
    uint8_t *rgb = ib_calloc((size_t)a->width * (size_t)a->height, 3);
    if (!rgb) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a picture of errors");
    }
    for (int y = 0; y < a->height; y++) {
        const uint8_t *p = a->plane[0] + (size_t)y * a->stride[0],
                      *q = truth->plane[0] + (size_t)y * truth->stride[0];
        for (int x = 0; x < a->width; x++) {
            heat_of(p[x] - q[x], hottest, rgb + 3 * ((size_t)y * (size_t)a->width + (size_t)x));
        }
    }
    int rc = ib_frame_from_rgb(out, rgb, err);
    ib_free(rgb);
    return rc;
}

static int put_image(FILE *f, const ib_frame *sheet, const char *alt, ib_error *err) {
    uint8_t *bytes;
    size_t n;
    int rc = ib_jpeg_encode(sheet, COARSENESS, &bytes, &n, err);
    char *text = rc ? NULL : malloc(BASE64_ENCODE_RAW_LENGTH(n) + 1);
    if (!rc && !text) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a picture of a page");
    }
    if (!rc) {
        base64_encode_raw(text, n, bytes);
        text[BASE64_ENCODE_RAW_LENGTH(n)] = 0;
        fprintf(f, "<img width=\"%d\" height=\"%d\" alt=\"", sheet->width, sheet->height);
        ib_page_text(f, alt);
        fprintf(f, "\" src=\"data:image/jpeg;base64,%s\">", text);
    }
    free(text);
    free(bytes);
    return rc;
}

/* Gaps between frames have the colour of nothing in particular: mid grey goes with light and dark. */
static void clear(ib_frame *sheet) {
    for (int p = 0; p < 3; p++) {
        memset(sheet->plane[p], 128,
               sheet->stride[p] * (size_t)(p ? (sheet->height + 1) / 2 : sheet->height));
    }
}

typedef struct canvas {
    ib_frame sheet, one;
    int step;    /* from frame to frame */
    int hottest; /* 8-bit steps of luma that are shown as the hottest */
} canvas;

/* All but one in 200 of slerp's errors are below it: one of a few round numbers, alike for all methods of a
 * strip. */
static int hottest_of(const ib_eval_strip *s) {
    static const int round[] = {8, 16, 32, 64, 128};
    size_t count[256] = {0}, all = 0, above = 0, row = 0, i = 0;
    int level = 255;
    while (row + 1 < s->rows && s->method[row] != IB_EVAL_SLERP) {
        row++;
    }
    for (size_t c = 0; c < s->columns; c++) {
        const ib_frame *a = &s->frame[row * s->columns + c], *b = &s->frame[c];
        for (int y = 0; y < a->height; y++) {
            for (int x = 0; x < a->width; x++, all++) {
                count[abs(a->plane[0][(size_t)y * a->stride[0] + (size_t)x] -
                          b->plane[0][(size_t)y * b->stride[0] + (size_t)x])]++;
            }
        }
    }
    for (; level > 0 && above + count[level] < all / 200; level--) {
        above += count[level];
    }
    while (i + 1 < sizeof round / sizeof *round && round[i] < level) {
        i++;
    }
    return round[i];
}

static int put_row(FILE *f, const ib_eval_report *r, const ib_eval_strip *s, size_t row, bool errors,
                   canvas *c, ib_error *err) {
    const char *name = s->method[row] == SIZE_MAX ? "the real frames" : r->method[s->method[row]].name;
    char label[512], class[32];
    int rc = IB_OK;
    clear(&c->sheet);
    for (size_t i = 0; i < s->columns && !rc; i++) {
        const ib_frame *frame = &s->frame[row * s->columns + i];
        if (errors) {
            rc = draw_heat(frame, &s->frame[i], c->hottest, &c->one, err);
        }
        ib_frame_paste(&c->sheet, (int)i * c->step, 0, errors ? &c->one : frame);
    }
    if (rc) {
        return rc;
    }
    snprintf(label, sizeof label, errors ? "errors of %s" : "%s", name);
    fprintf(f, "<div class=\"row%s %s\"><span class=\"label\">", errors ? " heat" : "",
            s->method[row] == SIZE_MAX ? "truth" : ib_page_class(r, s->method[row], class));
    if (errors) {
        fprintf(f, "error");
    } else if (s->method[row] == SIZE_MAX) {
        fprintf(f, "truth");
    } else {
        ib_page_text(f, name);
        fprintf(f, " <small>");
        ib_page_number(f, s->psnr[row], 2, false);
        fprintf(f, " dB</small>");
    }
    fprintf(f, "</span>");
    rc = put_image(f, &c->sheet, label, err);
    fprintf(f, "</div>\n");
    return rc;
}

static void put_head(FILE *f, const ib_eval_report *r, const ib_eval_strip *s, int hottest) {
    const ib_eval_gap *g = &r->gap[r->shown_gap];
    fprintf(f, "<h3>%c%s <small>", s->which[0] - 'a' + 'A', s->which + 1);
    ib_page_text(f, g->clip[s->clip].name);
    fprintf(f, ", from frame %zu (%.2f s), ", s->first, s->seconds);
    ib_page_number(f, s->gain, 2, r->judged != IB_EVAL_SLERP);
    fprintf(
        f, " dB; errors up to %d steps</small></h3>\n<div class=\"film\" tabindex=\"0\"><div class=\"rows\">",
        hottest);
    fprintf(f, "<div class=\"row places\" style=\"--n:%zu\"><span class=\"label\">t</span><div>", s->columns);
    for (size_t i = 0; i < s->columns; i++) {
        bool key = s->at[i] == 0 || s->at[i] == g->gap;
        if (key) {
            fprintf(f, "<span>keyframe</span>");
        } else {
            fprintf(f, "<span>%d/%d</span>", s->at[i], g->gap);
        }
    }
    fprintf(f, "</div></div>\n");
}

static int put_strip(FILE *f, const ib_eval_report *r, const ib_eval_strip *s, ib_error *err) {
    canvas c = {.step = (s->frame[0].width + 1) / 2 * 2 + GAP, .hottest = hottest_of(s)};
    int rc = ib_frame_alloc(&c.sheet, (int)s->columns * c.step - GAP, s->frame[0].height, err);
    rc = rc ? rc : ib_frame_alloc(&c.one, s->frame[0].width, s->frame[0].height, err);
    c.sheet.matrix = c.one.matrix = s->frame[0].matrix;
    put_head(f, r, s, c.hottest);
    for (size_t row = 0; row < s->rows && !rc; row++) {
        bool truth = s->method[row] == SIZE_MAX;
        rc = put_row(f, r, s, row, false, &c, err);
        rc = rc || truth ? rc : put_row(f, r, s, row, true, &c, err);
    }
    fprintf(f, "</div></div>\n");
    ib_frame_free(&c.sheet);
    ib_frame_free(&c.one);
    return rc;
}

int ib_page_strips(FILE *f, const ib_eval_report *r, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < r->strips && !rc; i++) {
        rc = put_strip(f, r, &r->strip[i], err);
    }
    return rc;
}
