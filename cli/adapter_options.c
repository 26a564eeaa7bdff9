#include "cli/adapter_options.h"

#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"

const char *cli_default_adapter(void) {
    ib_error ignored = {0};
    char *file;
    int rc = ib_adapter_named_file(&file, IB_ADAPTER_DEFAULT, &ignored);
    free(file);
    return rc ? IB_ADAPTER_PRIOR : IB_ADAPTER_DEFAULT;
}

void cli_warn_of_prior(cli *c) {
    ib_error why = {0};
    char *file;
    if (ib_adapter_named_file(&file, IB_ADAPTER_DEFAULT, &why)) {
        cli_warn(c, "%s; the untrained model takes its place (--adapter prior)", why.text);
    }
    free(file);
}

const char *cli_adapter(cli *c, const char *word) {
    const char *name = word ? word : IB_ADAPTER_DEFAULT;
    if (!strcmp(name, IB_ADAPTER_DEFAULT)) {
        name = cli_default_adapter();
        if (!strcmp(name, IB_ADAPTER_PRIOR)) {
            cli_warn_of_prior(c);
        }
    }
    return strcmp(name, IB_ADAPTER_NONE) ? name : NULL;
}
