#include "latent/latent_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/memory.h"
#include "base/safetensors.h"
#include "latent/hdf5.h"
#include "latent/latent_format.h"
#include "latent/latent_private.h"
#include "latent/layout.h"

static int get_int(hid_t root, const char *path, const char *name, int min, int max, int *out,
                   ib_error *err) {
    int64_t v;
    int rc = ib_hdf5_get_int(root, path, name, min, max, &v, err);
    if (!rc) {
        *out = (int)v;
    }
    return rc;
}

/* Files made before there were such attributes have none. */
static int read_pictures(hid_t root, const char *path, ib_latent_info *i, ib_error *err) {
    int deinterlace = 0, rc = IB_OK;
    i->picture_version = 1;
    if (H5Aexists(root, "picture_version") != 0) {
        rc = get_int(root, path, "picture_version", 1, INT32_MAX, &i->picture_version, err);
    }
    if (!rc && H5Aexists(root, "deinterlace") != 0) {
        rc = get_int(root, path, "deinterlace", 0, 1, &deinterlace, err);
    }
    i->deinterlaced = deinterlace;
    return rc;
}

static int get_layout(hid_t root, const char *path, ib_layout *out, ib_error *err) {
    char text[32];
    int rc = ib_hdf5_get_text(root, path, "layout", text, sizeof text, err);
    if (rc) {
        return rc;
    }
    if (ib_layout_named(text, out)) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_FORMAT, "%s: attribute 'layout' is '%s', expected grid, sequence or single",
                   path, text);
}

static int read_info(hid_t root, const char *path, ib_latent_info *i, ib_error *err) {
    char format[64];
    int64_t tokens = 0, width = 0;
    int version, rc;
    ib_shape *s = &i->shape;
    if ((rc = ib_hdf5_get_text(root, path, "format", format, sizeof format, err))) {
        return rc;
    }
    if (strcmp(format, IB_LATENT_FORMAT)) {
        return ib_fail(err, IB_E_FORMAT, "%s: attribute 'format' is '%s', expected '%s'", path, format,
                       IB_LATENT_FORMAT);
    }
    if ((rc = get_int(root, path, "version", 1, INT32_MAX, &version, err))) {
        return rc;
    }
    if (version > IB_LATENT_VERSION) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: a latent file of version %d, this program knows up to %d",
                       path, version, IB_LATENT_VERSION);
    }
    if ((rc = ib_hdf5_get_text(root, path, "space_id", i->space_id, sizeof i->space_id, err)) ||
        (rc = get_layout(root, path, &s->layout, err)) ||
        (rc = ib_hdf5_get_int(root, path, "tokens", 1, IB_LATENT_MAX_TOKENS, &tokens, err)) ||
        (rc = ib_hdf5_get_int(root, path, "width", 1, IB_LATENT_MAX_WIDTH, &width, err)) ||
        (rc = get_int(root, path, "rows", 1, IB_LATENT_MAX_TOKENS, &s->rows, err)) ||
        (rc = get_int(root, path, "cols", 1, IB_LATENT_MAX_TOKENS, &s->cols, err)) ||
        (rc = get_int(root, path, "frame_width", 1, 16384, &i->frame_width, err)) ||
        (rc = get_int(root, path, "frame_height", 1, 16384, &i->frame_height, err)) ||
        (rc = get_int(root, path, "matrix", 0, 255, &i->matrix, err)) ||
        (rc = get_int(root, path, "fit", 0, 255, &i->fit, err)) || (rc = read_pictures(root, path, i, err)) ||
        (rc = get_int(root, path, "every", 1, INT32_MAX, &i->every, err)) ||
        (rc = ib_hdf5_get_real(root, path, "fps", &i->fps, err)) ||
        (rc = ib_hdf5_get_text(root, path, "source", i->source, sizeof i->source, err)) ||
        (rc =
             ib_hdf5_get_text(root, path, "source_sha256", i->source_sha256, sizeof i->source_sha256, err)) ||
        (rc = ib_hdf5_get_int(root, path, "source_bytes", 0, INT64_MAX, &i->source_bytes, err)) ||
        (rc = ib_hdf5_get_int(root, path, "source_mtime_ns", INT64_MIN, INT64_MAX, &i->source_mtime_ns,
                              err))) {
        return rc;
    }
    s->tokens = (size_t)tokens;
    s->width = (size_t)width;
    if ((int64_t)s->rows * s->cols != tokens || (s->layout != IB_LAYOUT_GRID && s->rows != 1) ||
        (s->layout == IB_LAYOUT_SINGLE && tokens != 1)) {
        return ib_fail(err, IB_E_FORMAT, "%s: %d rows x %d cols do not make %lld tokens in layout %s", path,
                       s->rows, s->cols, (long long)tokens, ib_layout_name(s->layout));
    }
    if (!(i->fps > 0)) {
        return ib_fail(err, IB_E_FORMAT, "%s: attribute 'fps' is %g, expected more than 0", path, i->fps);
    }
    return IB_OK;
}

