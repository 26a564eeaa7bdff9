#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter_file.h"
#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch.h"
#include "nn/conv3x3.h"

typedef struct preset {
    const char *name;
    int grid_fine, grid_coarse, grid_fine_blocks, grid_coarse_blocks;
    int single_fine, single_fine_blocks;
    int sequence_fine, sequence_fine_blocks;
} preset;

static const preset presets[] = {
    {"toaster", 48, 64, 1, 2, 256, 1, 128, 1},
    {"default", 64, 128, 2, 3, 512, 1, 256, 1},
    {"large", 96, 192, 3, 4, 1024, 2, 384, 2},
};

int ib_adapter_preset(const char *name, const char *space_id, ib_layout layout, int width,
                      ib_adapter_config *out, ib_error *err) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        const preset *p = &presets[i];
        if (strcmp(p->name, name) != 0) {
            continue;
        }
        bool grid = layout == IB_LAYOUT_GRID, sequence = layout == IB_LAYOUT_SEQUENCE;
        memset(out, 0, sizeof *out);
        snprintf(out->space_id, sizeof out->space_id, "%s", space_id);
        out->layout = layout;
        out->width = width;
        out->fine = grid ? p->grid_fine : sequence ? p->sequence_fine : p->single_fine;
        out->coarse = grid ? p->grid_coarse : 0;
        out->fine_blocks = grid       ? p->grid_fine_blocks
                           : sequence ? p->sequence_fine_blocks
                                      : p->single_fine_blocks;
        out->coarse_blocks = grid ? p->grid_coarse_blocks : 0;
        out->motion = grid && ib_space_is_pictures(space_id);
        out->trust = out->motion ? IB_ADAPTER_TRUST : 1;
        return 0;
    }
    return ib_fail(err, IB_E_ARGUMENT, "there is no preset '%s'; choose toaster, default or large", name);
}

int ib_adapter_config_check(const ib_adapter_config *c, ib_error *err) {
    bool grid = c->layout == IB_LAYOUT_GRID;
    if (c->layout != IB_LAYOUT_GRID && c->layout != IB_LAYOUT_SEQUENCE && c->layout != IB_LAYOUT_SINGLE) {
        return ib_fail(err, IB_E_ARGUMENT, "unknown layout number %d", (int)c->layout);
    }
    if (c->width < 1 || c->width > 65536) {
        return ib_fail(err, IB_E_ARGUMENT, "the latent width must be 1 to 65536, not %d", c->width);
    }
    if (c->fine < 16 || c->fine > 4096 || c->fine % 16) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "the model's width must be a multiple of 16 from 16 to 4096, not %d", c->fine);
    }
    if (c->fine_blocks < 1 || c->fine_blocks > 32 || c->coarse_blocks < 0 || c->coarse_blocks > 32) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "a model has 1 to 32 fine and 0 to 32 coarse blocks, not %d and %d", c->fine_blocks,
                       c->coarse_blocks);
    }
    if (!grid && (c->coarse_blocks || c->motion)) {
        return ib_fail(err, IB_E_ARGUMENT, "coarse blocks and the motion head need the 'grid' layout");
    }
    if (c->coarse_blocks && (c->coarse < 16 || c->coarse > 4096 || c->coarse % 16)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "the coarse width must be a multiple of 16 from 16 to 4096, not %d", c->coarse);
    }
    if (!(c->trust >= 0 && c->trust <= 1)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a trust of 0 to 1, got %g", c->trust);
    }
    if (c->motion && *c->guide) {
        return ib_fail(err, IB_E_ARGUMENT, "the space of pictures has no use for a guide");
    }
    if (c->motion && c->width != IB_PATCH_D) {
        return ib_fail(err, IB_E_ARGUMENT, "the motion head needs the patch space's width of %d, not %d",
                       IB_PATCH_D, c->width);
    }
    return 0;
}

