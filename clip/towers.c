/* Which towers there are in the user's files, and what the files do not say about them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "clip/tower_names.h"

/* A place where a tower seems to be. */
typedef struct candidate {
    const ib_clip_source *source;
    ib_clip_side side;
    ib_clip_naming naming;
    char prefix[256];
    size_t projection; /* 0: none */
} candidate;

enum { MAX_CANDIDATES = 16 };

typedef struct candidates {
    candidate v[MAX_CANDIDATES];
    size_t n;
} candidates;

static const ib_st_tensor *find_towers(const ib_clip_source *s, const char *prefix, const char *name) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    for (size_t i = 0; i < s->path.n; i++) {
        const ib_st_tensor *t = ib_st_find(s->file[i], whole);
        if (t) {
            return t;
        }
    }
    return NULL;
}

/* What a tensor's name must end in to announce a tower. */
static const struct {
    ib_clip_side side;
    ib_clip_naming naming;
    ib_clip_own own;
} signs[] = {
    {IB_CLIP_VISION, IB_CLIP_HF, IB_CLIP_CLASS},      {IB_CLIP_VISION, IB_CLIP_OPENCLIP, IB_CLIP_CLASS},
    {IB_CLIP_TEXT, IB_CLIP_HF, IB_CLIP_TABLE},        {IB_CLIP_TEXT, IB_CLIP_OPENCLIP, IB_CLIP_TABLE},
    {IB_CLIP_VISION, IB_CLIP_HF_BARE, IB_CLIP_CLASS}, {IB_CLIP_TEXT, IB_CLIP_HF_BARE, IB_CLIP_TABLE}};
enum { N_SIGNS = sizeof signs / sizeof *signs };

static void consider(candidates *l, const ib_clip_source *s, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; i < N_SIGNS && l->n < MAX_CANDIDATES; i++) {
        const ib_clip_names *words = &ib_clip_names_of[signs[i].naming];
        const char *end = words->side[signs[i].side].own[signs[i].own];
        const char *projection = words->side[signs[i].side].own[IB_CLIP_PROJECT];
        size_t m = strlen(end), before = n - m;
        candidate *c = &l->v[l->n];
        if (n < m || before >= sizeof c->prefix || strcmp(name + before, end) ||
            (before && name[before - 1] != '.')) {
            continue;
        }
        *c = (candidate){.source = s, .side = signs[i].side, .naming = signs[i].naming};
        memcpy(c->prefix, name, before);
        /* many models have a token_embedding */
        if (c->side == IB_CLIP_TEXT && c->naming == IB_CLIP_OPENCLIP &&
            !find_towers(s, c->prefix, "positional_embedding")) {
            continue;
        }
        if (c->naming == IB_CLIP_HF_BARE &&
            !find_towers(s, c->prefix, words->side[c->side].own[IB_CLIP_POST_W])) {
            continue;
        }
        const ib_st_tensor *p = find_towers(s, c->prefix, projection);
        if (p && p->rank == 2) {
            c->projection = (size_t)p->shape[c->naming == IB_CLIP_OPENCLIP];
        }
        l->n++;
        return;
    }
}

bool ib_clip_is_in(const ib_st *f) {
    ib_st *file[1] = {(ib_st *)f}; /* only looked into */
    char *path[1] = {NULL};
    ib_clip_source s = {.path = {path, 1}, .file = file};
    candidates l = {0};
    for (size_t k = 0; k < ib_st_count(f) && !l.n; k++) {
        consider(&l, &s, ib_st_at(f, k)->name);
    }
    return l.n != 0;
}

/* width: D that a projection should have; 0: any. */
static const candidate *choose_towers(const candidates *l, ib_clip_side side, size_t width) {
    const candidate *best = NULL;
    int best_rank = -1;
    for (size_t i = 0; i < l->n; i++) {
        const candidate *c = &l->v[i];
        int rank = (c->projection != 0) + (c->projection && width && c->projection == width);
        if (c->side == side && rank > best_rank) {
            best = c;
            best_rank = rank;
        }
    }
    return best;
}

