/* Inside render/: what of a diffused clip is text: its inputs, its key, how it was made. */
#ifndef IB_RENDER_DIFFUSED_TEXT_H
#define IB_RENDER_DIFFUSED_TEXT_H

#include "base/resume.h"
#include "render/diffusing.h"

/* All files and prompts that the clip depends on and the output may not replace. malloc'ed list of borrowed
 * texts, NULL without memory. */
const char **ib_diffused_inputs(const ib_diffused_options *o, size_t *n);
/* The output's name for base/resume.h, malloc'ed. Picture sequences get one of their own, since their writer
 * uses the folder of the output's. */
char *ib_diffused_folder_name(const char *output);
/* Adds what the frames depend on beside the inputs. */
void ib_diffused_key(ib_key *k, const ib_diffused_options *o, int width, int height);
/* "3 min" */
void ib_diffused_time(char *text, size_t bytes, double seconds);
/* The prompt, the negative prompt and one line of settings, as other programs write and read it in PNG
 * files, with the SHA-256 of model, adapter and IP-Adapter. *text: malloc'ed. */
int ib_diffused_describe(char **text, const ib_diffused_options *o, const ib_diffusing_about *about,
                         int width, int height, ib_error *err);

#endif
