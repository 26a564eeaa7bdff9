/* JSON from strangers: bounds that hold before anything is built from it. */
#ifndef IB_BASE_JSON_H
#define IB_BASE_JSON_H

#include <stddef.h>
#include "base/error.h"

/* Counts before parsing, so that nothing hostile is built. text [bytes] need be neither JSON nor ended by a zero. IB_E_FORMAT if it
 * nests deeper than max_depth levels or holds more than max_values values (commas, colons and opening brackets are counted: a few
 * times what the parser makes of them at the most). The sentence begins with `path` and then `part`, which says what of the file
 * this is: ": its header", or "" for all of it. */
int ib_json_bound(const char *text, size_t bytes, int max_depth, int max_values, const char *path,
                  const char *part, ib_error *err);

#endif
