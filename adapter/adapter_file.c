/* adapter.safetensors: the weights under their names, the architecture in the metadata (docs/files.md). */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter_file.h"
#include "adapter/pixel_model.h"
#include "adapter/private.h"
#include "base/memory.h"
#include "base/text.h"
#include "latent/geometry.h"
#include "latent/layout.h"

static const char format_version[] = "2", geometry_key[] = "inbetween.geometry",
                  features_key[] = "inbetween.features", trust_key[] = "inbetween.trust",
                  guide_key[] = "inbetween.guide", strengths_key[] = "inbetween.strengths";

/* The integer fields of the config and the keys that they are stored under. */
typedef struct int_key {
    const char *key;
    size_t offset;
} int_key;

static const int_key int_keys[] = {
    {"inbetween.width", offsetof(ib_adapter_config, width)},
    {"inbetween.fine", offsetof(ib_adapter_config, fine)},
    {"inbetween.coarse", offsetof(ib_adapter_config, coarse)},
    {"inbetween.fine_blocks", offsetof(ib_adapter_config, fine_blocks)},
    {"inbetween.coarse_blocks", offsetof(ib_adapter_config, coarse_blocks)},
};
enum { INT_KEYS = sizeof int_keys / sizeof *int_keys };

const char *ib_adapter_features(const ib_adapter_config *c) {
    return c->motion ? "between:2 " IB_MOTION_ID : *c->guide ? "between:2 guide:1" : "between:2";
}

void ib_adapter_describe(const ib_adapter_config *c, ib_adapter_meta *m) {
    size_t n = 0;
    m->pair[n++] = (ib_st_meta){"inbetween.format", format_version};
    m->pair[n++] = (ib_st_meta){"inbetween.space", c->space_id};
    m->pair[n++] = (ib_st_meta){geometry_key, ib_geometry_id(ib_geometry_of(c->space_id))};
    m->pair[n++] = (ib_st_meta){features_key, ib_adapter_features(c)};
    snprintf(m->trust, sizeof m->trust, "%.17g", c->trust);
    m->pair[n++] = (ib_st_meta){trust_key, m->trust};
    m->pair[n++] = (ib_st_meta){"inbetween.layout", ib_layout_name(c->layout)};
    m->pair[n++] = (ib_st_meta){"inbetween.motion", c->motion ? "yes" : "no"};
    for (size_t i = 0; i < INT_KEYS; i++) {
        int value;
        memcpy(&value, (const char *)c + int_keys[i].offset, sizeof value);
        snprintf(m->number[i], sizeof m->number[i], "%d", value);
        m->pair[n++] = (ib_st_meta){int_keys[i].key, m->number[i]};
    }
    if (*c->guide) {
        m->pair[n++] = (ib_st_meta){guide_key, c->guide};
    }
    if (c->strengths.bins) {
        ib_strengths_write(&c->strengths, m->strengths);
        m->pair[n++] = (ib_st_meta){strengths_key, m->strengths};
    }
    m->pair[n++] = (ib_st_meta){"modelspec.sai_model_spec", "1.0.0"};
    m->pair[n++] = (ib_st_meta){"modelspec.architecture", "inbetween-v2/in-between"};
    m->n = n;
}

int ib_adapter_check_same(const ib_adapter_config *a, const char *name_a, const ib_adapter_config *b,
                          const char *name_b, ib_error *err) {
    ib_adapter_config mine = *a, other = *b; /* without what may differ, so that the pairs are alike */
    ib_adapter_meta x, y;
    mine.strengths.bins = other.strengths.bins = 0;
    memcpy(other.guide, mine.guide, sizeof other.guide);
    ib_adapter_describe(&mine, &x);
    ib_adapter_describe(&other, &y);
    if (strcmp(a->space_id, b->space_id) != 0) {
        return ib_fail(err, IB_E_MISMATCH, "%s: belongs to the space '%s', but %s to '%s'", name_b,
                       b->space_id, name_a, a->space_id);
    }
    if (!ib_guide_same_model(a->guide, b->guide)) {
        return ib_fail(err, IB_E_MISMATCH, "%s: was trained with guides of %s, but %s with guides of %s",
                       name_b, ib_pixel_model_name(b->guide).text, name_a,
                       ib_pixel_model_name(a->guide).text);
    }
    for (size_t i = 0; i < x.n; i++) {
        if (x.pair[i].value != x.trust && strcmp(x.pair[i].value, y.pair[i].value) != 0) {
            return ib_fail(err, IB_E_MISMATCH, "%s: of another architecture than %s: its %s is %s, not %s",
                           name_b, name_a, x.pair[i].key, y.pair[i].value, x.pair[i].value);
        }
    }
    return 0;
}

int ib_adapter_save(const ib_adapter *a, const char *path, const ib_st_meta *meta, size_t n_meta,
                    ib_error *err) {
    return ib_adapter_save_as(a, path, IB_F32, meta, n_meta, err);
}

