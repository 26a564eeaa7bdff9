/* Seconds that an evaluation of a U-Net of Stable Diffusion 1.5's size takes: pictures of some sizes, one
 * frame and several. Beside it the rate of plain products. GFLOP/s are in the direct form's count, whatever
 * way a convolution is computed. bench_diffusion [THREADS [FRAMES [FOLDER]]] FOLDER: a model's, as diffusers
 * saves it, whose autoencoders (vae/, taesd/) are timed too; or an empty one for random weights, 1.7 GB
 * (default: a temporary one). */
#include <sys/resource.h>
#include <unistd.h>
#include "base/memory.h"
#include "base/rng.h"
#include "diffusion/model.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"
#include "tests/check.h"
#include "tests/peak.h"

enum { MOST = 1000, LEVELS = 4, CONTEXT = 768, TOKENS = 77 };
static const int64_t channels[LEVELS] = {320, 640, 1280, 1280};

typedef struct list {
    ib_st_tensor t[MOST];
    char name[MOST][224];
    size_t n;
} list;

static void add(list *l, const char *place, const char *what, int rank, int64_t a, int64_t b, int64_t side) {
    ib_st_tensor *t = &l->t[l->n];
    snprintf(l->name[l->n], sizeof l->name[0], "%s.%s", place, what);
    *t = (ib_st_tensor){.name = l->name[l->n++], .dtype = IB_F16, .rank = rank, .shape = {a, b, side, side}};
    t->elements = (size_t)(a * (rank > 1 ? b : 1) * (rank > 2 ? side * side : 1));
    t->bytes = 2 * t->elements;
}

static void pair(list *l, const char *place, const char *what, int rank, int64_t a, int64_t b, int64_t side) {
    char part[96];
    snprintf(part, sizeof part, "%s.weight", what);
    add(l, place, part, rank, a, b, side);
    snprintf(part, sizeof part, "%s.bias", what);
    add(l, place, part, 1, a, 0, 0);
}

static void resnet(list *l, const char *place, int64_t from, int64_t to) {
    pair(l, place, "norm1", 1, from, 0, 0);
    pair(l, place, "conv1", 4, to, from, 3);
    pair(l, place, "time_emb_proj", 2, to, 1280, 0);
    pair(l, place, "norm2", 1, to, 0, 0);
    pair(l, place, "conv2", 4, to, to, 3);
    if (from != to) {
        pair(l, place, "conv_shortcut", 4, to, from, 1);
    }
}

static void attention(list *l, const char *place, int64_t c) {
    char part[96];
    pair(l, place, "norm", 1, c, 0, 0);
    pair(l, place, "proj_in", 4, c, c, 1);
    pair(l, place, "proj_out", 4, c, c, 1);
    snprintf(part, sizeof part, "%s.transformer_blocks.0", place);
    for (int i = 1; i <= 2; i++) {
        char what[32];
        static const char *const maps[3] = {"q", "k", "v"};
        for (int j = 0; j < 3; j++) {
            snprintf(what, sizeof what, "attn%d.to_%s.weight", i, maps[j]);
            add(l, part, what, 2, c, i == 2 && j ? CONTEXT : c, 0);
        }
        snprintf(what, sizeof what, "attn%d.to_out.0", i);
        pair(l, part, what, 2, c, c, 0);
    }
    for (int i = 1; i <= 3; i++) {
        char what[32];
        snprintf(what, sizeof what, "norm%d", i);
        pair(l, part, what, 1, c, 0, 0);
    }
    pair(l, part, "ff.net.0.proj", 2, 8 * c, c, 0);
    pair(l, part, "ff.net.2", 2, c, 4 * c, 0);
}

static void layer(list *l, const char *side, int i, int j, int64_t from, int64_t to, bool sees) {
    char place[96];
    snprintf(place, sizeof place, "%s_blocks.%d.resnets.%d", side, i, j);
    resnet(l, place, from, to);
    snprintf(place, sizeof place, "%s_blocks.%d.attentions.%d", side, i, j);
    if (sees) {
        attention(l, place, to);
    }
}