/* Chunks of at most `most`, stored in this file, with the checksum filter or none. Larger ones would be
 * allocated by HDF5 before it finds that they are not there; other layouts and filters open other files and
 * load plug-ins. */
static bool good_layout(hid_t set, int rank, const hsize_t *most) {
    hid_t p = H5Dget_create_plist(set);
    hsize_t chunk[3] = {0};
    bool good = p >= 0 && H5Pget_layout(p) == H5D_CHUNKED && H5Pget_chunk(p, rank, chunk) == rank &&
                H5Pget_external_count(p) == 0;
    for (int i = 0; good && i < rank; i++) {
        good = chunk[i] >= 1 && chunk[i] <= most[i];
    }
    int filters = good ? H5Pget_nfilters(p) : 0;
    if (filters) {
        unsigned flags, config;
        size_t values = 0;
        good = filters == 1 &&
               H5Pget_filter2(p, 0, &flags, &values, NULL, 0, NULL, &config) == H5Z_FILTER_FLETCHER32;
    }
    if (p >= 0) {
        H5Pclose(p);
    }
    return good;
}

/* The chunk cache is off: a chunk is one frame, and many files are open at once. */
int ib_latent_open_set(hid_t group, const char *path, const char *name, hid_t type, int rank,
                       const hsize_t *most, hsize_t *size, hid_t *out, ib_error *err) {
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS), set = -1, space = -1, stored = -1;
    H5L_info_t link;
    int rc = IB_E_FORMAT;
    *out = -1;
    if (access >= 0 && H5Pset_chunk_cache(access, 1, 0, 1) >= 0 && H5Lexists(group, name, H5P_DEFAULT) > 0 &&
        H5Lget_info(group, name, &link, H5P_DEFAULT) >= 0 && link.type == H5L_TYPE_HARD) {
        set = H5Dopen2(group, name, access);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    if (set < 0) {
        ib_fail(err, rc, "%s: data set '%s' is missing or damaged", path, name);
        goto fail;
    }
    if (!good_layout(set, rank, most)) {
        ib_fail(err, rc,
                "%s: data set '%s' is not laid out as expected: in chunks of at most a frame, checksummed",
                path, name);
        goto fail;
    }
    if ((space = H5Dget_space(set)) < 0 || (stored = H5Dget_type(set)) < 0 || H5Tequal(stored, type) <= 0 ||
        H5Sget_simple_extent_ndims(space) != rank || H5Sget_simple_extent_dims(space, size, NULL) != rank) {
        ib_fail(err, rc, "%s: data set '%s' is not of the expected type and rank %d", path, name, rank);
        goto fail;
    }
    H5Tclose(stored);
    H5Sclose(space);
    *out = set;
    return IB_OK;
fail:
    H5Eclear2(H5E_DEFAULT);
    if (stored >= 0) {
        H5Tclose(stored);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (set >= 0) {
        H5Dclose(set);
    }
    return rc;
}

/* One value per frame. */
static int read_column(ib_latent_file *f, const char *name, hid_t stored, hid_t memory, void *values,
                       ib_error *err) {
    hid_t set;
    hsize_t n = 0, most = IB_LATENT_COLUMN_CHUNK;
    int rc = ib_latent_open_set(f->file, f->path, name, stored, 1, &most, &n, &set, err);
    if (rc) {
        return rc;
    }
    if (n != f->info.frames) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: data set '%s' has %llu entries, expected %zu", f->path, name,
                     (unsigned long long)n, f->info.frames);
    }
    if (!rc && H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
        rc = ib_hdf5_fail(err, IB_E_FORMAT, "cannot read", f->path);
    }
    H5Dclose(set);
    return rc;
}

static int check_columns(const ib_latent_file *f, ib_error *err) {
    for (size_t i = 0; i < f->info.frames; i++) {
        if (!isfinite(f->pts[i]) || (i && f->pts[i] < f->pts[i - 1])) {
            return ib_fail(err, IB_E_FORMAT, "%s: frame %zu has time %g after %g", f->path, i, f->pts[i],
                           i ? f->pts[i - 1] : 0.0);
        }
        if (f->cuts[i] > 1 || (!i && !f->cuts[i])) {
            return ib_fail(err, IB_E_FORMAT, "%s: the cut mark of frame %zu is %d", f->path, i, f->cuts[i]);
        }
    }
    return IB_OK;
}

