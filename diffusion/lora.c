#include "diffusion/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "diffusion/names.h"
#include "nn/gemm.h"

struct ib_lora {
    ib_st *file;
    char *path;
    float weight;
    const ib_weights *unet;
    ib_names names;
    bool *used; /* by tensor */
    float *scratch;
    size_t floats; /* of scratch */
    int rc;
    ib_error failed;
};

static const char *const ENDS[][2] = {{".lora_down.weight", ".lora_up.weight"},
                                      {".lora_A.weight", ".lora_B.weight"},
                                      {".lora.down.weight", ".lora.up.weight"}};
enum { FORMS = sizeof ENDS / sizeof *ENDS, NAME = IB_NAME_BYTES + 64 };

typedef struct pair {
    const ib_st_tensor *down, *up;
    float scale;
} pair;

/* The index of a tensor is its place in `used`. */
static void mark(ib_lora *l, const ib_st_tensor *t) {
    for (size_t i = 0; i < ib_st_count(l->file); i++) {
        l->used[i] = l->used[i] || ib_st_at(l->file, i) == t;
    }
}

/* The pair under this stem, which is what stands before ENDS. */
static bool find_stem(const ib_lora *l, const char *stem, pair *p) {
    char name[NAME + 32];
    for (int i = 0; i < FORMS; i++) {
        snprintf(name, sizeof name, "%s%s", stem, ENDS[i][0]);
        p->down = ib_st_find(l->file, name);
        snprintf(name, sizeof name, "%s%s", stem, ENDS[i][1]);
        p->up = ib_st_find(l->file, name);
        if (p->down && p->up) {
            snprintf(name, sizeof name, "%s.alpha", stem);
            const ib_st_tensor *alpha = ib_st_find(l->file, name);
            float a = 0;
            size_t rank = p->down->rank ? (size_t)p->down->shape[0] : 0;
            bool said = alpha && alpha->elements == 1 && ib_st_to_f32(alpha, &a, NULL) == 0;
            p->scale = l->weight * (said && rank ? a / (float)rank : 1);
            return true;
        }
    }
    return false;
}

/* name: of the U-Net's weight, "....weight". */
static bool find(const ib_lora *l, const char *name, pair *p) {
    char path[IB_NAME_BYTES], stem[NAME], other[IB_NAME_BYTES];
    size_t n = strlen(name), tail = strlen(".weight");
    if (n < tail || n >= sizeof path || strcmp(name + n - tail, ".weight") != 0) {
        return false;
    }
    snprintf(path, sizeof path, "%.*s", (int)(n - tail), name);
    snprintf(stem, sizeof stem, "unet.%s", path);
    if (find_stem(l, stem, p) || find_stem(l, path, p)) {
        return true;
    }
    bool more = true;
    for (size_t turn = 0; more; turn++) {
        if (turn) {
            more = ib_name_in_file(&l->names, name, turn - 1, other);
            n = more ? strlen(other) : 0;
            if (n < tail) {
                continue;
            }
            snprintf(path, sizeof path, "%.*s", (int)(n - tail), other);
        }
        for (char *c = path; *c; c++) {
            *c = *c == '.' ? '_' : *c;
        }
        snprintf(stem, sizeof stem, "lora_unet_%s", path);
        if (find_stem(l, stem, p)) {
            return true;
        }
    }
    return false;
}

static bool is_float(const ib_st_tensor *t) {
    return t->dtype == IB_F32 || t->dtype == IB_F16 || t->dtype == IB_BF16;
}

/* The pair's shapes fit the weight, and scratch is large enough. */
static int check_pair(ib_lora *l, const char *name, const pair *p) {
    ib_weight w;
    int rc = ib_weights_get(l->unet, name, -1, NULL, &w, &l->failed);
    if (rc < 0) {
        return rc;
    }
    size_t n = (size_t)w.shape[0], k = w.count / n, rank = p->down->rank ? (size_t)p->down->shape[0] : 0;
    size_t down, up, all;
    if (!is_float(p->down) || !is_float(p->up)) {
        return ib_fail(&l->failed, IB_E_UNSUPPORTED,
                       "%s: tensor '%.200s' is neither float32, float16 nor bfloat16", l->path,
                       p->down->name);
    }
    if (!rank || ib_size_mul(rank, k, &down) < 0 || ib_size_mul(n, rank, &up) < 0 ||
        down != p->down->elements || up != p->up->elements || !p->up->rank || (size_t)p->up->shape[0] != n) {
        return ib_fail(&l->failed, IB_E_MISMATCH,
                       "%s: '%.200s' is made for a matrix of another shape: this model's '%.200s' is %zux%zu",
                       l->path, p->down->name, name, n, k);
    }
    if (ib_size_add(down, up, &all) < 0) {
        return ib_fail(&l->failed, IB_E_MEMORY, "%s: too large", l->path);
    }
    if (all > l->floats) {
        ib_free(l->scratch);
        l->floats = 0;
        rc = ib_alloc_floats(&l->scratch, all, "a LoRA", &l->failed);
        l->floats = rc < 0 ? 0 : all;
    }
    return rc;
}

