/* The latent files of a training run: what is known of each, which of them train and which validate, and
 * their frames through a bounded cache. Files are opened when they are needed and a few are kept open, so
 * thousands of them work.
 *
 * One thread at a time: everything that reads (ib_dataset_frame, ib_dataset_file) changes the cache and the
 * open files, and is to be called with the lock that the trainer passes around. (HDF5 has a lock of its own,
 * latent/hdf5.h.) The rest only looks at what opening found. */
#ifndef IB_TRAIN_DATASET_H
#define IB_TRAIN_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/file.h"
#include "latent/guides.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_DATASET_MAX_SHAPES = 8 };

/* One latent file. */
typedef struct ib_video {
    char *path; /* owned by the dataset, as is all that follows */
    ib_latent_info info;
    bool valid;     /* validates; else trains */
    bool elsewhere; /* trains, but another rank of a cluster */
    int shape;      /* index into the dataset's shapes */
    double *pts;    /* [frames] seconds */
    size_t *shot;   /* [shots + 1]: first frame of each shot, then the number of frames */
    size_t shots;
    ib_guide_table guides; /* its arrays are owned; no guides: empty */
    ib_latent_file *file;  /* NULL while closed */
    uint64_t used;         /* for the choice of the one to close */
} ib_video;

typedef struct ib_dataset ib_dataset;

/* cache_bytes: for frames (at least a few are held); open_files: most files open at once, >= 1. */
int ib_dataset_create(ib_dataset **out, size_t cache_bytes, int open_files, ib_error *err);
void ib_dataset_free(ib_dataset **d);

/* Adds files (a directory stands for the .h5 files in it). Each is opened, checked and closed again. Refused,
 * naming the files: another space or width than the first one's (IB_E_MISMATCH), more than
 * IB_DATASET_MAX_SHAPES different grids (IB_E_UNSUPPORTED), guides of another pixel model, anything that
 * ib_latent_open refuses. A file that was already added, or another encoding of the same video at the same
 * size and rate, is passed over when both have the same role. */
int ib_dataset_add(ib_dataset *d, const ib_paths *paths, bool valid, ib_error *err);

/* Call once after all is added and before anything is read: puts the clips into an order that does not depend
 * on the order or place of the files, refuses a video that both trains and validates (IB_E_ARGUMENT, by the
 * SHA-256 of the source) and, if no file was added for validation, moves all files of round(fraction *
 * videos) videos over (at least one if there are three videos or more and fraction > 0, never all). The
 * choice depends on seed and videos only. */
int ib_dataset_settle(ib_dataset *d, double fraction, uint64_t seed, ib_error *err);

/* Frames of a shot at which a window of this gap can begin. */
size_t ib_video_starts(const ib_video *c, size_t shot, size_t gap);
/* First frames of windows of a gap, end to end within shots as ib_score_windows has them; more than `most`
 * are evenly spread. firsts: [most]. Their number. */
size_t ib_video_windows(const ib_video *c, int gap, size_t most, size_t *firsts);
/* Indices of validating clips, at most `most`, evenly spread. clips: [most]. Their number. */
size_t ib_dataset_validating(const ib_dataset *d, size_t most, size_t *clips);
/* How often a clip is drawn, among others: the sum of n / (n + 64) over its shots, n the windows of this gap
 * that begin in one, or where that is above 1 its square root. Long shots thus count alike, and a film of
 * many as several. */
double ib_video_weight(const ib_video *c, size_t gap);

/* Deals the training videos out to `ranks` ranks, the heaviest (ib_video_weight, gap 0) first and each to the
 * rank that holds least so far, and marks those that are not `rank`'s: the same on every rank. IB_E_ARGUMENT
 * if there are fewer videos than ranks. Call after settling. */
int ib_dataset_deal(ib_dataset *d, int rank, int ranks, ib_error *err);

/* Latent files, and one of them. */
size_t ib_dataset_files(const ib_dataset *d);
const ib_video *ib_dataset_video(const ib_dataset *d, size_t i);
size_t ib_dataset_shapes(const ib_dataset *d);
const ib_shape *ib_dataset_shape(const ib_dataset *d, size_t i);
size_t ib_dataset_values(const ib_dataset *d); /* T D of the largest shape */
/* Number of different videos that validate, or that train. */
size_t ib_dataset_videos(const ib_dataset *d, bool valid);
/* Lower-case hex SHA-256 over what defines the data: role, source, size and length of every
 * clip, in order. */
void ib_dataset_identity(const ib_dataset *d, char hex[65]);

/* Guides are not looked at from now on: as if the files had none. Before settling. */
void ib_dataset_forget_guides(ib_dataset *d);
/* The pixel model of the guides (latent/guides.h); empty: no file has any. */
const char *ib_dataset_guide_model(const ib_dataset *d);
/* Largest gap of a training file that has guides; 0: none. */
int ib_dataset_guide_gap(const ib_dataset *d);
/* One guide of a clip, as ib_dataset_frame: h: [IB_GUIDE_PICTURES,T,D]. */
int ib_dataset_guide(ib_dataset *d, size_t clip, size_t guide, uint16_t *h, ib_error *err);

/* The open file of a clip; borrowed, until the next call on the dataset. */
int ib_dataset_file(ib_dataset *d, size_t clip, ib_latent_file **file, ib_error *err);
/* One frame as stored, copied. h: [T,D] IEEE half. IB_E_NONFINITE names file and frame if a value is not
 * finite. */
int ib_dataset_frame(ib_dataset *d, size_t clip, size_t frame, uint16_t *h, ib_error *err);
/* Looks for values that are not finite in at most max_frames frames, spread evenly (all of them if there are
 * no more). */
int ib_dataset_scan(ib_dataset *d, size_t max_frames, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
