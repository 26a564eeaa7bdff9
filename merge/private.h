/* Inside merge only. */
#ifndef IB_MERGE_PRIVATE_H
#define IB_MERGE_PRIVATE_H

#include "adapter/adapter_file.h"
#include "merge/merge.h"
#include "merge/source.h"

enum { IB_MERGE_SOURCES = IB_MERGE_MOST + 1 /* and the base */ };

/* A merge under way. */
typedef struct ib_merge_job {
    const ib_merge_options *o;
    const ib_merge_method *method;
    ib_source source[IB_MERGE_SOURCES]; /* the ingredients, then the base */
    size_t ingredients, sources;
    double weight[IB_MERGE_MOST];         /* as given, 1 without */
    double coefficient[IB_MERGE_SOURCES]; /* of each source, where the method has such; else NaN */
    ib_adapter *outline;                  /* of the first source: the table of tensors */
    void *scratch;                        /* the kernel's; freed with ib_free */
    ib_strengths refitted;                /* by a kernel that validates; without bins: it has not */
    ib_adapter_config config;             /* of the result */
    uint64_t bytes_total, bytes_done;     /* of reading, and of writing */
    double begun;
    ib_merge_result *result;
} ib_merge_job;

/* How a method works. x: [sources], each [n], elements [first, first + n) of the tensor at hand. Where a
 * function is NULL there is nothing to be done. */
typedef struct ib_merge_kernel {
    /* Coefficients and scratch, from options and sources. */
    int (*plan)(ib_merge_job *j, ib_error *err);
    /* Times that a tensor has to be looked at before it can be combined. */
    int (*looks)(const ib_merge_job *j);
    void (*begin)(ib_merge_job *j, const ib_param *p);
    void (*look)(ib_merge_job *j, int pass, const float *const *x, size_t n);
    void (*settle)(ib_merge_job *j, int pass); /* after each look at the whole tensor */
    /* From several threads. NULL: the sum of the sources by their coefficients. */
    void (*combine)(const ib_merge_job *j, const float *const *x, size_t first, float *out, size_t n);
} ib_merge_kernel;

extern const ib_merge_kernel ib_merge_linear, ib_merge_slerp, ib_merge_add_difference,
    ib_merge_task_arithmetic, ib_merge_ties, ib_merge_dare, ib_merge_soup, ib_merge_ema;

__attribute__((format(printf, 2, 3))) void ib_merge_say(const ib_merge_job *j, const char *fmt, ...);
/* IB_E_INTERRUPTED if the stop flag is set. */
int ib_merge_stopped(const ib_merge_job *j, ib_error *err);
void ib_merge_report(const ib_merge_job *j, double fraction, double bytes_per_second);

/* ema.c: the inputs with run directories replaced by their states. */
int ib_merge_expand(ib_paths *all, const ib_paths *inputs, bool states, ib_error *err);
/* config.c: the lowest strengths of some sources, n >= 1; and the result's config, once every part's weight
 * is known. */
void ib_merge_lowest_strengths(const ib_merge_job *j, const size_t *which, size_t n, ib_strengths *out);
void ib_merge_settle_config(ib_merge_job *j);
/* refit.c: fills j->refitted, by validation files, for a model with the result's weights. It says so where
 * these are too few, and leaves it without bins. */
int ib_merge_refit(ib_merge_job *j, ib_adapter *model, const ib_paths *clips, ib_error *err);
/* stream.c: everything through the kernel into the output. */
int ib_merge_stream(ib_merge_job *j, ib_error *err);
/* compare.c: pairs and norms of the result. */
int ib_merge_compare(ib_merge_job *j, ib_error *err);

#endif
