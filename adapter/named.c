#include "adapter/named.h"

#include <stdlib.h>
#include <string.h>
#include "base/beside.h"

static bool is_none(const char *name) {
    return !name || !strcmp(name, IB_ADAPTER_NONE);
}

int ib_adapter_named_file(char **file, const char *name, ib_error *err) {
    *file = NULL;
    if (is_none(name) || !strcmp(name, IB_ADAPTER_PRIOR)) {
        return IB_OK;
    }
    if (!strcmp(name, IB_ADAPTER_DEFAULT)) {
        return ib_beside_program(file, "default.safetensors", err);
    }
    *file = strdup(name);
    return *file ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", name);
}

static int make_prior(ib_adapter **out, ib_error *err) {
    ib_adapter_config c;
    ib_space *space = NULL;
    ib_shape shape;
    int rc = ib_space_open(&space, "patch", err);
    rc = rc ? rc : ib_space_shape(space, 16, 16, &shape, err);
    rc = rc ? rc : ib_adapter_preset("default", ib_space_id(space), shape.layout, (int)shape.width, &c, err);
    rc = rc ? rc : ib_adapter_create(out, &c, 1, err);
    ib_space_close(&space);
    return rc;
}

int ib_adapter_open_named(ib_adapter **out, const char *name, ib_error *err) {
    char *file = NULL;
    *out = NULL;
    if (is_none(name)) {
        return IB_OK;
    }
    if (!strcmp(name, IB_ADAPTER_PRIOR)) {
        return make_prior(out, err);
    }
    int rc = ib_adapter_named_file(&file, name, err);
    rc = rc ? rc : ib_adapter_open(out, file, err);
    free(file);
    return rc;
}
