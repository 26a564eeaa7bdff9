#include "diffusion/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json_file.h"

int ib_config_load(json_t **out, const char *dir, const char *name, ib_error *err) {
    *out = NULL;
    if (!dir) {
        return IB_OK;
    }
    char *path = ib_join(dir, name);
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", name);
    }
    int rc = ib_is_file(path) ? ib_json_load(out, path, IB_JSON_SMALL_BYTES, err) : IB_OK;
    free(path);
    return rc;
}

static const json_t *member(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    return json_is_null(v) ? NULL : v;
}

int ib_config_number(const json_t *j, const char *key, double least, double most, double *v, const char *path,
                     ib_error *err) {
    const json_t *x = member(j, key);
    if (!x) {
        return IB_OK;
    }
    double d = json_number_value(x);
    if (!json_is_number(x) || !(d >= least && d <= most)) {
        return ib_fail(err, IB_E_FORMAT, "%s: \"%s\" is no number from %g to %g", path, key, least, most);
    }
    *v = d;
    return IB_OK;
}

int ib_config_count(const json_t *j, const char *key, size_t least, size_t most, size_t *v, const char *path,
                    ib_error *err) {
    const json_t *x = member(j, key);
    if (!x) {
        return IB_OK;
    }
    json_int_t n = json_integer_value(x);
    if (!json_is_integer(x) || n < 0 || (size_t)n < least || (size_t)n > most) {
        return ib_fail(err, IB_E_FORMAT, "%s: \"%s\" is no whole number from %zu to %zu", path, key, least,
                       most);
    }
    *v = (size_t)n;
    return IB_OK;
}

int ib_config_bool(const json_t *j, const char *key, bool *v, const char *path, ib_error *err) {
    const json_t *x = member(j, key);
    if (!x) {
        return IB_OK;
    }
    if (!json_is_boolean(x)) {
        return ib_fail(err, IB_E_FORMAT, "%s: \"%s\" is neither true nor false", path, key);
    }
    *v = json_is_true(x);
    return IB_OK;
}

const char *ib_config_text(const json_t *j, const char *key) {
    return json_string_value(json_object_get(j, key));
}

/* A plain value as JSON writes it, without quotes. False for lists and objects. */
static bool plain(const json_t *x, char *text, size_t bytes) {
    switch (json_typeof(x)) {
    case JSON_STRING:
        snprintf(text, bytes, "%s", json_string_value(x));
        return true;
    case JSON_INTEGER:
        snprintf(text, bytes, "%lld", (long long)json_integer_value(x));
        return true;
    case JSON_REAL:
        snprintf(text, bytes, "%g", json_real_value(x));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(text, bytes, "%s", json_is_true(x) ? "true" : "false");
        return true;
    default:
        return false;
    }
}

int ib_config_check(const json_t *j, const ib_config_only *only, size_t n, const char *path, ib_error *err) {
    for (size_t i = 0; i < n; i++) {
        const json_t *x = member(j, only[i].key);
        char text[64] = "a list or an object";
        if (x && (!plain(x, text, sizeof text) || strcmp(text, only[i].value) != 0)) {
            return ib_fail(err, IB_E_UNSUPPORTED, "%s: \"%s\" is %s, this program has only %s", path,
                           only[i].key, text, *only[i].value ? only[i].value : "models without it");
        }
    }
    return IB_OK;
}
