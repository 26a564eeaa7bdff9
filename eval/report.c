/* The report as text, CSV and JSON. */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/private.h"

enum { NAME_WIDTH = 34, METHOD_WIDTH = 12 };

static void put_number(FILE *f, double x, const char *format, int width) {
    if (isfinite(x)) {
        fprintf(f, format, width, x);
    } else {
        fprintf(f, " %*s", width, "-");
    }
}

/* The end of a long name tells more than its beginning. */
static void put_name(FILE *f, const char *name) {
    size_t n = strlen(name);
    if (n > NAME_WIDTH) {
        fprintf(f, "...%s", name + n - (NAME_WIDTH - 3));
    } else {
        fprintf(f, "%-*s", NAME_WIDTH, name);
    }
}

/* slerp's own PSNR; of the others the gain over it; of adapters the skill too. */
static void text_row(FILE *f, const ib_eval_report *r, const char *name, size_t windows, size_t targets,
                     const ib_eval_score *s) {
    put_name(f, name);
    fprintf(f, " %7zu %7zu", windows, targets);
    put_number(f, s[IB_EVAL_SLERP].psnr_db, " %*.2f", 8);
    for (size_t m = 0; m < r->methods; m++) {
        if (m != IB_EVAL_SLERP) {
            put_number(f, ib_eval_gain(s, m), " %+*.2f", METHOD_WIDTH);
        }
        if (r->method[m].file) {
            put_number(f, s[m].skill, " %+*.3f", 7);
        }
    }
    fputc('\n', f);
}

/* Adapters whose names are too long for a column are called by their number there. */
static void column_name(const ib_eval_report *r, size_t m, char name[METHOD_WIDTH + 1]) {
    if (strlen(r->method[m].name) <= METHOD_WIDTH) {
        snprintf(name, METHOD_WIDTH + 1, "%s", r->method[m].name);
        return;
    }
    size_t number = 0;
    for (size_t i = 0; i <= m; i++) {
        number += r->method[i].file != NULL;
    }
    snprintf(name, METHOD_WIDTH + 1, "adapter %u", (unsigned)number % 10000);
}

static void text_head(FILE *f, const ib_eval_report *r) {
    fprintf(f, "%-*s %7s %7s %8s", NAME_WIDTH, "clip", "windows", "frames", "slerp dB");
    for (size_t m = 0; m < r->methods; m++) {
        char name[METHOD_WIDTH + 1];
        column_name(r, m, name);
        if (m != IB_EVAL_SLERP) {
            fprintf(f, " %*s", METHOD_WIDTH, name);
        }
        if (r->method[m].file) {
            fprintf(f, " %7s", "skill");
        }
    }
    fputc('\n', f);
}

static void text_protocol(FILE *f, const ib_eval_report *r) {
    const ib_eval_clip *c = r->gap[0].clip;
    bool one_size = true;
    for (size_t i = 1; i < r->clips; i++) {
        one_size = one_size && c[i].width == c[0].width && c[i].height == c[0].height;
    }
    fprintf(
        f, "PSNR of luma in dB: slerp's own, and what the others gain over it; skill over slerp in latents.\n"
           "Means over a clip's frames first, then over clips.\n");
    fprintf(f, "Space %s, ", r->space_id);
    if (one_size && r->clips) {
        fprintf(f, "frames of %dx%d", c[0].width, c[0].height);
    } else {
        fprintf(f, "frames of different sizes");
    }
    fprintf(f, "%s; windows end to end within shots", r->width ? "" : " (the videos' own)");
    if (r->max_windows) {
        fprintf(f, ", at most %d of a clip, evenly spread", r->max_windows);
    }
    fprintf(f, ".\n");
    for (size_t m = 0; m < r->methods; m++) {
        if (r->method[m].file) {
            char name[METHOD_WIDTH + 1];
            column_name(r, m, name);
            fprintf(f, "%s: %s, SHA-256 %.16s...\n", name, r->method[m].file, r->method[m].sha256);
        }
    }
}

