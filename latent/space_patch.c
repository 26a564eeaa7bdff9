#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "latent/patch.h"
#include "latent/space_kind.h"

/* What defines the coordinates: block sizes, transform, and the version of scale and order. */
#define PATCH_ARGUMENT "dct8+4:v1"

static int patch_open(ib_space *s, const char *argument, const ib_space_options *o, ib_error *err) {
    (void)o;
    if (argument && strcmp(argument, PATCH_ARGUMENT)) {
        return ib_fail(err, IB_E_ARGUMENT, "unknown kind of patch space '%.100s', expected patch or patch:%s",
                       argument, PATCH_ARGUMENT);
    }
    snprintf(s->id, sizeof s->id, "patch:%s", PATCH_ARGUMENT);
    return IB_OK;
}

static int patch_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err) {
    (void)s;
    (void)err;
    shape->layout = IB_LAYOUT_GRID;
    shape->rows = (height + IB_PATCH_LUMA - 1) / IB_PATCH_LUMA;
    shape->cols = (width + IB_PATCH_LUMA - 1) / IB_PATCH_LUMA;
    shape->tokens = (size_t)shape->rows * (size_t)shape->cols;
    shape->width = IB_PATCH_D;
    return IB_OK;
}

static int begin_space_patch(const ib_space *s, const ib_frame *frame, ib_shape *shape, float **planes,
                             ib_error *err) {
    int rc = ib_space_shape(s, frame->width, frame->height, shape, err);
    if (rc) {
        return rc;
    }
    return ib_alloc_floats(planes, ib_patch_pixels(shape->rows, shape->cols), "the pixels of a frame", err);
}

static int patch_encode(const ib_space *s, const ib_frame *frame, float *z, ib_error *err) {
    ib_shape shape;
    float *planes;
    int rc = begin_space_patch(s, frame, &shape, &planes, err);
    if (rc) {
        return rc;
    }
    ib_patch_from_frame(frame, shape.rows, shape.cols, planes);
    ib_patch_forward(planes, shape.rows, shape.cols, z);
    ib_free(planes);
    return IB_OK;
}

static int patch_decode(const ib_space *s, const float *z, ib_frame *frame, ib_error *err) {
    ib_shape shape;
    float *planes;
    int rc = begin_space_patch(s, frame, &shape, &planes, err);
    if (rc) {
        return rc;
    }
    ib_patch_inverse(z, shape.rows, shape.cols, planes);
    ib_patch_to_frame(planes, shape.rows, shape.cols, frame);
    ib_free(planes);
    return IB_OK;
}

const ib_space_kind ib_space_patch = {
    .name = "patch",
    .usage = "patch",
    .joined = "patch:" PATCH_ARGUMENT,
    .geometry = &ib_geometry_patch,
    .open = patch_open,
    .shape = patch_shape,
    .encode = patch_encode,
    .decode = patch_decode,
};

bool ib_space_is_pictures(const char *id) {
    size_t n = strlen(ib_space_patch.name);
    return !strncmp(id, ib_space_patch.name, n) && (!id[n] || id[n] == ':');
}
