/* Where a model comes from, as adapter files say it: the metadata key IB_PARENTS_KEY, a JSON array of objects
 * in one line. Not installed. */
#ifndef IB_WEIGHTS_PARENTS_H
#define IB_WEIGHTS_PARENTS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IB_PARENTS_KEY "inbetween.parents"

typedef struct ib_parent {
    const char *role; /* "ingredient", "base", "init", ... */
    const char *name; /* of the file, without its directory */
    char sha256[65];  /* lower-case hex, of the file */
    double weight;    /* with which it counts; NaN: left out of the text */
} ib_parent;

/* [{"role":"base","name":"a.safetensors","sha256":"...","weight":0.5},...] in the given order. malloc'ed;
 * NULL when memory is out. */
char *ib_parents_json(const ib_parent *parents, size_t n);

#ifdef __cplusplus
}
#endif
#endif
