/* Writes a safetensors file with the tensors of a well-known CLIP model and random numbers in them: for
 * benchmarks, and for trying things out where the real weights are not at hand. ib_clip_weights
 * OUT.safetensors [MODEL] [hf|openclip] [f32|f16|bf16] [image|text|both] [without|halve TENSOR] The last two
 * spoil it: a tensor is left out, or has half its rows. */
#include "tests/clip_model.h"

#include "tests/clip_known.h"

static int choice(const char *word, const char *const *known, int n) {
    for (int i = 0; i < n; i++) {
        if (!strcmp(word, known[i])) {
            return i;
        }
    }
    return -1;
}

int main(int argc, char **argv) {
    static const char *const namings[] = {"hf", "openclip"}, *const types[] = {"f32", "f16", "bf16"},
                             *const sides[] = {"image", "text", "both"};
    const char *name = argc > 2 ? argv[2] : "ViT-L/14";
    int naming = argc > 3 ? choice(argv[3], namings, 2) : 0, type = argc > 4 ? choice(argv[4], types, 3) : 1;
    int side = argc > 5 ? choice(argv[5], sides, 3) : 2;
    ib_error err = {0};
    model m = {0};
    if (argc < 2 || (argc > 6 && argc != 8) || naming < 0 || type < 0 || side < 0 || !clip_known(&m, name)) {
        fprintf(stderr, "ib_clip_weights OUT.safetensors [MODEL] [hf|openclip] [f32|f16|bf16] "
                        "[image|text|both]\nMODEL is one of:");
        for (size_t i = 0; i < N_CLIP_KNOWN; i++) {
            fprintf(stderr, " %s", clip_known_models[i].name);
        }
        fputc('\n', stderr);
        return 2;
    }
    m.openclip = naming == 1;
    m.dtype = type == 0 ? IB_F32 : type == 1 ? IB_F16 : IB_BF16;
    if (side == 0) {
        m.text.width = 0;
    }
    if (side == 1) {
        m.vision.width = 0;
    }
    model_make(&m, 1);
    model_tensor *spoilt = argc == 8 ? model_find(&m, argv[7]) : NULL;
    if (argc == 8 && !spoilt) {
        fprintf(stderr, "ib_clip_weights: there is no tensor %s\n", argv[7]);
        return 1;
    }
    if (spoilt && !strcmp(argv[6], "halve")) {
        spoilt->shape[0] /= 2;
    } else if (spoilt) {
        model_tensor last = m.tensor[--m.n];
        m.tensor[m.n] = *spoilt; /* behind those that are written: model_free finds it there */
        *spoilt = last;
    }
    int rc = model_write(&m, argv[1], &err);
    if (rc) {
        fprintf(stderr, "ib_clip_weights: %s\n", err.text);
    }
    m.n += spoilt && strcmp(argv[6], "halve") != 0;
    model_free(&m);
    return rc ? 1 : 0;
}
