#include "weights/parents.h"

#include <jansson.h>
#include <math.h>

#include "base/json.h"

char *ib_parents_json(const ib_parent *parents, size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        const ib_parent *p = &parents[i];
        json_t *one = json_object();
        json_object_set_new(one, "role", json_string(p->role));
        json_object_set_new(one, "name", ib_json_text(p->name));
        json_object_set_new(one, "sha256", json_string(p->sha256));
        if (!isnan(p->weight)) {
            json_object_set_new(one, "weight", json_real(p->weight));
        }
        json_array_append_new(all, one);
    }
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}
