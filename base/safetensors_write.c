#include "base/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

/* Writing begins on the disk after every so many bytes, so that the last fsync finds little left to do. */
enum { PUSH_BYTES = 8 << 20 };

struct ib_st_writer {
    ib_pending pending;
    char *path;
    int fd;
    ib_st_tensor *tensors; /* [n], with names of their own and without data */
    size_t n;
    size_t header_bytes; /* of the JSON text, padding included */
    size_t data_bytes, written, pushed;
};

static int bytes_of(const ib_st_tensor *t, size_t *bytes) {
    size_t n = ib_dtype_bytes(t->dtype);
    if (!n || t->rank < 0 || t->rank > IB_ST_MAX_RANK) {
        return -1;
    }
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0 || ib_size_mul(n, (size_t)t->shape[i], &n)) {
            return -1;
        }
    }
    *bytes = n;
    return 0;
}

static json_t *describe_safetensors_write(const ib_st_tensor *t, size_t begin, size_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) {
        json_array_append_new(shape, json_integer(t->shape[i]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ib_dtype_name(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* The header's text, owned by the caller; *size without the final NUL; *data_bytes of all tensors. */
static int make_header(char **text, size_t *size, size_t *data_bytes, const char *path,
                       const ib_st_tensor *tensors, size_t n, const ib_st_meta *meta, size_t n_meta,
                       ib_error *err) {
    int rc = IB_OK;
    size_t at = 0, bytes, end;
    json_t *root = json_object(), *pairs = json_object();
    if (!root || !pairs) {
        goto memory;
    }
    for (size_t i = 0; i < n_meta; i++) {
        if (json_object_get(pairs, meta[i].key) ||
            json_object_set_new(pairs, meta[i].key, ib_json_text(meta[i].value))) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "%s: cannot be written: metadata '%.100s' comes twice or is not UTF-8", path,
                         meta[i].key);
            goto end;
        }
    }
    if (n_meta && json_object_set(root, "__metadata__", pairs)) {
        goto memory;
    }
    for (size_t i = 0; i < n; i++) {
        const ib_st_tensor *t = &tensors[i];
        if (bytes_of(t, &bytes) || ib_size_add(at, bytes, &end)) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "%s: cannot be written: tensor '%.100s' has no valid shape or dtype", path, t->name);
            goto end;
        }
        if (!strcmp(t->name, "__metadata__") || json_object_get(root, t->name) ||
            json_object_set_new(root, t->name, describe_safetensors_write(t, at, end))) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "%s: cannot be written: tensor name '%.100s' comes twice or is not UTF-8", path,
                         t->name);
            goto end;
        }
        at = end;
    }
    if (!(*text = json_dumps(root, JSON_COMPACT))) {
        goto memory;
    }
    *size = strlen(*text);
    *data_bytes = at;
    goto end;
memory:
    rc = ib_fail(err, IB_E_MEMORY, "out of memory for the header of %s", path);
end:
    json_decref(pairs);
    json_decref(root);
    return rc;
}

static int put_safetensors_write(ib_st_writer *w, const void *data, size_t bytes, off_t at, ib_error *err) {
    const char *p = data;
    while (bytes) {
        ssize_t n = pwrite(w->fd, p, bytes, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", w->path, strerror(n ? errno : ENOSPC));
        }
        p += n;
        at += n;
        bytes -= (size_t)n;
    }
    return IB_OK;
}

/* The length, the text and blanks, so that the data begins at a multiple of 8. */
static int put_header(ib_st_writer *w, const char *text, size_t size, ib_error *err) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)((uint64_t)w->header_bytes >> 8 * i);
    }
    int rc = put_safetensors_write(w, length, 8, 0, err);
    rc = rc ? rc : put_safetensors_write(w, text, size, 8, err);
    return rc ? rc : put_safetensors_write(w, "       ", w->header_bytes - size, (off_t)(8 + size), err);
}

static int copy_tensors(ib_st_writer *w, const ib_st_tensor *tensors, size_t n) {
    if (!(w->tensors = ib_calloc(n, sizeof *w->tensors))) {
        return -1;
    }
    for (; w->n < n; w->n++) {
        w->tensors[w->n] = tensors[w->n];
        w->tensors[w->n].data = NULL;
        if (!(w->tensors[w->n].name = strdup(tensors[w->n].name))) {
            return -1;
        }
    }
    return 0;
}

int ib_st_check_replace(const char *path, ib_error *err) {
    uint8_t head[9] = {0};
    FILE *f = ib_is_file(path) ? fopen(path, "rbe") : NULL;
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) {
        fclose(f);
    }
    bool nothing = !n, ours = n == sizeof head && head[8] == '{' && !(head[4] | head[5] | head[6] | head[7]);
    return nothing || ours
               ? IB_OK
               : ib_fail(err, IB_E_ARGUMENT,
                         "%s: is a file of another kind, and is not replaced by safetensors; choose "
                         "another name",
                         path);
}