/* Lock held. */
static int open_locked(ib_latent_file *f, size_t file_bytes, ib_error *err) {
    hid_t access = ib_hdf5_access();
    if (access >= 0) {
        f->file = H5Fopen(f->path, H5F_ACC_RDONLY, access);
    }
    int rc = f->file < 0 ? ib_hdf5_fail(err, IB_E_FORMAT, "cannot open", f->path) : IB_OK;
    if (access >= 0) {
        H5Pclose(access);
    }
    if (rc) {
        return rc;
    }
    if ((f->half = ib_hdf5_half()) < 0) {
        return ib_hdf5_fail(err, IB_E_MEMORY, "cannot open", f->path);
    }

    rc = read_info(f->file, f->path, &f->info, err);
    const ib_shape *s = &f->info.shape;
    hsize_t size[3] = {0}, most[3] = {1, s->tokens, s->width};
    if (rc ||
        (rc = ib_latent_open_set(f->file, f->path, "latents", f->half, 3, most, size, &f->latents, err))) {
        return rc;
    }
    size_t frame_bytes = s->tokens * s->width * 2, frames = (size_t)size[0];
    if (size[1] != s->tokens || size[2] != s->width || !frames) {
        return ib_fail(err, IB_E_FORMAT, "%s: latents are %llu x %llu x %llu, expected N x %zu x %zu",
                       f->path, (unsigned long long)size[0], (unsigned long long)size[1],
                       (unsigned long long)size[2], s->tokens, s->width);
    }
    if (frame_bytes > IB_LATENT_MAX_CHUNK_BYTES || frames > file_bytes / frame_bytes ||
        H5Dget_storage_size(f->latents) < frames * frame_bytes) {
        return ib_fail(err, IB_E_FORMAT, "%s: %zu frames of %zu bytes do not fit in a file of %zu", f->path,
                       frames, frame_bytes, file_bytes);
    }
    f->info.frames = frames;
    f->pts = ib_calloc(frames, sizeof *f->pts);
    f->cuts = ib_calloc(frames, sizeof *f->cuts);
    if (!f->pts || !f->cuts) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the %zu frames of %s", frames, f->path);
    }
    if ((rc = read_column(f, "pts", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, f->pts, err)) ||
        (rc = read_column(f, "cut", H5T_STD_U8LE, H5T_NATIVE_UINT8, f->cuts, err))) {
        return rc;
    }
    rc = check_columns(f, err);
    return rc ? rc : ib_latent_open_guides(f, file_bytes, err);
}

bool ib_is_latent_name(const char *name) {
    size_t n = strlen(name);
    return n > 3 && !strcmp(name + n - 3, ".h5");
}

bool ib_latent_is_ours(const char *path) {
    enum {
        NEAR = 1 << 16
    }; /* the format is the first attribute of the root group, which HDF5 puts in front */
    bool ours = false;
    char *head = malloc(NEAR);
    FILE *f = head ? fopen(path, "rbe") : NULL;
    if (f) {
        size_t n = fread(head, 1, NEAR, f);
        ours = n ? n > 8 && !memcmp(head, "\x89HDF\r\n\x1a\n", 8) &&
                       memmem(head, n, IB_LATENT_FORMAT, sizeof IB_LATENT_FORMAT - 1)
                 : !ferror(f);
        fclose(f);
    }
    free(head);
    return ours;
}

int ib_latent_open(ib_latent_file **out, const char *path, ib_error *err) {
    struct stat st;
    *out = NULL;
    int rc = ib_hdf5_check(path, err);
    if (rc) {
        return rc;
    }
    ib_latent_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    } else if (stat(path, &st)) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (rc) {
        free(f ? f->path : NULL);
        free(f);
        return rc;
    }
    f->file = f->latents = f->half = f->guide_latents = -1;
    ib_hdf5_lock();
    rc = open_locked(f, (size_t)st.st_size, err);
    ib_hdf5_unlock();
    if (rc) {
        ib_latent_close(&f);
    }
    *out = f;
    return rc;
}

void ib_latent_close(ib_latent_file **out) {
    ib_latent_file *f = *out;
    if (!f) {
        return;
    }
    ib_hdf5_lock();
    if (f->guide_latents >= 0) {
        H5Dclose(f->guide_latents);
    }
    if (f->latents >= 0) {
        H5Dclose(f->latents);
    }
    if (f->half >= 0) {
        H5Tclose(f->half);
    }
    if (f->file >= 0) {
        H5Fclose(f->file);
    }
    ib_hdf5_unlock();
    ib_free(f->window);
    ib_free(f->feature);
    ib_free(f->pts);
    ib_free(f->cuts);
    free(f->path);
    free(f);
    *out = NULL;
}

