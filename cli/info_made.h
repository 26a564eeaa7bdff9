/* What `inbetween info` says about how a picture or clip was made. */
#ifndef IB_CLI_INFO_MADE_H
#define IB_CLI_INFO_MADE_H

#include <jansson.h>

/* text: prompt, negative prompt and settings in the form that image generators write ("Steps: 20, Sampler:
 * ..."): an object of them. NULL for any other text. */
json_t *cli_info_made(const char *text);

#endif