static void make_list(list *l) {
    int64_t skips[16], x = channels[0];
    int n = 0;
    char place[96];
    pair(l, "time_embedding", "linear_1", 2, 1280, 320, 0);
    pair(l, "time_embedding", "linear_2", 2, 1280, 1280, 0);
    add(l, "conv_in", "weight", 4, 320, 4, 3);
    add(l, "conv_in", "bias", 1, 320, 0, 0);
    skips[n++] = x;
    for (int i = 0; i < LEVELS; i++) {
        for (int j = 0; j < 2; j++) {
            layer(l, "down", i, j, x, channels[i], i < 3);
            skips[n++] = x = channels[i];
        }
        if (i < 3) {
            snprintf(place, sizeof place, "down_blocks.%d.downsamplers.0", i);
            pair(l, place, "conv", 4, x, x, 3);
            skips[n++] = x;
        }
    }
    resnet(l, "mid_block.resnets.0", x, x);
    attention(l, "mid_block.attentions.0", x);
    resnet(l, "mid_block.resnets.1", x, x);
    for (int i = 0; i < LEVELS; i++) {
        int64_t to = channels[LEVELS - 1 - i];
        for (int j = 0; j < 3; j++) {
            layer(l, "up", i, j, x + skips[--n], to, i > 0);
            x = to;
        }
        if (i < 3) {
            snprintf(place, sizeof place, "up_blocks.%d.upsamplers.0", i);
            pair(l, place, "conv", 4, x, x, 3);
        }
    }
    add(l, "conv_norm_out", "weight", 1, 320, 0, 0);
    add(l, "conv_norm_out", "bias", 1, 320, 0, 0);
    add(l, "conv_out", "weight", 4, 4, 320, 3);
    add(l, "conv_out", "bias", 1, 4, 0, 0);
}

/* A U-Net of SD1.5's shape whose values stay of usual size from layer to layer. */
static int write_unet(const char *path, ib_error *err) {
    enum { BLOCK = 1 << 20 };
    list *l = ib_calloc(1, sizeof *l);
    float *v = ib_calloc(BLOCK, sizeof *v);
    uint16_t *h = ib_calloc(BLOCK, sizeof *h);
    ib_st_writer *w = NULL;
    ib_rng r;
    make_list(l);
    int rc = ib_st_writer_begin(&w, path, l->t, l->n, NULL, 0, err);
    for (size_t i = 0; i < l->n && !rc; i++) {
        const ib_st_tensor *t = &l->t[i];
        bool gain = strstr(t->name, "norm") && strstr(t->name, "weight");
        float scale = t->rank > 1 ? 1.7f / sqrtf((float)t->elements / (float)t->shape[0]) : gain ? 0 : 0.02f;
        ib_rng_seed2(&r, 1, i);
        for (size_t at = 0; at < t->elements && !rc; at += BLOCK) {
            size_t n = t->elements - at < BLOCK ? t->elements - at : BLOCK;
            if (!at || n < BLOCK) { /* the rest repeats: there is a lot of it */
                for (size_t k = 0; k < n; k++) {
                    v[k] = (ib_rng_float(&r) * 2 - 1) * scale + (gain ? 1 : 0);
                }
                ib_f32_to_f16(v, h, n);
            }
            rc = ib_st_writer_append(w, h, 2 * n, err);
        }
    }
    rc = rc ? rc : ib_st_writer_finish(&w, NULL, 0, err);
    ib_st_writer_abort(&w);
    ib_free(v);
    ib_free(h);
    ib_free(l);
    return rc;
}

/* Multiply-adds of an evaluation of 256, 320, 384, 512 px, counted layer by layer. */
static double operations(size_t px) {
    return 2e9 * (px == 256 ? 90 : px == 320 ? 143 : px == 384 ? 212 : 402);
}

