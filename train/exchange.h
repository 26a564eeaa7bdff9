/* Inside train only: what a run has to do with others between two steps. The loop knows this face alone; pools (exchange_pool.c)
 * are behind it, and a run by itself has none. */
#ifndef IB_TRAIN_EXCHANGE_H
#define IB_TRAIN_EXCHANGE_H

#include "train/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_exchange_kind {
    /* After every step: exchanges if that is due. */
    int (*after_step)(ib_exchange *x, ib_session *s, ib_error *err);
    /* A run that has begun and whose first state is written, and one whose learning is over: `whole`, or stopped. */
    int (*begin)(ib_exchange *x, ib_session *s, ib_error *err);
    int (*end)(ib_exchange *x, ib_session *s, bool whole, ib_error *err);
    void (*close)(ib_exchange *x);
} ib_exchange_kind;

/* What every kind begins with. */
struct ib_exchange {
    const ib_exchange_kind *kind;
    int64_t rounds;                  /* exchanges of this session that changed the weights */
    int64_t sent_bytes, taken_bytes; /* of this session */
};

/* What the options ask for; NULL in *out: nothing. Joins: the session's weights may be others' afterwards. Called when the model is
 * there and the run's directory is not yet touched. */
int ib_exchange_open(ib_exchange **out, ib_session *s, ib_error *err);
void ib_exchange_close(ib_exchange **x);
/* All of them do nothing for NULL. */
int ib_exchange_begin(ib_session *s, ib_error *err);
int ib_exchange_after_step(ib_session *s, ib_error *err);
int ib_exchange_end(ib_session *s, bool whole, ib_error *err);

int ib_exchange_pool_open(ib_exchange **out, ib_session *s, ib_error *err);

/* The session goes on from other weights, w [P]. Moments of the optimiser stay: they are about the size of gradients, which is
 * much the same at the average, and averaging them too would double or treble what is sent. The running mean forgets the own steps since
 * the last average and takes w in their place, with the weight that they had together: so it is the mean of averages, without
 * the way towards this machine's own videos in which each of them began. `begin`: there was no way before. */
void ib_exchange_take(ib_session *s, const float *w, bool begin);

#ifdef __cplusplus
}
#endif
#endif
