/* What the latent files of a run are called. */
#ifndef IB_CLI_RESULT_NAMES_H
#define IB_CLI_RESULT_NAMES_H

#include <stddef.h>
#include "base/error.h"

/* A path in `dir` for each input, all different: DIR/clip.h5; DIR/clip.mp4.h5 where several inputs share the
 * short name, where the short one holds another source's latents already, or where this longer one is there
 * already; DIR/folder-clip.mp4.h5 where that is shared too. output: [n], each malloc'ed, all NULL on failure.
 * IB_E_ARGUMENT names two inputs that even then collide. */
int cli_result_names(const char *const *input, size_t n, const char *dir, char **output, ib_error *err);

#endif
