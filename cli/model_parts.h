/* Files that lie ready in a model's folder, by fixed names, and are used where nothing else is named:
 *   ip-adapter.safetensors, ip-adapter-plus.safetensors   of a renderer: for pooled embeddings, hidden tokens
 *   lcm-lora.safetensors   of a renderer, for --draft
 *   adapter-pooled.safetensors, adapter-penultimate.safetensors   of a CLIP: in-between models of its spaces
 */
#ifndef IB_CLI_MODEL_PARTS_H
#define IB_CLI_MODEL_PARTS_H

#include "cli/cli.h"
#include "latent/space.h"

/* PATH of --space clip:PATH, as it was given; NULL for other spaces and none. */
const char *cli_clip_path(const cli *c);
/* The path of that file, malloc'ed; NULL if the folder has none or `folder` is a file. */
char *cli_model_part(const char *folder, const char *name);
/* The adapter of a space of embeddings. *adapter: what the command line said, NULL for nothing. *own: NULL,
 * or what the caller frees when *adapter is used no more. Without a word it is the one in the folder that
 * --space names, if it is of this very space; "default" insists on it, "none" is slerp. Returns the exit
 * status. */
int cli_space_adapter(cli *c, ib_space *space, const char **adapter, char **own);

#endif
