#include "base/shards.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/json_file.h"

/* One more file, unless it is there. */
static int add_shard(ib_paths *files, const char *index, const char *folder, const char *name,
                     ib_error *err) {
    char *path = ib_join(folder, name);
    bool known = false;
    int rc = path ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", index);
    for (size_t i = files->n; !rc && i-- > 0 && !known;) {
        known = !strcmp(files->v[i], path);
    }
    if (!rc && !known) {
        rc = files->n < IB_MAX_SHARDS
                 ? ib_paths_add(files, path, err)
                 : ib_fail(err, IB_E_FORMAT, "%s: names more than %d files", index, IB_MAX_SHARDS);
    }
    free(path);
    return rc;
}

int ib_shards_list(ib_paths *files, const char *index, const char *folder, ib_error *err) {
    json_t *root, *v;
    const char *key;
    int rc = ib_json_load(&root, index, IB_JSON_LARGE_BYTES, err);
    if (rc) {
        return rc;
    }
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || !json_object_size(map)) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: there is no 'weight_map' from tensors to files", index);
    }
    json_object_foreach(map, key, v) {
        const char *name = json_string_value(v);
        if (rc) {
            break;
        }
        if (!name || !*name || *name == '.' || strchr(name, '/')) {
            rc = ib_fail(err, IB_E_FORMAT, "%s: tensor '%.100s' is not said to be in a file beside it", index,
                         key);
        } else {
            rc = add_shard(files, index, folder, name, err);
        }
    }
    json_decref(root);
    return rc;
}