static void evaluate(ib_unet *u, size_t px, size_t frames, int threads, double rate) {
    size_t side = px / 8, n = frames * side * side * 4;
    float *x = ib_calloc(n, 4), *y = ib_calloc(n, 4), *context = ib_calloc(frames * TOKENS * CONTEXT, 4);
    float *t = ib_calloc(frames, 4);
    ib_error err = {0};
    ib_rng r;
    ib_rng_seed(&r, px);
    for (size_t i = 0; i < n; i++) {
        x[i] = ib_rng_normal(&r);
    }
    for (size_t i = 0; i < frames * TOKENS * CONTEXT; i++) {
        context[i] = ib_rng_normal(&r);
    }
    for (size_t i = 0; i < frames; i++) {
        t[i] = 500;
    }
    ib_unet_input in = {
        .batch = frames, .rows = side, .cols = side, .latents = x, .t = t, .context = context};
    in.tokens = TOKENS;
    double wall = ib_clock_seconds(), cpu = spent();
    if (ib_unet_run(u, &in, y, threads, &err)) {
        printf("%s\n", err.text);
        exit(1);
    }
    wall = ib_clock_seconds() - wall;
    cpu = spent() - cpu;
    double f = operations(px) * (double)frames / 1e9;
    printf("%zu px, %zu frame%s: %.2f s, %.2f s of processors; %.0f GFLOP/s a processor, %.0f %% of a "
           "product's; "
           "first number %g\n",
           px, frames, frames == 1 ? "" : "s", wall, cpu, f / cpu, 100 * f / cpu / rate, (double)y[0]);
    fflush(stdout);
    ib_free(x);
    ib_free(y);
    ib_free(context);
    ib_free(t);
}

/* A decoder's time for one picture; nothing where there is no such decoder. */
static void decode(const char *folder, const char *name, size_t px, int threads) {
    char path[512];
    ib_vae *v = NULL;
    ib_error err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (access(path, F_OK) || ib_vae_open(&v, path, 0, &err)) {
        return;
    }
    const ib_vae_about *a = ib_vae_about_of(v);
    size_t side = px / a->factor, n = side * side * a->channels;
    float *z = ib_calloc(n, sizeof *z), *picture = ib_calloc(px * px * 3, sizeof *picture);
    double wall = ib_clock_seconds();
    int rc = ib_vae_decode(v, z, side, side, picture, threads, &err);
    printf("%s, %zu px decoded: %.2f s%s\n", ib_vae_kind_name(a->kind), px, ib_clock_seconds() - wall,
           rc ? err.text : "");
    ib_free(z);
    ib_free(picture);
    ib_vae_close(&v);
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    size_t frames = argc > 2 ? (size_t)atoi(argv[2]) : 4;
    char folder[256], path[300];
    ib_error err = {0};
    bool model = argc > 3 && ib_model_is(argv[3]);
    snprintf(folder, sizeof folder, model ? "%s" : "%s/inbetween-bench-XXXXXX", argc > 3 ? argv[3] : "/tmp");
    if (!model && !mkdtemp(folder)) {
        printf("no temporary folder\n");
        return 1;
    }
    snprintf(path, sizeof path, model ? "%s" : "%s/unet.safetensors", folder);
    ib_weights *w = NULL;
    ib_unet *u = NULL;
    ib_unet_config c;
    int rc = model ? IB_OK : write_unet(path, &err);
    rc = rc ? rc : ib_weights_open(&w, path, "unet", &err);
    rc = rc ? rc : ib_unet_config_read(&c, w, &err);
    rc = rc ? rc : ib_unet_open(&u, w, &c, NULL, NULL, &err);
    if (rc) {
        printf("%s\n", err.text);
    } else {
        double rate = 0;
        struct rusage used;
        sgemm_peaks(1, &rate);
        rate /= 1e9;
        printf("a product: %.0f GFLOP/s a processor\n", rate);
        static const size_t sizes[] = {256, 256, 384, 512};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            evaluate(u, sizes[i], 1, threads, rate);
        }
        for (size_t i = 1; frames > 1 && i < sizeof sizes / sizeof *sizes; i++) {
            evaluate(u, sizes[i], frames, threads, rate);
        }
        if (model) {
            decode(folder, "vae", 512, threads);
            decode(folder, "taesd", 512, threads);
        }
        getrusage(RUSAGE_SELF, &used);
        printf("most memory at once %.2f GB, mapped weights among it\n", (double)used.ru_maxrss * 1024e-9);
    }
    ib_unet_close(&u);
    ib_weights_close(&w);
    if (!model) {
        unlink(path);
        rmdir(folder);
    }
    return rc ? 1 : 0;
}
