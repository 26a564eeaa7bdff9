#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/shards.h"
#include "clip/weights.h"

/* What a folder's weights may be called, the more telling names first. */
static const char *const names[] = {"model.safetensors",
                                    "model.safetensors.index.json",
                                    "open_clip_model.safetensors",
                                    "model.fp16.safetensors",
                                    "open_clip_pytorch_model.safetensors",
                                    "pytorch_model.safetensors",
                                    "diffusion_pytorch_model.safetensors"};
enum { N_NAMES = sizeof names / sizeof *names };

/* The parts of a diffusers pipeline that may hold a tower. */
static const char *const parts[] = {"image_encoder", "text_encoder", "text_encoder_2", "prior_text_encoder"};
enum { N_PARTS = sizeof parts / sizeof *parts };

static int no_memory(const char *path, ib_error *err) {
    return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
}

static bool is_safetensors(const char *name) {
    size_t n = strlen(name);
    return n > 12 && !strcmp(name + n - 12, ".safetensors");
}

/* The only safetensors file of a folder; 1: added, 0: there is none. */
static int add_only(ib_clip_source *s, ib_error *err) {
    ib_paths l = {0};
    ib_error none = {0};
    int rc = ib_paths_expand(&l, s->folder, is_safetensors, &none);
    if (rc) {
        ib_paths_free(&l);
        return rc == IB_E_EMPTY ? 0 : (ib_fail(err, none.code, "%s", none.text));
    }
    if (l.n > 1) {
        rc = ib_fail(err, IB_E_ARGUMENT,
                     "%s: holds %zu safetensors files, none of them called model.safetensors: name the one "
                     "that is meant",
                     s->folder, l.n);
    } else if (!(rc = ib_paths_add(&s->path, l.v[0], err))) {
        rc = 1;
    }
    ib_paths_free(&l);
    return rc;
}

/* 1: the folder's weights are listed, 0: it has none. */
static int list_folder(ib_clip_source *s, ib_error *err) {
    for (int i = 0; i < N_NAMES; i++) {
        char *path = ib_join(s->folder, names[i]);
        if (!path) {
            return no_memory(s->folder, err);
        }
        int rc = 0;
        if (ib_is_file(path)) {
            rc = strstr(names[i], ".json") ? ib_shards_list(&s->path, path, s->folder, err)
                                           : ib_paths_add(&s->path, path, err);
            rc = rc ? rc : 1;
        }
        free(path);
        if (rc) {
            return rc;
        }
    }
    return add_only(s, err);
}

static void source_close(ib_clip_source *s) {
    for (size_t i = 0; s->file && i < s->path.n; i++) {
        ib_st_close(&s->file[i]);
    }
    free(s->file);
    free(s->folder);
    ib_paths_free(&s->path);
    *s = (ib_clip_source){0};
}

static int load_config(ib_clip_source *s, const char *name, ib_error *err) {
    char *path = ib_join(s->folder, name);
    int rc = IB_OK;
    if (!path) {
        return no_memory(s->folder, err);
    }
    if (ib_is_file(path)) {
        rc = ib_clip_config_load(&s->config, path, err);
    }
    free(path);
    return rc;
}

static int open_files(ib_clip_source *s, ib_error *err) {
    s->file = calloc(s->path.n, sizeof(ib_st *));
    if (!s->file) {
        return no_memory(s->folder, err);
    }
    for (size_t i = 0; i < s->path.n; i++) {
        int rc = ib_st_open(&s->file[i], s->path.v[i], err);
        if (rc) {
            return rc;
        }
    }
    int rc = load_config(s, "config.json", err);
    if (!rc && !s->config.vision.said && !s->config.text.said) {
        rc = load_config(s, "open_clip_config.json", err);
    }
    return rc;
}

/* Takes over folder. file: NULL, or the one that is meant. 1: added, 0: the folder has no weights. */
static int add_source(ib_clip_sources *l, char *folder, const char *file, ib_error *err) {
    ib_clip_source s = {.folder = folder, .chosen_file = file != NULL};
    if (!folder) {
        return no_memory(l->root, err);
    }
    int rc = file ? ib_paths_add(&s.path, file, err) : list_folder(&s, err);
    if (file && !rc) {
        rc = 1;
    }
    if (rc > 0) {
        int opened = open_files(&s, err);
        rc = opened ? opened : 1;
    }
    if (rc > 0) {
        ib_clip_source *v = realloc(l->v, (l->n + 1) * sizeof *v);
        if (v) {
            l->v = v;
            l->v[l->n++] = s;
            return 1;
        }
        rc = no_memory(folder, err);
    }
    source_close(&s);
    return rc;
}

static char *folder_of(const char *path) {
    const char *base = ib_basename(path);
    return base == path ? strdup(".")
                        : strndup(path, (size_t)(base - path) > 1 ? (size_t)(base - path) - 1 : 1);
}

static int open_folder(ib_clip_sources *l, ib_error *err) {
    int rc = add_source(l, strdup(l->root), NULL, err);
    if (rc) {
        return rc < 0 ? rc : IB_OK;
    }
    for (int i = 0; i < N_PARTS; i++) {
        char *folder = ib_join(l->root, parts[i]);
        if (!folder) {
            return no_memory(l->root, err);
        }
        if (!ib_is_dir(folder)) {
            free(folder);
        } else if ((rc = add_source(l, folder, NULL, err)) < 0) {
            return rc;
        }
    }
    if (!l->n) {
        return ib_fail(err, IB_E_EMPTY,
                       "%s: holds no CLIP weights: looked for model.safetensors, its index, "
                       "open_clip_model.safetensors or a single "
                       "other safetensors file, and for folders image_encoder and text_encoder with such",
                       l->root);
    }
    return IB_OK;
}

int ib_clip_sources_open(ib_clip_sources *l, const char *path, ib_error *err) {
    int rc;
    *l = (ib_clip_sources){0};
    if (ib_is_dir(path)) {
        size_t n = strlen(path);
        while (n > 1 && path[n - 1] == '/') {
            n--;
        }
        l->root = strndup(path, n);
    } else {
        l->root = folder_of(path);
    }
    if (!l->root) {
        return no_memory(path, err);
    }
    if (ib_is_dir(path)) {
        rc = open_folder(l, err);
    } else {
        rc = add_source(l, strdup(l->root), path, err);
        rc = rc < 0 ? rc : IB_OK;
    }
    if (rc) {
        ib_clip_sources_close(l);
    }
    return rc;
}

void ib_clip_sources_close(ib_clip_sources *l) {
    for (size_t i = 0; i < l->n; i++) {
        source_close(&l->v[i]);
    }
    free(l->v);
    free(l->root);
    *l = (ib_clip_sources){0};
}

char *ib_clip_beside(const ib_clip_sources *s, const ib_clip_source *source, const char *const *places,
                     size_t n) {
    const char *const folder[2] = {source ? source->folder : s->root, s->root};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < n; i++) {
            char *path = ib_join(folder[k], places[i]);
            if (path && ib_is_file(path)) {
                return path;
            }
            free(path);
        }
    }
    return NULL;
}
