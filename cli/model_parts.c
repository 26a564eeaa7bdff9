#include "cli/model_parts.h"

#include <stdlib.h>
#include <string.h>
#include "adapter/named.h"
#include "base/file.h"
#include "base/model_path.h"

const char *cli_clip_path(const cli *c) {
    static const char mark[] = "clip:";
    const char *name = cli_text(c, "space");
    return name && !strncmp(name, mark, sizeof mark - 1) ? name + sizeof mark - 1 : NULL;
}

char *cli_model_part(const char *folder, const char *name) {
    char *path = ib_join(folder, name);
    if (path && ib_is_file(path)) {
        return path;
    }
    free(path);
    return NULL;
}

/* The adapter in the folder of the space's weights; NULL: there is none. */
static char *adapter_beside(const char *clip, const ib_space *space) {
    ib_error ignored = {0};
    ib_shape shape;
    char *folder = NULL, *file = NULL;
    if (clip && space && !ib_space_shape(space, 64, 64, &shape, &ignored) &&
        !ib_model_path(&folder, clip, "clip", &ignored)) {
        file = cli_model_part(folder, shape.layout == IB_LAYOUT_SINGLE ? "adapter-pooled.safetensors"
                                                                       : "adapter-penultimate.safetensors");
    }
    free(folder);
    return file;
}

static bool is_of(const char *file, const char *space_id) {
    ib_error ignored = {0};
    ib_adapter *a = NULL;
    bool is = !ib_adapter_open(&a, file, &ignored) && !ib_adapter_check_space(a, space_id, file, &ignored);
    ib_adapter_free(&a);
    return is;
}

int cli_space_adapter(cli *c, ib_space *space, const char **adapter, char **own) {
    bool insists = *adapter && !strcmp(*adapter, IB_ADAPTER_DEFAULT);
    *own = NULL;
    if (*adapter && !insists) {
        *adapter = strcmp(*adapter, IB_ADAPTER_NONE) ? *adapter : NULL;
        return CLI_DONE;
    }
    *own = adapter_beside(cli_clip_path(c), space);
    if (insists && !*own) {
        return cli_usage(c, "--adapter default: none comes with this space; name a file");
    }
    if (!insists && *own && !is_of(*own, ib_space_id(space))) {
        free(*own);
        *own = NULL;
    }
    if (*own) {
        cli_status(c, "%s leads, which comes with the space (--adapter none: slerp)", cli_shown(c, *own));
    }
    *adapter = *own;
    return CLI_DONE;
}
