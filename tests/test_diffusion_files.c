/* Model files: names, shards, variants, prefixes, types, and the sentences for what is not read. */
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "diffusion/unet_config.h"
#include "diffusion/vae.h"
#include "diffusion/weights.h"
#include "tests/diffusion_fixture.h"

static char scratch[64];

static const char *at(const char *name) {
    static char path[8][256];
    static int n;
    n = (n + 1) % 8;
    snprintf(path[n], sizeof path[n], "%s/%s", scratch, name);
    return path[n];
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(text, 1, strlen(text), f) == strlen(text) && !fclose(f));
}

enum { MOST = 700, NAME = 160 };

/* One tensor of one number for each line of a table of names: the line's number. */
typedef struct table {
    size_t n;
    char ours[MOST][NAME], theirs[MOST][NAME];
    float value[MOST];
    ib_st_tensor tensor[MOST];
} table;
static table t;

static void read_table(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/fixtures/diffusion/%s", name);
    FILE *f = fopen(path, "r");
    t.n = 0;
    CHECK(f != NULL);
    while (f && t.n < MOST && fscanf(f, "%159s %159s", t.ours[t.n], t.theirs[t.n]) == 2) {
        t.value[t.n] = (float)t.n;
        t.n++;
    }
    CHECK(f && !fclose(f));
}

static void write_table(const char *path, const char *prefix, const char *instead) {
    ib_error err = {0};
    static char name[MOST][NAME];
    for (size_t i = 0; i < t.n; i++) {
        const char *theirs = t.theirs[i];
        size_t cut = strncmp(theirs, prefix, strlen(prefix)) ? 0 : strlen(prefix);
        snprintf(name[i], NAME, "%s%s", cut ? instead : "", theirs + cut);
        t.tensor[i] =
            (ib_st_tensor){.name = name[i], .dtype = IB_F32, .rank = 1, .shape = {1}, .elements = 1};
        t.tensor[i].data = &t.value[i];
        t.tensor[i].bytes = sizeof(float);
    }
    CHECK_OK(ib_st_write(path, t.tensor, t.n, NULL, 0, &err), &err);
}

/* Every tensor is found under diffusers' name. */
static void check_table(const char *path, const char *part) {
    ib_error err = {0};
    ib_weights *w = NULL;
    int rc = ib_weights_open(&w, path, part, &err);
    CHECK_OK(rc, &err);
    for (size_t i = 0; i < t.n && !rc; i++) {
        ib_weight x = {0};
        float v = -1;
        int found = ib_weights_get(w, t.ours[i], -1, NULL, &x, &err);
        if (!found) {
            ib_weight_widen(&x, 0, 1, &v);
        }
        if (found || (size_t)v != i) {
            printf("%s should be %s\n", t.ours[i], t.theirs[i]);
        }
        CHECK_OK(found, &err);
        CHECK_INT(v, i);
        CHECK(ib_weights_has(w, t.ours[i]));
    }
    CHECK(rc || ib_weights_is_single_file(w));
    CHECK(rc || !ib_weights_has(w, "up_blocks.3.upsamplers.0.conv.weight"));
    CHECK(rc || !ib_weights_has(w, "down_blocks.0.resnets.2.conv1.weight"));
    CHECK(rc || !ib_weights_has(w, "down_blocks.00000000000000001.resnets.0.conv1.weight"));
    ib_weights_close(&w);
}

static void test_single_file_names(void) {
    read_table("names_unet.txt");
    write_table(at("unet.safetensors"), "model.diffusion_model.", "model.diffusion_model.");
    check_table(at("unet.safetensors"), "unet");
    write_table(at("unet.safetensors"), "model.diffusion_model.", "anybody's.prefix.");
    check_table(at("unet.safetensors"), "unet");
    read_table("names_unet_xl.txt");
    write_table(at("unet.safetensors"), "model.diffusion_model.", "");
    check_table(at("unet.safetensors"), "unet");
    read_table("names_vae.txt");
    write_table(at("vae.safetensors"), "first_stage_model.", "first_stage_model.");
    check_table(at("vae.safetensors"), "vae");
    write_table(at("vae.safetensors"), "first_stage_model.", "");
    check_table(at("vae.safetensors"), "vae");
}

