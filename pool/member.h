/* One worker's file in a pool: NAME.safetensors, its weights as they are between two steps (not their running
 * mean), and what the others need to know to judge them. It is an adapter like any other, with pairs `pool.*`
 * in its metadata and a seal (docs/files.md): a file that was cut, half synchronised or has a wrong bit is
 * refused, whatever carried it. */
#ifndef IB_POOL_MEMBER_H
#define IB_POOL_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_POOL_NAME = 64, IB_POOL_TOKEN = 33 }; /* room, final NUL included */
#define IB_POOL_SUFFIX ".safetensors"
#define IB_POOL_NO_NAME "guide" /* NAME.safetensors is the pool's pixel adapter (pool/guide.h) */

typedef struct ib_member {
    char name[IB_POOL_NAME];   /* of the worker, and of its file */
    char token[IB_POOL_TOKEN]; /* of its run, drawn once: two runs under one name differ in it */
    int64_t serial;            /* of this publication */
    int64_t
        round; /* of the average that its weights went out from, 0: none yet. Counted like Lamport's clock, an
                * average being one later than the latest that it is made of: no real clock is asked */
    int64_t samples; /* that the worker has learned from in all */
    int64_t fresh;   /* of them since that average */
    int64_t stream;  /* where its samples' numbers begin */
    double skill;    /* on its own validation videos; NaN: unknown */
    ib_adapter_config config;
    size_t params, bytes; /* bytes: of the file */
    float *weights;       /* [params], owned */
} ib_member;

/* Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 63: a file's name anywhere; not
 * IB_POOL_NO_NAME. */
bool ib_member_name_fits(const char *name);
/* Writes dir/NAME.safetensors, beside and renamed, with a's weights (m->weights and m->config are not looked
 * at) as floats or halves. bytes: of the file; may be NULL. */
int ib_member_write(const ib_member *m, const ib_adapter *a, bool half, const char *dir, size_t *bytes,
                    ib_error *err);
/* True for a file that does not begin as a member's does, damaged or not: something of the user's. */
bool ib_member_is_other(const char *path);
/* Reads all of a file from a copy and checks it: IB_E_FORMAT if it is damaged or no member's,
 * IB_E_UNSUPPORTED if it is of another format or has more than most_bytes, IB_E_NONFINITE if a weight is not
 * finite. *m is to be freed after success and is empty after a failure. */
int ib_member_read(ib_member *m, const char *path, size_t most_bytes, ib_error *err);
/* IB_E_MISMATCH, naming what differs, unless m is of this space and architecture and was trained with guides
 * of the same pixel model. */
int ib_member_fits(const ib_member *m, const ib_adapter_config *mine, const char *path, ib_error *err);
void ib_member_free(ib_member *m); /* accepts a zeroed one */

#ifdef __cplusplus
}
#endif
#endif
