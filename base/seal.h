/* A checksum inside the file that it is of. What opens a sealed file can rely on its bytes: HDF5, for one, is
 * not built to survive others. */
#ifndef IB_BASE_SEAL_H
#define IB_BASE_SEAL_H

#include <stddef.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The seal: a place of 64 bytes after this mark, which holds the lower-case hex SHA-256 of the file with the
 * place filled with '0'. */
#define IB_SEAL_MARK "inbetween-sha256:"
/* Fills the place. IB_E_FORMAT if there is none. */
int ib_seal_write(const char *path, ib_error *err);
/* IB_E_FORMAT if there is no seal or it is not the file's. Maps the file. */
int ib_seal_check(const char *path, ib_error *err);
/* The same of a file in memory; `path` is for the sentence. */
int ib_seal_check_bytes(const void *bytes, size_t size, const char *path, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
