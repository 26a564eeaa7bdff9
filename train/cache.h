/* A bounded store of frames as halves, least recently used first out. All places are of one size and come in
 * large pieces, so the memory in use is what was promised, however long it runs. Not thread-safe. */
#ifndef IB_TRAIN_CACHE_H
#define IB_TRAIN_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_cache ib_cache;
/* As many places of `count` halves as budget_bytes hold, at least one; memory is taken when it is first
 * needed. */
int ib_cache_create(ib_cache **out, size_t budget_bytes, size_t count, ib_error *err);
void ib_cache_free(ib_cache **c);
/* NULL if it is not there. Borrowed until the next put. */
const uint16_t *ib_cache_get(ib_cache *c, uint64_t key);
/* A place of `count` halves for the caller to fill, perhaps that of the oldest entry. NULL if memory is out:
 * the caller then does without. The key must not be there yet. */
uint16_t *ib_cache_put(ib_cache *c, uint64_t key);
size_t ib_cache_places(const ib_cache *c);

#ifdef __cplusplus
}
#endif
#endif
