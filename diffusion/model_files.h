/* Inside diffusion/ only: which files hold a part of a model. */
#ifndef IB_DIFFUSION_MODEL_FILES_H
#define IB_DIFFUSION_MODEL_FILES_H

#include "base/error.h"
#include "base/file.h"

/* The safetensors files of the part, and the folder in which they lie (malloc'ed). path: a model's folder,
 * the part's folder, an index of shards, or a file; of TAESD's two files either brings the other. In a
 * folder, diffusers' plain file before the index, then half precision, bfloat16 and other variants, then any
 * one safetensors file. IB_E_UNSUPPORTED, with what to do, for files of kinds that are not read. On failure
 * nothing is held. */
int ib_model_files(ib_paths *files, char **folder, const char *path, const char *part, ib_error *err);

#endif
