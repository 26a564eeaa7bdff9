#include "base/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/json.h"
#include "base/memory.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "inbetween needs a little-endian processor: its files are read as they lie in memory"
#endif

/* A header is three levels deep: the object, a tensor, its shape. The bound on the number of JSON values
 * keeps the parsed header within a small multiple of what an honest file of
 * IB_ST_MAX_TENSORS tensors needs. */
enum { MAX_DEPTH = 3, MAX_VALUES = IB_ST_MAX_TENSORS * 16 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [IB_F32] = {"F32", 4},   [IB_F16] = {"F16", 2},         [IB_BF16] = {"BF16", 2},
    [IB_F64] = {"F64", 8},   [IB_I64] = {"I64", 8},         [IB_I32] = {"I32", 4},
    [IB_I16] = {"I16", 2},   [IB_I8] = {"I8", 1},           [IB_U8] = {"U8", 1},
    [IB_BOOL] = {"BOOL", 1}, [IB_U64] = {"U64", 8},         [IB_U32] = {"U32", 4},
    [IB_U16] = {"U16", 2},   [IB_F8_E4M3] = {"F8_E4M3", 1}, [IB_F8_E5M2] = {"F8_E5M2", 1},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

struct ib_st {
    void *map;
    size_t map_bytes;
    bool copied;                  /* else the file itself is mapped */
    json_t *header;               /* owns names and metadata */
    json_t *metadata;             /* borrowed from header; NULL if there is none */
    ib_st_tensor *tensors;        /* [count], in order of their data */
    const ib_st_tensor **by_name; /* [count], sorted */
    size_t count;
    ib_st_meta *meta; /* [meta_count] */
    size_t meta_count;
};

size_t ib_dtype_bytes(ib_dtype t) {
    return (unsigned)t < N_DTYPES ? dtypes[t].bytes : 0;
}

const char *ib_dtype_name(ib_dtype t) {
    return (unsigned)t < N_DTYPES ? dtypes[t].name : "?";
}

static uint64_t read_le64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

/* A whole number >= 0 that fits in size_t; -1 if the value is not one. */
static int get_size(const json_t *v, size_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        return -1;
    }
    *out = (size_t)json_integer_value(v);
    return 0;
}

/* data: the bytes after the header */
static int read_tensor(ib_st_tensor *t, const char *name, json_t *v, const uint8_t *data, size_t data_bytes,
                       const char *path, ib_error *err) {
    const char *dtype = json_string_value(json_object_get(v, "dtype"));
    const json_t *shape = json_object_get(v, "shape"), *range = json_object_get(v, "data_offsets");
    size_t begin, end, want;
    t->name = name;
    if (!dtype || !json_is_array(shape) || !json_is_array(range) || json_object_size(v) != 3) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: tensor '%.100s' needs dtype, shape and data_offsets and nothing else", path,
                       name);
    }
    int k = 0;
    while (k < N_DTYPES && strcmp(dtype, dtypes[k].name)) {
        k++;
    }
    if (k == N_DTYPES) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: tensor '%.100s' is of unknown dtype '%.20s'", path, name,
                       dtype);
    }
    t->dtype = (ib_dtype)k;
    size_t rank = json_array_size(shape);
    if (rank > IB_ST_MAX_RANK) {
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.100s' has %zu dimensions, expected at most %d", path,
                       name, rank, IB_ST_MAX_RANK);
    }
    t->rank = (int)rank;
    t->elements = 1;
    for (size_t i = 0; i < rank; i++) {
        size_t d;
        if (get_size(json_array_get(shape, i), &d) || ib_size_mul(t->elements, d, &t->elements)) {
            return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.100s': invalid shape", path, name);
        }
        t->shape[i] = (int64_t)d;
    }
    if (json_array_size(range) != 2 || get_size(json_array_get(range, 0), &begin) ||
        get_size(json_array_get(range, 1), &end) || begin > end || end > data_bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.100s' lies outside the %zu bytes of data", path, name,
                       data_bytes);
    }
    t->bytes = end - begin;
    if (ib_size_mul(t->elements, dtypes[k].bytes, &want) || want != t->bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.100s' holds %zu bytes, expected %zu elements of %s",
                       path, name, t->bytes, t->elements, dtype);
    }
    t->data = data + begin;
    return IB_OK;
}

static int by_data(const void *a, const void *b) {
    const ib_st_tensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q) {
        return p < q ? -1 : 1;
    }
    if (x->bytes != y->bytes) { /* empty tensors come before the one that they share an offset with */
        return x->bytes < y->bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const ib_st_tensor *const *)a)->name, (*(const ib_st_tensor *const *)b)->name);
}

