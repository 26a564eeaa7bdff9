/* Models of the Hugging Face hub by their repositories' names, as its own programs left them on this
 * machine. Nothing is downloaded. Not installed. */
#ifndef IB_BASE_HUB_H
#define IB_BASE_HUB_H

#include "base/error.h"

/* The path that a name stands for, malloc'ed. A path that exists is itself, whatever it looks like. Else
 * OWNER/NAME, or OWNER/NAME/PATH for a part of it, is looked for in the hub's cache ($HF_HUB_CACHE, else
 * $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub): what the branch `main`
 * was at the last download. What is not there stays as it was given, for the sentence of whoever opens it.
 * The layout of the cache: huggingface.co/docs/huggingface_hub/guides/manage-cache. */
int ib_hub_path(char **path, const char *name, ib_error *err);

#endif