static void text(FILE *f, const ib_eval_report *r) {
    text_protocol(f, r);
    for (size_t g = 0; g < r->gaps; g++) {
        const ib_eval_gap *gap = &r->gap[g];
        size_t windows = 0, targets = 0;
        fprintf(f, "\ngap %d: keyframes %d frames apart\n", gap->gap, gap->gap);
        text_head(f, r);
        for (size_t i = 0; i < r->clips; i++) {
            const ib_eval_clip *c = &gap->clip[i];
            windows += c->windows;
            targets += c->targets;
            if (c->windows) {
                text_row(f, r, c->name, c->windows, c->targets, c->score);
            } else {
                put_name(f, c->name);
                fprintf(f, " %7d  no shot is longer than the gap\n", 0);
            }
        }
        if (gap->counted) {
            char name[64];
            snprintf(name, sizeof name, gap->counted == 1 ? "mean over %zu clip" : "mean over %zu clips",
                     gap->counted);
            text_row(f, r, name, windows, targets, gap->mean);
        }
    }
    for (size_t i = 0; i < r->failed.n; i++) {
        fprintf(f, "%snot evaluated: %s\n", i ? "" : "\n", r->failed.v[i].why);
    }
    for (size_t i = 0; i < r->damaged.n; i++) {
        fprintf(f, "%sdamaged: %s\n", i || r->failed.n ? "" : "\n", r->damaged.v[i].why);
    }
}

/* With quotes where a field needs them (RFC 4180). */
static void csv_text(FILE *f, const char *s) {
    if (!strpbrk(s, ",\"\r\n")) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"') {
            fputc('"', f);
        }
        fputc(*s, f);
    }
    fputc('"', f);
}

static void csv_number(FILE *f, double x) {
    fputc(',', f);
    if (isfinite(x)) {
        fprintf(f, "%.9g", x);
    }
}

static void csv_rows(FILE *f, const ib_eval_report *r, int gap, const char *clip, size_t windows,
                     size_t targets, const ib_eval_score *s) {
    for (size_t m = 0; m < r->methods; m++) {
        fprintf(f, "%d,", gap);
        csv_text(f, clip);
        fprintf(f, ",%zu,%zu,", windows, targets);
        csv_text(f, r->method[m].name);
        csv_number(f, s[m].psnr_db);
        csv_number(f, ib_eval_gain(s, m));
        csv_number(f, s[m].skill);
        fputc('\n', f);
    }
}

static void csv(FILE *f, const ib_eval_report *r) {
    fprintf(f, "gap,clip,windows,frames,method,psnr_db,gain_db,skill\n");
    for (size_t g = 0; g < r->gaps; g++) {
        const ib_eval_gap *gap = &r->gap[g];
        size_t windows = 0, targets = 0;
        for (size_t i = 0; i < r->clips; i++) {
            const ib_eval_clip *c = &gap->clip[i];
            windows += c->windows;
            targets += c->targets;
            if (c->windows) {
                csv_rows(f, r, gap->gap, c->name, c->windows, c->targets, c->score);
            }
        }
        if (gap->counted) {
            csv_rows(f, r, gap->gap, "(mean)", windows, targets, gap->mean);
        }
    }
}

