#include "latent/guides.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "latent/latent_private.h"

static const char group_name[] = "guides", latents_name[] = "latents", windows_name[] = "windows",
                  features_name[] = "features";
enum { GUIDES_VERSION = 1 };

/* What is wrong with window i of those before it in `w`, in a file of these cuts [frames]; NULL: nothing. */
static const char *fault_of(const ib_guide_window *w, size_t i, const uint8_t *cuts, size_t frames) {
    const ib_guide_window *v = &w[i];
    if (v->gap < 2 || v->gap > IB_GUIDE_MAX_GAP || v->first >= frames ||
        (size_t)v->gap >= frames - v->first) {
        return "lies outside of the file's frames";
    }
    if (i && (v->gap < v[-1].gap || (v->gap == v[-1].gap && v->first <= v[-1].first))) {
        return "is out of order";
    }
    for (size_t k = 1; k <= (size_t)v->gap; k++) {
        if (cuts[v->first + k]) {
            return "lies across a cut";
        }
    }
    return NULL;
}

/* Fills in `at`. The number of guides. */
static size_t number_guides(ib_guide_window *w, size_t n) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        w[i].at = at;
        at += (size_t)w[i].gap - 1;
    }
    return at;
}

bool ib_guide_same_model(const char *a, const char *b) {
    size_t n = strcspn(a, " ");
    return n == strcspn(b, " ") && memcmp(a, b, n) == 0;
}

/* ---- reading ---- */

static int read_windows(ib_latent_file *f, hid_t group, size_t file_bytes, ib_error *err) {
    hid_t set;
    hsize_t size[2] = {0}, most[2] = {IB_LATENT_COLUMN_CHUNK, 2};
    int32_t(*pair)[2] = NULL;
    int rc = ib_latent_open_set(group, f->path, windows_name, H5T_STD_I32LE, 2, most, size, &set, err);
    if (rc) {
        return rc;
    }
    size_t n = (size_t)size[0];
    if (!n || size[1] != 2 || n > file_bytes / sizeof *pair) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: the guides' windows are %llu x %llu, expected N x 2", f->path,
                     (unsigned long long)size[0], (unsigned long long)size[1]);
    } else if (!(pair = ib_calloc(n, sizeof *pair)) || !(f->window = ib_calloc(n, sizeof *f->window))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", f->path);
    } else if (H5Dread(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, pair) < 0) {
        rc = ib_hdf5_fail(err, IB_E_FORMAT, "cannot read", f->path);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        f->window[i] =
            (ib_guide_window){.first = pair[i][0] < 0 ? SIZE_MAX : (size_t)pair[i][0], .gap = pair[i][1]};
        const char *fault = fault_of(f->window, i, f->cuts, f->info.frames);
        if (fault) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: window %zu of the guides, frame %d on, gap %d, %s", f->path,
                         i, pair[i][0], pair[i][1], fault);
        }
    }
    ib_free(pair);
    H5Dclose(set);
    f->guides.windows = n;
    f->guides.window = f->window;
    return rc;
}

static int read_features(ib_latent_file *f, hid_t group, ib_error *err) {
    hid_t set;
    size_t n = f->guides.guides;
    hsize_t size[2] = {0}, most[2] = {IB_LATENT_COLUMN_CHUNK, IB_GUIDE_FEATURES};
    int rc = ib_latent_open_set(group, f->path, features_name, H5T_IEEE_F32LE, 2, most, size, &set, err);
    if (rc) {
        return rc;
    }
    if (size[0] != n || size[1] != IB_GUIDE_FEATURES) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: the guides' features are %llu x %llu, expected %zu x %d", f->path,
                     (unsigned long long)size[0], (unsigned long long)size[1], n, IB_GUIDE_FEATURES);
    } else if (!(f->feature = ib_calloc(n, IB_GUIDE_FEATURES * sizeof *f->feature))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", f->path);
    } else if (H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, f->feature) < 0) {
        rc = ib_hdf5_fail(err, IB_E_FORMAT, "cannot read", f->path);
    }
    for (size_t i = 0; !rc && i < n * IB_GUIDE_FEATURES; i++) {
        if (!(f->feature[i] >= 0 && f->feature[i] < 1e6f)) {
            rc = ib_fail(err, IB_E_NONFINITE, "%s: a feature of guide %zu is %g, expected 0 or more", f->path,
                         i / IB_GUIDE_FEATURES, (double)f->feature[i]);
        }
    }
    H5Dclose(set);
    f->guides.feature = f->feature;
    return rc;
}

