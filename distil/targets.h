/* Inside distil: the frames that a search finds between a video's keyframes, as a latent file. */
#ifndef IB_DISTIL_TARGETS_H
#define IB_DISTIL_TARGETS_H

#include "adapter/adapter.h"
#include "search/search.h"

typedef struct ib_targets {
    const ib_adapter *adapter;
    const ib_search_judge *judge;
    ib_search_options o;
    char judge_sha256[65], adapter_sha256[65];
} ib_targets;

/* Searches all windows of the file `from` and writes each of them as a shot of `to`. windows, frames: added
 * to. Nothing is written, and the numbers stay, if there is no window. IB_E_INTERRUPTED if o.stop says so. */
int ib_targets_write(const ib_targets *t, const char *from, const char *to, size_t *windows, size_t *frames,
                     ib_error *err);

#endif
