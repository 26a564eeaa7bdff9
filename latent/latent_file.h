/* Latent files: one HDF5 file per source video (layout in docs/files.md). Any thread may call these
 * functions: they take the process-wide lock of latent/hdf5.h around HDF5. One handle belongs to one thread
 * at a time, except that several threads may read from one open file. */
#ifndef IB_LATENT_LATENT_FILE_H
#define IB_LATENT_LATENT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/api.h"
#include "latent/space.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How source files become frames. 1: samples as they are stored. 2: square, upright by EXIF in PNG, WebP and
 * TIFF too, HDR and BT.2020 as SDR BT.709, interlaced frames deinterlaced unless that was not wanted. */
enum { IB_PICTURE_VERSION = 2 };

typedef struct ib_latent_info {
    char space_id[256];
    ib_shape shape;
    size_t frames;                 /* N; ignored when writing */
    int frame_width, frame_height; /* luma samples of the frames that were encoded */
    int matrix;                    /* ib_matrix of those frames */
    double fps;                    /* of the frames kept (after --every), > 0 */
    int every;                     /* >= 1 */
    int fit;                       /* ib_fit with which they were made */
    char source[512];              /* base name of the source video */
    char source_sha256[65];        /* empty: the source was a stream */
    int picture_version; /* IB_PICTURE_VERSION of the program that made it; 1 where the file does not say; 0
                            when writing: not said */
    bool deinterlaced;   /* interlaced frames, if there were any, were deinterlaced; false before version 2 */
    int64_t source_bytes, source_mtime_ns; /* of the source file when it was encoded; 0: unknown */
} ib_latent_info;

typedef struct ib_latent_writer ib_latent_writer;
IB_API int ib_latent_writer_create(ib_latent_writer **out, const char *path, const ib_latent_info *info,
                                   ib_error *err);
/* Appends one frame, stored as IEEE half. z: [T,D]; IB_E_NONFINITE if not finite or beyond half's range;
 * IB_E_ARGUMENT if the time lies before the last frame's. The first frame begins a shot whatever `cut` says.
 * After an error only abort is of use. */
IB_API int ib_latent_writer_append(ib_latent_writer *w, const float *z, double pts_seconds, bool cut,
                                   ib_error *err);
/* Of the frames appended so far: their number, [frames] times and cuts. Borrowed until the next call. */
IB_API size_t ib_latent_writer_frames(const ib_latent_writer *w);
IB_API const double *ib_latent_writer_pts(const ib_latent_writer *w);
IB_API const uint8_t *ib_latent_writer_cuts(const ib_latent_writer *w);
/* Publishes the file; *w becomes NULL whatever the result. No frame at all: IB_E_EMPTY and no file. */
IB_API int ib_latent_writer_finish(ib_latent_writer **w, ib_error *err);
IB_API void ib_latent_writer_abort(ib_latent_writer **w);

/* True if a file begins as a latent file does, damaged or not: HDF5's signature and, near it, the format's
 * name. Also for an empty file, which holds nothing. For deciding what may be replaced; opening checks
 * everything. */
IB_API bool ib_latent_is_ours(const char *path);
/* True if a file's name ends as those of latent files do; for directories. */
IB_API bool ib_is_latent_name(const char *name);

typedef struct ib_latent_file ib_latent_file;
/* Checks every attribute and extent before use; the whole latents are not read. IB_E_FORMAT names what is
 * wrong. An open file holds its description in memory (9 bytes a frame) and one descriptor. */
IB_API int ib_latent_open(ib_latent_file **out, const char *path, ib_error *err);
IB_API void ib_latent_close(ib_latent_file **f);
IB_API const ib_latent_info *ib_latent_info_of(const ib_latent_file *f);
IB_API const char *ib_latent_path(const ib_latent_file *f);
IB_API const double *ib_latent_pts(const ib_latent_file *f);   /* [N] seconds */
IB_API const uint8_t *ib_latent_cuts(const ib_latent_file *f); /* [N], 1 where a new shot begins; [0] is 1 */
/* Reads `count` frames from `first`. z: [count,T,D]. IB_E_NONFINITE names file and frame if a value is not
 * finite; IB_E_FORMAT if a frame does not match its checksum. */
IB_API int ib_latent_read(ib_latent_file *f, size_t first, size_t count, float *z, ib_error *err);
/* The same as stored. h: [count,T,D] IEEE half bits; values are not checked. */
IB_API int ib_latent_read_half(ib_latent_file *f, size_t first, size_t count, uint16_t *h, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