static int read_group(ib_latent_file *f, hid_t group, size_t file_bytes, ib_error *err) {
    const ib_shape *s = &f->info.shape;
    hsize_t size[3] = {0}, most[3] = {1, s->tokens, s->width};
    size_t bytes = s->tokens * s->width * 2;
    int64_t version;
    int rc = ib_hdf5_get_int(group, f->path, "version", 1, INT32_MAX, &version, err);
    if (!rc && version > GUIDES_VERSION) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: its guides are of version %lld, this program knows up to %d", f->path,
                       (long long)version, GUIDES_VERSION);
    }
    if (rc ||
        (rc = ib_hdf5_get_text(group, f->path, "model", f->guides.model, sizeof f->guides.model, err)) ||
        (rc = read_windows(f, group, file_bytes, err)) ||
        (rc = ib_latent_open_set(group, f->path, latents_name, f->half, 3, most, size, &f->guide_latents,
                                 err))) {
        return rc;
    }
    if (!*f->guides.model) {
        return ib_fail(err, IB_E_FORMAT, "%s: its guides do not say of which pixel model they are", f->path);
    }
    size_t n = number_guides(f->window, f->guides.windows), rows = n * IB_GUIDE_PICTURES;
    if (size[0] != rows || size[1] != s->tokens || size[2] != s->width || rows > file_bytes / bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: the guides are %llu x %llu x %llu, expected %zu x %zu x %zu",
                       f->path, (unsigned long long)size[0], (unsigned long long)size[1],
                       (unsigned long long)size[2], rows, s->tokens, s->width);
    }
    if (H5Dget_storage_size(f->guide_latents) < rows * bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: its guides are incomplete", f->path);
    }
    f->guides.guides = n;
    return read_features(f, group, err);
}

int ib_latent_open_guides(ib_latent_file *f, size_t file_bytes, ib_error *err) {
    H5L_info_t link;
    htri_t there = H5Lexists(f->file, group_name, H5P_DEFAULT);
    if (there == 0) {
        return IB_OK;
    }
    hid_t group =
        there > 0 && H5Lget_info(f->file, group_name, &link, H5P_DEFAULT) >= 0 && link.type == H5L_TYPE_HARD
            ? H5Gopen2(f->file, group_name, H5P_DEFAULT)
            : -1;
    if (group < 0) {
        return ib_hdf5_fail(err, IB_E_FORMAT, "cannot read the guides of", f->path);
    }
    int rc = read_group(f, group, file_bytes, err);
    H5Gclose(group);
    return rc;
}

const ib_guide_table *ib_latent_guides(const ib_latent_file *f) {
    return f->guides.guides ? &f->guides : NULL;
}

