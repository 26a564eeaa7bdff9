/* From words to values, strictly: a number is all of its word and within its range, or the
 * word is refused. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cli/private.h"

const cli_option cli_common[CLI_COMMON] = {
    {.name = "threads",
     .kind = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1024,
     .help = "threads to compute with (default: one per core)"},
    {.name = "json", .kind = CLI_FLAG, .help = "print the result as JSON, where there is one"},
    {.name = "quiet",
     .letter = 'q',
     .kind = CLI_FLAG,
     .help = "print only errors, warnings and the JSON that --json asks for"},
    {.name = "help", .letter = 'h', .kind = CLI_FLAG, .help = "explain this command"},
};

static bool within(const cli_option *o, double v) {
    return isfinite(v) && ((o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max));
}

static bool parse_long(const char *s, const char **end, long *out) {
    char *e;
    if (!isdigit((unsigned char)s[s[0] == '-' || s[0] == '+'])) {
        return false;
    }
    errno = 0;
    *out = strtol(s, &e, 10);
    *end = e;
    return errno == 0;
}

static bool parse_real(const char *s, double *out) {
    char *e;
    if (!s[0] || strspn(s, "+-.0123456789eE") != strlen(s)) {
        return false; /* no blanks, no hexadecimal, no "nan" */
    }
    errno = 0;
    *out = strtod(s, &e);
    return !*e && !(errno == ERANGE && fabs(*out) > 1);
}

static bool parse_size(const cli_option *o, const char *s, int *width, int *height) {
    long w, h;
    const char *e;
    if (!parse_long(s, &e, &w) || (*e != 'x' && *e != 'X') || !parse_long(e + 1, &e, &h) || *e) {
        return false;
    }
    if (!within(o, (double)w) || !within(o, (double)h) || w < 1 || h < 1 || w > INT_MAX || h > INT_MAX) {
        return false;
    }
    *width = (int)w;
    *height = (int)h;
    return true;
}

static bool convert_option(const cli_option *o, const char *s, cli_value *v) {
    const char *e;
    bool ok = true;
    switch (o->kind) {
    case CLI_FLAG:
        break;
    case CLI_INT:
        ok = parse_long(s, &e, &v->whole) && !*e && within(o, (double)v->whole);
        v->real = (double)v->whole;
        break;
    case CLI_REAL:
        ok = parse_real(s, &v->real) && within(o, v->real);
        break;
    case CLI_SIZE:
        ok = parse_size(o, s, &v->width, &v->height);
        break;
    case CLI_TEXT:
    case CLI_LIST:
        break;
    }
    v->text = s;
    return ok;
}

static int list_add(cli *c, cli_value *v, const char *s) {
    const char **p = realloc(v->list, (v->n_list + 1) * sizeof *p);
    if (!p) {
        return cli_usage(c, "out of memory for the list of arguments");
    }
    v->list = p;
    v->list[v->n_list++] = s;
    v->set = true;
    return 0;
}

static int take_option(cli *c, size_t i, const char *shown, const char *s) {
    const cli_option *o = c->options[i];
    char kind[128];
    if (!s[0]) {
        cli_describe_kind(o, kind, sizeof kind);
        return cli_usage(c, "%s wants %s, got nothing", shown, kind);
    }
    if (o->kind == CLI_LIST) {
        return list_add(c, &c->values[i], s);
    }
    c->values[i].set = true;
    if (!convert_option(o, s, &c->values[i])) {
        cli_describe_kind(o, kind, sizeof kind);
        return cli_usage(c, "%s wants %s, got '%s'", shown, kind, s);
    }
    return 0;
}

static bool is_option_word(const char *s) {
    return s[0] == '-' && s[1] && !isdigit((unsigned char)s[1]) && s[1] != '.';
}

/* The words after an option that wants a value; *k is moved to the last one taken. */
static int take_following(cli *c, size_t i, const char *shown, int argc, char **argv, int *k) {
    char kind[128];
    if (*k + 1 >= argc || is_option_word(argv[*k + 1])) {
        cli_describe_kind(c->options[i], kind, sizeof kind);
        return *k + 1 >= argc ? cli_usage(c, "%s wants %s, got nothing", shown, kind)
                              : cli_usage(c, "%s wants %s, got the option '%s'", shown, kind, argv[*k + 1]);
    }
    int rc = take_option(c, i, shown, argv[++*k]);
    while (!rc && c->options[i]->several && *k + 1 < argc && !is_option_word(argv[*k + 1])) {
        rc = take_option(c, i, shown, argv[++*k]);
    }
    return rc;
}

static int unknown_option(cli *c, const char *name) {
    const char *names[128];
    size_t n = 0;
    for (; n < c->n_options && n < 128; n++) {
        names[n] = c->options[n]->name;
    }
    const char *near = cli_nearest(name, names, n);
    return near ? cli_usage(c, "there is no option '--%s'; did you mean '--%s'?", name, near)
                : cli_usage(c, "there is no option '--%s'", name);
}

static int parse_long_option(cli *c, int argc, char **argv, int *k) {
    char name[64], shown[72];
    const char *word = argv[*k] + 2, *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, word);
    for (size_t i = 0; i < c->n_options; i++) {
        if (strcmp(c->options[i]->name, name)) {
            continue;
        }
        snprintf(shown, sizeof shown, "--%s", name);
        if (c->options[i]->kind == CLI_FLAG) {
            c->values[i].set = true;
            return equals ? cli_usage(c, "%s takes no value, got '%s'", shown, equals + 1) : 0;
        }
        return equals ? take_option(c, i, shown, equals + 1) : take_following(c, i, shown, argc, argv, k);
    }
    return unknown_option(c, name);
}

