/* Several adapters into one. Files are read and written tensor by tensor and block by block, so memory does
 * not depend on their size.
 *
 * A model is a point in the space of its parameters; task vectors are differences to a common base. All sums
 * are those of weights/average.h: the result does not depend on the order of ingredients that play the same
 * part, nor on threads or machine, to the bit. docs/merging.md explains the methods. */
#ifndef IB_MERGE_MERGE_H
#define IB_MERGE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"
#include "base/file.h"
#include "base/stop.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_MERGE_MOST = 256 /* ingredients */, IB_MERGE_MAX_OPTIONS = 4 };

typedef enum ib_merge_kind { IB_MERGE_REAL, IB_MERGE_WHOLE, IB_MERGE_FLAG } ib_merge_kind;

/* One number that methods are steered by. */
typedef struct ib_merge_option {
    const char *name;
    ib_merge_kind kind;
    double least, most, initial; /* range, ends included; default (flags: 0) */
    const char *help;
} ib_merge_option;
/* All of them: name, kind, least, most, default, help. One list for the library and the command line. */
#define IB_MERGE_OPTION_LIST(X)                                                                              \
    X("t", REAL, 0, 1, 0.5, "slerp: the position between the two, 0 is the first")                           \
    X("alpha", REAL, -10, 10, 1, "add-difference: factor of the difference")                                 \
    X("lambda", REAL, -10, 10, 1, "task-arithmetic, dare, ties: factor of the task vectors")                 \
    X("density", REAL, 0.0001, 1, 0.2, "ties: share of each tensor's differences to keep, the largest")      \
    X("drop", REAL, 0, 0.99, 0.5, "dare: probability of dropping a difference")                              \
    X("seed", WHOLE, 0, 9007199254740992.0, 1, "dare: random seed")                                          \
    X("decay", REAL, 0, 1, 0.9, "ema: weight of a state relative to the next one")                           \
    X("raw", FLAG, 0, 1, 0, "ema: average the states' raw weights instead of their EMA weights")             \
    X("gap", WHOLE, 2, 1000, 8, "soup: frames from one keyframe to the next in validation")                  \
    X("max-windows", WHOLE, 1, 1000000, 8, "soup: at most N windows per validation file")
IB_API extern const ib_merge_option ib_merge_option_table[];          /* ends with a NULL name */
IB_API const ib_merge_option *ib_merge_option_find(const char *name); /* NULL if there is none */

typedef struct ib_merge_method {
    const char *name;
    const char *formula;                       /* one line */
    const char *source;                        /* the paper; NULL: none is needed */
    size_t least, most;                        /* ingredients */
    bool base;                                 /* needs a base */
    bool weights;                              /* takes weights */
    bool valid;                                /* needs validation files */
    const char *options[IB_MERGE_MAX_OPTIONS]; /* that it listens to; NULL where there are fewer */
    const struct ib_merge_kernel *kernel;      /* how; inside merge/ */
} ib_merge_method;
/* linear, slerp, add-difference, task-arithmetic, ties, dare, soup, ema; ends with a NULL name. */
IB_API extern const ib_merge_method ib_merge_methods[];
/* NULL and IB_E_ARGUMENT with the list for an unknown name. */
IB_API const ib_merge_method *ib_merge_method_find(const char *name, ib_error *err);

typedef struct ib_merge_progress {
    double fraction;         /* of the bytes to be read, or of the clips to be validated on */
    double bytes_per_second; /* read and written; 0 while validating */
} ib_merge_progress;

typedef struct ib_merge_options {
    /* Adapter files, or training states (state.h5: the running mean that they hold). For ema also run
     * directories, which stand for all the states in them. In add-difference A, B and C in this order; in
     * slerp t = 0 is the first. Elsewhere order means nothing. */
    const ib_paths *inputs;
    const char *base;       /* adapter or state; where the method needs one */
    const char *output;     /* must be none of the inputs; may be NULL with dry_run */
    const char *method;     /* NULL: linear */
    const double *weights;  /* [inputs], magnitude 0 or 1e-6..1e6; NULL: all 1. linear divides them by their
                               sum, the others take them as they are */
    double value[16];       /* in the order of ib_merge_option_table; ib_merge_defaults fills it */
    const ib_paths *valid;  /* latent files, or directories of them */
    bool dry_run;           /* only compare the ingredients, write nothing */
    int threads;            /* >= 1; default 1 */
    const atomic_int *stop; /* non-zero: end with IB_E_INTERRUPTED and without a file; may be NULL */
    void (*progress)(void *user, const ib_merge_progress *p); /* may be NULL */
    void (*message)(void *user, const char *sentence);        /* what is done with odd input; may be NULL */
    void *user;
} ib_merge_options;
IB_API void ib_merge_defaults(ib_merge_options *o);
/* Sets a value by its option's name. IB_E_ARGUMENT: no such option, or outside its range. */
IB_API int ib_merge_set(ib_merge_options *o, const char *name, double value, ib_error *err);
IB_API double ib_merge_get(const ib_merge_options *o, const char *name);

/* One ingredient or the base. */
typedef struct ib_merge_part {
    char *path;       /* owned by the result */
    const char *role; /* "ingredient", "base", or in add-difference "a", "plus", "minus" */
    char sha256[65];  /* of the file; empty in a dry run */
    double weight; /* what it was counted with: the method's coefficient; NaN where that differs from element
                      to element */
    bool kept;     /* soup: in the average; true elsewhere */
    double skill;  /* soup: its own on the validation files; NaN elsewhere */
    int64_t step;  /* ema: of the state; -1 elsewhere */
    double norm;   /* dry run: Euclidean, of its difference to the base if there is one; NaN otherwise */
} ib_merge_part;

/* Two ingredients beside each other, of a dry run. Of their differences to the base if there is one. */
typedef struct ib_merge_pair {
    size_t a, b;     /* indices of parts, a < b */
    double distance; /* Euclidean */
    double cosine;   /* NaN if one is 0 */
    double signs;    /* part of the elements that are 0 in neither in which the signs agree; NaN if there are
                        none */
} ib_merge_pair;

typedef struct ib_merge_result {
    const ib_merge_method *method;
    ib_merge_part *part; /* [parts]: the ingredients in the given order, then the base if there is one */
    size_t parts, ingredients;
    ib_merge_pair *pair; /* [pairs], dry run only */
    size_t pairs;
    size_t parameters, bytes; /* of the output file */
    double seconds;
    double skill; /* soup: of the average; NaN elsewhere */
} ib_merge_result;

/* Refused, naming the file and what is the matter: another space, architecture or shape than the first one's
 * (IB_E_MISMATCH), a tensor too many, missing or not of F32, F16 or BF16, values that are not finite, in an
 * input or (IB_E_NONFINITE) in the result; the output being an input; a soup or ema of the same model twice;
 * states of different runs. Nothing is left of the output then. The result is filled as far as things went;
 * freed by ib_merge_result_free. */
IB_API int ib_merge(const ib_merge_options *o, ib_merge_result *result, ib_error *err);
IB_API void ib_merge_result_free(ib_merge_result *r);

#ifdef __cplusplus
}
#endif
#endif