/* The table of tensors grows while the architecture is walked; room for all was counted before. */
static size_t declare(ib_adapter *a, bool decay, int rank, const int64_t *shape, const char *name) {
    ib_param *p = &a->tensor[a->tensors++];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->rank = rank;
    p->decay = decay;
    p->offset = a->count;
    p->count = 1;
    for (int i = 0; i < rank; i++) {
        p->shape[i] = shape[i];
        p->count *= (size_t)shape[i];
    }
    a->count += p->count;
    return p->offset;
}

static ib_span linear(ib_adapter *a, const char *name, size_t cin, size_t cout) {
    char text[64];
    ib_span s;
    snprintf(text, sizeof text, "%s.weight", name);
    s.w = declare(a, true, 2, (int64_t[]){(int64_t)cin, (int64_t)cout}, text);
    snprintf(text, sizeof text, "%s.bias", name);
    s.b = declare(a, false, 1, (int64_t[]){(int64_t)cout}, text);
    return s;
}

/* The same for a map inside the trunk. */
static ib_span hidden(ib_adapter *a, const char *name, size_t cin, size_t cout) {
    size_t weight = a->tensors;
    ib_span s = linear(a, name, cin, cout);
    a->tensor[weight].hidden = true;
    return s;
}

static ib_span mixing(ib_adapter *a, const char *name, size_t c, size_t *u) {
    if (!a->spatial) {
        return hidden(a, name, c, c);
    }
    char text[64];
    ib_span s;
    snprintf(text, sizeof text, "%s.weight", name);
    s.w = declare(a, true, 3, (int64_t[]){9, (int64_t)c, (int64_t)c}, text);
    a->tensor[a->tensors - 1].hidden = true;
    snprintf(text, sizeof text, "%s.bias", name);
    s.b = declare(a, false, 1, (int64_t[]){(int64_t)c}, text);
    *u = a->derived_count;
    a->derived_count += ib_conv3x3_derived(c, c);
    return s;
}

static void block(ib_adapter *a, const char *level, int i, bool coarse) {
    char text[48];
    ib_block *b = &a->block[a->blocks++];
    b->coarse = coarse;
    b->channels = coarse ? a->config.coarse : a->config.fine;
    snprintf(text, sizeof text, "%s.%d.film", level, i);
    b->film = linear(a, text, IB_TIME_WIDTH, 2 * (size_t)b->channels);
    snprintf(text, sizeof text, "%s.%d.mix1", level, i);
    b->mix1 = mixing(a, text, (size_t)b->channels, &b->u1);
    snprintf(text, sizeof text, "%s.%d.mix2", level, i);
    b->mix2 = mixing(a, text, (size_t)b->channels, &b->u2);
    if (a->attention) {
        snprintf(text, sizeof text, "%s.%d.qkv", level, i);
        b->qkv = hidden(a, text, (size_t)b->channels, 3 * (size_t)b->channels);
        snprintf(text, sizeof text, "%s.%d.attend", level, i);
        b->attend = hidden(a, text, (size_t)b->channels, (size_t)b->channels);
    }
}

