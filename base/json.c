#include "base/json.h"

#include <stdbool.h>

int ib_json_bound(const char *text, size_t bytes, int max_depth, int max_values, const char *path,
                  const char *part, ib_error *err) {
    ptrdiff_t depth = 0;
    int values = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == '"')
            quoted = true;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        values += c == ',' || c == ':' || c == '[' || c == '{';
        if (depth > max_depth)
            return ib_fail(err, IB_E_FORMAT, "%s%s nests deeper than %d levels", path, part, max_depth);
        if (values > max_values)
            return ib_fail(err, IB_E_FORMAT, "%s%s holds more than %d values", path, part, max_values);
    }
    return IB_OK;
}