/* -q, -oDIR, -o DIR, and flags together: -qh */
static int parse_letters(cli *c, int argc, char **argv, int *k) {
    for (const char *p = argv[*k] + 1; *p; p++) {
        char shown[3] = {'-', *p, 0};
        size_t i = 0;
        while (i < c->n_options && c->options[i]->letter != *p) {
            i++;
        }
        if (i == c->n_options) {
            return cli_usage(c, "there is no option '%s' (in '%s')", shown, argv[*k]);
        }
        if (c->options[i]->kind != CLI_FLAG) {
            return p[1] ? take_option(c, i, shown, p + 1 + (p[1] == '='))
                        : take_following(c, i, shown, argc, argv, k);
        }
        c->values[i].set = true;
    }
    return 0;
}

static int prepare_option(cli *c, const cli_command *command, int argc) {
    size_t n = 0;
    while (command->options && command->options[n].name) {
        n++;
    }
    const cli_option **all = calloc(n + CLI_COMMON + 1, sizeof *all);
    c->command = command;
    c->options = all;
    c->values = calloc(n + CLI_COMMON, sizeof *c->values);
    c->args = calloc((size_t)argc + 1, sizeof *c->args);
    if (!all || !c->values || !c->args) {
        return cli_usage(c, "out of memory for the arguments");
    }
    for (size_t i = 0; i < n + CLI_COMMON; i++) {
        const cli_option *o = i < n ? &command->options[i] : &cli_common[i - n];
        all[c->n_options++] = o;
        if (!o->initial || o->kind == CLI_LIST) {
            continue;
        }
        if (!convert_option(o, o->initial, &c->values[i])) {
            fprintf(stderr, "inbetween: bug: the default '%s' of --%s is not in its range\n", o->initial,
                    o->name);
            abort();
        }
    }
    return 0;
}

static int fill_lists(cli *c) {
    for (size_t i = 0; i < c->n_options; i++) {
        if (c->options[i]->kind == CLI_LIST && c->options[i]->initial && !c->values[i].n_list) {
            int rc = list_add(c, &c->values[i], c->options[i]->initial);
            c->values[i].set = false;
            if (rc) {
                return rc;
            }
        }
    }
    return 0;
}

static int check_count(cli *c) {
    const cli_command *m = c->command;
    size_t max = m->max_args < m->min_args ? SIZE_MAX : m->max_args; /* 0 beside a minimum: no limit */
    if (c->n_args > max) {
        return cli_usage(c, "one argument too many: '%s' (wanted: %s)", c->args[max], m->arguments);
    }
    if (c->n_args < m->min_args && !c->n_args) {
        return cli_usage(c, "nothing to work on (wanted: %s)", m->arguments);
    }
    if (c->n_args < m->min_args) {
        return cli_usage(c, "wants at least %zu arguments (%s), got %zu", m->min_args, m->arguments,
                         c->n_args);
    }
    return 0;
}

int cli_parse(cli *c, const cli_command *command, int argc, char **argv) {
    bool words_only = false;
    int rc = prepare_option(c, command, argc);
    for (int k = 0; !rc && k < argc; k++) {
        const char *s = argv[k];
        if (words_only || s[0] != '-' || !s[1]) {
            c->args[c->n_args++] = s;
        } else if (!strcmp(s, "--")) {
            words_only = true;
        } else {
            rc = s[1] == '-' ? parse_long_option(c, argc, argv, &k) : parse_letters(c, argc, argv, &k);
        }
        if (!rc && cli_flag(c, "help")) {
            return 0;
        }
    }
    if (rc || (rc = fill_lists(c))) {
        return rc;
    }
    c->threads = cli_is_set(c, "threads") ? (int)cli_int(c, "threads") : cli_cores();
    return check_count(c);
}

void cli_release(cli *c) {
    for (size_t i = 0; c->values && i < c->n_options; i++) {
        free(c->values[i].list);
    }
    free(c->values);
    for (size_t i = 0; i < c->n_shown; i++) {
        free(c->shown[i]);
    }
    free(c->shown);
    free((void *)c->options);
    free(c->args);
    pthread_mutex_destroy(&c->bar.lock);
}

/* Levenshtein's distance with transpositions (optimal string alignment), words of at most 63 letters. */
static size_t distance_option(const char *a, const char *b) {
    size_t rows[3][64], *before = rows[0], *last = rows[1], *now = rows[2], n = strlen(b);
    if (n > 63 || strlen(a) > 63) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        last[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        now[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t d = last[j] + (a[i] != b[j]);
            d = last[j + 1] + 1 < d ? last[j + 1] + 1 : d;
            d = now[j] + 1 < d ? now[j] + 1 : d;
            if (i && j && a[i] == b[j - 1] && a[i - 1] == b[j] && before[j - 1] + 1 < d) {
                d = before[j - 1] + 1;
            }
            now[j + 1] = d;
        }
        size_t *t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[n];
}

const char *cli_nearest(const char *word, const char *const *known, size_t n) {
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* not reached by words that merely share a few letters */
    for (size_t i = 0; i < n; i++) {
        size_t l = strlen(word), d = distance_option(word, known[i]);
        if (l >= 2 && !strncmp(word, known[i], l)) {
            d = 0; /* a beginning of it */
        }
        if (d < best_distance) {
            best = known[i];
            best_distance = d;
        }
    }
    return best;
}