int ib_adapter_save_as(const ib_adapter *a, const char *path, ib_dtype dtype, const ib_st_meta *meta,
                       size_t n_meta, ib_error *err) {
    int rc = 0;
    uint16_t *half = NULL;
    const float most = dtype == IB_F16 ? 65504 : FLT_MAX;
    ib_adapter_meta own;
    ib_adapter_describe(&a->config, &own);
    ib_st_tensor *t = ib_calloc(a->tensors, sizeof *t);
    ib_st_meta *m = ib_calloc(n_meta + own.n, sizeof *m);
    if (!t || !m) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for the list of tensors", path);
        goto done;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!(fabsf(a->params[i]) <= most)) {
            rc = ib_fail(err, IB_E_NONFINITE,
                         "%s: not written, the weights hold a number that is not finite%s", path,
                         dtype == IB_F16 ? " as a half" : "");
            goto done;
        }
    }
    if (dtype == IB_F16) {
        if (!(half = ib_calloc(a->count, sizeof *half))) {
            rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for the weights as halves", path);
            goto done;
        }
        ib_f32_to_f16(a->params, half, a->count);
    }
    for (size_t i = 0; i < a->tensors; i++) {
        const ib_param *p = &a->tensor[i];
        t[i] = (ib_st_tensor){.name = p->name, .dtype = dtype, .rank = p->rank, .elements = p->count};
        memcpy(t[i].shape, p->shape, (size_t)p->rank * sizeof *p->shape);
        t[i].data = half ? (const void *)(half + p->offset) : (const void *)(a->params + p->offset);
        t[i].bytes = p->count * ib_dtype_bytes(dtype);
    }
    memcpy(m, own.pair, own.n * sizeof *m);
    if (n_meta) {
        memcpy(m + own.n, meta, n_meta * sizeof *m);
    }
    rc = ib_st_write(path, t, a->tensors, m, own.n + n_meta, err);
done:
    ib_free(half);
    ib_free(t);
    ib_free(m);
    return rc;
}

static int metadata(const ib_st *f, const char *path, const char *key, const char **value, ib_error *err) {
    *value = ib_st_metadata(f, key);
    return *value ? 0
                  : ib_fail(err, IB_E_FORMAT, "%s: not an in-between adapter: its metadata has no '%s'", path,
                            key);
}

int ib_adapter_read_config(const ib_st *f, const char *path, ib_adapter_config *c, ib_error *err) {
    const char *v;
    int rc;
    memset(c, 0, sizeof *c);
    if ((rc = metadata(f, path, "inbetween.format", &v, err))) {
        return rc;
    }
    if (strcmp(v, format_version) != 0) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: an adapter of format %.20s, this version reads format %s: train it anew", path, v,
                       format_version);
    }
    if ((rc = metadata(f, path, "inbetween.space", &v, err))) {
        return rc;
    }
    if (strlen(v) >= sizeof c->space_id) {
        return ib_fail(err, IB_E_FORMAT, "%s: the space id is longer than %zu characters", path,
                       sizeof c->space_id - 1);
    }
    snprintf(c->space_id, sizeof c->space_id, "%s", v);
    const char *ours = ib_geometry_id(ib_geometry_of(c->space_id));
    if ((rc = metadata(f, path, geometry_key, &v, err))) {
        return rc;
    }
    if (strcmp(v, ours) != 0) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: of the geometry '%.40s', this version joins latents of the space '%s' by '%s'",
                       path, v, c->space_id, ours);
    }
    if ((rc = metadata(f, path, "inbetween.layout", &v, err))) {
        return rc;
    }
    if (!ib_layout_named(v, &c->layout)) {
        return ib_fail(err, IB_E_FORMAT, "%s: unknown layout '%.20s'", path, v);
    }
    if ((rc = metadata(f, path, "inbetween.motion", &v, err))) {
        return rc;
    }
    c->motion = strcmp(v, "yes") == 0;
    if ((v = ib_st_metadata(f, guide_key))) {
        if (!*v || strlen(v) >= sizeof c->guide) {
            return ib_fail(err, IB_E_FORMAT, "%s: '%s' is not the id of a pixel model", path, guide_key);
        }
        snprintf(c->guide, sizeof c->guide, "%s", v);
    }
    if ((v = ib_st_metadata(f, strengths_key)) && !ib_strengths_read(v, &c->strengths)) {
        return ib_fail(err, IB_E_FORMAT, "%s: '%s' holds no strengths: '%.60s'", path, strengths_key, v);
    }
    if ((rc = metadata(f, path, features_key, &v, err))) {
        return rc;
    }
    if (strcmp(v, ib_adapter_features(c)) != 0) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: an adapter of the features '%.60s', this version computes '%s': train it anew",
                       path, v, ib_adapter_features(c));
    }
    if ((rc = metadata(f, path, trust_key, &v, err))) {
        return rc;
    }
    char *rest;
    c->trust = strtod(v, &rest);
    if (rest == v || *rest || !(c->trust >= 0 && c->trust <= 1)) {
        return ib_fail(err, IB_E_FORMAT, "%s: '%s' is '%.20s', expected 0 to 1", path, trust_key, v);
    }
    for (size_t i = 0; i < INT_KEYS; i++) {
        if ((rc = metadata(f, path, int_keys[i].key, &v, err))) {
            return rc;
        }
        char *end;
        errno = 0;
        long number = strtol(v, &end, 10);
        if (errno || end == v || *end || number < 0 || number > 1 << 20) {
            return ib_fail(err, IB_E_FORMAT, "%s: '%s' is '%.20s', not a valid size", path, int_keys[i].key,
                           v);
        }
        int value = (int)number;
        memcpy((char *)c + int_keys[i].offset, &value, sizeof value);
    }
    if ((rc = ib_adapter_config_check(c, err))) {
        return ib_error_prefix(err, rc, "%s", path);
    }
    return 0;
}

