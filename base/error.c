#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ib_fail(ib_error *err, int code, const char *fmt, ...) {
    if (!err) {
        return code;
    }
    char text[sizeof err->text]; /* the arguments may point into err->text */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err->code = code;
    memcpy(err->text, text, sizeof text);
    return code;
}

int ib_error_prefix(ib_error *err, int code, const char *fmt, ...) {
    if (!err) {
        return code;
    }
    char prefix[sizeof err->text], text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    snprintf(text, sizeof text, "%.511s: %.510s", prefix, err->text);
    memcpy(err->text, text, sizeof text);
    return code;
}
