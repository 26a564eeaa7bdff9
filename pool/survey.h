/* A pool seen from outside: its members side by side, and the average that a newcomer would begin from. */
#ifndef IB_POOL_SURVEY_H
#define IB_POOL_SURVEY_H

#include "pool/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_SURVEY_MOST = 256 }; /* members */

typedef struct ib_survey_row {
    const ib_member *member; /* of the survey's news */
    double age_seconds;
    double distance; /* |weights - average| / |average|; NaN without an average */
    double share;    /* in the average, 0..1 */
    bool late;       /* left out: too many rounds behind */
    ib_verdict verdict;
    char why[160]; /* it was left out or shortened; else empty */
} ib_survey_row;

typedef struct ib_survey {
    ib_pool_news news;  /* remarks: what else lies there */
    ib_survey_row *row; /* [news.members] in order of names, owned */
    int64_t round;
    char guide[160]; /* id of the pixel model of the members' guides; empty: they have none, or nobody is
                        there */
    bool guide_file; /* the pool has a copy of it (pool/guide.h) */
    size_t params;
    float *average; /* [params], owned; NULL if there is nobody, or nobody near the others */
} ib_survey;
/* stale: rounds; 0: 8. IB_E_IO if the folder cannot be read. */
int ib_pool_survey(ib_survey *out, const char *dir, int64_t stale, ib_error *err);
void ib_pool_survey_free(ib_survey *s); /* accepts a zeroed one */
/* The average as adapter.safetensors. IB_E_EMPTY if there is none. */
int ib_pool_survey_save(const ib_survey *s, const char *path, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