/* The autoencoder of the fixture, changed by one function and written anew in `files` shards. */
typedef struct rewrite {
    void (*change)(ib_st_tensor *t, char *name);
    ib_dtype type; /* IB_F16: as it is */
    int files;
    const char *one, *many; /* a file's name; of shards with two numbers */
    const char *index;
} rewrite;

static void rewrite_vae(const char *folder, const rewrite *r) {
    ib_error err = {0};
    ib_st *f = NULL;
    static ib_st_tensor copy[400];
    static char name[400][256];
    CHECK_OK(ib_mkdirs(folder, &err), &err);
    CHECK_OK(ib_st_open(&f, "tests/fixtures/diffusion/vae/diffusion_pytorch_model.safetensors", &err), &err);
    size_t n = f ? ib_st_count(f) : 0, per = (n + (size_t)r->files - 1) / (size_t)r->files;
    char path[512], *map = malloc(1 << 16), *end = map;
    end += sprintf(end, "{\"metadata\": {}, \"weight_map\": {");
    for (size_t i = 0; i < n; i++) {
        copy[i] = *ib_st_at(f, i);
        snprintf(name[i], sizeof name[i], "%s", copy[i].name);
        copy[i].name = name[i];
        if (r->change) {
            r->change(&copy[i], name[i]);
        }
        if (r->type != IB_F16) {
            float *v = malloc(copy[i].elements * sizeof *v);
            CHECK_INT(ib_st_to_f32(&copy[i], v, NULL), 0);
            for (size_t k = 0; r->type == IB_BF16 && k < copy[i].elements; k++) {
                ((uint16_t *)v)[k] = ((uint16_t *)v)[2 * k + 1]; /* the upper half, in place */
            }
            copy[i].data = v;
            copy[i].dtype = r->type;
            copy[i].bytes = copy[i].elements * ib_dtype_bytes(r->type);
        }
        snprintf(path, sizeof path, r->files > 1 ? r->many : r->one, (int)(i / per) + 1, r->files);
        end += sprintf(end, "%s\"%s\": \"%s\"", i ? ", " : "", name[i], path);
    }
    sprintf(end, "}}");
    for (int k = 0; k < r->files && f; k++) {
        char file[300];
        snprintf(file, sizeof file, r->files > 1 ? r->many : r->one, k + 1, r->files);
        snprintf(path, sizeof path, "%s/%s", folder, file);
        size_t first = (size_t)k * per, m = n - first < per ? n - first : per;
        CHECK_OK(ib_st_write(path, copy + first, m, NULL, 0, &err), &err);
    }
    if (r->index) {
        snprintf(path, sizeof path, "%s/%s", folder, r->index);
        write_text(path, map);
    }
    for (size_t i = 0; i < n && r->type != IB_F16; i++) {
        free((void *)copy[i].data);
    }
    free(map);
    ib_st_close(&f);
}

static void copy_config(const char *folder) {
    char command[512];
    snprintf(command, sizeof command,
             "cp tests/fixtures/diffusion/vae/config.json %s && chmod u+w %s/config.json", folder, folder);
    CHECK_INT(system(command), 0);
}

/* The picture that the autoencoder at `path` makes of a fixed latent. */
static void decode(const char *path, float picture[12 * 16 * 3]) {
    ib_error err = {0};
    ib_vae *v = NULL;
    float z[6 * 8 * 4];
    for (int i = 0; i < 6 * 8 * 4; i++) {
        z[i] = (float)sin(i);
    }
    memset(picture, 0, 12 * 16 * 3 * sizeof *picture);
    int rc = ib_vae_open(&v, path, 0.7, &err);
    CHECK_OK(rc, &err);
    if (!rc) {
        CHECK_OK(ib_vae_decode(v, z, 6, 8, picture, 2, &err), &err);
    }
    ib_vae_close(&v);
}

