/* libFuzzer target: any bytes as the config of an autoencoder, of a TAESD or of a U-Net, as an index, or as
 * edits of weights' headers. The good files are the fixtures beside this one. */
#include <libgen.h>
#include "base/memory.h"
#include "diffusion/model.h"
#include "diffusion/vae.h"
#include "fuzz_edits.h"

enum { ROOM = 1 << 20 };

static char folder[64];

typedef struct good {
    const char *fixture, *file;
    uint8_t bytes[ROOM];
    size_t n, header;
} good;
static good weights[] = {{"vae", "vae/diffusion_pytorch_model.safetensors"},
                         {"unet", "unet/diffusion_pytorch_model.safetensors"},
                         {"taesd", "tiny/diffusion_pytorch_model.safetensors"}};

static void store(const char *name, const uint8_t *b, size_t n) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b, 1, n, f) != n || fclose(f)) {
        abort();
    }
}

static void remove_folder(void) {
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) {
        abort();
    }
}

static void begin_fuzz(void) {
    char path[700], here[512] = __FILE__;
    const char *at = dirname(here);
    snprintf(folder, sizeof folder, "/tmp/ib_fuzz_XXXXXX");
    if (!mkdtemp(folder)) {
        abort();
    }
    atexit(remove_folder);
    for (int i = 0; i < 3; i++) {
        good *g = &weights[i];
        snprintf(path, sizeof path, "mkdir %s/%.*s", folder, (int)(strchr(g->file, '/') - g->file), g->file);
        if (system(path)) {
            abort();
        }
        snprintf(path, sizeof path, "%.400s/fixtures/diffusion/%s/diffusion_pytorch_model.safetensors", at,
                 g->fixture);
        FILE *f = fopen(path, "rb");
        g->n = f ? fread(g->bytes, 1, ROOM, f) : 0;
        if (g->n < 8 || g->n == ROOM || fclose(f)) {
            abort();
        }
        g->header = 8 + (size_t)g->bytes[0] + 256 * (size_t)g->bytes[1] + 65536 * (size_t)g->bytes[2];
        store(g->file, g->bytes, g->n);
    }
}

static void check(int rc, const ib_error *err) {
    if (rc && (rc > 0 || err->code != rc || !err->text[0])) {
        abort();
    }
}

static void use(const char *vae, const char *model) {
    ib_error err = {0};
    ib_vae *v = NULL;
    ib_model_about a;
    float z[16] = {0.5F, -1}, picture[64 * 64 * 3];
    if (vae) {
        check(ib_vae_open(&v, vae, 0, &err), &err);
        if (v && ib_vae_about_of(v)->decodes && ib_vae_about_of(v)->channels <= 4 &&
            ib_vae_about_of(v)->factor <= 16) {
            check(ib_vae_decode(v, z, 2, 2, picture, 1, &err), &err);
        }
        ib_vae_close(&v);
    }
    if (model) {
        check(ib_model_describe(&a, model, &err), &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const texts[] = {"vae/config.json", "unet/config.json", "tiny/config.json",
                                        "vae/diffusion_pytorch_model.safetensors.index.json"};
    char path[160];
    if (!*folder) {
        begin_fuzz();
    }
    if (!size) {
        return 0;
    }
    int kind = *data++ % 7;
    size--;
    snprintf(path, sizeof path, "%s%s", folder, kind == 2 || kind == 6 ? "/tiny" : "");
    if (kind < 3) {
        store(texts[kind], data, size);
        use(kind == 1 ? NULL : path, kind == 2 ? NULL : folder);
        store(texts[kind], (const uint8_t *)"{}", 2);
    } else if (kind == 3) {
        char index[160];
        store(texts[kind], data, size);
        snprintf(index, sizeof index, "%s/%s", folder, texts[kind]);
        use(index, NULL);
    } else {
        static uint8_t bytes[ROOM];
        good *g = &weights[kind - 4];
        memcpy(bytes, g->bytes, g->n);
        size_t n = fuzz_edit(bytes, g->header, data, size);
        store(g->file, bytes, n == g->header ? g->n : n);
        use(kind == 5 ? NULL : path, kind == 6 ? NULL : folder);
        store(g->file, g->bytes, g->n);
    }
    return 0;
}