static bool touches(void *context, const char *name) {
    ib_loras *all = context;
    bool any = false;
    for (size_t i = 0; i < all->n; i++) {
        ib_lora *l = all->v[i];
        pair p;
        if (l->rc == 0 && find(l, name, &p)) {
            l->rc = check_pair(l, name, &p);
            mark(l, p.down);
            any = any || l->rc == 0;
        }
    }
    return any;
}

static void apply(void *context, const char *name, float *w, size_t n, size_t k) {
    ib_loras *all = context;
    int before = ib_gemm_pin();
    for (size_t i = 0; i < all->n; i++) {
        ib_lora *l = all->v[i];
        pair p;
        if (l->rc < 0 || !find(l, name, &p)) {
            continue;
        }
        size_t rank = (size_t)p.down->shape[0];
        float *down = l->scratch, *up = down + rank * k;
        ib_st_to_f32(p.down, down, NULL);
        ib_st_to_f32(p.up, up, NULL);
        ib_gemm_part(p.scale, up, rank, down, k, 1, w, k, n, k, rank);
    }
    ib_gemm_unpin(before);
}

ib_unet_patch ib_loras_patch(ib_loras *l) {
    return (ib_unet_patch){.touches = l->n ? touches : NULL, .apply = apply, .context = l};
}

int ib_loras_add(ib_loras *all, const char *path, float weight, const ib_weights *unet,
                 const ib_unet_config *c, ib_error *err) {
    if (all->n == IB_LORAS) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: one LoRA more than the %d that are possible", path, IB_LORAS);
    }
    ib_lora *l = calloc(1, sizeof *l);
    if (!l) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    all->v[all->n++] = l;
    l->weight = weight;
    l->unet = unet;
    l->names = (ib_names){.naming = IB_NAMING_LDM_UNET,
                          .stride = (c->down_layers[0] > 1 ? c->down_layers[0] : 2) + 1,
                          .text_time = c->extra == IB_UNET_TEXT_TIME};
    l->path = strdup(path);
    int rc = ib_st_open(&l->file, path, err);
    if (rc == 0 && (!l->path || !(l->used = calloc(ib_st_count(l->file) + 1, sizeof *l->used)))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", path);
    }
    return rc;
}

static bool starts(const char *s, const char *with) {
    return !strncmp(s, with, strlen(with));
}

static bool ends(const char *s, const char *with) {
    size_t n = strlen(s), m = strlen(with);
    return n >= m && !strcmp(s + n - m, with);
}

static int check(const ib_lora *l, ib_error *err) {
    size_t used = 0;
    const char *left = NULL;
    if (l->rc < 0) {
        return ib_fail(err, l->rc, "%s", l->failed.text);
    }
    for (size_t i = 0; i < ib_st_count(l->file); i++) {
        const char *name = ib_st_at(l->file, i)->name;
        bool down = false;
        for (int k = 0; k < FORMS; k++) {
            down = down || ends(name, ENDS[k][0]);
        }
        if (strstr(name, "dora_scale") || strstr(name, ".hada_") || strstr(name, ".lokr_") ||
            strstr(name, ".lora_mid")) {
            return ib_fail(err, IB_E_UNSUPPORTED,
                           "%s: '%.200s' belongs to a kind that is not known here: expected plain LoRA",
                           l->path, name);
        }
        bool text = starts(name, "lora_te") || starts(name, "text_encoder");
        used += l->used[i];
        left = down && !text && !l->used[i] && !left ? name : left;
    }
    if (left || !used) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: a LoRA of another family of models: this U-Net has no place for '%.200s'",
                       l->path, left ? left : "what is in it");
    }
    return 0;
}

int ib_loras_check(const ib_loras *l, ib_error *err) {
    int rc = 0;
    for (size_t i = 0; i < l->n && rc == 0; i++) {
        rc = check(l->v[i], err);
    }
    return rc;
}

void ib_loras_close(ib_loras *all) {
    for (size_t i = 0; i < all->n; i++) {
        ib_lora *l = all->v[i];
        ib_st_close(&l->file);
        ib_free(l->scratch);
        free(l->used);
        free(l->path);
        free(l);
    }
    all->n = 0;
}
