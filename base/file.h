/* Files as this project wants them on disk: complete or not there. */
#ifndef IB_BASE_FILE_H
#define IB_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A file under construction. The content is written to `temp` (same directory, name ".NAME.RANDOM.tmp") and
 * takes its final name only in ib_pending_publish, after fsync of file and directory. A file that it replaces
 * gives it its permissions. */
typedef struct ib_pending {
    char *final; /* owned */
    char *temp;  /* owned; write here, with any library */
} ib_pending;

/* Chooses the temporary name and checks that the directory exists and can be written (creates nothing else
 * than an empty temp file; temp files of the same name that a killed run left more than an hour ago are
 * removed). IB_E_IO too if there is a file of that name which may not be written, though renaming could
 * replace it. */
IB_API int ib_pending_begin(ib_pending *p, const char *path, ib_error *err);
/* fsync, rename, fsync of the directory; frees the names. On failure the temp file is removed. */
IB_API int ib_pending_publish(ib_pending *p, ib_error *err);
/* Removes the temp file and frees the names. Harmless on a zeroed or published one. */
IB_API void ib_pending_abort(ib_pending *p);

/* Creates a directory and its parents; fine if it exists, IB_E_IO if it cannot be or is a file. */
IB_API int ib_mkdirs(const char *path, ib_error *err);
IB_API bool ib_is_dir(const char *path);
IB_API bool ib_is_file(const char *path);
/* Last component of a path, without its directory; the pointer is into `path`. */
IB_API const char *ib_basename(const char *path);
/* malloc'ed "dir/name"; NULL when memory is out. */
IB_API char *ib_join(const char *dir, const char *name);

/* Growing list of owned strings. */
typedef struct ib_paths {
    char **v;
    size_t n;
} ib_paths;
IB_API int ib_paths_add(ib_paths *l, const char *path, ib_error *err);
IB_API void ib_paths_free(ib_paths *l);
/* Adds `path` itself if it is a file, or, if it is a directory, the regular files in it (not below it) for
 * which accept(name) is true (NULL: all), in bytewise order of their names; hidden files never. IB_E_IO if
 * there is no such path, IB_E_EMPTY if a directory holds nothing acceptable. */
IB_API int ib_paths_expand(ib_paths *l, const char *path, bool (*accept)(const char *name), ib_error *err);

/* Lower-case hex SHA-256 of a file's bytes, or of bytes in memory. hex: 65 bytes. */
IB_API int ib_sha256_file(const char *path, char hex[65], ib_error *err);
IB_API void ib_sha256_bytes(const void *bytes, size_t n, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
