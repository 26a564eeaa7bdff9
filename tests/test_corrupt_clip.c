/* Damaged CLIP folders: refused with a sentence, or what was opened can be used. Weights, configs and
 * tokenizers alike come from strangers. */
#include <sys/stat.h>
#include "clip/clip.h"
#include "tests/corrupt.h"
#include "tests/clip_model.h"

enum { CASES = 5000, LARGEST = 16 << 20 };

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text) {
    corrupt_store(in_folder(name), (const uint8_t *)text, strlen(text));
}

/* Every kind of file that is read, each damaged in its turn. */
static const char *const names[] = {
    "model.safetensors", "config.json",    "preprocessor_config.json", "vocab.json",
    "merges.txt",        "tokenizer.json", "special_tokens_map.json",  "model.safetensors.index.json"};
enum { N_NAMES = sizeof names / sizeof *names };

static void write_good(void) {
    ib_error err = {0};
    model m = {.dtype = IB_F16};
    m.vision = (model_tower){
        .width = 16, .layers = 2, .heads = 2, .mlp = 24, .patch = 4, .image = 8, .projection = 12};
    m.text = (model_tower){
        .width = 16, .layers = 1, .heads = 2, .mlp = 24, .tokens = 16, .vocab = 540, .projection = 12};
    model_make(&m, 1);
    CHECK_OK(model_write(&m, in_folder("model.safetensors"), &err), &err);
    CHECK_OK(model_write(&m, in_folder("shard.safetensors"), &err), &err);
    model_free(&m);
    model_write_tokenizer(folder, 0);
    model_write_tokenizer(folder, 1);
    put("config.json",
        "{\"model_type\": \"clip\", \"vision_config\": {\"hidden_size\": 16, \"num_attention_heads\": 2, "
        "\"num_hidden_layers\": 2, \"image_size\": 8, \"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": "
        "1e-05}, "
        "\"text_config\": {\"hidden_size\": 16, \"num_attention_heads\": 2, \"hidden_act\": \"gelu\"}}");
    put("preprocessor_config.json",
        "{\"size\": {\"shortest_edge\": 8}, \"resample\": 3, \"image_mean\": [0.5, 0.4, 0.3], "
        "\"image_std\": [0.2, 0.2, 0.3], \"do_normalize\": true}");
    put("special_tokens_map.json", "{\"pad_token\": {\"content\": \"!\"}}");
    put("model.safetensors.index.json", "{\"metadata\": {}, \"weight_map\": {\"a\": \"shard.safetensors\"}}");
}

