/* The geometry of the models that people have (Radford et al. 2021, table 20; OpenCLIP's model
 * configurations). */
#ifndef IB_TESTS_CLIP_KNOWN_H
#define IB_TESTS_CLIP_KNOWN_H

#include "tests/clip_model.h"

static const struct {
    const char *name;
    size_t width, layers, heads, mlp, patch, image, text_width, text_layers, projection;
} clip_known_models[] = {
    {"tiny", 64, 3, 1, 144, 6, 30, 64, 2, 40},
    {"ViT-B/32", 768, 12, 12, 3072, 32, 224, 512, 12, 512},
    {"ViT-B/16", 768, 12, 12, 3072, 16, 224, 512, 12, 512},
    {"ViT-L/14", 1024, 24, 16, 4096, 14, 224, 768, 12, 768},
    {"ViT-L/14-336", 1024, 24, 16, 4096, 14, 336, 768, 12, 768},
    {"ViT-H/14", 1280, 32, 16, 5120, 14, 224, 1024, 24, 1024},
    {"ViT-bigG/14", 1664, 48, 16, 8192, 14, 224, 1280, 32, 1280},
};
enum { N_CLIP_KNOWN = sizeof clip_known_models / sizeof *clip_known_models };

/* Sets the geometry; false for a name that is not in the table. */
static inline bool clip_known(model *m, const char *name) {
    for (size_t i = 0; i < N_CLIP_KNOWN; i++) {
        size_t w = clip_known_models[i].text_width, largest = 49408 * w, d = clip_known_models[i].projection;
        size_t mlp = clip_known_models[i].mlp, fc = mlp * clip_known_models[i].width;
        if (strcmp(name, clip_known_models[i].name)) {
            continue;
        }
        m->vision = (model_tower){.width = clip_known_models[i].width,
                                  .layers = clip_known_models[i].layers,
                                  .heads = clip_known_models[i].heads,
                                  .mlp = mlp,
                                  .patch = clip_known_models[i].patch,
                                  .image = clip_known_models[i].image,
                                  .projection = d};
        m->text = (model_tower){.width = w,
                                .layers = clip_known_models[i].text_layers,
                                .heads = w / 64,
                                .mlp = 4 * w,
                                .tokens = 77,
                                .vocab = 49408,
                                .projection = d};
        m->pool_floats = (largest > fc ? largest : fc) + 4096;
        return true;
    }
    return false;
}

#endif
