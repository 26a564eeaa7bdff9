#include "pool/member.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adapter/pixel_model.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/seal.h"

static const long long most_number = 1LL << 62; /* sums of two do not overflow */
static const char format_key[] = "pool.format", format_version[] = "2";

/* The whole numbers of a member and their keys. */
typedef struct number {
    const char *key;
    size_t offset;
} number;
static const number numbers[] = {
    {"pool.serial", offsetof(ib_member, serial)},   {"pool.round", offsetof(ib_member, round)},
    {"pool.samples", offsetof(ib_member, samples)}, {"pool.fresh", offsetof(ib_member, fresh)},
    {"pool.stream", offsetof(ib_member, stream)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers, PAIRS = NUMBERS + 6, TEXT = 96 };

bool ib_member_name_fits(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    return n && n < IB_POOL_NAME && *name != '.' && *name != '-' && strspn(name, letters) == n &&
           strcmp(name, IB_POOL_NO_NAME) != 0;
}

int ib_member_write(const ib_member *m, const ib_adapter *a, bool half, const char *dir, size_t *bytes,
                    ib_error *err) {
    char text[PAIRS][TEXT], *path = NULL;
    ib_st_meta meta[PAIRS];
    ib_pending p = {0};
    struct stat st;
    size_t n = 0;
    for (; n < NUMBERS; n++) {
        int64_t value;
        memcpy(&value, (const char *)m + numbers[n].offset, sizeof value);
        snprintf(text[n], TEXT, "%" PRId64, value);
        meta[n] = (ib_st_meta){numbers[n].key, text[n]};
    }
    meta[n++] = (ib_st_meta){format_key, format_version};
    meta[n++] = (ib_st_meta){"pool.worker", m->name};
    meta[n++] = (ib_st_meta){"pool.token", m->token};
    if (isfinite(m->skill)) {
        snprintf(text[n], TEXT, "%.4f", m->skill);
        meta[n] = (ib_st_meta){"pool.skill", text[n]};
        n++;
    }
    snprintf(text[n], TEXT, IB_SEAL_MARK "%064d", 0);
    meta[n] = (ib_st_meta){"pool.seal", text[n]};
    n++;
    if (asprintf(&path, "%s/%s" IB_POOL_SUFFIX, dir, m->name) < 0) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", dir);
    }
    int rc = ib_pending_begin(&p, path, err);
    rc = rc ? rc : ib_adapter_save_as(a, p.temp, half ? IB_F16 : IB_F32, meta, n, err);
    rc = rc ? rc : ib_seal_write(p.temp, err);
    if (!rc && stat(p.temp, &st)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (!rc && bytes) {
        *bytes = (size_t)st.st_size;
    }
    rc = rc ? rc : ib_pending_publish(&p, err);
    ib_pending_abort(&p);
    free(path);
    return rc;
}

static int get_text(const ib_st *f, const char *path, const char *key, char *out, size_t size,
                    ib_error *err) {
    const char *v = ib_st_metadata(f, key);
    if (!v || strlen(v) >= size) {
        return ib_fail(err, IB_E_FORMAT, "%s: not a pool member's: its metadata has no fitting '%s'", path,
                       key);
    }
    memcpy(out, v, strlen(v) + 1);
    return IB_OK;
}

static int get_number(const ib_st *f, const char *path, const number *what, ib_member *m, ib_error *err) {
    char text[TEXT], *end;
    int rc = get_text(f, path, what->key, text, sizeof text, err);
    if (rc) {
        return rc;
    }
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0 || v > most_number) {
        return ib_fail(err, IB_E_FORMAT, "%s: '%s' is '%.30s', expected a whole number from 0 to 2^62", path,
                       what->key, text);
    }
    memcpy((char *)m + what->offset, &(int64_t){v}, sizeof(int64_t));
    return IB_OK;
}

/* The name in the file against the file's own: a copy under another name would count twice. */
static int check_name(const ib_member *m, const char *path, ib_error *err) {
    const char *base = ib_basename(path);
    size_t n = strlen(m->name);
    if (!ib_member_name_fits(m->name)) {
        return ib_fail(err, IB_E_FORMAT, "%s: its worker's name is not one", path);
    }
    return !strncmp(base, m->name, n) && !strcmp(base + n, IB_POOL_SUFFIX)
               ? IB_OK
               : ib_fail(err, IB_E_FORMAT, "%s: a copy of what worker %s published, not a worker's own file",
                         path, m->name);
}