/* Opens the folder and uses all that is there. */
static void use(int *opened) {
    ib_clip *c = NULL;
    ib_error err = {0};
    int32_t ids[4096];
    static uint8_t rgb[24 * 17 * 3];
    float pixels[3 * 64], z[64];
    if (ib_clip_open(&c, folder, &(ib_clip_options){.threads = 1}, &err)) {
        CHECK(!c && err.code < 0 && err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    (*opened)++;
    const ib_clip_tower *v = ib_clip_vision(c), *t = ib_clip_text(c);
    CHECK(v || t);
    /* larger ones than the folder had would be good files, too, but there are none in its bytes */
    CHECK(!v || (v->image <= 8 && v->projection <= 64));
    CHECK(!t || (t->tokens <= 16 && t->projection <= 64));
    if (v && v->image <= 8 && v->projection <= 64 &&
        !ib_clip_prepare(c, IB_FIT_CROP, rgb, sizeof rgb / 17, 24, 17, pixels, &err)) {
        ib_clip_images(c, pixels, 1, z, &err);
    }
    if (t && t->tokens <= 16 && t->projection <= 64 &&
        !ib_clip_tokenize(c, "the cat's hello 12 <|endoftext|>", ids, &err)) {
        ib_clip_texts(c, ids, 1, z, &err);
    }
    ib_clip_close(&c);
}

/* What bits and bytes seldom do to text: other values in place of numbers, words and brackets. */
static void damage_text(uint8_t *b, size_t *n, ib_rng *r) {
    static const char *const words[] = {"-1",
                                        "1e999",
                                        "99999999999999999999",
                                        "null",
                                        "[]",
                                        "{}",
                                        "\"\"",
                                        "0",
                                        "\"../x\"",
                                        "true",
                                        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
    const char *word = words[ib_rng_below(r, sizeof words / sizeof *words)];
    size_t at = ib_rng_below(r, *n);
    bool value = ib_rng_below(r, 3) != 0; /* mostly what a name stands for */
    while (at < *n && !(value ? b[at] == ':' : strchr("0123456789:\"[{", b[at]) != NULL)) {
        at++;
    }
    corrupt_value(b, n, at + (value && at < *n), word);
}

int main(int argc, char **argv) {
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int opened[N_NAMES] = {0}, all[N_NAMES] = {0};
    size_t size[N_NAMES];
    uint8_t *good[N_NAMES];
    char command[512];
    snprintf(folder, sizeof folder, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        return check_skip("test_corrupt_clip", "no scratch directory");
    }
    write_good();
    for (int k = 0; k < N_NAMES; k++) {
        if (!(good[k] = corrupt_load(in_folder(names[k]), &size[k]))) {
            return 1;
        }
    }
    /* as it is, with either tokenizer, and by the index */
    int before = 0;
    use(&before);
    unlink(in_folder("vocab.json"));
    use(&before);
    unlink(in_folder("model.safetensors"));
    use(&before);
    CHECK_INT(before, 3);
    corrupt_store(in_folder(names[0]), good[0], size[0]);
    corrupt_store(in_folder("vocab.json"), good[3], size[3]);
    size_t header = 8 + (size_t)good[0][0] + 256 * (size_t)good[0][1];
    atomic_store(&corrupt_largest, 0);
    for (int i = 0; i < CASES; i++) {
        /* half of them the weights, of which the header mostly; the others in turn */
        int k = i % 2 ? 0 : 1 + i / 2 % (N_NAMES - 1);
        ib_rng r;
        size_t n = size[k];
        uint8_t *b = malloc(n + 256);
        ib_rng_seed2(&r, seed, (uint64_t)i);
        memcpy(b, good[k], n);
        if (!k && i % 5) {
            size_t m = header;
            uint8_t *head = malloc(header + 256);
            memcpy(head, b, header);
            if (i % 3) {
                corrupt_damage(head, &m, i / 10, &r);
            } else {
                damage_text(head, &m, &r);
            }
            memcpy(b, head, m < header ? m : header);
            n = m < header ? m : n;
            free(head);
        } else if (k && i % 3) {
            damage_text(b, &n, &r);
        } else {
            corrupt_damage(b, &n, i / 10, &r);
        }
        corrupt_store(in_folder(names[k]), b, n);
        if (k == 5) {
            unlink(in_folder("vocab.json"));
        }
        if (k == 7) {
            unlink(in_folder("model.safetensors"));
        }
        corrupt_begin(i + 1);
        use(&opened[k]);
        corrupt_end();
        all[k]++;
        corrupt_store(in_folder(names[k]), good[k], size[k]);
        if (k == 5) {
            corrupt_store(in_folder("vocab.json"), good[3], size[3]);
        }
        if (k == 7) {
            corrupt_store(in_folder(names[0]), good[0], size[0]);
        }
        free(b);
    }
    for (int k = 0; k < N_NAMES; k++) {
        printf("%-30s %6zu bytes: %d cases, %d opened\n", names[k], size[k], all[k], opened[k]);
        CHECK(opened[k] < all[k] || k == 6); /* a padding token that is none is passed over */
        CHECK(opened[k] > 0);
        free(good[k]);
    }
    printf("largest request %zu bytes\n", (size_t)atomic_load(&corrupt_largest));
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK_INT(system(command), 0);
    return check_report("test_corrupt_clip");
}
