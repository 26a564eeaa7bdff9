/* The small JSON files beside weights, which come from strangers as the weights do. */
#ifndef IB_BASE_JSON_FILE_H
#define IB_BASE_JSON_FILE_H

#include <jansson.h>
#include "base/error.h"

enum { IB_JSON_SMALL_BYTES = 4 << 20, IB_JSON_LARGE_BYTES = 64 << 20 };

/* The whole of a regular file of at most `limit` bytes, with a zero behind it and without a byte order
 * mark before it; the caller frees. */
int ib_text_load(char **text, size_t *bytes, const char *path, size_t limit, ib_error *err);
/* An object; the caller decrefs. Refused: files over `limit`, more than 32 levels, more values than an
 * honest file of that size holds, names that come twice, what is no JSON (ib_json_parse: numbers may be as
 * Python writes them) and what is no object. */
int ib_json_load(json_t **out, const char *path, size_t limit, ib_error *err);

#endif
