#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_FORM = 16 }; /* of one character, the final zero included */

size_t ib_utf8_char(const char *s, size_t n, uint32_t *number) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s;
    uint32_t c = *p;
    size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (!length || length > n) {
        return 0;
    }
    c &= length == 1 ? 0x7fu : 0xffu >> (length + 1);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *number = c;
    return length;
}

bool ib_char_is_plain(uint32_t c) {
    bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
    bool separator = c == 0x2028 || c == 0x2029 || c == 0xfeff;
    bool turns = c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                 (c >= 0x2066 && c <= 0x2069);
    return !control && !separator && !turns;
}

/* The form of the character or byte at s; *taken bytes of it are done. Returns the form's length. */
static size_t form_of(const char *s, size_t n, bool utf8_is_enough, char out[LONGEST_FORM], size_t *taken) {
    uint32_t c;
    size_t length = ib_utf8_char(s, n, &c);
    *taken = length ? length : 1;
    if (!length) {
        return (size_t)snprintf(out, LONGEST_FORM, "\\x%02x", (unsigned char)*s);
    }
    if (utf8_is_enough || ib_char_is_plain(c)) {
        memcpy(out, s, length);
        return length;
    }
    if (c == '\n' || c == '\t' || c == '\r') {
        return (size_t)snprintf(out, LONGEST_FORM, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    }
    return (size_t)snprintf(out, LONGEST_FORM, c < 0x80 ? "\\x%02x" : "\\u{%04x}", (unsigned)c);
}

static char *converted(const char *text, size_t bytes, bool utf8_is_enough) {
    char form[LONGEST_FORM];
    size_t room = 1, at = 0, taken;
    for (size_t i = 0; i < bytes; i += taken) {
        room += form_of(text + i, bytes - i, utf8_is_enough, form, &taken);
    }
    char *out = malloc(room);
    if (!out) {
        return NULL;
    }
    for (size_t i = 0; i < bytes; i += taken) {
        size_t n = form_of(text + i, bytes - i, utf8_is_enough, form, &taken);
        memcpy(out + at, form, n);
        at += n;
    }
    out[at] = 0;
    return out;
}

char *ib_text_shown(const char *text, size_t bytes) {
    return converted(text, bytes, false);
}

char *ib_text_utf8(const char *text) {
    return converted(text, strlen(text), true);
}

void ib_text_put(FILE *f, const char *text, size_t bytes) {
    char form[LONGEST_FORM];
    size_t taken;
    for (size_t i = 0; i < bytes; i += taken) {
        fwrite(form, 1, form_of(text + i, bytes - i, false, form, &taken), f);
    }
}

bool ib_text_is_plain(const char *text) {
    size_t bytes = strlen(text), length;
    uint32_t c;
    for (size_t i = 0; i < bytes; i += length) {
        if (!(length = ib_utf8_char(text + i, bytes - i, &c)) || !ib_char_is_plain(c)) {
            return false;
        }
    }
    return true;
}

size_t ib_text_fit(const char *text, size_t most) {
    size_t n = strnlen(text, most + 1), cut = most;
    uint32_t c;
    if (n <= most) {
        return n;
    }
    while (cut > 0 && most - cut < 3 && ((unsigned char)text[cut] & 0xc0) == 0x80) {
        cut--;
    }
    /* only where a character is parted; what is not UTF-8 may be cut anywhere */
    return ib_utf8_char(text + cut, strnlen(text + cut, 4), &c) ? cut : most;
}

size_t ib_text_bom(const char *text, size_t bytes) {
    return bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

void ib_text_hex(const uint8_t *v, size_t bytes, char *out) {
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        *out++ = digit[v[i] >> 4];
        *out++ = digit[v[i] & 15];
    }
    *out = 0;
}

void ib_text_shape(const int64_t *shape, int rank, char *text, size_t bytes) {
    size_t n = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < rank && n < bytes; i++) {
        n += (size_t)snprintf(text + n, bytes - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    }
    if (n < bytes) {
        snprintf(text + n, bytes - n, "]");
    }
}

bool ib_text_seconds(const char *text, double *seconds) {
    char *end;
    *seconds = strtod(text, &end);
    return end != text && (!*end || !strcmp(end, "s")) && isfinite(*seconds) && *seconds >= 0;
}

int ib_text_no_seconds(const char *spec, ib_error *err) {
    return ib_fail(err, IB_E_ARGUMENT, "%s: after @ a time in seconds was expected, such as @1.5s", spec);
}