static int load_towers(ib_clip_tower *t, const candidate *c, const char *activation, ib_error *err) {
    t->source = c->source;
    t->side = c->side;
    t->naming = c->naming;
    snprintf(t->prefix, sizeof t->prefix, "%s", c->prefix);
    if (activation) {
        if (!ib_clip_act_of(activation, &t->act)) {
            return ib_fail(err, IB_E_ARGUMENT, "unknown activation '%.60s', expected quick_gelu or gelu",
                           activation);
        }
        snprintf(t->act_why, sizeof t->act_why, "as asked for");
    }
    return ib_clip_tower_load(t, err);
}

/* SigLIP's image tower ends in a head that asks with a probe; no CLIP has one. */
static bool is_siglip(const char *name) {
    static const char *ends[] = {"vision_model.head.probe", "head.probe", "visual.trunk.attn_pool.latent"};
    for (size_t i = 0, n = strlen(name); i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i]);
        if (n >= m && !strcmp(name + n - m, ends[i]) && (n == m || name[n - m - 1] == '.')) {
            return true;
        }
    }
    return false;
}

int ib_clip_towers_open(const ib_clip_sources *s, const char *activation, const char *under,
                        ib_clip_tower *vision, ib_clip_tower *text, ib_error *err) {
    candidates l = {0};
    int rc = IB_OK;
    *vision = *text = (ib_clip_tower){0};
    for (size_t i = 0; i < s->n; i++) {
        for (size_t f = 0; f < s->v[i].path.n; f++) {
            for (size_t k = 0; k < ib_st_count(s->v[i].file[f]); k++) {
                const char *name = ib_st_at(s->v[i].file[f], k)->name;
                if (is_siglip(name)) {
                    return ib_clip_refuse_siglip(s->v[i].path.v[f], err);
                }
                if (!under || !strncmp(name, under, strlen(under))) {
                    consider(&l, &s->v[i], name);
                }
            }
        }
    }
    const candidate *v = choose_towers(&l, IB_CLIP_VISION, 0);
    const candidate *t = choose_towers(&l, IB_CLIP_TEXT, v ? v->projection : 0);
    if (!v && !t) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: holds no CLIP tower: looked for tensors whose names end in '%s' or '%s' (image "
                       "side), '%s' or '%s' (text side)",
                       s->v[0].path.v[0], ib_clip_names_of[0].side[0].own[IB_CLIP_CLASS],
                       ib_clip_names_of[1].side[0].own[IB_CLIP_CLASS],
                       ib_clip_names_of[0].side[1].own[IB_CLIP_TABLE],
                       ib_clip_names_of[1].side[1].own[IB_CLIP_TABLE]);
    }
    if (v) {
        rc = load_towers(vision, v, activation, err);
    }
    if (t && !rc) {
        rc = load_towers(text, t, activation, err);
    }
    if (rc) {
        ib_clip_tower_close(vision);
        ib_clip_tower_close(text);
    }
    return rc;
}

/* ---- what shapes do not say ---- */

/* Models of which every published set of weights has the same activation. */
static const struct {
    ib_clip_side side;
    size_t width, layers, image; /* image 0: any */
    ib_clip_act act;
    const char *name;
} known[] = {
    {IB_CLIP_VISION, 1024, 24, 336, IB_CLIP_QUICK_GELU, "ViT-L/14-336"},
    {IB_CLIP_VISION, 1280, 32, 0, IB_CLIP_GELU, "ViT-H/14"},
    {IB_CLIP_VISION, 1408, 40, 0, IB_CLIP_GELU, "ViT-g/14"},
    {IB_CLIP_VISION, 1664, 48, 0, IB_CLIP_GELU, "ViT-bigG/14"},
    {IB_CLIP_TEXT, 1024, 24, 0, IB_CLIP_GELU, "the text tower of ViT-H/14 and ViT-g/14"},
    {IB_CLIP_TEXT, 1280, 32, 0, IB_CLIP_GELU, "the text tower of ViT-bigG/14"},
};
enum { N_KNOWN = sizeof known / sizeof *known };

