/* HDF5 for the two rooms that use it (latent/ and train/): one lock, attributes, and its error stack as our
 * errors.
 *
 * HDF5 may be built without thread safety, so every call of it in this process happens between ib_hdf5_lock
 * and ib_hdf5_unlock. The functions below other than the lock expect the caller to hold it. */
#ifndef IB_LATENT_HDF5_H
#define IB_LATENT_HDF5_H

#include <hdf5.h>
#include <stdint.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the process-wide lock (not recursive) and keeps HDF5 from printing in this thread: the reason of the
 * first call that fails is kept instead. Unlocking puts back what the thread did with
 * HDF5's errors before. */
void ib_hdf5_lock(void);
void ib_hdf5_unlock(void);

/* ib_fail with "WHAT PATH: REASON", the reason that the first failed call since the lock was taken (or since
 * this function was last called) gave: the innermost entry of HDF5's error stack; the system's own words if
 * it has them. */
int ib_hdf5_fail(ib_error *err, int code, const char *what, const char *path);

/* Of the library that runs: "1.10.8". Takes the lock. */
void ib_hdf5_version(char text[32]);

/* File creation and access properties of everything we write: format of HDF5 1.10 with checksummed metadata,
 * no time stamps, all attributes kept in the object header. H5I_INVALID_HID when memory is out; close with
 * H5Pclose. */
hid_t ib_hdf5_creation(void);
hid_t ib_hdf5_access(void);
/* IB_E_FORMAT unless the file begins with a superblock of the checksummed kind (version 2 or 3) and is not
 * shorter than the superblock says; damaged files of older kinds have crashed HDF5. Checks the lock too. Does
 * not call HDF5. */
int ib_hdf5_check(const char *path, ib_error *err);
/* IB_E_IO if another program has the file open for writing, as HDF5 locks it then, and as far as its
 * HDF5_USE_FILE_LOCKING wants that known. A file that is not there passes. Does not call HDF5. */
int ib_hdf5_check_lock(const char *path, ib_error *err);

/* IEEE 754 binary16, little-endian; close with H5Tclose. */
hid_t ib_hdf5_half(void);

/* Scalar attributes of an open object. Text is stored as a fixed-length, zero-padded UTF-8 string. Negative:
 * failed. */
int ib_hdf5_put_text(hid_t object, const char *name, const char *text);
int ib_hdf5_put_int(hid_t object, const char *name, int64_t value);
int ib_hdf5_put_real(hid_t object, const char *name, double value);
/* The same, checked: IB_E_FORMAT "PATH: attribute NAME is missing / is not ..." . size: of the buffer, with
 * the final zero. */
int ib_hdf5_get_text(hid_t object, const char *path, const char *name, char *text, size_t size,
                     ib_error *err);
int ib_hdf5_get_int(hid_t object, const char *path, const char *name, int64_t min, int64_t max,
                    int64_t *value, ib_error *err);
int ib_hdf5_get_real(hid_t object, const char *path, const char *name, double *value, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
