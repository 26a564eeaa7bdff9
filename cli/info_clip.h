/* What `inbetween info` says about a safetensors file with CLIP towers in it. */
#ifndef IB_CLI_INFO_CLIP_H
#define IB_CLI_INFO_CLIP_H

#include <jansson.h>
#include "base/error.h"

/* Adds "image tower", "text tower", preprocessing, tokenizer and the ids of its spaces to o. Files beside it
 * are read, too. */
int cli_info_clip(const char *path, json_t *o, ib_error *err);

#endif
