/* Inside latent/ only: what the files that read and write latent files share. */
#ifndef IB_LATENT_LATENT_PRIVATE_H
#define IB_LATENT_LATENT_PRIVATE_H

#include "base/file.h"
#include "latent/guides.h"
#include "latent/hdf5.h"
#include "latent/latent_file.h"
#include "latent/latent_format.h"

struct ib_latent_file {
    char *path;
    ib_latent_info info;
    hid_t file, latents, half;
    double *pts;   /* [N] */
    uint8_t *cuts; /* [N] */
    /* of guides; zero and negative without */
    ib_guide_table guides;
    ib_guide_window *window; /* [windows] */
    float *feature;          /* [guides, IB_GUIDE_FEATURES] */
    hid_t guide_latents;
};

struct ib_latent_writer {
    ib_pending pending;
    ib_latent_info info;
    hid_t file, latents, half;
    uint16_t *frame; /* [T,D] as stored */
    double *pts;     /* [room] */
    uint8_t *cuts;   /* [room] */
    size_t frames, room, extent;
    /* of guides */
    hid_t group, guide_latents;
    ib_guide_window *window; /* [windows] */
    float *feature;          /* [guides, IB_GUIDE_FEATURES] */
    bool *guide_came;        /* [guides] */
    size_t windows, guides, guides_written;
};

/* All with the lock held. */

/* Opens a data set and checks layout, type and rank. size, most: [rank]; most: of a chunk. */
int ib_latent_open_set(hid_t group, const char *path, const char *name, hid_t type, int rank,
                       const hsize_t *most, hsize_t *size, hid_t *out, ib_error *err);
/* The guides of a file whose frames have been opened; nothing where it has none. */
int ib_latent_open_guides(ib_latent_file *f, size_t file_bytes, ib_error *err);

/* IB_E_IO with HDF5's reason for the first call that failed. */
int ib_latent_write_failed(const ib_latent_writer *w, ib_error *err);
/* A chunked data set with a checksum per chunk. size, chunk: [rank], rank 1 to 3; grows along the first
 * dimension if `unlimited`. */
int ib_latent_create_set(ib_latent_writer *w, hid_t group, const char *name, hid_t type, int rank,
                         const hsize_t *size, const hsize_t *chunk, bool unlimited, hid_t *out,
                         ib_error *err);
/* Row `at` of a set of latents, from w->frame. */
int ib_latent_write_row(ib_latent_writer *w, hid_t set, size_t at, ib_error *err);
/* What ib_latent_writer_append_guide has gathered. */
int ib_latent_write_guide_features(ib_latent_writer *w, ib_error *err);

/* z [T,D] -> w->frame; false if a value is not finite or beyond half's range. Needs no lock. */
bool ib_latent_to_half(ib_latent_writer *w, const float *z);

#endif
