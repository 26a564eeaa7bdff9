#include "train/state.h"
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/version.h"
#include "latent/hdf5.h"
#include "latent/geometry.h"
#include "latent/layout.h"

enum { VERSION = 4 };
static const char kind_text[] = "inbetween training state";

/* The scalar fields, each an attribute of the root. */
enum { TEXT, LATER_TEXT, INT, INT64, REAL, FLAG };
typedef struct field {
    const char *name;
    int kind;            /* one of the above; LATER_TEXT: the first states of this format have none */
    size_t offset, size; /* size: of a text's array */
    int64_t min, max;    /* of whole numbers */
} field;

#define AT(member) offsetof(ib_state, member)
#define TEXT_AT(name, member)                                                                                \
    { name, TEXT, AT(member), sizeof((ib_state *)0)->member, 0, 0 }
static const field fields[] = {
    TEXT_AT("space", config.space_id),
    {"width", INT, AT(config.width), 0, 1, 1 << 20},
    {"fine", INT, AT(config.fine), 0, 1, 1 << 20},
    {"coarse", INT, AT(config.coarse), 0, 0, 1 << 20},
    {"fine_blocks", INT, AT(config.fine_blocks), 0, 0, 1 << 10},
    {"coarse_blocks", INT, AT(config.coarse_blocks), 0, 0, 1 << 10},
    {"motion", FLAG, AT(config.motion), 0, 0, 1},
    {"trust", REAL, AT(config.trust), 0, 0, 0},
    TEXT_AT("guide", config.guide),
    {"best_score", REAL, AT(best_score), 0, 0, 0},
    {"best_step", INT64, AT(best_step), 0, 0, INT64_MAX},
    {"since_best", INT64, AT(since_best), 0, 0, INT64_MAX},
    {"strengths", TEXT, AT(strengths), IB_STRENGTHS_TEXT, 0, 0},
    TEXT_AT("preset", plan.preset),
    TEXT_AT("optimiser", plan.optimiser),
    TEXT_AT("data", plan.data),
    {"init", TEXT, AT(plan.init), sizeof((ib_state *)0)->plan.init, 0, 0},
    {"init_name", TEXT, AT(plan.init_name), sizeof((ib_state *)0)->plan.init_name, 0, 0},
    {"judge", LATER_TEXT, AT(plan.judge), sizeof((ib_state *)0)->plan.judge, 0, 0},
    {"batch", INT64, AT(plan.batch), 0, 1, 1 << 20},
    {"rate", REAL, AT(plan.rate), 0, 0, 0},
    {"weight_decay", REAL, AT(plan.weight_decay), 0, 0, 0},
    {"clip_norm", REAL, AT(plan.clip_norm), 0, 0, 0},
    {"ema_decay", REAL, AT(plan.ema_decay), 0, 0, 0},
    {"warmup_steps", INT64, AT(plan.warmup_steps), 0, 0, INT64_MAX},
    {"gap_min", INT64, AT(plan.gap_min), 0, 2, INT_MAX},
    {"gap_max", INT64, AT(plan.gap_max), 0, 2, INT_MAX},
    {"crop_width", INT64, AT(plan.crop_width), 0, 0, INT_MAX},
    {"crop_height", INT64, AT(plan.crop_height), 0, 0, INT_MAX},
    {"valid_fraction", REAL, AT(plan.valid_fraction), 0, 0, 0},
    {"seed", INT64, AT(plan.seed), 0, INT64_MIN, INT64_MAX},
    {"steps_total", INT64, AT(steps_total), 0, 0, INT64_MAX},
    {"minutes_total", REAL, AT(minutes_total), 0, 0, 0},
    {"step", INT64, AT(step), 0, 0, INT64_MAX},
    {"updates", INT64, AT(updates), 0, 0, INT64_MAX},
    {"samples", INT64, AT(samples), 0, 0, INT64_MAX},
    {"seconds", REAL, AT(seconds), 0, 0, 0},
    {"loss", REAL, AT(loss), 0, 0, 0},
    {"err_model", REAL, AT(err_model), 0, 0, 0},
    {"err_slerp", REAL, AT(err_slerp), 0, 0, 0},
    {"pool_name", TEXT, AT(pool.name), sizeof((ib_state *)0)->pool.name, 0, 0},
    {"pool_token", TEXT, AT(pool.token), sizeof((ib_state *)0)->pool.token, 0, 0},
    {"pool_serial", INT64, AT(pool.serial), 0, 0, INT64_MAX},
    {"pool_round", INT64, AT(pool.round), 0, 0, INT64_MAX},
    {"pool_fresh", INT64, AT(pool.fresh), 0, 0, INT64_MAX},
    {"pool_stream", INT64, AT(pool.stream), 0, 0, INT64_MAX},
    {"others_samples", INT64, AT(others_samples), 0, 0, INT64_MAX},
};
enum { FIELDS = sizeof fields / sizeof *fields };
static const char *const moment_names[IB_MAX_MOMENTS] = {"moment1", "moment2"};

