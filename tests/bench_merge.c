/* Merging two large adapters beside a plain copy of the same bytes: both files read, one written, fsync.
 *   bench_merge DIR [MIB of each file, 1024] [METHOD, linear] [TURNS, 3] [THREADS, 2]
 * The inputs are thrown out of the page cache before each turn where the kernel lets us. DIR needs room for
 * three files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "adapter/adapter_file.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "merge/merge.h"

enum { BLOCK = 4 << 20 };

/* User and system, of all threads: what counts on a machine that has other work too. */
static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int die(const ib_error *err) {
    fprintf(stderr, "bench_merge: %s\n", err->text);
    exit(1);
}

/* The architecture whose file comes nearest to so many bytes from below. */
static ib_adapter *outline_of(double bytes, ib_error *err) {
    ib_adapter_config c = {.space_id = "bench:1", .layout = IB_LAYOUT_GRID, .width = 96, .trust = 1};
    ib_adapter *best = NULL;
    for (c.fine = 64; c.fine <= 1024; c.fine *= 2) {
        for (c.fine_blocks = 1; c.fine_blocks <= 32; c.fine_blocks++) {
            ib_adapter *a;
            if (ib_adapter_outline(&a, &c, err)) {
                die(err);
            }
            size_t n = ib_adapter_param_count(a);
            if (4 * (double)n <= bytes && (!best || n > ib_adapter_param_count(best))) {
                ib_adapter_free(&best);
                best = a;
            } else {
                ib_adapter_free(&a);
            }
        }
    }
    if (!best) {
        fprintf(stderr, "bench_merge: no architecture is that small\n");
        exit(1);
    }
    return best;
}

static void make(const char *path, const ib_adapter *outline, uint64_t seed, float *block) {
    ib_error err = {0};
    ib_adapter_meta m;
    ib_st_writer *w;
    ib_rng r;
    size_t n = ib_adapter_tensor_count(outline);
    ib_st_tensor *t = ib_calloc(n, sizeof *t);
    ib_adapter_describe(ib_adapter_config_of(outline), &m);
    for (size_t i = 0; i < n; i++) {
        const ib_param *p = ib_adapter_tensor(outline, i);
        t[i] = (ib_st_tensor){.name = p->name, .dtype = IB_F32, .rank = p->rank};
        memcpy(t[i].shape, p->shape, sizeof p->shape);
    }
    ib_rng_seed(&r, seed);
    int bad = ib_st_writer_begin(&w, path, t, n, m.pair, m.n, &err);
    size_t left = bad ? 0 : ib_adapter_param_count(outline) * sizeof(float);
    while (left && !bad) {
        size_t bytes = left < BLOCK ? left : BLOCK;
        for (size_t i = 0; i < bytes / sizeof(float); i++) {
            block[i] = ib_rng_float(&r) - 0.5f;
        }
        bad = ib_st_writer_append(w, block, bytes, &err);
        left -= bytes;
    }
    if (bad || ib_st_writer_finish(&w, NULL, 0, &err)) {
        die(&err);
    }
    ib_free(t);
}

static void evict(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

/* Reads a and b, writes what a holds. */
static double copy(const char *a, const char *b, const char *out, char *block) {
    double begun = ib_clock_seconds();
    int in = open(a, O_RDONLY), beside = open(b, O_RDONLY),
        to = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ssize_t n;
    while ((n = read(in, block, BLOCK)) > 0) {
        if (write(to, block, (size_t)n) != n || read(beside, block, BLOCK) < 0) {
            perror("bench_merge: copy");
            exit(1);
        }
    }
    if (n < 0 || fsync(to)) {
        perror("bench_merge: copy");
        exit(1);
    }
    close(in);
    close(beside);
    close(to);
    unlink(out);
    return ib_clock_seconds() - begun;
}

static double merge(const ib_paths *inputs, const char *method, int threads, const char *out) {
    ib_merge_options o;
    ib_merge_result r;
    ib_error err = {0};
    const ib_merge_method *m = ib_merge_method_find(method, &err);
    if (!m) {
        die(&err);
    }
    ib_paths first = {inputs->v, m->base ? 1 : 2};
    ib_merge_defaults(&o);
    o.inputs = &first;
    o.base = m->base ? inputs->v[1] : NULL;
    o.method = method;
    o.output = out;
    o.threads = threads;
    double begun = ib_clock_seconds();
    if (ib_merge(&o, &r, &err)) {
        die(&err);
    }
    ib_merge_result_free(&r);
    unlink(out);
    return ib_clock_seconds() - begun;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "bench_merge DIR [MIB] [METHOD] [TURNS] [THREADS]\n");
        return 2;
    }
    const char *method = argc > 3 ? argv[3] : "linear";
    double mib = argc > 2 ? strtod(argv[2], NULL) : 1024;
    int turns = argc > 4 ? atoi(argv[4]) : 3, threads = argc > 5 ? atoi(argv[5]) : 2;
    ib_error err = {0};
    ib_paths inputs = {0};
    ib_adapter *outline = outline_of(mib * 1048576, &err);
    double bytes = 4 * (double)ib_adapter_param_count(outline) * 3;
    char *block = ib_calloc(BLOCK, 1), *a = ib_join(argv[1], "bench-a.safetensors"),
         *b = ib_join(argv[1], "bench-b.safetensors"), *out = ib_join(argv[1], "bench-c.safetensors");
    if (!block || !a || !b || !out || ib_mkdirs(argv[1], &err) || ib_paths_add(&inputs, a, &err) ||
        ib_paths_add(&inputs, b, &err)) {
        die(&err);
    }
    make(a, outline, 1, (float *)(void *)block);
    make(b, outline, 2, (float *)(void *)block);
    printf("two adapters of %.0f MB, %s; MB/s of all that is read and written (%.0f MB)\n", bytes / 3e6,
           method, bytes / 1e6);
    for (int i = 0; i < turns; i++) {
        struct rusage u;
        evict(a), evict(b);
        double cpu = cpu_seconds(), ours = merge(&inputs, method, threads, out),
               cpu_ours = cpu_seconds() - cpu;
        getrusage(RUSAGE_SELF, &u);
        evict(a), evict(b);
        cpu = cpu_seconds();
        double plain = copy(a, b, out, block), cpu_plain = cpu_seconds() - cpu;
        printf("merge %.2f s (%.0f MB/s, %.2f s of CPU), copy %.2f s (%.0f MB/s, %.2f s of CPU), ratio of "
               "speeds %.2f, "
               "peak memory %ld MiB\n",
               ours, bytes / 1e6 / ours, cpu_ours, plain, bytes / 1e6 / plain, cpu_plain, plain / ours,
               u.ru_maxrss / 1024);
        fflush(stdout);
    }
    unlink(a);
    unlink(b);
    ib_adapter_free(&outline);
    ib_paths_free(&inputs);
    ib_free(block);
    free(a);
    free(b);
    free(out);
    return 0;
}
