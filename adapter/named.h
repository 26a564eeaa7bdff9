/* Adapters by name, wherever one can be chosen: "default", the one that comes with the program; "prior", the
 * untrained model, which is a good interpolator by itself; anything else is a file. Both are of the patch
 * space and render pictures. A file that is called one of the words is reached as "./default".
 *
 * The default is a file that may be missing: it is looked for in share/inbetween beside the program and
 * beside the library, or in $INBETWEEN_SHARE. */
#ifndef IB_ADAPTER_NAMED_H
#define IB_ADAPTER_NAMED_H

#include "base/api.h"
#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IB_ADAPTER_NONE "none" /* no adapter: options take it as they take NULL, plain slerp */
#define IB_ADAPTER_PRIOR "prior"
#define IB_ADAPTER_DEFAULT "default"

/* The file that a name stands for, malloc'ed; NULL if it stands for none (prior, none, NULL). IB_E_IO for a
 * default that is not there; other files are not looked at. */
IB_API int ib_adapter_named_file(char **file, const char *name, ib_error *err);
/* name: NULL and none give NULL. Errors are those of the above and of ib_adapter_open. */
IB_API int ib_adapter_open_named(ib_adapter **out, const char *name, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
