#include "cli/gaps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A whole number from 2 to `most` that begins with a digit; 0: none. */
static int gap_at(const char *text, int most, const char **end) {
    char *stop;
    if (*text < '0' || *text > '9') {
        return 0;
    }
    errno = 0;
    long n = strtol(text, &stop, 10);
    *end = stop;
    return errno || n < 2 || n > most ? 0 : (int)n;
}

bool cli_gap_range(const char *text, int *least, int *most) {
    const char *end;
    int a = gap_at(text, CLI_GAP_MOST, &end), b = a;
    if (a && !strncmp(end, "..", 2)) {
        b = gap_at(end + 2, CLI_GAP_MOST, &end);
    }
    if (!a || b < a || *end) {
        return false;
    }
    *least = a;
    *most = b;
    return true;
}

bool cli_gap_list(const char *text, int gap[IB_EVAL_MAX_GAPS], size_t *n, int *twice) {
    const char *at = text;
    *twice = 0;
    for (*n = 0; *n < IB_EVAL_MAX_GAPS; at++) {
        int one = gap_at(at, 1000, &at);
        if (!one || (*at && *at != ',')) {
            return false;
        }
        for (size_t i = 0; i < *n; i++) {
            if (gap[i] == one) {
                *twice = one;
                return false;
            }
        }
        gap[(*n)++] = one;
        if (!*at) {
            return true;
        }
    }
    return false;
}