int ib_state_alloc(ib_state *s, size_t params, int moments, ib_error *err) {
    int rc = ib_alloc_floats(&s->weights, params, "weights", err);
    s->params = params;
    s->moments = moments;
    rc = rc ? rc : ib_alloc_floats(&s->ema, params, "the mean of weights", err);
    for (int i = 0; !rc && i < moments; i++) {
        rc = ib_alloc_floats(&s->moment[i], params, "the optimiser", err);
    }
    return rc;
}

int ib_state_alloc_best(ib_state *s, ib_error *err) {
    return s->best ? IB_OK : ib_alloc_floats(&s->best, s->params, "the best weights", err);
}

int ib_state_alloc_outer(ib_state *s, ib_error *err) {
    return ib_alloc_floats(&s->outer, s->params, "the outer optimiser", err);
}

void ib_state_free(ib_state *s) {
    ib_free(s->weights);
    ib_free(s->ema);
    ib_free(s->outer);
    ib_free(s->best);
    for (size_t i = 0; i < IB_MAX_MOMENTS; i++) {
        ib_free(s->moment[i]);
    }
    free(s->valid);
    *s = (ib_state){0};
}

int ib_state_add_valid(ib_state *s, const ib_valid_point *p, ib_error *err) {
    ib_valid_point *more = realloc(s->valid, (s->valids + 1) * sizeof *more);
    if (!more) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the history of validation");
    }
    more[s->valids++] = *p;
    s->valid = more;
    return IB_OK;
}

/* How this build predicts and trains, which a run must go on with. */
typedef struct ways {
    const char *name, *own;
} ways;
enum { WAYS = 3 };

static void ways_of(const ib_state *s, ways w[WAYS]) {
    w[0] = (ways){"features", ib_adapter_features(&s->config)};
    w[1] = (ways){"geometry", ib_geometry_id(ib_geometry_of(s->config.space_id))};
    w[2] = (ways){"procedure", IB_TRAINING_PROCEDURE};
}

static int put_fields(hid_t file, const ib_state *s) {
    int rc =
        ib_hdf5_put_text(file, "kind", kind_text) | ib_hdf5_put_int(file, "format_version", VERSION) |
        ib_hdf5_put_text(file, "layout", ib_layout_name(s->config.layout)) |
        ib_hdf5_put_int(file, "params", (int64_t)s->params) | ib_hdf5_put_int(file, "moments", s->moments) |
        ib_hdf5_put_int(file, "valids", (int64_t)s->valids) | ib_hdf5_put_text(file, "program", ib_version());
    ways w[WAYS];
    ways_of(s, w);
    for (int i = 0; i < WAYS && !rc; i++) {
        rc = ib_hdf5_put_text(file, w[i].name, w[i].own);
    }
    for (size_t i = 0; i < FIELDS && !rc; i++) {
        const char *at = (const char *)s + fields[i].offset;
        switch (fields[i].kind) {
        case TEXT:
        case LATER_TEXT:
            rc = ib_hdf5_put_text(file, fields[i].name, at);
            break;
        case INT:
            rc = ib_hdf5_put_int(file, fields[i].name, *(const int *)(const void *)at);
            break;
        case INT64:
            rc = ib_hdf5_put_int(file, fields[i].name, *(const int64_t *)(const void *)at);
            break;
        case REAL:
            rc = ib_hdf5_put_real(file, fields[i].name, *(const double *)(const void *)at);
            break;
        case FLAG:
            rc = ib_hdf5_put_int(file, fields[i].name, *(const bool *)(const void *)at);
            break;
        }
    }
    return rc ? -1 : 0;
}

