/* What may be asked of a search between keyframes (docs/search.md), wherever one can be asked for. */
#ifndef IB_SEARCH_ASKED_H
#define IB_SEARCH_ASKED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero (or NULL) is the default. */
typedef struct ib_search_asked {
    size_t
        candidates; /* N at every place, at most 4096, the first is the adapter's own answer; 0: no search */
    const char *judge; /* file of the judge that chooses among them */
    size_t beam;       /* paths that are followed, at most 64; 0: 1 */
    size_t
        condense; /* the mean of the best M candidates, weighted by the judge, at most N; 1: the best; 0: N */
    double seconds; /* for each pair of keyframes, then the adapter's answer stays; 0: no limit */
    uint64_t seed;  /* of candidates that are drawn; 0: 1 */
} ib_search_asked;

#ifdef __cplusplus
}
#endif
#endif
