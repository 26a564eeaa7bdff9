/* Inside clip/ only: the tables of a tokenizer. */
#ifndef IB_CLIP_VOCABULARY_H
#define IB_CLIP_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* What two neighbouring tokens become; the lowest rank goes first. */
typedef struct ib_merge {
    int32_t left, right, into; /* left -1: free slot */
    int32_t rank;
} ib_merge;

typedef struct ib_vocabulary {
    ib_merge *merge;                   /* [slots], by hash of the pair */
    size_t slots;                      /* a power of two */
    int32_t byte[256], last_byte[256]; /* tokens of single bytes, and of bytes that end a word */
    int32_t begin, end, pad;
    size_t size; /* tokens are below this */
} ib_vocabulary;

/* path: as in tokenizer.h. Checked: every byte has its tokens, every merge is of known tokens into a known
 * one. */
int ib_vocabulary_load(ib_vocabulary *v, const char *path, ib_error *err);
void ib_vocabulary_free(ib_vocabulary *v);
/* NULL: the two stay apart. */
const ib_merge *ib_vocabulary_merge(const ib_vocabulary *v, int32_t left, int32_t right);

#endif
