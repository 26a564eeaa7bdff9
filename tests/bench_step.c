/* How fast training steps are: samples per second of forward, backward, AdamW and the mean of weights on random latents at the default size,
 * and how near that is to the machine's own sgemm peak, measured beside it.
 * Usage: bench_step [preset] [threads] [seconds] [samples per call] [samples per step] */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch.h"
#include "nn/gemm.h"
#include "tests/peak.h"
#include "train/optimiser.h"

enum { ROWS = 14, COLS = 24, TOKENS = ROWS * COLS, FLOATS = 96 * TOKENS };

int main(int argc, char **argv) {
    const char *preset = argc > 1 ? argv[1] : "default";
    int threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads(), per = argc > 4 ? atoi(argv[4]) : 4,
        batch = argc > 5 ? atoi(argv[5]) : 16;
    double seconds = argc > 3 ? atof(argv[3]) : 10;
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, TOKENS, 96};
    ib_gemm_one_thread();
    if (threads < 1 || per < 1 ||
        ib_adapter_preset(preset, "patch:dct8+4:v1", IB_LAYOUT_GRID, 96, &c, &err) ||
        ib_adapter_create(&a, &c, 1, &err)) {
        fprintf(stderr, "bench_step: %s\n", err.text);
        return 1;
    }
    size_t count = ib_adapter_param_count(a);
    int calls = batch / (threads * per) > 1 ? batch / (threads * per) : 1;
    float *state = ib_calloc(4 * count, sizeof *state), *grads = state;
    float *const moments[IB_MAX_MOMENTS] = {state + count, state + 2 * count};
    const ib_optimiser *adamw = ib_optimiser_find("adamw", &err);
    double peak = sgemm_peak(threads), start = 0;
    long samples = 0;
    int failed = !state;
    ib_adapter_work **works = ib_calloc((size_t)threads, sizeof *works);
#pragma omp parallel num_threads(threads)
    {
        ib_error e;
        ib_rng r;
        int me = omp_get_thread_num();
        ib_rng_seed2(&r, 1, (uint64_t)me);
        float *z = ib_calloc((size_t)(3 * per) * FLOATS, sizeof *z), *p = ib_calloc(FLOATS, sizeof *p);
        ib_between *in = ib_calloc((size_t)per, sizeof *in);
        const float **target = ib_calloc((size_t)per, sizeof *target);
        ib_sample_loss *loss = ib_calloc((size_t)per, sizeof *loss);
        if (ib_adapter_work_create(&works[me], a, &shape, per, true, &e) || !z || !p || !in || !target ||
            !loss) {
#pragma omp atomic write
            failed = 1;
        }
        for (int i = 0; !failed && i < per; i++) {
            for (int k = 0; k < 3; k++) {
                for (size_t j = 0; j < FLOATS; j++) {
                    p[j] = 0.4f + 0.1f * ib_rng_normal(&r);
                }
                ib_patch_forward(p, ROWS, COLS, z + (size_t)(3 * i + k) * FLOATS);
            }
            in[i] = (ib_between){z + (size_t)(3 * i) * FLOATS, z + (size_t)(3 * i + 1) * FLOATS,
                                 ib_rng_float(&r) * 0.8f + 0.1f, 0.3f};
            target[i] = z + (size_t)(3 * i + 2) * FLOATS;
        }
#pragma omp barrier
        for (int round = 0; !failed; round++) {
#pragma omp barrier
#pragma omp single
            if (round == 1) {
                start = now();
                samples = 0;
            }
            if (round > 1 && now() - start > seconds) {
                break;
            }
#pragma omp barrier
            for (int i = 0; i < calls; i++) {
                ib_adapter_learn(a, works[me], in, target, per, 1.0f / (float)batch, loss, &e);
            }
#pragma omp atomic
            samples += calls * per;
#pragma omp barrier
#pragma omp single
            {
                const ib_update u = {.rate = 1e-4, .weight_decay = 0.01, .scale = 1, .number = round + 1};
                memset(grads, 0, count * sizeof *grads);
                for (int i = 0; i < threads; i++) {
                    ib_adapter_collect(a, works[i], grads);
                }
                ib_optimiser_update(adamw, &u, a, ib_adapter_params(a), grads, moments, 1);
                ib_ema_update(state + 3 * count, ib_adapter_params(a), count, 0.999, 1);
                ib_adapter_refresh(a);
            }
        }
    }
    double rate = (double)samples / (now() - start), macs = ib_adapter_forward_macs(a, &shape);
    if (failed) {
        fprintf(stderr, "bench_step: out of memory\n");
        return 1;
    }
    printf("%s: %zu parameters, %d threads, %d samples a step, %d a call: %.1f samples/s; %.1f M "
           "multiply-adds forward "
           "in the direct form; "
           "%.1f GFLOP/s of a measured sgemm peak of %.1f: %.0f %%\n",
           preset, count, threads, threads * calls * per, per, rate, macs * 1e-6, 6e-9 * macs * rate,
           peak * 1e-9, 600 * macs * rate / peak);
    return 0;
}
