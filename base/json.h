/* JSON from strangers: bounds that hold before anything is built from it, and what Python's writer makes
 * of numbers. And JSON for others: always valid, whatever names it has to hold. */
#ifndef IB_BASE_JSON_H
#define IB_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include "base/error.h"

/* Counts before parsing, so that nothing hostile is built. text [bytes] need be neither JSON nor ended by a
 * zero. IB_E_FORMAT if it nests deeper than max_depth levels or holds more than max_values values (commas,
 * colons and opening brackets are counted: a few times what the parser makes of them at the most). The
 * sentence begins with `path` and then `part`, which says what of the file this is: ": its header", or "" for
 * all of it. */
int ib_json_bound(const char *text, size_t bytes, int max_depth, int max_values, const char *path,
                  const char *part, ib_error *err);

/* The one way to read other people's JSON: bounded as above, then parsed. Strict (an object or array;
 * names that come twice, a zero byte and bytes that are not UTF-8 are refused), but for numbers that
 * Python's json writes and others cannot hold: NaN, Infinity and -Infinity are null, whole numbers beyond
 * 64 bits are reals, and reals beyond double are null. Callers that need a whole number ask for one; neither
 * is. *out: the caller decrefs; NULL on failure. IB_E_FORMAT or IB_E_MEMORY. */
int ib_json_parse(json_t **out, const char *text, size_t bytes, int max_depth, int max_values,
                  const char *path, const char *part, ib_error *err);

/* A string of any text, with bytes that are not UTF-8 as \xHH (ib_text_utf8): the form of all names in all
 * JSON that is written. null for NULL; NULL when memory is out. */
json_t *ib_json_text(const char *text);

/* json_dumps, with characters that are not plain (ib_char_is_plain) as \uXXXX: the same value, and
 * harmless on a terminal. malloc'ed; NULL when memory is out or j is NULL. */
char *ib_json_dump(const json_t *j, size_t flags);

#endif
