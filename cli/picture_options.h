/* How commands that read videos let their pictures be read. */
#ifndef IB_CLI_PICTURE_OPTIONS_H
#define IB_CLI_PICTURE_OPTIONS_H

#include "cli/cli.h"

/* A line of a table of options. */
#define CLI_DEINTERLACE                                                                                      \
    {                                                                                                        \
        .name = "deinterlace", .kind = CLI_TEXT, .value = "HOW", .initial = "auto",                          \
        .help = "auto: deinterlace frames of interlaced video; off: keep them as they are"                   \
    }

/* What it says. 0, or the status of wrong usage. */
int cli_keep_interlaced(cli *c, bool *keep);
/* One line of status if some of what was read is interlaced. */
void cli_tell_interlaced(cli *c, size_t inputs, bool kept);

#endif