static int read_open(ib_member *m, const ib_st *f, const char *path, ib_error *err) {
    const char *format = ib_st_metadata(f, format_key), *skill = ib_st_metadata(f, "pool.skill");
    ib_adapter *a = NULL;
    const void *bytes = ib_st_bytes(f, &m->bytes);
    if (!format) {
        return ib_fail(err, IB_E_FORMAT, "%s: not a pool member's: its metadata has no '%s'", path,
                       format_key);
    }
    int rc = ib_seal_check_bytes(bytes, m->bytes, path, err);
    if (!rc && strcmp(format, format_version)) {
        rc = ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: of pool format %.20s, this version reads format %s: join with workers of one version", path,
            format, format_version);
    }
    rc = rc ? rc : get_text(f, path, "pool.worker", m->name, sizeof m->name, err);
    rc = rc ? rc : get_text(f, path, "pool.token", m->token, sizeof m->token, err);
    for (size_t i = 0; !rc && i < NUMBERS; i++) {
        rc = get_number(f, path, &numbers[i], m, err);
    }
    rc = rc ? rc : check_name(m, path, err);
    rc = rc ? rc : ib_adapter_from(&a, f, path, err);
    if (rc) {
        return rc;
    }
    m->skill = skill ? strtod(skill, NULL) : NAN;
    m->config = *ib_adapter_config_of(a);
    m->params = ib_adapter_param_count(a);
    rc = ib_alloc_floats(&m->weights, m->params, "a pool member's weights", err);
    if (!rc) {
        memcpy(m->weights, ib_adapter_params(a), m->params * sizeof *m->weights);
    }
    ib_adapter_free(&a);
    return rc;
}

bool ib_member_is_other(const char *path) {
    enum { NEAR = 1 << 16 }; /* the metadata stand at the head */
    char *head = malloc(NEAR);
    FILE *f = head && ib_is_file(path) ? fopen(path, "rbe") : NULL;
    size_t n = f ? fread(head, 1, NEAR, f) : 0;
    bool other = n && !memmem(head, n, format_key, sizeof format_key - 1);
    if (f) {
        fclose(f);
    }
    free(head);
    return other;
}

int ib_member_read(ib_member *m, const char *path, size_t most_bytes, ib_error *err) {
    ib_st *f = NULL;
    *m = (ib_member){0};
    int rc = ib_st_open_copied(&f, path, most_bytes, err);
    rc = rc ? rc : read_open(m, f, path, err);
    ib_st_close(&f);
    if (rc) {
        ib_member_free(m);
    }
    return rc;
}

int ib_member_fits(const ib_member *m, const ib_adapter_config *mine, const char *path, ib_error *err) {
    const ib_adapter_config *c = &m->config;
    if (strcmp(c->space_id, mine->space_id)) {
        return ib_fail(err, IB_E_MISMATCH, "%s: of the space '%s', expected '%s'", path, c->space_id,
                       mine->space_id);
    }
    if (!ib_pixel_model_same(c->guide, mine->guide)) {
        return ib_fail(err, IB_E_MISMATCH, "%s: trained with guides of %s, expected those of %s", path,
                       ib_pixel_model_name(c->guide).text, ib_pixel_model_name(mine->guide).text);
    }
    if (c->layout != mine->layout || c->width != mine->width || c->fine != mine->fine ||
        c->coarse != mine->coarse || c->fine_blocks != mine->fine_blocks ||
        c->coarse_blocks != mine->coarse_blocks || c->motion != mine->motion) {
        return ib_fail(
            err, IB_E_MISMATCH,
            "%s: of another architecture (%d and %d channels, %d and %d blocks%s), expected %d and %d "
            "channels, %d and %d blocks%s: another preset?",
            path, c->fine, c->coarse, c->fine_blocks, c->coarse_blocks, c->motion ? ", motion" : "",
            mine->fine, mine->coarse, mine->fine_blocks, mine->coarse_blocks, mine->motion ? ", motion" : "");
    }
    return IB_OK;
}

void ib_member_free(ib_member *m) {
    ib_free(m->weights);
    *m = (ib_member){0};
}
