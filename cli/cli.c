#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/text.h"
#include "cli/private.h"

size_t cli_arg_count(const cli *c) {
    return c->n_args;
}

const char *cli_arg(const cli *c, size_t i) {
    return i < c->n_args ? c->args[i] : NULL;
}

static const cli_value *value_of(const cli *c, const char *name, unsigned kinds) {
    for (size_t i = 0; i < c->n_options; i++) {
        if (!strcmp(c->options[i]->name, name)) {
            if (kinds >> c->options[i]->kind & 1) {
                return &c->values[i];
            }
            fprintf(stderr, "inbetween: bug: option --%s is asked for as another kind than it is\n", name);
            abort();
        }
    }
    fprintf(stderr, "inbetween: bug: option --%s is not declared by '%s'\n", name, c->command->name);
    abort();
}

bool cli_is_set(const cli *c, const char *name) {
    return value_of(c, name, ~0u)->set;
}

bool cli_flag(const cli *c, const char *name) {
    return value_of(c, name, 1u << CLI_FLAG)->set;
}

long cli_int(const cli *c, const char *name) {
    return value_of(c, name, 1u << CLI_INT)->whole;
}

double cli_real(const cli *c, const char *name) {
    const cli_value *v = value_of(c, name, 1u << CLI_REAL | 1u << CLI_INT);
    return v->real;
}

const char *cli_text(const cli *c, const char *name) {
    return value_of(c, name, 1u << CLI_TEXT)->text;
}

void cli_size(const cli *c, const char *name, int *width, int *height) {
    const cli_value *v = value_of(c, name, 1u << CLI_SIZE);
    *width = v->width;
    *height = v->height;
}

size_t cli_list(const cli *c, const char *name, const char *const **values) {
    const cli_value *v = value_of(c, name, 1u << CLI_LIST);
    *values = v->list;
    return v->n_list;
}

int cli_paths(const cli *c, ib_paths *arguments, const char *name, ib_paths *values, ib_error *err) {
    const char *const *list;
    size_t n = cli_list(c, name, &list);
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < c->n_args; i++) {
        rc = ib_paths_add(arguments, c->args[i], err);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        rc = ib_paths_add(values, list[i], err);
    }
    return rc;
}

bool cli_quiet(const cli *c) {
    return cli_flag(c, "quiet");
}

bool cli_json(const cli *c) {
    return cli_flag(c, "json");
}

bool cli_prints_text(const cli *c) {
    return !cli_json(c) && !cli_quiet(c);
}

int cli_threads(const cli *c) {
    return c->threads;
}

const char *cli_shown(cli *c, const char *text) {
    if (ib_text_is_plain(text)) {
        return text;
    }
    char *shown = ib_text_shown(text, strlen(text));
    pthread_mutex_lock(&c->bar.lock);
    char **more = shown ? realloc(c->shown, (c->n_shown + 1) * sizeof *more) : NULL;
    if (more) {
        c->shown = more;
        c->shown[c->n_shown++] = shown;
    }
    pthread_mutex_unlock(&c->bar.lock);
    if (!more) {
        free(shown);
        return "(out of memory)";
    }
    return shown;
}

int cli_print_json(cli *c, json_t *j, size_t flags) {
    char *text = ib_json_dump(j, flags);
    ib_error err = {0};
    json_decref(j);
    if (!text) {
        ib_fail(&err, IB_E_MEMORY, "out of memory for the result as JSON");
        return cli_fail(c, &err);
    }
    puts(text);
    free(text);
    return CLI_DONE;
}

/* In one piece: of a line that is written in several, what runs many processes (mpirun) may pass on a part
 * when it ends them. */
static void say(cli *c, const char *lead, const char *fmt, va_list ap) {
    char *text = NULL;
    int length = vasprintf(&text, fmt, ap);
    char *shown = length < 0 ? NULL : ib_text_shown(text, (size_t)length);
    pthread_mutex_lock(&c->bar.lock);
    cli_bar_clear(&c->bar);
    fprintf(stderr, "%s%s\n", lead, shown ? shown : fmt);
    pthread_mutex_unlock(&c->bar.lock);
    free(shown);
    if (length >= 0) {
        free(text);
    }
}

void cli_status(cli *c, const char *fmt, ...) {
    va_list ap;
    if (!cli_quiet(c)) {
        va_start(ap, fmt);
        say(c, "", fmt, ap);
        va_end(ap);
    }
}

void cli_warn(cli *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(c, "inbetween: warning: ", fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 3, 4))) static void say_line(cli *c, const char *lead, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(c, lead, fmt, ap);
    va_end(ap);
}

int cli_fail(cli *c, const ib_error *err) {
    cli_progress_end(c);
    say_line(c, "inbetween: ", "%s", err->text[0] ? err->text : "failed without saying why, which is a bug");
    return err->code == IB_E_INTERRUPTED ? CLI_INTERRUPTED : CLI_FAILED;
}

int cli_usage(cli *c, const char *fmt, ...) {
    va_list ap;
    char lead[64];
    snprintf(lead, sizeof lead, "inbetween %s: ", c->command->name);
    va_start(ap, fmt);
    say(c, lead, fmt, ap);
    va_end(ap);
    fprintf(stderr, "'inbetween %s --help' explains it.\n", c->command->name);
    return CLI_USAGE;
}
