/* Inside diffusion/ only: values from the JSON files beside weights. */
#ifndef IB_DIFFUSION_CONFIG_H
#define IB_DIFFUSION_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

/* The object in dir/name; *out NULL if there is no such file or dir is NULL. The caller decrefs. */
int ib_config_load(json_t **out, const char *dir, const char *name, ib_error *err);
/* A number from j (which may be NULL), of which `least` <= v <= `most`; *v stays as it is if it is absent or
 * null. path: for messages. */
int ib_config_number(const json_t *j, const char *key, double least, double most, double *v, const char *path,
                     ib_error *err);
int ib_config_count(const json_t *j, const char *key, size_t least, size_t most, size_t *v, const char *path,
                    ib_error *err);
int ib_config_bool(const json_t *j, const char *key, bool *v, const char *path, ib_error *err);
/* NULL: not there, or no string. */
const char *ib_config_text(const json_t *j, const char *key);
/* IB_E_UNSUPPORTED unless each key is absent, null or as it is written here. */
typedef struct ib_config_only {
    const char *key, *value; /* as JSON writes it without quotes */
} ib_config_only;
int ib_config_check(const json_t *j, const ib_config_only *only, size_t n, const char *path, ib_error *err);

#endif
