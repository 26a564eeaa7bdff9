/* How fast training steps are: samples per second of forward, backward, AdamW and the mean of weights on
 * random latents at the default size, and how near that is to the machine's own sgemm peak, measured beside
 * it. The motion prior, which depends on no weight and which another implementation may be given with its
 * input, is also measured by itself. Usage: bench_step [preset] [threads] [seconds] [samples per call]
 * [samples per step] */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/adapter.h"
#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch.h"
#include "nn/gemm.h"
#include "tests/peak.h"
#include "train/optimiser.h"

enum { ROWS = 14, COLS = 24, TOKENS = ROWS * COLS, FLOATS = 96 * TOKENS };

/* One thread's own. */
typedef struct member {
    ib_adapter_work *work;
    float *z; /* [per,3,FLOATS]: two keyframes and what lies between them */
    ib_between *in;
    const float **target;
    ib_sample_loss *loss;
    float *gradient;
} member;

static int member_init(member *m, const ib_adapter *a, const ib_shape *shape, int per, int seed) {
    ib_error err;
    ib_rng r;
    size_t n = (size_t)per;
    float *p = ib_calloc(FLOATS, sizeof *p);
    m->z = ib_calloc(3 * n * FLOATS, sizeof *m->z);
    m->in = ib_calloc(n, sizeof *m->in);
    m->target = ib_calloc(n, sizeof *m->target);
    m->loss = ib_calloc(n, sizeof *m->loss);
    m->gradient = ib_calloc(ib_adapter_param_count(a), sizeof *m->gradient);
    if (!p || !m->z || !m->in || !m->target || !m->loss || !m->gradient ||
        ib_adapter_work_create(&m->work, a, shape, per, true, &err)) {
        return 1;
    }
    ib_rng_seed2(&r, 1, (uint64_t)seed);
    for (size_t i = 0; i < n; i++) {
        float *z = m->z + 3 * i * FLOATS;
        for (size_t k = 0; k < 3; k++) {
            for (size_t j = 0; j < FLOATS; j++) {
                p[j] = 0.4f + 0.1f * ib_rng_normal(&r);
            }
            ib_patch_forward(p, ROWS, COLS, z + k * FLOATS);
        }
        m->in[i] = (ib_between){z, z + FLOATS, ib_rng_float(&r) * 0.8f + 0.1f, 0.3f};
        m->target[i] = z + 2 * FLOATS;
    }
    ib_free(p);
    return 0;
}

/* Samples a second of what a model may be given with its input: the motion prior, the hypotheses, features of
 * cells. The keyframes' pixels and carrying them along the prior are the model's own
 * work. */
static double prior_rate(const member *members, int threads, double seconds) {
    double start = ib_clock_seconds(), spent = 0;
    long samples = 0;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(+ : samples, spent, failed)
    {
        const ib_between *in = members[omp_get_thread_num()].in;
        ib_motion m = {0};
        float *cells = ib_calloc((size_t)TOKENS * IB_MOTION_FEATURES, sizeof *cells);
        failed = !cells || ib_motion_create(&m, ROWS, COLS, NULL);
        if (!failed) {
            ib_patch_inverse(in->z0, ROWS, COLS, m.planes0);
            ib_patch_inverse(in->z1, ROWS, COLS, m.planes1);
        }
        for (double now = start; !failed && now - start < seconds; samples++) {
            double begun = ib_clock_seconds();
            ib_motion_estimate(&m, in->t, cells);
            double ended = ib_clock_seconds();
            ib_canvas_spline(&m.canvas, m.planes0, m.spline0);
            ib_canvas_spline(&m.canvas, m.planes1, m.spline1);
            ib_carry(&m.canvas, m.spline0, m.spline1, m.v, in->t, 3, m.scratch, m.carried0, m.carried1);
            now = ib_clock_seconds();
            spent += (ended - begun) - (now - ended);
        }
        ib_motion_free(&m);
        ib_free(cells);
    }
    return failed ? 0 : (double)samples * threads / spent;
}