static int read_metadata(ib_st *f, const char *path, ib_error *err) {
    const char *key;
    json_t *v;
    if (!f->metadata) {
        return IB_OK;
    }
    if (!json_is_object(f->metadata)) {
        return ib_fail(err, IB_E_FORMAT, "%s: __metadata__ is not an object", path);
    }
    if (!(f->meta = ib_calloc(json_object_size(f->metadata), sizeof *f->meta))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the metadata of %s", path);
    }
    json_object_foreach(f->metadata, key, v) {
        if (!json_is_string(v)) {
            return ib_fail(err, IB_E_FORMAT, "%s: metadata '%.100s' is not a string", path, key);
        }
        f->meta[f->meta_count].key = key;
        f->meta[f->meta_count++].value = json_string_value(v);
    }
    return IB_OK;
}

static int read_header(ib_st *f, const char *path, ib_error *err) {
    const uint8_t *p = f->map;
    if (f->map_bytes < 8) {
        return ib_fail(err, IB_E_FORMAT, "%s: not a safetensors file: %zu bytes are too short", path,
                       f->map_bytes);
    }
    uint64_t n = read_le64(p);
    if (n > f->map_bytes - 8) {
        return ib_fail(
            err, IB_E_FORMAT,
            "%s: not a safetensors file or is cut short: a header of %llu bytes does not fit in %zu", path,
            (unsigned long long)n, f->map_bytes);
    }
    if (n > IB_ST_MAX_HEADER_BYTES) {
        return ib_fail(err, IB_E_FORMAT, "%s: a header of %llu bytes is longer than the %d allowed", path,
                       (unsigned long long)n, IB_ST_MAX_HEADER_BYTES);
    }
    if (n < 2 || p[8] != '{') {
        return ib_fail(err, IB_E_FORMAT, "%s: not a safetensors file: its header does not begin with '{'",
                       path);
    }
    int rc =
        ib_json_parse(&f->header, (const char *)p + 8, n, MAX_DEPTH, MAX_VALUES, path, ": its header", err);
    if (rc) {
        return rc;
    }
    f->metadata = json_object_get(f->header, "__metadata__");
    if ((rc = read_metadata(f, path, err))) {
        return rc;
    }

    size_t count = json_object_size(f->header) - (f->metadata ? 1 : 0);
    const uint8_t *data = p + 8 + n;
    size_t data_bytes = f->map_bytes - 8 - (size_t)n;
    const char *name;
    json_t *v;
    if (count > IB_ST_MAX_TENSORS) {
        return ib_fail(err, IB_E_FORMAT, "%s: %zu tensors, expected at most %d", path, count,
                       IB_ST_MAX_TENSORS);
    }
    f->tensors = ib_calloc(count, sizeof *f->tensors);
    f->by_name = ib_calloc(count, sizeof *f->by_name);
    if (!f->tensors || !f->by_name) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the %zu tensors of %s", count, path);
    }
    json_object_foreach(f->header, name, v) {
        if (v == f->metadata) {
            continue;
        }
        if ((rc = read_tensor(&f->tensors[f->count], name, v, data, data_bytes, path, err))) {
            return rc;
        }
        f->count++;
    }
    qsort(f->tensors, f->count, sizeof *f->tensors, by_data);
    const uint8_t *at = data;
    for (size_t i = 0; i < f->count; i++) {
        const ib_st_tensor *t = &f->tensors[i];
        if (t->data != at) {
            return ib_fail(err, IB_E_FORMAT,
                           "%s: tensor '%.100s' begins at byte %zu of the data, expected %zu", path, t->name,
                           (size_t)((const uint8_t *)t->data - data), (size_t)(at - data));
        }
        at += t->bytes;
        f->by_name[i] = t;
    }
    if (at != data + data_bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: %zu bytes of data belong to no tensor", path,
                       (size_t)(data + data_bytes - at));
    }
    qsort(f->by_name, f->count, sizeof *f->by_name, by_name);
    return IB_OK;
}