static char *to_memory(const ib_eval_report *r, void (*write)(FILE *f, const ib_eval_report *r)) {
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

char *ib_eval_text(const ib_eval_report *r) {
    return to_memory(r, text);
}

char *ib_eval_csv(const ib_eval_report *r) {
    return to_memory(r, csv);
}

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *words(const char *s) {
    json_t *j = json_string(s);
    return j ? j : json_string("(a text that is not UTF-8)");
}

static json_t *json_scores(const ib_eval_report *r, const ib_eval_score *s) {
    json_t *all = json_object();
    for (size_t m = 0; m < r->methods; m++) {
        json_t *one = json_object();
        json_object_set_new(one, "psnr_db", number(s[m].psnr_db));
        json_object_set_new(one, "gain_db", number(ib_eval_gain(s, m)));
        json_object_set_new(one, "skill", number(s[m].skill));
        json_object_set_new(all, r->method[m].name, one);
    }
    return all;
}

/* Clips are the same at every gap. */
static json_t *json_inputs(const ib_eval_report *r) {
    json_t *all = json_array();
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &r->gap[0].clip[i];
        json_t *one = json_object();
        json_object_set_new(one, "file", words(r->files.v[c->input]));
        json_object_set_new(one, "source", words(c->name));
        json_object_set_new(one, "source_sha256", words(c->source_sha256));
        json_object_set_new(one, "width", json_integer(c->width));
        json_object_set_new(one, "height", json_integer(c->height));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *json_gap(const ib_eval_report *r, const ib_eval_gap *gap) {
    json_t *clips = json_array(), *short_ones = json_array(), *all = json_object();
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &gap->clip[i];
        if (!c->windows) {
            json_array_append_new(short_ones, words(r->files.v[c->input]));
            continue;
        }
        json_t *one = json_object();
        json_object_set_new(one, "name", words(c->name));
        json_object_set_new(one, "file", words(r->files.v[c->input]));
        json_object_set_new(one, "windows", json_integer((json_int_t)c->windows));
        json_object_set_new(one, "frames", json_integer((json_int_t)c->targets));
        json_object_set_new(one, "methods", json_scores(r, c->score));
        json_array_append_new(clips, one);
    }
    json_object_set_new(all, "gap", json_integer(gap->gap));
    json_object_set_new(all, "clips", clips);
    json_object_set_new(all, "without_windows", short_ones);
    json_object_set_new(all, "mean", gap->counted ? json_scores(r, gap->mean) : json_null());
    return all;
}

static json_t *json_methods(const ib_eval_report *r) {
    json_t *all = json_array();
    for (size_t m = 0; m < r->methods; m++) {
        json_t *one = json_object();
        json_object_set_new(one, "name", words(r->method[m].name));
        if (r->method[m].file) {
            json_object_set_new(one, "file", words(r->method[m].file));
            json_object_set_new(one, "sha256", words(r->method[m].sha256));
        }
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *json_remarks(const ib_eval_remarks *l) {
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "file", words(l->v[i].file));
        json_object_set_new(one, "error", words(l->v[i].why));
        json_array_append_new(all, one);
    }
    return all;
}

char *ib_eval_json(const ib_eval_report *r) {
    json_t *root = json_object(), *protocol = json_object(), *gaps = json_array(), *numbers = json_array();
    json_object_set_new(protocol, "program", json_string("inbetween " IB_VERSION));
    json_object_set_new(protocol, "space", words(r->space_id));
    json_object_set_new(protocol, "width", r->width ? json_integer(r->width) : json_null());
    json_object_set_new(protocol, "height", r->height ? json_integer(r->height) : json_null());
    json_object_set_new(protocol, "windows", json_string("end to end within shots"));
    json_object_set_new(protocol, "max_windows", r->max_windows ? json_integer(r->max_windows) : json_null());
    for (size_t g = 0; g < r->gaps; g++) {
        json_array_append_new(numbers, json_integer(r->gap[g].gap));
        json_array_append_new(gaps, json_gap(r, &r->gap[g]));
    }
    json_object_set_new(protocol, "gaps", numbers);
    json_object_set_new(protocol, "methods", json_methods(r));
    json_object_set_new(protocol, "inputs", json_inputs(r));
    json_object_set_new(root, "protocol", protocol);
    json_object_set_new(root, "gaps", gaps);
    json_object_set_new(root, "failed", json_remarks(&r->failed));
    json_object_set_new(root, "damaged", json_remarks(&r->damaged));
    char *all = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return all;
}
