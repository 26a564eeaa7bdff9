/* How fast whole training runs are in spaces without pictures: samples per second of ib_train on generated
 * latent files (reading, drawing, model, optimiser), and how near that is to the machine's own sgemm peak,
 * measured beside it, at 6 FLOP a sample and multiply-add of the forward pass. Usage: bench_train
 * [single|sequence] [preset] [threads] [seconds] [batch, 0: the preset's] [width]
 * [tokens] [files] [frames] */
#include <stdatomic.h>

#include "tests/moving.h"
#include "nn/gemm.h"
#include "tests/peak.h"
#include "tests/walks.h"
#include "train/dataset.h"
#include "train/sampler.h"
#include "train/train.h"

typedef struct watch {
    double begun, seconds;
    int64_t first, last; /* steps */
    double first_time, last_time, first_spent, last_spent;
    atomic_int stop;
} watch;

/* The first second warms up. */
static void on_progress(void *user, const ib_train_progress *p) {
    watch *w = user;
    double t = ib_clock_seconds();
    w->begun = w->begun > 0 ? w->begun : t;
    if (t < w->begun + 1) {
        w->first = p->step;
        w->first_time = t;
        w->first_spent = spent();
    }
    w->last = p->step;
    w->last_time = t;
    w->last_spent = spent();
    if (t > w->begun + 1 + w->seconds) {
        atomic_store(&w->stop, 1);
    }
}

/* Samples per second that reading and drawing alone give, with a cache of so many bytes. */
static double draw_rate(const ib_paths *latents, size_t cache_bytes, double seconds, ib_error *err) {
    ib_dataset *d = NULL;
    ib_sampler *s = NULL;
    ib_window w;
    uint64_t n = 0;
    double rate = 0;
    if (!ib_dataset_create(&d, cache_bytes, 32, err) && !ib_dataset_add(d, latents, false, err) &&
        !ib_dataset_settle(d, 0, 1, err) && !ib_sampler_create(&s, d, 2, 16, 1, err) &&
        !ib_sampler_calibrate(s, d, 256, err)) {
        uint16_t *h = ib_calloc(ib_dataset_values(d), 3 * sizeof *h);
        double start = ib_clock_seconds();
        while (h && ib_clock_seconds() < start + seconds && !ib_sampler_draw(s, d, n, &w, h, err)) {
            n++;
        }
        rate = (double)n / (ib_clock_seconds() - start);
        ib_free(h);
    }
    ib_sampler_free(&s);
    ib_dataset_free(&d);
    return rate;
}

int main(int argc, char **argv) {
    const char *layout = argc > 1 ? argv[1] : "single", *preset = argc > 2 ? argv[2] : "default";
    bool single = !strcmp(layout, "single");
    int threads = argc > 3 ? atoi(argv[3]) : omp_get_max_threads(), batch = argc > 5 ? atoi(argv[5]) : 0;
    double seconds = argc > 4 ? atof(argv[4]) : 10;
    size_t width = argc > 6 ? (size_t)atoi(argv[6]) : 768, tokens = argc > 7 ? (size_t)atoi(argv[7])
                                                                    : single ? 1
                                                                             : 257;
    int files = argc > 8 ? atoi(argv[8]) : 40;
    size_t frames = argc > 9 ? (size_t)atoi(argv[9]) : single ? 300 : 30;
    ib_shape shape = {single ? IB_LAYOUT_SINGLE : IB_LAYOUT_SEQUENCE, 1, (int)tokens, tokens, width};
    char *dir = scratch_begin("bench-train"), *run = ib_join(dir, "run"), name[32];
    ib_paths latents = {0};
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    int rc = 0;
    for (int k = 0; k < files && !rc; k++) {
        snprintf(name, sizeof name, "walk%d.h5", k);
        char *path = ib_join(dir, name);
        rc = walk_write(path, &shape, k, frames, &err);
        rc = rc ? rc : ib_paths_add(&latents, path, &err);
        free(path);
    }
    ib_gemm_one_thread();
    double each = 0, peak = sgemm_peaks(threads, &each), cached = 0, uncached = 0;
    if (!rc) {
        cached = draw_rate(&latents, (size_t)384 << 20, 1, &err);
        uncached = draw_rate(&latents, 1 << 20, 1, &err);
    }
    watch w = {.seconds = seconds};
    ib_train_result result = {0};
    ib_train_options o;
    ib_train_defaults(&o);
    o.latents = &latents;
    o.run = run;
    o.preset = preset;
    o.threads = threads;
    o.batch = batch;
    o.steps = 1000000;
    o.valid_fraction = 0;
    o.stop = &w.stop;
    o.progress = on_progress;
    o.user = &w;
    rc = rc ? rc : ib_adapter_preset(preset, WALK_SPACE, shape.layout, (int)width, &c, &err);
    rc = rc ? rc : ib_adapter_create(&a, &c, 1, &err);
    rc = rc ? rc : ib_train(&o, &result, &err);
    scratch_end(dir);
    if (rc && rc != IB_E_INTERRUPTED) {
        fprintf(stderr, "bench_train: %s\n", err.text);
        return 1;
    }
    double per_step = (double)result.samples / (double)result.step, macs = ib_adapter_forward_macs(a, &shape);
    double rate = (double)(w.last - w.first) * per_step / (w.last_time - w.first_time);
    printf("%s, %s: %zu x %zu values, %zu parameters, %d threads, %.0f samples a step: %.1f samples/s; %.1f "
           "GFLOP/s of a "
           "measured sgemm peak of %.1f: %.0f %%; reading and drawing alone: %.0f samples/s, with next to no "
           "cache %.0f\n",
           layout, preset, tokens, width, ib_adapter_param_count(a), threads, per_step, rate,
           6e-9 * macs * rate, peak * 1e-9, 600 * macs * rate / peak, cached, uncached);
    double work = (double)(w.last - w.first) * per_step * 6 * macs / (w.last_spent - w.first_spent);
    printf("by processor time: %.1f GFLOP a second of a processor, the product alone %.1f: %.0f %%\n",
           work * 1e-9, each * 1e-9, 100 * work / each);
    ib_adapter_free(&a);
    ib_paths_free(&latents);
    free(run);
    return 0;
}
