#include "distil/targets.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "latent/guides.h"
#include "latent/latent_file.h"

/* A name of its own: it is neither the video nor another encoding of it. */
static void describe(const ib_targets *t, const ib_latent_info *from, ib_latent_info *to) {
    char all[3 * 64 + 3];
    *to = *from;
    snprintf(to->source, sizeof to->source, "sought in %.480s", from->source);
    int n = snprintf(all, sizeof all, "%s %s %s", from->source_sha256, t->adapter_sha256, t->judge_sha256);
    ib_sha256_bytes(all, (size_t)n, to->source_sha256);
    to->source_bytes = to->source_mtime_ns = 0;
}

/* One window as a shot that begins after `clock` seconds. */
static int write_shot(const ib_targets *t, ib_latent_writer *w, const ib_sought *s, float *z, double *clock,
                      double fps, ib_error *err) {
    size_t values = s->shape.tokens * s->shape.width;
    double begins = *clock;
    int rc = ib_search_window(t->judge, s, &t->o, z, NULL, err);
    rc = rc ? rc : ib_latent_writer_append(w, s->z0, begins, true, err);
    for (size_t k = 0; k < s->places && !rc; k++) {
        rc = ib_latent_writer_append(w, z + k * values, begins + (double)s->t[k] * (double)s->gap_seconds,
                                     false, err);
    }
    rc = rc ? rc : ib_latent_writer_append(w, s->z1, begins + (double)s->gap_seconds, false, err);
    *clock = begins + (double)s->gap_seconds + 1 / fps;
    return rc;
}

static int copy_guides(ib_latent_file *f, ib_latent_writer *w, const ib_guide_window *window,
                       ib_guide_window *made, size_t n, ib_error *err) {
    const ib_guide_table *t = ib_latent_guides(f);
    const ib_shape *s = &ib_latent_info_of(f)->shape;
    float *z = NULL;
    if (!t) {
        return IB_OK;
    }
    int rc = ib_latent_writer_guides(w, t->model, made, n, err);
    rc = rc ? rc : ib_alloc_floats(&z, IB_GUIDE_PICTURES * s->tokens * s->width, "a guide", err);
    for (size_t i = 0; i < n; i++) {
        for (size_t g = window[i].at; g + 1 < window[i].at + (size_t)window[i].gap && !rc; g++) {
            rc = ib_latent_read_guides(f, g, 1, z, err);
            rc = rc ? rc : ib_latent_writer_append_guide(w, z, t->feature + g * IB_GUIDE_FEATURES, err);
        }
    }
    ib_free(z);
    return rc;
}

int ib_targets_write(const ib_targets *t, const char *from, const char *to, size_t *windows, size_t *frames,
                     ib_error *err) {
    ib_latent_file *f = NULL;
    ib_latent_writer *w = NULL;
    ib_latent_info info;
    ib_sought s = {0};
    ib_guide_window *window = NULL, *made = NULL;
    float *z = NULL;
    size_t n = 0, all, found = 0;
    double clock = 0;
    int largest, rc = ib_latent_open(&f, from, err);
    rc = rc ? rc : ib_sought_windows(f, &window, &n, err);
    if (rc || !n) {
        goto done;
    }
    largest = window[n - 1].gap;
    describe(t, ib_latent_info_of(f), &info);
    made = ib_calloc(n, sizeof *made);
    if (!made || ib_size_mul((size_t)largest * info.shape.tokens, info.shape.width, &all)) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", from);
        goto done;
    }
    rc = ib_alloc_floats(&z, all, "a window", err);
    rc = rc ? rc : ib_sought_create(&s, t->adapter, info.space_id, &info.shape, (size_t)largest - 1, err);
    rc = rc ? rc : ib_latent_writer_create(&w, to, &info, err);
    for (size_t i = 0; i < n && !rc; i++) {
        made[i] = (ib_guide_window){ib_latent_writer_frames(w), window[i].gap, 0};
        rc = ib_sought_read(&s, f, window[i].first, window[i].gap, window[i].at, NULL, err);
        rc = rc ? rc : ib_sought_answer(&s, t->adapter, err);
        rc = rc ? rc : write_shot(t, w, &s, z, &clock, info.fps, err);
        found += s.places;
        if (!rc && t->o.stop && atomic_load(t->o.stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
    }
    rc = rc ? rc : copy_guides(f, w, window, made, n, err);
    rc = rc ? rc : ib_latent_writer_finish(&w, err);
    if (!rc) {
        *windows += n;
        *frames += found;
    }
done:
    ib_latent_writer_abort(&w);
    ib_sought_free(&s);
    ib_free(z);
    ib_free(made);
    ib_free(window);
    ib_latent_close(&f);
    return rc;
}
