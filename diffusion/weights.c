#include "diffusion/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

struct ib_weights {
    ib_st *file;
    char *path, *folder;
};

static bool is_folder(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int ib_weights_open(ib_weights **out, const char *path, const char *part, ib_error *err) {
    static const char *const forms[] = {"%s/%s/diffusion_pytorch_model.safetensors",
                                        "%s/diffusion_pytorch_model.safetensors"};
    struct stat st;
    int rc;
    ib_weights *w = ib_calloc(1, sizeof *w);
    *out = NULL;
    if (!w) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    if (is_folder(path)) {
        for (int i = 0; i < 2 && !w->path; i++) {
            if (asprintf(&w->path, forms[i], path, i ? "" : part) < 0) {
                w->path = NULL;
            } else if (stat(w->path, &st)) {
                free(w->path);
                w->path = NULL;
            }
        }
        if (!w->path) {
            rc = ib_fail(err, IB_E_IO,
                         "%s: no weights of the %s: expected %s/diffusion_pytorch_model.safetensors", path,
                         part, part);
            goto fail;
        }
    } else if (!(w->path = strdup(path))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        goto fail;
    }
    if (is_folder(path)) {
        w->folder = strndup(w->path, (size_t)(ib_basename(w->path) - w->path - 1));
        if (!w->folder) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
            goto fail;
        }
    }
    if ((rc = ib_st_open(&w->file, w->path, err))) {
        goto fail;
    }
    *out = w;
    return IB_OK;
fail:
    ib_weights_close(&w);
    return rc;
}

void ib_weights_close(ib_weights **w) {
    if (*w) {
        ib_st_close(&(*w)->file);
        free((*w)->folder);
        free((*w)->path);
        ib_free(*w);
        *w = NULL;
    }
}

const char *ib_weights_path(const ib_weights *w) {
    return w->path;
}

const char *ib_weights_folder(const ib_weights *w) {
    return w->folder;
}

bool ib_weights_has(const ib_weights *w, const char *name) {
    return ib_st_find(w->file, name) != NULL;
}

static int wrong_shape(const ib_weights *w, const ib_st_tensor *x, int rank, const int64_t *shape,
                       ib_error *err) {
    char got[160], expected[160] = "at most four lengths of at least 1";
    int64_t wanted[4];
    bool any = false;
    for (int i = 0; i < rank; i++) {
        wanted[i] = shape[i] < 0 ? 0 : shape[i];
        any = any || shape[i] < 0;
    }
    ib_text_shape(x->shape, x->rank, got, sizeof got);
    if (rank >= 0) {
        ib_text_shape(wanted, rank, expected, sizeof expected);
    }
    return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.200s' is %s, expected %s%s", w->path, x->name, got,
                   expected, any ? " (0: any)" : "");
}

int ib_weights_get(const ib_weights *w, const char *name, int rank, const int64_t *shape, ib_weight *out,
                   ib_error *err) {
    const ib_st_tensor *x = ib_st_find(w->file, name);
    if (!x) {
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.200s' is missing", w->path, name);
    }
    if (x->dtype != IB_F32 && x->dtype != IB_F16 && x->dtype != IB_BF16) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: tensor '%.200s' is %s, expected F32, F16 or BF16", w->path,
                       name, ib_dtype_name(x->dtype));
    }
    *out = (ib_weight){.data = x->data, .dtype = x->dtype, .rank = x->rank, .count = x->elements};
    bool fits = x->rank <= 4;
    for (int i = 0; i < x->rank && fits; i++) {
        out->shape[i] = x->shape[i];
        fits = x->shape[i] >= 1;
    }
    if (fits && rank == 4 && x->rank == 2 && shape[2] == 1 && shape[3] == 1) {
        out->rank = 4;
        out->shape[2] = out->shape[3] = 1;
    } else if (fits && rank == 2 && x->rank == 4 && x->shape[2] == 1 && x->shape[3] == 1) {
        out->rank = 2;
    }
    fits = fits && (rank < 0 || out->rank == rank);
    for (int i = 0; i < rank && fits; i++) {
        fits = shape[i] < 0 || out->shape[i] == shape[i];
    }
    return fits ? IB_OK : wrong_shape(w, x, rank, shape, err);
}

void ib_weight_widen(const ib_weight *w, size_t first, size_t n, float *out) {
    size_t each = ib_dtype_bytes(w->dtype);
    ib_st_tensor part = {.dtype = w->dtype, .data = (const uint8_t *)w->data + first * each};
    part.elements = n;
    part.bytes = n * each;
    ib_st_to_f32(&part, out, NULL);
}