/* read() instead of a mapping of the file itself: into memory that closing unmaps all the same. */
static int copy_file(ib_st *f, int fd, const char *path, ib_error *err) {
    void *p = mmap(NULL, f->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the %zu bytes of %s", f->map_bytes, path);
    }
    f->map = p;
    f->copied = true;
    for (size_t at = 0; at < f->map_bytes;) {
        ssize_t n = read(fd, (char *)p + at, f->map_bytes - at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (!n) {
            return ib_fail(err, IB_E_FORMAT, "%s: was shortened while it was read", path);
        }
        at += (size_t)n;
    }
    return IB_OK;
}

static int map_file(ib_st *f, int fd, const char *path, ib_error *err) {
    f->map = mmap(NULL, f->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        return ib_fail(err, IB_E_IO, "cannot map %s: %s", path, strerror(errno));
    }
    return IB_OK;
}

/* most: bytes that may be copied; 0: mapped */
static int open_file(ib_st **out, const char *path, size_t most, ib_error *err) {
    struct stat st;
    int rc = IB_OK;
    ib_st *f = NULL;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be read: not a regular file", path);
        goto fail;
    }
    if (!(f = calloc(1, sizeof *f))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        goto fail;
    }
    f->map_bytes = (size_t)st.st_size;
    if (most && f->map_bytes > most) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "%s: has %zu bytes, expected at most %zu", path, f->map_bytes,
                     most);
        f->map_bytes = 0;
        goto fail;
    }
    if (f->map_bytes && (rc = most ? copy_file(f, fd, path, err) : map_file(f, fd, path, err))) {
        goto fail;
    }
    if ((rc = read_header(f, path, err))) {
        goto fail;
    }
    close(fd);
    *out = f;
    return IB_OK;
fail:
    ib_st_close(&f);
    close(fd);
    return rc;
}

int ib_st_open(ib_st **out, const char *path, ib_error *err) {
    return open_file(out, path, 0, err);
}

int ib_st_open_copied(ib_st **out, const char *path, size_t most_bytes, ib_error *err) {
    return open_file(out, path, most_bytes ? most_bytes : 1, err);
}

void ib_st_close(ib_st **f) {
    if (!*f) {
        return;
    }
    json_decref((*f)->header);
    ib_free((*f)->meta);
    ib_free((*f)->tensors);
    ib_free((*f)->by_name);
    if ((*f)->map) {
        munmap((*f)->map, (*f)->map_bytes);
    }
    free(*f);
    *f = NULL;
}

const void *ib_st_bytes(const ib_st *f, size_t *bytes) {
    *bytes = f->map_bytes;
    return f->map;
}

void ib_st_release(const ib_st *f, const void *data, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page,
              end = ((uintptr_t)data + bytes) / page * page;
    if (begin < end && !f->copied) {
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}

size_t ib_st_count(const ib_st *f) {
    return f->count;
}

const ib_st_tensor *ib_st_at(const ib_st *f, size_t i) {
    return i < f->count ? &f->tensors[i] : NULL;
}

const ib_st_tensor *ib_st_find(const ib_st *f, const char *name) {
    size_t lo = 0, hi = f->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, f->by_name[mid]->name);
        if (!c) {
            return f->by_name[mid];
        }
        if (c < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}

const char *ib_st_metadata(const ib_st *f, const char *key) {
    return json_string_value(json_object_get(f->metadata, key));
}

size_t ib_st_metadata_count(const ib_st *f) {
    return f->meta_count;
}

void ib_st_metadata_at(const ib_st *f, size_t i, const char **key, const char **value) {
    *key = i < f->meta_count ? f->meta[i].key : NULL;
    *value = i < f->meta_count ? f->meta[i].value : NULL;
}

int ib_st_to_f32(const ib_st_tensor *t, float *out, ib_error *err) {
    return ib_st_to_f32_part(t, 0, t->elements, out, err);
}

int ib_st_to_f32_part(const ib_st_tensor *t, size_t first, size_t n, float *out, ib_error *err) {
    enum { CHUNK = 1024 };
    uint16_t h[CHUNK];
    const uint8_t *p = (const uint8_t *)t->data + first * ib_dtype_bytes(t->dtype);
    switch (t->dtype) {
    case IB_F32:
        if (n) {
            memcpy(out, p, n * sizeof *out);
        }
        return IB_OK;
    case IB_F16:
        for (size_t i = 0; i < n; i += CHUNK) {
            size_t m = n - i < CHUNK ? n - i : CHUNK;
            memcpy(h, p + 2 * i, 2 * m);
            ib_f16_to_f32(h, out + i, m);
        }
        return IB_OK;
    case IB_BF16:
        for (size_t i = 0; i < n; i++) {
            uint32_t u = (uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24;
            memcpy(out + i, &u, 4);
        }
        return IB_OK;
    case IB_F8_E4M3:
        ib_f8_e4m3_to_f32(p, out, n);
        return IB_OK;
    case IB_F8_E5M2:
        ib_f8_e5m2_to_f32(p, out, n);
        return IB_OK;
    default:
        return ib_fail(err, IB_E_UNSUPPORTED, "tensor '%.100s' is %s, expected F32, F16, BF16 or F8", t->name,
                       ib_dtype_name(t->dtype));
    }
}
