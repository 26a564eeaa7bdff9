/* judge.safetensors: what a judge has learned, and of what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "search/judge.h"

static const char format_key[] = "inbetween.judge", id_key[] = "inbetween.judge_inputs",
                  kind_key[] = "inbetween.judge_kind", space_key[] = "inbetween.space",
                  guide_key[] = "inbetween.guide", adapter_key[] = "inbetween.adapter_sha256",
                  temperature_key[] = "inbetween.temperature", version[] = "2";

typedef struct part {
    const char *name;
    int rank;
    int64_t shape[2];
    size_t offset; /* of the floats in ib_search_judge */
} part;

static size_t param(size_t i) {
    return offsetof(ib_search_judge, params) + i * sizeof(float);
}

enum { PARTS = 8 };
static void list_parts(part p[PARTS]) {
    const int64_t in = IB_JUDGE_INPUTS, w = IB_JUDGE_WIDTH;
    p[0] = (part){"input.mean", 1, {in}, offsetof(ib_search_judge, mean)};
    p[1] = (part){"input.scale", 1, {in}, offsetof(ib_search_judge, scale)};
    p[2] = (part){"into.weight", 2, {in, w}, param(IB_JUDGE_INTO)};
    p[3] = (part){"into.bias", 1, {w}, param(IB_JUDGE_INTO_BIAS)};
    p[4] = (part){"hidden.weight", 2, {w, w}, param(IB_JUDGE_HIDDEN)};
    p[5] = (part){"hidden.bias", 1, {w}, param(IB_JUDGE_HIDDEN_BIAS)};
    p[6] = (part){"out.weight", 1, {w}, param(IB_JUDGE_OUT)};
    p[7] = (part){"out.bias", 1, {1}, param(IB_JUDGE_OUT_BIAS)};
}

static size_t count_of(const part *p) {
    return (size_t)p->shape[0] * (p->rank > 1 ? (size_t)p->shape[1] : 1);
}

int ib_search_judge_save(const ib_search_judge *j, const char *path, ib_error *err) {
    part p[PARTS];
    ib_st_tensor t[PARTS];
    char temperature[32];
    list_parts(p);
    for (size_t i = 0; i < PARTS; i++) {
        t[i] = (ib_st_tensor){.name = p[i].name,
                              .dtype = IB_F32,
                              .rank = p[i].rank,
                              .shape = {p[i].shape[0], p[i].shape[1]},
                              .elements = count_of(&p[i]),
                              .data = (const char *)j + p[i].offset,
                              .bytes = count_of(&p[i]) * sizeof(float)};
    }
    snprintf(temperature, sizeof temperature, "%.9g", (double)j->temperature);
    const ib_st_meta meta[] = {{format_key, version},         {id_key, IB_JUDGE_ID},
                               {kind_key, j->kind},           {space_key, j->space_id},
                               {guide_key, j->guide},         {adapter_key, j->adapter_sha256},
                               {temperature_key, temperature}};
    return ib_st_write(path, t, PARTS, meta, sizeof meta / sizeof *meta, err);
}

static int read_text(const ib_st *f, const char *path, const char *key, char *out, size_t room,
                     ib_error *err) {
    const char *v = ib_st_metadata(f, key);
    if (!v) {
        return ib_fail(err, IB_E_FORMAT, "%s: not a judge of in-betweens: its metadata has no '%s'", path,
                       key);
    }
    return (size_t)snprintf(out, room, "%s", v) < room
               ? IB_OK
               : ib_fail(err, IB_E_FORMAT, "%s: its '%s' is longer than %zu characters", path, key, room - 1);
}

static int read_meta(const ib_st *f, const char *path, ib_search_judge *j, ib_error *err) {
    char text[64], *end;
    int rc = read_text(f, path, format_key, text, sizeof text, err);
    if (!rc && strcmp(text, version)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: a judge of format %s, this version reads format %s: train it anew", path, text,
                     version);
    }
    rc = rc ? rc : read_text(f, path, id_key, text, sizeof text, err);
    if (!rc && strcmp(text, IB_JUDGE_ID)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: a judge of the inputs '%s', this version computes '%s': train it anew", path, text,
                     IB_JUDGE_ID);
    }
    rc = rc ? rc : read_text(f, path, kind_key, j->kind, sizeof j->kind, err);
    rc = rc ? rc : read_text(f, path, space_key, j->space_id, sizeof j->space_id, err);
    rc = rc ? rc : read_text(f, path, guide_key, j->guide, sizeof j->guide, err);
    rc = rc ? rc : read_text(f, path, adapter_key, j->adapter_sha256, sizeof j->adapter_sha256, err);
    rc = rc ? rc : read_text(f, path, temperature_key, text, sizeof text, err);
    if (rc) {
        return rc;
    }
    j->temperature = strtof(text, &end);
    return end != text && !*end && j->temperature > 1e-6f && j->temperature < 1e6f
               ? IB_OK
               : ib_fail(err, IB_E_FORMAT, "%s: '%s' is '%s', not a temperature", path, temperature_key,
                         text);
}

static int read_part(const ib_st *f, const char *path, const part *p, ib_search_judge *j, ib_error *err) {
    const ib_st_tensor *t = ib_st_find(f, p->name);
    char want[96], got[96];
    if (!t) {
        return ib_fail(err, IB_E_FORMAT, "%s: the tensor '%s' is missing", path, p->name);
    }
    if (t->rank != p->rank || memcmp(t->shape, p->shape, (size_t)p->rank * sizeof *p->shape)) {
        ib_text_shape(p->shape, p->rank, want, sizeof want);
        ib_text_shape(t->shape, t->rank, got, sizeof got);
        return ib_fail(err, IB_E_FORMAT, "%s: the tensor '%s' has the shape %s, expected %s", path, p->name,
                       got, want);
    }
    float *out = (float *)(void *)((char *)j + p->offset);
    int rc = ib_st_to_f32(t, out, err);
    if (rc) {
        return ib_error_prefix(err, rc, "%s", path);
    }
    for (size_t i = 0; i < count_of(p); i++) {
        if (!isfinite(out[i])) {
            return ib_fail(err, IB_E_NONFINITE, "%s: the tensor '%s' holds a number that is not finite", path,
                           p->name);
        }
    }
    return IB_OK;
}

int ib_search_judge_open(ib_search_judge **out, const char *path, ib_error *err) {
    ib_st *f = NULL;
    part p[PARTS];
    list_parts(p);
    *out = NULL;
    int rc = ib_st_open(&f, path, err);
    ib_search_judge *j = rc ? NULL : ib_calloc(1, sizeof *j);
    if (!rc && !j) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a judge", path);
    }
    rc = rc ? rc : read_meta(f, path, j, err);
    for (size_t i = 0; i < PARTS && !rc; i++) {
        rc = read_part(f, path, &p[i], j, err);
    }
    if (!rc && ib_st_count(f) != PARTS) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: %zu tensors, a judge has %d", path, ib_st_count(f), PARTS);
    }
    ib_st_close(&f);
    if (rc) {
        ib_free(j);
        return rc;
    }
    *out = j;
    return IB_OK;
}

void ib_search_judge_free(ib_search_judge **j) {
    ib_free(*j);
    *j = NULL;
}

int ib_search_judge_check(const ib_search_judge *j, const char *path, const char *space_id, const char *what,
                          ib_error *err) {
    return strcmp(j->space_id, space_id)
               ? ib_fail(err, IB_E_MISMATCH, "%s: a judge of the space '%s', but %s is of '%s'", path,
                         j->space_id, what, space_id)
               : IB_OK;
}
