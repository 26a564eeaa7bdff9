#include "merge/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adapter/adapter_file.h"
#include "weights/average.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "train/state.h"

/* HDF5 files begin with this (a state may, like any HDF5 file, only be one without a user block). */
static bool is_hdf5(const char *path) {
    static const char signature[8] = "\211HDF\r\n\032\n";
    char head[8] = "";
    FILE *f = ib_is_file(path) ? fopen(path, "rbe") : NULL;
    bool is = f && fread(head, 1, sizeof head, f) == sizeof head && !memcmp(head, signature, sizeof head);
    if (f) {
        fclose(f);
    }
    return is;
}

static void name_run(ib_source *s, const char *data, const char *preset, const char *optimiser,
                     const char *rate, const char *batch, const char *seed) {
    if (data && preset && optimiser && rate && batch && seed) {
        snprintf(s->run, sizeof s->run, "data %s, preset %s, %s, rate %s, batch %s, seed %s", data, preset,
                 optimiser, rate, batch, seed);
    }
}

static int open_state(ib_source *s, bool raw, ib_error *err) {
    ib_state st;
    char rate[32], batch[24], seed[24];
    int rc = ib_state_load(&st, s->path, err);
    if (rc) {
        return rc;
    }
    ib_adapter *outline;
    s->config = st.config;
    s->step = st.step;
    snprintf(rate, sizeof rate, "%g", st.plan.rate);
    snprintf(batch, sizeof batch, "%lld", (long long)st.plan.batch);
    snprintf(seed, sizeof seed, "%lld", (long long)st.plan.seed);
    name_run(s, st.plan.data, st.plan.preset, st.plan.optimiser, rate, batch, seed);
    if (!(rc = ib_adapter_outline(&outline, &st.config, err))) {
        if (ib_adapter_param_count(outline) != st.params) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: holds %zu parameters, its architecture has %zu", s->path,
                         st.params, ib_adapter_param_count(outline));
        }
        ib_adapter_free(&outline);
    }
    if (!rc) {
        float **chosen = raw ? &st.weights : &st.ema;
        s->params = *chosen;
        *chosen = NULL;
    }
    ib_state_free(&st);
    return rc;
}

static int open_adapter(ib_source *s, ib_error *err) {
    ib_adapter *outline;
    int rc = ib_st_open(&s->file, s->path, err);
    rc = rc ? rc : ib_adapter_read_config(s->file, s->path, &s->config, err);
    if (rc) {
        return rc;
    }
    if ((rc = ib_adapter_outline(&outline, &s->config, err))) {
        return ib_error_prefix(err, rc, "%s", s->path);
    }
    rc = ib_adapter_check_tensors(outline, s->file, s->path, err);
    ib_adapter_free(&outline);
    const char *step = ib_st_metadata(s->file, "train.steps");
    s->step = step ? strtoll(step, NULL, 10) : -1;
    name_run(s, ib_st_metadata(s->file, "train.data"), ib_st_metadata(s->file, "train.preset"),
             ib_st_metadata(s->file, "train.optimiser"), ib_st_metadata(s->file, "train.rate"),
             ib_st_metadata(s->file, "train.batch"), ib_st_metadata(s->file, "train.seed"));
    return rc;
}

int ib_source_open(ib_source *s, const char *path, bool raw, ib_error *err) {
    struct stat st;
    *s = (ib_source){.step = -1};
    if (!(s->path = strdup(path))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    sha256_init(&s->sha);
    int rc = is_hdf5(path) ? open_state(s, raw, err) : open_adapter(s, err);
    if (!rc && !stat(path, &st)) {
        s->device = st.st_dev;
        s->inode = st.st_ino;
    }
    if (rc) {
        ib_source_close(s);
    }
    return rc;
}

void ib_source_close(ib_source *s) {
    ib_st_close(&s->file);
    ib_free(s->params);
    free(s->path);
    s->params = NULL;
    s->path = NULL;
}

bool ib_source_same(const ib_source *a, const ib_source *b) {
    return a->device == b->device && a->inode == b->inode;
}

int ib_source_read(const ib_source *s, const ib_param *p, size_t first, size_t n, float *out, ib_error *err) {
    if (s->params) {
        memcpy(out, s->params + p->offset + first, n * sizeof *out);
        return IB_OK; /* ib_state_load has looked at the values */
    }
    int rc = ib_st_to_f32_part(ib_st_find(s->file, p->name), first, n, out, err);
    if (!rc && !ib_params_finite(out, n)) {
        rc = ib_fail(err, IB_E_NONFINITE, "%s: the tensor '%s' holds a number that is not finite", s->path,
                     p->name);
    }
    return rc;
}

void ib_source_release(const ib_source *s, const ib_param *p, size_t first, size_t n) {
    if (!s->file) {
        return;
    }
    const ib_st_tensor *t = ib_st_find(s->file, p->name);
    size_t size = ib_dtype_bytes(t->dtype);
    ib_st_release(s->file, (const uint8_t *)t->data + first * size, n * size);
}

static void hash_to(ib_source *s, const uint8_t *begin, size_t end) {
    sha256_update(&s->sha, end - s->hashed, begin + s->hashed);
    s->hashed = end;
}

void ib_source_done(ib_source *s, const ib_param *p, size_t first, size_t n) {
    size_t size, bytes;
    if (!s->file) {
        return;
    }
    const ib_st_tensor *t = ib_st_find(s->file, p->name);
    const uint8_t *begin = ib_st_bytes(s->file, &bytes), *at = (const uint8_t *)t->data;
    size = ib_dtype_bytes(t->dtype);
    at += first * size;
    if (!s->hashed && (const void *)at == ib_st_at(s->file, 0)->data) {
        hash_to(s, begin, (size_t)(at - begin)); /* the header */
    }
    if (s->hashed == (size_t)(at - begin)) {
        hash_to(s, begin, s->hashed + n * size);
    }
}

int ib_source_digest(ib_source *s, ib_error *err) {
    enum { PIECE = 4 << 20 };
    uint8_t digest[SHA256_DIGEST_SIZE];
    size_t bytes;
    if (*s->sha256) {
        return IB_OK;
    }
    if (!s->file) {
        return ib_sha256_file(s->path, s->sha256, err);
    }
    const uint8_t *begin = ib_st_bytes(s->file, &bytes);
    while (s->hashed < bytes) {
        size_t at = s->hashed, n = bytes - at < PIECE ? bytes - at : PIECE;
        hash_to(s, begin, at + n);
        ib_st_release(s->file, begin + at, n);
    }
    sha256_digest(&s->sha, sizeof digest, digest);
    ib_text_hex(digest, sizeof digest, s->sha256);
    return IB_OK;
}
