/* Adapter files without loading them: what merging, pools and training look at before they take one. Not
 * installed. */
#ifndef IB_ADAPTER_ADAPTER_FILE_H
#define IB_ADAPTER_ADAPTER_FILE_H

#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The architecture in an open file's metadata, its ranges checked. IB_E_FORMAT: not an adapter, or damaged;
 * IB_E_UNSUPPORTED: of a later version. */
int ib_adapter_read_config(const ib_st *f, const char *path, ib_adapter_config *c, ib_error *err);

/* A model without parameters: only its table of tensors, its counts and its config may be asked for. Freed as
 * any other. */
int ib_adapter_outline(ib_adapter **out, const ib_adapter_config *config, ib_error *err);
/* One whose parameters are all 0 and not refreshed, for those who fill them in. */
int ib_adapter_blank(ib_adapter **out, const ib_adapter_config *config, ib_error *err);

/* Every tensor of the architecture is there in its shape and as F32, F16 or BF16, and no other: IB_E_FORMAT
 * or IB_E_UNSUPPORTED, naming file and tensor. Values are not looked at. */
int ib_adapter_check_tensors(const ib_adapter *outline, const ib_st *f, const char *path, ib_error *err);

/* IB_E_MISMATCH naming both and the first thing in which they differ: the space, the layout, the motion head,
 * a size. */
int ib_adapter_check_same(const ib_adapter_config *a, const char *name_a, const ib_adapter_config *b,
                          const char *name_b, ib_error *err);

/* Strengths as text: for each bin "SECONDS GUIDE GUIDED ALONE", bins apart by "; ". */
enum { IB_STRENGTHS_TEXT = IB_STRENGTH_BINS * (1 + IB_STRENGTHS) * 16 };
void ib_strengths_write(const ib_strengths *s, char text[IB_STRENGTHS_TEXT]);
/* False for anything else, values out of range among it. */
bool ib_strengths_read(const char *text, ib_strengths *s);

/* The metadata that makes a file an adapter of this architecture. The pairs point into *m and *c. */
typedef struct ib_adapter_meta {
    ib_st_meta pair[24];
    size_t n;
    char number[8][16], trust[32], strengths[IB_STRENGTHS_TEXT];
} ib_adapter_meta;
void ib_adapter_describe(const ib_adapter_config *c, ib_adapter_meta *m);

#ifdef __cplusplus
}
#endif
#endif