int ib_st_writer_begin(ib_st_writer **out, const char *path, const ib_st_tensor *tensors, size_t n,
                       const ib_st_meta *meta, size_t n_meta, ib_error *err) {
    char *text = NULL;
    size_t size;
    *out = NULL;
    ib_st_writer *w = calloc(1, sizeof *w);
    if (w) {
        w->fd = -1;
    }
    if (!w || !(w->path = strdup(path)) || copy_tensors(w, tensors, n)) {
        ib_st_writer_abort(&w);
        return ib_fail(err, IB_E_MEMORY, "out of memory for writing %s", path);
    }
    int rc = make_header(&text, &size, &w->data_bytes, path, tensors, n, meta, n_meta, err);
    if (rc || (rc = ib_pending_begin(&w->pending, path, err))) {
        goto end;
    }
    w->header_bytes = size + (-size & 7);
    w->fd = open(w->pending.temp, O_WRONLY | O_CLOEXEC);
    if (w->fd < 0) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(errno));
        goto end;
    }
    /* a disk that is too full says so now; where space cannot be asked for, it says so later */
    if (fallocate(w->fd, 0, 0, (off_t)(8 + w->header_bytes + w->data_bytes)) &&
        (errno == ENOSPC || errno == EFBIG)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(errno));
        goto end;
    }
    rc = put_header(w, text, size, err);
end:
    free(text);
    if (rc) {
        ib_st_writer_abort(&w);
    }
    *out = w;
    return rc;
}

int ib_st_writer_append(ib_st_writer *w, const void *data, size_t bytes, ib_error *err) {
    if (bytes > w->data_bytes - w->written) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: %zu bytes more than its tensors hold", w->path,
                       bytes - (w->data_bytes - w->written));
    }
    size_t begin = 8 + w->header_bytes;
    int rc = put_safetensors_write(w, data, bytes, (off_t)(begin + w->written), err);
    w->written += rc ? 0 : bytes;
#ifdef SYNC_FILE_RANGE_WRITE
    if (w->written - w->pushed >= PUSH_BYTES) {
        sync_file_range(w->fd, (off_t)(begin + w->pushed), (off_t)(w->written - w->pushed),
                        SYNC_FILE_RANGE_WRITE);
        w->pushed = w->written;
    }
#endif
    return rc;
}

/* The header once more with the final metadata, in the same place. */
static int replace_header(ib_st_writer *w, const ib_st_meta *meta, size_t n_meta, ib_error *err) {
    char *text = NULL;
    size_t size, data_bytes;
    int rc = make_header(&text, &size, &data_bytes, w->path, w->tensors, w->n, meta, n_meta, err);
    if (!rc && size + (-size & 7) != w->header_bytes) {
        rc = ib_fail(err, IB_E_ARGUMENT,
                     "%s: its metadata has another length at the end than at the beginning", w->path);
    }
    rc = rc ? rc : put_header(w, text, size, err);
    free(text);
    return rc;
}

int ib_st_writer_finish(ib_st_writer **writer, const ib_st_meta *meta, size_t n_meta, ib_error *err) {
    ib_st_writer *w = *writer;
    int rc = IB_OK;
    if (w->written != w->data_bytes) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: %zu of the %zu bytes of its tensors were given", w->path,
                     w->written, w->data_bytes);
    }
    if (!rc && meta) {
        rc = replace_header(w, meta, n_meta, err);
    }
    if (close(w->fd) && !rc) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", w->path, strerror(errno));
    }
    w->fd = -1;
    rc = rc ? rc : ib_pending_publish(&w->pending, err);
    ib_st_writer_abort(writer);
    return rc;
}

void ib_st_writer_abort(ib_st_writer **writer) {
    ib_st_writer *w = *writer;
    if (!w) {
        return;
    }
    if (w->fd >= 0) {
        close(w->fd);
    }
    ib_pending_abort(&w->pending);
    for (size_t i = 0; i < w->n; i++) {
        free((char *)w->tensors[i].name);
    }
    ib_free(w->tensors);
    free(w->path);
    free(w);
    *writer = NULL;
}

int ib_st_write(const char *path, const ib_st_tensor *tensors, size_t n, const ib_st_meta *meta,
                size_t n_meta, ib_error *err) {
    ib_st_writer *w;
    size_t bytes;
    int rc = ib_st_writer_begin(&w, path, tensors, n, meta, n_meta, err);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!bytes_of(&tensors[i], &bytes)) {
            rc = ib_st_writer_append(w, tensors[i].data, bytes, err);
        }
    }
    if (rc) {
        ib_st_writer_abort(&w);
        return rc;
    }
    return ib_st_writer_finish(&w, NULL, 0, err);
}
