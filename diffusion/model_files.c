#include "diffusion/model_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/shards.h"

static bool ends(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

static bool begins(const char *name, const char *begin) {
    return !strncmp(name, begin, strlen(begin));
}

/* ---- kinds that are not read ---- */

static bool refused_name(const char *name) {
    static const char *const ends_of[] = {".ckpt", ".pt",   ".pth",     ".bin",
                                          ".gguf", ".onnx", ".msgpack", ".pkl"};
    for (size_t i = 0; i < sizeof ends_of / sizeof *ends_of; i++) {
        if (ends(name, ends_of[i])) {
            return true;
        }
    }
    return false;
}

/* By its first bytes, and by its name where they say nothing. */
static int refuse(const char *path, ib_error *err) {
    unsigned char b[4] = {0};
    const char *name = ib_basename(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : read(fd, b, sizeof b);
    if (fd >= 0) {
        close(fd);
    }
    if ((n == 4 && !memcmp(b, "GGUF", 4)) || ends(name, ".gguf")) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: a gguf file, which is not read: use the model's safetensors file in half precision", path);
    }
    if ((n == 4 && !memcmp(b, "PK\3\4", 4)) || (n >= 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5) ||
        (refused_name(name) && !ends(name, ".onnx") && !ends(name, ".msgpack"))) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: a PyTorch file, which may run programs when it is read and is not: look for a "
                       "safetensors file "
                       "of the model, or make one in Python: sd = torch.load(FILE, weights_only=True); "
                       "safetensors.torch.save_file(sd.get(\"state_dict\", sd), NEW)",
                       path);
    }
    if (refused_name(name)) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: not a kind of file that is read: use the model's safetensors file", path);
    }
    return IB_OK;
}

/* ---- folders ---- */

static bool interesting(const char *name) {
    return ends(name, ".safetensors") || (strstr(name, ".index") && ends(name, ".json")) ||
           refused_name(name);
}

static bool is_shard(const char *name) {
    const char *at = strstr(name, "-of-");
    return at && at > name && at[-1] >= '0' && at[-1] <= '9';
}

/* The smaller the better; 0: no weights. */
static int rank_of(const char *name) {
    bool index = ends(name, ".json"), usual = begins(name, "diffusion_pytorch_model.");
    if (refused_name(name) || is_shard(name)) {
        return 0;
    }
    if (!strcmp(name, "diffusion_pytorch_model.safetensors")) {
        return 1;
    }
    if (!strcmp(name, "diffusion_pytorch_model.safetensors.index.json")) {
        return 2;
    }
    if (index && !strstr(name, "safetensors")) {
        return 0; /* of PyTorch files */
    }
    if (usual) {
        return (strstr(name, ".fp16.") ? 3 : strstr(name, ".bf16.") ? 5 : 7) + index;
    }
    if (!strcmp(name, "model.safetensors")) {
        return 9;
    }
    return index ? 10 : 11;
}

static int choose(const char *folder, const char *part, char **chosen, ib_error *err) {
    ib_paths all = {0};
    const char *other = NULL;
    int best = 0, alike = 0, rc = ib_paths_expand(&all, folder, interesting, err);
    *chosen = NULL;
    if (rc == IB_E_EMPTY) {
        return ib_fail(err, IB_E_IO, "%s: holds no safetensors file of the %s", folder, part);
    }
    for (size_t i = 0; !rc && i < all.n; i++) {
        int rank = rank_of(ib_basename(all.v[i]));
        if (!rank) {
            other = refused_name(all.v[i]) ? all.v[i] : other;
        } else if (!best || rank < best) {
            best = rank;
            alike = 1;
            free(*chosen);
            *chosen = strdup(all.v[i]);
        } else if (rank == best) {
            alike++;
        }
    }
    if (!rc && best && !*chosen) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", folder);
    } else if (!rc && !best) {
        rc = other ? refuse(other, err) : IB_OK;
        rc = rc ? rc : ib_fail(err, IB_E_IO, "%s: holds no safetensors file of the %s", folder, part);
    } else if (!rc && best >= 10 && alike > 1 && !strstr(ib_basename(*chosen), "taesd")) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: holds %d safetensors files that may be meant: name one of them",
                     folder, alike);
    }
    if (rc) {
        free(*chosen);
        *chosen = NULL;
    }
    ib_paths_free(&all);
    return rc;
}

/* ---- shards and pairs ---- */

static int add_shards(ib_paths *files, const char *index, const char *folder, ib_error *err) {
    int rc = ib_shards_list(files, index, folder, err);
    for (size_t i = 0; !rc && i < files->n; i++) {
        rc = refuse(files->v[i], err);
    }
    return rc;
}

/* taesd_decoder.safetensors and taesd_encoder.safetensors belong together. */
static int add_other_half(ib_paths *files, const char *path, ib_error *err) {
    const char *name = ib_basename(path), *at = strstr(name, "decoder");
    bool decoder = at != NULL;
    at = decoder ? at : strstr(name, "encoder");
    if (!at) {
        return IB_OK;
    }
    char *other = strdup(path);
    if (!other) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    memcpy(other + (at - path), decoder ? "encoder" : "decoder", 7);
    int rc = ib_is_file(other) ? ib_paths_add(files, other, err) : IB_OK;
    free(other);
    return rc;
}

int ib_model_files(ib_paths *files, char **folder, const char *path, const char *part, ib_error *err) {
    char *inner = NULL, *file = NULL;
    int rc = IB_OK;
    *files = (ib_paths){0};
    *folder = NULL;
    if (ib_is_dir(path)) {
        char *of_part = ib_join(path, part), *model = ib_join(path, "model_index.json");
        if (!of_part || !model) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        } else if (!ib_is_dir(of_part) && ib_is_file(model)) {
            rc = ib_fail(err, IB_E_IO, "%s: the model has no folder %s", path, part);
        }
        inner = of_part && ib_is_dir(of_part) ? of_part : strdup(path);
        if (inner != of_part) {
            free(of_part);
        }
        free(model);
        if (!rc && !inner) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
        }
        rc = rc ? rc : choose(inner, part, &file, err);
    } else {
        const char *name = ib_basename(path);
        file = strdup(path);
        inner = name > path + 1 ? strndup(path, (size_t)(name - path - 1)) : strdup(name > path ? "/" : ".");
        rc = file && inner ? refuse(path, err)
                           : ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    if (!rc && ends(file, ".json")) {
        rc = add_shards(files, file, inner, err);
    } else if (!rc) {
        rc = ib_paths_add(files, file, err);
        rc = rc || strcmp(part, "vae") != 0 ? rc : add_other_half(files, file, err);
    }
    free(file);
    if (rc) {
        ib_paths_free(files);
        free(inner);
        return rc;
    }
    *folder = inner;
    return IB_OK;
}
