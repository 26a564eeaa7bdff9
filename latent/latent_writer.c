#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/safetensors.h"
#include "latent/hdf5.h"
#include "latent/latent_file.h"
#include "latent/latent_private.h"

enum { GROW = 64 }; /* frames by which the data set is extended */

/* Lock held since before the call of HDF5 that failed. */
int ib_latent_write_failed(const ib_latent_writer *w, ib_error *err) {
    return ib_hdf5_fail(err, IB_E_IO, "cannot write", w->pending.final);
}

static int put_info(hid_t root, const ib_latent_info *i) {
    return ib_hdf5_put_text(root, "format", IB_LATENT_FORMAT) ||
           ib_hdf5_put_int(root, "version", IB_LATENT_VERSION) ||
           ib_hdf5_put_text(root, "written_by", "inbetween " IB_VERSION) ||
           ib_hdf5_put_text(root, "space_id", i->space_id) ||
           ib_hdf5_put_text(root, "layout", ib_layout_name(i->shape.layout)) ||
           ib_hdf5_put_int(root, "tokens", (int64_t)i->shape.tokens) ||
           ib_hdf5_put_int(root, "width", (int64_t)i->shape.width) ||
           ib_hdf5_put_int(root, "rows", i->shape.rows) || ib_hdf5_put_int(root, "cols", i->shape.cols) ||
           ib_hdf5_put_int(root, "frame_width", i->frame_width) ||
           ib_hdf5_put_int(root, "frame_height", i->frame_height) ||
           ib_hdf5_put_int(root, "matrix", i->matrix) || ib_hdf5_put_int(root, "fit", i->fit) ||
           (i->picture_version && (ib_hdf5_put_int(root, "picture_version", i->picture_version) ||
                                   ib_hdf5_put_int(root, "deinterlace", i->deinterlaced))) ||
           ib_hdf5_put_int(root, "every", i->every) || ib_hdf5_put_real(root, "fps", i->fps) ||
           ib_hdf5_put_text(root, "source", i->source) ||
           ib_hdf5_put_text(root, "source_sha256", i->source_sha256) ||
           ib_hdf5_put_int(root, "source_bytes", i->source_bytes) ||
           ib_hdf5_put_int(root, "source_mtime_ns", i->source_mtime_ns);
}

int ib_latent_create_set(ib_latent_writer *w, hid_t group, const char *name, hid_t type, int rank,
                         const hsize_t *size, const hsize_t *chunk, bool unlimited, hid_t *out,
                         ib_error *err) {
    hsize_t most[3] = {unlimited ? H5S_UNLIMITED : size[0], rank > 1 ? size[1] : 0, rank > 2 ? size[2] : 0};
    hid_t set = -1, space = H5Screate_simple(rank, size, most);
    hid_t p = H5Pcreate(H5P_DATASET_CREATE), access = H5Pcreate(H5P_DATASET_ACCESS);
    if (space >= 0 && p >= 0 && access >= 0 && H5Pset_chunk(p, rank, chunk) >= 0 &&
        H5Pset_fletcher32(p) >= 0 && H5Pset_obj_track_times(p, 0) >= 0 &&
        H5Pset_chunk_cache(access, 1, 0, 1) >= 0) {
        set = H5Dcreate2(group, name, type, space, H5P_DEFAULT, p, access);
    }
    int rc = set < 0 ? ib_latent_write_failed(w, err) : IB_OK;
    if (access >= 0) {
        H5Pclose(access);
    }
    if (p >= 0) {
        H5Pclose(p);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    *out = set;
    return rc;
}

static int check_info(const ib_latent_info *i, const char *path, ib_error *err) {
    size_t n;
    if (!i->shape.tokens || i->shape.tokens > IB_LATENT_MAX_TOKENS || !i->shape.width ||
        i->shape.width > IB_LATENT_MAX_WIDTH || ib_size_mul(i->shape.tokens, i->shape.width * 2, &n) ||
        n > IB_LATENT_MAX_CHUNK_BYTES) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: cannot be written: a latent of %zu tokens x %zu is outside the format's range",
                       path, i->shape.tokens, i->shape.width);
    }
    if (!(i->fps > 0) || !isfinite(i->fps) || i->every < 1) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: cannot be written: %g frames per second, every %d", path,
                       i->fps, i->every);
    }
    return IB_OK;
}

