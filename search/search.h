/* Search between two keyframes: candidates at every place, a judge that scores them, a beam over the tree of
 * times (the middle first, then the quarters, and so on), and a mean of the best. Each token's path is
 * searched by itself. The same seed gives the same bits, for any number of threads. */
#ifndef IB_SEARCH_SEARCH_H
#define IB_SEARCH_SEARCH_H

#include "base/stop.h"
#include "search/asked.h"
#include "search/judge.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_SEARCH_BEAM_MOST = 64 };

typedef struct ib_search_options {
    size_t candidates; /* N at every place, 1..IB_CANDIDATES_MOST; 1: the adapter's answer alone */
    size_t beam;       /* B paths that are followed, 1..IB_SEARCH_BEAM_MOST */
    size_t condense; /* M: the mean of the best M candidates, weighted by the judge, 1..N; 1: the best one */
    double seconds;  /* for the window; then the adapter's answer is what is found. 0: no limit */
    uint64_t seed;   /* of drawn candidates */
    int threads;     /* over tokens */
    const atomic_int *stop; /* non-zero: as if the time were over; may be NULL */
} ib_search_options;

/* What was asked for, with its judge, if one is named: of the space `space_id`, or IB_E_MISMATCH (`what`
 * names it in the sentence). Errors are also those of ib_search_check and ib_search_judge_open. */
int ib_search_begin(const ib_search_asked *asked, const char *space_id, const char *what,
                    ib_search_options *o, ib_search_judge **judge, ib_error *err);
/* IB_E_ARGUMENT for numbers out of range. */
int ib_search_check(const ib_search_options *o, ib_error *err);

/* z: [n,T,D] the best path, whole whatever happens to time. whole: whether all of it was searched; may be
 * NULL. */
int ib_search_window(const ib_search_judge *j, const ib_sought *s, const ib_search_options *o, float *z,
                     bool *whole, ib_error *err);

/* The tree of times over n places: in which order they are filled and between which they stand then; -1: the
 * first keyframe, n: the last. */
typedef struct ib_search_node {
    int place, left, right;
} ib_search_node;
void ib_search_order(size_t n, ib_search_node *node);

/* The mean of n candidates by weight on the sphere: of directions, and of lengths apart. Weights add up to 1.
 * z: [n,D] */
void ib_search_mean(const float *z, const double *weight, size_t n, size_t width, float *out);

#ifdef __cplusplus
}
#endif
#endif