/* OpenAI's own exports carry these beside the weights. */
static bool made_by_openai(const ib_clip_tower *t) {
    return find_towers(t->source, "", "input_resolution") && find_towers(t->source, "", "context_length");
}

static void choose_act(ib_clip_tower *t, const ib_clip_tower_config *c) {
    if (*t->act_why) {
        return;
    }
    if (c && c->act_said) {
        t->act = c->act;
        snprintf(t->act_why, sizeof t->act_why, "by %.200s", ib_basename(c->source));
        return;
    }
    for (int i = 0; i < N_KNOWN; i++) {
        if (known[i].side == t->side && known[i].width == t->width && known[i].layers == t->layers &&
            (!known[i].image || known[i].image == t->image)) {
            t->act = known[i].act;
            snprintf(t->act_why, sizeof t->act_why, "known of %s", known[i].name);
            return;
        }
    }
    if (t->naming == IB_CLIP_OPENCLIP && made_by_openai(t)) {
        t->act = IB_CLIP_QUICK_GELU;
        snprintf(t->act_why, sizeof t->act_why, "an export by OpenAI");
        return;
    }
    t->act = t->naming == IB_CLIP_OPENCLIP ? IB_CLIP_GELU : IB_CLIP_QUICK_GELU;
    snprintf(t->act_why, sizeof t->act_why,
             "assumed, as no config says it and both are published; else --activation %s",
             ib_clip_act_name(t->act == IB_CLIP_GELU ? IB_CLIP_QUICK_GELU : IB_CLIP_GELU));
}

/* Heads are 64 wide, but for the large image towers, which have 16 of them (80, 88, 104 and 112 wide). */
static size_t usual_heads(const ib_clip_tower *t) {
    static const size_t sixteen[] = {1280, 1408, 1664, 1792};
    for (size_t i = 0; t->side == IB_CLIP_VISION && i < sizeof sixteen / sizeof *sixteen; i++) {
        if (t->width == sixteen[i]) {
            return 16;
        }
    }
    return t->width % 64 ? 0 : t->width / 64;
}

static bool fits(const ib_clip_tower *t, const ib_clip_tower_config *c) {
    return (!c->width || (size_t)c->width == t->width) && (!c->layers || (size_t)c->layers == t->layers) &&
           (t->side == IB_CLIP_TEXT || !c->image_size || (size_t)c->image_size == t->image);
}

int ib_clip_choose(ib_clip_tower *t, ib_error *err) {
    const ib_clip_config *both = &t->source->config;
    const ib_clip_tower_config *c = t->side == IB_CLIP_VISION ? &both->vision : &both->text;
    const char *file = t->source->path.v[0];
    c = c->said ? c : NULL;
    if (c && !fits(t, c)) {
        if (!t->source->chosen_file) {
            return ib_fail(err, IB_E_MISMATCH,
                           "%s: speaks of width %d, %d layers and pictures of %d px, but the tower in %s has "
                           "width %zu, %zu layers%s",
                           c->source, c->width, c->layers, c->image_size, file, t->width, t->layers,
                           t->side == IB_CLIP_VISION ? " or takes pictures of another size" : "");
        }
        c = NULL; /* a file among others: the config is of another one */
    }
    t->heads = c && c->heads ? (size_t)c->heads : usual_heads(t);
    t->eps = c && c->eps > 0 ? c->eps : 1e-5f;
    if (!t->heads) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: a tower of width %zu has no usual number of heads; a config.json beside it has "
                       "to say num_attention_heads",
                       file, t->width);
    }
    if (t->width % t->heads) {
        return ib_fail(err, IB_E_MISMATCH, "%s: %zu heads do not divide the width of %zu in %s",
                       c ? c->source : file, t->heads, t->width, file);
    }
    choose_act(t, c);
    return IB_OK;
}
