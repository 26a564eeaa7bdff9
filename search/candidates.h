/* What search may choose from at a place, token by token: the adapter's own answer first, then other
 * hypotheses of it and of the guide's pictures, then as many drawn ones as are asked for. */
#ifndef IB_SEARCH_CANDIDATES_H
#define IB_SEARCH_CANDIDATES_H

#include "base/rng.h"
#include "search/sought.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One token at one place of a window. */
typedef struct ib_strand {
    const ib_sought *s;
    size_t token, place;
} ib_strand;

/* A maker makes `count` candidates, or any number if count is 0: the last of the table. To add one: a
 * function and its line in candidates.c. Judges know candidates by their distances only, so none has to be
 * trained anew. */
typedef struct ib_candidate_maker {
    const char *name;
    bool guided; /* only where there are guides */
    size_t count;
    /* z: [D], the which-th; rng: for those that are drawn */
    void (*make)(const ib_strand *at, size_t which, ib_rng *rng, float *z);
} ib_candidate_maker;

enum { IB_CANDIDATES_MOST = 4096 };
extern const ib_candidate_maker ib_candidate_makers[];
size_t ib_candidate_maker_count(void); /* length of the table */
/* Candidates of all makers but the last. */
size_t ib_candidates_fixed(bool guided);
/* The maker of candidate number i. */
size_t ib_candidate_maker_of(bool guided, size_t i);

/* The first n candidates. Number 0 is the adapter's answer bit for bit. Depends on seed, token, place and
 * number only. z: [n,D] */
void ib_candidates_make(const ib_strand *at, size_t n, uint64_t seed, float *z);

#ifdef __cplusplus
}
#endif
#endif
