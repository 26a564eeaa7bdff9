/* A pool: a folder that several machines can write to, one file for each worker, no server, no locks, no
 * clocks that agree (docs/pools.md). Reading never trusts: whatever lies in the folder is taken, or left out
 * with a sentence. */
#ifndef IB_POOL_POOL_H
#define IB_POOL_POOL_H

#include "pool/member.h"
#include "pool/rule.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    IB_POOL_MOST = 32, /* members heard at once; the others' turn comes the next time */
    IB_POOL_STALE =
        8 /* rounds behind the pool after which somebody is left out, if nothing else is asked for */
};

typedef struct ib_pool ib_pool;
/* `name`: of the worker whose file is not listened to; NULL: all are. Touches nothing. */
int ib_pool_open(ib_pool **out, const char *dir, const char *name, ib_error *err);
/* IB_E_IO if the folder is not there or is no folder: it is not made, for an empty one in the place of one
 * that is not mounted would look like a pool without others. */
int ib_pool_check(const ib_pool *p, ib_error *err);
/* IB_E_IO if the worker's file could not be written, IB_E_ARGUMENT if a file that is no worker's lies under
 * its name. Leaves nothing behind. */
int ib_pool_writable(const ib_pool *p, ib_error *err);
void ib_pool_close(ib_pool **p);
const char *ib_pool_dir(const ib_pool *p);

/* What one look at the folder brought. */
typedef struct ib_pool_news {
    ib_member *member;   /* [members], owned: published since they were last heard, whole and fitting */
    double *age_seconds; /* [members] since the file was written, by this machine's clock: for people only */
    size_t members;
    char **remark; /* [remarks], owned: a sentence for every file that was left out, each file once */
    size_t remarks;
    size_t bytes; /* read */
} ib_pool_news;
/* mine: the architecture that fits; NULL: any. most_bytes: of a file. IB_E_IO if the folder cannot be read
 * now. *news is empty after a failure. */
int ib_pool_listen(ib_pool *p, const ib_adapter_config *mine, size_t most_members, size_t most_bytes,
                   ib_pool_news *news, ib_error *err);
/* What was heard was not used: the next look brings it again. */
void ib_pool_forget(ib_pool *p);
/* Adds a sentence. */
int ib_pool_remark(ib_pool_news *news, const char *text, ib_error *err);
void ib_pool_news_free(ib_pool_news *news); /* accepts a zeroed one */
/* The worker's own file, if it is there and whole: IB_OK and members = 1, or 0. */
int ib_pool_own(ib_pool *p, size_t most_bytes, ib_pool_news *news, ib_error *err);

/* The round that the pool is at: the second latest of the news (`own` among them if >= 0), or the only one,
 * so that nobody's claim alone makes others late; -1 without any. */
int64_t ib_pool_round(const ib_pool_news *news, int64_t own);

#ifdef __cplusplus
}
#endif
#endif
