/* A model in several safetensors files, with an index beside them that says which tensor is in which. */
#ifndef IB_BASE_SHARDS_H
#define IB_BASE_SHARDS_H

#include "base/error.h"
#include "base/file.h"

enum { IB_MAX_SHARDS = 1000 };

/* Adds the files that the 'weight_map' of a JSON index names to `files`, each once, as `folder`/NAME; they
 * are not looked at. IB_E_FORMAT for names that lead out of the folder, or more than IB_MAX_SHARDS of them.
 */
int ib_shards_list(ib_paths *files, const char *index, const char *folder, ib_error *err);

#endif
