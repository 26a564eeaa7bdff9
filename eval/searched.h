/* Inside eval: rows of a search (search/search.h) by a judge, of its candidates' plain mean, and of the
 * nearest candidate of each token, which no search can do better than. */
#ifndef IB_EVAL_SEARCHED_H
#define IB_EVAL_SEARCHED_H

#include "eval/eval.h"
#include "search/search.h"

/* The rows, in this order, behind the adapters. */
enum ib_searched_row {
    IB_SEARCHED_MEAN,      /* plain mean of all candidates; kind IB_METHOD_SEARCH */
    IB_SEARCHED_BEST,      /* the best path; with a judge */
    IB_SEARCHED_CONDENSED, /* the mean of the best of every place; with a judge, where that is asked for */
    IB_SEARCHED_NEAREST,   /* kind IB_METHOD_ORACLE */
    IB_SEARCHED
};
extern const char *const ib_searched_names[IB_SEARCHED];

/* What an evaluation searches with. */
typedef struct ib_searching {
    bool row[IB_SEARCHED]; /* which there are */
    size_t rows;
    ib_search_judge *judge; /* NULL: none */
    ib_search_options o;
} ib_searching;

/* No rows if no search is asked for. IB_E_ARGUMENT, IB_E_UNSUPPORTED; those of opening a judge. *s is to be
 * freed in any case. */
int ib_searching_open(ib_searching *s, const ib_eval_options *o, const char *space_id, ib_error *err);
void ib_searching_free(ib_searching *s);

/* One thread's rows of one window. */
typedef struct ib_searched {
    const ib_searching *how;
    const ib_adapter *adapter; /* NULL: slerp */
    ib_sought s;
    float *truth; /* [most,T,D] */
    float *z;     /* [rows,most,T,D] */
    float *one;   /* [N + 1,D] */
} ib_searched;

/* most: places of a window at the most. *s is to be closed in any case. */
int ib_searched_open(ib_searched *s, const ib_searching *how, const ib_adapter *adapter, const char *space_id,
                     const ib_shape *shape, size_t most, ib_error *err);
void ib_searched_close(ib_searched *s); /* accepts a zeroed one */
/* The rows of the window [first, first + gap]. guide: number of its first guide; SIZE_MAX: none. */
int ib_searched_window(ib_searched *s, ib_latent_file *f, size_t first, int gap, size_t guide, ib_error *err);
/* Row number i, of those there are, at frame k of the window: [T,D] */
const float *ib_searched_at(const ib_searched *s, size_t i, int k);

#endif