int main(int argc, char **argv) {
    const char *preset = argc > 1 ? argv[1] : "default";
    int threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads(), per = argc > 4 ? atoi(argv[4]) : 8,
        batch = argc > 5 ? atoi(argv[5]) : 16;
    double seconds = argc > 3 ? atof(argv[3]) : 10;
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, TOKENS, 96};
    ib_gemm_one_thread();
    if (threads < 1 || per < 1 ||
        ib_adapter_preset(preset, "patch:dct8+4:v1", IB_LAYOUT_GRID, 96, &c, &err) ||
        ib_adapter_create(&a, &c, 1, &err) || ib_adapter_trains(a, &err)) {
        fprintf(stderr, "bench_step: %s\n", err.text);
        return 1;
    }
    size_t count = ib_adapter_param_count(a), n = (size_t)threads;
    per = batch / threads < per ? batch / threads > 1 ? batch / threads : 1 : per;
    int calls = batch / (threads * per) > 1 ? batch / (threads * per) : 1;
    member *members = ib_calloc(n, sizeof *members);
    float *state = ib_calloc(3 * count, sizeof *state), **parts = ib_calloc(n, sizeof *parts);
    float *const moments[IB_MAX_MOMENTS] = {state, state + count};
    const ib_optimiser *adamw = ib_optimiser_find("adamw", &err);
    int failed = !members || !state || !parts;
    for (int i = 0; !failed && i < threads; i++) {
        failed = member_init(&members[i], a, &shape, per, i);
        parts[i] = members[i].gradient;
    }
    if (failed) {
        fprintf(stderr, "bench_step: out of memory\n");
        return 1;
    }
    double peak = sgemm_peak(threads), start = 0, cpu = 0;
    long samples = 0;
    /* the first step warms up */
    for (long step = 0; step < 2 || ib_clock_seconds() - start < seconds; step++) {
        if (step == 1) {
            start = ib_clock_seconds();
            cpu = spent();
            samples = 0;
        }
#pragma omp parallel num_threads(threads)
        {
            member *m = &members[omp_get_thread_num()];
            ib_error e;
            for (int i = 0; i < calls; i++) {
                ib_adapter_learn(a, m->work, m->in, m->target, per, 1.0f / (float)batch, 0, NULL, m->loss,
                                 &e);
            }
            memset(m->gradient, 0, count * sizeof *m->gradient);
            ib_adapter_collect(a, m->work, m->gradient);
        }
        const ib_update u = {.rate = 1e-4, .weight_decay = 0.01, .scale = 1, .number = step + 1};
        ib_gradient_sum(parts, n, parts[0], count, threads);
        ib_optimiser_update(adamw, &u, a, ib_adapter_params(a), parts[0], moments, threads, NULL);
        ib_ema_update(state + 2 * count, ib_adapter_params(a), count, 0.999, threads);
        ib_adapter_refresh_by(a, threads);
        samples += (long)threads * calls * per;
    }
    double rate = (double)samples / (ib_clock_seconds() - start), macs = ib_adapter_forward_macs(a, &shape);
    cpu = 1000 * (spent() - cpu) / (double)samples;
    printf("%s: %zu parameters, %d threads, %d samples a step, %d a call: %.1f samples/s (%.2f ms of "
           "processor each); %.1f M multiply-adds forward in the direct form; %.1f GFLOP/s of a measured "
           "sgemm peak of %.1f: %.0f %%\n",
           preset, count, threads, threads * calls * per, per, rate, cpu, macs * 1e-6, 6e-9 * macs * rate,
           peak * 1e-9, 600 * macs * rate / peak);
    double prior = prior_rate(members, threads, 0.25 * seconds);
    printf("the motion prior alone: %.1f samples/s; the step when that is given: %.1f samples/s\n", prior,
           1 / (1 / rate - 1 / prior));
    return 0;
}