/* The first window not before (gap, first). */
static size_t lower_bound(const ib_guide_table *t, int gap, size_t first) {
    size_t low = 0, high = t->windows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const ib_guide_window *w = &t->window[middle];
        if (w->gap < gap || (w->gap == gap && w->first < first)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t ib_guide_windows(const ib_guide_table *t, int gap, const ib_guide_window **first) {
    size_t from = lower_bound(t, gap, 0), to = lower_bound(t, gap + 1, 0);
    *first = t->window + from;
    return to - from;
}

const ib_guide_window *ib_guide_window_at(const ib_guide_table *t, int gap, size_t first) {
    size_t i = lower_bound(t, gap, first);
    return i < t->windows && t->window[i].gap == gap && t->window[i].first == first ? &t->window[i] : NULL;
}

/* ---- writing ---- */

/* Lock held. */
static int create_group(ib_latent_writer *w, const char *model, ib_error *err) {
    hsize_t t = w->info.shape.tokens, d = w->info.shape.width, n = w->windows,
            size[3] = {w->guides * IB_GUIDE_PICTURES, t, d}, chunk[3] = {1, t, d}, pairs[2] = {n, 2},
            few[2] = {n < IB_LATENT_COLUMN_CHUNK ? n : IB_LATENT_COLUMN_CHUNK, 2};
    int32_t(*pair)[2] = ib_calloc(w->windows, sizeof *pair);
    hid_t set = -1;
    int rc = IB_OK;
    if (!pair) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", w->pending.final);
    }
    for (size_t i = 0; i < w->windows; i++) {
        pair[i][0] = (int32_t)w->window[i].first;
        pair[i][1] = w->window[i].gap;
    }
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    if (creation >= 0 && H5Pset_obj_track_times(creation, 0) >= 0) {
        w->group = H5Gcreate2(w->file, group_name, H5P_DEFAULT, creation, H5P_DEFAULT);
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (w->group < 0 || ib_hdf5_put_int(w->group, "version", GUIDES_VERSION) ||
        ib_hdf5_put_text(w->group, "model", model)) {
        rc = ib_latent_write_failed(w, err);
    }
    rc = rc ? rc
            : ib_latent_create_set(w, w->group, windows_name, H5T_STD_I32LE, 2, pairs, few, false, &set, err);
    if (!rc && H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, pair) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (set >= 0 && H5Dclose(set) < 0 && !rc) {
        rc = ib_latent_write_failed(w, err);
    }
    ib_free(pair);
    return rc ? rc
              : ib_latent_create_set(w, w->group, latents_name, w->half, 3, size, chunk, false,
                                     &w->guide_latents, err);
}

int ib_latent_writer_guides(ib_latent_writer *w, const char *model, const ib_guide_window *window,
                            size_t windows, ib_error *err) {
    if (w->windows || !*model || strlen(model) >= sizeof((ib_guide_table *)0)->model ||
        w->frames > INT32_MAX) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: guides of the model '%.200s' cannot be written",
                       w->pending.final, model);
    }
    for (size_t i = 0; i < windows; i++) {
        const char *fault = fault_of(window, i, w->cuts, w->frames);
        if (fault) {
            return ib_fail(err, IB_E_ARGUMENT, "%s: cannot be written: window %zu of the guides %s",
                           w->pending.final, i, fault);
        }
    }
    if (!windows) {
        return IB_OK;
    }
    if (!(w->window = ib_calloc(windows, sizeof *w->window))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", w->pending.final);
    }
    memcpy(w->window, window, windows * sizeof *window);
    w->windows = windows;
    w->guides = number_guides(w->window, windows);
    if (!(w->feature = ib_calloc(w->guides, IB_GUIDE_FEATURES * sizeof *w->feature)) ||
        !(w->guide_came = ib_calloc(w->guides, sizeof *w->guide_came))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the guides of %s", w->pending.final);
    }
    ib_hdf5_lock();
    int rc = create_group(w, model, err);
    ib_hdf5_unlock();
    return rc;
}

int ib_latent_writer_put_guide(ib_latent_writer *w, size_t n, const float *z, const float *feature,
                               ib_error *err) {
    if (n >= w->guides) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: holds %zu guides, and one more came", w->pending.final,
                       w->guides);
    }
    if (w->guide_came[n]) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: guide %zu came twice", w->pending.final, n);
    }
    size_t each = w->info.shape.tokens * w->info.shape.width;
    bool finite = true;
    for (size_t i = 0; i < IB_GUIDE_FEATURES; i++) {
        finite = finite && feature[i] >= 0 && feature[i] < 1e6f;
    }
    int rc = IB_OK;
    for (size_t k = 0; !rc && finite && k < IB_GUIDE_PICTURES; k++) {
        finite = ib_latent_to_half(w, z + k * each);
        if (finite) {
            ib_hdf5_lock();
            rc = ib_latent_write_row(w, w->guide_latents, n * IB_GUIDE_PICTURES + k, err);
            ib_hdf5_unlock();
        }
    }
    if (!finite) {
        return ib_fail(
            err, IB_E_NONFINITE,
            "%s: guide %zu cannot be written: a value is not finite or beyond half precision's range",
            w->pending.final, n);
    }
    memcpy(w->feature + n * IB_GUIDE_FEATURES, feature, IB_GUIDE_FEATURES * sizeof *feature);
    w->guide_came[n] = !rc;
    w->guides_written += !rc;
    return rc;
}

int ib_latent_writer_append_guide(ib_latent_writer *w, const float *z, const float *feature, ib_error *err) {
    return ib_latent_writer_put_guide(w, w->guides_written, z, feature, err);
}

int ib_latent_write_guide_features(ib_latent_writer *w, ib_error *err) {
    hid_t set = -1;
    hsize_t n = w->guides, size[2] = {n, IB_GUIDE_FEATURES},
            chunk[2] = {n < IB_LATENT_COLUMN_CHUNK / 16 ? n : IB_LATENT_COLUMN_CHUNK / 16, IB_GUIDE_FEATURES};
    int rc =
        ib_latent_create_set(w, w->group, features_name, H5T_IEEE_F32LE, 2, size, chunk, false, &set, err);
    if (!rc && H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, w->feature) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (set >= 0 && H5Dclose(set) < 0 && !rc) {
        rc = ib_latent_write_failed(w, err);
    }
    return rc;
}
