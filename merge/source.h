/* Inside merge only: a file of weights that is read in blocks. */
#ifndef IB_MERGE_SOURCE_H
#define IB_MERGE_SOURCE_H

#include <nettle/sha2.h>
#include <sys/types.h>
#include "adapter/adapter.h"

typedef struct ib_source {
    char *path; /* owned */
    ib_adapter_config config;
    ib_st *file;   /* an adapter file, or */
    float *params; /* [P] the weights of a training state, owned */
    dev_t device;
    ino_t inode;
    int64_t step;  /* of training; -1: not known */
    char run[320]; /* what tells its run from others; empty: not known */
    struct sha256_ctx sha;
    size_t hashed; /* bytes of the file */
    char sha256[65];
} ib_source;

/* An adapter file, its tensors checked against its architecture, or a state.h5: `raw` takes its weights,
 * otherwise their running mean. */
int ib_source_open(ib_source *s, const char *path, bool raw, ib_error *err);
void ib_source_close(ib_source *s);
/* The same file, under whatever name. */
bool ib_source_same(const ib_source *a, const ib_source *b);

/* Elements [first, first + n) of a tensor. out: [n]. IB_E_NONFINITE names file and tensor. May be called from
 * several threads. */
int ib_source_read(const ib_source *s, const ib_param *p, size_t first, size_t n, float *out, ib_error *err);
/* They come by for the last time: their bytes go into the checksum if it has come as far as them. */
void ib_source_done(ib_source *s, const ib_param *p, size_t first, size_t n);
/* Their pages go out of memory. */
void ib_source_release(const ib_source *s, const ib_param *p, size_t first, size_t n);
/* Completes sha256: whatever did not come by in order is read now. */
int ib_source_digest(ib_source *s, ib_error *err);

#endif
