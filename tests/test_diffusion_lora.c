/* LoRAs: merged while weights are widened, under the names of several programs. */
#include "diffusion/lora.h"
#include "tests/diffusion_fixture.h"

enum { RANK = 3 };
static const char *const WEIGHT = "down_blocks.0.resnets.0.conv1.weight";

static void fill(float *v, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(seed >> 8) / (float)(1 << 24) - .5f;
    }
}

/* A file with one pair, and what it should add. */
static int make(const char *path, const char *down_name, const char *up_name, const char *alpha_name,
                size_t n, size_t k, float *down, float *up) {
    float alpha = 6;
    ib_error err = {0};
    ib_st_tensor t[3] = {
        {.name = down_name,
         .dtype = IB_F32,
         .rank = 4,
         .shape = {RANK, (int64_t)(k / 9), 3, 3},
         .data = down},
        {.name = up_name, .dtype = IB_F32, .rank = 4, .shape = {(int64_t)n, RANK, 1, 1}, .data = up},
        {.name = alpha_name, .dtype = IB_F32, .rank = 0, .data = &alpha}};
    for (int i = 0; i < 3; i++) {
        t[i].elements = i == 0 ? RANK * k : i == 1 ? n * RANK : 1;
        t[i].bytes = t[i].elements * sizeof(float);
    }
    int rc = ib_st_write(path, t, alpha_name ? 3 : 2, NULL, 0, &err);
    CHECK_OK(rc, &err);
    return rc;
}

static void test_names(void) {
    static const struct {
        const char *down, *up, *alpha;
        double scale;
    } forms[] = {
        {"lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight",
         "lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight",
         "lora_unet_down_blocks_0_resnets_0_conv1.alpha", 2},
        {"lora_unet_input_blocks_1_0_in_layers_2.lora_down.weight",
         "lora_unet_input_blocks_1_0_in_layers_2.lora_up.weight", NULL, 1},
        {"unet.down_blocks.0.resnets.0.conv1.lora_A.weight",
         "unet.down_blocks.0.resnets.0.conv1.lora_B.weight", NULL, 1},
    };
    ib_weights *w = NULL;
    ib_unet_config c;
    ib_error err = {0};
    ib_weight m;
    CHECK_OK(ib_weights_open(&w, "tests/fixtures/diffusion/unet-sd15", "unet", &err), &err);
    CHECK_OK(ib_unet_config_read(&c, w, &err), &err);
    CHECK_OK(ib_weights_get(w, WEIGHT, 4, (int64_t[]){-1, -1, 3, 3}, &m, &err), &err);
    size_t n = (size_t)m.shape[0], k = m.count / n;
    float *down = ib_calloc(RANK * k, sizeof *down), *up = ib_calloc(n * RANK, sizeof *up),
          *got = ib_calloc(n * k, sizeof *got), *want = ib_calloc(n * k, sizeof *want);
    fill(down, RANK * k, 1);
    fill(up, n * RANK, 2);
    char path[] = "/tmp/ib_lora_XXXXXX";
    CHECK(mkstemp(path) >= 0);
    for (int i = 0; i < 3; i++) {
        ib_loras l = {0};
        ib_unet *u = NULL;
        remove(path);
        make(path, forms[i].down, forms[i].up, forms[i].alpha, n, k, down, up);
        CHECK_OK(ib_loras_add(&l, path, 0.5f, w, &c, &err), &err);
        ib_unet_patch patch = ib_loras_patch(&l);
        CHECK_OK(ib_unet_open(&u, w, &c, NULL, &patch, &err), &err);
        CHECK_OK(ib_loras_check(&l, &err), &err);
        CHECK(patch.touches(patch.context, WEIGHT));
        CHECK(!patch.touches(patch.context, "conv_out.weight"));
        ib_weight_widen(&m, 0, m.count, got);
        for (size_t r = 0; r < n; r++) {
            for (size_t j = 0; j < k; j++) {
                double sum = 0;
                for (size_t q = 0; q < RANK; q++) {
                    sum += (double)up[r * RANK + q] * (double)down[q * k + j];
                }
                want[r * k + j] = (float)((double)got[r * k + j] + 0.5 * forms[i].scale * sum);
            }
        }
        patch.apply(patch.context, WEIGHT, got, n, k);
        CHECK_FIXTURE(got, want, n * k, 1e-6);
        ib_unet_close(&u);
        ib_loras_close(&l);
    }
    /* for another model, and of another shape */
    static const char *const wrong[][2] = {{"lora_unet_down_blocks_9_resnets_0_conv1.lora_down.weight",
                                            "lora_unet_down_blocks_9_resnets_0_conv1.lora_up.weight"},
                                           {"unet.conv_out.lora_A.weight", "unet.conv_out.lora_B.weight"}};
    for (int i = 0; i < 2; i++) {
        ib_loras l = {0};
        ib_unet *u = NULL;
        remove(path);
        make(path, wrong[i][0], wrong[i][1], NULL, n, k, down, up);
        CHECK_OK(ib_loras_add(&l, path, 1, w, &c, &err), &err);
        ib_unet_patch patch = ib_loras_patch(&l);
        CHECK_OK(ib_unet_open(&u, w, &c, NULL, &patch, &err), &err);
        CHECK_ERROR(ib_loras_check(&l, &err), &err, IB_E_MISMATCH, i ? "another shape" : "down_blocks_9");
        ib_unet_close(&u);
        ib_loras_close(&l);
    }
    remove(path);
    ib_free(down);
    ib_free(up);
    ib_free(got);
    ib_free(want);
    ib_weights_close(&w);
}

int main(void) {
    RUN(test_names());
    return check_report("diffusion_lora");
}