/* Lock held. */
static int create_file(ib_latent_writer *w, ib_error *err) {
    hsize_t t = w->info.shape.tokens, d = w->info.shape.width, size[3] = {0, t, d}, chunk[3] = {1, t, d};
    hid_t creation = ib_hdf5_creation(), access = ib_hdf5_access();
    int rc = IB_OK;
    if (creation >= 0 && access >= 0) {
        w->file = H5Fcreate(w->pending.temp, H5F_ACC_TRUNC, creation, access);
    }
    if (w->file < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    if (rc) {
        return rc;
    }
    w->half = ib_hdf5_half();
    if (w->half < 0 || put_info(w->file, &w->info)) {
        return ib_latent_write_failed(w, err);
    }
    return ib_latent_create_set(w, w->file, "latents", w->half, 3, size, chunk, true, &w->latents, err);
}

int ib_latent_writer_create(ib_latent_writer **out, const char *path, const ib_latent_info *info,
                            ib_error *err) {
    *out = NULL;
    int rc = check_info(info, path, err);
    if (rc) {
        return rc;
    }
    ib_latent_writer *w = calloc(1, sizeof *w);
    if (!w) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for writing %s", path);
    }
    w->info = *info;
    w->file = w->latents = w->half = w->group = w->guide_latents = -1;
    size_t t = info->shape.tokens, d = info->shape.width;
    if (!(w->frame = ib_calloc(t * d, sizeof *w->frame))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for a frame of %s", path);
        goto fail;
    }
    if ((rc = ib_pending_begin(&w->pending, path, err))) {
        goto fail;
    }

    ib_hdf5_lock();
    rc = create_file(w, err);
    ib_hdf5_unlock();
    if (rc) {
        goto fail;
    }
    *out = w;
    return IB_OK;
fail:
    ib_latent_writer_abort(&w);
    return rc;
}

static int reserve(ib_latent_writer *w, ib_error *err) {
    if (w->frames < w->room) {
        return IB_OK;
    }
    size_t room = w->room ? 2 * w->room : 256;
    double *pts = realloc(w->pts, room * sizeof *pts);
    if (pts) {
        w->pts = pts;
    }
    uint8_t *cuts = realloc(w->cuts, room);
    if (cuts) {
        w->cuts = cuts;
    }
    if (!pts || !cuts) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu frames of %s", room, w->pending.final);
    }
    w->room = room;
    return IB_OK;
}

int ib_latent_write_row(ib_latent_writer *w, hid_t set, size_t at, ib_error *err) {
    hsize_t t = w->info.shape.tokens, d = w->info.shape.width, first[3] = {at, 0, 0}, count[3] = {1, t, d};
    hid_t memory = H5Screate_simple(3, count, NULL), file = H5Dget_space(set);
    int rc = IB_OK;
    if (memory < 0 || file < 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, first, NULL, count, NULL) < 0 ||
        H5Dwrite(set, w->half, memory, file, H5P_DEFAULT, w->frame) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (file >= 0) {
        H5Sclose(file);
    }
    if (memory >= 0) {
        H5Sclose(memory);
    }
    return rc;
}

/* Lock held. */
static int write_frame(ib_latent_writer *w, ib_error *err) {
    if (w->frames == w->extent) {
        hsize_t size[3] = {w->extent + GROW, w->info.shape.tokens, w->info.shape.width};
        if (H5Dset_extent(w->latents, size) < 0) {
            return ib_latent_write_failed(w, err);
        }
        w->extent += GROW;
    }
    return ib_latent_write_row(w, w->latents, w->frames, err);
}

bool ib_latent_to_half(ib_latent_writer *w, const float *z) {
    size_t n = w->info.shape.tokens * w->info.shape.width;
    unsigned bad = 0;
    ib_f32_to_f16(z, w->frame, n);
    for (size_t i = 0; i < n; i++) {
        bad |= (w->frame[i] & 0x7c00u) == 0x7c00u;
    }
    return !bad;
}

