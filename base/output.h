/* Outputs that take nothing from the user: what is checked before anything is written. */
#ifndef IB_BASE_OUTPUT_H
#define IB_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* IB_E_ARGUMENT if `output` is, by device and inode and through links, one of the inputs, or one of the files
 * that an input stands for which is a folder: those directly in it for whose names accept is true, as
 * ib_paths_expand takes them (NULL: none). inputs: [n] as a user writes them: paths, FILE@TIME, KIND:PATH
 * (clip:MODEL); NULL, prompts (text:...) and what does not exist are passed over. An output that does not
 * exist yet, or is a folder, is fine. */
int ib_output_check(const char *output, const char *const *inputs, size_t n, bool (*accept)(const char *name),
                    ib_error *err);

/* IB_E_IO if no file can be put there, as ib_pending_begin says. What takes long asks before it begins;
 * nothing stays. */
int ib_output_try(const char *output, ib_error *err);

/* Gives the file `from` the name `to`, in one file system. replace false: IB_E_IO if there is something of
 * that name, which stays as it is. Durable only after the folder was synchronised (ib_sync_folder_of). */
int ib_move(const char *from, const char *to, bool replace, ib_error *err);
/* fsync of the folder that `path` lies in; file systems that refuse that are no error. */
int ib_sync_folder_of(const char *path, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
