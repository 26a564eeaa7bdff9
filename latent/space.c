#include "latent/space.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "latent/space_kind.h"

/* Every space there is. */
static const ib_space_kind *const kinds[] = {&ib_space_patch};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *ib_layout_name(ib_layout l) {
    static const char *const names[] = {"grid", "sequence", "single"};
    return (unsigned)l < 3 ? names[l] : "?";
}

int ib_space_open(ib_space **out, const char *spec, ib_error *err) {
    size_t n = strcspn(spec, ":");
    char known[128] = "";
    *out = NULL;
    for (int i = 0; i < N_KINDS; i++) {
        const ib_space_kind *k = kinds[i];
        if (i)
            strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, k->usage, sizeof known - strlen(known) - 1);
        if (strlen(k->name) != n || memcmp(k->name, spec, n))
            continue;
        ib_space *s = calloc(1, sizeof *s);
        if (!s)
            return ib_fail(err, IB_E_MEMORY, "out of memory for space '%.200s'", spec);
        s->kind = k;
        int code = k->open(s, spec[n] ? spec + n + 1 : NULL, err);
        if (code) {
            free(s);
            return code;
        }
        *out = s;
        return IB_OK;
    }
    return ib_fail(err, IB_E_ARGUMENT, "unknown space '%.200s', expected one of: %s", spec, known);
}

void ib_space_close(ib_space **s) {
    if (!*s)
        return;
    if ((*s)->kind->close)
        (*s)->kind->close(*s);
    free(*s);
    *s = NULL;
}

const char *ib_space_id(const ib_space *s) {
    return s->id;
}

int ib_space_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err) {
    if (width < 1 || height < 1 || width > 16384 || height > 16384)
        return ib_fail(err, IB_E_ARGUMENT, "a frame of %d x %d is outside 1..16384", width, height);
    return s->kind->shape(s, width, height, shape, err);
}

int ib_space_encode(const ib_space *s, const ib_frame *frame, float *z, ib_error *err) {
    return s->kind->encode(s, frame, z, err);
}

bool ib_space_decodes(const ib_space *s) {
    return s->kind->decode != NULL;
}

int ib_space_decode(const ib_space *s, const float *z, ib_frame *frame, ib_error *err) {
    if (!s->kind->decode)
        return ib_fail(err, IB_E_UNSUPPORTED, "space %s cannot turn latents into pictures by itself", s->id);
    return s->kind->decode(s, z, frame, err);
}
