/* How near the towers come to what this machine's sgemm can do.
 *   bench_clip [FILE [SECONDS]]      FILE: as tools/clip_weights.c writes; without it a file of ViT-L/14 is
 * made in $TMPDIR The floor is matrix products at the speed of one large sgemm, on as many threads; both are
 * measured in turn, and the best of each is taken. OMP_NUM_THREADS=1 with CPU time is what to trust on a
 * machine that others use too. */
#include <omp.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/memory.h"
#include "clip/clip.h"
#include "tests/clip_known.h"
#include "tests/peak.h"

typedef struct best {
    double wall, cpu; /* seconds */
} best;

typedef struct bench {
    ib_clip *clip;
    float *in, *out;
    int32_t *ids;
    size_t images, prompts;
    best image, text;
    double image_flops, text_flops;
    double peak, peak_by_spent; /* FLOP/s of sgemm on all threads, and of a processor */
} bench;

static void time_it(best *t, void (*what)(bench *), bench *b) {
    double wall = ib_clock_seconds(), cpu = spent();
    what(b);
    wall = ib_clock_seconds() - wall;
    cpu = spent() - cpu;
    t->wall = !t->wall || wall < t->wall ? wall : t->wall;
    t->cpu = !t->cpu || cpu < t->cpu ? cpu : t->cpu;
}

static void images(bench *b) {
    ib_error err = {0};
    if (ib_clip_images(b->clip, b->in, b->images, b->out, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void texts(bench *b) {
    ib_error err = {0};
    if (ib_clip_text_hidden(b->clip, b->ids, b->prompts, 0, true, b->out, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

/* Multiplications and additions of the matrix products. */
static double tower_flops(const ib_clip_tower *t) {
    double n = (double)t->tokens, w = (double)t->width, m = (double)t->mlp;
    double layer = 2 * n * (4 * w * w + 2 * w * m) + 4 * n * n * w * (t->side == IB_CLIP_TEXT ? 0.5 : 1);
    double in = t->side == IB_CLIP_VISION ? 2 * (n - 1) * w * 3 * (double)(t->patch * t->patch) : 0;
    return layer * (double)t->layers + in;
}

static void tell(const char *what, const best *t, double flops, double n, const bench *b) {
    if (t->wall) {
        printf("%-12s %8.2f /s   %6.1f GFLOP/s, %5.1f %% of sgemm; by CPU time %6.1f GFLOP/s, %5.1f %%\n",
               what, n / t->wall, 1e-9 * flops / t->wall, 100 * flops / t->wall / b->peak,
               1e-9 * flops / t->cpu, 100 * flops / t->cpu / b->peak_by_spent);
    }
}

static void make_model(const char *path) {
    ib_error err = {0};
    model m = {.dtype = IB_F16};
    clip_known(&m, "ViT-L/14");
    model_make(&m, 1);
    if (model_write(&m, path, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    model_free(&m);
}

int main(int argc, char **argv) {
    char path[512] = "";
    double limit = argc > 2 ? atof(argv[2]) : 20;
    bench b = {0};
    ib_error err = {0};
    struct rusage use;
    if (argc > 1) {
        snprintf(path, sizeof path, "%s", argv[1]);
    } else {
        snprintf(path, sizeof path, "%s/ib_bench_clip.safetensors",
                 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        make_model(path);
    }
    double opening = ib_clock_seconds();
    if (ib_clip_open(&b.clip, path, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    opening = ib_clock_seconds() - opening;
    const ib_clip_tower *v = ib_clip_vision(b.clip), *t = ib_clip_text(b.clip);
    getrusage(RUSAGE_SELF, &use);
    long before = use.ru_maxrss;
    size_t most = 0;
    if (v) {
        b.images = ib_clip_batch(b.clip);
        b.in = ib_calloc(b.images * 3 * v->image * v->image, sizeof *b.in);
        b.image_flops = (double)b.images * tower_flops(v);
        most = b.images * v->projection;
        ib_rng r;
        ib_rng_seed(&r, 2);
        for (size_t i = 0; i < b.images * 3 * v->image * v->image; i++) {
            b.in[i] = ib_rng_normal(&r);
        }
    }
    if (t) {
        b.prompts = 24;
        b.ids = ib_calloc(b.prompts * t->tokens, sizeof *b.ids);
        b.text_flops = (double)b.prompts * tower_flops(t);
        most = b.prompts * t->tokens * t->width > most ? b.prompts * t->tokens * t->width : most;
        for (size_t i = 0; i < b.prompts * t->tokens; i++) {
            b.ids[i] = (int32_t)(i * 7 % t->vocab);
        }
    }
    b.out = ib_calloc(most, sizeof *b.out);
    if (v) {
        images(&b);
    }
    if (t) {
        texts(&b);
    }
    getrusage(RUSAGE_SELF, &use);
    double extra = (double)use.ru_maxrss / 1024 - (double)((v ? v->bytes : 0) + (t ? t->bytes : 0)) / 1048576;
    printf("%s: opened in %.2f s; %d threads\n", path, opening, omp_get_max_threads());
    printf("memory: %.0f MiB at most, %.0f MiB beyond the weights (%ld MiB after opening)\n",
           (double)use.ru_maxrss / 1024, extra, before / 1024);
    double hashing = ib_clock_seconds();
    char hex[65];
    ib_clip_tower_sha256(v ? v : t, hex);
    hashing = ib_clock_seconds() - hashing;
    printf("sha256 of the tower: %.2f s, %.0f MB/s\n", hashing, 1e-6 * (double)(v ? v : t)->bytes / hashing);

    double end = ib_clock_seconds() + limit;
    do {
        b.peak = fmax(b.peak, sgemm_peaks(omp_get_max_threads(), &b.peak_by_spent));
        if (v) {
            time_it(&b.image, images, &b);
        }
        if (t) {
            time_it(&b.text, texts, &b);
        }
    } while (ib_clock_seconds() < end);
    printf("sgemm        %6.1f GFLOP/s on all threads; by CPU time %6.1f GFLOP/s\n", 1e-9 * b.peak,
           1e-9 * b.peak_by_spent);
    tell("pictures", &b.image, b.image_flops, (double)b.images, &b);
    tell("prompts", &b.text, b.text_flops, (double)b.prompts, &b);
    ib_clip_close(&b.clip);
    if (argc < 2) {
        unlink(path);
    }
    return 0;
}
