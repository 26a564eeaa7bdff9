#include <limits.h>
#include <string.h>
#include "cli/private.h"

enum { columns = 80 };

const char cli_purpose[] = "Trains a small in-between model on videos, on hardware that others throw away, "
                           "and uses it to make clips from two pictures.";

const char cli_conduct[] =
    "Results go to standard output, everything else to standard error. A directory stands for the files in "
    "it. Control characters in names, and bytes that are not UTF-8, are shown as \\n, \\xHH or \\u{HHHH}. "
    "Ctrl-C ends cleanly and keeps what is done; a second Ctrl-C ends at once.\n\nExit status: 0 done, 1 "
    "failed, 2 wrong usage, 130 interrupted.";

static bool unlimited(double v) {
    return v >= (double)INT_MAX || v <= (double)INT_MIN;
}

static void describe_range(const cli_option *o, const char *kind, const char *joint, char *text,
                           size_t bytes) {
    if (o->min == 0 && o->max == 0) {
        snprintf(text, bytes, "%s", kind);
    } else if (unlimited(o->max)) {
        snprintf(text, bytes, unlimited(o->min) ? "%s" : "%s of at least %.10g", kind, o->min);
    } else {
        snprintf(text, bytes, "%s %s %.10g to %.10g", kind, joint, o->min, o->max);
    }
}

void cli_describe_kind(const cli_option *o, char *text, size_t bytes) {
    switch (o->kind) {
    case CLI_INT:
        describe_range(o, "a whole number", "from", text, bytes);
        return;
    case CLI_REAL:
        describe_range(o, "a number", "from", text, bytes);
        return;
    case CLI_SIZE:
        describe_range(o, "a size WxH", "with sides from", text, bytes);
        return;
    case CLI_FLAG:
    case CLI_TEXT:
    case CLI_LIST:
        break;
    }
    snprintf(text, bytes, "%s", o->value ? o->value : "a value");
}

/* Prints the words of text[0..n) in lines of at most `columns`, each begun by `indent` blanks; `at` is where
 * the cursor stands. Returns where it stands then. */
static int flow(FILE *out, const char *text, size_t n, int indent, int at) {
    for (size_t i = 0; i < n;) {
        size_t l = 0;
        while (i + l < n && text[i + l] != ' ') {
            l++;
        }
        if (at > indent && at + 1 + (int)l > columns) {
            fputc('\n', out);
            at = 0;
        }
        at += l ? fprintf(out, "%*s%.*s", at < indent ? indent - at : at > indent, "", (int)l, text + i) : 0;
        i += l + 1;
    }
    return at;
}

/* Lines of `text` flow together; one that begins with a blank is an example and stays as it is; an empty one
 * ends a paragraph. */
static void wrap(FILE *out, const char *text, int indent, int at) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n && *text != ' ') {
            at = flow(out, text, n, indent, at);
        } else {
            fprintf(out, at ? "\n" : "");
            at = 0;
            fprintf(out, "%.*s\n", (int)n, text);
        }
        text += n + (text[n] == '\n');
    }
    fprintf(out, at ? "\n" : "");
}

void cli_option_head(const cli_option *o, char *text, size_t bytes) {
    char letter[8] = "    ";
    if (o->letter) {
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    }
    const char *value = o->kind == CLI_FLAG ? "" : o->value ? o->value : "VALUE";
    snprintf(text, bytes, "%s--%s%s%s%s", letter, o->name, value[0] ? " " : "", value,
             o->several ? "..." : "");
}

void cli_option_text(const cli_option *o, char *text, size_t bytes) {
    char range[96] = "";
    bool number = o->kind == CLI_INT || o->kind == CLI_REAL || o->kind == CLI_SIZE;
    if (number && !(o->min == 0 && o->max == 0) && !unlimited(o->max)) {
        snprintf(range, sizeof range, "%.10g..%.10g", o->min, o->max);
    } else if (number && !(o->min == 0 && o->max == 0) && !unlimited(o->min)) {
        snprintf(range, sizeof range, "at least %.10g", o->min);
    }
    const char *initial = o->initial ? o->initial : "";
    if (range[0] || initial[0]) {
        snprintf(text, bytes, "%s (%s%s%s%s)", o->help, range, range[0] && initial[0] ? ", " : "",
                 initial[0] ? "default " : "", initial);
    } else {
        snprintf(text, bytes, "%s", o->help);
    }
}

static void print_option(FILE *out, const cli_option *o) {
    enum { text_column = 26 };
    char head[96], text[1024];
    cli_option_head(o, head, sizeof head);
    cli_option_text(o, text, sizeof text);
    int at = fprintf(out, "  %s", head);
    if (at > text_column - 2) {
        fputc('\n', out);
        at = 0;
    }
    at += fprintf(out, "%*s", text_column - at, "");
    wrap(out, text, text_column, at);
}

void cli_each_option(FILE *out, const cli_command *m, void (*heading)(FILE *, const char *),
                     void (*print)(FILE *, const cli_option *)) {
    bool grouped = false;
    for (const cli_option *o = m->options; o && o->name; o++) {
        if (heading && o->heading) {
            heading(out, o->heading);
            grouped = true;
        }
        print(out, o);
    }
    if (grouped) {
        heading(out, "General");
    }
    for (int i = 0; i < CLI_COMMON; i++) {
        print(out, &cli_common[i]);
    }
}

static void print_heading(FILE *out, const char *heading) {
    fprintf(out, "\n%s:\n", heading);
}

void cli_help_command(FILE *out, const cli_command *m) {
    fprintf(out, "Usage: inbetween %s %s [OPTION]...\n\n", m->name, m->arguments);
    wrap(out, m->summary, 0, 0);
    if (!m->options || !m->options[0].heading) {
        print_heading(out, "Options");
    }
    cli_each_option(out, m, print_heading, print_option);
    if (m->details && m->details[0]) {
        fputc('\n', out);
        wrap(out, m->details, 0, 0);
    }
}

void cli_help_all(FILE *out) {
    fputs("Usage: inbetween COMMAND ...\n\n", out);
    wrap(out, cli_purpose, 0, 0);
    fputs("\nCommands:\n", out);
    for (size_t i = 0; cli_commands[i]; i++) {
        int at = fprintf(out, "  %-14s", cli_commands[i]->name);
        wrap(out, cli_commands[i]->summary, 16, at);
    }
    fputs("\n'inbetween COMMAND --help' explains a command, 'inbetween --version' says which\nversion this "
          "is.\n\n",
          out);
    wrap(out, cli_conduct, 0, 0);
}
