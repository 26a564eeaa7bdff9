/* Tensor by tensor, block by block: read, combine, write. */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weights/average.h"
#include "weights/parents.h"
#include "base/clock.h"
#include "base/memory.h"
#include "merge/private.h"

enum { MEMORY = 24 << 20, MOST_ELEMENTS = 1 << 20, PIECE = 1 << 14 };

/* Room for a block of every source and of the result. */
typedef struct block {
    float *values;
    const float *x[IB_MERGE_SOURCES];
    float *out;
    size_t elements; /* at most */
} block;

static int block_create(block *b, size_t sources, ib_error *err) {
    size_t n = MEMORY / sizeof(float) / (sources + 1);
    b->elements = n > MOST_ELEMENTS ? MOST_ELEMENTS : n / PIECE ? n / PIECE * PIECE : n;
    int rc = ib_alloc_floats(&b->values, b->elements * (sources + 1), "blocks of tensors", err);
    for (size_t i = 0; !rc && i < sources; i++) {
        b->x[i] = b->values + i * b->elements;
    }
    b->out = rc ? NULL : b->values + sources * b->elements;
    return rc;
}

/* Elements [first + at, first + at + n) of all sources and, the last time, of the result. */
static int one_piece(const ib_merge_job *j, const block *b, const ib_param *p, size_t first, size_t at,
                     size_t n, bool last, ib_error *err) {
    const float *x[IB_MERGE_SOURCES];
    for (size_t s = 0; s < j->sources; s++) {
        x[s] = b->x[s] + at;
        int rc = ib_source_read(&j->source[s], p, first + at, n, b->values + s * b->elements + at, err);
        if (rc) {
            return rc;
        }
    }
    if (last && j->method->kernel->combine) {
        j->method->kernel->combine(j, x, first + at, b->out + at, n);
    } else if (last) {
        ib_average_weighted(x, j->coefficient, j->sources, b->out + at, n);
    }
    return IB_OK;
}

/* A block by all threads, who wait for each other once: checksums are taken from the file and need not wait
 * for the pieces. */
