#include "cli/space_options.h"

#include <string.h>
#include "base/output.h"

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

static bool is_model_file(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (!strcmp(dot, ".safetensors") || !strcmp(dot, ".json") || !strcmp(dot, ".txt"));
}

int cli_space_check_output(const cli *c, const char *output, ib_error *err) {
    const char *const model[] = {cli_text(c, "space"), cli_text(c, "tokenizer")};
    return ib_output_check(output, model, 2, is_model_file, err);
}
