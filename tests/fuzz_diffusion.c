/* libFuzzer target: any bytes as the config of an autoencoder, of a TAESD, of a U-Net or of a scheduler, as
 * an index, or as edits of the headers of weights and of IP-Adapters. The good files are the fixtures beside
 * this one. */
#include <libgen.h>
#include "base/memory.h"
#include "diffusion/ip_adapter.h"
#include "diffusion/model.h"
#include "diffusion/scheduler.h"
#include "diffusion/vae.h"
#include "fuzz_edits.h"

enum { ROOM = 1 << 20 };

static char folder[64];

typedef struct good {
    const char *fixture, *file; /* under fixtures/diffusion; in the folder */
    uint8_t bytes[ROOM];
    size_t n, header;
} good;
static good weights[] = {
    {"vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"},
    {"unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.safetensors"},
    {"taesd/diffusion_pytorch_model.safetensors", "tiny/diffusion_pytorch_model.safetensors"},
    {"ip-base/ip-adapter.safetensors", "base/ip-adapter.safetensors"},
    {"ip-plus/ip-adapter.safetensors", "plus/ip-adapter.safetensors"}};
enum { WEIGHTS = sizeof weights / sizeof *weights, TEXTS = 5 };

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
    for (int i = 0; i < WEIGHTS; i++) {
        good *g = &weights[i];
        snprintf(path, sizeof path, "mkdir %s/%.*s", folder, (int)(strchr(g->file, '/') - g->file), g->file);
        if (system(path)) {
            abort();
        }
        snprintf(path, sizeof path, "%.400s/fixtures/diffusion/%s", at, g->fixture);
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

static void use_scheduler(void) {
    ib_scheduler_config c;
    ib_scheduler *s = NULL;
    ib_error err = {0};
    bool there, known;
    int rc = ib_scheduler_config_read(&c, folder, -1, &there, &known, &err);
    check(rc, &err);
    if (!rc) {
        check(ib_scheduler_open(&s, &c, 7, &err), &err);
    }
    if (s) {
        float x[4] = {1, -1}, e[4] = {0.5F}, noise[4] = {0};
        check(ib_scheduler_begin(s, 4, &err), &err);
        for (size_t i = 0; i < ib_scheduler_evaluations(s); i++) {
            ib_scheduler_step(s, i, x, e, noise);
        }
    }
    ib_scheduler_close(&s);
}

static void use_ip(const char *path) {
    ib_ip_adapter *a = NULL;
    ib_error err = {0};
    float x[3 * 64] = {0.5F, -0.5F}, tokens[4096];
    check(ib_ip_adapter_open(&a, path, 0, &err), &err);
    if (a) {
        const ib_ip_about *about = ib_ip_adapter_about(a);
        if (about->width <= 64 && about->tokens * about->context <= sizeof tokens / sizeof *tokens) {
            check(ib_ip_adapter_tokens(a, x, 1, about->plus ? 3 : 1, 1, tokens, &err), &err);
        }
    }
    ib_ip_adapter_close(&a);
}

static void fuzz_text(int kind, const uint8_t *data, size_t size) {
    static const char *const texts[TEXTS] = {"vae/config.json", "unet/config.json", "tiny/config.json",
                                             "vae/diffusion_pytorch_model.safetensors.index.json",
                                             "scheduler_config.json"};
    char path[160];
    snprintf(path, sizeof path, "%s%s%s", folder, kind == 2 || kind == 3 ? "/" : "",
             kind == 2   ? "tiny"
             : kind == 3 ? texts[kind]
                         : "");
    store(texts[kind], data, size);
    if (kind == 4) {
        use_scheduler();
    } else {
        use(kind == 1 ? NULL : path, kind > 1 ? NULL : folder);
    }
    if (kind < 3) {
        store(texts[kind], (const uint8_t *)"{}", 2);
    }
}

static void fuzz_header(int kind, const uint8_t *data, size_t size) {
    static uint8_t bytes[ROOM];
    char path[160];
    good *g = &weights[kind];
    memcpy(bytes, g->bytes, g->n);
    size_t n = fuzz_edit(bytes, g->header, data, size);
    store(g->file, bytes, n == g->header ? g->n : n);
    snprintf(path, sizeof path, "%s%s%s", folder, kind > 1 ? "/" : "",
             kind == 2  ? "tiny"
             : kind > 2 ? g->file
                        : "");
    if (kind > 2) {
        use_ip(path);
    } else {
        use(kind == 1 ? NULL : path, kind == 2 ? NULL : folder);
    }
    store(g->file, g->bytes, g->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!*folder) {
        begin_fuzz();
    }
    if (size) {
        int kind = *data % (TEXTS + WEIGHTS);
        if (kind < TEXTS) {
            fuzz_text(kind, data + 1, size - 1);
        } else {
            fuzz_header(kind - TEXTS, data + 1, size - 1);
        }
    }
    return 0;
}