static void architecture(ib_adapter *a) {
    const ib_adapter_config *c = &a->config;
    size_t fine = (size_t)c->fine, coarse = (size_t)c->coarse, width = (size_t)c->width;
    a->spatial = c->layout == IB_LAYOUT_GRID;
    a->attention = c->layout == IB_LAYOUT_SEQUENCE;
    a->guided = *c->guide != 0;
    a->gate_inputs = a->guided ? ib_gate_inputs(c) : 0;
    a->features =
        c->motion ? IB_PIXEL_FEATURES + 2 + IB_MOTION_FEATURES
                  : 2 * width + 1 + (a->guided ? width + 1 : 0) + (a->attention ? IB_POSITION_FEATURES : 0);
    a->time = linear(a, "time", IB_TIME_INPUTS, IB_TIME_WIDTH);
    a->into = hidden(a, "into", a->features, fine);
    for (int i = 0; i < c->fine_blocks; i++) {
        block(a, "before", i, false);
    }
    if (c->coarse_blocks) {
        a->down = hidden(a, "down", 4 * fine, coarse);
        for (int i = 0; i < c->coarse_blocks; i++) {
            block(a, "coarse", i, true);
        }
        a->up = hidden(a, "up", coarse, 4 * fine);
    }
    for (int i = 0; i < c->fine_blocks; i++) {
        block(a, "after", i, false);
    }
    a->out_film = linear(a, "out.film", IB_TIME_WIDTH, 2 * fine);
    a->correction = linear(a, "correction", fine, width);
    if (c->motion) {
        a->mixing = linear(a, "mixing", fine, IB_MIXINGS * width);
        a->motion = linear(a, "motion", fine, IB_TOKEN_CELLS * IB_CELL_OUTPUTS);
    }
    if (a->guided) {
        a->gate_into = linear(a, "gate.into", a->gate_inputs, IB_GATE_WIDTH);
        a->gate = linear(a, "gate", IB_GATE_WIDTH, 2);
    }
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* He initialisation (He et al. 2015, arXiv:1502.01852); a block's last maps start small, so that blocks start
 * near the identity; scales, shifts, biases and the heads start at zero, but for the mixing head's bias. */
static void initialise(ib_adapter *a, uint64_t seed) {
    ib_rng r;
    ib_rng_seed(&r, seed);
    for (size_t i = 0; i < a->tensors; i++) {
        const ib_param *p = &a->tensor[i];
        float *w = a->params + p->offset;
        if (p->rank < 2 || ends_with(p->name, ".film.weight") || strncmp(p->name, "correction.", 11) == 0 ||
            strncmp(p->name, "mixing.", 7) == 0 || strncmp(p->name, "motion.", 7) == 0 ||
            strcmp(p->name, "gate.weight") == 0) {
            continue;
        }
        size_t fan_in = p->count / (size_t)p->shape[p->rank - 1];
        float std = sqrtf(2.0f / (float)fan_in);
        if (ends_with(p->name, ".mix2.weight") || ends_with(p->name, ".attend.weight")) {
            std *= 0.2f;
        }
        for (size_t k = 0; k < p->count; k++) {
            w[k] = std * ib_rng_normal(&r);
        }
    }
    for (size_t k = 0; a->config.motion && k < IB_MIXINGS; k++) {
        float *b = a->params + a->mixing.b + k * (size_t)a->config.width;
        for (int i = 0; i < a->config.width; i++) {
            b[i] = ib_first_mixing[k];
        }
    }
}

int ib_adapter_outline(ib_adapter **out, const ib_adapter_config *config, ib_error *err) {
    *out = NULL;
    int rc = ib_adapter_config_check(config, err);
    if (rc) {
        return rc;
    }
    ib_adapter *a = ib_calloc(1, sizeof *a);
    size_t blocks = (size_t)(2 * config->fine_blocks + config->coarse_blocks);
    if (!a) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a model");
    }
    a->config = *config;
    /* layouts without motion took no notice of it before, and strengths take its place */
    a->guide_scale = 1;
    a->trust = config->motion && !config->strengths.bins ? config->trust : 1;
    a->config.space_id[sizeof a->config.space_id - 1] = 0;
    a->block = ib_calloc(blocks, sizeof *a->block);
    a->tensor = ib_calloc(10 * blocks + 20, sizeof *a->tensor);
    if (!a->block || !a->tensor) {
        ib_adapter_free(&a);
        return ib_fail(err, IB_E_MEMORY, "out of memory for a model");
    }
    architecture(a);
    *out = a;
    return 0;
}

int ib_adapter_blank(ib_adapter **out, const ib_adapter_config *config, ib_error *err) {
    ib_adapter *a;
    *out = NULL;
    int rc = ib_adapter_outline(&a, config, err);
    if (rc) {
        return rc;
    }
    if ((rc = ib_alloc_floats(&a->params, a->count, "the model's parameters", err)) ||
        (rc = ib_alloc_floats(&a->derived, a->derived_count + 1, "the model's transformed weights", err))) {
        ib_adapter_free(&a);
        return rc;
    }
    *out = a;
    return 0;
}

