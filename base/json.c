#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

int ib_json_bound(const char *text, size_t bytes, int max_depth, int max_values, const char *path,
                  const char *part, ib_error *err) {
    ptrdiff_t depth = 0;
    int values = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                quoted = false;
            }
            continue;
        }
        if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
        values += c == ',' || c == ':' || c == '[' || c == '{';
        if (depth > max_depth) {
            return ib_fail(err, IB_E_FORMAT, "%s%s nests deeper than %d levels", path, part, max_depth);
        }
        if (values > max_values) {
            return ib_fail(err, IB_E_FORMAT, "%s%s holds more than %d values", path, part, max_values);
        }
    }
    return IB_OK;
}

/* ---- numbers as Python writes them ---- */

typedef enum number { AS_IT_IS, A_REAL, NO_NUMBER } number;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Numbers and words are runs of these; whatever else such a run is, the parser refuses it. */
static bool in_token(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' ||
           c == '.';
}

/* A whole or real number of the grammar; false also when memory is out, and then the parser refuses it. */
static bool overflows(const char *s, size_t n) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *copy = strndup(s, n);
    bool over = c && copy && isinf(strtod_l(copy, NULL, c));
    free(copy);
    if (c) {
        freelocale(c);
    }
    return over;
}

static bool fits_64_bits(const char *digits, size_t n, bool negative) {
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";
    return n < 19 || (n == 19 && memcmp(digits, most, 19) <= 0);
}

/* How a token of n > 0 bytes is to be read. */
static number kind_of(const char *s, size_t n) {
    enum { MOST_DIGITS = 309 }; /* before the point of any double */
    size_t i = *s == '-', begin = i, whole;
    if ((n == 3 && !memcmp(s, "NaN", 3)) || (n == 8 + begin && !memcmp(s + begin, "Infinity", 8))) {
        return NO_NUMBER;
    }
    while (i < n && is_digit(s[i])) {
        i++;
    }
    if (!(whole = i - begin) || (whole > 1 && s[begin] == '0')) {
        return AS_IT_IS; /* a word, or refused */
    }
    if (i == n) {
        return fits_64_bits(s + begin, whole, begin > 0)                          ? AS_IT_IS
               : whole > MOST_DIGITS || (whole == MOST_DIGITS && overflows(s, n)) ? NO_NUMBER
                                                                                  : A_REAL;
    }
    if (s[i] == '.') {
        size_t point = i++;
        while (i < n && is_digit(s[i])) {
            i++;
        }
        if (i == point + 1) {
            return AS_IT_IS;
        }
    }
    bool power = i < n && (s[i] == 'e' || s[i] == 'E');
    if (power) {
        i += i + 1 < n && (s[i + 1] == '+' || s[i + 1] == '-') ? 2 : 1;
        size_t first = i;
        while (i < n && is_digit(s[i])) {
            i++;
        }
        if (i == first) {
            return AS_IT_IS;
        }
    }
    return i == n && (power || whole >= MOST_DIGITS) && overflows(s, n) ? NO_NUMBER : AS_IT_IS;
}

/* Appends to out, if there is one; returns the length then. */
static size_t append(char *out, size_t at, const char *s, size_t n) {
    if (out) {
        memcpy(out + at, s, n);
    }
    return at + n;
}

/* The text in strict JSON; returns its length. out may be NULL; *differs: whether it is another text. */
static size_t in_strict_json(const char *text, size_t bytes, char *out, bool *differs) {
    size_t at = 0, n;
    bool quoted = false;
    *differs = false;
    for (size_t i = 0; i < bytes; i += n) {
        n = 1;
        if (quoted) {
            quoted = text[i] != '"';
            n = text[i] == '\\' && i + 1 < bytes ? 2 : 1;
        } else if (text[i] == '"') {
            quoted = true;
        } else if (in_token(text[i])) {
            while (i + n < bytes && in_token(text[i + n])) {
                n++;
            }
            number kind = kind_of(text + i, n);
            *differs = *differs || kind != AS_IT_IS;
            if (kind == NO_NUMBER) {
                at = append(out, at, "null", 4);
                continue;
            }
            at = append(out, at, text + i, n);
            at = kind == A_REAL ? append(out, at, ".0", 2) : at;
            continue;
        }
        at = append(out, at, text + i, n);
    }
    return at;
}

int ib_json_parse(json_t **out, const char *text, size_t bytes, int max_depth, int max_values,
                  const char *path, const char *part, ib_error *err) {
    json_error_t je;
    char *strict = NULL;
    bool differs;
    *out = NULL;
    int rc = ib_json_bound(text, bytes, max_depth, max_values, path, part, err);
    if (rc) {
        return rc;
    }
    size_t n = in_strict_json(text, bytes, NULL, &differs);
    if (differs) {
        if (!(strict = malloc(n))) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
        }
        in_strict_json(text, bytes, strict, &differs);
    }
    *out = json_loadb(strict ? strict : text, n, JSON_REJECT_DUPLICATES, &je);
    free(strict);
    if (!*out && json_error_code(&je) == json_error_out_of_memory) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
    }
    return *out ? IB_OK
                : ib_fail(err, IB_E_FORMAT, "%s%s is not valid JSON: %.150s (line %d)", path, part, je.text,
                          je.line);
}

/* ---- JSON for others ---- */

json_t *ib_json_text(const char *text) {
    json_t *s = text ? json_string(text) : json_null();
    char *utf8 = s ? NULL : ib_text_utf8(text);
    s = utf8 ? json_string(utf8) : s;
    free(utf8);
    return s;
}

char *ib_json_dump(const json_t *j, size_t flags) {
    char *text = j ? json_dumps(j, flags) : NULL;
    size_t bytes = text ? strlen(text) : 0, room = 1, length, at = 0;
    uint32_t c;
    /* a line feed stands between values, where it is layout; within strings they are all escaped already */
    for (size_t i = 0; i < bytes; i += length) {
        length = ib_utf8_char(text + i, bytes - i, &c);
        room += c == '\n' || ib_char_is_plain(c) ? length : 6;
    }
    if (room == bytes + 1) {
        return text;
    }
    char *out = malloc(room);
    for (size_t i = 0; out && i < bytes; i += length) {
        length = ib_utf8_char(text + i, bytes - i, &c);
        if (c == '\n' || ib_char_is_plain(c)) {
            at = append(out, at, text + i, length);
        } else {
            at += (size_t)snprintf(out + at, room - at, "\\u%04X", (unsigned)c);
        }
    }
    if (out) {
        out[at] = 0;
    }
    free(text);
    return out;
}
