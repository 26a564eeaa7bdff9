/* Whole models of which one file is damaged: what lies beside the weights (index, scheduler, tokenizer,
 * normaliser) and what comes from elsewhere (LoRA, IP-Adapters). Refused with a sentence, or frames are made.
 */
#include <sys/stat.h>
#include "diffusion/diffusion.h"
#include "diffusion/ip_adapter.h"
#include "tests/corrupt.h"

enum { CASES = 5000, INSTRUMENTED_CASES = 1000, LARGEST = 64 << 20, SIDE = 16 };

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

typedef enum whom { MODEL, UNCLIP, PLUS } whom;

/* What is damaged, where it comes from (under tests/fixtures; NULL: written here), and which use meets it. */
static const struct {
    const char *name, *from;
    whom of;
    bool text;
} files[] = {{"lora.safetensors", NULL, MODEL, false},
             {"ip.safetensors", "diffusion/pipeline/ip-adapter.safetensors", MODEL, false},
             {"plus.safetensors", "diffusion/ip-plus/ip-adapter.safetensors", PLUS, false},
             {"model/model_index.json", "diffusion/pipeline/model_index.json", MODEL, true},
             {"model/scheduler/scheduler_config.json", "diffusion/pipeline/scheduler/scheduler_config.json",
              MODEL, true},
             {"model/tokenizer/vocab.json", "clip-tiny/vocab.json", MODEL, true},
             {"model/tokenizer/merges.txt", "clip-tiny/merges.txt", MODEL, false},
             {"model/tokenizer/tokenizer_config.json", NULL, MODEL, true},
             {"model/unet/diffusion_pytorch_model.safetensors.index.json", NULL, MODEL, true},
             {"unclip/image_normalizer/diffusion_pytorch_model.safetensors",
              "diffusion/unclip/image_normalizer/diffusion_pytorch_model.safetensors", UNCLIP, false},
             {"unclip/image_noising_scheduler/scheduler_config.json",
              "diffusion/unclip/image_noising_scheduler/scheduler_config.json", UNCLIP, true},
             {"unclip/scheduler/scheduler_config.json", "diffusion/unclip/scheduler/scheduler_config.json",
              UNCLIP, true}};
enum { N_FILES = sizeof files / sizeof *files };

static bool sentence(int rc, const ib_error *err) {
    return !rc || (rc < 0 && err->code == rc && err->text[0] && !strchr(err->text, '\n'));
}

/* One frame. 1: it was made. */
static int render(const char *model, const ib_diffusion_options *o, size_t width) {
    ib_diffusion *d = NULL;
    ib_error err = {0};
    int rc = ib_diffusion_open(&d, model, o, &err);
    CHECK(sentence(rc, &err));
    if (rc) {
        CHECK(!d);
        return 0;
    }
    float e[64] = {0.5F, -0.25F}, picture[SIDE * SIDE * 3];
    float *text = calloc(ib_diffusion_about_of(d)->text_floats, sizeof *text);
    CHECK(text && width <= 64);
    rc = ib_diffusion_prompt(d, "a red circle", text, &err);
    CHECK(sentence(rc, &err));
    ib_diffusion_job job = {.frames = 1,
                            .width = SIDE,
                            .height = SIDE,
                            .text = rc ? NULL : text,
                            .negative_text = rc ? NULL : text,
                            .embedding = e,
                            .steps = 2,
                            .guidance = 2,
                            .noise_level = 3};
    if (!rc) {
        rc = ib_diffusion_render(d, &job, picture, NULL, &err);
        CHECK(sentence(rc, &err));
    }
    free(text);
    ib_diffusion_close(&d);
    return !rc;
}

static int plus(void) {
    ib_ip_adapter *a = NULL;
    ib_error err = {0};
    int rc = ib_ip_adapter_open(&a, in_folder("plus.safetensors"), 0, &err);
    CHECK(sentence(rc, &err));
    if (rc) {
        return 0;
    }
    const ib_ip_about *about = ib_ip_adapter_about(a);
    size_t in = 3 * about->width, out = about->tokens * about->context;
    if (in <= 1 << 20 && out <= 1 << 20) {
        float *x = calloc(in, sizeof *x), *tokens = calloc(out, sizeof *tokens);
        CHECK(x && tokens);
        rc = ib_ip_adapter_tokens(a, x, 1, about->plus ? 3 : 1, 1, tokens, &err);
        CHECK(sentence(rc, &err));
        free(x);
        free(tokens);
    }
    ib_ip_adapter_close(&a);
    return !rc;
}

static int use(whom of) {
    char model[300], lora[300], ip[300];
    snprintf(model, sizeof model, "%s/%s", folder, of == UNCLIP ? "unclip" : "model");
    snprintf(lora, sizeof lora, "%s/lora.safetensors", folder);
    snprintf(ip, sizeof ip, "%s/ip.safetensors", folder);
    const char *const loras[1] = {lora};
    ib_diffusion_options o = {.threads = 1};
    if (of == MODEL) {
        o.lora = loras;
        o.loras = 1;
        o.ip_adapter = ip;
    }
    return of == PLUS ? plus() : render(model, &o, 24);
}