const ib_latent_info *ib_latent_info_of(const ib_latent_file *f) {
    return &f->info;
}

const char *ib_latent_path(const ib_latent_file *f) {
    return f->path;
}

const double *ib_latent_pts(const ib_latent_file *f) {
    return f->pts;
}

const uint8_t *ib_latent_cuts(const ib_latent_file *f) {
    return f->cuts;
}

/* Lock held. Latents [count] of a set, from `first` on. */
static int read_locked(const ib_latent_file *f, hid_t set, size_t first, size_t count, uint16_t *h,
                       ib_error *err) {
    hsize_t at[3] = {first, 0, 0}, size[3] = {count, f->info.shape.tokens, f->info.shape.width};
    hid_t memory = H5Screate_simple(3, size, NULL), space = H5Dget_space(set);
    int rc = IB_OK;
    if (memory < 0 || space < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, size, NULL) < 0 ||
        H5Dread(set, f->half, memory, space, H5P_DEFAULT, h) < 0) {
        rc = ib_hdf5_fail(err, IB_E_FORMAT, "cannot read", f->path);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (memory >= 0) {
        H5Sclose(memory);
    }
    return rc;
}

/* Number of values before the first that is not finite. */
static size_t finite_prefix(const uint16_t *h, size_t n) {
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        bad |= (h[i] & 0x7c00u) == 0x7c00u;
    }
    for (size_t i = 0; bad && i < n; i++) {
        if ((h[i] & 0x7c00u) == 0x7c00u) {
            return i;
        }
    }
    return n;
}

/* What a file holds a row of latents of. */
typedef struct rows {
    const char *what; /* "frame" or "guide" */
    hid_t set;
    size_t n;
} rows;

static int read_half(ib_latent_file *f, const rows *r, size_t first, size_t count, uint16_t *h,
                     ib_error *err) {
    int rc = IB_OK;
    if (first > r->n || count > r->n - first) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: %ss %zu..%zu asked for, it has %zu", f->path, r->what, first,
                       first + count, r->n);
    }
    if (!count) {
        return IB_OK;
    }
    ib_hdf5_lock();
    rc = read_locked(f, r->set, first, count, h, err);
    ib_hdf5_unlock();
    return rc;
}

static int read_floats(ib_latent_file *f, const rows *r, size_t first, size_t count, float *z,
                       ib_error *err) {
    enum { PIECE = 2048 };
    uint16_t piece[PIECE];
    size_t n = f->info.shape.tokens * f->info.shape.width, total = count * n;
    /* the halves arrive in the second half of the output and are widened from its front, which never
     * overtakes them */
    char *bytes = (char *)z;
    const char *halves = bytes + total * 2;
    int rc = read_half(f, r, first, count, (uint16_t *)(void *)(bytes + total * 2), err);
    for (size_t i = 0; !rc && i < total; i += PIECE) {
        size_t m = total - i < PIECE ? total - i : PIECE;
        memcpy(piece, halves + 2 * i, 2 * m);
        size_t good = finite_prefix(piece, m);
        if (good < m) {
            return ib_fail(err, IB_E_NONFINITE, "%s: %s %zu holds a value that is not finite", f->path,
                           r->what, first + (i + good) / n);
        }
        ib_f16_to_f32(piece, z + i, m);
    }
    return rc;
}

int ib_latent_read_half(ib_latent_file *f, size_t first, size_t count, uint16_t *h, ib_error *err) {
    return read_half(f, &(rows){"frame", f->latents, f->info.frames}, first, count, h, err);
}

int ib_latent_read(ib_latent_file *f, size_t first, size_t count, float *z, ib_error *err) {
    return read_floats(f, &(rows){"frame", f->latents, f->info.frames}, first, count, z, err);
}

/* A guide is so many rows. */
static rows guide_rows(const ib_latent_file *f, size_t *first, size_t *count) {
    bool fits = *first <= SIZE_MAX / IB_GUIDE_PICTURES && *count <= SIZE_MAX / IB_GUIDE_PICTURES;
    *first = fits ? *first * IB_GUIDE_PICTURES : SIZE_MAX;
    *count *= IB_GUIDE_PICTURES;
    return (rows){"guide picture", f->guide_latents, f->guides.guides * IB_GUIDE_PICTURES};
}

int ib_latent_read_guides_half(ib_latent_file *f, size_t first, size_t count, uint16_t *h, ib_error *err) {
    rows r = guide_rows(f, &first, &count);
    return read_half(f, &r, first, count, h, err);
}

int ib_latent_read_guides(ib_latent_file *f, size_t first, size_t count, float *z, ib_error *err) {
    rows r = guide_rows(f, &first, &count);
    return read_floats(f, &r, first, count, z, err);
}
