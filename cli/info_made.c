#include "cli/info_made.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"

static void put_part(json_t *o, const char *name, const char *from, size_t n) {
    char *text = strndup(from, n);
    if (text && n) {
        json_object_set_new(o, name, ib_json_text(text));
    }
    free(text);
}

/* The last place of `what` at the beginning of a line. */
static const char *last_line(const char *text, const char *what) {
    const char *found = NULL;
    size_t n = strlen(what);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += line != text || *line == '\n';
        found = strncmp(line, what, n) ? found : line;
    }
    return found;
}

/* The length of a name before ": "; 0 if there is none. */
static size_t name_length(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == ' ' || s[n] == '-') {
        n++;
    }
    return n && isalpha((unsigned char)*s) && !strncmp(s + n, ": ", 2) ? n : 0;
}

/* "NAME: VALUE, NAME: VALUE" to the end of the text; a comma that no name follows is part of the value. */
static void put_settings(json_t *o, const char *s) {
    size_t n;
    while ((n = name_length(s))) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), s);
        const char *value = s + n + 2, *end = value;
        while (*end && !(!strncmp(end, ", ", 2) && name_length(end + 2))) {
            end++;
        }
        put_part(o, name, value, (size_t)(end - value));
        s = *end ? end + 2 : end;
    }
}

json_t *cli_info_made(const char *text) {
    static const char no[] = "Negative prompt: ";
    const char *steps = text ? last_line(text, "Steps: ") : NULL;
    if (!steps) {
        return NULL;
    }
    json_t *o = json_object();
    const char *negative = last_line(text, no);
    negative = negative && negative < steps ? negative : NULL;
    const char *end = negative ? negative : steps;
    put_part(o, "prompt", text, end > text ? (size_t)(end - text) - 1 : 0);
    if (negative) {
        const char *from = negative + sizeof no - 1;
        put_part(o, "negative prompt", from, steps > from ? (size_t)(steps - from) - 1 : 0);
    }
    put_settings(o, steps);
    return o;
}