/* A LoRA of one matrix, [16,16] by rank 2. */
static void write_lora(void) {
    static const char head[] = "{\"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_"
                               "down.weight\":{\"dtype\":\"F32\",\"shape\":[2,16],"
                               "\"data_offsets\":[0,128]},\"lora_unet_mid_block_attentions_0_transformer_"
                               "blocks_0_attn1_to_q.lora_up.weight\":{\"dtype\":"
                               "\"F32\",\"shape\":[16,2],\"data_offsets\":[128,256]},\"lora_unet_mid_block_"
                               "attentions_0_transformer_blocks_0_attn1_to_q."
                               "alpha\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[256,260]}}";
    uint8_t b[1024] = {0};
    uint64_t n = sizeof head - 1;
    float v[65];
    for (int i = 0; i < 65; i++) {
        v[i] = (float)(i % 7) / 8;
    }
    memcpy(b, &n, 8);
    memcpy(b + 8, head, n);
    memcpy(b + 8 + n, v, sizeof v);
    corrupt_store(in_folder("lora.safetensors"), b, 8 + n + sizeof v);
}

static void run_shell(const char *format) {
    char command[2000];
    snprintf(command, sizeof command, format, folder, folder, folder, folder, folder, folder);
    CHECK_INT(system(command), 0);
}

static void write_good(void) {
    run_shell("f=tests/fixtures/diffusion c=tests/fixtures/clip-tiny m=%s/model u=%s/unclip; mkdir $m && cp "
              "-r $f/unclip $u && "
              "cp -r $f/pipeline/model_index.json $f/pipeline/scheduler $f/pipeline/vae $f/pipeline/unet $m "
              "&& mkdir $m/text_encoder "
              "$m/tokenizer && cp $c/model.safetensors $c/config.json $m/text_encoder && cp $c/vocab.json "
              "$c/merges.txt $m/tokenizer && "
              "cp -r $m/text_encoder $m/tokenizer $m/vae $u && cp -r $f/unet-unclip $u/unet && cp "
              "$f/ip-plus/*adapter* %s/plus.safetensors && "
              "cp $f/pipeline/ip-adapter.safetensors %s/ip.safetensors && cd $m/unet && mv *.safetensors "
              "diffusion_pytorch_model-00001-of-00001.safetensors && cd ../tokenizer && echo "
              "'{\"pad_token\": \"!\"}' >tokenizer_config.json");
    write_lora();
    /* an index of every tensor, as the file's header names them */
    size_t n;
    uint8_t *b = corrupt_load(in_folder("model/unet/diffusion_pytorch_model-00001-of-00001.safetensors"), &n);
    FILE *f = fopen(in_folder("model/unet/diffusion_pytorch_model.safetensors.index.json"), "w");
    const char *comma = "";
    CHECK(b && f);
    fputs("{\"metadata\": {}, \"weight_map\": {", f);
    size_t end = 8 + (size_t)b[0] + 256 * (size_t)b[1] + 65536 * (size_t)b[2];
    b[end] = 0;
    for (char *at = strstr((char *)b + 8, "\":{\"dtype"); at; at = strstr(at + 4, "\":{\"dtype")) {
        char *from = at;
        while (from[-1] != '"') {
            from--;
        }
        fprintf(f, "%s\"%.*s\": \"diffusion_pytorch_model-00001-of-00001.safetensors\"", comma,
                (int)(at - from), from);
        comma = ",\n";
    }
    fputs("}}", f);
    fclose(f);
    free(b);
}

int main(int argc, char **argv) {
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    const char *instrumented = getenv("IB_INSTRUMENTED"); /* by sanitizers, ten times as slow */
    int cases = instrumented && *instrumented ? INSTRUMENTED_CASES : CASES;
    int well[N_FILES] = {0}, all[N_FILES] = {0};
    size_t size[N_FILES];
    uint8_t *good[N_FILES];
    cases = argc > 2 ? atoi(argv[2]) : cases;
    snprintf(folder, sizeof folder, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        return check_skip("test_corrupt_renderer", "no scratch directory");
    }
    write_good();
    for (int k = 0; k < N_FILES; k++) {
        if (!(good[k] = corrupt_load(in_folder(files[k].name), &size[k]))) {
            printf("cannot read %s\n", files[k].name);
            return 1;
        }
    }
    for (whom of = MODEL; of <= PLUS; of++) {
        CHECK_INT(use(of), 1);
    }
    atomic_store(&corrupt_largest, 0);
    for (int i = 0; i < cases; i++) {
        int k = i % N_FILES;
        size_t n = size[k], header = files[k].text ? 0 : 8 + (size_t)good[k][0] + 256 * (size_t)good[k][1];
        uint8_t *b = malloc(n + 256);
        ib_rng r;
        ib_rng_seed2(&r, seed, (uint64_t)i);
        memcpy(b, good[k], n);
        if (files[k].text && i / N_FILES % 3) {
            corrupt_text(b, &n, &r);
        } else if (!files[k].text && header < n && i / N_FILES % 4) {
            size_t m = header; /* mostly what says what the numbers are */
            corrupt_damage(b, &m, i / N_FILES, &r);
            if (m < header) {
                n = m;
            } else {
                memcpy(b + header, good[k] + header, n - header);
            }
        } else {
            corrupt_damage(b, &n, i / N_FILES, &r);
        }
        corrupt_store(in_folder(files[k].name), b, n);
        corrupt_begin(i + 1);
        well[k] += use(files[k].of);
        corrupt_end();
        all[k]++;
        corrupt_store(in_folder(files[k].name), good[k], size[k]);
        free(b);
    }
    for (int k = 0; k < N_FILES; k++) {
        printf("    %s: of %d cases %d made a frame\n", files[k].name, all[k], well[k]);
        free(good[k]);
    }
    printf("    largest request for memory: %zu KB\n", atomic_load(&corrupt_largest) >> 10);
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    run_shell("rm -rf %s");
    return check_report("test_corrupt_renderer");
}