static int check_tensor(const ib_param *p, const ib_st *f, const char *path, ib_error *err) {
    const ib_st_tensor *t = ib_st_find(f, p->name);
    char want[96], got[96];
    if (!t) {
        return ib_fail(err, IB_E_FORMAT, "%s: the tensor '%s' is missing", path, p->name);
    }
    if (t->rank != p->rank || memcmp(t->shape, p->shape, (size_t)p->rank * sizeof *p->shape) != 0) {
        ib_text_shape(p->shape, p->rank, want, sizeof want);
        ib_text_shape(t->shape, t->rank, got, sizeof got);
        return ib_fail(err, IB_E_FORMAT, "%s: the tensor '%s' has the shape %s, expected %s", path, p->name,
                       got, want);
    }
    if (t->dtype != IB_F32 && t->dtype != IB_F16 && t->dtype != IB_BF16) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: the tensor '%s' is %s, expected F32, F16 or BF16", path,
                       p->name, ib_dtype_name(t->dtype));
    }
    return 0;
}

static bool has_tensor(const ib_adapter *a, const char *name) {
    for (size_t i = 0; i < a->tensors; i++) {
        if (strcmp(a->tensor[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

int ib_adapter_check_tensors(const ib_adapter *a, const ib_st *f, const char *path, ib_error *err) {
    for (size_t i = 0; i < a->tensors; i++) {
        int rc = check_tensor(&a->tensor[i], f, path, err);
        if (rc) {
            return rc;
        }
    }
    for (size_t i = 0; ib_st_count(f) != a->tensors && i < ib_st_count(f); i++) {
        if (!has_tensor(a, ib_st_at(f, i)->name)) {
            return ib_fail(err, IB_E_FORMAT, "%s: unexpected tensor '%.100s'", path, ib_st_at(f, i)->name);
        }
    }
    return 0;
}

static int read_tensor(ib_adapter *a, const ib_param *p, const ib_st *f, const char *path, ib_error *err) {
    int rc = ib_st_to_f32(ib_st_find(f, p->name), a->params + p->offset, err);
    if (rc) {
        return ib_error_prefix(err, rc, "%s", path);
    }
    for (size_t i = 0; i < p->count; i++) {
        if (!isfinite(a->params[p->offset + i])) {
            return ib_fail(err, IB_E_NONFINITE, "%s: the tensor '%s' holds a number that is not finite", path,
                           p->name);
        }
    }
    return 0;
}

int ib_adapter_from(ib_adapter **out, const ib_st *f, const char *path, ib_error *err) {
    ib_adapter *a = NULL;
    ib_adapter_config config;
    *out = NULL;
    int rc = ib_adapter_read_config(f, path, &config, err);
    if (rc) {
        return rc;
    }
    /* a file that is not whole is found out before a model is allocated for it */
    if ((rc = ib_adapter_outline(&a, &config, err))) {
        return ib_error_prefix(err, rc, "%s", path);
    }
    rc = ib_adapter_check_tensors(a, f, path, err);
    ib_adapter_free(&a);
    if (rc) {
        return rc;
    }
    if ((rc = ib_adapter_blank(&a, &config, err))) {
        return ib_error_prefix(err, rc, "%s", path);
    }
    for (size_t i = 0; i < a->tensors; i++) {
        if ((rc = read_tensor(a, &a->tensor[i], f, path, err))) {
            ib_adapter_free(&a);
            return rc;
        }
    }
    ib_adapter_refresh(a);
    *out = a;
    return 0;
}

int ib_adapter_open(ib_adapter **out, const char *path, ib_error *err) {
    ib_st *f = NULL;
    *out = NULL;
    int rc = ib_st_open(&f, path, err);
    rc = rc ? rc : ib_adapter_from(out, f, path, err);
    ib_st_close(&f);
    return rc;
}