int ib_latent_writer_append(ib_latent_writer *w, const float *z, double pts_seconds, bool cut,
                            ib_error *err) {
    int rc = reserve(w, err);
    if (rc) {
        return rc;
    }
    if (!ib_latent_to_half(w, z) || !isfinite(pts_seconds)) {
        return ib_fail(
            err, IB_E_NONFINITE,
            "%s: frame %zu cannot be written: a value is not finite or beyond half precision's range",
            w->pending.final, w->frames);
    }
    if (w->frames && pts_seconds < w->pts[w->frames - 1]) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: frame %zu cannot be written: its time %g lies before %g",
                       w->pending.final, w->frames, pts_seconds, w->pts[w->frames - 1]);
    }
    ib_hdf5_lock();
    rc = write_frame(w, err);
    ib_hdf5_unlock();
    if (rc) {
        return rc;
    }
    w->pts[w->frames] = pts_seconds;
    w->cuts[w->frames] = cut || !w->frames;
    w->frames++;
    return IB_OK;
}

size_t ib_latent_writer_frames(const ib_latent_writer *w) {
    return w->frames;
}

const double *ib_latent_writer_pts(const ib_latent_writer *w) {
    return w->pts;
}

const uint8_t *ib_latent_writer_cuts(const ib_latent_writer *w) {
    return w->cuts;
}

/* Lock held. */
static int write_column(ib_latent_writer *w, const char *name, hid_t stored, hid_t memory, const void *values,
                        ib_error *err) {
    hsize_t n = w->frames, size[3] = {n},
            chunk[3] = {n < IB_LATENT_COLUMN_CHUNK ? n : IB_LATENT_COLUMN_CHUNK};
    hid_t set;
    int rc = ib_latent_create_set(w, w->file, name, stored, 1, size, chunk, false, &set, err);
    if (!rc && H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (set >= 0 && H5Dclose(set) < 0 && !rc) {
        rc = ib_latent_write_failed(w, err);
    }
    return rc;
}

/* Closes what is open. Takes the lock. */
static int close_all(ib_latent_writer *w, ib_error *err) {
    ib_hdf5_lock();
    bool bad = w->latents >= 0 && H5Dclose(w->latents) < 0;
    bad |= w->guide_latents >= 0 && H5Dclose(w->guide_latents) < 0;
    bad |= w->group >= 0 && H5Gclose(w->group) < 0;
    if (w->half >= 0) {
        H5Tclose(w->half);
    }
    bad |= w->file >= 0 && H5Fclose(w->file) < 0;
    w->latents = w->half = w->file = -1;
    int rc = bad ? ib_latent_write_failed(w, err) : IB_OK;
    ib_hdf5_unlock();
    return rc;
}

int ib_latent_writer_finish(ib_latent_writer **out, ib_error *err) {
    ib_latent_writer *w = *out;
    int rc = IB_OK;
    hsize_t size[3] = {w->frames, w->info.shape.tokens, w->info.shape.width};
    if (!w->frames) {
        rc = ib_fail(err, IB_E_EMPTY, "%s: cannot be written: %s gave no frame", w->pending.final,
                     w->info.source);
        goto end;
    }
    if (w->guides_written != w->guides) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: cannot be written: %zu of %zu guides have come",
                     w->pending.final, w->guides_written, w->guides);
        goto end;
    }
    ib_hdf5_lock();
    if (H5Dset_extent(w->latents, size) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    if (!rc) {
        rc = write_column(w, "pts", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, w->pts, err);
    }
    if (!rc) {
        rc = write_column(w, "cut", H5T_STD_U8LE, H5T_NATIVE_UINT8, w->cuts, err);
    }
    if (!rc && w->guides) {
        rc = ib_latent_write_guide_features(w, err);
    }
    if (!rc && H5Fflush(w->file, H5F_SCOPE_GLOBAL) < 0) {
        rc = ib_latent_write_failed(w, err);
    }
    ib_hdf5_unlock();
    if (!rc) {
        rc = close_all(w, err);
    }
    if (!rc) {
        rc = ib_pending_publish(&w->pending, err);
    }
end:
    ib_latent_writer_abort(out);
    return rc;
}

void ib_latent_writer_abort(ib_latent_writer **out) {
    ib_latent_writer *w = *out;
    if (!w) {
        return;
    }
    ib_error ignored;
    close_all(w, &ignored);
    ib_pending_abort(&w->pending);
    ib_free(w->window);
    ib_free(w->feature);
    ib_free(w->guide_came);
    ib_free(w->frame);
    free(w->pts);
    free(w->cuts);
    free(w);
    *out = NULL;
}