static void test_forms(void) {
    float want[12 * 16 * 3], got[12 * 16 * 3];
    static const rewrite forms[] = {
        {.files = 1, .type = IB_F16, .one = "diffusion_pytorch_model.safetensors"},
        {.files = 1, .type = IB_F32, .one = "diffusion_pytorch_model.safetensors"},
        {.files = 1, .type = IB_F16, .one = "diffusion_pytorch_model.fp16.safetensors"},
        {.files = 1, .type = IB_F16, .one = "some_name.safetensors"},
        {.files = 3,
         .type = IB_F16,
         .many = "diffusion_pytorch_model-%05d-of-%05d.safetensors",
         .index = "diffusion_pytorch_model.safetensors.index.json"},
        {.files = 2,
         .type = IB_F32,
         .many = "diffusion_pytorch_model.fp16-%05d-of-%05d.safetensors",
         .index = "diffusion_pytorch_model.safetensors.index.fp16.json"},
    };
    decode("tests/fixtures/diffusion/vae", want);
    decode("tests/fixtures/diffusion/vae/diffusion_pytorch_model.safetensors", got);
    CHECK(!memcmp(got, want, sizeof want));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char folder[96], inner[128];
        snprintf(folder, sizeof folder, "%s/form%zu", scratch, i);
        snprintf(inner, sizeof inner, "%s/vae", folder);
        rewrite_vae(inner, &forms[i]);
        copy_config(inner);
        decode(folder, got);
        CHECK(!memcmp(got, want, sizeof want));
        decode(inner, got);
        CHECK(!memcmp(got, want, sizeof want));
        if (forms[i].index) {
            char index[256];
            snprintf(index, sizeof index, "%s/%s", inner, forms[i].index);
            decode(index, got);
            CHECK(!memcmp(got, want, sizeof want));
        }
    }
    rewrite_vae(at("bf16/vae"),
                &(rewrite){.files = 1, .type = IB_BF16, .one = "diffusion_pytorch_model.bf16.safetensors"});
    copy_config(at("bf16/vae"));
    decode(at("bf16"), got);
    double off = fixture_difference(got, want, 12 * 16 * 3);
    printf("    bfloat16 changes the picture by %.2g of its RMS\n", off);
    CHECK(off > 1e-4 && off < 0.05);
}

/* Until 2023 diffusers saved the attention as 1x1 convolutions under other names. */
static void old_attention(ib_st_tensor *x, char *name) {
    static const char *const pairs[][2] = {
        {"to_q.", "query."}, {"to_k.", "key."}, {"to_v.", "value."}, {"to_out.0.", "proj_attn."}};
    for (int i = 0; i < 4; i++) {
        char *in = strstr(name, pairs[i][0]);
        if (in) {
            char rest[32];
            snprintf(rest, sizeof rest, "%s", in + strlen(pairs[i][0]));
            sprintf(in, "%s%s", pairs[i][1], rest);
            if (x->rank == 2) {
                x->rank = 4;
                x->shape[2] = x->shape[3] = 1;
            }
        }
    }
}

static void test_old_names(void) {
    float want[12 * 16 * 3], got[12 * 16 * 3];
    decode("tests/fixtures/diffusion/vae", want);
    rewrite_vae(at("old/vae"),
                &(rewrite){old_attention, IB_F16, 1, "diffusion_pytorch_model.safetensors", "", NULL});
    copy_config(at("old/vae"));
    decode(at("old"), got);
    CHECK(!memcmp(got, want, sizeof want));
}

static void taesd_names(const ib_st *f, const char *side, int plus, const char *path) {
    static ib_st_tensor half[100];
    static char name[100][64];
    ib_error err = {0};
    size_t n = 0, stem = strlen(side);
    for (size_t i = 0; i < ib_st_count(f) && n < 100; i++) {
        const ib_st_tensor *x = ib_st_at(f, i);
        if (!strncmp(x->name, side, stem)) {
            char *rest;
            long number = strtol(x->name + stem, &rest, 10);
            snprintf(name[n], sizeof name[n], "%ld%s", number + plus, rest);
            half[n] = *x;
            half[n].name = name[n];
            n++;
        }
    }
    CHECK_OK(ib_st_write(path, half, n, NULL, 0, &err), &err);
}