static int put_array(hid_t file, const char *name, hid_t stored, hid_t memory, int rank, const hsize_t *dims,
                     const void *data) {
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t set = space < 0 ? -1 : H5Dcreate2(file, name, stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int rc = set >= 0 && H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0 ? 0 : -1;
    if (set >= 0 && H5Dclose(set) < 0) {
        rc = -1;
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return rc;
}

static int put_floats(hid_t file, const char *name, const float *x, size_t n) {
    return put_array(file, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, (hsize_t[]){n}, x);
}

static int put_seal(hid_t file) {
    char seal[sizeof IB_SEAL_MARK + 64];
    snprintf(seal, sizeof seal, IB_SEAL_MARK "%064d", 0);
    return put_array(file, "seal", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, (hsize_t[]){sizeof seal - 1}, seal);
}

static int put_all(hid_t file, const ib_state *s) {
    int rc = put_fields(file, s);
    rc = rc ? rc : put_floats(file, "weights", s->weights, s->params);
    rc = rc ? rc : put_floats(file, "ema", s->ema, s->params);
    for (int i = 0; !rc && i < s->moments; i++) {
        rc = put_floats(file, moment_names[i], s->moment[i], s->params);
    }
    if (!rc && s->outer) {
        rc = put_floats(file, "outer", s->outer, s->params);
    }
    if (!rc && s->best) {
        rc = put_floats(file, "best", s->best, s->params);
    }
    if (!rc && s->valids) {
        rc = put_array(file, "valid", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, (hsize_t[]){s->valids, 3},
                       s->valid);
    }
    return rc ? rc : put_seal(file);
}

static int write_file(const ib_state *s, const char *temp, const char *path, ib_error *err) {
    ib_hdf5_lock();
    hid_t creation = ib_hdf5_creation(), access = ib_hdf5_access();
    hid_t file = creation < 0 || access < 0 ? -1 : H5Fcreate(temp, H5F_ACC_TRUNC, creation, access);
    int rc = file >= 0 ? put_all(file, s) : -1;
    if (file >= 0 && H5Fclose(file) < 0) {
        rc = -1;
    }
    if (rc) {
        rc = ib_hdf5_fail(err, IB_E_IO, "cannot write", path);
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    ib_hdf5_unlock();
    return rc;
}

static bool all_finite(const float *x, size_t n) {
    float zero = 0; /* stays 0 unless an element is not finite */
    for (size_t i = 0; i < n; i++) {
        zero += x[i] * 0.0f;
    }
    return zero == 0;
}

static int check_finite(const ib_state *s, const char *path, ib_error *err) {
    bool good = all_finite(s->weights, s->params) && all_finite(s->ema, s->params) &&
                (!s->outer || all_finite(s->outer, s->params)) &&
                (!s->best || all_finite(s->best, s->params));
    for (int i = 0; good && i < s->moments; i++) {
        good = all_finite(s->moment[i], s->params);
    }
    return good ? IB_OK
                : ib_fail(err, IB_E_NONFINITE, "%s: step %lld has weights or moments that are not finite",
                          path, (long long)s->step);
}

int ib_state_save(const ib_state *s, const char *path, ib_error *err) {
    ib_pending p = {0};
    int rc = check_finite(s, path, err);
    if (rc || (rc = ib_pending_begin(&p, path, err))) {
        return rc;
    }
    rc = write_file(s, p.temp, path, err);
    if (!rc && (rc = ib_seal_write(p.temp, err))) {
        ib_error_prefix(err, rc, "%s", path);
    }
    if (rc) {
        ib_pending_abort(&p);
        return rc;
    }
    return ib_pending_publish(&p, err);
}

static int get_field(ib_state *s, hid_t file, const char *path, const field *f, ib_error *err) {
    char *at = (char *)s + f->offset;
    int64_t whole = 0;
    int rc;
    if (f->kind == LATER_TEXT && H5Aexists(file, f->name) <= 0) {
        return IB_OK;
    }
    if (f->kind == TEXT || f->kind == LATER_TEXT) {
        return ib_hdf5_get_text(file, path, f->name, at, f->size, err);
    }
    if (f->kind == REAL) {
        return ib_hdf5_get_real(file, path, f->name, (double *)(void *)at, err);
    }
    rc = ib_hdf5_get_int(file, path, f->name, f->min, f->max, &whole, err);
    if (rc) {
        return rc;
    }
    if (f->kind == INT64) {
        *(int64_t *)(void *)at = whole;
    } else if (f->kind == INT) {
        *(int *)(void *)at = (int)whole;
    } else {
        *(bool *)(void *)at = whole != 0;
    }
    return IB_OK;
}

static int get_layout(ib_state *s, hid_t file, const char *path, ib_error *err) {
    char text[32];
    int rc = ib_hdf5_get_text(file, path, "layout", text, sizeof text, err);
    if (rc || ib_layout_named(text, &s->config.layout)) {
        return rc;
    }
    return ib_fail(err, IB_E_FORMAT, "%s: there is no layout '%s'", path, text);
}

static int check_ways(const ib_state *s, hid_t file, const char *path, ib_error *err) {
    char text[128];
    ways w[WAYS];
    int rc = IB_OK;
    ways_of(s, w);
    for (int i = 0; i < WAYS && !rc; i++) {
        rc = ib_hdf5_get_text(file, path, w[i].name, text, sizeof text, err);
        if (!rc && strcmp(text, w[i].own)) {
            rc = ib_fail(err, IB_E_UNSUPPORTED, "%s: its %s is '%s', this version's is '%s': begin a new run",
                         path, w[i].name, text, w[i].own);
        }
    }
    return rc;
}

static int get_array(hid_t file, const char *path, const char *name, H5T_class_t class, hid_t memory,
                     int rank, const hsize_t *dims, void *data, ib_error *err) {
    hsize_t found[2] = {0, 0};
    int rc = IB_E_FORMAT;
    hid_t set = H5Lexists(file, name, H5P_DEFAULT) > 0 ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
    hid_t space = set < 0 ? -1 : H5Dget_space(set), type = set < 0 ? -1 : H5Dget_type(set);
    if (space < 0 || type < 0 || H5Tget_class(type) != class || H5Sget_simple_extent_ndims(space) != rank ||
        H5Sget_simple_extent_dims(space, found, NULL) != rank || found[0] != dims[0] ||
        (rank == 2 && found[1] != dims[1])) {
        ib_fail(err, rc, "%s: data set '%s' is missing or has another shape than expected", path, name);
    } else if (H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        ib_fail(err, rc, "%s: data set '%s' cannot be read", path, name);
    } else {
        rc = IB_OK;
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (set >= 0) {
        H5Dclose(set);
    }
    H5Eclear2(H5E_DEFAULT);
    return rc;
}

static int get_floats(hid_t file, const char *path, const char *name, float *x, size_t n, ib_error *err) {
    return get_array(file, path, name, H5T_FLOAT, H5T_NATIVE_FLOAT, 1, (hsize_t[]){n}, x, err);
}

static int get_arrays(ib_state *s, hid_t file, const char *path, int64_t bytes, ib_error *err) {
    int64_t params, moments, valids;
    int rc = ib_hdf5_get_int(file, path, "params", 1, bytes / 8, &params,
                             err); /* weights and ema must fit into the file */
    rc = rc ? rc : ib_hdf5_get_int(file, path, "moments", 0, IB_MAX_MOMENTS, &moments, err);
    rc = rc ? rc : ib_hdf5_get_int(file, path, "valids", 0, bytes / 24, &valids, err);
    rc = rc ? rc : ib_state_alloc(s, (size_t)params, (int)moments, err);
    rc = rc ? rc : get_floats(file, path, "weights", s->weights, s->params, err);
    rc = rc ? rc : get_floats(file, path, "ema", s->ema, s->params, err);
    for (int i = 0; !rc && i < s->moments; i++) {
        rc = get_floats(file, path, moment_names[i], s->moment[i], s->params, err);
    }
    if (!rc && H5Lexists(file, "outer", H5P_DEFAULT) > 0) {
        rc = ib_state_alloc_outer(s, err);
        rc = rc ? rc : get_floats(file, path, "outer", s->outer, s->params, err);
    }
    if (!rc && H5Lexists(file, "best", H5P_DEFAULT) > 0) {
        rc = ib_state_alloc_best(s, err);
        rc = rc ? rc : get_floats(file, path, "best", s->best, s->params, err);
    }
    if (rc || !valids) {
        return rc;
    }
    s->valid = calloc((size_t)valids, sizeof *s->valid);
    s->valids = (size_t)valids;
    return s->valid ? get_array(file, path, "valid", H5T_FLOAT, H5T_NATIVE_DOUBLE, 2,
                                (hsize_t[]){s->valids, 3}, s->valid, err)
                    : ib_fail(err, IB_E_MEMORY, "out of memory for the history of validation");
}

static int read_open(ib_state *s, hid_t file, const char *path, int64_t bytes, ib_error *err) {
    char kind[sizeof kind_text + 8];
    int64_t version = 0;
    int rc = ib_hdf5_get_text(file, path, "kind", kind, sizeof kind, err);
    if (!rc && strcmp(kind, kind_text)) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: not a training state", path);
    }
    rc = rc ? rc : ib_hdf5_get_int(file, path, "format_version", 1, INT64_MAX, &version, err);
    if (!rc && version != VERSION) {
        rc = ib_fail(err, IB_E_UNSUPPORTED,
                     "%s: a training state of format %lld, this version reads format %d: begin a new run",
                     path, (long long)version, VERSION);
    }
    for (size_t i = 0; !rc && i < FIELDS; i++) {
        rc = get_field(s, file, path, &fields[i], err);
    }
    rc = rc ? rc : get_layout(s, file, path, err);
    rc = rc ? rc : check_ways(s, file, path, err);
    rc = rc ? rc : get_arrays(s, file, path, bytes, err);
    return rc ? rc : check_finite(s, path, err);
}

int ib_state_load(ib_state *s, const char *path, ib_error *err) {
    struct stat st;
    *s = (ib_state){0};
    int rc = ib_hdf5_check_lock(path, err);
    if (rc || (rc = ib_seal_check(path, err)) || (rc = ib_hdf5_check(path, err))) {
        return rc;
    }
    if (stat(path, &st)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be read", path);
    }
    ib_hdf5_lock();
    hid_t access = ib_hdf5_access();
    hid_t file = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
    rc = file < 0 ? ib_hdf5_fail(err, IB_E_FORMAT, "cannot read", path)
                  : read_open(s, file, path, (int64_t)st.st_size, err);
    if (file >= 0) {
        H5Fclose(file);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    ib_hdf5_unlock();
    if (rc) {
        ib_state_free(s);
    }
    return rc;
}
