/* What `inbetween info` says about an image diffusion model. */
#ifndef IB_CLI_INFO_MODEL_H
#define IB_CLI_INFO_MODEL_H

#include <jansson.h>
#include "base/error.h"

/* path: what ib_model_is says yes to. Adds family, U-Net, autoencoder, parts and what is missing to o. */
int cli_info_model(const char *path, json_t *o, ib_error *err);

#endif
