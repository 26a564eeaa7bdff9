/* The pixel adapter of a pool: members that train with guides (guide/guide.h) must all have them of one pixel
 * model. A copy of its file lies in the folder, so that a machine that joins can encode with it. There is
 * none where guides are of the untrained model (prior) or there are no guides. */
#ifndef IB_POOL_GUIDE_H
#define IB_POOL_GUIDE_H

#include "pool/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IB_POOL_GUIDE "guide.safetensors" /* no worker may be called so */

/* model: of a run (ib_adapter_config.guide). IB_E_MISMATCH, naming both, if the folder's copy is of another
 * one; IB_E_FORMAT if the copy is damaged. *there: whether there is a copy, also after an error. */
int ib_pool_guide_check(const char *dir, const char *model, bool *there, ib_error *err);
/* Puts a copy of an adapter's file there, beside and renamed. The same bytes again: nothing is done.
 * IB_E_MISMATCH if there is another one already, IB_E_FORMAT for a damaged one or a file that is none. */
int ib_pool_guide_share(const char *dir, const char *file, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