static int one_block(ib_merge_job *j, const block *b, const ib_param *p, size_t first, size_t n, bool last,
                     ib_error *err) {
    long pieces = (long)((n + PIECE - 1) / PIECE), sources = (long)j->sources;
    int rc = IB_OK;
#pragma omp parallel num_threads(j->o->threads)
    {
#pragma omp for schedule(dynamic, 1) nowait
        for (long i = 0; i < sources; i++) {
            if (last) {
                ib_source_done(&j->source[i], p, first, n);
            }
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (long i = 0; i < pieces; i++) {
            ib_error mine = {0};
            size_t at = (size_t)i * PIECE;
            int mine_rc = one_piece(j, b, p, first, at, n - at < PIECE ? n - at : PIECE, last, &mine);
            if (mine_rc) {
#pragma omp critical(ib_merge_error)
                {
                    rc = mine_rc;
                    *err = mine;
                }
            }
        }
    }
    for (long i = 0; i < sources; i++) {
        ib_source_release(&j->source[i], p, first, n);
    }
    return rc;
}

static void report_stream(ib_merge_job *j, size_t bytes) {
    j->bytes_done += bytes;
    double spent = ib_clock_seconds() - j->begun;
    ib_merge_report(j, (double)j->bytes_done / (double)j->bytes_total,
                    spent > 0 ? (double)j->bytes_done / spent : 0);
}

static int one_tensor(ib_merge_job *j, block *b, const ib_param *p, ib_st_writer *w, ib_error *err) {
    const ib_merge_kernel *kernel = j->method->kernel;
    int looks = kernel->looks ? kernel->looks(j) : 0, r = IB_OK;
    if (kernel->begin) {
        kernel->begin(j, p);
    }
    for (int pass = 0; pass <= looks; pass++) {
        bool last = pass == looks;
        for (size_t at = 0, n; at < p->count; at += n) {
            n = p->count - at < b->elements ? p->count - at : b->elements;
            if ((r = ib_merge_stopped(j, err)) || (r = one_block(j, b, p, at, n, last, err))) {
                return r;
            }
            if (!last) {
                kernel->look(j, pass, b->x, n);
            } else {
                if (!ib_params_finite(b->out, n)) {
                    return ib_fail(err, IB_E_NONFINITE,
                                   "%s: not written, the tensor '%s' of the result is not finite",
                                   j->o->output, p->name);
                }
                r = ib_st_writer_append(w, b->out, n * sizeof(float), err);
            }
            if (r) {
                return r;
            }
            report_stream(j, n * sizeof(float) * (j->sources + last));
        }
        if (!last) {
            kernel->settle(j, pass);
        }
    }
    return IB_OK;
}

/* ---- what the file says about itself ---- */

enum { NOTES = 6 };

typedef struct notes {
    ib_adapter_meta own;
    ib_st_meta meta[16 + NOTES];
    size_t n;
    char title[96], values[256];
    char *parents; /* owned */
    char *names;   /* owned */
} notes;

static int order_of(const void *a, const void *b) {
    const ib_parent *x = a, *y = b;
    int c = strcmp(x->role, y->role);
    c = c ? c : strcmp(x->sha256, y->sha256);
    c = c ? c : (x->weight > y->weight) - (x->weight < y->weight);
    return c ? c : strcmp(x->name, y->name);
}

/* Ingredients of the same part in the order of their checksums, so that the text does not tell in which order
 * they were named. */
static int list_parents(const ib_merge_job *j, notes *m) {
    static const char unknown[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    ib_parent *p = ib_calloc(j->sources, sizeof *p);
    size_t n = 0;
    for (size_t i = 0; p && i < j->sources; i++) {
        const ib_merge_part *part = &j->result->part[i];
        if (part->kept) {
            p[n] = (ib_parent){.role = part->role, .name = ib_basename(part->path), .weight = part->weight};
            memcpy(p[n++].sha256, *j->source[i].sha256 ? j->source[i].sha256 : unknown, sizeof p->sha256);
        }
    }
    if (!p) {
        return -1;
    }
    qsort(p, n, sizeof *p, order_of);
    m->parents = ib_parents_json(p, n);
    size_t room = 1;
    for (size_t i = 0; i < n; i++) {
        room += strlen(p[i].name) + 2;
    }
    m->names = calloc(room, 1);
    for (size_t i = 0; m->names && i < n; i++) {
        strcat(strcat(m->names, i ? ", " : ""), p[i].name);
    }
    ib_free(p);
    return m->parents && m->names ? 0 : -1;
}

static int take_notes(const ib_merge_job *j, notes *m, ib_error *err) {
    *m = (notes){0};
    ib_adapter_describe(&j->config, &m->own);
    memcpy(m->meta, m->own.pair, m->own.n * sizeof *m->meta);
    m->n = m->own.n;
    size_t at = 0;
    for (size_t i = 0; i < IB_MERGE_MAX_OPTIONS && j->method->options[i]; i++) {
        at += (size_t)snprintf(m->values + at, sizeof m->values - at, "%s%s=%.10g", i ? " " : "",
                               j->method->options[i], ib_merge_get(j->o, j->method->options[i]));
    }
    snprintf(m->title, sizeof m->title, "in-between model, merged (%s of %zu)", j->method->name,
             j->ingredients);
    if (list_parents(j, m)) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the metadata of %s", j->o->output);
    }
    m->meta[m->n++] = (ib_st_meta){"modelspec.title", m->title};
    m->meta[m->n++] = (ib_st_meta){"modelspec.implementation", "inbetween " IB_VERSION};
    m->meta[m->n++] = (ib_st_meta){"modelspec.merged_from", m->names};
    m->meta[m->n++] = (ib_st_meta){"merge.method", j->method->name};
    if (*m->values) {
        m->meta[m->n++] = (ib_st_meta){"merge.options", m->values};
    }
    m->meta[m->n++] = (ib_st_meta){IB_PARENTS_KEY, m->parents};
    return IB_OK;
}

static void forget(notes *m) {
    free(m->parents);
    free(m->names);
}

static int begin_writing(const ib_merge_job *j, ib_st_writer **w, ib_error *err) {
    size_t n = ib_adapter_tensor_count(j->outline);
    ib_st_tensor *t = ib_calloc(n, sizeof *t);
    notes m = {0};
    int rc = t ? take_notes(j, &m, err) : ib_fail(err, IB_E_MEMORY, "out of memory for the list of tensors");
    for (size_t i = 0; !rc && i < n; i++) {
        const ib_param *p = ib_adapter_tensor(j->outline, i);
        t[i] = (ib_st_tensor){.name = p->name, .dtype = IB_F32, .rank = p->rank, .elements = p->count};
        memcpy(t[i].shape, p->shape, (size_t)p->rank * sizeof *p->shape);
    }
    rc = rc ? rc : ib_st_writer_begin(w, j->o->output, t, n, m.meta, m.n, err);
    forget(&m);
    ib_free(t);
    return rc;
}

/* The checksums are known now. */
static int end_writing(ib_merge_job *j, ib_st_writer **w, ib_error *err) {
    notes m = {0};
    int rc = IB_OK;
    for (size_t i = 0; !rc && i < j->sources; i++) {
        rc = ib_source_digest(&j->source[i], err);
        memcpy(j->result->part[i].sha256, j->source[i].sha256, sizeof j->source[i].sha256);
    }
    rc = rc ? rc : take_notes(j, &m, err);
    rc = rc ? rc : ib_st_writer_finish(w, m.meta, m.n, err);
    forget(&m);
    return rc;
}

int ib_merge_stream(ib_merge_job *j, ib_error *err) {
    ib_st_writer *w = NULL;
    block b = {0};
    int looks = j->method->kernel->looks ? j->method->kernel->looks(j) : 0;
    size_t params = ib_adapter_param_count(j->outline);
    j->begun = ib_clock_seconds();
    j->bytes_total = (uint64_t)params * sizeof(float) * (j->sources * (size_t)(looks + 1) + 1);
    int rc = block_create(&b, j->sources, err);
    rc = rc ? rc : begin_writing(j, &w, err);
    for (size_t i = 0; !rc && i < ib_adapter_tensor_count(j->outline); i++) {
        rc = one_tensor(j, &b, ib_adapter_tensor(j->outline, i), w, err);
    }
    rc = rc ? rc : end_writing(j, &w, err);
    ib_st_writer_abort(&w);
    ib_free(b.values);
    j->result->seconds = ib_clock_seconds() - j->begun;
    return rc;
}