/* TAESD's own two files. */
static void test_taesd_pair(void) {
    ib_error err = {0};
    ib_st *f = NULL;
    float z[3 * 4 * 4], want[24 * 32 * 3], got[24 * 32 * 3];
    for (int i = 0; i < 48; i++) {
        z[i] = (float)sin(i);
    }
    CHECK_OK(ib_st_open(&f, "tests/fixtures/diffusion/taesd/diffusion_pytorch_model.safetensors", &err),
             &err);
    CHECK_OK(ib_mkdirs(at("taesd"), &err), &err);
    taesd_names(f, "decoder.layers.", 1, at("taesd/taesd_decoder.safetensors"));
    ib_st_close(&f);
    ib_vae *a = NULL, *b = NULL;
    CHECK_OK(ib_vae_open(&a, "tests/fixtures/diffusion/taesd", 0, &err), &err);
    CHECK_OK(ib_vae_open(&b, at("taesd/taesd_decoder.safetensors"), 0, &err), &err);
    CHECK(b && ib_vae_about_of(b)->decodes && !ib_vae_about_of(b)->encodes);
    CHECK(b && ib_vae_about_of(b)->kind == IB_VAE_TINY && ib_vae_about_of(b)->factor == 8);
    if (a && b) {
        CHECK_OK(ib_vae_decode(a, z, 3, 4, want, 1, &err), &err);
        CHECK_OK(ib_vae_decode(b, z, 3, 4, got, 1, &err), &err);
        CHECK(!memcmp(got, want, sizeof want));
        CHECK_ERROR(ib_vae_encode(b, want, 24, 32, z, NULL, 1, &err), &err, IB_E_UNSUPPORTED,
                    "holds no encoder");
        CHECK_ERROR(ib_vae_encode(a, want, 24, 31, z, NULL, 1, &err), &err, IB_E_ARGUMENT, "multiples of 8");
    }
    ib_vae_close(&b);
    CHECK_OK(ib_st_open(&f, "tests/fixtures/diffusion/taesd/diffusion_pytorch_model.safetensors", &err),
             &err);
    taesd_names(f, "encoder.layers.", 0, at("taesd/taesd_encoder.safetensors"));
    ib_st_close(&f);
    const char *paths[] = {at("taesd"), at("taesd/taesd_encoder.safetensors"),
                           at("taesd/taesd_decoder.safetensors")};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(ib_vae_open(&b, paths[i], 0, &err), &err);
        CHECK(b && ib_vae_about_of(b)->decodes && ib_vae_about_of(b)->encodes);
        ib_vae_close(&b);
    }
    ib_vae_close(&a);
}

static int open_vae(const char *path, ib_error *err) {
    ib_vae *v = NULL;
    int rc = ib_vae_open(&v, path, 0, err);
    CHECK(!rc == (v != NULL));
    ib_vae_close(&v);
    return rc;
}

static void without_one(ib_st_tensor *x, char *name) {
    (void)x;
    if (!strcmp(name, "decoder.mid_block.resnets.1.conv2.weight")) {
        strcpy(name, "something.else");
    }
}

static void another_width(ib_st_tensor *x, char *name) {
    if (!strcmp(name, "decoder.mid_block.resnets.1.conv2.weight")) {
        x->shape[0] /= 2;
        x->shape[1] *= 2;
    }
}

