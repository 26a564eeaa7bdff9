/* Text from strangers (names of files and tensors, metadata, prompts), made fit for terminals, tables and
 * JSON. Nobody promises that it is UTF-8, or that it holds no escape sequences. */
#ifndef IB_BASE_TEXT_H
#define IB_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/error.h"

/* The UTF-8 character at s, of which n > 0 bytes are there: its length, 1..4, and its number. 0 if there
 * is none: overlong forms, surrogates and numbers above U+10FFFF are not UTF-8. */
size_t ib_utf8_char(const char *s, size_t n, uint32_t *number);

/* Whether a character is shown as it is. Not: control characters (C0, DEL, C1), the line and paragraph
 * separators U+2028 and U+2029, what turns the direction of writing (U+061C, U+200E, U+200F,
 * U+202A..U+202E, U+2066..U+2069), and U+FEFF. */
bool ib_char_is_plain(uint32_t number);

/* The form that people are shown: characters that are not plain become \n, \t, \r, \xHH (below U+0080) or
 * \u{HHHH}, bytes that are not UTF-8 become \xHH, all else is as it is. A backslash stays one backslash,
 * so a name that holds "\n" as two characters looks like one with a line feed: it is a form to read, not
 * to read back. malloc'ed; NULL when memory is out. */
char *ib_text_shown(const char *text, size_t bytes);
/* The same, written to f. */
void ib_text_put(FILE *f, const char *text, size_t bytes);
/* Whether that form is the text itself. */
bool ib_text_is_plain(const char *text);

/* The form for JSON and metadata: valid UTF-8 as it is, bytes that are not become \xHH. malloc'ed; NULL
 * when memory is out. */
char *ib_text_utf8(const char *text);

/* The most bytes, <= most, at which a text can be cut without parting a character. */
size_t ib_text_fit(const char *text, size_t most);

/* The length of the byte order mark (U+FEFF) that a file of UTF-8 begins with: 3, or 0 if there is none.
 * It is no part of the text. */
size_t ib_text_bom(const char *text, size_t bytes);

/* Bytes in lower-case hex. out: 2 * bytes + 1 characters. */
void ib_text_hex(const uint8_t *v, size_t bytes, char *out);

/* A shape as people write it: "[9, 64, 64]", cut where `bytes` end. */
void ib_text_shape(const int64_t *shape, int rank, char *text, size_t bytes);

/* A time as in NAME@TIME: seconds, finite and from 0 on, with or without an s. False if it is none. */
bool ib_text_seconds(const char *text, double *seconds);
/* The sentence for that, of a NAME@TIME. */
int ib_text_no_seconds(const char *spec, ib_error *err);

#endif
