#include "train/cache.h"
#include <stdlib.h>
#include "base/memory.h"

enum { PIECE_BYTES = 4 << 20 };

typedef struct entry {
    uint64_t key;
    struct entry *next_in_bucket;
    struct entry *older, *newer;
} entry;

struct ib_cache {
    size_t places, used, count;  /* count: halves of a place */
    size_t piece_places, pieces; /* memory comes in pieces of so many places */
    uint16_t **piece;
    entry *entry;   /* [places]; entry i owns place i */
    size_t buckets; /* a power of two */
    entry **bucket;
    entry *oldest, *newest;
};

int ib_cache_create(ib_cache **out, size_t budget_bytes, size_t count, ib_error *err) {
    ib_cache *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the cache of frames");
    }
    size_t bytes = (count + 31) / 32 * 64 + sizeof(entry);
    c->count = (count + 31) / 32 * 32;
    c->places = budget_bytes / bytes ? budget_bytes / bytes : 1;
    c->piece_places = PIECE_BYTES / bytes ? PIECE_BYTES / bytes : 1;
    c->pieces = (c->places + c->piece_places - 1) / c->piece_places;
    c->buckets = 16;
    while (c->buckets < c->places) {
        c->buckets *= 2;
    }
    c->piece = calloc(c->pieces, sizeof *c->piece);
    c->entry = calloc(c->places, sizeof *c->entry);
    c->bucket = calloc(c->buckets, sizeof *c->bucket);
    if (!c->piece || !c->entry || !c->bucket) {
        ib_cache_free(&c);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the cache of frames");
    }
    *out = c;
    return IB_OK;
}

void ib_cache_free(ib_cache **cache) {
    ib_cache *c = *cache;
    if (!c) {
        return;
    }
    for (size_t i = 0; c->piece && i < c->pieces; i++) {
        ib_free(c->piece[i]);
    }
    free(c->piece);
    free(c->entry);
    free(c->bucket);
    free(c);
    *cache = NULL;
}

static entry **bucket_of(const ib_cache *c, uint64_t key) {
    return &c->bucket[(size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (c->buckets - 1)];
}

static void unlink_age(ib_cache *c, entry *e) {
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
}

static void link_newest(ib_cache *c, entry *e) {
    e->older = c->newest;
    e->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static uint16_t *place_of(const ib_cache *c, const entry *e) {
    size_t i = (size_t)(e - c->entry);
    return c->piece[i / c->piece_places] + i % c->piece_places * c->count;
}

const uint16_t *ib_cache_get(ib_cache *c, uint64_t key) {
    entry *e = *bucket_of(c, key);
    while (e && e->key != key) {
        e = e->next_in_bucket;
    }
    if (!e) {
        return NULL;
    }
    unlink_age(c, e);
    link_newest(c, e);
    return place_of(c, e);
}

/* A place that was never used; NULL if there is none or no memory for it. */
static entry *fresh(ib_cache *c) {
    size_t piece = c->used / c->piece_places;
    if (c->used == c->places) {
        return NULL;
    }
    if (!c->piece[piece]) {
        size_t rest = c->places - c->used, n = rest < c->piece_places ? rest : c->piece_places;
        c->piece[piece] = ib_calloc(n, c->count * sizeof(uint16_t));
    }
    return c->piece[piece] ? &c->entry[c->used++] : NULL;
}

static entry *take_oldest(ib_cache *c) {
    entry *e = c->oldest;
    if (e) {
        entry **p = bucket_of(c, e->key);
        while (*p != e) {
            p = &(*p)->next_in_bucket;
        }
        *p = e->next_in_bucket;
        unlink_age(c, e);
    }
    return e;
}

uint16_t *ib_cache_put(ib_cache *c, uint64_t key) {
    entry *e = fresh(c);
    if (!e && !(e = take_oldest(c))) {
        return NULL;
    }
    entry **b = bucket_of(c, key);
    e->key = key;
    e->next_in_bucket = *b;
    *b = e;
    link_newest(c, e);
    return place_of(c, e);
}

size_t ib_cache_places(const ib_cache *c) {
    return c->places;
}
