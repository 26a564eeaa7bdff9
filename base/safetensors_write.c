#include "base/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"

static int bytes_of(const ib_st_tensor *t, size_t *bytes) {
    size_t n = ib_dtype_bytes(t->dtype);
    if (!n || t->rank < 0 || t->rank > IB_ST_MAX_RANK)
        return -1;
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 || ib_size_mul(n, (size_t)t->shape[i], &n))
            return -1;
    *bytes = n;
    return 0;
}

static json_t *describe(const ib_st_tensor *t, size_t begin, size_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ib_dtype_name(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* The header's text, owned by the caller; *size without the final NUL. */
static int make_header(char **text, size_t *size, const char *path, const ib_st_tensor *tensors, size_t n,
                       const ib_st_meta *meta, size_t n_meta, ib_error *err) {
    int code = IB_OK;
    size_t at = 0, bytes, end;
    json_t *root = json_object(), *pairs = json_object();
    if (!root || !pairs)
        goto memory;
    for (size_t i = 0; i < n_meta; i++)
        if (json_object_get(pairs, meta[i].key) ||
            json_object_set_new(pairs, meta[i].key, json_string(meta[i].value))) {
            code =
                ib_fail(err, IB_E_ARGUMENT, "cannot write %s: metadata '%.100s' comes twice or is not UTF-8",
                        path, meta[i].key);
            goto end;
        }
    if (n_meta && json_object_set(root, "__metadata__", pairs))
        goto memory;
    for (size_t i = 0; i < n; i++) {
        const ib_st_tensor *t = &tensors[i];
        if (bytes_of(t, &bytes) || ib_size_add(at, bytes, &end)) {
            code = ib_fail(err, IB_E_ARGUMENT, "cannot write %s: tensor '%.100s' has no valid shape or dtype",
                           path, t->name);
            goto end;
        }
        if (!strcmp(t->name, "__metadata__") || json_object_get(root, t->name) ||
            json_object_set_new(root, t->name, describe(t, at, end))) {
            code =
                ib_fail(err, IB_E_ARGUMENT,
                        "cannot write %s: tensor name '%.100s' comes twice or is not UTF-8", path, t->name);
            goto end;
        }
        at = end;
    }
    if (!(*text = json_dumps(root, JSON_COMPACT)))
        goto memory;
    *size = strlen(*text);
    goto end;
memory:
    code = ib_fail(err, IB_E_MEMORY, "out of memory for the header of %s", path);
end:
    json_decref(pairs);
    json_decref(root);
    return code;
}

int ib_st_write(const char *path, const ib_st_tensor *tensors, size_t n, const ib_st_meta *meta,
                size_t n_meta, ib_error *err) {
    ib_pending pending = {0};
    char *text = NULL;
    size_t size = 0, bytes;
    FILE *file = NULL;
    int code = make_header(&text, &size, path, tensors, n, meta, n_meta, err);
    if (code)
        return code;
    if ((code = ib_pending_begin(&pending, path, err)))
        goto end;
    if (!(file = fopen(pending.temp, "wb")))
        goto io;
    size_t pad = -size & 7; /* so that the data begins at a multiple of 8 */
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)(size + pad) >> 8 * i);
    if (fwrite(length, 1, 8, file) != 8 || fwrite(text, 1, size, file) != size ||
        fwrite("       ", 1, pad, file) != pad)
        goto io;
    for (size_t i = 0; i < n; i++)
        if (!bytes_of(&tensors[i], &bytes) && bytes && fwrite(tensors[i].data, 1, bytes, file) != bytes)
            goto io;
    int closed = fclose(file);
    file = NULL;
    if (closed)
        goto io;
    code = ib_pending_publish(&pending, err);
    goto end;
io:
    code = ib_fail(err, IB_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (file)
        fclose(file);
end:
    ib_pending_abort(&pending);
    free(text);
    return code;
}
