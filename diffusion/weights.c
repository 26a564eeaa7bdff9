#include "diffusion/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "diffusion/config.h"
#include "diffusion/model_files.h"
#include "diffusion/names.h"

struct ib_weights {
    char *folder;
    ib_paths path; /* of the files */
    ib_st **file;  /* [path.n] */
    char prefix[256];
    ib_names names;
    ib_st *half[2]; /* TAESD's two files: encoder, decoder; NULL: not there */
};

/* ---- what the names in a file are ---- */

static bool ends(const char *name, const char *end, size_t *before) {
    size_t n = strlen(name), m = strlen(end);
    *before = n >= m ? n - m : 0;
    return n >= m && !strcmp(name + n - m, end) && (n == m || name[n - m - 1] == '.');
}

static const ib_st_tensor *find_full(const ib_weights *w, const char *name) {
    for (size_t i = 0; i < w->path.n; i++) {
        const ib_st_tensor *t = ib_st_find(w->file[i], name);
        if (t) {
            return t;
        }
    }
    return NULL;
}

static const ib_st_tensor *find_prefixed(const ib_weights *w, const char *name) {
    char full[sizeof w->prefix + IB_NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", w->prefix, name);
    return find_full(w, full);
}

/* The prefix of a name that ends with `end`: one of the usual ones if it is there, else the first that is.
 * False: none. */
static bool find_prefix(ib_weights *w, const char *end, const char *const *usual, const char *never) {
    bool found = false;
    size_t n;
    for (; *usual; usual++) {
        snprintf(w->prefix, sizeof w->prefix, "%s", *usual);
        if (find_prefixed(w, end)) {
            return true;
        }
    }
    for (size_t i = 0; i < w->path.n && !found; i++) {
        for (size_t t = 0; t < ib_st_count(w->file[i]) && !found; t++) {
            const char *name = ib_st_at(w->file[i], t)->name;
            found = ends(name, end, &n) && n < sizeof w->prefix && strncmp(name, never, strlen(never)) != 0;
            if (found) {
                snprintf(w->prefix, sizeof w->prefix, "%.*s", (int)n, name);
            }
        }
    }
    if (!found) {
        *w->prefix = 0;
    }
    return found;
}

static bool find_unet(ib_weights *w) {
    static const char *const usual[] = {"", "model.diffusion_model.", "diffusion_model.", "unet.", NULL};
    char name[64];
    if (find_prefix(w, "time_embedding.linear_1.weight", usual, "control")) {
        w->names.naming = IB_NAMING_DIFFUSERS;
        return true;
    }
    if (!find_prefix(w, "input_blocks.0.0.weight", usual, "control")) {
        return false;
    }
    w->names = (ib_names){.naming = IB_NAMING_LDM_UNET, .stride = 3};
    for (size_t i = 1; i <= 16; i++) {
        snprintf(name, sizeof name, "input_blocks.%zu.0.op.weight", i);
        if (find_prefixed(w, name)) {
            w->names.stride = i;
            break;
        }
    }
    w->names.text_time = !find_prefixed(w, "input_blocks.1.1.proj_in.weight");
    return true;
}

static bool find_vae(ib_weights *w) {
    static const char *const usual[] = {"", "first_stage_model.", "vae.", NULL};
    static const char *const begin[] = {"decoder.conv_in.weight", "encoder.conv_in.weight",
                                        "decoder.layers.0.weight", "encoder.layers.0.weight"};
    char name[64];
    bool found = false;
    for (int i = 0; i < 4 && !found; i++) {
        found = find_prefix(w, begin[i], usual, "text_model.");
    }
    if (found) {
        bool ldm = find_prefixed(w, "decoder.up.0.block.0.conv1.weight") ||
                   find_prefixed(w, "encoder.down.0.block.0.conv1.weight");
        w->names.naming = ldm ? IB_NAMING_LDM_VAE : IB_NAMING_DIFFUSERS;
        do {
            snprintf(name, sizeof name, "decoder.up.%zu.block.0.conv1.weight", w->names.levels);
        } while (ldm && find_prefixed(w, name) && ++w->names.levels < 100);
        return true;
    }
    for (size_t i = 0; i < w->path.n; i++) {
        if (ib_st_find(w->file[i], "1.weight") && ib_st_find(w->file[i], "3.conv.0.weight")) {
            w->half[1] = w->file[i];
        } else if (ib_st_find(w->file[i], "0.weight") && ib_st_find(w->file[i], "1.conv.0.weight")) {
            w->half[0] = w->file[i];
        }
    }
    w->names.naming = IB_NAMING_TAESD;
    return w->half[0] || w->half[1];
}

/* ---- opening ---- */

static int open_files(ib_weights *w, ib_error *err) {
    if (!(w->file = ib_calloc(w->path.n, sizeof *w->file))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", w->path.v[0]);
    }
    for (size_t i = 0; i < w->path.n; i++) {
        int rc = ib_st_open(&w->file[i], w->path.v[i], err);
        if (rc) {
            return rc;
        }
    }
    return IB_OK;
}

/* A config beside a file that was named by itself counts if it is of such a network, and if the file is not a
 * whole model. */
static int judge_folder(ib_weights *w, const char *part, bool chosen_file, ib_error *err) {
    json_t *j = NULL;
    int rc;
    if (!chosen_file) {
        return IB_OK;
    }
    rc = *w->prefix ? IB_OK : ib_config_load(&j, w->folder, "config.json", err);
    const char *class = ib_config_text(j, "_class_name");
    bool unet = !strcmp(part, "unet");
    bool fits = class && (unet ? strstr(class, "UNet") != NULL
                               : strstr(class, "Autoencoder") != NULL || strstr(class, "VQModel") != NULL);
    json_decref(j);
    if (!rc && !fits) {
        free(w->folder);
        w->folder = NULL;
    }
    return rc;
}

int ib_weights_open(ib_weights **out, const char *path, const char *part, ib_error *err) {
    ib_weights *w = ib_calloc(1, sizeof *w);
    bool unet = !strcmp(part, "unet"), vae = !strcmp(part, "vae") || !strcmp(part, "movq");
    bool chosen_file = !ib_is_dir(path);
    int rc;
    *out = NULL;
    if (!w) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    if ((rc = ib_model_files(&w->path, &w->folder, path, part, err)) || (rc = open_files(w, err))) {
        goto fail;
    }
    if ((unet && !find_unet(w)) || (vae && !find_vae(w))) {
        rc = ib_fail(err, IB_E_FORMAT,
                     "%s: holds no %s, neither under diffusers' names nor under the original ones",
                     w->path.v[0], unet ? "U-Net" : "autoencoder");
        goto fail;
    }
    if ((rc = judge_folder(w, part, chosen_file, err))) {
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
        for (size_t i = 0; (*w)->file && i < (*w)->path.n; i++) {
            ib_st_close(&(*w)->file[i]);
        }
        ib_free((*w)->file);
        ib_paths_free(&(*w)->path);
        free((*w)->folder);
        ib_free(*w);
        *w = NULL;
    }
}

const char *ib_weights_path(const ib_weights *w) {
    return w->path.v[0];
}

const char *ib_weights_folder(const ib_weights *w) {
    return w->folder;
}

bool ib_weights_is_single_file(const ib_weights *w) {
    return w->names.naming == IB_NAMING_LDM_UNET || w->names.naming == IB_NAMING_LDM_VAE;
}

const ib_paths *ib_weights_files(const ib_weights *w) {
    return &w->path;
}

bool ib_weights_file_has(const ib_weights *w, const char *begin) {
    for (size_t i = 0; i < w->path.n; i++) {
        for (size_t t = 0; t < ib_st_count(w->file[i]); t++) {
            if (!strncmp(ib_st_at(w->file[i], t)->name, begin, strlen(begin))) {
                return true;
            }
        }
    }
    return false;
}

void ib_weights_size(const ib_weights *w, size_t *parameters, size_t *bytes, ib_dtype *type) {
    size_t of[IB_F8_E5M2 + 1] = {0};
    *parameters = *bytes = 0;
    *type = IB_F32;
    for (size_t i = 0; i < w->path.n; i++) {
        for (size_t t = 0; t < ib_st_count(w->file[i]); t++) {
            const ib_st_tensor *x = ib_st_at(w->file[i], t);
            if (!strncmp(x->name, w->prefix, strlen(w->prefix))) {
                *parameters += x->elements;
                *bytes += x->bytes;
                of[x->dtype] += x->bytes;
            }
        }
    }
    for (int k = 0; k <= IB_F8_E5M2; k++) {
        *type = of[k] > of[*type] ? (ib_dtype)k : *type;
    }
}

void ib_weights_release(const ib_weights *w) {
    for (size_t i = 0; i < w->path.n; i++) {
        size_t bytes;
        const void *all = ib_st_bytes(w->file[i], &bytes);
        ib_st_release(w->file[i], all, bytes);
    }
}

/* ---- tensors ---- */

/* first: what the file would call it, for messages; [IB_NAME_BYTES]. */
static const ib_st_tensor *find_tensor(const ib_weights *w, const char *name, char *first) {
    char form[IB_NAME_BYTES];
    *first = 0;
    for (size_t turn = 0; ib_name_in_file(&w->names, name, turn, form); turn++) {
        const ib_st_tensor *x = NULL;
        if (w->names.naming == IB_NAMING_TAESD) {
            const ib_st *f = w->half[*name == 'd'];
            x = f ? ib_st_find(f, form) : NULL;
        } else {
            x = find_prefixed(w, form);
        }
        if (x) {
            return x;
        }
        if (!turn) {
            snprintf(first, IB_NAME_BYTES, "%s", form);
        }
    }
    return NULL;
}

bool ib_weights_has(const ib_weights *w, const char *name) {
    char first[IB_NAME_BYTES];
    return find_tensor(w, name, first) != NULL;
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
    return ib_fail(err, IB_E_FORMAT, "%s: tensor '%.200s' is %s, expected %s%s", w->path.v[0], x->name, got,
                   expected, any ? " (0: any)" : "");
}

int ib_weights_get(const ib_weights *w, const char *name, int rank, const int64_t *shape, ib_weight *out,
                   ib_error *err) {
    char first[IB_NAME_BYTES];
    const ib_st_tensor *x = find_tensor(w, name, first);
    if (!x) {
        bool other = *first && (strcmp(first, name) != 0 || *w->prefix);
        return ib_fail(err, IB_E_FORMAT, "%s: tensor '%s%.200s' is missing%s%.200s%s", w->path.v[0],
                       other ? w->prefix : "", other ? first : name, other ? " ('" : "", other ? name : "",
                       other ? "' in diffusers' words)" : "");
    }
    if (x->dtype == IB_F8_E4M3 || x->dtype == IB_F8_E5M2) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: tensor '%.200s' is %s: eight bits are not read, use the model's file in half precision",
            w->path.v[0], x->name, ib_dtype_name(x->dtype));
    }
    if (x->dtype != IB_F32 && x->dtype != IB_F16 && x->dtype != IB_BF16) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: tensor '%.200s' is %s, expected F32, F16 or BF16",
                       w->path.v[0], x->name, ib_dtype_name(x->dtype));
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
