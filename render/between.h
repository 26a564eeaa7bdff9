/* Inside render/: the frames between two keyframes, by slerp and, with an adapter, by the model. */
#ifndef IB_RENDER_BETWEEN_H
#define IB_RENDER_BETWEEN_H

#include "adapter/adapter.h"
#include "latent/space.h"

typedef struct ib_betweener ib_betweener;

/* For keyframes of one size. adapter: NULL, or open longer than this. slerp: whether ib_betweener_slerp will
 * be asked. threads: how many may ask at once. */
int ib_betweener_create(ib_betweener **out, const ib_adapter *adapter, bool slerp, int width, int height,
                        int threads, ib_error *err);
void ib_betweener_free(ib_betweener **b);
/* The next two keyframes, which stay the caller's and unchanged until the pair after them. */
int ib_betweener_pair(ib_betweener *b, const ib_frame *first, const ib_frame *last, float gap_seconds,
                      ib_error *err);
/* thread: 0..threads-1, each used by one caller at a time. out: allocated, of the keyframes' size. t in
 * (0,1). */
int ib_betweener_slerp(ib_betweener *b, int thread, float t, ib_frame *out, ib_error *err);
/* The same by `threads` threads. */
int ib_betweener_model(ib_betweener *b, int thread, float t, int threads, ib_frame *out, ib_error *err);

#endif