static void test_refusals(void) {
    ib_error err = {0};
    const rewrite broken[] = {{without_one, IB_F16, 1, "diffusion_pytorch_model.safetensors", "", NULL},
                              {another_width, IB_F16, 1, "diffusion_pytorch_model.safetensors", "", NULL}};
    rewrite_vae(at("without"), &broken[0]);
    copy_config(at("without"));
    CHECK_ERROR(open_vae(at("without"), &err), &err, IB_E_FORMAT,
                "tensor 'decoder.mid_block.resnets.1.conv2.weight' is missing");
    rewrite_vae(at("width"), &broken[1]);
    copy_config(at("width"));
    CHECK_ERROR(
        open_vae(at("width"), &err), &err, IB_E_FORMAT,
        "tensor 'decoder.mid_block.resnets.1.conv2.weight' is [12, 48, 3, 3], expected [24, 24, 3, 3]");
    write_text(at("model.ckpt"), "PK\3\4....");
    CHECK_ERROR(open_vae(at("model.ckpt"), &err), &err, IB_E_UNSUPPORTED, "a PyTorch file");
    write_text(at("model.any"), "\x80\2}q.");
    CHECK_ERROR(open_vae(at("model.any"), &err), &err, IB_E_UNSUPPORTED, "safetensors.torch.save_file");
    write_text(at("model.gguf"), "GGUF....");
    CHECK_ERROR(open_vae(at("model.gguf"), &err), &err, IB_E_UNSUPPORTED, "a gguf file");
    CHECK_OK(ib_mkdirs(at("bin/vae"), &err), &err);
    write_text(at("bin/vae/diffusion_pytorch_model.bin"), "PK\3\4....");
    CHECK_ERROR(open_vae(at("bin"), &err), &err, IB_E_UNSUPPORTED,
                "bin/vae/diffusion_pytorch_model.bin: a PyTorch file");
    CHECK_OK(ib_mkdirs(at("empty/vae"), &err), &err);
    CHECK_ERROR(open_vae(at("empty"), &err), &err, IB_E_IO, "holds no safetensors file of the vae");
    CHECK_OK(ib_mkdirs(at("half"), &err), &err);
    write_text(at("half/model_index.json"), "{}");
    CHECK_ERROR(open_vae(at("half"), &err), &err, IB_E_IO, "the model has no folder vae");
    CHECK_ERROR(open_vae(at("nothing.safetensors"), &err), &err, IB_E_IO, "nothing.safetensors");
    ib_weights *w = NULL;
    CHECK_ERROR(ib_weights_open(&w, "tests/fixtures/diffusion/vae", "unet", &err), &err, IB_E_FORMAT,
                "holds no U-Net");
    CHECK(!w);
    static const float one = 1;
    const ib_st_tensor alien[] = {{"decoder.conv_in.weight", IB_F8_E4M3, 4, {1, 4, 1, 1}, 4, &one, 4}};
    CHECK_OK(ib_st_write(at("f8.safetensors"), alien, 1, NULL, 0, &err), &err);
    CHECK_ERROR(open_vae(at("f8.safetensors"), &err), &err, IB_E_UNSUPPORTED, "half precision");
    write_text(at("i.index.json"), "{\"weight_map\": {\"a\": \"../x.safetensors\"}}");
    CHECK_ERROR(open_vae(at("i.index.json"), &err), &err, IB_E_FORMAT, "not said to be in a file beside it");
}

static void config_gives(const char *text, int code, const char *sentence) {
    ib_error err = {0};
    write_text(at("form0/vae/config.json"), text);
    CHECK_ERROR(open_vae(at("form0"), &err), &err, code, sentence);
}

static void test_configs(void) {
    ib_error err = {0};
    ib_vae *v = NULL;
    config_gives("{\"norm_num_groups\": 7}", IB_E_FORMAT, "not divisible by 7 groups");
    config_gives("{\"norm_num_groups\": 0}", IB_E_FORMAT,
                 "\"norm_num_groups\" is no whole number from 1 to 1024");
    config_gives("{\"norm_num_groups\": 8, \"act_fn\": \"gelu\"}", IB_E_UNSUPPORTED, "\"act_fn\" is gelu");
    config_gives("{\"norm_num_groups\": 8, \"latents_mean\": [1]}", IB_E_UNSUPPORTED,
                 "\"latents_mean\" is a list");
    config_gives("{\"scaling_factor\": -1}", IB_E_FORMAT, "scaling_factor");
    config_gives("[]", IB_E_FORMAT, "no JSON object");
    write_text(at("form0/vae/config.json"), "{\"norm_num_groups\": 8, \"scaling_factor\": null}");
    CHECK_OK(ib_vae_open(&v, at("form0"), 0, &err), &err);
    CHECK(v && !ib_vae_about_of(v)->scaling_said);
    CHECK_NEAR(v ? ib_vae_about_of(v)->scaling : 0, 0.18215, 0);
    ib_vae_close(&v);
}

int main(void) {
    char command[96];
    snprintf(scratch, sizeof scratch, "/tmp/ib_diffusion_files_%d", (int)getpid());
    if (mkdir(scratch, 0700)) {
        return check_skip("test_diffusion_files", "no place for its files");
    }
    RUN(test_single_file_names());
    RUN(test_forms());
    RUN(test_old_names());
    RUN(test_taesd_pair());
    RUN(test_refusals());
    RUN(test_configs());
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK_INT(system(command), 0);
    return check_report("test_diffusion_files");
}
