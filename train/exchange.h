/* Inside train only: what a run has to do with others between two steps. The loop knows this face alone;
 * behind it are pools (exchange_pool.c) and clusters (exchange_mpi.c), and a run by itself has neither. */
#ifndef IB_TRAIN_EXCHANGE_H
#define IB_TRAIN_EXCHANGE_H

#include "train/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_exchange_kind {
    /* The model is there, the run's directory is not yet touched: joins, after which the session's weights
     * may be others'. */
    int (*open)(ib_exchange *x, ib_session *s, ib_error *err);
    /* How this process fared with opening, or later that it has failed (code < 0): whoever waits for it hears
     * of it. Returns the code, or another's, with the sentence in err. NULL: nobody waits. */
    int (*agree)(ib_exchange *x, ib_session *s, int code, ib_error *err);
    /* The run has begun and its first state is written. */
    int (*begin)(ib_exchange *x, ib_session *s, ib_error *err);
    /* After every step: exchanges if that is due. */
    int (*after_step)(ib_exchange *x, ib_session *s, ib_error *err);
    /* Learning is over: `whole`, or stopped. */
    int (*end)(ib_exchange *x, ib_session *s, bool whole, ib_error *err);
    /* All processes together; the loop does not save by itself then. NULL: this one does, when it likes. */
    int (*save)(ib_exchange *x, ib_session *s, ib_error *err);
    void (*close)(ib_exchange *x);
} ib_exchange_kind;

/* What every kind begins with. */
struct ib_exchange {
    const ib_exchange_kind *kind;
    int64_t rounds;                  /* exchanges of this session that changed the weights */
    int64_t sent_bytes, taken_bytes; /* of this session */
};

/* Before anything else: finds out what the options and the surroundings ask for, and fills s->exchange (NULL:
 * by itself), s->rank and s->ranks. */
int ib_exchange_enter(ib_session *s, ib_error *err);
/* The rest does nothing without an exchange; saving is then ib_session_save. */
int ib_exchange_open(ib_session *s, ib_error *err);
int ib_exchange_agree(ib_session *s, int code, ib_error *err);
int ib_exchange_begin(ib_session *s, ib_error *err);
int ib_exchange_after_step(ib_session *s, ib_error *err);
int ib_exchange_end(ib_session *s, bool whole, ib_error *err);
int ib_exchange_save(ib_session *s, ib_error *err);
bool ib_exchange_saves(const ib_session *s);
void ib_exchange_close(ib_session *s);

/* The kinds; each leaves s->exchange NULL if it is not asked for. */
int ib_exchange_pool_enter(ib_session *s, ib_error *err);
int ib_exchange_mpi_enter(ib_session *s, ib_error *err);

/* The session goes on from other weights, w [P]. Moments of the optimiser stay: they are about the size of
 * gradients, which is much the same at the average, and averaging them too would double or treble what is
 * sent. The running mean forgets the own steps since the last average and takes w in their place, with the
 * weight that they had together: so it is the mean of averages, without the way towards this machine's own
 * videos in which each of them began. `begin`: there was no way before. */
void ib_exchange_take(ib_session *s, const float *w, bool begin);

#ifdef __cplusplus
}
#endif
#endif
