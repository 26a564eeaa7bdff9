#include "clip/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 32, MAX_VALUES = 2000000 };

int ib_text_load(char **text, size_t *bytes, const char *path, size_t limit, ib_error *err) {
    struct stat st;
    size_t n = 0;
    int code = IB_OK;
    *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        code = ib_fail(err, IB_E_IO, "cannot read %s: not a regular file", path);
        goto end;
    }
    if ((unsigned long long)st.st_size > limit) {
        code = ib_fail(err, IB_E_FORMAT, "%s is %lld bytes long, expected at most %zu", path,
                       (long long)st.st_size, limit);
        goto end;
    }
    if (!(*text = malloc((size_t)st.st_size + 1))) {
        code = ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
        goto end;
    }
    while (n < (size_t)st.st_size) {
        ssize_t r = read(fd, *text + n, (size_t)st.st_size - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        n += (size_t)r;
    }
    if (n < (size_t)st.st_size) {
        code = ib_fail(err, IB_E_IO, "cannot read %s: it ended at byte %zu of %lld", path, n,
                       (long long)st.st_size);
        free(*text);
        *text = NULL;
        goto end;
    }
    (*text)[n] = 0;
    *bytes = n;
end:
    close(fd);
    return code;
}

/* Counts before parsing, so that nothing hostile is built. */
static int check(const char *s, size_t n, const char *path, ib_error *err) {
    size_t values = 0;
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                text = false;
            continue;
        }
        if (c == '"')
            text = true;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        values += c == ',' || c == ':' || c == '[' || c == '{';
        if (depth > MAX_DEPTH)
            return ib_fail(err, IB_E_FORMAT, "%s nests deeper than %d levels", path, MAX_DEPTH);
        if (values > MAX_VALUES)
            return ib_fail(err, IB_E_FORMAT, "%s holds more than %d values", path, MAX_VALUES);
    }
    return IB_OK;
}

int ib_json_load(json_t **out, const char *path, size_t limit, ib_error *err) {
    char *text;
    size_t n;
    json_error_t je;
    *out = NULL;
    int code = ib_text_load(&text, &n, path, limit, err);
    if (code)
        return code;
    if (!(code = check(text, n, path, err))) {
        *out = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
        if (!*out)
            code =
                ib_fail(err, IB_E_FORMAT, "%s is not valid JSON: %.150s (line %d)", path, je.text, je.line);
        else if (!json_is_object(*out))
            code = ib_fail(err, IB_E_FORMAT, "%s holds no JSON object", path);
    }
    if (code) {
        json_decref(*out);
        *out = NULL;
    }
    free(text);
    return code;
}
