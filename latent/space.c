#include "latent/space.h"

#include <stdlib.h>
#include <string.h>
#include "base/model_path.h"
#include "base/memory.h"
#include "latent/layout.h"
#include "latent/space_kind.h"

/* Every space there is. */
static const ib_space_kind *const kinds[] = {&ib_space_patch, &ib_space_clip, &ib_space_vae};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *ib_layout_name(ib_layout l) {
    static const char *const names[] = {"grid", "sequence", "single"};
    return (unsigned)l < 3 ? names[l] : "?";
}

bool ib_layout_named(const char *name, ib_layout *out) {
    for (int l = IB_LAYOUT_GRID; l <= IB_LAYOUT_SINGLE; l++) {
        if (!strcmp(name, ib_layout_name((ib_layout)l))) {
            *out = (ib_layout)l;
            return true;
        }
    }
    return false;
}

const ib_geometry *ib_geometry_of(const char *space_id) {
    for (int i = 0; i < N_KINDS; i++) {
        if (kinds[i]->joined && !strcmp(kinds[i]->joined, space_id)) {
            return kinds[i]->geometry;
        }
    }
    return &ib_geometry_plain;
}

int ib_space_open(ib_space **out, const char *spec, ib_error *err) {
    return ib_space_open_with(out, spec, NULL, err);
}

int ib_space_open_with(ib_space **out, const char *spec, const ib_space_options *o, ib_error *err) {
    static const ib_space_options defaults = {0};
    size_t n = strcspn(spec, ":");
    char known[128] = "";
    *out = NULL;
    for (int i = 0; i < N_KINDS; i++) {
        const ib_space_kind *k = kinds[i];
        if (i) {
            strncat(known, ", ", sizeof known - strlen(known) - 1);
        }
        strncat(known, k->usage, sizeof known - strlen(known) - 1);
        if (strlen(k->name) != n || memcmp(k->name, spec, n)) {
            continue;
        }
        ib_space *s = calloc(1, sizeof *s);
        if (!s) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for space '%.200s'", spec);
        }
        s->kind = k;
        o = o ? o : &defaults;
        s->threads = o->threads;
        char *path = NULL;
        int rc = spec[n] ? ib_model_path(&path, spec + n + 1, k->name, err) : IB_OK;
        rc = rc ? rc : k->open(s, path, o, err);
        free(path);
        if (rc) {
            free(s);
            return rc;
        }
        *out = s;
        return IB_OK;
    }
    return ib_fail(err, IB_E_ARGUMENT, "unknown space '%.200s', expected one of: %s", spec, known);
}

void ib_space_close(ib_space **s) {
    if (!*s) {
        return;
    }
    if ((*s)->kind->close) {
        (*s)->kind->close(*s);
    }
    free(*s);
    *s = NULL;
}

const char *ib_space_id(const ib_space *s) {
    return s->id;
}

const char *ib_space_remark(const ib_space *s) {
    return s->remark;
}

bool ib_space_resizes(const ib_space *s) {
    return s->kind->resizes;
}

int ib_space_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err) {
    if (width < 1 || height < 1 || width > 16384 || height > 16384) {
        return ib_fail(err, IB_E_ARGUMENT, "a frame of %d x %d is outside 1..16384", width, height);
    }
    return s->kind->shape(s, width, height, shape, err);
}

int ib_space_encode(const ib_space *s, const ib_frame *frame, float *z, ib_error *err) {
    return s->kind->encode ? s->kind->encode(s, frame, z, err) : ib_space_encode_frames(s, &frame, 1, z, err);
}

int ib_space_encode_frames(const ib_space *s, const ib_frame *const *frames, size_t n, float *z,
                           ib_error *err) {
    ib_shape shape;
    int rc = n ? ib_space_shape(s, frames[0]->width, frames[0]->height, &shape, err) : IB_OK;
    if (rc || !n) {
        return rc;
    }
    size_t each = shape.tokens * shape.width, step = s->input.batch, floats;
    float *input = NULL;
    if (!s->input.floats && !s->kind->encode) {
        return s->kind->prepare(s, frames[0], NULL, err); /* which says why there is no image side */
    }
    if (!s->input.floats) {
        for (size_t i = 0; i < n && !rc; i++) {
            rc = ib_space_encode(s, frames[i], z + i * each, err);
        }
        return rc;
    }
    step = step < n ? step : n;
    if (ib_size_mul(step, s->input.floats, &floats)) {
        return ib_fail(err, IB_E_MEMORY, "%zu frames at once are too many", step);
    }
    rc = ib_alloc_floats(&input, floats, "the pictures of a batch", err);
    for (size_t i = 0; i < n && !rc; i += step) {
        size_t m = n - i < step ? n - i : step;
        for (size_t k = 0; k < m && !rc; k++) {
            rc = ib_space_prepare(s, frames[i + k], input + k * s->input.floats, err);
        }
        rc = rc ? rc : ib_space_encode_inputs(s, input, m, z + i * each, err);
    }
    ib_free(input);
    return rc;
}

ib_space_input ib_space_input_of(const ib_space *s) {
    return s->input;
}

int ib_space_prepare(const ib_space *s, const ib_frame *frame, float *input, ib_error *err) {
    if (!s->kind->prepare) {
        return ib_fail(err, IB_E_UNSUPPORTED, "space %s encodes frames as they are", s->id);
    }
    return s->kind->prepare(s, frame, input, err);
}

int ib_space_encode_inputs(const ib_space *s, const float *input, size_t n, float *z, ib_error *err) {
    if (!s->kind->encode_inputs) {
        return ib_fail(err, IB_E_UNSUPPORTED, "space %s encodes frames as they are", s->id);
    }
    return s->kind->encode_inputs(s, input, n, z, err);
}

bool ib_space_reads_text(const ib_space *s) {
    return s->text;
}

int ib_space_encode_text(const ib_space *s, const char *prompt, float *z, ib_error *err) {
    if (!s->kind->encode_text) {
        return ib_fail(err, IB_E_UNSUPPORTED, "space %s has no place for prompts", s->id);
    }
    return s->kind->encode_text(s, prompt, z, err);
}

bool ib_space_decodes(const ib_space *s) {
    return s->kind->decode != NULL;
}

int ib_space_decode(const ib_space *s, const float *z, ib_frame *frame, ib_error *err) {
    if (!s->kind->decode) {
        return ib_fail(err, IB_E_UNSUPPORTED, "space %s cannot turn latents into pictures by itself", s->id);
    }
    return s->kind->decode(s, z, frame, err);
}
