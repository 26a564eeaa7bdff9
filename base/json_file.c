#include "base/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/json.h"
#include "base/text.h"

enum { MAX_DEPTH = 32, MAX_VALUES = 2000000 };

int ib_text_load(char **text, size_t *bytes, const char *path, size_t limit, ib_error *err) {
    struct stat st;
    size_t n = 0;
    int rc = IB_OK;
    *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be read: not a regular file", path);
        goto end;
    }
    if ((unsigned long long)st.st_size > limit) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: %lld bytes long, expected at most %zu", path,
                     (long long)st.st_size, limit);
        goto end;
    }
    if (!(*text = malloc((size_t)st.st_size + 1))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
        goto end;
    }
    while (n < (size_t)st.st_size) {
        ssize_t r = read(fd, *text + n, (size_t)st.st_size - n);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            break;
        }
        n += (size_t)r;
    }
    if (n < (size_t)st.st_size) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be read: it ended at byte %zu of %lld", path, n,
                     (long long)st.st_size);
        free(*text);
        *text = NULL;
        goto end;
    }
    size_t mark = ib_text_bom(*text, n);
    *bytes = n - mark;
    memmove(*text, *text + mark, *bytes);
    (*text)[*bytes] = 0;
end:
    close(fd);
    return rc;
}

int ib_json_load(json_t **out, const char *path, size_t limit, ib_error *err) {
    char *text;
    size_t n;
    *out = NULL;
    int rc = ib_text_load(&text, &n, path, limit, err);
    if (rc) {
        return rc;
    }
    rc = ib_json_parse(out, text, n, MAX_DEPTH, MAX_VALUES, path, "", err);
    if (!rc && !json_is_object(*out)) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: holds no JSON object", path);
    }
    if (rc) {
        json_decref(*out);
        *out = NULL;
    }
    free(text);
    return rc;
}
