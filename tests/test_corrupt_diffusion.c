/* Damaged models: refused with a sentence, or what was opened can be used. Weights, configs and indices alike
 * come from strangers. */
#include <sys/stat.h>
#include "diffusion/model.h"
#include "diffusion/vae.h"
#include "tests/corrupt.h"

enum { CASES = 5000, LARGEST = 64 << 20 };

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Every kind of file that is read, each damaged in its turn; where it comes from. */
static const char *const names[][2] = {
    {"vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"},
    {"unet/diffusion_pytorch_model-00001-of-00001.safetensors", "unet/diffusion_pytorch_model.safetensors"},
    {"tiny/diffusion_pytorch_model.safetensors", "taesd/diffusion_pytorch_model.safetensors"},
    {"vae/config.json", "vae/config.json"},
    {"unet/config.json", "unet/config.json"},
    {"tiny/config.json", "taesd/config.json"},
    {"unet/diffusion_pytorch_model.safetensors.index.json", NULL},
    {"model_index.json", NULL},
    {"scheduler/scheduler_config.json", NULL}};
enum { N_NAMES = sizeof names / sizeof *names, N_WEIGHTS = 3 };

static const char *const texts[] = {
    ("{\"metadata\": {}, \"weight_map\": {\"conv_in.weight\": "
     "\"diffusion_pytorch_model-00001-of-00001.safetensors\"}}"),
    "{\"_class_name\": \"StableDiffusionPipeline\", \"force_zeros_for_empty_prompt\": true}",
    "{\"_class_name\": \"PNDMScheduler\", \"prediction_type\": \"epsilon\", \"beta_start\": 0.00085}"};

static void use_vae(const char *path, int *opened) {
    ib_vae *v = NULL;
    ib_error err = {0};
    float z[16], picture[64 * 64 * 3];
    char hash[65];
    if (ib_vae_open(&v, path, 0, &err)) {
        CHECK(!v && err.code < 0 && err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    (*opened)++;
    const ib_vae_about *a = ib_vae_about_of(v);
    CHECK(a->encodes || a->decodes);
    for (int i = 0; i < 16; i++) {
        z[i] = (float)i / 8 - 1;
    }
    if (a->channels <= 4 && a->factor <= 8) {
        int rc = a->decodes ? ib_vae_decode(v, z, 2, 2, picture, 1, &err) : IB_OK;
        CHECK(!rc || (err.code == rc && err.text[0]));
        rc = a->encodes ? ib_vae_encode(v, picture, a->factor, a->factor, z, NULL, 1, &err) : IB_OK;
        CHECK(!rc || (err.code == rc && err.text[0]));
    }
    ib_vae_sha256(v, hash);
    ib_vae_close(&v);
}

static void use(int *opened) {
    ib_model_about a;
    ib_error err = {0};
    int rc = ib_model_describe(&a, folder, &err);
    *opened += !rc;
    CHECK(!rc || (err.code < 0 && err.text[0] && !strchr(err.text, '\n')));
    CHECK(rc ||
          (a.unet.levels >= 1 && a.unet.levels <= IB_UNET_LEVELS && a.unet.channels[0] % a.unet.groups == 0));
    ib_model_is(folder);
    use_vae(folder, opened);
    use_vae(in_folder("tiny"), opened);
}

static void write_good(void) {
    static const char *const folders[] = {"vae", "unet", "tiny", "scheduler"};
    char from[256];
    for (int i = 0; i < 4; i++) {
        CHECK_INT(mkdir(in_folder(folders[i]), 0700), 0);
    }
    for (int i = 0, k = 0; i < N_NAMES; i++) {
        size_t n = 0;
        uint8_t *b = NULL;
        if (names[i][1]) {
            snprintf(from, sizeof from, "tests/fixtures/diffusion/%s", names[i][1]);
            b = corrupt_load(from, &n);
            CHECK(b != NULL);
        }
        const char *text = names[i][1] ? (const char *)b : texts[k++];
        corrupt_store(in_folder(names[i][0]), (const uint8_t *)text, names[i][1] ? n : strlen(text));
        free(b);
    }
}

int main(int argc, char **argv) {
    const char *tmp = getenv("TMPDIR");
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int cases = argc > 2 ? atoi(argv[2]) : CASES, opened[N_NAMES] = {0}, all[N_NAMES] = {0}, before = 0;
    size_t size[N_NAMES];
    uint8_t *good[N_NAMES];
    char command[300];
    snprintf(folder, sizeof folder, "%s/ib_corrupt_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        return check_skip("test_corrupt_diffusion", "no scratch directory");
    }
    write_good();
    for (int k = 0; k < N_NAMES; k++) {
        if (!(good[k] = corrupt_load(in_folder(names[k][0]), &size[k]))) {
            return 1;
        }
    }
    use(&before);
    CHECK_INT(before, 3);
    atomic_store(&corrupt_largest, 0);
    for (int i = 0; i < cases; i++) {
        /* half of them weights, of which the header mostly; the others in turn */
        int k = i % 2 ? i / 2 % N_WEIGHTS : N_WEIGHTS + i / 2 % (N_NAMES - N_WEIGHTS), got = 0;
        ib_rng r;
        size_t n = size[k], header = 8 + (size_t)good[k][0] + 256 * (size_t)good[k][1];
        uint8_t *b = malloc(n + 256);
        ib_rng_seed2(&r, seed, (uint64_t)i);
        memcpy(b, good[k], n);
        if (k < N_WEIGHTS && i % 5) {
            size_t m = header;
            corrupt_damage(b, &m, i / 3, &r);
            if (m < header) {
                n = m;
            } else {
                memcpy(b + header, good[k] + header, n - header);
            }
        } else if (k >= N_WEIGHTS && i % 3) {
            corrupt_text(b, &n, &r);
        } else {
            corrupt_damage(b, &n, i / 3, &r);
        }
        corrupt_store(in_folder(names[k][0]), b, n);
        corrupt_begin(i + 1);
        use(&got);
        corrupt_end();
        opened[k] += got;
        all[k] += 3;
        corrupt_store(in_folder(names[k][0]), good[k], size[k]);
        free(b);
    }
    for (int k = 0; k < N_NAMES; k++) {
        printf("    %s: of %d uses %d were well\n", names[k][0], all[k], opened[k]);
        free(good[k]);
    }
    printf("    largest request for memory: %zu KB\n", atomic_load(&corrupt_largest) >> 10);
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK_INT(system(command), 0);
    return check_report("test_corrupt_diffusion");
}
