/* How long the latent room's work takes. With a latent file as argument also what reading it
 * at random costs. */
#include <stdio.h>
#include <stdlib.h>
#include "base/memory.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "latent/geometry.h"
#include "latent/latent_file.h"
#include "latent/patch.h"
#include "tests/peak.h"

typedef struct work {
    float *planes, *z, *other, *near, *out; /* of one frame of 192 x 112 */
    uint16_t *half;
    size_t n;
} work;

static void forward(work *w) {
    ib_patch_forward(w->planes, 14, 24, w->z);
}

static void inverse(work *w) {
    ib_patch_inverse(w->z, 14, 24, w->planes);
}

static void slerp(work *w) {
    ib_slerp(w->z, w->other, 0.3f, 336, 96, w->out);
}

static void slerp_patch(work *w) {
    ib_slerp_in(ib_geometry_of("patch:dct8+4:v1"), w->z, w->near, 0.3f, 336, 96, w->out);
}

static void to_half(work *w) {
    ib_f32_to_f16(w->z, w->half, w->n);
}

static void from_half(work *w) {
    ib_f16_to_f32(w->half, w->out, w->n);
}

static void bench_file(const char *path) {
    ib_latent_file *f;
    ib_error err = {0};
    double before = spent();
    if (ib_latent_open(&f, path, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    double opened = spent() - before;
    const ib_latent_info *i = ib_latent_info_of(f);
    size_t n = i->shape.tokens * i->shape.width, reads = 3000;
    float *z = ib_calloc(n, sizeof *z);
    ib_rng r;
    ib_rng_seed(&r, 1);
    for (size_t k = 0; k < i->frames; k++) { /* into the page cache */
        ib_latent_read(f, k, 1, z, NULL);
    }
    before = spent();
    for (size_t k = 0; k < reads; k++) {
        if (ib_latent_read(f, ib_rng_below(&r, i->frames), 1, z, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
    }
    double each = (spent() - before) / (double)reads;
    printf("open %s: %.0f us\n", path, opened * 1e6);
    printf("read a frame of %zu values at random: %.1f us; 600 a second take %.1f %% of a core\n", n,
           each * 1e6, each * 600 * 100);
    ib_latent_close(&f);
    ib_free(z);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(work *w);
    } rows[] = {{"patch forward", forward},      {"patch inverse", inverse}, {"slerp", slerp},
                {"slerp of patch", slerp_patch}, {"to half", to_half},       {"from half", from_half}};
    work w = {.n = ib_patch_pixels(14, 24)};
    ib_rng r;
    w.planes = ib_calloc(w.n, sizeof *w.planes);
    w.z = ib_calloc(w.n, sizeof *w.z);
    w.other = ib_calloc(w.n, sizeof *w.other);
    w.near = ib_calloc(w.n, sizeof *w.near);
    w.out = ib_calloc(w.n, sizeof *w.out);
    w.half = ib_calloc(w.n, sizeof *w.half);
    ib_rng_seed(&r, 1);
    for (size_t i = 0; i < w.n; i++) {
        w.planes[i] = ib_rng_float(&r);
        w.other[i] = ib_rng_normal(&r);
    }
    ib_patch_forward(w.planes, 14, 24, w.z);
    for (size_t i = 0; i < w.n; i++) {
        w.near[i] = w.z[i] + 0.02f * w.other[i];
    }
    printf("one frame of 192 x 112, best of 50:\n");
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double best = 1;
        for (int i = 0; i < 50; i++) {
            double before = ib_clock_seconds();
            for (int j = 0; j < 10; j++) {
                rows[k].run(&w);
            }
            double t = (ib_clock_seconds() - before) / 10;
            best = t < best ? t : best;
        }
        printf("  %-14s %6.1f us\n", rows[k].name, best * 1e6);
    }
    for (int i = 1; i < argc; i++) {
        bench_file(argv[i]);
    }
    ib_free(w.planes);
    ib_free(w.z);
    ib_free(w.other);
    ib_free(w.near);
    ib_free(w.out);
    ib_free(w.half);
    return 0;
}
