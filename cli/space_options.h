/* The options by which several subcommands describe a space, beside --space itself. */
#ifndef IB_CLI_SPACE_OPTIONS_H
#define IB_CLI_SPACE_OPTIONS_H

#include "cli/cli.h"
#include "latent/space.h"

/* Entries of a command's table of options. */
#define CLI_SPACE_OPTIONS                                                                                    \
    {.name = "fit",                                                                                          \
     .kind = CLI_TEXT,                                                                                       \
     .value = "HOW",                                                                                         \
     .initial = "crop",                                                                                      \
     .help = "crop: fill the size and crop the rest; squash: scale both sides independently"},               \
        {.name = "tokens",                                                                                   \
         .kind = CLI_TEXT,                                                                                   \
         .value = "WHICH",                                                                                   \
         .initial = "pooled",                                                                                \
         .help = "clip: pooled: one embedding per frame, in the space of prompts; penultimate: the hidden "  \
                 "tokens before the last block"},                                                            \
        {.name = "activation",                                                                               \
         .kind = CLI_TEXT,                                                                                   \
         .value = "NAME",                                                                                    \
         .help = "clip: quick_gelu (OpenAI's models) or gelu (most others), if no config beside the "        \
                 "weights says it"},                                                                         \
    {                                                                                                        \
        .name = "tokenizer", .kind = CLI_TEXT, .value = "PATH",                                              \
        .help = "clip: folder with vocab.json and merges.txt, or tokenizer.json, if it is not beside the "   \
                "weights"                                                                                    \
    }

/* 0, or the status of wrong usage. */
int cli_space_options(cli *c, ib_space_options *o);
/* IB_E_ARGUMENT if `output` is a file of the model or the tokenizer that the options name. */
int cli_space_check_output(const cli *c, const char *output, ib_error *err);

#endif
