#include "cli/space_options.h"

#include <string.h>

int cli_space_options(cli *c, ib_space_options *o) {
    const char *tokens = cli_text(c, "tokens"), *fit = cli_text(c, "fit");
    if (strcmp(fit, "crop") && strcmp(fit, "squash")) {
        return cli_usage(c, "--fit is 'crop' or 'squash', not '%s'", fit);
    }
    if (strcmp(tokens, "pooled") && strcmp(tokens, "penultimate")) {
        return cli_usage(c, "--tokens is 'pooled' or 'penultimate', not '%s'", tokens);
    }
    *o = (ib_space_options){.fit = strcmp(fit, "squash") ? IB_FIT_CROP : IB_FIT_SQUASH,
                            .tokens = strcmp(tokens, "pooled") ? IB_TOKENS_PENULTIMATE : IB_TOKENS_POOLED,
                            .activation = cli_text(c, "activation"),
                            .tokenizer = cli_text(c, "tokenizer"),
                            .threads = cli_threads(c)};
    return CLI_DONE;
}
