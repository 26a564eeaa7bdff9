/* How commands that read videos let their pictures be read, and those that write clips let them be written.
 */
#ifndef IB_CLI_PICTURE_OPTIONS_H
#define IB_CLI_PICTURE_OPTIONS_H

#include "cli/cli.h"

/* A line of a table of options. */
#define CLI_DEINTERLACE                                                                                      \
    {                                                                                                        \
        .name = "deinterlace", .kind = CLI_TEXT, .value = "HOW", .initial = "auto",                          \
        .help = "auto: deinterlace frames of interlaced video; off: keep them as they are"                   \
    }

/* Lines of a table of options, for commands that write clips. */
#define CLI_CLIP                                                                                             \
    {.name = "overwrite",                                                                                    \
     .kind = CLI_FLAG,                                                                                       \
     .help = "let a sequence of pictures replace pictures of the same names; without it the sequence is "    \
             "refused"},                                                                                     \
        {.name = "codec",                                                                                    \
         .kind = CLI_TEXT,                                                                                   \
         .value = "NAME",                                                                                    \
         .help = "encoder, by FFmpeg's name (default: by the output's ending)"},                             \
    {                                                                                                        \
        .name = "crf", .kind = CLI_INT, .value = "N", .min = 0, .max = 255,                                  \
        .help =                                                                                              \
            "constant rate factor of the encoder; lower means better and larger; by default 18 for H.264"    \
    }

/* What --deinterlace says. 0, or the status of wrong usage. */
int cli_keep_interlaced(cli *c, bool *keep);
/* One line of status if some of what was read is interlaced. */
void cli_tell_interlaced(cli *c, size_t inputs, bool kept);

#endif
