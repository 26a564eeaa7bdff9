#include "cli/picture_options.h"

#include <string.h>

int cli_keep_interlaced(cli *c, bool *keep) {
    const char *how = cli_text(c, "deinterlace");
    *keep = !strcmp(how, "off");
    return *keep || !strcmp(how, "auto") ? CLI_DONE
                                         : cli_usage(c, "--deinterlace wants auto or off, got '%s'", how);
}

void cli_tell_interlaced(cli *c, size_t inputs, bool kept) {
    if (inputs) {
        cli_status(c,
                   kept ? "%zu of the inputs are interlaced, and kept so"
                        : "%zu of the inputs are interlaced, deinterlaced (--deinterlace off keeps them)",
                   inputs);
    }
}