int ib_adapter_create(ib_adapter **out, const ib_adapter_config *config, uint64_t seed, ib_error *err) {
    int rc = ib_adapter_blank(out, config, err);
    if (!rc) {
        initialise(*out, seed);
        ib_adapter_refresh(*out);
    }
    return rc;
}

void ib_adapter_free(ib_adapter **a) {
    if (*a) {
        ib_free((*a)->block);
        ib_free((*a)->tensor);
        ib_free((*a)->params);
        ib_free((*a)->derived);
        ib_free((*a)->transposed);
        ib_free(*a);
        *a = NULL;
    }
}

void ib_adapter_refresh(ib_adapter *a) {
    ib_adapter_refresh_by(a, 1);
}

void ib_adapter_refresh_by(ib_adapter *a, int threads) {
    if (!a->spatial) {
        return;
    }
    int all = (a->transposed ? 4 : 2) * a->blocks; /* the transposed ones last */
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < all; i++) {
        const ib_block *b = &a->block[i / 2 % a->blocks];
        size_t c = (size_t)b->channels, u = i & 1 ? b->u2 : b->u1;
        const float *w = a->params + (i & 1 ? b->mix2.w : b->mix1.w);
        if (i < 2 * a->blocks) {
            ib_conv3x3_weights(w, c, c, a->derived + u);
        } else {
            ib_conv3x3_weights_transposed(w, c, c, a->transposed + u);
        }
    }
}

int ib_adapter_trains(ib_adapter *a, ib_error *err) {
    if (a->transposed) {
        return 0;
    }
    int rc = ib_alloc_floats(&a->transposed, a->derived_count + 1, "the model's transposed weights", err);
    if (!rc) {
        ib_adapter_refresh(a);
    }
    return rc;
}

size_t ib_attention_heads(size_t channels) {
    return channels % 64 == 0 ? channels / 64 : channels % 32 == 0 ? channels / 32 : channels / 16;
}

const ib_adapter_config *ib_adapter_config_of(const ib_adapter *a) {
    return &a->config;
}

size_t ib_adapter_param_count(const ib_adapter *a) {
    return a->count;
}

float *ib_adapter_params(ib_adapter *a) {
    return a->params;
}

size_t ib_adapter_tensor_count(const ib_adapter *a) {
    return a->tensors;
}

const ib_param *ib_adapter_tensor(const ib_adapter *a, size_t i) {
    return &a->tensor[i];
}

double ib_adapter_forward_macs(const ib_adapter *a, const ib_shape *shape) {
    const ib_adapter_config *c = &a->config;
    double fine = c->fine, coarse = c->coarse, tokens = (double)shape->tokens, taps = a->spatial ? 9 : 1;
    double below = a->spatial ? (double)((shape->rows + 1) / 2) * ((shape->cols + 1) / 2) : 0;
    double heads = c->width + (c->motion ? IB_MIXINGS * c->width + IB_TOKEN_CELLS * IB_CELL_OUTPUTS : 0);
    double macs =
        tokens * fine * ((double)a->features + heads) + tokens * 4 * c->fine_blocks * taps * fine * fine;
    if (a->attention) {
        macs += tokens * 2 * c->fine_blocks * (4 * fine * fine + 2 * tokens * fine);
    }
    if (c->coarse_blocks) {
        macs += below * (8 * fine * coarse + 2 * c->coarse_blocks * taps * coarse * coarse);
    }
    return macs;
}

int ib_adapter_check_space(const ib_adapter *a, const char *space_id, const char *what, ib_error *err) {
    if (strcmp(a->config.space_id, space_id) == 0) {
        return 0;
    }
    return ib_fail(err, IB_E_MISMATCH, "the adapter belongs to the space '%s', but %s to '%s'",
                   a->config.space_id, what, space_id);
}
