/* Models by name: those that come with the program, and repositories of the Hugging Face hub as its own
 * programs left them on this machine. Nothing is downloaded. Not installed. */
#ifndef IB_BASE_MODEL_PATH_H
#define IB_BASE_MODEL_PATH_H

#include "base/error.h"

/* The path that a name stands for, malloc'ed. A path that exists is itself, whatever it looks like. Else
 * - one word is a folder that comes with the program (base/beside.h), or its subfolder `part` if it has one;
 * - OWNER/NAME, or OWNER/NAME/PATH for a part of it, is looked for in the hub's cache ($HF_HUB_CACHE, else
 *   $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub): what the branch
 *   `main` was at the last download. The layout of the cache:
 *   huggingface.co/docs/huggingface_hub/guides/manage-cache.
 * What is nowhere stays as it was given, for the sentence of whoever opens it. part: NULL: none. */
int ib_model_path(char **path, const char *name, const char *part, ib_error *err);

#endif
